/* kern_c.c - the plain C kernels: when this file and an instruction-set file disagree, this one is
 * right
 * SPDX-License-Identifier: MIT */
#include "kern/kern.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- layouts ---- */

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

size_t vise_row_bytes(const vise_gemm *g, size_t k)
{
    return round_up(k, g->kr) * g->esize;
}

size_t vise_panels_bytes(const vise_gemm *g, size_t n, size_t k)
{
    return round_up(n, g->nr) * round_up(k, g->kr) * g->esize;
}

void vise_pack(const vise_gemm *g, void *panels, int32_t *sum, const void *w, size_t ldn,
               size_t ldk, size_t n, size_t k, uint8_t flipped)
{
    const size_t size = g->esize, kpad = round_up(k, g->kr);
    memset(panels, 0, vise_panels_bytes(g, n, k));
    for (size_t j = 0; j < n; j++) {
        char *panel = (char *)panels + j / g->nr * g->nr * kpad * size;
        int32_t total = 0;
        for (size_t p = 0; p < k; p++) {
            char *to = panel + ((p / g->unit * g->nr + j % g->nr) * g->unit + p % g->unit) * size;
            memcpy(to, (const char *)w + (j * ldn + p * ldk) * size, size);
            if (size > 1) continue;
            *to = (char)(*to ^ (char)flipped);
            total += (int8_t)*to;
        }
        if (sum) sum[j] = total;
    }
}

/* ---- matrix products: tiles of 4 x 8, whose accumulators stay in registers ---- */

enum { NR = 8, MR = 4 };

/* Sums of one tile, with scales and bias: out [MR, NR]. Rows that are not there repeat the last. */
typedef void tile_fn(const vise_gemm_args *g, size_t i, size_t j, float *out);

static void gemm(const vise_gemm_args *g, tile_fn *tile)
{
    assert(g->m && g->n && g->k && g->ldc >= g->n);
    float out[MR * NR];
    for (size_t j = 0; j < g->n; j += NR)
        for (size_t i = 0; i < g->m; i += MR) {
            const size_t rows = g->m - i < MR ? g->m - i : MR;
            const size_t cols = g->n - j < NR ? g->n - j : NR;
            tile(g, i, j, out);
            if (g->act) g->act(out, NR, out, NR, rows, cols, g->act_param);
            for (size_t r = 0; r < rows; r++)
                for (size_t q = 0; q < cols; q++)
                    g->c[(i + r) * g->ldc + j + q] =
                        g->add ? out[r * NR + q] + g->add[(i + r) * g->ldadd + j + q]
                               : out[r * NR + q];
        }
}

/* Row i + r of a, or the last one. */
static const void *row_at(const vise_gemm_args *g, size_t i)
{
    return (const char *)g->a + (i < g->m ? i : g->m - 1) * g->lda;
}

static void start(const vise_gemm_args *g, size_t j, float *out)
{
    memset(out, 0, MR * NR * sizeof *out);
    for (size_t r = 0; g->bias && r < MR; r++)
        memcpy(out + r * NR, g->bias + j, (g->n - j < NR ? g->n - j : NR) * sizeof *out);
}

static void tile_f32(const vise_gemm_args *g, size_t i, size_t j, float *out)
{
    const float *w = (const float *)g->w + j * g->k, *a[MR];
    float acc[MR][NR];
    for (size_t r = 0; r < MR; r++)
        a[r] = row_at(g, i + r);
    start(g, j, acc[0]);
    for (size_t p = 0; p < g->k; p++, w += NR)
        for (size_t r = 0; r < MR; r++)
            for (size_t q = 0; q < NR; q++)
                acc[r][q] += a[r][p] * w[q];
    memcpy(out, acc, sizeof acc);
}

static void gemm_f32(const vise_gemm_args *g)
{
    gemm(g, tile_f32);
}

static float from_bf16(uint16_t x)
{
    const uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static void tile_bf16(const vise_gemm_args *g, size_t i, size_t j, float *out)
{
    const size_t kpad = round_up(g->k, 2);
    const uint16_t *w = (const uint16_t *)g->w + j * kpad, *a[MR];
    float acc[MR][NR];
    for (size_t r = 0; r < MR; r++)
        a[r] = row_at(g, i + r);
    start(g, j, acc[0]);
    for (size_t p = 0; p < kpad; p++)
        for (size_t r = 0; r < MR; r++)
            for (size_t q = 0; q < NR; q++)
                acc[r][q] += from_bf16(a[r][p]) * from_bf16(w[(p / 2 * NR + q) * 2 + p % 2]);
    memcpy(out, acc, sizeof acc);
}

static void gemm_bf16(const vise_gemm_args *g)
{
    gemm(g, tile_bf16);
}

static void tile_s8(const vise_gemm_args *g, size_t i, size_t j, float *out)
{
    const size_t units = round_up(g->k, 4) / 4, cols = g->n - j < NR ? g->n - j : NR;
    const int8_t *w = (const int8_t *)g->w + j * units * 4, *a[MR];
    int32_t acc[MR][NR] = {{0}};
    for (size_t r = 0; r < MR; r++)
        a[r] = row_at(g, i + r);
    for (size_t p = 0; p < units; p++, w += 4 * NR)
        for (size_t r = 0; r < MR; r++)
            for (size_t q = 0; q < NR; q++)
                for (size_t u = 0; u < 4; u++)
                    acc[r][q] += a[r][p * 4 + u] * w[q * 4 + u];
    for (size_t r = 0; r < MR && i + r < g->m; r++) {
        const vise_rowq z = g->rowq[i + r];
        for (size_t q = 0; q < cols; q++) {
            float v = (float)acc[r][q];
            if (g->zeros) v = fmaf(-(float)z.zero, (float)g->wsum[j + q], v);
            out[r * NR + q] = fmaf(v, z.scale * g->wscale[j + q], g->bias ? g->bias[j + q] : 0);
        }
    }
}

static void gemm_s8(const vise_gemm_args *g)
{
    gemm(g, tile_s8);
}

#define PACK(type)                                                                                 \
    static const vise_gemm bundle_##type;                                                          \
    static void pack_##type(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk,     \
                            size_t n, size_t k, uint8_t flipped)                                   \
    {                                                                                              \
        vise_pack(&bundle_##type, panels, sum, w, ldn, ldk, n, k, flipped);                        \
    }                                                                                              \
    static const vise_gemm bundle_##type

PACK(f32) = {.nr = NR, .kr = 1, .unit = 1, .esize = 4, .mr = 1, .run = gemm_f32, .pack = pack_f32};
PACK(bf16) = {
    .nr = NR, .kr = 2, .unit = 2, .esize = 2, .mr = 1, .run = gemm_bf16, .pack = pack_bf16};
PACK(s8) = {.nr = NR, .kr = 4, .unit = 4, .esize = 1, .mr = 1, .run = gemm_s8, .pack = pack_s8};

/* ---- rows of floats ---- */

static void layernorm(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                      const float *b, size_t rows, size_t n, float eps)
{
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        // eight partial sums, so that the compiler may use vectors in an order fixed here
        float part[8] = {0};
        for (size_t i = 0; i < n; i++)
            part[i % 8] += x[i];
        float mean = 0, var = 0;
        for (size_t i = 0; i < 8; i++)
            mean += part[i];
        mean /= (float)n;
        memset(part, 0, sizeof part);
        for (size_t i = 0; i < n; i++)
            part[i % 8] += (x[i] - mean) * (x[i] - mean);
        for (size_t i = 0; i < 8; i++)
            var += part[i];
        const float rstd = 1 / sqrtf(var / (float)n + eps);
        for (size_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * rstd * (w ? w[i] : 1) + (b ? b[i] : 0);
    }
}

static float row_max(const float *x, size_t n)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++)
        max = x[i] > max || isnan(x[i]) ? x[i] : max;
    return max;
}

static void softmax(float *x, size_t ld, size_t rows, size_t n, float scale)
{
    for (size_t r = 0; r < rows; r++, x += ld) {
        const float max = row_max(x, n);
        float sum = 0;
        for (size_t i = 0; i < n; i++) {
            x[i] = expf(scale * (x[i] - max));
            sum += x[i];
        }
        for (size_t i = 0; i < n; i++)
            x[i] /= sum;
    }
}

static void softmax_s8(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                       size_t ldx, size_t rows, size_t n, float scale, uint8_t flip)
{
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        const float max = row_max(x, n);
        int32_t sum = 0;
        float bad = 0; // NaN if any
        for (size_t i = 0; i < n; i++) {
            const float e = expf(scale * (x[i] - max));
            const int32_t code = isnan(e) ? 0 : (int32_t)lrintf(254 * e);
            bad += isnan(e) ? e : 0;
            sum += code;
            q[i] = (uint8_t)(code - 127) ^ flip;
        }
        memset(q + n, flip, npad - n);
        rowq[r] = (vise_rowq){1 / ((float)sum + bad), -127};
    }
}

static void gelu(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                 const float *p)
{
    (void)p;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy)
        for (size_t i = 0; i < n; i++)
            y[i] = 0.5f * x[i] * (1 + erff(x[i] * 0.70710678118654752f));
}

static void gelu_slope(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                       const float *p)
{
    (void)p;
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy)
        for (size_t i = 0; i < n; i++) {
            const float z = x[i], phi = 0.39894228040143268f * expf(-0.5f * z * z);
            y[i] = 0.5f * (1 + erff(z * 0.70710678118654752f)) + z * phi;
        }
}

static void swish(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const float *p)
{
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy)
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] / (1 + expf(-(p[0] * x[i] + p[1] * x[i] * x[i] * x[i])));
}

static void depthwise(float *y, const float *const *x, const float *w, const float *bias,
                      size_t taps, size_t n)
{
    for (size_t c = 0; c < n; c++)
        y[c] = bias ? bias[c] : 0;
    for (size_t t = 0; t < taps; t++)
        for (size_t c = 0; x[t] && c < n; c++)
            y[c] += x[t][c] * w[t * n + c];
}

/* ---- other formats ---- */

static void to_bf16(uint16_t *y, size_t ldy, size_t npad, const float *x, size_t ldx, size_t rows,
                    size_t n)
{
    for (size_t r = 0; r < rows; r++) {
        uint16_t *to = (uint16_t *)(void *)((char *)y + r * ldy);
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &x[r * ldx + i], sizeof bits);
            const bool nan = (bits & 0x7fffffff) > 0x7f800000;
            to[i] = (uint16_t)((nan ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
        }
        memset(to + n, 0, (npad - n) * sizeof *to);
    }
}

static vise_rowq range_of(const float *x, size_t n, const vise_quant *how, float *inv)
{
    const bool sym = how->mode == VISE_QUANT_SYM;
    float lo = 0, hi = 0, most = 0;
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
        finite = finite && isfinite(x[i]);
    }
    most = sym ? (hi > -lo ? hi : -lo) : hi - lo;
    const float steps = sym ? how->hi : (float)(how->hi - how->lo);
    *inv = 0;
    if (!finite || !isfinite(most)) return (vise_rowq){NAN, 0};
    if (!(most >= 1e-30f)) return (vise_rowq){0, 0};
    *inv = steps / most;
    vise_rowq q = {most / steps, 0};
    if (!sym) {
        const float zero = rintf(how->lo - lo * *inv);
        q.zero = (int32_t)(zero < how->lo ? how->lo : zero > how->hi ? how->hi : zero);
    }
    return q;
}

static void quant_s8(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                     size_t ldx, size_t rows, size_t n, const vise_quant *how)
{
    assert(how->lo < 0 && how->hi > 0);
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        float inv = 1 / how->fixed.scale;
        bool nan = false;
        rowq[r] = how->mode == VISE_QUANT_FIXED ? how->fixed : range_of(x, n, how, &inv);
        const float low = (float)(how->lo - rowq[r].zero), high = (float)(how->hi - rowq[r].zero);
        for (size_t i = 0; i < n; i++)
            nan = nan || isnan(x[i]);
        if (nan || inv == 0) {
            rowq[r] = (vise_rowq){nan ? NAN : rowq[r].scale, 0};
            memset(q, how->flip, npad);
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            const float v = x[i] * inv, in = v < low ? low : v > high ? high : v;
            q[i] = (uint8_t)((int32_t)rintf(in) + rowq[r].zero) ^ how->flip;
        }
        memset(q + n, how->flip, npad - n);
    }
}

static float absmax(const float *x, size_t ldx, size_t rows, size_t n)
{
    float most = 0;
    for (size_t r = 0; r < rows; r++, x += ldx)
        for (size_t i = 0; i < n; i++)
            most = fabsf(x[i]) > most || isnan(x[i]) ? fabsf(x[i]) : most;
    return most;
}

void vise_kern_c(vise_kern *k)
{
    *k = (vise_kern){
        .gemm_f32 = bundle_f32,
        .gemm_bf16 = bundle_bf16,
        .gemm_s8 = bundle_s8,
        .layernorm = layernorm,
        .softmax = softmax,
        .softmax_s8 = softmax_s8,
        .gelu = gelu,
        .gelu_slope = gelu_slope,
        .swish = swish,
        .to_bf16 = to_bf16,
        .quant_s8 = quant_s8,
        .absmax = absmax,
        .depthwise = depthwise,
    };
    vise_kern_codes(k);
}
