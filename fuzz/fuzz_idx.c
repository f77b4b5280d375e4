/* fuzz_idx.c - idx files, plain and compressed
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    volatile uint8_t last; // touches the data that is said to be there
    for (size_t rank = 1; rank <= 3; rank += 2) {
        vise_idx x;
        vise_err e;
        if (vise_idx_parse(&x, data, size, rank, &e)) continue;
        last = x.data[x.dim[0] * (rank == 3 ? x.dim[1] * x.dim[2] : 1) - 1];
        (void)last;
        vise_free(x.block);
    }
    return 0;
}
