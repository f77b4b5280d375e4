/* int_attention.c - attention in integers without a matrix of scores
 *
 * As attention.c: the first step packs K and V of every head, the second works by tiles of query rows
 * in a chain. Sums of probabilities and values are below 2^24, for at most MOST_S keys.
 *
 * SPDX-License-Identifier: MIT */
#include "exec/steps/int_steps.h"

#include <string.h>

/* Query rows of a tile; SPARE: rows beyond, which a kernel may read. */
enum { TILE = 32, SPARE = 16, MOST_S = VISE_INT_SUM / (VISE_INT_CODE * VISE_INT_CODE) };

typedef struct dims {
    size_t H, T, S, Dk, Dv;
} dims;

static dims dims_of(const vise_shape *q, const vise_shape *v, size_t heads)
{
    return (dims){heads, q->dim[0], v->dim[0], q->dim[1] / heads, v->dim[1] / heads};
}

/* K and V of one head, packed: as if they were weights [S, Dk] and [Dv, S]. */
typedef struct head {
    void *k, *v;
    int32_t *ksum, *vsum; // [S], [Dv] of their codes
    int32_t *add;         // [Dv] 127 vsum: codes of probabilities are p - 127
} head;

static void place(head *h, vise_arena *m, const vise_session *s, const dims *d)
{
    const vise_gemm *g = &s->kern.gemm_s8;
    h->k = vise_arena_take(m, vise_panels_bytes(g, d->S, d->Dk), 1);
    h->v = vise_arena_take(m, vise_panels_bytes(g, d->Dv, d->S), 1);
    h->ksum = vise_arena_take(m, d->S, sizeof *h->ksum);
    h->vsum = vise_arena_take(m, d->Dv, sizeof *h->vsum);
    h->add = vise_arena_take(m, d->Dv, sizeof *h->add);
}

static size_t head_bytes(const vise_session *s, const dims *d)
{
    vise_arena m = {0};
    head h;
    place(&h, &m, s, d);
    return (m.used + VISE_ALIGN - 1) / VISE_ALIGN * VISE_ALIGN;
}

/* Head i of all images and heads. */
static head head_at(vise_step *st, vise_id kv, const dims *d, size_t i)
{
    head h;
    vise_arena m = {0};
    m.base = (char *)vise_row_at(st, kv, 0) + i * head_bytes(st->s, d);
    place(&h, &m, st->s, d);
    return h;
}

/* ---- K and V ---- */

enum { IN_K, IN_V };

static dims kv_dims(const vise_step *st)
{
    const vise_int_attention_attr *a = st->attr;
    return dims_of(&st->s->slot[st->in[IN_K]].shape, &st->s->slot[st->in[IN_V]].shape,
                   (size_t)a->heads);
}

static void kv_layout(vise_step *st, vise_arena *m)
{
    const dims d = kv_dims(st);
    (void)m;
    st->scratch = d.S * ((d.Dk > d.Dv ? d.Dk : d.Dv) + sizeof(vise_rowq));
}

static void one_head(void *ctx, size_t task, size_t thread)
{
    vise_step *st = ctx;
    const vise_session *s = st->s;
    const dims d = kv_dims(st);
    const vise_gemm *g = &s->kern.gemm_s8;
    const size_t image = task / d.H, at = task % d.H;
    const size_t ldk = vise_ld(st, st->in[IN_K]) / sizeof(float);
    const size_t ldv = vise_ld(st, st->in[IN_V]) / sizeof(float);
    const float *k = vise_row_at(st, st->in[IN_K], image * d.S);
    const float *v = vise_row_at(st, st->in[IN_V], image * d.S);
    const head h = head_at(st, st->out, &d, task);
    const vise_quant how = vise_actq_quant(&vise_int_codes, 0);
    vise_rowq *rowq = vise_scratch(st, thread);
    uint8_t *codes = (uint8_t *)(rowq + d.S);
    s->kern.quant_s8(codes, d.Dk, d.Dk, rowq, k + at * d.Dk, ldk, d.S, d.Dk, &how);
    g->pack(h.k, h.ksum, codes, d.Dk, 1, d.S, d.Dk, 0);
    s->kern.quant_s8(codes, d.Dv, d.Dv, rowq, v + at * d.Dv, ldv, d.S, d.Dv, &how);
    g->pack(h.v, h.vsum, codes, 1, d.Dv, d.Dv, d.S, 0);
    for (size_t i = 0; i < d.Dv; i++)
        h.add[i] = h.vsum[i] * VISE_INT_CODE;
}

static void kv_run(vise_step *st, size_t batch)
{
    vise_pool_run(st->s->pool, batch * kv_dims(st).H, one_head, st);
}

static const vise_step_kind kv = {
    .name = "int attention kv", .layout = kv_layout, .run = kv_run, .strided = true};

/* ---- query rows ---- */

enum { IN_Q, IN_KV, IN_UNUSED, IN_TABLE, IN_STEP, IN_BIAS, IN_MULT };

typedef struct own {
    vise_requant post;
    int32_t *room, *table, *step; // [3, H Dv], [n], [H]
    float *ones;                  // [max(S, Dv)] the scales of K and V
    size_t n;
    dims d;
} own;

/* One tile's memory. */
typedef struct tile {
    float *scores, *y; // [TILE, lds], [TILE, Dv]
    uint8_t *q, *p;    // codes
    vise_rowq *rowq;   // [TILE]
    int32_t *sum;      // [TILE]
    size_t lds, ldq, ldp;
} tile;

static void place_tile(tile *t, vise_arena *m, const vise_session *s, const dims *d)
{
    t->lds = vise_operand_ld(s, VISE_FMT_F32, d->S) / sizeof(float);
    t->ldq = vise_operand_ld(s, VISE_FMT_S8, d->Dk);
    t->ldp = vise_operand_ld(s, VISE_FMT_S8, d->S);
    t->scores = vise_arena_take(m, TILE * t->lds, sizeof(float));
    t->y = vise_arena_take(m, TILE * d->Dv, sizeof(float));
    t->q = vise_arena_take(m, TILE + SPARE, t->ldq);
    t->p = vise_arena_take(m, TILE + SPARE, t->ldp);
    t->rowq = vise_arena_take(m, TILE, sizeof *t->rowq);
    t->sum = vise_arena_take(m, TILE, sizeof *t->sum);
}

static void layout(vise_step *st, vise_arena *m)
{
    own *o = st->own;
    const size_t all = o->d.H * o->d.Dv, wide = o->d.S > o->d.Dv ? o->d.S : o->d.Dv;
    o->room = vise_arena_take(m, 3 * all, sizeof *o->room);
    o->table = vise_arena_take(m, o->n, sizeof *o->table);
    o->step = vise_arena_take(m, o->d.H, sizeof *o->step);
    o->ones = vise_arena_take(m, wide, sizeof *o->ones);
    vise_arena measure = {0};
    tile t;
    place_tile(&t, &measure, st->s, &o->d);
    st->scratch = measure.used + VISE_ALIGN;
}

static vise_status pack(vise_step *st, const vise_graph *g, vise_err *e)
{
    own *o = st->own;
    const vise_int_attention_attr *a = st->attr;
    const size_t all = o->d.H * o->d.Dv, wide = o->d.S > o->d.Dv ? o->d.S : o->d.Dv;
    (void)g;
    (void)e; // nothing can fail
    o->post = vise_requant_read(o->room, vise_fixed(st, IN_BIAS), vise_fixed(st, IN_MULT), all,
                                a->lo, a->hi);
    vise_int_read(o->table, vise_fixed(st, IN_TABLE), o->n, 0, VISE_INT_PROB);
    vise_int_read(o->step, vise_fixed(st, IN_STEP), o->d.H, 1, VISE_INT_STEP_MOST);
    for (size_t i = 0; i < wide; i++)
        o->ones[i] = 1;
    return VISE_OK;
}

/* t->y [m, Dv] from rows of q, for head i. */
static void attend(vise_step *st, const tile *t, const head *h, size_t i, vise_floats q)
{
    const own *o = st->own;
    const vise_session *s = st->s;
    const vise_fixed_kern *k = &s->kern.fixed;
    const vise_gemm *g = &s->kern.gemm_s8;
    const dims *d = &o->d;
    vise_convert(s, &vise_int_codes, (vise_operand){t->q, t->ldq, t->rowq}, q);
    const vise_gemm_args scores = {.c = t->scores,
                                   .ldc = t->lds,
                                   .a = t->q,
                                   .lda = t->ldq,
                                   .rowq = t->rowq,
                                   .w = h->k,
                                   .wscale = o->ones,
                                   .wsum = h->ksum,
                                   .m = q.rows,
                                   .n = d->S,
                                   .k = d->Dk};
    g->run(&scores);
    const vise_int_softmax soft = {o->table, o->n, o->step[i]};
    k->softmax(t->p, t->ldp, vise_row_bytes(g, d->S), t->sum, t->scores, t->lds, q.rows, d->S,
               &soft, g->flip);
    const vise_gemm_args mean = {.c = t->y,
                                 .ldc = d->Dv,
                                 .a = t->p,
                                 .lda = t->ldp,
                                 .rowq = t->rowq,
                                 .w = h->v,
                                 .wscale = o->ones,
                                 .wsum = h->vsum,
                                 .m = q.rows,
                                 .n = d->Dv,
                                 .k = d->S};
    g->run(&mean);
    for (size_t r = 0; r < q.rows; r++)
        t->sum[r] = vise_int_ratio(t->sum[r]);
    k->ratio(t->y, d->Dv, t->y, d->Dv, q.rows, d->Dv, h->add, t->sum);
    const size_t at = i * d->Dv;
    const vise_requant post = {o->post.bias + at, o->post.mult + at, o->post.shift + at, o->post.lo,
                               o->post.hi};
    k->requant(t->y, d->Dv, t->y, d->Dv, q.rows, d->Dv, &post);
}

static void rows(vise_step *st, const vise_rows *r)
{
    const own *o = st->own;
    const dims *d = &o->d;
    const size_t ldq = vise_ld(st, st->in[IN_Q]) / sizeof(float);
    const float *q = vise_row(st, st->in[IN_Q], r);
    vise_arena room = {.base = vise_scratch(st, r->thread)};
    tile t;
    place_tile(&t, &room, st->s, d);
    for (size_t at = r->from, end; at < r->to; at = end) { // rows of one image
        const size_t image = at / d->T;
        end = (image + 1) * d->T < r->to ? (image + 1) * d->T : r->to;
        for (size_t i = 0; i < d->H; i++) {
            const head h = head_at(st, st->in[IN_KV], d, image * d->H + i);
            for (size_t j = at; j < end; j += TILE) {
                const size_t m = end - j < TILE ? end - j : TILE, skip = j - r->from;
                attend(st, &t, &h, i, (vise_floats){q + skip * ldq + i * d->Dk, ldq, m, d->Dk});
                vise_int_store(st, st->out, r, skip, i * d->Dv,
                               (vise_floats){t.y, d->Dv, m, d->Dv});
            }
        }
    }
}

static const vise_step_kind kind = {
    .name = "int attention", .layout = layout, .pack = pack, .rows = rows, .whole = 1u << IN_KV};

static bool fits(const vise_lowering *l, const vise_node *n)
{
    for (uint32_t i = 0; i < n->nin; i++) {
        const vise_slot *x = &l->s->slot[n->in[i]];
        if (i < IN_TABLE && (!x->batched || x->format != VISE_FMT_F32)) return false;
        if (i >= IN_TABLE && !vise_lower_is_const(l, n->in[i])) return false;
    }
    return l->g->value[n->in[2]].shape.dim[0] <= MOST_S;
}

vise_lower_fn vise_lower_int_attention;
bool vise_lower_int_attention(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    if (!fits(l, n)) return false;
    vise_step *first = vise_lower_step(l, i, &kv), *st = vise_lower_step(l, i, &kind);
    own *o = vise_lower_keep(l, 1, sizeof *o);
    if (!st || !o) return true;
    o->d = dims_of(&l->g->value[n->in[0]].shape, &l->g->value[n->in[2]].shape,
                   (size_t)((const vise_int_attention_attr *)n->attr)->heads);
    o->n = l->g->value[n->in[IN_TABLE]].shape.dim[0];
    st->own = o;
    const vise_id mine = vise_lower_own(l, n->in[2], VISE_FMT_RAW);
    l->s->slot[mine].rows = 1;
    l->s->slot[mine].ld = o->d.H * head_bytes(l->s, &o->d);
    first->in[IN_K] = n->in[1];
    first->in[IN_V] = n->in[2];
    first->nin = 2;
    first->out = mine;
    st->in[IN_KV] = mine;
    st->in[IN_UNUSED] = VISE_NONE;
    // a head's columns of codes are written one after the other, four at least
    if (o->d.Dv % 4 == 0) l->s->slot[st->out].format = vise_int_format(l, st->out);
    return true;
}
