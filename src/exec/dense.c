/* dense.c - one operand packed into panels, the other's rows shared out to threads
 * SPDX-License-Identifier: MIT */
#include "exec/dense.h"
#include "base/cpu.h"

enum { ROWS = 48, PANELS = 2, DEEP = 32 }; // of one task

vise_status vise_dense_open(vise_dense *d, size_t threads, const char *cpu, vise_err *e)
{
    unsigned mask;
    *d = (vise_dense){0};
    VISE_TRY(vise_cpu_parse(&mask, cpu, e));
    vise_kern_init(&d->kern, mask);
    return threads > 1 ? vise_pool_new(&d->pool, threads, e) : VISE_OK;
}

void vise_dense_close(vise_dense *d)
{
    vise_pool_free(d->pool);
    vise_free(d->panels);
    *d = (vise_dense){0};
}

typedef struct job {
    const vise_dense *d;
    const vise_product *p;
    size_t cols; // of one piece of panels
} job;

static void pack(void *ctx, size_t task, size_t thread)
{
    (void)thread;
    const job *j = ctx;
    const vise_gemm *g = &j->d->kern.gemm_f32;
    const vise_mat *b = &j->p->b;
    const size_t from = task * j->cols, left = j->p->n - from;
    g->pack((float *)j->d->panels + from * j->p->k, NULL, b->p + from * b->row, b->row, b->col,
            left < j->cols ? left : j->cols, j->p->k, 0);
}

/* The same where b's columns are what lies in rows: a piece is some whole rows of memory, of all panels. */
static void pack_deep(void *ctx, size_t task, size_t thread)
{
    (void)thread;
    const job *j = ctx;
    const vise_gemm *g = &j->d->kern.gemm_f32;
    const vise_mat *b = &j->p->b;
    const size_t from = task * DEEP, n = j->p->n, k = j->p->k;
    const size_t deep = k - from < DEEP ? k - from : DEEP;
    for (size_t i = 0; i < n; i += g->nr)
        g->pack((float *)j->d->panels + i * k + from * g->nr, NULL, b->p + i + from * b->col, 1,
                b->col, n - i < g->nr ? n - i : g->nr, deep, 0);
}

static void multiply(void *ctx, size_t task, size_t thread)
{
    (void)thread;
    const job *j = ctx;
    const vise_product *p = j->p;
    const size_t from = task * ROWS, left = p->m - from;
    const size_t rows = left < ROWS ? left : ROWS, to = from + rows;
    float *c = p->c + from * p->ldc;
    const vise_gemm_args a = {.c = c,
                              .ldc = p->ldc,
                              .a = p->a.p + from * p->a.row,
                              .lda = p->a.row * sizeof(float),
                              .w = j->d->panels,
                              .add = p->add ? c : NULL,
                              .ldadd = p->ldc,
                              .m = rows,
                              .n = p->lower && to < p->n ? to : p->n,
                              .k = p->k};
    j->d->kern.gemm_f32.run(&a);
}

vise_status vise_dense_mul(vise_dense *d, const vise_product *p, vise_err *e)
{
    const size_t bytes = vise_panels_bytes(&d->kern.gemm_f32, p->n, p->k);
    if (bytes > d->room) {
        vise_free(d->panels);
        d->panels = NULL;
        d->room = 0;
        VISE_TRY(vise_alloc_or(&d->panels, bytes, 1, "a product of matrices", e));
        d->room = bytes;
    }
    job j = {d, p, d->kern.gemm_f32.nr * PANELS};
    if (p->b.row == 1 && p->b.col != 1)
        vise_pool_run(d->pool, (p->k + DEEP - 1) / DEEP, pack_deep, &j);
    else
        vise_pool_run(d->pool, (p->n + j.cols - 1) / j.cols, pack, &j);
    vise_pool_run(d->pool, (p->m + ROWS - 1) / ROWS, multiply, &j);
    return VISE_OK;
}

void vise_product_run(const vise_kern *k, const vise_product *p, void *panels)
{
    const vise_gemm *g = &k->gemm_f32;
    g->pack(panels, NULL, p->b.p, p->b.row, p->b.col, p->n, p->k, 0);
    const vise_gemm_args a = {.c = p->c,
                              .ldc = p->ldc,
                              .a = p->a.p,
                              .lda = p->a.row * sizeof(float),
                              .w = panels,
                              .add = p->add ? p->c : NULL,
                              .ldadd = p->ldc,
                              .m = p->m,
                              .n = p->n,
                              .k = p->k};
    g->run(&a);
}

typedef struct rows {
    vise_rows_fn *fn;
    void *ctx;
    size_t n, step;
} rows;

static void piece(void *ctx, size_t task, size_t thread)
{
    (void)thread;
    const rows *r = ctx;
    const size_t from = task * r->step;
    r->fn(r->ctx, from, from + r->step < r->n ? from + r->step : r->n);
}

void vise_dense_rows(vise_dense *d, size_t n, size_t step, vise_rows_fn *fn, void *ctx)
{
    rows r = {fn, ctx, n, step};
    vise_pool_run(d->pool, (n + step - 1) / step, piece, &r);
}
