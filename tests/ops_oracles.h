/* ops_oracles.h - the oracle of every operator on real numbers
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_OPS_ORACLES_H
#define TESTS_OPS_ORACLES_H

#include "ops_places.h"
#include "ops_values.h"

static const oracle oracles[] = {
    {"act", make_act, want_act},
    {"add", make_wide, want_add},
    {"attention", make_attention, want_attention},
    {"concat", make_concat, want_concat},
    {"conv2d", make_conv2d, want_conv2d},
    {"embed_add", make_embed_add, want_embed_add},
    {"groupnorm", make_groupnorm, want_groupnorm},
    {"l2norm", make_norm, want_l2norm},
    {"layernorm", make_affine_norm, want_layernorm},
    {"linear", make_linear, want_linear},
    {"matmul", make_matmul, want_matmul},
    {"mean", make_mean, want_mean},
    {"mul", make_wide, want_mul},
    {"pad", make_pad, want_pad},
    {"permute", make_permute, want_permute},
    {"pool", make_pool, want_pool},
    {"reshape", make_reshape, want_reshape},
    {"resize", make_resize, want_resize},
    {"rmsnorm", make_rmsnorm, want_rmsnorm},
    {"roll", make_roll, want_roll},
    {"slice", make_slice, want_slice},
    {"softmax", make_softmax, want_softmax},
};

static inline const oracle *oracle_find(const char *op)
{
    for (size_t i = 0; i < sizeof oracles / sizeof *oracles; i++)
        if (!strcmp(oracles[i].op, op)) return &oracles[i];
    return NULL;
}

#endif
