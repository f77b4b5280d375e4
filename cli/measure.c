/* measure.c - random input for a session, and medians
 * SPDX-License-Identifier: MIT */
#include "measure.h"
#include "cli.h"

#include <stdlib.h>

/* splitmix64: random images need no better, and a seed gives the same ones everywhere. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static size_t floats_of(const vise_port *p, size_t batch)
{
    return vise_shape_count(&p->shape) * (p->batched ? batch : 1);
}

void feed_open(feed *f, vise_session *s, size_t batch, uint64_t seed)
{
    uint64_t state = seed;
    const size_t nin = vise_session_inputs(s), nout = vise_session_outputs(s);
    *f = (feed){s, batch, cli_alloc(nin, sizeof *f->in), cli_alloc(nout, sizeof *f->out)};
    for (size_t i = 0; i < nin; i++) {
        const size_t n = floats_of(vise_session_input(s, i), batch);
        f->in[i] = cli_alloc(n, sizeof(float));
        for (size_t k = 0; k < n; k++)
            f->in[i][k] = (float)(next(&state) >> 40) * 0x1p-23f - 1;
    }
    for (size_t i = 0; i < nout; i++)
        f->out[i] = cli_alloc(floats_of(vise_session_output(s, i), batch), sizeof(float));
}

void feed_run(const feed *f)
{
    vise_session_run(f->session, f->batch, (const float *const *)f->in, f->out);
}

void feed_close(feed *f)
{
    for (size_t i = 0; f->session && i < vise_session_inputs(f->session); i++)
        free(f->in[i]);
    for (size_t i = 0; f->session && i < vise_session_outputs(f->session); i++)
        free(f->out[i]);
    free(f->in);
    free(f->out);
    vise_session_free(f->session);
    *f = (feed){0};
}

static int compare(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

void measure_sort(double *x, size_t n)
{
    qsort(x, n, sizeof *x, compare);
}

double measure_quantile(const double *sorted, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    const double above = i + 1 < n ? sorted[i + 1] : sorted[i];
    return sorted[i] + (at - (double)i) * (above - sorted[i]);
}
