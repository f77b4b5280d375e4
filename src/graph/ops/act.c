/* act.c - y = f(x), elementwise
 *
 *   x  in   [...]
 *   y  out  [...]
 *
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "graph/ops_util.h"

#include <math.h>

const char *const vise_act_names[] = {"gelu",     "gelu_tanh", "gelu_quick", "relu",
                                      "relu6",    "hardswish", "silu",       "sigmoid",
                                      "softplus", "tanh",      NULL};

static const vise_attr_def attrs[] = {
    {"kind", VISE_ATTR_WORD, offsetof(vise_act_attr, kind), 0, 0, VISE_ACT_TANH, vise_act_names},
    {0},
};

static vise_status shape(const vise_sig *s, vise_shape *out, vise_err *e)
{
    (void)e; // nothing can be wrong
    *out = *s->in[0];
    return VISE_OK;
}

static const float sqrt_half = 0.70710678118654752f;
static const float sqrt_2_pi = 0.79788456080286536f; // sqrt(2 / pi)
static const float rsqrt_2pi = 0.39894228040143268f; // 1 / sqrt(2 pi)
static const float cubic = 0.044715f;                // of gelu_tanh
static const float quick = 1.702f;                   // of gelu_quick

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

/* Comparisons are written so that NaN stays NaN. */
static float clamp(float x, float lo, float hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static float value(vise_act kind, float x)
{
    switch (kind) {
    case VISE_ACT_GELU:
        return 0.5f * x * (1 + erff(x * sqrt_half));
    case VISE_ACT_GELU_TANH:
        return 0.5f * x * (1 + tanhf(sqrt_2_pi * (x + cubic * x * x * x)));
    case VISE_ACT_GELU_QUICK:
        return x * sigmoid(quick * x);
    case VISE_ACT_RELU:
        return x < 0 ? 0 : x;
    case VISE_ACT_RELU6:
        return clamp(x, 0, 6);
    case VISE_ACT_HARDSWISH:
        return x * clamp(x + 3, 0, 6) / 6;
    case VISE_ACT_SILU:
        return x * sigmoid(x);
    case VISE_ACT_SIGMOID:
        return sigmoid(x);
    case VISE_ACT_SOFTPLUS: // log(1 + e^x) without overflow
        return (x < 0 ? 0 : x) + log1pf(expf(-fabsf(x)));
    case VISE_ACT_TANH:
        return tanhf(x);
    }
    return NAN; // attributes are checked: not reached
}

/* f'(x); where f has a kink, the derivative from the left. */
static float slope(vise_act kind, float x)
{
    float s, t;
    switch (kind) {
    case VISE_ACT_GELU: // Phi(x) + x phi(x)
        return 0.5f * (1 + erff(x * sqrt_half)) + x * rsqrt_2pi * expf(-0.5f * x * x);
    case VISE_ACT_GELU_TANH:
        t = tanhf(sqrt_2_pi * (x + cubic * x * x * x));
        return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * sqrt_2_pi * (1 + 3 * cubic * x * x);
    case VISE_ACT_GELU_QUICK:
        s = sigmoid(quick * x);
        return s + quick * x * s * (1 - s);
    case VISE_ACT_RELU:
        return x <= 0 ? 0 : 1;
    case VISE_ACT_RELU6:
        return x <= 0 || x > 6 ? 0 : 1;
    case VISE_ACT_HARDSWISH:
        return x <= -3 ? 0 : x > 3 ? 1 : (2 * x + 3) / 6;
    case VISE_ACT_SILU:
        s = sigmoid(x);
        return s + x * s * (1 - s);
    case VISE_ACT_SIGMOID:
        s = sigmoid(x);
        return s * (1 - s);
    case VISE_ACT_SOFTPLUS:
        return sigmoid(x);
    case VISE_ACT_TANH:
        t = tanhf(x);
        return 1 - t * t;
    }
    return NAN;
}

static size_t elements(const vise_call *c)
{
    return vise_call_images(c) * vise_shape_count(c->out[0].shape);
}

static void forward(const vise_call *c)
{
    const vise_act kind = (vise_act)((const vise_act_attr *)c->attr)->kind;
    const size_t n = elements(c);
    for (size_t i = 0; i < n; i++)
        c->out[0].data[i] = value(kind, c->in[0].data[i]);
}

vise_backward_fn vise_act_backward;
void vise_act_backward(const vise_call *c, const float *dout, float *const din[])
{
    const vise_act kind = (vise_act)((const vise_act_attr *)c->attr)->kind;
    const size_t n = elements(c);
    for (size_t i = 0; din[0] && i < n; i++)
        din[0][i] += dout[i] * slope(kind, c->in[0].data[i]);
}

const vise_op vise_op_act = {.name = "act",
                             .min_in = 1,
                             .max_in = 1,
                             .attr_size = sizeof(vise_act_attr),
                             .attrs = attrs,
                             .shape = shape,
                             .forward = forward};
