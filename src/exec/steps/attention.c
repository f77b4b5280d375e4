/* attention.c - softmax attention without a matrix of scores
 *
 * Two steps. The first packs K and V of every head, once for all query rows. The second works by
 * query rows, so that it runs in one chain with the projection and what follows: for each head a
 * tile of rows times K gives a tile of scores, which become probabilities and are multiplied with
 * V. Only a tile of whole score rows exists at any time, so nothing depends on the tile size.
 *
 * Codes: q and k have one scale per token and head, v one per head (or what the model fixed),
 * probabilities are codes of kern.h's softmax_s8.
 *
 * SPDX-License-Identifier: MIT */
#include "exec/lower.h"
#include "graph/ops.h"

#include <math.h>
#include <string.h>

/* Query rows of a tile: two tiles of the f32 kernel, whose scores stay in the L1 cache; two of a
 * kernel of tiles of 16; codes take more, for kernels that prepare a call. SPARE: rows beyond, which
 * a kernel may read. */
enum { ROWS_F32 = 28, ROWS_TILES = 32, ROWS_S8 = 50, TILE = ROWS_S8, SPARE = 16 };

typedef struct dims {
    size_t lead, H, T, S, Dk, Dv;
} dims;

static dims dims_of(const vise_shape *q, const vise_shape *v, const void *attr)
{
    const vise_attention_attr *a = attr;
    dims d = {.lead = 1, .H = (size_t)a->heads};
    for (uint32_t i = 0; i + 2 < q->rank; i++)
        d.lead *= q->dim[i];
    d.T = q->dim[q->rank - 2];
    d.S = v->dim[v->rank - 2];
    d.Dk = q->dim[q->rank - 1] / d.H;
    d.Dv = v->dim[v->rank - 1] / d.H;
    return d;
}

/* K and V of one head, packed: as if they were weights [S, Dk] and [Dv, S]. */
typedef struct head {
    void *k, *v;
    float *kscale, *vscale; // [S], [Dv]; S8
    int32_t *ksum, *vsum;
    size_t S, Dv;
} head;

static void place(head *h, vise_arena *m, const vise_session *s, vise_format f, const dims *d)
{
    const vise_gemm *g = vise_gemm_for(s, f);
    h->S = d->S;
    h->Dv = d->Dv;
    h->k = vise_arena_take(m, vise_panels_bytes(g, d->S, d->Dk), 1);
    h->v = vise_arena_take(m, vise_panels_bytes(g, d->Dv, d->S), 1);
    if (f != VISE_FMT_S8) return;
    h->kscale = vise_arena_take(m, d->S, sizeof *h->kscale);
    h->vscale = vise_arena_take(m, d->Dv, sizeof *h->vscale);
    h->ksum = vise_arena_take(m, d->S, sizeof *h->ksum);
    h->vsum = vise_arena_take(m, d->Dv, sizeof *h->vsum);
}

static size_t head_bytes(const vise_session *s, vise_format f, const dims *d)
{
    vise_arena m = {0};
    head h;
    place(&h, &m, s, f, d);
    return (m.used + VISE_ALIGN - 1) / VISE_ALIGN * VISE_ALIGN;
}

/* Head i of all images, leading indices and heads. */
static head head_at(vise_step *st, vise_id kv, const dims *d, size_t i)
{
    head h;
    vise_arena m = {0};
    m.base = (char *)vise_row_at(st, kv, 0) + i * head_bytes(st->s, st->w.format, d);
    place(&h, &m, st->s, st->w.format, d);
    return h;
}

/* ---- K and V ---- */

typedef struct kv_job {
    vise_step *st;
    dims d;
} kv_job;

enum { IN_K, IN_V };

static void pack_k(kv_job *j, const head *h, const float *k, size_t ld, void *scratch)
{
    const vise_session *s = j->st->s;
    const size_t S = j->d.S, n = j->d.Dk;
    const vise_gemm *g = vise_gemm_for(s, j->st->w.format);
    if (j->st->w.format == VISE_FMT_F32) {
        g->pack(h->k, NULL, k, ld, 1, S, n, 0);
    } else if (j->st->w.format == VISE_FMT_BF16) {
        s->kern.to_bf16(scratch, n * 2, n, k, ld, S, n);
        g->pack(h->k, NULL, scratch, n, 1, S, n, 0);
    } else {
        const vise_quant how = vise_actq_quant(&j->st->actq, 0);
        vise_rowq *q = scratch;
        uint8_t *codes = (uint8_t *)(q + S);
        s->kern.quant_s8(codes, n, n, q, k, ld, S, n, &how);
        vise_actq_snap(&j->st->actq, codes, n, S, n, 0);
        g->pack(h->k, h->ksum, codes, n, 1, S, n, 0);
        for (size_t i = 0; i < S; i++)
            h->kscale[i] = q[i].scale;
    }
}

static void pack_v(kv_job *j, const head *h, const float *v, size_t ld, void *scratch)
{
    const vise_session *s = j->st->s;
    const size_t S = j->d.S, n = j->d.Dv;
    const vise_gemm *g = vise_gemm_for(s, j->st->w.format);
    if (j->st->w.format == VISE_FMT_F32) {
        g->pack(h->v, NULL, v, 1, ld, n, S, 0);
    } else if (j->st->w.format == VISE_FMT_BF16) {
        s->kern.to_bf16(scratch, n * 2, n, v, ld, S, n);
        g->pack(h->v, NULL, scratch, 1, n, n, S, 0);
    } else {
        const vise_quant how = vise_actq_whole(&j->st->actq_v, s->kern.absmax(v, ld, S, n));
        vise_rowq *q = scratch;
        uint8_t *codes = (uint8_t *)(q + S);
        if (how.fixed.scale > 0) {
            s->kern.quant_s8(codes, n, n, q, v, ld, S, n, &how);
            vise_actq_snap(&j->st->actq_v, codes, n, S, n, 0);
        } else {
            memset(codes, 0, S * n); // all zero, or not finite: the scale says which
        }
        g->pack(h->v, h->vsum, codes, 1, n, n, S, 0);
        for (size_t i = 0; i < n; i++)
            h->vscale[i] = how.fixed.scale;
    }
}

static void one_head(void *ctx, size_t task, size_t thread)
{
    kv_job *j = ctx;
    vise_step *st = j->st;
    const dims *d = &j->d;
    const size_t image = task / d->H, at = task % d->H; // image: and leading index
    const size_t ldk = vise_ld(st, st->in[IN_K]) / sizeof(float);
    const size_t ldv = vise_ld(st, st->in[IN_V]) / sizeof(float);
    const float *k = vise_row_at(st, st->in[IN_K], image * d->S);
    const float *v = vise_row_at(st, st->in[IN_V], image * d->S);
    const head h = head_at(st, st->out, d, task);
    pack_k(j, &h, k + at * d->Dk, ldk, vise_scratch(st, thread));
    pack_v(j, &h, v + at * d->Dv, ldv, vise_scratch(st, thread));
}

static void kv_layout(vise_step *st, vise_arena *m)
{
    const vise_shape *k = &st->s->slot[st->in[IN_K]].shape;
    const dims d = dims_of(k, &st->s->slot[st->in[IN_V]].shape, st->attr);
    const size_t wide = d.Dk > d.Dv ? d.Dk : d.Dv;
    (void)m;
    if (st->w.format == VISE_FMT_BF16) st->scratch = d.S * wide * 2;
    if (st->w.format == VISE_FMT_S8) st->scratch = d.S * (wide + sizeof(vise_rowq));
}

static void kv_run(vise_step *st, size_t batch)
{
    const vise_shape *k = &st->s->slot[st->in[IN_K]].shape;
    kv_job j = {st, dims_of(k, &st->s->slot[st->in[IN_V]].shape, st->attr)};
    vise_pool_run(st->s->pool, batch * j.d.lead * j.d.H, one_head, &j);
}

static const vise_step_kind kv = {
    .name = "attention kv", .layout = kv_layout, .run = kv_run, .strided = true};

/* ---- query rows ---- */

enum { IN_Q, IN_KV };

/* One tile's memory. */
typedef struct tile {
    float *scores; // [TILE, lds]
    void *q, *p;   // operands in the GEMM's format
    vise_rowq *qq, *pq;
    size_t lds, ldq, ldp; // floats, bytes, bytes
} tile;

static void place_tile(tile *t, vise_arena *m, const vise_session *s, vise_format f, const dims *d)
{
    t->lds = vise_operand_ld(s, VISE_FMT_F32, d->S) / sizeof(float);
    t->scores = vise_arena_take(m, (TILE + SPARE) * t->lds, sizeof(float));
    t->ldq = vise_operand_ld(s, f, d->Dk);
    t->ldp = vise_operand_ld(s, f, d->S);
    t->q = t->p = t->qq = t->pq = NULL;
    if (f == VISE_FMT_F32) return;
    t->q = vise_arena_take(m, TILE + SPARE, t->ldq);
    t->p = vise_arena_take(m, TILE + SPARE, t->ldp);
    t->qq = vise_arena_take(m, TILE, sizeof *t->qq);
    t->pq = vise_arena_take(m, TILE, sizeof *t->pq);
}

static void layout(vise_step *st, vise_arena *m)
{
    const vise_session *s = st->s;
    const dims d = dims_of(&s->slot[st->in[IN_Q]].shape, &s->slot[st->in[IN_KV]].shape, st->attr);
    vise_arena measure = {0};
    tile t;
    (void)m;
    place_tile(&t, &measure, s, st->w.format, &d);
    st->scratch = measure.used + VISE_ALIGN;
}

/* Rows of probabilities [m, n] as other codes, and their new sums. The scale of a NaN stays. */
static void replace(const tile *t, const uint8_t *by, size_t m, size_t n, uint8_t flip)
{
    uint8_t *p = t->p;
    for (size_t r = 0; r < m; r++, p += t->ldp) {
        int32_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            p[i] = by[p[i]];
            sum += (int8_t)(p[i] ^ flip) + 127;
        }
        if (t->pq[r].scale > 0) t->pq[r].scale = 1 / (float)sum;
    }
}

/* y [m, Dv] = softmax(scale q k^T) v for one head. */
static void attend(vise_step *st, const tile *t, const head *h, vise_floats q, float *y, size_t ldy)
{
    const size_t m = q.rows;
    const vise_session *s = st->s;
    const vise_kern *k = &s->kern;
    const vise_format f = st->w.format;
    const vise_gemm *g = vise_gemm_for(s, f);
    const float scale = *st->epi.param;
    vise_gemm_args a = {.c = t->scores,
                        .ldc = t->lds,
                        .a = q.x,
                        .lda = q.ld * sizeof(float),
                        .w = h->k,
                        .wscale = h->kscale,
                        .wsum = h->ksum,
                        .m = m,
                        .n = h->S,
                        .k = q.n};
    if (f != VISE_FMT_F32) {
        vise_convert(s, &st->actq, (vise_operand){t->q, t->ldq, t->qq}, q);
        a.a = t->q;
        a.lda = t->ldq;
        a.rowq = t->qq;
        a.zeros = st->actq.kind != VISE_ACTQ_SYM;
    }
    g->run(&a);
    vise_gemm_args b = {.c = y,
                        .ldc = ldy,
                        .a = t->scores,
                        .lda = t->lds * sizeof(float),
                        .w = h->v,
                        .wscale = h->vscale,
                        .wsum = h->vsum,
                        .m = m,
                        .n = h->Dv,
                        .k = h->S};
    if (f == VISE_FMT_S8) {
        k->softmax_s8(t->p, t->ldp, vise_row_bytes(g, h->S), t->pq, t->scores, t->lds, m, h->S,
                      scale, g->flip);
        if (st->replaced) replace(t, st->replaced, m, h->S, g->flip);
        b.rowq = t->pq;
        b.zeros = true;
    } else {
        k->softmax(t->scores, t->lds, m, h->S, scale);
        if (f == VISE_FMT_BF16)
            k->to_bf16(t->p, t->ldp, vise_row_bytes(g, h->S) / 2, t->scores, t->lds, m, h->S);
    }
    if (f != VISE_FMT_F32) {
        b.a = t->p;
        b.lda = t->ldp;
    }
    g->run(&b);
}

/* Rows of a tile: whole tiles of the kernel, or all of about one size. */
static size_t tile_rows(const vise_session *s, vise_format f, size_t rows)
{
    if (vise_gemm_for(s, f)->mr > 1) return ROWS_TILES;
    const size_t most = f == VISE_FMT_S8 ? ROWS_S8 : ROWS_F32, tiles = (rows + most - 1) / most;
    return (rows + tiles - 1) / tiles;
}

static void rows(vise_step *st, const vise_rows *r)
{
    const vise_session *s = st->s;
    const dims d = dims_of(&s->slot[st->in[IN_Q]].shape, &s->slot[st->in[IN_KV]].shape, st->attr);
    const size_t ldq = vise_ld(st, st->in[IN_Q]) / sizeof(float);
    const size_t ldy = vise_ld(st, st->out) / sizeof(float);
    vise_arena room = {.base = vise_scratch(st, r->thread)};
    tile t;
    place_tile(&t, &room, s, st->w.format, &d);
    for (size_t at = r->from, end; at < r->to; at = end) { // rows of one image and leading index
        const size_t image = at / d.T;
        end = (image + 1) * d.T < r->to ? (image + 1) * d.T : r->to;
        const vise_rows here = {at, end, r->block, r->thread};
        const float *q = vise_row(st, st->in[IN_Q], &here);
        float *y = vise_row(st, st->out, &here);
        const size_t step = tile_rows(s, st->w.format, end - at);
        for (size_t i = 0; i < d.H; i++) {
            const head h = head_at(st, st->in[IN_KV], &d, image * d.H + i);
            for (size_t j = 0; j < end - at; j += step) {
                const size_t m = end - at - j < step ? end - at - j : step;
                const vise_floats part = {q + j * ldq + i * d.Dk, ldq, m, d.Dk};
                attend(st, &t, &h, part, y + j * ldy + i * d.Dv, ldy);
            }
        }
    }
}

static const vise_step_kind kind = {
    .name = "attention", .layout = layout, .rows = rows, .whole = 1u << IN_KV};

/* K and V are not shifted: their zero points are 0. Bias and token sizes: by the definition. */
static bool fits(const vise_lowering *l, const vise_node *n)
{
    for (uint32_t i = 3; i < n->nin; i++)
        if (n->in[i] != VISE_NONE) return false;
    for (uint32_t i = 0; i < 3; i++) {
        const vise_actq *q = &n->actq[i];
        if (!l->g->value[n->in[i]].batched || l->s->slot[n->in[i]].format != VISE_FMT_F32)
            return false;
        if (vise_format_of(q) != vise_format_of(&n->actq[0]) || q->kind == VISE_ACTQ_ASYM)
            return false;
        if (i > 0 && q->zero) return false;
    }
    return true;
}

/* Where probabilities are codes: by what they are replaced. */
static const uint8_t *replacements(vise_lowering *l, const vise_attention_attr *a, vise_format f)
{
    int8_t level[256];
    const size_t n = f == VISE_FMT_S8 ? vise_attention_levels(a, level) : 0;
    uint8_t *table = n ? vise_lower_keep(l, 256, 1) : NULL;
    if (table) vise_level_table(table, level, n, vise_gemm_for(l->s, f)->flip);
    return table;
}

vise_lower_fn vise_lower_attention;
bool vise_lower_attention(vise_lowering *l, size_t i)
{
    const vise_node *n = &l->g->node[i];
    const vise_attention_attr *a = n->attr;
    if (!fits(l, n)) return false;
    const dims d = dims_of(&l->g->value[n->in[0]].shape, &l->g->value[n->in[2]].shape, n->attr);
    const vise_format f = vise_format_of(&n->actq[0]);
    float *scale = vise_lower_keep(l, 1, sizeof *scale);
    const uint8_t *replaced = replacements(l, a, f);
    vise_step *pack = vise_lower_step(l, i, &kv), *st = vise_lower_step(l, i, &kind);
    if (!st) return true;
    *scale = a->scale > 0 ? (float)a->scale : 1 / sqrtf((float)d.Dk);
    const vise_id own = vise_lower_own(l, n->in[2], VISE_FMT_RAW);
    l->s->slot[own].rows = 1;
    l->s->slot[own].ld = d.lead * d.H * head_bytes(l->s, f, &d);
    pack->in[IN_K] = n->in[1];
    pack->in[IN_V] = n->in[2];
    pack->nin = 2;
    pack->out = own;
    pack->w.format = st->w.format = f;
    pack->actq = n->actq[1];
    pack->actq_in = 1;
    pack->actq_v = n->actq[2];
    st->in[IN_KV] = own;
    st->nin = 2;
    st->actq = n->actq[0];
    st->epi.param = scale;
    st->replaced = replaced;
    return true;
}
