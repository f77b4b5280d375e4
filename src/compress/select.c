/* select.c - nodes by kind, and by patterns of names
 * SPDX-License-Identifier: MIT */
#include "compress/select.h"
#include "graph/ops.h"
#include "model/line.h"

#include <fnmatch.h>
#include <string.h>

bool vise_is_op(const vise_node *n, const char *op)
{
    return !strcmp(n->op->name, op);
}

bool vise_is_matrix(const vise_graph *g, const vise_node *n)
{
    const bool conv = vise_is_op(n, "conv2d") && ((const vise_conv2d_attr *)n->attr)->groups == 1;
    return (vise_is_op(n, "linear") || conv) && g->value[n->in[1]].kind == VISE_VALUE_CONST;
}

uint32_t vise_rounded_operands(const vise_graph *g, const vise_node *n)
{
    if (vise_is_op(n, "attention")) return 3;
    return vise_is_matrix(g, n) ? 1 : 0;
}

vise_status vise_select(bool *named, const vise_graph *g, const char *list, const char *what,
                        vise_err *e)
{
    char pattern[VISE_LINE_PATTERN];
    while (*list) {
        size_t found = 0;
        VISE_TRY(vise_line_pattern(pattern, &list, what, e));
        for (size_t i = 0; i < g->nodes; i++) {
            if (fnmatch(pattern, g->node[i].name, 0) != 0) continue;
            named[i] = true;
            found++;
        }
        if (!found) return vise_fail(e, VISE_EARG, "%s%s: no layer has such a name", what, pattern);
    }
    return VISE_OK;
}
