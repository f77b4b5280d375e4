/* ops_problem.h - random operands of an operator, and reading them by coordinates
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_OPS_PROBLEM_H
#define TESTS_OPS_PROBLEM_H

#include "base/rng.h"
#include "graph/graph.h"
#include "graph/ops.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ATTR_ROOM = 256 };

/* ---- a random problem for an operator ---- */

typedef struct operand {
    vise_shape shape;
    bool present, batched;
    float *data;
} operand;

typedef struct problem {
    _Alignas(16) char attr[ATTR_ROOM];
    vise_rng rng;
    size_t batch;
    uint32_t nin;
    operand in[VISE_MAX_IN];
    vise_shape out; // what the shape rule must say
} problem;

static inline size_t pick(problem *p, size_t n) // 0 .. n-1
{
    return (size_t)(vise_rng_u64(&p->rng) % n);
}

/* An extent in 1 .. most, often 1, often odd, often beside a power of two. */
static inline size_t extent(problem *p, size_t most)
{
    static const size_t edges[] = {1, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33};
    const size_t n = edges[pick(p, sizeof edges / sizeof *edges)];
    return n <= most ? n : 1 + pick(p, most);
}

static inline vise_shape random_shape(problem *p, uint32_t low, uint32_t high, size_t most)
{
    vise_shape s = {.rank = low + (uint32_t)pick(p, high - low + 1)};
    for (uint32_t i = 0; i < s.rank; i++)
        s.dim[i] = extent(p, most);
    return s;
}

static inline vise_shape shape_of(uint32_t rank, size_t a, size_t b, size_t c, size_t d)
{
    const size_t dim[] = {a, b, c, d};
    return vise_shape_of(rank, dim);
}

static inline operand *operand_add(problem *p, vise_shape s, bool may_batch)
{
    operand *o = &p->in[p->nin++];
    *o = (operand){.shape = s, .present = true, .batched = may_batch && pick(p, 2)};
    return o;
}

/* A parameter [C], or nothing. */
static inline void optional_add(problem *p, vise_shape s, bool may_batch)
{
    operand_add(p, s, may_batch)->present = pick(p, 3) != 0;
}

static inline size_t offset_of(const vise_shape *s, const size_t *at)
{
    size_t offset = 0;
    for (uint32_t i = 0; i < s->rank; i++) {
        assert_true(at[i] < s->dim[i]);
        offset = offset * s->dim[i] + at[i];
    }
    return offset;
}

/* Element of operand i of image b by its coordinates. */
static inline double get(const problem *p, unsigned i, size_t b, const size_t *at)
{
    const operand *o = &p->in[i];
    const size_t image = o->batched ? b * vise_shape_count(&o->shape) : 0;
    return (double)o->data[image + offset_of(&o->shape, at)];
}

static inline double get1(const problem *p, unsigned i, double absent, size_t a)
{
    return i < p->nin && p->in[i].present ? get(p, i, 0, &a) : absent;
}

/* The same with numpy broadcasting from coordinates of rank `rank`. */
static inline double get_wide(const problem *p, unsigned i, size_t b, const size_t *at,
                              uint32_t rank)
{
    const vise_shape *s = &p->in[i].shape;
    size_t own[VISE_MAX_RANK] = {0};
    for (uint32_t a = 0; a < s->rank; a++)
        own[a] = s->dim[a] == 1 ? 0 : at[rank - s->rank + a];
    return get(p, i, b, own);
}

static inline vise_ints pair(problem *p, size_t low, size_t high)
{
    const int64_t v = (int64_t)(low + pick(p, high - low + 1));
    const int64_t h = (int64_t)(low + pick(p, high - low + 1));
    return (vise_ints){(uint32_t)pick(p, 3), {v, h}};
}

static inline size_t pair_get(const vise_ints *v, size_t axis, size_t none)
{
    return v->n == 0 ? none : (size_t)v->v[v->n == 1 ? 0 : axis];
}

/* Coordinates of the i-th element. */
static inline void coordinates(size_t *at, const vise_shape *s, size_t i)
{
    for (uint32_t a = s->rank; a-- > 0; i /= s->dim[a])
        at[a] = i % s->dim[a];
}

/* ---- numbers ---- */

static inline float *numbers(problem *p, size_t n, bool positive)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) {
        x[i] = vise_rng_normal(&p->rng) * 2;
        if (positive) x[i] = 1 + fabsf(x[i]);
    }
    return x;
}

static inline size_t count_of(const vise_shape *s, bool batched, size_t batch)
{
    return vise_shape_count(s) * (batched ? batch : 1);
}

/* Random numbers for every operand, and what shape rules, forward and backward see of them. */
static inline void operands_fill(problem *p, const vise_op *op, vise_sig *s, vise_call *c)
{
    *s = (vise_sig){.name = "node", .attr = p->attr, .nin = p->nin};
    *c = (vise_call){.attr = p->attr, .batch = p->batch, .nin = p->nin, .nout = 1};
    c->out[0].shape = &p->out;
    for (uint32_t i = 0; i < p->nin; i++) {
        operand *o = &p->in[i];
        if (!o->present) continue;
        const bool positive = !strcmp(op->name, "attention") && i == 4;
        o->data = numbers(p, count_of(&o->shape, o->batched, p->batch), positive);
        s->in[i] = &o->shape;
        s->batched[i] = o->batched;
        c->in[i] = (vise_arg){&o->shape, o->data, o->batched};
        c->out[0].batched |= o->batched;
    }
}

static inline void operands_free(problem *p)
{
    for (uint32_t i = 0; i < p->nin; i++)
        free(p->in[i].data);
}

/* ---- oracles: want() gives one element, and the magnitude that its rounding errors scale with:
 * the result may be off by FLT_EPSILON times it, 0 for exact operators ---- */

typedef struct oracle {
    const char *op;
    void (*make)(problem *p);
    double (*want)(const problem *p, size_t b, const size_t *at, double *mag);
} oracle;

#endif
