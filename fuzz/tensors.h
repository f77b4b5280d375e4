/* tensors.h - what every reader of checkpoints must have made sure of
 * SPDX-License-Identifier: MIT */
#ifndef FUZZ_TENSORS_H
#define FUZZ_TENSORS_H

#include "model/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads any bytes and touches the first and last element of every tensor that was accepted. */
static inline int fuzz_reader(vise_status (*read)(vise_tensors *, vise_map *, vise_err *),
                              const uint8_t *data, size_t size)
{
    vise_tensors t = {0};
    vise_map map = {.data = data, .size = size}; // borrowed
    if (read(&t, &map, NULL) != VISE_OK) return 0;
    volatile float sink = 0;
    for (size_t i = 0; i < t.count; i++) {
        const vise_stored *s = &t.item[i];
        const size_t n = s->bytes / vise_dtype_size(s->dtype);
        if (n != vise_shape_count(&s->shape) || !n) __builtin_trap();
        sink = vise_element_f32(s->dtype, s->data, 0);
        sink = vise_element_f32(s->dtype, s->data, n - 1);
    }
    (void)sink;
    vise_tensors_free(&t);
    return 0;
}

#endif
