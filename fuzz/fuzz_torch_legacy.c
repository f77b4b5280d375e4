/* fuzz_torch_legacy.c - libFuzzer target: any bytes as a PyTorch file before 1.6
 * SPDX-License-Identifier: MIT */
#include "tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_reader(vise_read_torch_legacy, data, size);
}
