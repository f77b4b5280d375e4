/* check_codes.c - checks of the kernels that turn floats into other formats, against their
 * definitions in kern.h
 * SPDX-License-Identifier: MIT */
#include "kern/check.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* [rows, n] floats and rows of codes, padded to npad, with canaries between all rows. */
typedef struct job {
    float *x;
    char *q;
    size_t rows, n, ldx, npad, ldq; // npad in codes, ldq in bytes
} job;

static job job_new(vise_checker *t, size_t npad_of, size_t size)
{
    job j = {.rows = vise_check_extent(t, 9, 4), .n = vise_check_extent(t, 260, 16)};
    j.ldx = j.n + vise_check_pick(t, 4);
    j.npad = (j.n + npad_of - 1) / npad_of * npad_of;
    if (vise_check_pick(t, 2)) j.npad += npad_of * vise_check_pick(t, 5);
    j.ldq = (j.npad + vise_check_pick(t, 9)) * size;
    j.x = vise_check_in(t, ((j.rows - 1) * j.ldx + j.n) * sizeof *j.x, sizeof *j.x);
    j.q = vise_check_out(t, (j.rows - 1) * j.ldq + j.npad * size, size);
    return j;
}

static void job_end(vise_checker *t, const job *j, size_t size)
{
    vise_check_edges(t);
    vise_check_gaps(t, j->q, j->npad * size, j->ldq, j->rows);
}

static float from_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- to_bf16 ---- */

/* The nearest of the two neighbours, by distance in double; the even one between them. */
static uint16_t nearest_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x)) return (uint16_t)(bits >> 16 | 0x40);
    const uint32_t down = bits & 0xffff0000u, up = down + 0x10000u; // in magnitude
    const double low = fabs((double)from_bits(down)), v = fabs((double)x);
    // the neighbour above the largest finite number counts as 2^128
    const double high = (up & 0x7f800000u) == 0x7f800000u ? 0x1p128 : fabs((double)from_bits(up));
    const bool exact = bits == down;
    const bool take_up =
        !exact && (v - low > high - v || (v - low == high - v && (down >> 16 & 1)));
    return (uint16_t)((take_up ? up : down) >> 16);
}

void vise_check_to_bf16(vise_checker *t)
{
    static const size_t kr[] = {1, 2, 4, 32};
    const job j = job_new(t, kr[vise_check_pick(t, 4)], 2);
    for (size_t r = 0; r < j.rows; r++)
        for (size_t i = 0; i < j.n; i++) {
            const uint32_t any = (uint32_t)vise_rng_u64(&t->rng);
            uint32_t bits = any;
            switch (vise_check_pick(t, 6)) {
            case 0: // halfway between two
                bits = (any & 0xffff0000u) | 0x8000u;
                break;
            case 1: // subnormal
                bits = any & 0x807fffffu;
                break;
            case 2: // infinite, NaN, or about to round to infinity
                bits =
                    any % 7 ? (any & 0x8000ffffu) | 0x7f7f0000u : (any & 0x80000001u) | 0x7f800000u;
                break;
            }
            j.x[r * j.ldx + i] = from_bits(bits);
        }
    vise_check_shape(t, "rows %zu, n %zu, npad %zu", j.rows, j.n, j.npad);
    vise_check_seal(t);
    t->kern->to_bf16((uint16_t *)(void *)j.q, j.ldq, j.npad, j.x, j.ldx, j.rows, j.n);
    job_end(t, &j, 2);
    for (size_t r = 0; r < j.rows; r++)
        for (size_t i = 0; i < j.npad; i++) {
            uint16_t got;
            memcpy(&got, j.q + r * j.ldq + 2 * i, sizeof got);
            vise_check_code(t, got, i < j.n ? nearest_bf16(j.x[r * j.ldx + i]) : 0, r, i);
        }
}

/* ---- quant_s8 ---- */

static void quant_row(vise_checker *t, float *x, size_t n)
{
    const size_t kind = vise_check_pick(t, 12);
    vise_check_fill(t, x, n);
    const float edge[] = {1e-30f, nextafterf(1e-30f, 0), nextafterf(1e-30f, 1), 3e38f, 1e20f, 127};
    const float size = edge[vise_check_pick(t, sizeof edge / sizeof *edge)];
    for (size_t i = 0; i < n; i++) {
        const float unit = vise_rng_uniform(&t->rng);
        if (kind == 0) x[i] = 0;
        if (kind == 1) x[i] = fabsf(x[i]) + 2; // 0 is not within its range
        if (kind == 2) x[i] = -fabsf(x[i]) - 2;
        if (kind == 3) x[i] = size * (2 * unit - 1);
        if (kind == 4) x[i] = (float)vise_check_pick(t, 254) - 127 + (unit < 0.5f ? 0.5f : 0);
        if (kind == 8) x[i] = (float)vise_check_pick(t, 254) - 126.5f; // ties, but for roundings
        if (kind >= 10) x[i] = 3 * (2 * unit - 1);
    }
    const size_t at = vise_check_pick(t, n), other = vise_check_pick(t, n);
    if (kind == 3) x[at] = size;
    if (kind == 3 && vise_check_pick(t, 2)) x[other] = -x[other]; // may be -size
    if (kind == 4) { // a step of exactly 1, so that halves are ties; ASYM: or nearly
        x[at] = 127;
        x[other] = -127;
    }
    if (kind == 8) x[at] = 127;
    const float step = 0.01f + vise_rng_uniform(&t->rng);
    for (size_t i = 0; kind == 8 && i < n; i++)
        x[i] *= step;
    if (kind == 5) x[at] = NAN;
    if (kind == 6) x[at] = vise_check_pick(t, 2) ? INFINITY : -INFINITY;
    if (kind == 7) x[at] = 3e38f;
    if (kind == 7) x[other] = -3e38f;
}

/* One row by the definition: rowq and codes before the flip. */
static vise_rowq quant_oracle(int8_t *code, const float *x, size_t n, const vise_quant *how)
{
    const float least = how->lo, greatest = how->hi;
    float lo = 0, hi = 0, most = 0, inv;
    bool nan = false, finite = true;
    for (size_t i = 0; i < n; i++) {
        nan = nan || isnan(x[i]);
        finite = finite && isfinite(x[i]);
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
        most = fmaxf(most, fabsf(x[i]));
    }
    vise_rowq q = how->fixed;
    memset(code, 0, n);
    if (how->mode == VISE_QUANT_FIXED) {
        if (nan) return (vise_rowq){NAN, 0};
        inv = 1 / q.scale;
    } else {
        const bool sym = how->mode == VISE_QUANT_SYM;
        const float range = sym ? most : hi - lo, steps = greatest - (sym ? 0 : least);
        if (!finite || isinf(range)) return (vise_rowq){NAN, 0};
        if (range < 1e-30f) return (vise_rowq){0, 0};
        inv = steps / range;
        q = (vise_rowq){range / steps, 0};
        if (!sym) q.zero = (int32_t)fmaxf(least, fminf(greatest, rintf(least - lo * inv)));
    }
    for (size_t i = 0; i < n; i++) {
        const float low = least - (float)q.zero, high = greatest - (float)q.zero;
        code[i] = (int8_t)((int32_t)rintf(fmaxf(low, fminf(high, x[i] * inv))) + q.zero);
    }
    return q;
}

void vise_check_quant_s8(vise_checker *t)
{
    static const size_t kr[] = {1, 4, 4, 64};
    const job j = job_new(t, kr[vise_check_pick(t, 4)], 1);
    vise_rowq *rowq = vise_check_out(t, j.rows * sizeof *rowq, sizeof(float));
    int8_t *code = vise_check_out(t, j.n, 1); // the oracle's
    const uint32_t bits = vise_check_pick(t, 2) ? 8 : 2 + (uint32_t)vise_check_pick(t, 6);
    vise_quant how = vise_quant_of((vise_quant_mode)vise_check_pick(t, 3), bits,
                                   vise_check_pick(t, 2) ? 0x80 : 0);
    how.fixed.scale = vise_check_pick(t, 3) ? 0.001f + 0.03f * vise_rng_uniform(&t->rng) : 1;
    const int32_t codes = how.hi - how.lo + 1;
    how.fixed.zero = how.lo + (int32_t)vise_check_pick(t, (size_t)codes);
    for (size_t r = 0; r < j.rows; r++)
        quant_row(t, j.x + r * j.ldx, j.n);
    static const char *const modes[] = {"symmetric", "asymmetric", "fixed"};
    vise_check_shape(t, "rows %zu, n %zu, npad %zu, %s, %u bits, flip %u", j.rows, j.n, j.npad,
                     modes[how.mode], bits, how.flip);
    vise_check_seal(t);
    t->kern->quant_s8((uint8_t *)j.q, j.ldq, j.npad, rowq, j.x, j.ldx, j.rows, j.n, &how);
    job_end(t, &j, 1);
    for (size_t r = 0; r < j.rows; r++) {
        const vise_rowq want = quant_oracle(code, j.x + r * j.ldx, j.n, &how);
        vise_check_same(t, rowq[r].scale, want.scale, r, j.npad);
        vise_check_code(t, rowq[r].zero, want.zero, r, j.npad + 1);
        for (size_t i = 0; i < j.npad; i++) {
            const int8_t got = (int8_t)((uint8_t)j.q[r * j.ldq + i] ^ how.flip);
            vise_check_code(t, got, i < j.n ? code[i] : 0, r, i);
        }
    }
}

/* ---- softmax_s8 ---- */

static void compare_probabilities(vise_checker *t, const float *x, const int8_t *code, size_t n,
                                  double scale, size_t row)
{
    double top = -HUGE_VAL;
    for (size_t i = 0; i < n; i++)
        top = fmax(top, (double)x[i]);
    for (size_t i = 0; i < n; i++) {
        const double want = rint(254 * exp(scale * ((double)x[i] - top))) - 127;
        vise_check_near(t, code[i], want, isinf(x[i]) ? 0 : 1, row, i); // a masked one is exact
    }
}

void vise_check_softmax_s8(vise_checker *t)
{
    const job j = job_new(t, vise_check_pick(t, 2) ? 4 : 64, 1);
    vise_rowq *rowq = vise_check_out(t, j.rows * sizeof *rowq, sizeof(float));
    int8_t *code = vise_check_out(t, j.npad, 1);
    const uint8_t flip = vise_check_pick(t, 2) ? 0x80 : 0;
    const float scale = vise_check_pick(t, 2) ? 0.125f : 1;
    static const float sizes[] = {8, 2, 0, 300};
    const float size = sizes[vise_check_pick(t, 4)];
    const bool masks = !vise_check_pick(t, 3);
    const size_t bad = vise_check_pick(t, 3) ? j.rows : vise_check_pick(t, j.rows);
    for (size_t r = 0; r < j.rows; r++) {
        float *x = j.x + r * j.ldx;
        for (size_t i = 0; i < j.n; i++)
            x[i] = masks && vise_check_pick(t, 2) ? -INFINITY : size * vise_rng_normal(&t->rng);
        x[vise_check_pick(t, j.n)] = r == bad ? NAN : 1;
    }
    vise_check_shape(t, "rows %zu, n %zu, npad %zu, scale %g, flip %u", j.rows, j.n, j.npad,
                     (double)scale, flip);
    vise_check_seal(t);
    t->kern->softmax_s8((uint8_t *)j.q, j.ldq, j.npad, rowq, j.x, j.ldx, j.rows, j.n, scale, flip);
    job_end(t, &j, 1);
    for (size_t r = 0; r < j.rows; r++) {
        long sum = 0;
        for (size_t i = 0; i < j.npad; i++)
            code[i] = (int8_t)((uint8_t)j.q[r * j.ldq + i] ^ flip);
        for (size_t i = 0; i < j.n; i++)
            sum += code[i] + 127;
        for (size_t i = j.n; i < j.npad; i++)
            vise_check_code(t, code[i], 0, r, i);
        vise_check_code(t, rowq[r].zero, -127, r, j.npad + 1);
        vise_check_same(t, rowq[r].scale, r == bad ? NAN : 1 / (float)sum, r, j.npad);
        if (r != bad) compare_probabilities(t, j.x + r * j.ldx, code, j.n, (double)scale, r);
    }
}

/* ---- absmax ---- */

void vise_check_absmax(vise_checker *t)
{
    const size_t rows = vise_check_extent(t, 9, 4), n = vise_check_extent(t, 260, 16);
    const size_t ld = n + vise_check_pick(t, 4);
    float *x = vise_check_in(t, ((rows - 1) * ld + n) * sizeof *x, sizeof *x), most = 0;
    const bool nan = !vise_check_pick(t, 4);
    for (size_t r = 0; r < rows; r++)
        vise_check_fill(t, x + r * ld, n);
    const size_t at = vise_check_pick(t, rows) * ld + vise_check_pick(t, n);
    if (nan) x[at] = NAN;
    if (!nan && vise_check_pick(t, 2)) // mostly in one place, else anywhere
        x[at] = vise_check_pick(t, 9) ? -1e5f * (1 + vise_rng_uniform(&t->rng)) : -INFINITY;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            most = fmaxf(most, fabsf(x[r * ld + i]));
    vise_check_shape(t, "rows %zu, n %zu", rows, n);
    vise_check_seal(t);
    vise_check_same(t, t->kern->absmax(x, ld, rows, n), nan ? NAN : most, 0, 0);
}

/* ---- the f32 product by packed codes ---- */

typedef struct float_codes {
    vise_float_codes c;
    size_t n, k;
    uint8_t *code; // [n, k]
    float *scale;  // [n]
    float *w;      // [n, k] what they mean
    uint8_t *panels;
    float *scratch;
} float_codes;

static void float_codes_new(vise_checker *t, float_codes *f)
{
    const size_t nr = t->kern->gemm_f32.nr;
    f->n = vise_check_extent(t, 90, nr);
    f->k = vise_check_extent(t, 200, 16);
    f->c.bits = 2 + vise_check_pick(t, 5);
    f->c.book_rows = vise_check_pick(t, 3) ? 0 : nr;
    const size_t books = f->c.book_rows ? (f->n + nr - 1) / nr : 1, count = (size_t)1 << f->c.bits;
    float *book = vise_check_in(t, books * count * sizeof *book, sizeof *book);
    f->c.book = book;
    f->code = vise_check_in(t, f->n * f->k, 1);
    f->scale = vise_check_in(t, f->n * sizeof *f->scale, sizeof *f->scale);
    f->w = vise_check_in(t, f->n * f->k * sizeof *f->w, sizeof *f->w);
    vise_check_fill(t, book, books * count);
    vise_check_fill(t, f->scale, f->n);
    for (size_t j = 0; j < f->n; j++)
        for (size_t p = 0; p < f->k; p++) {
            const size_t code = vise_check_pick(t, count);
            f->code[j * f->k + p] = (uint8_t)code;
            f->w[j * f->k + p] =
                book[(f->c.book_rows ? j / f->c.book_rows : 0) * count + code] * f->scale[j];
        }
    vise_check_shape(t, "n %zu, k %zu, bits %zu, books %zu", f->n, f->k, f->c.bits, books);
}

static void pack_float_codes(vise_checker *t, float_codes *f)
{
    const size_t nr = t->kern->gemm_f32.nr;
    const size_t panel = vise_float_codes_panel(t->kern, f->c.bits, f->k);
    f->panels = vise_check_in(t, (f->n + nr - 1) / nr * panel, 64);
    f->scratch = vise_check_out(t, vise_float_codes_scratch(t->kern, f->k), 64);
    for (size_t j = 0; j < f->n; j += nr) {
        const vise_codes_from from = {
            .codes = f->code + j * f->k, .n = f->n - j < nr ? f->n - j : nr, .cols = f->k};
        vise_float_codes_pack(t->kern, f->c.bits, f->panels + j / nr * panel, &from, f->scratch);
    }
}

/* The bits of gemm_f32 with the decoded weights. */
void vise_check_float_codes(vise_checker *t)
{
    float_codes f;
    float_codes_new(t, &f);
    pack_float_codes(t, &f);
    const vise_gemm *g = &t->kern->gemm_f32;
    const size_t m = vise_check_extent(t, 20, 4);
    float *a = vise_check_in(t, m * f.k * sizeof *a, sizeof *a);
    float *bias = vise_check_in(t, f.n * sizeof *bias, sizeof *bias);
    float *plain = vise_check_in(t, vise_panels_bytes(g, f.n, f.k), 64);
    float *want = vise_check_out(t, m * f.n * sizeof *want, sizeof *want);
    float *c = vise_check_out(t, m * f.n * sizeof *c, sizeof *c);
    vise_check_fill(t, a, m * f.k);
    vise_check_fill(t, bias, f.n);
    g->pack(plain, NULL, f.w, f.k, 1, f.n, f.k, 0);
    vise_check_seal(t);
    vise_gemm_args args = {.c = want,
                           .ldc = f.n,
                           .a = a,
                           .lda = f.k * sizeof *a,
                           .w = plain,
                           .bias = bias,
                           .m = m,
                           .n = f.n,
                           .k = f.k};
    g->run(&args);
    args.c = c;
    args.w = f.panels;
    args.wscale = f.scale;
    args.scratch = f.scratch;
    vise_float_codes_run(t->kern, &f.c, &args);
    vise_check_edges(t);
    for (size_t i = 0; i < m * f.n; i++)
        vise_check_same(t, c[i], want[i], i / f.n, i % f.n);
}
