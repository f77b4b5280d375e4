/* chain.c - steps that work row by row run together, a block of rows at a time
 * SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "exec/session.h"

enum {
    MAX_STEPS = 64,   // of one chain
    CACHED = 1 << 20, // bytes of weights that stay in the L2 cache from block to block
    FEW = 32,         // most rows of a block beside such weights: whole tiles of every kernel
    CODED = 112,      // the same where weights are codes, which every block expands
    MANY = 224,       // and beside weights that every block reads from further away
};

static vise_slot *root_of(vise_session *s, vise_id v)
{
    return &s->slot[s->slot[v].root];
}

/* ---- which steps ---- */

static bool made_by(const vise_session *s, const vise_chain *c, vise_id v)
{
    for (size_t i = c->first; i < c->end; i++)
        if (s->slot[s->step[i].out].root == s->slot[v].root) return true;
    return false;
}

static bool joins(const vise_session *s, const vise_chain *c, const vise_step *st)
{
    const vise_slot *out = &s->slot[st->out];
    if (!st->kind->rows || !c->rows || c->end - c->first >= MAX_STEPS) return false;
    if (out->rows != c->rows) return false;
    for (uint32_t k = 0; k < st->nin; k++)
        if (st->in[k] != VISE_NONE && (st->kind->whole >> k & 1) && made_by(s, c, st->in[k]))
            return false;
    return true;
}

static void collect(vise_session *s)
{
    vise_chain *c = NULL;
    for (size_t i = 0; i < s->steps; i++) {
        const vise_step *st = &s->step[i];
        const vise_slot *out = &s->slot[st->out];
        if (!c || !joins(s, c, st)) {
            c = &s->chain[s->chains++];
            *c = (vise_chain){.first = i, .rows = st->kind->rows ? out->rows : 0};
        }
        c->end = i + 1;
    }
}

/* ---- slots: who touches them, when, and how their rows lie ---- */

static void touch(vise_session *s, vise_id v, size_t step, size_t chain)
{
    vise_slot *r = root_of(s, v);
    if (step < r->first) {
        r->first = step;
        r->chain = chain;
    }
    if (step > r->last) r->last = step;
    if (r->chain != chain) r->chain = SIZE_MAX;
}

static void each_operand(vise_session *s, void (*fn)(vise_session *, vise_id, size_t, size_t))
{
    for (size_t c = 0; c < s->chains; c++)
        for (size_t i = s->chain[c].first; i < s->chain[c].end; i++) {
            const vise_step *st = &s->step[i];
            fn(s, st->out, i, c);
            for (uint32_t k = 0; k < st->nin; k++)
                if (st->in[k] != VISE_NONE) fn(s, st->in[k], i, c);
            if (st->epi.add != VISE_NONE) fn(s, st->epi.add, i, c);
        }
    for (size_t i = 0; i < s->nout; i++) // given out after the last step
        fn(s, s->out[i].slot, s->steps, s->chains);
}

static void forget(vise_session *s, vise_id v, size_t step, size_t chain)
{
    (void)step;
    (void)chain;
    root_of(s, v)->first = SIZE_MAX;
    root_of(s, v)->last = 0;
}

static void tighten(vise_session *s, vise_id v, size_t step, size_t chain)
{
    (void)chain;
    if (step == s->steps) return; // ports are copied row by row
    const vise_step *st = &s->step[step];
    if (st->kind->run && (!st->kind->strided || v == st->out)) root_of(s, v)->tight = true;
}

/* Root `from` and all that share its memory move into root `to`. */
static void move_into(vise_session *s, vise_id from, vise_id to)
{
    vise_slot *x = &s->slot[to], *y = &s->slot[from];
    for (vise_id v = 0; v < s->slots; v++)
        if (s->slot[v].root == from) s->slot[v].root = to;
    x->last = y->last;
    x->chain = x->chain == y->chain ? x->chain : SIZE_MAX;
    x->tight = x->tight || y->tight;
}

/* A sum whose other operand dies with it is made in that operand's place. */
static void add_in_place(vise_session *s)
{
    for (size_t i = 0; i < s->steps; i++) {
        const vise_step *st = &s->step[i];
        if (st->epi.add == VISE_NONE || !st->kind->rows) continue;
        const vise_id from = s->slot[st->out].root, to = s->slot[st->epi.add].root;
        vise_slot *x = &s->slot[to], *y = &s->slot[from];
        if (x->kind != VISE_SLOT_SHARED || x->last != i || y->first != i || from == to ||
            x->rows != y->rows || s->slot[st->epi.add].shift)
            continue;
        move_into(s, from, to);
    }
}

static bool same_rows(const vise_session *s, const vise_slot *x, const vise_slot *y)
{
    const vise_id a = (vise_id)(x - s->slot), b = (vise_id)(y - s->slot);
    return x->kind == VISE_SLOT_SHARED && y->kind == VISE_SLOT_SHARED && x->batched && y->batched &&
           x->format == VISE_FMT_F32 && y->format == VISE_FMT_F32 && x->rows == y->rows &&
           x->tight == y->tight && x->root == a && y->root == b &&
           vise_shape_count(&x->shape) == vise_shape_count(&y->shape);
}

static bool read_whole(const vise_session *s, const vise_chain *c, vise_id root)
{
    for (size_t i = c->first; i < c->end; i++)
        for (uint32_t k = 0; k < s->step[i].nin; k++)
            if (s->step[i].in[k] != VISE_NONE && s->slot[s->step[i].in[k]].root == root &&
                (s->step[i].kind->whole >> k & 1))
                return true;
    return false;
}

/* Blocks of a chain are at different steps, so a value may take the place of one that dies earlier
 * in the same chain only if row i of both lies in the same bytes. The products q, k, v of one layer
 * take the place of the layer's before. */
static void reuse_rows(vise_session *s)
{
    for (size_t c = 0; c < s->chains; c++)
        for (size_t i = s->chain[c].first; s->chain[c].rows && i < s->chain[c].end; i++) {
            const vise_id from = s->slot[s->step[i].out].root;
            const vise_slot *y = &s->slot[from];
            if (y->first != i || y->chain == c) continue; // LOCAL values have their own plan
            for (vise_id to = 0; to < s->slots; to++) {
                const vise_slot *x = &s->slot[to];
                if (to == from || !same_rows(s, x, y) || x->last >= i ||
                    x->last < s->chain[c].first || x->chain == c || read_whole(s, &s->chain[c], to))
                    continue;
                move_into(s, from, to);
                break;
            }
        }
}

/* ---- rows of a block ---- */

/* Small blocks stay in the cache; but every block reads all weights, so where these come from far
 * away blocks are large, as even as possible, and as many for every thread. */
size_t vise_chain_block(const vise_session *s, const vise_chain *c, size_t batch)
{
    const size_t rows = c->rows * batch, most = c->block;
    if (most <= FEW || s->cache) return most;
    size_t blocks = (rows + most - 1) / most;
    blocks = (blocks + s->threads - 1) / s->threads * s->threads;
    return (rows + blocks - 1) / blocks;
}

/* Bytes of a block's row that live in the chain alone. */
static size_t local_row(const vise_session *s, const vise_chain *c)
{
    size_t bytes = 0;
    for (vise_id v = 0; v < s->slots; v++) {
        const vise_slot *x = &s->slot[v];
        const bool here = x->root == v && x->kind == VISE_SLOT_LOCAL && &s->chain[x->chain] == c;
        bytes += here ? x->ld : 0;
    }
    return bytes;
}

/* The rows of a block for a cache of which we know nothing but its size: those that fetch least. While
 * weights and a block's values fit together weights are fetched once, else for every block; values that
 * do not fit are fetched back. Half is left for what comes by. */
static size_t rows_for_cache(const vise_session *s, const vise_chain *c, size_t weights)
{
    const size_t row = local_row(s, c), room = s->cache / 2;
    size_t best = (c->rows + s->threads - 1) / s->threads, least = SIZE_MAX;
    for (size_t blocks = s->threads; c->rows / blocks >= FEW / 2; blocks++) {
        const size_t rows = (c->rows + blocks - 1) / blocks;
        size_t bytes = weights + row * rows <= room ? weights : weights * blocks;
        if (row * rows > room) bytes += row * c->rows;
        if (bytes >= least) continue;
        least = bytes;
        best = rows;
    }
    return best;
}

static void choose_block(vise_session *s, vise_chain *c)
{
    size_t weights = 0;
    bool coded = false;
    for (size_t i = c->first; i < c->end; i++) {
        weights += s->step[i].weight_bytes;
        coded = coded || s->step[i].w.codes.bits;
    }
    const bool tiles = s->kern.gemm_s8.mr > 1; // a product of few rows costs no more per row
    if (s->cache) {
        c->block = rows_for_cache(s, c, weights);
        return;
    }
    c->block = !tiles || weights > CACHED ? MANY : coded ? CODED : FEW;
    c->block = vise_chain_block(s, c, s->batch);
}

vise_status vise_make_chains(vise_session *s, vise_err *e)
{
    s->chain = vise_region_take(&s->texts, s->steps ? s->steps : 1, sizeof *s->chain);
    if (!s->chain) return vise_fail(e, VISE_ENOMEM, "out of memory: %zu steps", s->steps);
    collect(s);
    each_operand(s, forget);
    each_operand(s, touch);
    each_operand(s, tighten);
    add_in_place(s);
    reuse_rows(s);
    for (vise_id v = 0; v < s->slots; v++) {
        vise_slot *x = &s->slot[v];
        const size_t cols = x->shape.rank ? x->shape.dim[x->shape.rank - 1] : 1;
        if (x->root != v || x->kind == VISE_SLOT_UNUSED || x->format == VISE_FMT_RAW) continue;
        const bool gaps = x->kind == VISE_SLOT_SHARED && !x->tight;
        x->ld = gaps ? vise_operand_ld(s, x->format, cols) : cols * sizeof(float);
        const bool local = x->kind == VISE_SLOT_SHARED && x->batched && x->chain < s->chains &&
                           s->chain[x->chain].rows;
        if (local) x->kind = VISE_SLOT_LOCAL;
    }
    for (vise_id v = 0; v < s->slots; v++)
        s->slot[v].kind = s->slot[s->slot[v].root].kind;
    for (size_t i = 0; i < s->chains; i++)
        if (s->chain[i].rows) choose_block(s, &s->chain[i]);
    return VISE_OK;
}

/* ---- running ---- */

typedef struct job {
    vise_session *s;
    const vise_chain *c;
    size_t rows, block;
} job;

static void one_block(void *ctx, size_t task, size_t thread)
{
    const job *j = ctx;
    vise_rows r = {.from = task * j->block, .thread = thread};
    r.to = r.from + j->block < j->rows ? r.from + j->block : j->rows;
    r.block = r.from;
    for (size_t i = j->c->first; i < j->c->end; i++) {
        const double start = j->s->spent ? vise_seconds() : 0;
        j->s->step[i].kind->rows(&j->s->step[i], &r);
        if (j->s->spent) j->s->spent[thread * j->s->steps + i] += vise_seconds() - start;
    }
}

void vise_chain_run(vise_session *s, const vise_chain *c, size_t batch)
{
    if (!c->rows) {
        const double start = s->spent ? vise_seconds() : 0;
        s->step[c->first].kind->run(&s->step[c->first], batch);
        if (s->spent) s->spent[c->first] += vise_seconds() - start;
        return;
    }
    job j = {s, c, c->rows * batch, vise_chain_block(s, c, batch)};
    vise_pool_run(s->pool, (j.rows + j.block - 1) / j.block, one_block, &j);
}
