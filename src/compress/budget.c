/* budget.c - a greedy walk on the convex hulls of what matrices cost and lose
 * SPDX-License-Identifier: MIT */
#include "compress/budget.h"
#include "compress/sensitivity.h"

#include <stdlib.h>
#include <string.h>

/* ---- the choice ---- */

static uint8_t cheapest(const vise_choice *c)
{
    int best = 0;
    for (int w = 1; w < VISE_WIDTHS; w++)
        if (c->cost[w] < c->cost[best] ||
            (c->cost[w] == c->cost[best] && c->loss[w] < c->loss[best]))
            best = w;
    return (uint8_t)best;
}

/* A step from width `at` of a matrix. */
typedef struct step {
    size_t i;
    uint8_t to;
    double gain; // per cost
} step;

static void best_step(step *best, const vise_choice *c, size_t i, uint8_t at, uint64_t left)
{
    for (int w = 0; w < VISE_WIDTHS; w++) {
        if (c->cost[w] <= c->cost[at] || c->cost[w] - c->cost[at] > left) continue;
        const double gain = (c->loss[at] - c->loss[w]) / (double)(c->cost[w] - c->cost[at]);
        if (gain > best->gain) *best = (step){i, (uint8_t)w, gain};
    }
}

bool vise_budget_pick(uint8_t *pick, const vise_choice *of, size_t n, uint64_t budget)
{
    uint64_t used = 0;
    for (size_t i = 0; i < n; i++) {
        pick[i] = cheapest(&of[i]);
        used += of[i].cost[pick[i]];
    }
    if (used > budget) return false;
    for (;;) {
        step best = {0};
        for (size_t i = 0; i < n; i++)
            best_step(&best, &of[i], i, pick[i], budget - used);
        if (!(best.gain > 0)) return true;
        const vise_choice *c = &of[best.i];
        used += c->cost[best.to] - c->cost[pick[best.i]];
        pick[best.i] = best.to;
    }
}

/* ---- the budget ---- */

typedef struct budget {
    const char *text;
    double bits;    // of a weight; 0: bytes count
    uint64_t bytes; // of all constants
    uint64_t fixed; // of what is not chosen
    uint64_t least; // with the matrices at their fewest bits
} budget;

static vise_status parse(budget *b, const char *text, vise_err *e)
{
    char *unit = NULL;
    const bool digits = strchr("0123456789.", *text) && *text;
    const double number = digits ? strtod(text, &unit) : 0;
    *b = (budget){.text = text};
    if (digits && !*unit && number >= 2 && number <= 8)
        b->bits = number;
    else if (digits && !strcmp(unit, "kB") && number < 1e12)
        b->bytes = (uint64_t)(number * 1e3);
    else if (digits && !strcmp(unit, "MB") && number < 1e9)
        b->bytes = (uint64_t)(number * 1e6);
    else
        return vise_fail(e, VISE_EARG,
                         "quantize budget=%.40s: bytes, as 900kB or 2.5MB, or the mean bits of a "
                         "weight, from 2 to 8",
                         text);
    return VISE_OK;
}

/* The node of a row. */
static size_t node_of(const vise_graph *g, const vise_sensitivity_row *r)
{
    return g->value[vise_graph_find(g, r->name)].node;
}

/* Bytes of c's constants but for the matrices; biases of these as floats, which they may become. */
static vise_status count_fixed(budget *b, const vise_change *c, const vise_sensitivity_row *rows,
                               size_t n, vise_err *e)
{
    const vise_graph *g = &c->from->graph;
    vise_graph now;
    const vise_status s = vise_change_build(&now, c, e);
    for (vise_id v = 0; !s && v < now.values; v++)
        if (now.value[v].kind == VISE_VALUE_CONST) b->fixed += vise_const_bytes(&now.value[v].data);
    vise_graph_free(&now);
    for (size_t i = 0; !s && i < n; i++) {
        const vise_node *node = &g->node[node_of(g, &rows[i])];
        const vise_id bias = node->nin > 2 ? node->in[2] : VISE_NONE;
        b->fixed -= vise_const_bytes(&c->data[node->in[1]]);
        b->least += rows[i].bytes[VISE_WIDTHS - 1];
        if (bias != VISE_NONE && g->value[bias].kind == VISE_VALUE_CONST)
            b->fixed += vise_shape_count(&g->value[bias].shape) * sizeof(float) -
                        vise_const_bytes(&c->data[bias]);
    }
    b->least += b->fixed;
    return s;
}

static vise_status check(const budget *b, vise_err *e)
{
    if (b->bits > 0 || b->least <= b->bytes) return VISE_OK;
    return vise_fail(e, VISE_EARG,
                     "quantize budget=%.40s: 2 bits everywhere give %llu bytes, and %llu of them "
                     "are no matrices",
                     b->text, (unsigned long long)b->least, (unsigned long long)b->fixed);
}

static vise_status pick(uint8_t *bits, const budget *b, const vise_graph *g,
                        const vise_sensitivity_row *rows, size_t n, vise_err *e)
{
    vise_choice *of;
    uint8_t *width;
    uint64_t params = 0;
    VISE_TRY(vise_alloc_or(&of, n, sizeof *of + sizeof *width, "a choice of bits", e));
    width = (uint8_t *)(of + n);
    for (size_t i = 0; i < n; i++) {
        params += rows[i].params;
        memcpy(of[i].loss, rows[i].kl, sizeof of[i].loss);
        for (size_t w = 0; w < VISE_WIDTHS; w++)
            of[i].cost[w] = b->bits > 0 ? rows[i].bits[w] * rows[i].params : rows[i].bytes[w];
    }
    vise_budget_pick(width, of, n,
                     b->bits > 0 ? (uint64_t)(b->bits * (double)params) : b->bytes - b->fixed);
    for (size_t i = 0; i < n; i++)
        bits[node_of(g, &rows[i])] = (uint8_t)rows[i].bits[width[i]];
    vise_free(of);
    return VISE_OK;
}

vise_status vise_budget_bits(uint8_t *bits, const vise_change *c, const bool *want,
                             const char *text, size_t group, vise_err *e)
{
    budget b;
    vise_sensitivity_row *rows;
    size_t n;
    vise_eval_opts few = *c->opts;
    vise_change on_few = *c;
    on_few.opts = &few;
    if (few.limit > VISE_SENSITIVITY_PICTURES) few.limit = VISE_SENSITIVITY_PICTURES;
    VISE_TRY(parse(&b, text, e));
    VISE_TRY(vise_sensitivity_list(&rows, &n, c, want, group, e));
    vise_status s = count_fixed(&b, c, rows, n, e);
    if (!s) s = check(&b, e);
    if (!s) s = vise_sensitivity_measure(rows, n, &on_few, group, e);
    if (!s) s = pick(bits, &b, &c->from->graph, rows, n, e);
    vise_sensitivity_free(rows);
    return s;
}
