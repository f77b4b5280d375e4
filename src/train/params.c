/* params.c - masters, scales and centroids, and the codes that follow from them
 * SPDX-License-Identifier: MIT */
#include "train/params.h"
#include "model/line.h"
#include "train/groups.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 16, MOST_LEVELS = 256, MOST_LEVEL = 127 }; // PIECE: rows of one task

/* ---- which, and how fast ---- */

/* Which constants a list of patterns names; each has to name one.   named  inout  [values] */
static vise_status select_constants(bool *named, const vise_graph *g, const char *list,
                                    const char *what, vise_err *e)
{
    char pattern[VISE_LINE_PATTERN];
    while (*list) {
        bool found = false;
        VISE_TRY(vise_line_pattern(pattern, &list, what, e));
        for (vise_id v = 0; v < g->values; v++) {
            if (g->value[v].kind != VISE_VALUE_CONST || fnmatch(pattern, g->value[v].name, 0) != 0)
                continue;
            named[v] = found = true;
        }
        if (!found)
            return vise_fail(e, VISE_EARG, "%s%s: no tensor has such a name", what, pattern);
    }
    return VISE_OK;
}

/* ---- opening ---- */

static bool is_half(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        float back;
        vise_from_f32(&half, VISE_F16, &x[i], 1);
        vise_to_f32(&back, VISE_F16, &half, 1);
        if (back != x[i]) return false;
    }
    return true;
}

/* Levels that are signed bytes? */
static bool is_whole(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != rintf(x[i]) || fabsf(x[i]) > MOST_LEVEL) return false;
    return true;
}

/* A copy that the change owns. */
static vise_status own(vise_change *c, void *out, const void *from, size_t bytes, vise_err *e)
{
    void *p;
    VISE_TRY(vise_change_alloc(c, &p, bytes, 1, e));
    memcpy(p, from, bytes);
    memcpy(out, &p, sizeof p);
    return VISE_OK;
}

static vise_status open_coded(vise_trained *t, vise_change *c, vise_err *e)
{
    const vise_const *k = &c->data[t->from];
    const vise_code_layout l = vise_code_layout_of(&k->shape, &k->enc);
    t->scales = l.rows * l.scales;
    t->mult = k->mult;
    if (k->enc.levels == VISE_CODEBOOK) {
        t->levels = vise_books_of(&k->shape, &k->enc) << k->enc.bits;
        t->whole = is_whole(k->codebook, t->levels);
    }
    t->half = is_half(k->scale, t->scales);
    t->first = k->scale;
    VISE_TRY(own(c, &t->data, k->data, l.rows * l.stride, e));
    VISE_TRY(own(c, &t->scale, k->scale, t->scales * sizeof(float), e));
    if (t->levels) VISE_TRY(own(c, &t->codebook, k->codebook, t->levels * sizeof(float), e));
    const size_t floats = 2 * (t->scales + t->levels);
    VISE_TRY(vise_alloc_or(&t->log_scale, floats, sizeof(float), "a trained constant", e));
    t->dlog_scale = t->log_scale + t->scales;
    t->book = t->dlog_scale + t->scales;
    t->dbook = t->book + t->levels;
    if (t->levels) memcpy(t->book, k->codebook, t->levels * sizeof(float));
    c->data[t->from].data = t->data;
    c->data[t->from].scale = t->scale;
    c->data[t->from].codebook = t->codebook;
    return VISE_OK;
}

static vise_status open_one(vise_trained *t, vise_change *c, vise_err *e)
{
    vise_const *k = &c->data[t->from];
    const vise_const *was = &c->from->graph.value[t->from].data; // f32, if it is bf16 for a while
    t->enc = k->enc;
    t->n = vise_shape_count(&k->shape);
    t->cols = k->shape.rank ? t->n / k->shape.dim[0] : 1;
    t->plain = !k->enc.bits && k->enc.type == VISE_F32;
    if (!k->enc.bits) {
        VISE_TRY(own(c, &t->data, k->data, t->n * vise_dtype_size(k->enc.type), e));
        k->data = t->data;
    }
    if (t->plain) {
        t->x = t->data;
        return VISE_OK;
    }
    VISE_TRY(vise_alloc_or(&t->x, t->n, sizeof(float), "a trained constant", e));
    vise_decode(t->x, k->enc.bits ? k : was);
    return k->enc.bits ? open_coded(t, c, e) : VISE_OK;
}

static bool is_float(const vise_const *k)
{
    return k->enc.bits || k->enc.type == VISE_F32 || k->enc.type == VISE_F16 ||
           k->enc.type == VISE_BF16;
}

/* Those that are named, and not skipped, and that a node reads. */
static vise_status open_named(vise_params *p, const bool *only, const bool *skip, vise_err *e)
{
    const vise_graph *g = &p->c->from->graph;
    VISE_TRY(vise_alloc_or(&p->trained, g->values, sizeof *p->trained, "parameters", e));
    for (vise_id v = 0; v < g->values; v++) {
        if (g->value[v].kind != VISE_VALUE_CONST || !is_float(&p->c->data[v]) || !only[v] ||
            skip[v] || !vise_graph_reads(g, v, 0, g->nodes))
            continue;
        vise_trained *t = &p->trained[p->count++];
        *t = (vise_trained){.name = g->value[v].name, .from = v};
        VISE_TRY(open_one(t, p->c, e));
    }
    return VISE_OK;
}

static vise_status open_all(vise_params *p, const vise_params_opts *o, vise_err *e)
{
    const vise_graph *g = &p->c->from->graph;
    bool *only;
    VISE_TRY(vise_alloc_or(&only, 2 * g->values, sizeof *only, "parameters", e));
    bool *skip = only + g->values;
    memset(only, !*o->only, g->values);
    vise_status s = select_constants(only, g, o->only, "only=", e);
    if (!s) s = select_constants(skip, g, o->skip, "skip=", e);
    if (!s) s = open_named(p, only, skip, e);
    vise_free(only);
    if (!s && !p->count)
        s = vise_fail(e, VISE_EARG, "only=%.100s skip=%.100s: nothing is left to train", o->only,
                      o->skip);
    return s;
}

/* The root mean square: a step of a codebook is relative to it. */
static double size_of(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum / (double)n);
}

/* The constant that x is of; NULL: it is an operand's scale. */
static const vise_trained *owner(const vise_params *p, const vise_param *x)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->trained[i].name == x->name) return &p->trained[i];
    return NULL;
}

bool vise_params_is_idle(const vise_params *p, const vise_param *x)
{
    const vise_trained *t = owner(p, x);
    bool idle = t && t->idle;
    for (size_t i = 0; !t && i < p->operands.scales; i++)
        idle |= x->x == &p->operands.scale[i].log && p->operands.scale[i].idle;
    return idle;
}

static void list_constants(vise_params *p, const vise_params_opts *o, vise_id *value)
{
    for (size_t i = 0; i < p->count; i++) {
        const vise_trained *t = &p->trained[i];
        const vise_param of[3] = {{.name = t->name, .x = t->x, .n = t->n},
                                  {t->name, t->log_scale, t->dlog_scale, t->scales, 0, 0},
                                  {t->name, t->book, t->dbook, t->levels, 0, 0}};
        const bool moves = o->scales > 0 && t->enc.bits;
        const bool used[3] = {!t->enc.bits || !o->fixed_codes, moves,
                              moves && t->levels && !t->enc.multiplied}; // those are bounded
        for (size_t k = 0; k < 3; k++) {
            value[p->params] = t->from;
            if (used[k]) p->param[p->params++] = of[k];
        }
    }
}

static void list_operands(vise_params *p, const vise_params_opts *o, vise_id *value)
{
    const vise_graph *g = &p->c->from->graph;
    for (size_t i = 0; o->scales > 0 && !*o->only && i < p->operands.scales; i++) {
        vise_operand_scale *s = &p->operands.scale[i];
        value[p->params] = s->value;
        p->param[p->params++] = (vise_param){g->value[s->value].name, &s->log, &s->dlog, 1, 0, 0};
    }
}

static vise_status list_params(vise_params *p, const vise_params_opts *o, vise_err *e)
{
    const vise_groups how = {o->decay, o->layers};
    const size_t most = 3 * p->count + p->operands.scales;
    vise_id *value;
    VISE_TRY(vise_alloc_or(&p->param, most, sizeof *p->param, "parameters", e));
    VISE_TRY(vise_alloc_or(&value, most, sizeof *value, "parameters", e));
    list_constants(p, o, value);
    list_operands(p, o, value);
    vise_groups_apply(&how, &p->c->from->graph, value, p->param, p->params);
    vise_free(value);
    for (size_t i = 0; i < p->params; i++) {
        const vise_trained *t = owner(p, &p->param[i]);
        if (t && p->param[i].x == t->x) continue;
        p->param[i].decay = 0; // scales and codebooks
        p->param[i].rate *= (float)o->scales;
        if (t && p->param[i].x == t->book) p->param[i].rate *= (float)size_of(t->book, t->levels);
    }
    return VISE_OK;
}

vise_status vise_params_open(vise_params *p, vise_change *c, const vise_params_opts *o, vise_err *e)
{
    *p = (vise_params){.c = c, .fixed_codes = o->fixed_codes};
    VISE_TRY(open_all(p, o, e));
    VISE_TRY(vise_change_build(&p->net.graph, c, e));
    VISE_TRY(vise_operand_scales_open(&p->operands, c, &p->net.graph, e));
    VISE_TRY(list_params(p, o, e));
    p->net.recipe = c->from->recipe;
    p->net.family = c->from->family;
    VISE_TRY(vise_alloc_or(&p->want, p->net.graph.values, sizeof *p->want, "parameters", e));
    for (size_t i = 0; i < p->count; i++) {
        p->trained[i].to = vise_graph_find(&p->net.graph, p->trained[i].name);
        if (p->trained[i].to != VISE_NONE) p->want[p->trained[i].to] = true;
    }
    return VISE_OK;
}

void vise_params_close(vise_params *p)
{
    for (size_t i = 0; p->trained && i < p->count; i++) {
        if (!p->trained[i].plain) vise_free(p->trained[i].x);
        vise_free(p->trained[i].log_scale);
    }
    vise_operand_scales_close(&p->operands);
    vise_graph_free(&p->net.graph);
    vise_free(p->trained);
    vise_free(p->param);
    vise_free(p->want);
    *p = (vise_params){0};
}

void vise_params_connect(vise_params *p, const vise_tape *t)
{
    for (size_t i = 0; i < p->params; i++) {
        const vise_trained *w = owner(p, &p->param[i]);
        if (w && p->param[i].x == w->x) p->param[i].grad = t->grad[w->to];
    }
}

/* ---- rows of a coded constant ---- */

typedef struct job {
    const vise_trained *t;
    vise_code_layout l;
    const float *value; // [n] as the network has it
    float *grad;        // [n]
    bool fixed;
} job;

/* The codebook of a row, ascending, and where its entries were; its grid if it has none. */
typedef struct ladder {
    float level[MOST_LEVELS];
    uint8_t code[MOST_LEVELS];
    size_t n;
} ladder;

static int by_level(const void *a, const void *b)
{
    const float *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void ladder_of(ladder *d, const vise_trained *t, size_t row)
{
    struct {
        float level;
        uint32_t code;
    } pair[MOST_LEVELS];
    const size_t count = (size_t)1 << t->enc.bits;
    const float *book = NULL;
    if (t->levels) book = t->codebook + (t->enc.book_rows ? row / t->enc.book_rows * count : 0);
    d->n = 0;
    for (size_t i = 0; i < count; i++) {
        const float level = book ? book[i] : (float)((int32_t)i - t->enc.zero);
        if (!book && fabsf(level) > MOST_LEVEL) continue; // no level of a signed byte
        pair[d->n].level = level;
        pair[d->n++].code = (uint32_t)i;
    }
    if (book) qsort(pair, d->n, sizeof *pair, by_level);
    for (size_t i = 0; i < d->n; i++) {
        d->level[i] = pair[i].level;
        d->code[i] = (uint8_t)pair[i].code;
    }
}

static size_t nearest(const ladder *d, float x)
{
    size_t lo = 0, hi = d->n - 1;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (x > (d->level[mid] + d->level[mid + 1]) / 2)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* Half a gap beyond the first and the last level: what is there is rounded, what is farther is cut. */
static void range_of(const ladder *d, float *lo, float *hi)
{
    const size_t last = d->n - 1;
    size_t i = 0, k = last;
    while (i < last && d->level[i] == d->level[0])
        i++;
    while (k > 0 && d->level[k] == d->level[last])
        k--;
    *lo = d->level[0] - (d->level[i] - d->level[0]) / 2;
    *hi = d->level[last] + (d->level[last] - d->level[k]) / 2;
}

/* What a level is multiplied by in columns of a group. */
static float step_of(const job *j, size_t row, size_t group)
{
    const vise_trained *t = j->t;
    if (t->enc.multiplied) return t->scale[row] * (float)t->mult[row * j->l.groups + group];
    return t->scale[row * j->l.scales + group];
}

static void put_code(uint8_t *row, size_t col, uint32_t bits, unsigned code)
{
    const size_t at = col * bits;
    unsigned word = row[at / 8], mask = (1u << bits) - 1;
    const bool two = at % 8 + bits > 8;
    if (two) word |= (unsigned)row[at / 8 + 1] << 8;
    word = (word & ~(mask << at % 8)) | code << at % 8;
    row[at / 8] = (uint8_t)word;
    if (two) row[at / 8 + 1] = (uint8_t)(word >> 8);
}

static unsigned get_code(const uint8_t *row, size_t col, uint32_t bits)
{
    const size_t at = col * bits;
    unsigned word = row[at / 8];
    if (at % 8 + bits > 8) word |= (unsigned)row[at / 8 + 1] << 8;
    return word >> at % 8 & ((1u << bits) - 1);
}

static void encode_rows(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    const vise_trained *t = j->t;
    const size_t group = t->enc.group ? t->enc.group : t->cols;
    ladder d = {.n = 0};
    for (size_t r = from; r < to; r++) {
        uint8_t *codes = (uint8_t *)t->data + r * j->l.stride;
        if (r == from || (t->levels && t->enc.book_rows)) ladder_of(&d, t, r);
        for (size_t c = 0; c < t->cols; c++) {
            const float step = step_of(j, r, c / group);
            const size_t at = step > 0 ? nearest(&d, t->x[r * t->cols + c] / step) : 0;
            if (step > 0) put_code(codes, c, t->enc.bits, d.code[at]);
        }
    }
}

static void encode_scales(const vise_trained *t)
{
    for (size_t i = 0; i < t->scales; i++) {
        t->scale[i] = t->first[i] * expf(t->log_scale[i]);
        if (!t->half) continue;
        uint16_t half;
        vise_from_f32(&half, VISE_F16, &t->scale[i], 1);
        vise_to_f32(&t->scale[i], VISE_F16, &half, 1);
    }
    for (size_t i = 0; i < t->levels; i++)
        t->codebook[i] =
            t->whole ? fminf(fmaxf(rintf(t->book[i]), -MOST_LEVEL), MOST_LEVEL) : t->book[i];
}

void vise_params_encode(vise_params *p, vise_dense *d)
{
    for (size_t i = 0; i < p->count; i++) {
        vise_trained *t = &p->trained[i];
        if (t->idle || t->plain) continue;
        if (!t->enc.bits) {
            vise_from_f32(t->data, t->enc.type, t->x, t->n);
            continue;
        }
        const vise_shape *s = &p->c->data[t->from].shape;
        job j = {.t = t, .l = vise_code_layout_of(s, &t->enc)};
        encode_scales(t);
        if (!p->fixed_codes) vise_dense_rows(d, j.l.rows, PIECE, encode_rows, &j);
    }
    vise_operand_scales_encode(&p->operands, p->c, &p->net.graph);
}

/* ---- gradients of a coded constant ---- */

/* Of scales: value and, where it is inside of the levels, its master are what the scale moves. */
static void scale_rows(void *ctx, size_t from, size_t to)
{
    const job *j = ctx;
    const vise_trained *t = j->t;
    const size_t group = t->enc.group ? t->enc.group : t->cols;
    ladder d = {.n = 0};
    float lo, hi;
    for (size_t r = from; r < to; r++) {
        if (r == from || (t->levels && t->enc.book_rows)) ladder_of(&d, t, r);
        range_of(&d, &lo, &hi);
        for (size_t c = 0; c < t->cols; c++) {
            const size_t i = r * t->cols + c;
            const float step = step_of(j, r, c / group), x = t->x[i];
            const bool inside = j->fixed || (x >= lo * step && x <= hi * step);
            float *to_scale = &t->dlog_scale[r * j->l.scales + (j->l.scales > 1 ? c / group : 0)];
            *to_scale += j->grad[i] * (j->value[i] - (inside && !j->fixed ? x : 0));
            if (!inside) j->grad[i] = 0;
        }
    }
}

/* Of centroids, row after row. */
static void book_gradient(const job *j)
{
    const vise_trained *t = j->t;
    const size_t group = t->enc.group ? t->enc.group : t->cols, count = (size_t)1 << t->enc.bits;
    for (size_t r = 0; r < j->l.rows; r++) {
        const uint8_t *codes = (const uint8_t *)t->data + r * j->l.stride;
        float *to = t->dbook + (t->enc.book_rows ? r / t->enc.book_rows * count : 0);
        for (size_t c = 0; c < t->cols; c++)
            to[get_code(codes, c, t->enc.bits)] +=
                j->grad[r * t->cols + c] * step_of(j, r, c / group);
    }
}

void vise_params_gradients(vise_params *p, const vise_tape *tape, vise_dense *d)
{
    for (size_t i = 0; i < p->count; i++) {
        const vise_trained *t = &p->trained[i];
        if (!t->enc.bits || t->idle) continue;
        job j = {.t = t,
                 .l = vise_code_layout_of(&p->c->data[t->from].shape, &t->enc),
                 .value = tape->value[t->to],
                 .grad = tape->grad[t->to],
                 .fixed = p->fixed_codes};
        memset(t->dlog_scale, 0, t->scales * sizeof(float));
        if (t->levels) memset(t->dbook, 0, t->levels * sizeof(float));
        if (t->levels) book_gradient(&j);
        vise_dense_rows(d, j.l.rows, PIECE, scale_rows, &j);
    }
    vise_operand_scales_gradients(&p->operands, tape);
}
