/* check_gemm.c - checks of the matrix products and their packers
 *
 * The oracle works on the matrices as they were before packing, so the packers are tested, too.
 *
 * SPDX-License-Identifier: MIT */
#include "kern/check.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum elem { F32, BF16, S8 } elem;

static const vise_gemm *bundle(const vise_checker *t, elem type)
{
    const vise_kern *k = t->kern;
    return type == F32 ? &k->gemm_f32 : type == BF16 ? &k->gemm_bf16 : &k->gemm_s8;
}

/* One product: c [m, n] of x [m, k] and w [n, k]. */
typedef struct problem {
    const vise_gemm *g;
    elem type;
    size_t m, n, k;
    bool sequence; // f32: all products are exact, so that the sum's order decides its bits
    char *x, *w;   // elements, rows tight; s8: plain codes
    double *xd, *wd;
    float *add; // [m, n] or NULL
    bool add_is_c;
    vise_rowq *rowq;
    vise_gemm_args args; // all but c, a and add
    const vise_kern *kern;
    vise_codes *codes;           // gemm_codes: w is what they mean; else NULL
    vise_codes_from from;        // the codes
    vise_codes_layout of_panels; // that they are packed in
} problem;

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- operands ---- */

/* The test's activation: exact, and different when it is applied twice or not at all. */
static void leaky(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const float *p)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            y[r * ldy + i] = x[r * ldx + i] * (x[r * ldx + i] < 0 ? p[0] : p[1]);
}

static const float slopes[] = {0.25f, 2};

static void fill_f32(vise_checker *t, char *to, size_t n, bool sequence)
{
    float *x = (float *)(void *)to;
    vise_check_fill(t, x, n);
    for (size_t i = 0; sequence && i < n; i++) // 11 bits each: a product is exact
        x[i] = ldexpf((float)vise_check_pick(t, 4095) - 2047, -(int)vise_check_pick(t, 12));
}

static void fill_bf16(vise_checker *t, char *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float x;
        vise_check_fill(t, &x, 1);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        const uint16_t half = (uint16_t)(bits >> 16);
        memcpy(to + 2 * i, &half, sizeof half);
    }
}

static void fill_s8(vise_checker *t, char *to, size_t n, bool extreme)
{
    for (size_t i = 0; i < n; i++) {
        const int code = (int)vise_check_pick(t, 255) - 127;
        to[i] = (char)(extreme ? (vise_check_pick(t, 100) ? 127 : -127) : code);
    }
}

static double element(elem type, const char *x, size_t i)
{
    float f;
    uint16_t half;
    if (type == S8) return (signed char)x[i];
    if (type == F32) {
        memcpy(&f, x + 4 * i, sizeof f);
        return (double)f;
    }
    memcpy(&half, x + 2 * i, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    memcpy(&f, &bits, sizeof f);
    return (double)f;
}

static void set_element(elem type, char *x, size_t i, float to)
{
    uint32_t bits;
    memcpy(&bits, &to, sizeof bits);
    const uint16_t half = (uint16_t)(bits >> 16);
    if (type == F32) memcpy(x + 4 * i, &bits, sizeof bits);
    if (type == BF16) memcpy(x + 2 * i, &half, sizeof half);
}

/* No subnormals: they may count as zero, and zero times infinity is another result. */
static void make_normal(elem type, char *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fabs(element(type, x, i)) < (double)FLT_MIN) set_element(type, x, i, 0.5f);
}

/* A NaN or an infinity somewhere. */
static void spoil(vise_checker *t, problem *p)
{
    make_normal(p->type, p->x, p->m * p->k);
    make_normal(p->type, p->w, p->n * p->k);
    const float bad = vise_check_pick(t, 2) ? NAN : -INFINITY;
    if (vise_check_pick(t, 2))
        set_element(p->type, p->x, vise_check_pick(t, p->m * p->k), bad);
    else
        set_element(p->type, p->w, vise_check_pick(t, p->n * p->k), bad);
}

static char *operand(vise_checker *t, problem *p, size_t n, bool extreme, double **as_double)
{
    char *x = vise_check_in(t, n * p->g->esize, 4);
    if (p->type == F32) fill_f32(t, x, n, p->sequence);
    if (p->type == BF16) fill_bf16(t, x, n);
    if (p->type == S8) fill_s8(t, x, n, extreme);
    *as_double = vise_check_in(t, n * sizeof(double), sizeof(double));
    return x;
}

static float *floats(vise_checker *t, size_t n, float scale)
{
    float *x = vise_check_in(t, n * sizeof *x, sizeof *x);
    vise_check_fill(t, x, n);
    for (size_t i = 0; i < n; i++)
        x[i] *= scale;
    return x;
}

static void scales(vise_checker *t, problem *p)
{
    float *wscale = vise_check_in(t, p->n * sizeof *wscale, sizeof *wscale);
    p->rowq = vise_check_in(t, p->m * sizeof *p->rowq, sizeof *p->rowq);
    for (size_t j = 0; j < p->n; j++)
        wscale[j] = 1e-3f + vise_rng_uniform(&t->rng);
    for (size_t i = 0; i < p->m; i++) {
        p->rowq[i].scale = vise_check_pick(t, 9) ? 1e-3f + vise_rng_uniform(&t->rng) : 0;
        p->rowq[i].zero = (int32_t)vise_check_pick(t, 255) - 127;
    }
    if (vise_check_pick(t, 3) == 0) p->rowq[vise_check_pick(t, p->m)].scale = NAN;
    p->args.wscale = wscale;
    p->args.rowq = p->rowq;
    p->args.zeros = vise_check_pick(t, 3);
}

static void sizes(vise_checker *t, problem *p)
{
    const vise_gemm *g = p->g;
    const size_t long_k = vise_check_pick(t, 8);
    p->m = vise_check_extent(t, 80, g->mr > 1 ? g->mr : 6);
    p->n = vise_check_extent(t, 140, g->nr);
    p->k = vise_check_extent(t, long_k ? 70 : 600, g->kr > 1 ? g->kr : 8);
    if (p->type == S8 && t->board->round % 32 == 3) { // sums close to the largest
        p->m = 1 + vise_check_pick(t, 3);
        p->n = 1 + vise_check_pick(t, 4);
        p->k = vise_check_pick(t, 2) ? 65536 : 20000 + vise_check_pick(t, 100);
    }
}

/* Levels, and multipliers up to the largest. */
static void codes_new(vise_checker *t, problem *p)
{
    vise_codes *c = p->codes = vise_check_in(t, sizeof *c, sizeof(size_t));
    *c = (vise_codes){.bits = 2 + vise_check_pick(t, 5), .least = 127};
    const size_t levels = (size_t)1 << c->bits;
    const int range = 1 + (int)vise_check_pick(t, 127), kind = (int)vise_check_pick(t, 3);
    int largest = 0;
    for (size_t i = 0; i < levels; i++) {
        int level = (int)i - (int)levels / 2; // as of affine codes
        if (kind == 1) level = (int)vise_check_pick(t, 2 * (size_t)range + 1) - range;
        if (kind == 2) level = vise_check_pick(t, 2) ? range : -range;
        c->levels[i] = (int8_t)level;
        c->least = (int8_t)(level < c->least ? level : c->least);
        largest = abs(level) > largest ? abs(level) : largest;
    }
    p->from = (vise_codes_from){.n = p->n, .cols = p->k};
    if (!vise_check_pick(t, 3)) return;
    c->group = 32 * (1 + vise_check_pick(t, 5));
    const size_t count = p->n * ((p->k - 1) / c->group + 1);
    uint8_t *mult = vise_check_in(t, count, 1);
    for (size_t i = 0; i < count; i++)
        mult[i] = (uint8_t)vise_check_pick(t, largest ? 127 / (size_t)largest + 1 : 256);
    p->from.mult = mult;
}

/* Codes, and w as they mean it. */
static void draw_codes(vise_checker *t, problem *p)
{
    const vise_codes *c = p->codes;
    const size_t groups = c->group ? (p->k - 1) / c->group + 1 : 0;
    uint8_t *code = vise_check_in(t, p->n * p->k, 1);
    p->w = vise_check_in(t, p->n * p->k, 1);
    for (size_t i = 0; i < p->n * p->k; i++) {
        const size_t g = groups ? i / p->k * groups + i % p->k / c->group : 0;
        code[i] = (uint8_t)vise_check_pick(t, (size_t)1 << c->bits);
        p->w[i] = (char)(c->levels[code[i]] * (groups ? p->from.mult[g] : 1));
    }
    p->from.codes = code;
}

static void pack(vise_checker *t, problem *p)
{
    const vise_gemm *g = p->g;
    int32_t *sum = p->type == S8 ? vise_check_out(t, p->n * sizeof *sum, sizeof *sum) : NULL;
    if (p->codes) p->of_panels = vise_codes_layout_of(p->kern, p->codes, p->n, p->k);
    const size_t bytes = p->codes ? p->of_panels.panels : vise_panels_bytes(g, p->n, p->k);
    char *panels = vise_check_out(t, bytes, 64);
    p->args.w = panels;
    p->args.wsum = sum;
    if (p->codes) {
        p->args.codes = p->codes;
        p->args.scratch = vise_check_out(t, p->of_panels.scratch, 64);
        vise_check_seal(t);
        vise_codes_pack(p->kern, p->codes, panels, sum, &p->from, p->args.scratch);
    } else {
        vise_check_seal(t);
        g->pack(panels, sum, p->w, p->k, 1, p->n, p->k, 0);
    }
    vise_check_edges(t);
}

static void problem_new(vise_checker *t, problem *p, elem type, bool coded)
{
    *p = (problem){.g = bundle(t, type), .type = type, .sequence = !vise_check_pick(t, 4)};
    p->kern = t->kern;
    const vise_gemm *g = p->g;
    if (type == F32 && (g->mr != 1 || g->kr != 1))
        vise_check_fail(t, "it wants mr %zu, kr %zu: floats have 1, 1", g->mr, g->kr);
    sizes(t, p);
    const bool extreme = p->k > 10000 || !vise_check_pick(t, 8);
    p->x = operand(t, p, p->m * p->k, extreme, &p->xd);
    if (coded) {
        codes_new(t, p);
        draw_codes(t, p);
        p->wd = vise_check_in(t, p->n * p->k * sizeof *p->wd, sizeof *p->wd);
    } else {
        p->w = operand(t, p, p->n * p->k, extreme, &p->wd);
    }
    p->args.act_param = slopes;
    p->args.act = vise_check_pick(t, 3) ? NULL : leaky;
    if (vise_check_pick(t, 3)) p->args.bias = floats(t, p->n, p->sequence ? 1000 : 1);
    if (vise_check_pick(t, 3)) p->add = floats(t, p->m * p->n, 1);
    p->add_is_c = p->add && vise_check_pick(t, 2);
    if (type == S8) scales(t, p);
    if (type != S8 && !vise_check_pick(t, 3)) spoil(t, p);
    for (size_t i = 0; i < p->m * p->k; i++)
        p->xd[i] = element(type, p->x, i);
    for (size_t i = 0; i < p->n * p->k; i++)
        p->wd[i] = element(type, p->w, i);
    vise_check_shape(t, "m %zu, n %zu, k %zu, bits %zu, group %zu%s%s%s%s%s", p->m, p->n, p->k,
                     coded ? p->codes->bits : 8 * g->esize, coded ? p->codes->group : 0,
                     p->args.bias ? ", bias" : "", p->args.act ? ", act" : "",
                     p->add_is_c ? ", add = c"
                     : p->add    ? ", add"
                                 : "",
                     p->args.zeros ? ", zeros" : "", p->sequence ? ", exact products" : "");
    pack(t, p);
}

/* ---- running: a range of rows and of panels, in buffers of its own ---- */

typedef struct part {
    size_t i, m, j, n;
    float *c;
    size_t ldc;
} part;

/* Rows of the bundle's format; what lies between them and behind them is canaries. Floats are
 * aligned as floats and end where the last row does, at an unreadable page. */
static void *rows_of_a(vise_checker *t, const problem *p, const part *r, size_t *lda)
{
    const vise_gemm *g = p->g;
    const size_t row = vise_row_bytes(g, p->k), used = p->k * g->esize;
    const size_t align = p->type == F32 ? sizeof(float) : 16;
    *lda = round_up(row, align) + align * vise_check_pick(t, 3);
    char *a = vise_check_in(t, (round_up(r->m, g->mr) - 1) * *lda + row, align);
    for (size_t i = 0; i < r->m; i++) {
        char *to = a + i * *lda;
        memcpy(to, p->x + (r->i + i) * used, used);
        if (p->type == BF16) memset(to + used, 0, row - used);
        for (size_t q = 0; p->type == S8 && q < row; q++) {
            if (q >= used) to[q] = (char)((int)vise_check_pick(t, 255) - 127);
            to[q] = (char)(to[q] ^ (char)g->flip);
        }
    }
    return a;
}

/* The addend in rows ld apart. */
static void put_add(const problem *p, const part *r, float *to, size_t ld)
{
    for (size_t i = 0; i < r->m; i++)
        memcpy(to + i * ld, p->add + (r->i + i) * p->n + r->j, r->n * sizeof *to);
}

static void run_part(vise_checker *t, const problem *p, part *r)
{
    vise_gemm_args a = p->args;
    a.m = r->m;
    a.n = r->n;
    a.k = p->k;
    a.a = rows_of_a(t, p, r, &a.lda);
    a.ldc = r->ldc = r->n + vise_check_pick(t, 3);
    a.c = r->c = vise_check_out(t, ((r->m - 1) * r->ldc + r->n) * sizeof *a.c, sizeof *a.c);
    if (p->add) {
        a.ldadd = p->add_is_c ? r->ldc : r->n + vise_check_pick(t, 3);
        float *add = p->add_is_c ? r->c
                                 : vise_check_in(t, ((r->m - 1) * a.ldadd + r->n) * sizeof *add,
                                                 sizeof *add);
        put_add(p, r, add, a.ldadd);
        a.add = add;
    }
    a.w = (const char *)a.w + (p->codes ? r->j / p->g->nr * p->of_panels.panel
                                        : r->j * round_up(p->k, p->g->kr) * p->g->esize);
    if (a.bias) a.bias += r->j;
    if (p->type == S8) {
        a.wscale += r->j;
        a.wsum += r->j;
        a.rowq += r->i;
    }
    vise_check_seal(t);
    if (p->codes)
        p->kern->gemm_codes.run(p->kern, &a);
    else
        p->g->run(&a);
    vise_check_edges(t);
    vise_check_gaps(t, r->c, r->n * sizeof *r->c, r->ldc * sizeof *r->c, r->m);
}

/* ---- oracles ---- */

static double f(const problem *p, double x)
{
    return p->args.act ? x * (double)slopes[x < 0 ? 0 : 1] : x;
}

/* In the order and with the roundings of the contract: exact. */
static float want_f32(const problem *p, size_t i, size_t j, float sum)
{
    sum = (float)f(p, (double)sum);
    return p->add ? sum + p->add[i * p->n + j] : sum;
}

static float in_sequence(const problem *p, size_t i, size_t j)
{
    float sum = p->args.bias ? p->args.bias[j] : 0;
    for (size_t q = 0; q < p->k; q++)
        sum += (float)p->xd[i * p->k + q] * (float)p->wd[j * p->k + q];
    return want_f32(p, i, j, sum);
}

static float of_codes(const problem *p, size_t i, size_t j)
{
    double sum = 0, wsum = 0; // integers, so these are exact
    for (size_t q = 0; q < p->k; q++) {
        sum += p->xd[i * p->k + q] * p->wd[j * p->k + q];
        wsum += p->wd[j * p->k + q];
    }
    float v = (float)sum;
    if (p->args.zeros) v = fmaf(-(float)p->rowq[i].zero, (float)wsum, v);
    const float scale = p->rowq[i].scale * p->args.wscale[j];
    return want_f32(p, i, j, fmaf(v, scale, p->args.bias ? p->args.bias[j] : 0));
}

static void compare_bounded(vise_checker *t, const problem *p, const part *r, size_t i, size_t j)
{
    const double eps = (double)FLT_EPSILON, n = (double)p->k;
    const double bias = p->args.bias ? (double)p->args.bias[j] : 0;
    const double add = p->add ? (double)p->add[i * p->n + j] : 0;
    double sum = bias, all = fabs(bias), operands = 1;
    for (size_t q = 0; q < p->k; q++) {
        const double x = p->xd[i * p->k + q], w = p->wd[j * p->k + q];
        sum += x * w;
        all += fabs(x * w);
        operands += fabs(x) + fabs(w);
    }
    // bf16: operands, products and sums below FLT_MIN may count as zero
    double tol = 2 * n * eps * all;
    tol += (double)(p->type == BF16 ? FLT_MIN : FLT_TRUE_MIN) * (operands + n);
    const double want = f(p, sum) + add; // f grows at most twice as fast as x
    tol = 2 * tol + (p->add ? eps * (fabs(want) + 2 * tol) : 0);
    vise_check_near(t, r->c[i * r->ldc + j], want, tol, i, j);
}

static void compare(vise_checker *t, const problem *p, const part *r)
{
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            const float got = r->c[i * r->ldc + j];
            if (p->type == S8)
                vise_check_same(t, got, of_codes(p, i, j), i, j);
            else if (p->type == F32 && p->sequence)
                vise_check_near(t, got, (double)in_sequence(p, i, j), 0, i, j);
            else
                compare_bounded(t, p, r, i, j);
        }
}

/* However rows and panels are split, the same bits. */
static void compare_split(vise_checker *t, const problem *p, const part *whole)
{
    const size_t panels = (p->n + p->g->nr - 1) / p->g->nr;
    const size_t i = vise_check_pick(t, p->m), j = vise_check_pick(t, panels) * p->g->nr;
    part parts[] = {{.m = i, .n = p->n},
                    {.i = i, .m = p->m - i, .n = j},
                    {.i = i, .m = p->m - i, .j = j, .n = p->n - j}};
    for (size_t s = 0; s < sizeof parts / sizeof *parts; s++) {
        part *r = &parts[s];
        if (!r->m || !r->n) continue;
        run_part(t, p, r);
        for (size_t q = 0; q < r->m * r->n; q++) {
            const size_t y = q / r->n, x = q % r->n;
            vise_check_same(t, r->c[y * r->ldc + x], whole->c[(r->i + y) * whole->ldc + r->j + x],
                            r->i + y, r->j + x);
        }
    }
}

static void check_gemm(vise_checker *t, elem type, bool coded)
{
    problem p;
    problem_new(t, &p, type, coded);
    part whole = {.m = p.m, .n = p.n};
    run_part(t, &p, &whole);
    compare(t, &p, &whole);
    compare_split(t, &p, &whole);
}

void vise_check_gemm_f32(vise_checker *t)
{
    check_gemm(t, F32, false);
}

void vise_check_gemm_bf16(vise_checker *t)
{
    check_gemm(t, BF16, false);
}

void vise_check_gemm_s8(vise_checker *t)
{
    check_gemm(t, S8, false);
}

void vise_check_gemm_codes(vise_checker *t)
{
    check_gemm(t, S8, true);
}

/* ---- packing: every byte where the header says ---- */

static void check_pack(vise_checker *t, elem type)
{
    const vise_gemm *g = bundle(t, type);
    const size_t n = vise_check_extent(t, 140, g->nr), size = g->esize;
    const size_t k = vise_check_extent(t, 300, g->kr > 1 ? g->kr : 16), kpad = round_up(k, g->kr);
    const int8_t flipped = type == S8 && vise_check_pick(t, 2) ? -128 : 0;
    static const char *const layout[] = {"rows", "columns", "strided"};
    size_t ldk = 1, ldn = k + vise_check_pick(t, 3), kind = vise_check_pick(t, 3);
    if (kind == 1) {
        ldn = 1;
        ldk = n + vise_check_pick(t, 3);
    } else if (kind == 2) {
        ldk = 2 + vise_check_pick(t, 2);
        ldn = k * ldk + vise_check_pick(t, 3);
    }
    const size_t count = (n - 1) * ldn + (k - 1) * ldk + 1;
    int8_t *w = vise_check_in(t, count * size, size);
    for (size_t i = 0; i < count * size; i++) // any bits; codes other than -128
        w[i] = (int8_t)(((int)vise_check_pick(t, 255) - 127) ^ flipped);
    int8_t *panels = vise_check_out(t, vise_panels_bytes(g, n, k), 64);
    int32_t *sum = NULL;
    if (type == S8 && vise_check_pick(t, 4)) sum = vise_check_out(t, n * sizeof *sum, sizeof *sum);
    vise_check_shape(t, "n %zu, k %zu, %s, ldn %zu, ldk %zu, flipped %u", n, k, layout[kind], ldn,
                     ldk, (uint8_t)flipped);
    vise_check_seal(t);
    g->pack(panels, sum, w, ldn, ldk, n, k, (uint8_t)flipped);
    vise_check_edges(t);
    for (size_t j = 0; j < round_up(n, g->nr); j++) {
        long total = 0;
        for (size_t p = 0; p < kpad; p++) {
            const size_t at = (p / g->unit * g->nr + j % g->nr) * g->unit + p % g->unit;
            const int8_t *got = panels + (j / g->nr * g->nr * kpad + at) * size;
            const bool inside = j < n && p < k;
            for (size_t b = 0; b < size; b++) {
                int8_t want = 0;
                if (inside) want = (int8_t)(w[(j * ldn + p * ldk) * size + b] ^ flipped);
                vise_check_code(t, got[b], want, j, p);
                total += want;
            }
        }
        if (sum && j < n) vise_check_code(t, sum[j], total, j, kpad);
    }
}

void vise_check_pack_f32(vise_checker *t)
{
    check_pack(t, F32);
}

void vise_check_pack_bf16(vise_checker *t)
{
    check_pack(t, BF16);
}

void vise_check_pack_s8(vise_checker *t)
{
    check_pack(t, S8);
}

/* Any blocks of a panel, on their own. */
void vise_check_expand(vise_checker *t)
{
    const vise_gemm *s8 = bundle(t, S8);
    problem p = {.g = s8, .kern = t->kern, .type = S8, .n = s8->nr};
    p.k = vise_check_extent(t, 600, 32);
    codes_new(t, &p);
    draw_codes(t, &p);
    pack(t, &p);
    const vise_codes *c = p.codes;
    const size_t lanes = t->kern->gemm_codes.lanes, of = p.of_panels.blocks;
    vise_expand x = {.blocks = p.args.w, .codes = c, .nr = s8->nr, .unit = s8->unit};
    x.mult = x.blocks + of * c->bits * lanes;
    x.from = vise_check_pick(t, of);
    x.to = x.from + vise_check_pick(t, of - x.from) + 1;
    x.out = vise_check_out(t, (x.to - x.from) * 8 * lanes, 64);
    vise_check_shape(t, "k %zu, bits %zu, group %zu, blocks %zu to %zu of %zu", p.k, c->bits,
                     c->group, x.from, x.to, of);
    t->kern->gemm_codes.expand(&x);
    vise_check_edges(t);
    for (size_t i = x.from * 8 * lanes; i < x.to * 8 * lanes; i++) {
        const size_t row = i / s8->unit % s8->nr,
                     col = i / s8->nr / s8->unit * s8->unit + i % s8->unit;
        if (col < p.k)
            vise_check_code(t, x.out[i - x.from * 8 * lanes], (signed char)p.w[row * p.k + col],
                            row, col);
    }
}
