/* fuzz_cifar.c - CIFAR's binary files
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t labels = 1; labels <= 2; labels++) {
        vise_map part = {data, size, NULL};
        vise_data d = {.kind = &vise_set_cifar, .path = "x", .part = &part, .parts = 1};
        vise_image im = {0};
        vise_err e;
        if (!vise_cifar_scan(&d, labels, &e) &&
            !vise_data_picture(&d, d.count - 1, &(vise_image_opts){0}, &im, &e) &&
            im.data[im.height * im.width * im.channels - 1] != data[size - 1])
            vise_bug("the last byte of %zu pictures", d.count);
        vise_free(im.data);
        vise_region_free(&d.names);
        vise_free(d.item);
    }
    return 0;
}
