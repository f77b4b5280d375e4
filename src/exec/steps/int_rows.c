/* int_rows.c - steps of integer networks by rows: layernorms and sums
 * SPDX-License-Identifier: MIT */
#include "exec/steps/int_steps.h"

#include <string.h>

/* ---- what integer steps share ---- */

vise_format vise_int_format(const vise_lowering *l, vise_id v)
{
    if (l->kept[v]) return VISE_FMT_F32;
    for (size_t i = l->from; i < l->to; i++) {
        const vise_node *n = &l->g->node[i];
        const bool product = !strcmp(n->op->name, "int_linear");
        for (uint32_t k = 0; k < n->nin; k++)
            if (n->in[k] == v && (k || !product || !vise_int_linear_fits(l, n) ||
                                  ((const vise_int_linear_attr *)n->attr)->exponents))
                return VISE_FMT_F32;
    }
    return VISE_FMT_S8;
}

void vise_int_store(vise_step *st, vise_id v, const vise_rows *r, size_t skip, size_t j,
                    vise_floats x)
{
    const vise_session *s = st->s;
    const size_t ld = vise_ld(st, v), all = vise_cols(st, v);
    char *to = (char *)vise_row(st, v, r) + skip * ld;
    if (s->slot[v].format == VISE_FMT_F32) {
        float *y = (float *)(void *)to + j;
        for (size_t i = 0; i < x.rows; i++)
            memcpy(y + i * (ld / sizeof *y), x.x + i * x.ld, x.n * sizeof *y);
        return;
    }
    const vise_gemm *g = &s->kern.gemm_s8;
    const size_t npad = j + x.n == all ? vise_row_bytes(g, all) - j : x.n;
    const vise_quant how = vise_actq_quant(&vise_int_codes, g->flip);
    s->kern.quant_s8((uint8_t *)to + j, ld, npad, vise_rowq_at(st, v, r) + skip, x.x, x.ld, x.rows,
                     x.n, &how);
}

/* ---- layernorm ---- */

enum { ROWS = 8 }; // normalised in scratch before they are codes

typedef struct norm {
    vise_int_layernorm p;
    int32_t *w, *b;
} norm;

static void norm_layout(vise_step *st, vise_arena *m)
{
    const size_t n = vise_cols(st, st->out);
    norm *own = st->own;
    own->w = vise_arena_take(m, n, sizeof *own->w);
    own->b = vise_arena_take(m, n, sizeof *own->b);
    st->scratch = ROWS * n * sizeof(float);
}

static vise_status norm_pack(vise_step *st, const vise_graph *g, vise_err *e)
{
    const vise_int_layernorm_attr *a = st->attr;
    const size_t n = vise_cols(st, st->out);
    norm *own = st->own;
    (void)g;
    (void)e; // nothing can fail
    vise_int_read(own->w, vise_fixed(st, 1), n, 1 - VISE_INT_SUM, VISE_INT_SUM - 1);
    vise_int_read(own->b, vise_fixed(st, 2), n, 1 - VISE_INT_SUM, VISE_INT_SUM - 1);
    own->p = (vise_int_layernorm){own->w,         own->b,        a->eps, (int32_t)a->shift,
                                  (int32_t)a->lo, (int32_t)a->hi};
    return VISE_OK;
}

static void norm_rows(vise_step *st, const vise_rows *r)
{
    const norm *own = st->own;
    const size_t n = vise_cols(st, st->out), ldx = vise_ld(st, st->in[0]) / sizeof(float);
    const float *x = vise_row(st, st->in[0], r);
    float *part = vise_scratch(st, r->thread);
    for (size_t i = 0, m; i < r->to - r->from; i += m) {
        m = r->to - r->from - i < ROWS ? r->to - r->from - i : ROWS;
        st->s->kern.fixed.layernorm(part, n, x + i * ldx, ldx, m, n, &own->p);
        vise_int_store(st, st->out, r, i, 0, (vise_floats){part, n, m, n});
    }
}

static const vise_step_kind norm_kind = {
    .name = "int layernorm", .layout = norm_layout, .pack = norm_pack, .rows = norm_rows};

vise_lower_fn vise_lower_int_layernorm;
bool vise_lower_int_layernorm(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    if (!vise_lower_is_const(l, n->in[1]) || !vise_lower_is_const(l, n->in[2]) ||
        l->s->slot[n->in[0]].format != VISE_FMT_F32)
        return false;
    vise_step *st = vise_lower_step(l, i, &norm_kind);
    if (!st) return true;
    st->own = vise_lower_keep(l, 1, sizeof(norm));
    l->s->slot[st->out].format = vise_int_format(l, st->out);
    return true;
}

/* ---- sums ---- */

static void add_rows(vise_step *st, const vise_rows *r)
{
    const vise_int_range_attr *a = st->attr;
    st->s->kern.fixed.add(vise_row(st, st->out, r), vise_ld(st, st->out) / sizeof(float),
                          vise_row(st, st->in[0], r), vise_ld(st, st->in[0]) / sizeof(float),
                          vise_row(st, st->in[1], r), vise_ld(st, st->in[1]) / sizeof(float),
                          r->to - r->from, vise_cols(st, st->out), (int32_t)a->lo, (int32_t)a->hi);
}

static const vise_step_kind add_kind = {.name = "int add", .rows = add_rows};

vise_lower_fn vise_lower_int_add;
bool vise_lower_int_add(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    for (uint32_t k = 0; k < 2; k++)
        if (!l->g->value[n->in[k]].batched || l->s->slot[n->in[k]].format != VISE_FMT_F32)
            return false;
    vise_lower_step(l, i, &add_kind);
    return true;
}
