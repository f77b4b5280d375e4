/* finite.c - weights that are not numbers are refused where they enter
 * SPDX-License-Identifier: MIT */
#include "model/tensors.h"

#include <math.h>

vise_status vise_stored_check_finite(const vise_stored *t, vise_err *e)
{
    enum { CHUNK = 1024 };
    float x[CHUNK];
    if (!vise_dtype_is_float(t->dtype)) return VISE_OK;
    const size_t n = vise_shape_count(&t->shape), size = vise_dtype_size(t->dtype);
    for (size_t i = 0; i < n; i += CHUNK) {
        const size_t m = n - i < CHUNK ? n - i : CHUNK;
        vise_to_f32(x, t->dtype, (const char *)t->data + i * size, m);
        float bad = 0; // x * 0 is 0 for a number, NaN otherwise
        for (size_t k = 0; k < m; k++)
            bad += x[k] * 0;
        for (size_t k = 0; isnan(bad) && k < m; k++)
            if (!isfinite(x[k]))
                return vise_fail(e, VISE_EFORMAT, "%s: element %zu is %s", t->name, i + k,
                                 isnan(x[k]) ? "not a number" : "infinite");
    }
    return VISE_OK;
}
