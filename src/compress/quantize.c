/* quantize.c - weights as codes or short floats, operands rounded when the network runs
 *
 * Weights: of a linear and of a convolution of one group, one row per output channel, to the nearest
 * of 255 levels that reach from -max|w| to max|w|; what is coded already stays. Short floats: every
 * constant of two axes or more. Norms and biases stay as they are.
 *
 * Operands: acts=int8 takes each row's own range while running; acts=static takes ranges that
 * calibration pictures had, the same for all rows. Inputs of matrices have a zero point: without it
 * the network's error grows by a third to a half (docs/ARCHITECTURE.md).
 *
 * SPDX-License-Identifier: MIT */
#include "compress/calib.h"
#include "compress/pass.h"
#include "graph/actq.h"
#include "graph/ops.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>

enum { WEIGHTS_INT8, WEIGHTS_F16, WEIGHTS_BF16, WEIGHTS_F32 };
enum { ACTS_INT8, ACTS_STATIC, ACTS_BF16, ACTS_F32 };

typedef struct options {
    int weights, acts;
    const char *skip;
} options;

static const vise_pass_opt table[] = {
    {"weights", VISE_PASS_WORD, offsetof(options, weights), "int8|f16|bf16|f32", "int8",
     "how weight matrices are stored; int8: one scale per output channel"},
    {"acts", VISE_PASS_WORD, offsetof(options, acts), "int8|static|bf16|f32", "int8",
     "how inputs of layers are rounded; int8: by each token's range, static: by the range that "
     "calibration pictures had"},
    {"skip", VISE_PASS_TEXT, offsetof(options, skip), "PATTERN,...", "",
     "layers to leave as they are, by name; * stands for anything"},
    {0},
};

/* ---- which nodes ---- */

/* A matrix that is applied to rows: a linear, or a convolution of one group. */
static bool is_matrix(const vise_graph *g, const vise_node *n)
{
    const bool linear = !strcmp(n->op->name, "linear");
    const bool conv =
        !strcmp(n->op->name, "conv2d") && ((const vise_conv2d_attr *)n->attr)->groups == 1;
    return (linear || conv) && g->value[n->in[1]].kind == VISE_VALUE_CONST;
}

/* Does the first pattern of the list match? *next: where the list goes on. */
static vise_status match(bool *yes, const char **next, const char *list, const char *name,
                         vise_err *e)
{
    char pattern[VISE_MAX_NAME + 1];
    const size_t n = strcspn(list, ",");
    if (!n || n >= sizeof pattern)
        return vise_fail(e, VISE_EARG, "quantize skip=%.80s: an empty or a very long pattern",
                         list);
    memcpy(pattern, list, n);
    pattern[n] = 0;
    *yes = fnmatch(pattern, name, 0) == 0;
    *next = list + n + (list[n] == ',');
    return VISE_OK;
}

/* Which nodes the list names. Every pattern has to match one.   skip  out  [nodes] */
static vise_status find_skipped(bool *skip, const vise_graph *g, const char *list, vise_err *e)
{
    while (*list) {
        const char *next = list;
        size_t found = 0;
        for (size_t i = 0; i < g->nodes; i++) {
            bool yes = false;
            VISE_TRY(match(&yes, &next, list, g->node[i].name, e));
            skip[i] |= yes;
            found += yes;
        }
        if (!found)
            return vise_fail(e, VISE_EARG, "quantize skip=%.*s: no layer has such a name",
                             (int)strcspn(list, ","), list);
        list = next;
    }
    return VISE_OK;
}

/* ---- weights ---- */

typedef struct job {
    vise_change *c;
    const vise_graph *g; // as it was
    const options *o;
    bool *skip;        // [nodes]
    bool *kept;        // [values] constants that a skipped node reads
    bool *want;        // [values] whose ranges are needed
    vise_range *range; // [values]
} job;

static vise_status decode(float **out, const vise_const *c, vise_err *e)
{
    VISE_TRY(vise_alloc_or(out, vise_shape_count(&c->shape), sizeof **out, "decoding weights", e));
    vise_decode(*out, c);
    return VISE_OK;
}

/* Codes of rows; the kernel's sign bit flipped is a zero of 128. */
static vise_status to_codes(vise_const *out, job *j, const vise_const *in, vise_err *e)
{
    const vise_encoding enc = {.type = VISE_U8, .bits = 8, .zero = 128};
    const vise_code_layout l = vise_code_layout_of(&in->shape, &enc);
    const vise_quant how = vise_quant_of(VISE_QUANT_SYM, 8, 0x80);
    uint8_t *code;
    float *scale, *w;
    VISE_TRY(vise_change_alloc(j->c, &code, l.rows, l.stride, e));
    VISE_TRY(vise_change_alloc(j->c, &scale, l.rows, sizeof *scale, e));
    VISE_TRY(decode(&w, in, e));
    vise_kern k;
    vise_kern_c(&k);
    for (size_t i = 0; i < l.rows; i++) {
        vise_rowq q;
        k.quant_s8(code + i * l.cols, l.cols, l.cols, &q, w + i * l.cols, l.cols, 1, l.cols, &how);
        scale[i] = q.scale;
    }
    vise_free(w);
    *out = (vise_const){.shape = in->shape, .enc = enc, .data = code, .scale = scale};
    return VISE_OK;
}

static vise_status to_plain(vise_const *out, job *j, const vise_value *v, vise_dtype type,
                            vise_err *e)
{
    const vise_const *in = &v->data;
    const size_t n = vise_shape_count(&in->shape);
    void *data;
    float *w;
    if (out->data != in->data || (!in->enc.bits && in->enc.type == type)) return VISE_OK;
    VISE_TRY(vise_change_alloc(j->c, &data, n, vise_dtype_size(type), e));
    VISE_TRY(decode(&w, in, e));
    vise_from_f32(data, type, w, n);
    vise_status s = VISE_OK;
    for (size_t i = 0; !s && i < n; i++)
        if (!isfinite(vise_element_f32(type, data, i)))
            s = vise_fail(e, VISE_EFORMAT, "%s: element %zu is %g, too large for %s", v->name, i,
                          (double)w[i], vise_dtype_name(type));
    vise_free(w);
    *out = (vise_const){.shape = in->shape, .enc = {.type = type}, .data = data};
    return s;
}

static vise_status change_const(job *j, vise_id v, bool matrix, vise_err *e)
{
    static const vise_dtype plain[] = {
        [WEIGHTS_F16] = VISE_F16, [WEIGHTS_BF16] = VISE_BF16, [WEIGHTS_F32] = VISE_F32};
    const vise_value *value = &j->g->value[v];
    vise_const *out = &j->c->data[v];
    if (j->kept[v]) return VISE_OK;
    if (j->o->weights != WEIGHTS_INT8)
        return value->shape.rank < 2 ? VISE_OK : to_plain(out, j, value, plain[j->o->weights], e);
    // what is coded already stays as it is, a matrix that several nodes read too
    return matrix && !out->enc.bits ? to_codes(out, j, &value->data, e) : VISE_OK;
}

static vise_status change_weights(job *j, vise_err *e)
{
    const vise_graph *g = j->g;
    for (size_t i = 0; i < g->nodes; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            if (j->skip[i] && g->node[i].in[k] != VISE_NONE) j->kept[g->node[i].in[k]] = true;
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_node *n = &g->node[i];
        for (uint32_t k = 0; k < n->nin; k++) {
            if (n->in[k] == VISE_NONE || g->value[n->in[k]].kind != VISE_VALUE_CONST) continue;
            VISE_TRY(change_const(j, n->in[k], k == 1 && is_matrix(g, n), e));
        }
    }
    return VISE_OK;
}

/* ---- operands ---- */

/* How many operands of a node are rounded: 0, 1, or q, k and v. */
static uint32_t rounded_operands(const vise_graph *g, const vise_node *n)
{
    if (!strcmp(n->op->name, "attention")) return 3;
    return is_matrix(g, n) ? 1 : 0;
}

static vise_actq static_of(vise_range r, bool symmetric)
{
    const float most = r.hi > -r.lo ? r.hi : -r.lo;
    vise_actq q = {VISE_ACTQ_STATIC, 8, symmetric ? most / 127 : (r.hi - r.lo) / 254, 0};
    if (!(q.scale >= 1e-30f)) q.scale = 1; // nothing but zeros was seen
    const float zero = symmetric ? 0 : rintf(-127 - r.lo / q.scale);
    q.zero = (int32_t)(zero < -127 ? -127 : zero > 127 ? 127 : zero);
    return q;
}

static vise_actq rounding(const job *j, vise_id v, bool symmetric)
{
    switch (j->o->acts) {
    case ACTS_STATIC:
        return static_of(j->range[v], symmetric);
    case ACTS_BF16:
        return (vise_actq){.kind = VISE_ACTQ_BF16};
    case ACTS_INT8:
        return (vise_actq){.kind = symmetric ? VISE_ACTQ_SYM : VISE_ACTQ_ASYM, .bits = 8};
    default:
        return (vise_actq){0};
    }
}

static vise_status change_operands(job *j, vise_err *e)
{
    const vise_graph *g = j->g;
    for (size_t i = 0; i < g->nodes; i++)
        for (uint32_t k = 0; k < rounded_operands(g, &g->node[i]); k++)
            if (!j->skip[i]) j->want[g->node[i].in[k]] = true;
    if (j->o->acts == ACTS_STATIC) VISE_TRY(vise_calib_ranges(j->range, j->c, j->want, e));
    for (size_t i = 0; i < g->nodes; i++) {
        const uint32_t n = rounded_operands(g, &g->node[i]);
        for (uint32_t k = 0; k < n && !j->skip[i]; k++)
            j->c->actq[i][k] = rounding(j, g->node[i].in[k], n == 3);
    }
    return VISE_OK;
}

static vise_status run(job *j, vise_err *e)
{
    const vise_graph *g = j->g;
    VISE_TRY(vise_alloc_or(&j->skip, g->nodes, sizeof *j->skip, "quantize", e));
    VISE_TRY(vise_alloc_or(&j->kept, g->values, sizeof *j->kept, "quantize", e));
    VISE_TRY(vise_alloc_or(&j->want, g->values, sizeof *j->want, "quantize", e));
    VISE_TRY(vise_alloc_or(&j->range, g->values, sizeof *j->range, "quantize", e));
    VISE_TRY(find_skipped(j->skip, g, j->o->skip, e));
    VISE_TRY(change_weights(j, e));
    return change_operands(j, e);
}

static vise_status apply(vise_change *c, const void *opts, vise_err *e)
{
    job j = {.c = c, .g = &c->from->graph, .o = opts};
    const vise_status s = run(&j, e);
    vise_free(j.range);
    vise_free(j.want);
    vise_free(j.kept);
    vise_free(j.skip);
    return s;
}

extern const vise_pass vise_pass_quantize;
const vise_pass vise_pass_quantize = {.name = "quantize",
                                      .summary = "fewer bits for weights, and for what they meet",
                                      .opts = table,
                                      .opts_size = sizeof(options),
                                      .apply = apply};
