/* quant.c - linear layers, coded weights and rounded operands in ONNX
 *
 * Static roundings become QuantizeLinear and DequantizeLinear around a product in f32: the form from
 * which runtimes make integer products. Those that follow each row's range can only follow a whole
 * tensor's: DynamicQuantizeLinear and MatMulInteger.
 *
 * SPDX-License-Identifier: MIT */
#include "model/onnx/build.h"

#include <math.h>

/* ---- roundings ---- */

/* Codes in [-127, 127] are written with 128 added: u8 operands are what runtimes are fast with. */
const char *vise_onnx_rounded(vise_onnx *w, const char *x, const vise_actq *q)
{
    uint8_t *zero = vise_onnx_keep(w, 1, 1);
    if (!zero) return "";
    *zero = (uint8_t)(q->zero + 128);
    const char *scale = vise_onnx_scalar(w, (double)q->scale);
    const char *z = vise_onnx_tensor(w, NULL, VISE__ONNX__TENSOR__TYPE__U8, &(vise_shape){0}, zero);
    x = vise_onnx_node(w, "QuantizeLinear", VISE_ONNX_IN(x, scale, z), NULL);
    return vise_onnx_node(w, "DequantizeLinear", VISE_ONNX_IN(x, scale, z), NULL);
}

vise_onnx_codes vise_onnx_quantized(vise_onnx *w, const char *x)
{
    const char *out[3];
    vise_onnx_node_n(w, "DynamicQuantizeLinear", VISE_ONNX_IN(x), NULL, 3, out);
    w->per_tensor = true;
    return (vise_onnx_codes){out[0], out[1], out[2]};
}

const char *vise_onnx_multiplied(vise_onnx *w, const vise_onnx_codes *a, const vise_onnx_codes *b,
                                 const char *scale)
{
    const char *y =
        vise_onnx_node(w, "MatMulInteger", VISE_ONNX_IN(a->code, b->code, a->zero, b->zero), NULL);
    y = vise_onnx_node(w, "Cast", VISE_ONNX_IN(y),
                       VISE_ONNX_ATTR({"to", .i = VISE__ONNX__TENSOR__TYPE__F32}));
    const char *by = vise_onnx_2(w, "Mul", a->scale, b->scale);
    if (scale) by = vise_onnx_2(w, "Mul", by, scale);
    return vise_onnx_2(w, "Mul", y, by);
}

/* ---- coded weights ---- */

bool vise_onnx_is_coded(const vise_onnx *w, vise_id v)
{
    const vise_value *x = &w->g->value[v];
    const vise_encoding *enc = &x->data.enc;
    return x->kind == VISE_VALUE_CONST && enc->bits && enc->levels == VISE_AFFINE && !enc->group &&
           x->shape.rank && enc->zero <= 128 && (1 << enc->bits) - 1 - enc->zero <= 127;
}

static const float *scales_of(const vise_onnx *w, vise_id v)
{
    return w->g->value[v].data.scale;
}

/* The levels of a coded weight as signed bytes; transposed: [cols, rows]. */
static const char *bytes_of(vise_onnx *w, vise_id v, bool transposed)
{
    const vise_value *x = &w->g->value[v];
    const size_t count = vise_shape_count(&x->shape), rows = x->shape.dim[0], cols = count / rows;
    const vise_shape across = {2, {cols, rows}};
    if (w->codes[transposed][v]) return w->codes[transposed][v];
    int8_t *to = vise_onnx_keep(w, count, 1);
    float *level = vise_onnx_keep(w, cols, sizeof *level);
    const float one = 1;
    vise_const row =
        x->data; // one row of levels at a time: codes of any width, as they are decoded
    row.shape = (vise_shape){2, {1, cols}};
    row.scale = &one;
    const size_t stride = (cols * x->data.enc.bits + 7) / 8;
    for (size_t i = 0; i < rows && !w->status; i++) {
        row.data = (const uint8_t *)x->data.data + i * stride;
        vise_decode(level, &row);
        for (size_t j = 0; j < cols; j++)
            to[transposed ? j * rows + i : i * cols + j] = (int8_t)level[j];
    }
    w->codes[transposed][v] = vise_onnx_tensor(w, NULL, VISE__ONNX__TENSOR__TYPE__S8,
                                               transposed ? &across : &x->shape, to);
    return w->codes[transposed][v];
}

static const char *scale_tensor(vise_onnx *w, vise_id v)
{
    return vise_onnx_floats(w, &(vise_shape){1, {vise_onnx_shape(w, v)->dim[0]}}, scales_of(w, v));
}

const char *vise_onnx_weight(vise_onnx *w, vise_id v)
{
    if (!vise_onnx_is_coded(w, v)) return vise_onnx_in(w, v);
    const size_t rows = vise_onnx_shape(w, v)->dim[0];
    // zeros are the default, but integer kernels are chosen by looking for this operand
    const char *zero = vise_onnx_tensor(w, NULL, VISE__ONNX__TENSOR__TYPE__S8,
                                        &(vise_shape){1, {rows}}, vise_onnx_keep(w, rows, 1));
    return vise_onnx_node(w, "DequantizeLinear",
                          VISE_ONNX_IN(bytes_of(w, v, false), scale_tensor(w, v), zero),
                          VISE_ONNX_ATTR({"axis", .i = 0}));
}

/* ---- linear ---- */

/* The bias in units of the products of codes, dequantized: the form that integer kernels look for.
 * NULL where that loses what it should not: such units are too small, or zero. */
static const char *bias_in_codes(vise_onnx *w, const vise_node *n)
{
    const size_t N = vise_onnx_shape(w, n->in[1])->dim[0];
    const float *b = vise_onnx_numbers(w, n->in[2]), *s = scales_of(w, n->in[1]);
    float *unit = vise_onnx_keep(w, N, sizeof *unit);
    int32_t *code = vise_onnx_keep(w, N, sizeof *code);
    for (size_t i = 0; i < N && !w->status; i++) {
        unit[i] = n->actq[0].scale * s[i];
        const double units = (double)b[i] / (double)unit[i];
        if (!(fabs(units) < 0x1p30)) return NULL;
        code[i] = (int32_t)lrint(units);
    }
    const vise_shape shape = {1, {N}};
    const char *q = vise_onnx_tensor(w, NULL, VISE__ONNX__TENSOR__TYPE__S32, &shape, code);
    return vise_onnx_node(w, "DequantizeLinear", VISE_ONNX_IN(q, vise_onnx_floats(w, &shape, unit)),
                          VISE_ONNX_ATTR({"axis", .i = 0}));
}

/* y = x w^T + b of rows, by Gemm: the weight stays [N, K]. */
static const char *gemm(vise_onnx *w, const vise_node *n, bool has_bias)
{
    const vise_shape *xs = vise_onnx_shape(w, n->in[0]);
    const size_t K = xs->dim[xs->rank - 1];
    const bool fixed = n->actq[0].kind == VISE_ACTQ_STATIC;
    const char *x = vise_onnx_in(w, n->in[0]), *bias = NULL, *y;
    if (xs->rank > 1) x = vise_onnx_reshape(w, x, &(vise_shape){1, {K}});
    if (fixed) x = vise_onnx_rounded(w, x, &n->actq[0]);
    const char *weight = vise_onnx_weight(w, n->in[1]);
    const bool codes = fixed && vise_onnx_is_coded(w, n->in[1]);
    if (has_bias) bias = codes ? bias_in_codes(w, n) : vise_onnx_in(w, n->in[2]);
    const bool late = has_bias && !bias; // added to the product, which stays one of codes
    y = vise_onnx_node(w, "Gemm", VISE_ONNX_IN(x, weight, bias),
                       VISE_ONNX_ATTR({"transB", .i = 1}));
    if (late) y = vise_onnx_2(w, "Add", y, vise_onnx_in(w, n->in[2]));
    return xs->rank > 1 ? vise_onnx_reshape(w, y, vise_onnx_shape(w, n->out)) : y;
}

const char *vise_onnx_linear(vise_onnx *w, const vise_node *n)
{
    const vise_actq_kind kind = n->actq[0].kind;
    const bool by_row = kind == VISE_ACTQ_SYM || kind == VISE_ACTQ_ASYM;
    const bool bias = n->nin > 2 && n->in[2] != VISE_NONE;
    if (!by_row || !vise_onnx_is_coded(w, n->in[1])) {
        w->in_f32 |= by_row || kind == VISE_ACTQ_BF16;
        return gemm(w, n, bias);
    }
    const vise_onnx_codes x = vise_onnx_quantized(w, vise_onnx_in(w, n->in[0]));
    const vise_onnx_codes weight = {bytes_of(w, n->in[1], true), scale_tensor(w, n->in[1]), NULL};
    const char *y = vise_onnx_multiplied(w, &x, &weight, NULL);
    return bias ? vise_onnx_2(w, "Add", y, vise_onnx_in(w, n->in[2])) : y;
}
