/* fuzz_tar.c - tar files: the scan, the labels, and the bytes of the first pictures
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vise_data d = {.map = {.data = data, .size = size}};
    vise_err e;
    if (!vise_tar_scan(&d, false, &e) && !vise_data_label_by_folder(&d, true, &e))
        for (size_t i = 0; i < d.count && i < 8; i++) {
            uint8_t *bytes;
            size_t n;
            if (d.item[i].label >= d.count) vise_bug("label %zu", d.item[i].label);
            if (!vise_tar_extract(&d, i, &bytes, &n, &e)) vise_free(bytes);
        }
    vise_region_free(&d.names);
    vise_free(d.item);
    return 0;
}
