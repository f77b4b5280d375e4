/* int_linear.c - a linear of integers: exact sums tile by tile, then the change of scale, the table of
 * an activation or the residual sum that follows, and codes for the next product
 * SPDX-License-Identifier: MIT */
#include "exec/steps/int_steps.h"

#include <stdlib.h>
#include <string.h>

/* A tile of sums stays in the L1 cache. COLS: whole panels, and whole padding, of every level. */
enum { ROWS = 64, COLS = 64 };

enum { IN_X, IN_W, IN_BIAS, IN_MULT, IN_TABLE, IN_BIAS2, IN_MULT2 };

typedef struct own {
    vise_requant q, q2;    // q2: behind the table
    vise_int_table table;  // .count 0: no table
    int32_t *room, *room2; // [3, n] constants of q and q2; room2 NULL: no q2
    int32_t lo, hi;        // of q2, or of the sum that follows
    bool scale;            // there is a q2
} own;

static void layout(vise_step *st, vise_arena *m)
{
    own *o = st->own;
    vise_weights_layout(&st->w, st->s, m);
    o->room = vise_arena_take(m, 3 * st->w.n, sizeof *o->room);
    if (o->scale) o->room2 = vise_arena_take(m, 3 * st->w.n, sizeof *o->room2);
    st->scratch = ROWS * COLS * sizeof(float);
}

static vise_status pack(vise_step *st, const vise_graph *g, vise_err *e)
{
    const vise_int_linear_attr *a = st->attr;
    own *o = st->own;
    o->q = vise_requant_read(o->room, vise_fixed(st, IN_BIAS), vise_fixed(st, IN_MULT), st->w.n,
                             a->lo, a->hi);
    if (o->table.count) o->table.value = vise_fixed(st, IN_TABLE);
    if (o->scale)
        o->q2 = vise_requant_read(o->room2, vise_fixed(st, IN_BIAS2), vise_fixed(st, IN_MULT2),
                                  st->w.n, o->lo, o->hi);
    return vise_weights_pack(&st->w, st->s, g, NULL, e);
}

static vise_requant columns(const vise_requant *q, size_t j)
{
    if (!q->bias) return *q;
    return (vise_requant){q->bias + j, q->mult + j, q->shift + j, q->lo, q->hi};
}

/* Columns [j, j + n) of rows [i, i + m) of r. */
static void one_tile(vise_step *st, const vise_rows *r, size_t i, size_t m, size_t j, size_t n)
{
    const own *o = st->own;
    const vise_session *s = st->s;
    const vise_fixed_kern *k = &s->kern.fixed;
    const vise_gemm *gemm = &s->kern.gemm_s8;
    const size_t lda = vise_ld(st, st->in[IN_X]);
    float *tile = vise_scratch(st, r->thread);
    vise_gemm_args g = vise_weights_args(&st->w, &st->epi);
    g.a = (const char *)vise_row(st, st->in[IN_X], r) + i * lda;
    g.lda = lda;
    g.rowq = vise_rowq_at(st, st->in[IN_X], r) + i;
    g.w = (const char *)g.w + vise_panels_bytes(gemm, j, g.k);
    g.wscale += j;
    g.wsum += j;
    g.c = tile;
    g.ldc = COLS;
    g.m = m;
    g.n = n;
    gemm->run(&g);
    const vise_requant q = columns(&o->q, j), q2 = columns(&o->q2, j);
    k->requant(tile, COLS, tile, COLS, m, n, &q);
    if (o->table.count) k->lut(tile, COLS, tile, COLS, m, n, &o->table);
    if (o->scale) k->requant(tile, COLS, tile, COLS, m, n, &q2);
    if (st->epi.add == VISE_NONE) {
        vise_int_store(st, st->out, r, i, j, (vise_floats){tile, COLS, m, n});
        return;
    }
    const size_t ldx = vise_ld(st, st->epi.add) / sizeof(float);
    const size_t ldy = vise_ld(st, st->out) / sizeof(float);
    k->add((float *)vise_row(st, st->out, r) + i * ldy + j, ldy, tile, COLS,
           (const float *)vise_row(st, st->epi.add, r) + i * ldx + j, ldx, m, n, o->lo, o->hi);
}

static void rows(vise_step *st, const vise_rows *r)
{
    const size_t m = r->to - r->from, n = st->w.n;
    for (size_t j = 0; j < n; j += COLS)
        for (size_t i = 0; i < m; i += ROWS)
            one_tile(st, r, i, m - i < ROWS ? m - i : ROWS, j, n - j < COLS ? n - j : COLS);
}

static const vise_step_kind kind = {
    .name = "int gemm", .layout = layout, .pack = pack, .rows = rows};

/* ---- codes with an exponent per row ---- */

static void codes_rows(vise_step *st, const vise_rows *r)
{
    const vise_session *s = st->s;
    const vise_gemm *g = &s->kern.gemm_s8;
    const int exponents = (int)((const vise_int_linear_attr *)st->attr)->exponents;
    const size_t n = vise_cols(st, st->out), ld = vise_ld(st, st->out), npad = vise_row_bytes(g, n);
    const float *x = vise_row(st, st->in[IN_X], r);
    uint8_t *to = vise_row(st, st->out, r);
    vise_rowq *q = vise_rowq_at(st, st->out, r);
    vise_quant how = vise_actq_quant(&vise_int_codes, g->flip);
    for (size_t i = r->from; i < r->to; i++, to += ld, q++) {
        how.fixed.scale = (float)(1 << vise_int_exponent(x, n, exponents));
        s->kern.quant_s8(to, ld, npad, q, x, n, 1, n, &how);
        x += vise_ld(st, st->in[IN_X]) / sizeof *x;
    }
}

static const vise_step_kind codes_kind = {.name = "int codes", .rows = codes_rows};

/* The operand of node i as codes; VISE_NONE after a failure. */
static vise_id as_codes(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    if (!((const vise_int_linear_attr *)n->attr)->exponents)
        return vise_lower_as(l, i, n->in[IN_X], &vise_int_codes);
    const vise_id codes = vise_lower_own(l, n->in[IN_X], VISE_FMT_S8);
    vise_step *st = vise_lower_step(l, i, &codes_kind);
    if (!st) return VISE_NONE;
    st->nin = 1;
    st->out = codes;
    return codes;
}

/* ---- what may follow ---- */

static bool is(const vise_lowering *l, size_t i, const char *op)
{
    return i != SIZE_MAX && !strcmp(l->g->node[i].op->name, op);
}

static void take_table(vise_lowering *l, vise_step *st)
{
    const size_t i = vise_lower_only_user(l, st->out);
    own *o = st->own;
    if (!is(l, i, "int_lut") || !vise_lower_is_const(l, l->g->node[i].in[1])) return;
    const vise_node *n = &l->g->node[i];
    const vise_int_lut_attr *a = n->attr;
    st->in[IN_TABLE] = n->in[1];
    st->nin = IN_TABLE + 1;
    o->table = (vise_int_table){.count = l->g->value[n->in[1]].shape.dim[0],
                                .first = (int32_t)a->first,
                                .gain = (int32_t)a->gain};
    vise_lower_absorb(l, st, i);
}

static void take_range(own *o, const vise_node *n)
{
    o->lo = (int32_t)((const vise_int_range_attr *)n->attr)->lo;
    o->hi = (int32_t)((const vise_int_range_attr *)n->attr)->hi;
}

/* Behind a table, another scale. */
static void take_scale(vise_lowering *l, vise_step *st)
{
    const size_t i = vise_lower_only_user(l, st->out);
    if (!is(l, i, "int_scale")) return;
    const vise_node *n = &l->g->node[i];
    if (!vise_lower_is_const(l, n->in[1]) || !vise_lower_is_const(l, n->in[2])) return;
    own *o = st->own;
    st->in[IN_BIAS2] = n->in[1];
    st->in[IN_MULT2] = n->in[2];
    st->nin = IN_MULT2 + 1;
    o->scale = true;
    take_range(o, n);
    vise_lower_absorb(l, st, i);
}

/* A sum with a value that is there already. */
static void take_add(vise_lowering *l, vise_step *st)
{
    const size_t i = vise_lower_only_user(l, st->out);
    own *o = st->own;
    if (!is(l, i, "int_add")) return;
    const vise_node *n = &l->g->node[i];
    const vise_id with = n->in[n->in[0] == st->out];
    if (with == st->out || l->s->slot[with].kind != VISE_SLOT_SHARED ||
        l->s->slot[with].format != VISE_FMT_F32)
        return;
    take_range(o, n);
    st->epi.add = with;
    vise_lower_absorb(l, st, i);
}

/* Are all sums of codes with this weight below 2^24, and its scales 1? */
static bool fits(const vise_const *w)
{
    enum { ALWAYS = VISE_INT_SUM / (VISE_INT_CODE * VISE_INT_CODE) };
    const size_t n = w->shape.dim[0], k = w->shape.dim[1];
    if (!vise_weights_exact(w, VISE_FMT_S8)) return false;
    for (size_t j = 0; j < n; j++) {
        int64_t sum = 0;
        if (w->scale[j] < 1 || w->scale[j] > 1) return false;
        if (k <= ALWAYS) continue;
        if (w->enc.bits != 8) return false;
        for (size_t p = 0; p < k; p++)
            sum += abs(((const uint8_t *)w->data)[j * k + p] - w->enc.zero);
        if (sum * VISE_INT_CODE > VISE_INT_SUM) return false;
    }
    return true;
}

bool vise_int_linear_fits(const vise_lowering *l, const vise_node *n)
{
    for (uint32_t k = IN_W; k <= IN_MULT; k++)
        if (!vise_lower_is_const(l, n->in[k])) return false;
    return fits(&l->g->value[n->in[IN_W]].data);
}

vise_lower_fn vise_lower_int_linear;
bool vise_lower_int_linear(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    if (!vise_int_linear_fits(l, n)) return false;
    const vise_id x = as_codes(l, i);
    vise_step *st = vise_lower_step(l, i, &kind);
    if (!st) return true;
    const vise_shape *w = &l->g->value[n->in[IN_W]].shape;
    st->own = vise_lower_keep(l, 1, sizeof(own));
    if (!st->own) return true;
    st->in[IN_X] = x;
    st->in[IN_W] = VISE_NONE;
    st->w.n = w->dim[0];
    st->w.k = w->dim[1];
    st->w.format = VISE_FMT_S8;
    st->w.from = n->in[IN_W];
    take_table(l, st);
    if (st->nin > IN_TABLE)
        take_scale(l, st);
    else
        take_add(l, st);
    l->s->slot[st->out].format =
        st->epi.add == VISE_NONE ? vise_int_format(l, st->out) : VISE_FMT_F32;
    st->weight_bytes = vise_weights_bytes(&st->w, l->s);
    return true;
}
