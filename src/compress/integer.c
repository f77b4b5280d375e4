/* integer.c - a ViT without floating point between the pixels and the logits
 *
 * Weights and what they meet are codes of 8 bits, sums of residual branches integers of 23 bits with
 * one scale. Softmax and activations are tables, layernorm takes an integer square root, and every
 * change of scale is a fixed-point product (kern/fixed.h). docs/QUANTIZATION.md says how grids are
 * chosen.
 *
 * SPDX-License-Identifier: MIT */
#include "compress/integer_plan.h"
#include "compress/pass.h"

typedef struct options {
    int unused;
} options;

static const vise_line_opt table[] = {{0}};

static vise_status prepare(vise_int_plan *p, vise_err *e)
{
    const size_t n = p->g->values;
    VISE_TRY(vise_int_keep(p, &p->role, n, sizeof *p->role, e));
    VISE_TRY(vise_int_keep(p, &p->root, n, sizeof *p->root, e));
    VISE_TRY(vise_int_keep(p, &p->tap, n, sizeof *p->tap, e));
    VISE_TRY(vise_int_keep(p, &p->fixed, n, sizeof *p->fixed, e));
    VISE_TRY(vise_int_keep(p, &p->gain, n, sizeof *p->gain, e));
    VISE_TRY(vise_int_keep(p, &p->grid, n, sizeof *p->grid, e));
    VISE_TRY(vise_int_keep(p, &p->layer, p->g->nodes, sizeof *p->layer, e));
    VISE_TRY(vise_int_keep(p, &p->table, p->g->nodes, sizeof *p->table, e));
    return vise_alloc_or(&p->spread, n, sizeof *p->spread, "calibration", e);
}

static vise_status apply(vise_change *c, const void *opts, vise_err *e)
{
    (void)opts;
    vise_int_plan p = {.c = c, .g = &c->from->graph};
    vise_status s = prepare(&p, e);
    if (!s) s = vise_int_find_roles(&p, e);
    if (!s) s = vise_int_fit(&p, e);
    if (!s) s = vise_int_emit(&p, e);
    vise_spread_free(p.spread, p.g->values);
    vise_region_free(&p.memory);
    return s;
}

extern const vise_pass vise_pass_integer;
const vise_pass vise_pass_integer = {.name = "integer",
                                     .summary = "no floating point between pixels and logits",
                                     .opts = table,
                                     .opts_size = sizeof(options),
                                     .apply = apply};
