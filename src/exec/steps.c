/* steps.c - which step runs a node: one row per file of steps/
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

#include <string.h>

#define VISE_STEPS(X)                                                                              \
    X(act)                                                                                         \
    X(add)                                                                                         \
    X(attention)                                                                                   \
    X(conv2d)                                                                                      \
    X(layernorm)                                                                                   \
    X(linear)                                                                                      \
    X(mul)                                                                                         \
    X(slice)

#define DECLARE(op) extern const vise_step_kind vise_step_##op;
VISE_STEPS(DECLARE)

#define ROW(op) &vise_step_##op,
static const vise_step_kind *const kinds[] = {VISE_STEPS(ROW)};

const vise_step_kind *vise_step_kind_for(const vise_op *op, const vise_sig *sig)
{
    for (uint32_t i = 0; i < sig->nin; i++) // rounded operands: by the definition
        if (sig->actq && sig->actq[i].kind) return &vise_step_forward;
    for (size_t i = 0; op && i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i]->op, op->name) && (!kinds[i]->fits || kinds[i]->fits(sig)))
            return kinds[i];
    return &vise_step_forward;
}
