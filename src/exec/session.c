/* session.c - opening, running and asking a session
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"
#include "base/cpu.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { MAX_THREADS = 1024, MAX_BATCH = 1 << 20 };

/* ---- one block ---- */

static void layout(vise_session *s, vise_arena *m)
{
    size_t most = 0; // scratch of any step
    if (!s->lent) s->shared = vise_arena_take(m, s->shared_bytes, 1);
    s->local = vise_arena_take(m, s->local_bytes, s->threads);
    for (vise_id i = 0; i < s->slots; i++) {
        vise_slot *v = &s->slot[i];
        if (v->kind == VISE_SLOT_CONST || v->kind == VISE_SLOT_FOLDED)
            v->data = vise_arena_take(m, vise_shape_count(&v->shape), sizeof(float));
        if (v->kind == VISE_SLOT_SHARED && s->shared) v->data = s->shared + v->offset;
    }
    for (size_t i = 0; i < s->folds + s->steps; i++) {
        vise_step *st = i < s->folds ? &s->fold[i] : &s->step[i - s->folds];
        if (st->kind->layout) st->kind->layout(st, m);
        if (st->scratch > most) most = st->scratch;
    }
    s->scratch_bytes = (most + VISE_ALIGN - 1) / VISE_ALIGN * VISE_ALIGN;
    s->scratch = vise_arena_take(m, s->scratch_bytes, s->threads); // one step at a time runs
    if (s->info) s->spent = vise_arena_take(m, s->threads * s->steps, sizeof *s->spent);
}

static void drop(const vise_model *m, vise_id v)
{
    if (v == VISE_NONE) return;
    const vise_const *c = &m->graph.value[v].data;
    for (size_t k = 0; k < m->tensors.nmaps; k++) // the file's copy is not needed again
        vise_map_drop(&m->tensors.maps[k], c->data, vise_const_bytes(c));
}

typedef struct filling {
    vise_session *s;
    const vise_model *m;
    bool forget; // the file's copies are not needed again
    _Atomic bool failed;
    vise_err err; // of the first that did
} filling;

static void pack_step(void *ctx, size_t i, size_t thread)
{
    (void)thread;
    filling *f = ctx;
    vise_step *st = &f->s->step[i];
    if (!st->kind->pack) return;
    vise_err e = {0};
    const vise_status status = st->kind->pack(st, &f->m->graph, &e);
    e.code = status;
    if (status && !atomic_exchange(&f->failed, true)) f->err = e;
    if (f->forget) drop(f->m, st->w.from);
}

static vise_status fill_consts(vise_session *s, const vise_model *m, bool forget, vise_err *e)
{
    const vise_graph *g = &m->graph;
    filling f = {.s = s, .m = m, .forget = forget};
    for (vise_id i = 0; i < g->values; i++)
        if (s->slot[i].kind == VISE_SLOT_CONST)
            vise_decode((float *)(void *)s->slot[i].data, &g->value[i].data);
    vise_pool_run(s->pool, s->steps, pack_step, &f);
    if (f.failed) {
        if (e) *e = f.err;
        return f.err.code;
    }
    if (forget) vise_tensors_drop(&m->tensors); // and what the system mapped around them
    for (size_t i = 0; i < s->folds; i++)
        s->fold[i].kind->run(&s->fold[i], 1);
    return VISE_OK;
}

typedef struct size_text {
    char s[24];
} size_text;

static size_text in_words(size_t bytes)
{
    size_text t;
    const bool small = bytes < 1000000;
    snprintf(t.s, sizeof t.s, "%.1f %s", (double)bytes / (small ? 1e3 : 1e6), small ? "kB" : "MB");
    return t;
}

/* After measuring and before taking the memory: is it more than the caller allows? */
static vise_status check_memory(const vise_session *s, size_t most, vise_err *e)
{
    const size_t needs = vise_session_bytes(s),
                 values = s->shared_bytes + s->local_bytes * s->threads;
    if (!most || needs <= most) return VISE_OK;
    return vise_fail(e, VISE_ENOMEM,
                     "the model needs %s (activations %s, weights and the rest %s), --max-memory "
                     "allows %s",
                     in_words(needs).s, in_words(values).s, in_words(needs - values).s,
                     in_words(most).s);
}

static vise_status open_session(vise_session *s, const vise_model *m, const vise_session_opts *o,
                                vise_err *e)
{
    unsigned cpu;
    VISE_TRY(vise_cpu_parse(&cpu, o->cpu, e));
    vise_kern_init(&s->kern, cpu);
    s->threads = o->threads ? o->threads : 1;
    s->batch = o->batch ? o->batch : 1;
    s->cache = o->cache;
    if (s->threads > MAX_THREADS || s->batch > MAX_BATCH)
        return vise_fail(e, VISE_EARG, "%zu threads and a batch of %zu: at most %d and %d",
                         s->threads, s->batch, MAX_THREADS, MAX_BATCH);
    VISE_TRY(vise_lower(s, &m->graph, o, e));
    VISE_TRY(vise_make_chains(s, e));
    if (o->profile) VISE_TRY(vise_profile_open(s, &m->graph, e));
    VISE_TRY(vise_plan(s, e));
    layout(s, &s->block);
    VISE_TRY(check_memory(s, o->max_memory, e));
    VISE_TRY(vise_arena_commit(&s->block, e));
    layout(s, &s->block);
    if (s->threads > 1) VISE_TRY(vise_pool_new(&s->pool, s->threads, e));
    return fill_consts(s, m, !s->lent, e);
}

static vise_status new_session(vise_session **out, const vise_model *m,
                               const vise_session_opts *opts, bool lent, vise_err *e)
{
    vise_session *s = NULL;
    *out = NULL;
    VISE_TRY(vise_alloc_or(&s, 1, sizeof *s, "a session", e));
    s->lent = lent;
    vise_status st = open_session(s, m, opts ? opts : &(vise_session_opts){0}, e);
    if (st)
        vise_session_free(s);
    else
        *out = s;
    return st;
}

vise_status vise_session_new(vise_session **out, const vise_model *m, const vise_session_opts *opts,
                             vise_err *e)
{
    return new_session(out, m, opts, false, e);
}

vise_status vise_session_new_lent(vise_session **out, const vise_model *m,
                                  const vise_session_opts *opts, vise_err *e)
{
    return new_session(out, m, opts, true, e);
}

void vise_session_place(vise_session *s, char *memory)
{
    for (vise_id i = 0; i < s->slots; i++)
        if (s->slot[i].kind == VISE_SLOT_SHARED) s->slot[i].data = memory + s->slot[i].offset;
}

static void refresh_scales(vise_session *s, const vise_graph *g)
{
    for (size_t i = 0; i < s->steps; i++) {
        vise_step *st = &s->step[i];
        const vise_node *n = &g->node[st->node];
        if (st->actq_in < VISE_MAX_IN)
            st->actq.scale = g->node[st->actq_node].actq[st->actq_in].scale;
        if (st->actq_v.kind) st->actq_v.scale = n->actq[2].scale;
        for (uint32_t k = 0; st->rounds && k < st->nin; k++)
            st->rounds[k].scale = n->actq[k].scale;
    }
}

vise_status vise_session_refresh(vise_session *s, const vise_model *m, vise_err *e)
{
    refresh_scales(s, &m->graph);
    return fill_consts(s, m, false, e);
}

void vise_session_free(vise_session *s)
{
    if (!s) return;
    vise_pool_free(s->pool);
    vise_free(s->block.base);
    vise_region_free(&s->texts);
    vise_free(s);
}

/* ---- running ---- */

/* Bytes from row to row of a value. Where a reshape has changed the rows, the root is tight. */
static size_t ld_of(const vise_session *s, const vise_slot *v)
{
    const vise_slot *root = &s->slot[v->root];
    if (v->rows == root->rows) return root->ld;
    return vise_shape_count(&root->shape) / v->rows * sizeof(float);
}

/* Rows of a value, wherever they lie, to the caller's tight rows. */
static void give_out(const vise_session *s, vise_id id, size_t B, float *to)
{
    const vise_slot *v = &s->slot[id], *root = &s->slot[v->root];
    const size_t images = v->batched ? B : 1, n = vise_shape_count(&v->shape) / v->rows;
    for (size_t i = 0; i < v->rows * images; i++)
        memcpy(to + i * n, root->data + i * ld_of(s, v) + v->shift, n * sizeof *to);
}

typedef struct giving {
    const vise_session *s;
    size_t B;
    float *const *out;
} giving;

static void give_one(void *ctx, size_t i, size_t thread)
{
    (void)thread;
    const giving *g = ctx;
    if (g->out[i]) give_out(g->s, g->s->out[i].slot, g->B, g->out[i]);
}

void vise_session_run(vise_session *s, size_t B, const float *const *in, float *const *out)
{
    assert(B >= 1 && B <= s->batch);
    for (size_t i = 0; i < s->nin; i++)
        s->slot[s->in[i].slot].data = (char *)(uintptr_t)in[i]; // only ever read
    for (size_t i = 0; i < s->chains; i++)
        vise_chain_run(s, &s->chain[i], B);
    vise_pool_run(s->pool, s->nout, give_one, &(giving){s, B, out});
    s->runs++;
}

const float *vise_session_rows(const vise_session *s, size_t i)
{
    const vise_slot *v = &s->slot[s->out[i].slot], *root = &s->slot[v->root];
    const size_t tight = vise_shape_count(&v->shape) / v->rows * sizeof(float);
    return ld_of(s, v) == tight && !v->shift ? (const float *)(void *)root->data : NULL;
}

size_t vise_session_inputs(const vise_session *s)
{
    return s->nin;
}

size_t vise_session_outputs(const vise_session *s)
{
    return s->nout;
}

const vise_port *vise_session_input(const vise_session *s, size_t i)
{
    return i < s->nin ? &s->in[i].port : NULL;
}

const vise_port *vise_session_output(const vise_session *s, size_t i)
{
    return i < s->nout ? &s->out[i].port : NULL;
}

size_t vise_session_bytes(const vise_session *s)
{
    return sizeof *s + s->block.used + s->texts.bytes;
}

/* ---- what steps share ---- */

void *vise_row(const vise_step *st, vise_id id, const vise_rows *r)
{
    const vise_session *s = st->s;
    const vise_slot *v = &s->slot[id], *root = &s->slot[v->root];
    char *base = root->kind == VISE_SLOT_LOCAL
                     ? s->local + r->thread * s->local_bytes + root->offset
                     : root->data;
    const size_t row = root->kind == VISE_SLOT_LOCAL ? r->from - r->block : r->from;
    return base + row * ld_of(s, v) + v->shift;
}

void *vise_row_at(const vise_step *st, vise_id id, size_t i)
{
    const vise_slot *v = &st->s->slot[id];
    return st->s->slot[v->root].data + i * ld_of(st->s, v) + v->shift;
}

vise_rowq *vise_rowq_at(const vise_step *st, vise_id id, const vise_rows *r)
{
    const vise_session *s = st->s;
    const vise_slot *root = &s->slot[s->slot[id].root];
    const bool local = root->kind == VISE_SLOT_LOCAL;
    char *base = local ? s->local + r->thread * s->local_bytes + root->offset : root->data;
    vise_rowq *q = (vise_rowq *)(void *)(base + root->room * root->ld);
    return q + (local ? r->from - r->block : r->from);
}

size_t vise_ld(const vise_step *st, vise_id id)
{
    return ld_of(st->s, &st->s->slot[id]);
}

size_t vise_cols(const vise_step *st, vise_id id)
{
    const vise_shape *x = &st->s->slot[id].shape;
    return x->rank ? x->dim[x->rank - 1] : 1;
}

void *vise_scratch(const vise_step *st, size_t thread)
{
    return st->s->scratch + thread * st->s->scratch_bytes;
}

static vise_arg arg_of(const vise_step *st, vise_id id)
{
    if (id == VISE_NONE) return (vise_arg){0};
    const vise_slot *v = &st->s->slot[id];
    return (vise_arg){&v->shape, (float *)(void *)st->s->slot[v->root].data, v->batched};
}

vise_arg vise_step_in(const vise_step *st, uint32_t i)
{
    return i < st->nin ? arg_of(st, st->in[i]) : (vise_arg){0};
}

vise_arg vise_step_out(const vise_step *st)
{
    return arg_of(st, st->out);
}

const float *vise_fixed(const vise_step *st, uint32_t i)
{
    return vise_step_in(st, i).data;
}
