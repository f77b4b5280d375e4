/* weights.c - from a constant of any encoding to the panels a kernel reads
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

vise_const vise_const_rows(const vise_const *c, size_t first, size_t n)
{
    const size_t rows = c->shape.dim[0], cols = vise_shape_count(&c->shape) / rows;
    vise_const r = *c;
    r.shape = (vise_shape){2, {n, cols}};
    if (!c->enc.bits) {
        r.data = (const char *)c->data + first * cols * vise_dtype_size(c->enc.type);
    } else {
        const size_t group = c->enc.group ? c->enc.group : cols;
        r.data = (const char *)c->data + first * ((cols * c->enc.bits + 7) / 8);
        r.scale = c->scale + first * ((cols + group - 1) / group);
    }
    return r;
}

vise_status vise_pack_const(float *panels, const vise_gemm *g, const vise_const *w,
                            const size_t *perm, vise_err *e)
{
    const size_t nr = g->nr, n = w->shape.dim[0], k = vise_shape_count(&w->shape) / n;
    float *rows, *moved = NULL;
    VISE_TRY(vise_alloc_or(&rows, (perm ? 2 : 1) * nr, k * sizeof(float), "packing weights", e));
    if (perm) moved = rows + nr * k;
    for (size_t j = 0; j < n; j += nr, panels += nr * k) { // one panel at a time: little memory
        const size_t m = n - j < nr ? n - j : nr;
        const vise_const part = vise_const_rows(w, j, m);
        vise_decode(rows, &part);
        for (size_t i = 0; perm && i < m; i++)
            for (size_t p = 0; p < k; p++)
                moved[i * k + p] = rows[i * k + perm[p]];
        g->pack(panels, NULL, perm ? moved : rows, k, 1, m, k, 0);
    }
    vise_free(rows);
    return VISE_OK;
}
