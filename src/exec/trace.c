/* trace.c - the loops of chain.c and of the products, with addresses in the place of arithmetic
 * SPDX-License-Identifier: MIT */
#include "exec/trace.h"

#include <string.h>

enum { TILE = 8 };     // rows of a product that go through a panel together
enum { PATCHES = 64 }; // of a convolution that are gathered together

typedef struct trace {
    vise_session *s;
    vise_touch_fn *fn;
    void *user;
    size_t step;
} trace;

static void touch(const trace *t, const void *p, size_t bytes, vise_touch how)
{
    if (p && bytes) t->fn(t->user, t->step, p, bytes, how);
}

/* Some columns of rows that lie ld bytes apart. */
static void touch_rows(const trace *t, const char *p, size_t ld, size_t rows, size_t bytes,
                       vise_touch how)
{
    for (size_t i = 0; i < rows; i++)
        touch(t, p + i * ld, bytes, how);
}

static size_t row_bytes(const vise_step *st, vise_id id)
{
    const vise_slot *v = &st->s->slot[id];
    return v->format == VISE_FMT_RAW ? v->ld
                                     : vise_cols(st, id) * vise_gemm_for(st->s, v->format)->esize;
}

static void touch_value(const trace *t, const vise_step *st, vise_id id, const vise_rows *r,
                        vise_touch how)
{
    if (id == VISE_NONE) return;
    touch_rows(t, vise_row(st, id, r), vise_ld(st, id), r->to - r->from, row_bytes(st, id), how);
}

/* All of a value of one image. */
static void touch_whole(const trace *t, const vise_step *st, vise_id id, vise_touch how)
{
    if (id == VISE_NONE) return;
    const vise_slot *v = &st->s->slot[id];
    touch_value(t, st, id, &(vise_rows){.to = v->rows}, how);
}

/* Rows of a product's first operand and of its result. */
typedef struct product {
    const char *a, *c, *add;
    size_t lda, ldc, ldadd, a_bytes, rows;
} product;

/* A panel of codes is expanded into scratch, and read there for every tile of rows. */
static void touch_product(const trace *t, const vise_step *st, const product *p)
{
    const vise_weights *w = &st->w;
    const size_t nr = vise_gemm_for(t->s, w->format)->nr, panels = (w->n + nr - 1) / nr;
    const size_t bytes = vise_weights_bytes(w, t->s) / (panels ? panels : 1);
    const size_t scratch = vise_weights_scratch(w, t->s);
    const char *expanded = vise_scratch(st, 0);
    touch(t, w->scale, w->scale ? w->n * sizeof *w->scale : 0, VISE_TOUCH_WEIGHTS);
    touch(t, w->sum, w->sum ? w->n * sizeof *w->sum : 0, VISE_TOUCH_WEIGHTS);
    touch(t, w->bias, w->bias ? w->n * sizeof *w->bias : 0, VISE_TOUCH_WEIGHTS);
    for (size_t j = 0; j < panels; j++) {
        const char *panel = (const char *)w->panels + j * bytes;
        const size_t at = j * nr * sizeof(float), cols = w->n - j * nr < nr ? w->n - j * nr : nr;
        if (scratch) {
            touch(t, panel, bytes, VISE_TOUCH_WEIGHTS);
            touch(t, expanded, scratch, VISE_TOUCH_WRITE);
        }
        for (size_t i = 0; i < p->rows; i += TILE) {
            const size_t m = p->rows - i < TILE ? p->rows - i : TILE;
            touch_rows(t, p->a + i * p->lda, p->lda, m, p->a_bytes, VISE_TOUCH_READ);
            if (scratch)
                touch(t, expanded, scratch, VISE_TOUCH_READ);
            else
                touch(t, panel, bytes, VISE_TOUCH_WEIGHTS);
            if (p->add)
                touch_rows(t, p->add + i * p->ldadd + at, p->ldadd, m, cols * sizeof(float),
                           VISE_TOUCH_READ);
            touch_rows(t, p->c + i * p->ldc + at, p->ldc, m, cols * sizeof(float),
                       VISE_TOUCH_WRITE);
        }
    }
}

static bool is_product(const vise_step *st)
{
    return st->w.n && st->w.panels;
}

static void rows_of_product(const trace *t, const vise_step *st, const vise_rows *r)
{
    const vise_id add = st->epi.add;
    const product p = {.a = vise_row(st, st->in[0], r),
                       .c = vise_row(st, st->out, r),
                       .add = add == VISE_NONE ? NULL : vise_row(st, add, r),
                       .lda = vise_ld(st, st->in[0]),
                       .ldc = vise_ld(st, st->out),
                       .ldadd = add == VISE_NONE ? 0 : vise_ld(st, add),
                       .a_bytes = row_bytes(st, st->in[0]),
                       .rows = r->to - r->from};
    touch_product(t, st, &p);
}

static void rows_of_step(const trace *t, const vise_step *st, const vise_rows *r)
{
    if (is_product(st)) {
        rows_of_product(t, st, r);
        return;
    }
    for (uint32_t k = 0; k < st->nin; k++)
        if (st->kind->whole >> k & 1 || (st->in[k] != VISE_NONE && !t->s->slot[st->in[k]].batched))
            touch_whole(t, st, st->in[k], VISE_TOUCH_READ);
        else
            touch_value(t, st, st->in[k], r, VISE_TOUCH_READ);
    touch(t, vise_scratch(st, 0), st->scratch, VISE_TOUCH_WRITE);
    touch_value(t, st, st->out, r, VISE_TOUCH_WRITE);
}

/* A convolution: patches are gathered in scratch, some at a time. */
static void whole_product(const trace *t, const vise_step *st)
{
    const vise_slot *y = &st->s->slot[st->out];
    const size_t ld = st->w.k * sizeof(float);
    char *patches = (char *)vise_scratch(st, 0) + vise_weights_scratch(&st->w, t->s);
    touch_whole(t, st, st->in[0], VISE_TOUCH_READ);
    for (size_t i = 0; i < y->rows; i += PATCHES) {
        const size_t m = y->rows - i < PATCHES ? y->rows - i : PATCHES;
        const product p = {.a = patches,
                           .c = vise_row(st, st->out, &(vise_rows){.from = i}),
                           .lda = ld,
                           .ldc = vise_ld(st, st->out),
                           .a_bytes = ld,
                           .rows = m};
        touch(t, patches, m * ld, VISE_TOUCH_WRITE);
        touch_product(t, st, &p);
    }
}

static void whole_step(const trace *t, const vise_step *st)
{
    if (is_product(st) && !strcmp(st->kind->name, "gemm")) {
        whole_product(t, st);
        return;
    }
    for (uint32_t k = 0; k < st->nin; k++)
        touch_whole(t, st, st->in[k], VISE_TOUCH_READ);
    touch(t, st->w.panels, st->weight_bytes, VISE_TOUCH_WEIGHTS);
    touch_whole(t, st, st->out, VISE_TOUCH_WRITE);
}

void vise_session_trace(vise_session *s, const float *input, vise_touch_fn *fn, void *user)
{
    trace t = {.s = s, .fn = fn, .user = user};
    s->slot[s->in[0].slot].data = (char *)(uintptr_t)input; // only ever read
    for (size_t i = 0; i < s->chains; i++) {
        const vise_chain *c = &s->chain[i];
        t.step = c->first;
        if (!c->rows) {
            whole_step(&t, &s->step[c->first]);
            continue;
        }
        const size_t block = vise_chain_block(s, c, 1);
        for (size_t from = 0; from < c->rows; from += block)
            for (t.step = c->first; t.step < c->end; t.step++) {
                const vise_rows r = {.from = from,
                                     .to = from + block < c->rows ? from + block : c->rows,
                                     .block = from};
                rows_of_step(&t, &s->step[t.step], &r);
            }
    }
}
