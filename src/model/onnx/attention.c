/* attention.c - activations and attention in ONNX
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "model/onnx/build.h"

#include <math.h>

/* ---- activations ---- */

static const char *by(vise_onnx *w, const char *op, const char *x, double c)
{
    return vise_onnx_2(w, op, x, vise_onnx_scalar(w, c));
}

/* x/2 (1 + inner). */
static const char *half_gate(vise_onnx *w, const char *x, const char *inner)
{
    return by(w, "Mul", vise_onnx_2(w, "Mul", x, by(w, "Add", inner, 1)), 0.5);
}

static const char *gelu_tanh(vise_onnx *w, const char *x)
{
    const char *cube = vise_onnx_2(w, "Mul", vise_onnx_2(w, "Mul", x, x), x);
    const char *sum = vise_onnx_2(w, "Add", x, by(w, "Mul", cube, 0.044715));
    return half_gate(w, x, vise_onnx_1(w, "Tanh", by(w, "Mul", sum, 0.79788456080286536)));
}

const char *vise_onnx_act(vise_onnx *w, const vise_node *n)
{
    const char *x = vise_onnx_in(w, n->in[0]);
    switch ((vise_act)((const vise_act_attr *)n->attr)->kind) {
    case VISE_ACT_GELU: // the decomposed form is what runtimes look for
        return half_gate(w, x, vise_onnx_1(w, "Erf", by(w, "Div", x, 1.4142135623730951)));
    case VISE_ACT_GELU_TANH:
        return gelu_tanh(w, x);
    case VISE_ACT_GELU_QUICK:
        return vise_onnx_2(w, "Mul", x, vise_onnx_1(w, "Sigmoid", by(w, "Mul", x, 1.702)));
    case VISE_ACT_RELU:
        return vise_onnx_1(w, "Relu", x);
    case VISE_ACT_RELU6:
        return vise_onnx_node(
            w, "Clip", VISE_ONNX_IN(x, vise_onnx_scalar(w, 0), vise_onnx_scalar(w, 6)), NULL);
    case VISE_ACT_HARDSWISH:
        return vise_onnx_1(w, "HardSwish", x);
    case VISE_ACT_SILU:
        return vise_onnx_2(w, "Mul", x, vise_onnx_1(w, "Sigmoid", x));
    case VISE_ACT_SIGMOID:
        return vise_onnx_1(w, "Sigmoid", x);
    case VISE_ACT_SOFTPLUS:
        return vise_onnx_1(w, "Softplus", x);
    case VISE_ACT_TANH:
        return vise_onnx_1(w, "Tanh", x);
    }
    return ""; // attributes are checked: not reached
}

/* ---- attention ---- */

/* [..., T, H D] to [..., H, T, D], or with across to [..., H, D, T]. */
static const char *heads(vise_onnx *w, const char *x, const vise_shape *s, size_t H, bool across)
{
    vise_shape split = *s;
    const uint32_t r = s->rank; // of the value; in the tensor, axis r is the last
    split.dim[r - 1] = H;
    split.dim[r] = s->dim[r - 1] / H;
    vise_onnx_ints order = {.n = r + 2};
    for (uint32_t i = 0; i < r + 2; i++)
        order.v[i] = i;
    order.v[r - 1] = r;
    order.v[r] = across ? r + 1 : r - 1;
    order.v[r + 1] = across ? r - 1 : r + 1;
    split.rank++;
    return vise_onnx_permute(w, vise_onnx_reshape(w, x, &split), order);
}

enum { Q, K, V, BIAS, SIZE };

static const char *products(vise_onnx *w, const vise_node *n, size_t H, double scale)
{
    const char *x[2];
    vise_onnx_codes c[2];
    const vise_actq_kind kind = n->actq[Q].kind;
    const bool by_row = kind == VISE_ACTQ_SYM || kind == VISE_ACTQ_ASYM;
    for (int i = Q; i <= K; i++) {
        x[i] = vise_onnx_in(w, n->in[i]);
        if (by_row) {
            c[i] = vise_onnx_quantized(w, x[i]);
            x[i] = c[i].code;
        } else if (n->actq[i].kind == VISE_ACTQ_STATIC) {
            x[i] = vise_onnx_rounded(w, x[i], &n->actq[i]);
        }
        x[i] = heads(w, x[i], vise_onnx_shape(w, n->in[i]), H, i == K);
        c[i].code = x[i];
    }
    if (by_row) return vise_onnx_multiplied(w, &c[Q], &c[K], vise_onnx_scalar(w, scale));
    return by(w, "Mul", vise_onnx_2(w, "MatMul", x[Q], x[K]), scale);
}

/* Probabilities stay in f32, and v with them: one scale for all of a tensor is too coarse for them,
 * where vise has one per row. */
const char *vise_onnx_attention(vise_onnx *w, const vise_node *n)
{
    const vise_attention_attr *a = n->attr;
    const size_t H = (size_t)a->heads;
    const vise_shape *q = vise_onnx_shape(w, n->in[Q]), *v = vise_onnx_shape(w, n->in[V]);
    const size_t Dk = q->dim[q->rank - 1] / H;
    int8_t level[256];
    if (vise_attention_levels(a, level))
        vise_onnx_fail(w, vise_fail(w->e, VISE_EFORMAT,
                                    "%s: probabilities of %d bits and step %g cannot be written as "
                                    "ONNX",
                                    n->name, (int)a->prob_bits, a->prob_step));
    const char *y = products(w, n, H, a->scale != 0 ? a->scale : 1 / sqrt((double)Dk));
    w->in_f32 |= n->actq[V].kind != VISE_ACTQ_NONE;
    if (n->nin > BIAS && n->in[BIAS] != VISE_NONE)
        y = vise_onnx_2(w, "Add", y, vise_onnx_widened(w, n->in[BIAS], q->rank + 1));
    if (n->nin > SIZE && n->in[SIZE] != VISE_NONE) {
        vise_shape s = *vise_onnx_shape(w, n->in[SIZE]); // [..., S] to [..., 1, 1, S]
        s.dim[s.rank + 1] = s.dim[s.rank - 1];
        s.dim[s.rank] = s.dim[s.rank - 1] = 1;
        s.rank += 2;
        const char *log = vise_onnx_1(w, "Log", vise_onnx_in(w, n->in[SIZE]));
        y = vise_onnx_2(w, "Add", y, vise_onnx_reshape(w, log, &s));
    }
    y = vise_onnx_node(w, "Softmax", VISE_ONNX_IN(y), VISE_ONNX_ATTR({"axis", .i = -1}));
    y = vise_onnx_2(w, "MatMul", y, heads(w, vise_onnx_in(w, n->in[V]), v, H, false));
    vise_onnx_ints back = {.n = q->rank + 2};
    for (uint32_t i = 0; i < back.n; i++)
        back.v[i] = i;
    back.v[q->rank - 1] = q->rank;
    back.v[q->rank] = q->rank - 1;
    return vise_onnx_reshape(w, vise_onnx_permute(w, y, back), vise_onnx_shape(w, n->out));
}
