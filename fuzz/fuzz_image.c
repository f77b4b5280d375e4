/* fuzz_image.c - picture files of every kind, and the recipe over what they give
 * SPDX-License-Identifier: MIT */
#include "data/preprocess.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const vise_image_opts opts = {.max_pixels = (size_t)1 << 20}; // larger ones are slow, not new
    float pixels[8 * 8 * 3];
    vise_image im;
    vise_err e;
    vise_status s = vise_image_read(&im, data, size, &opts, &e);
    if ((s != VISE_OK) != (im.data == NULL)) vise_bug("a status without its outcome");
    for (uint32_t i = 0; !s && i < 9; i++) {
        const vise_recipe r = {.channels = i % 2 ? 1 : 3,
                               .height = 8,
                               .width = i < 6 ? 8 : 5,
                               .filter = VISE_NEAREST + i % 3,
                               .crop = VISE_CROP_CENTER + i / 3,
                               .crop_pct = 0.9,
                               .std = {1, 1, 1}};
        vise_preprocess(pixels, &r, &im, &e);
    }
    vise_free(im.data);
    return 0;
}
