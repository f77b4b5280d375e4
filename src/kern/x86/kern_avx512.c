/* kern_avx512.c - kernels for AVX-512 F, BW, DQ, VL
 * SPDX-License-Identifier: MIT */
#include "kern/x86/avx512.h"

#include <math.h>

enum { NR = X512_NR, MR = X512_MR };

/* ---- matrix products ---- */

/* Rows are addressed from every third, which the address modes reach, so that the pointers fit in
 * registers. What is read or stored later is fetched a little at every step: w here, the next panel,
 * and the lines of c; in bursts it would hold up the loads of the loop. */
X512_INLINE void rows_f32(size_t R, const vise_gemm_args *g, const x512_job *job)
{
    const size_t lda = g->lda, ldc = g->ldc * sizeof *g->c;
    const char *a = (const char *)g->a + job->i * lda, *ahead = job->ahead;
    const char *row[5] = {a, a + 3 * lda, a + 6 * lda, a + 9 * lda, a + 12 * lda};
    const char *c = (const char *)(g->c + job->i * g->ldc + job->j);
    const char *line = c, *end = c + R * ldc;
    const float *w = (const float *)g->w + job->j * g->k;
    __m512 sum[MR][2];
    x512_start(R, sum, g, job->j);
    for (size_t p = 0; p < g->k; p++, w += NR, ahead += job->hop) {
        _mm_prefetch((const char *)(w + 8 * NR), _MM_HINT_T0);
        _mm_prefetch((const char *)(w + 8 * NR + 16), _MM_HINT_T0);
        _mm_prefetch(ahead, _MM_HINT_T1);
        _mm_prefetch(line, _MM_HINT_T1);
        line += ldc;
        line = line >= end ? c + 64 : line;
        const __m512 w0 = _mm512_load_ps(w), w1 = _mm512_load_ps(w + 16);
        X512_UNROLL
        for (size_t r = 0; r < R; r++) {
            const void *x = row[r / 3] + r % 3 * lda;
            const __m512 xs = _mm512_set1_ps(*(const float *)x);
            sum[r][0] = _mm512_fmadd_ps(xs, w0, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(xs, w1, sum[r][1]);
            X512_PACE(row[(r + 1) / 3], sum[r][0], sum[r][1]);
        }
        X512_UNROLL
        for (size_t b = 0; b < 5; b++)
            row[b] += sizeof(float);
    }
    x512_end(R, sum, g, job->i, job->j);
}

static void tile_f32(const vise_gemm_args *g, const x512_job *job)
{
    X512_BY_ROWS(job->rows, rows_f32, g, job)
}

static void gemm_f32(const vise_gemm_args *g)
{
    x512_gemm(g, g->k * 4 * NR, tile_f32);
}

/* The narrow formats: blocks of rows are widened to 4 bytes once, then broadcast from there. */
enum { KC = 128 }; // units of a block

X512_INLINE __m512 even_f32(__m512i bf16)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(bf16, 16));
}

X512_INLINE __m512 odd_f32(__m512i bf16)
{
    return _mm512_castsi512_ps(_mm512_and_si512(bf16, _mm512_set1_epi32((int)0xffff0000)));
}

/* Codes 0 and 2 of every four as 16 bits, and codes 1 and 3. */
X512_INLINE __m512i even_s16(__m512i s8)
{
    return _mm512_srai_epi16(_mm512_slli_epi16(s8, 8), 8);
}

X512_INLINE __m512i odd_s16(__m512i s8)
{
    return _mm512_srai_epi16(s8, 8);
}

/* `bytes` of each row to their even and odd parts, [R][2][KC]. */
X512_INLINE void widen(size_t R, int32_t *to, const char *a, size_t lda, size_t bytes, bool s8)
{
    assert(bytes > 0);
    for (size_t r = 0; r < R; r++, a += lda, to += 2 * KC)
        for (size_t b = 0; b < bytes; b += 64) {
            const __m512i x = _mm512_maskz_loadu_epi8(x512_bytes(bytes - b), a + b);
            const __m512i even = s8 ? even_s16(x) : _mm512_castps_si512(even_f32(x));
            const __m512i odd = s8 ? odd_s16(x) : _mm512_castps_si512(odd_f32(x));
            _mm512_store_si512(to + b / 4, even);
            _mm512_store_si512(to + KC + b / 4, odd);
        }
}

X512_INLINE void rows_bf16(size_t R, const vise_gemm_args *g, const x512_job *job)
{
    _Alignas(64) int32_t wide[MR * 2 * KC];
    const size_t units = (g->k + 1) / 2;
    const char *a = (const char *)g->a + job->i * g->lda;
    const char *w = (const char *)g->w + job->j * units * 4, *ahead = job->ahead;
    __m512 sum[MR][2];
    x512_start(R, sum, g, job->j);
    for (size_t p = 0; p < units; p += KC) {
        const size_t count = units - p < KC ? units - p : KC;
        widen(R, wide, a + p * 4, g->lda, count * 4, false);
        for (size_t u = 0; u < count; u++, w += 4 * NR) {
            const __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512(w + 64);
            _mm_prefetch(ahead, _MM_HINT_T1);
            ahead += job->hop;
            const int32_t *from = wide + u;
            X512_UNROLL
            for (size_t r = 0; r < 2 * R; r++) { // the even parts of all rows, then the odd ones
                const size_t half = r / R, row = r % R;
                const __m512 x =
                    _mm512_castsi512_ps(_mm512_set1_epi32(from[(row * 2 + half) * KC]));
                sum[row][0] = _mm512_fmadd_ps(x, half ? odd_f32(w0) : even_f32(w0), sum[row][0]);
                sum[row][1] = _mm512_fmadd_ps(x, half ? odd_f32(w1) : even_f32(w1), sum[row][1]);
                X512_PACE(from, sum[row][0], sum[row][1]);
            }
        }
    }
    x512_end(R, sum, g, job->i, job->j);
}

static void tile_bf16(const vise_gemm_args *g, const x512_job *job)
{
    X512_BY_ROWS(job->rows, rows_bf16, g, job)
}

static void gemm_bf16(const vise_gemm_args *g)
{
    x512_gemm(g, (g->k + 1) / 2 * 4 * NR, tile_bf16);
}

/* Ends a tile of s8 sums. */
X512_INLINE void end_s8(size_t R, __m512i sum[MR][2], const vise_gemm_args *g, size_t i, size_t j)
{
    float scratch[MR * NR];
    const x512_tile t = x512_open(g, i, j, scratch);
    const x512_scales s[2] = {x512_scales_at(g, j), x512_scales_at(g, j + 16)};
    X512_UNROLL
    for (size_t r = 0; r < R; r++) {
        x512_store(&t, r, 0, x512_scaled(sum[r][0], g->rowq[i + r], &s[0]));
        x512_store(&t, r, 1, x512_scaled(sum[r][1], g->rowq[i + r], &s[1]));
    }
    x512_close(g, &t, i, j, R);
}

/* Adds the even or the odd codes of `count` units of the panel w. Not both in one step: GCC would
 * then add the products of a sum first, and has no registers for them. */
X512_INLINE void add_s8(size_t R, __m512i sum[MR][2], const int32_t *wide, const char *w,
                        size_t count, const char *ahead, size_t hop, bool odd)
{
    for (const char *end = w + count * 4 * NR; w != end; w += 4 * NR, wide++, ahead += hop) {
        const __m512i w0 = _mm512_load_si512(w), w1 = _mm512_load_si512(w + 64);
        const __m512i y0 = odd ? odd_s16(w0) : even_s16(w0), y1 = odd ? odd_s16(w1) : even_s16(w1);
        const int32_t *from = wide;
        if (!odd) _mm_prefetch(ahead, _MM_HINT_T1);
        X512_UNROLL
        for (size_t r = 0; r < R; r++) {
            const __m512i x = _mm512_set1_epi32(from[r * 2 * KC]);
            sum[r][0] = _mm512_add_epi32(sum[r][0], _mm512_madd_epi16(x, y0));
            sum[r][1] = _mm512_add_epi32(sum[r][1], _mm512_madd_epi16(x, y1));
            X512_PACE(from, sum[r][0], sum[r][1]);
        }
    }
}

X512_INLINE void rows_s8(size_t R, const vise_gemm_args *g, const x512_job *job)
{
    _Alignas(64) int32_t wide[MR * 2 * KC];
    const size_t units = (g->k + 3) / 4;
    const char *a = (const char *)g->a + job->i * g->lda;
    const char *w = (const char *)g->w + job->j * units * 4, *ahead = job->ahead;
    __m512i sum[MR][2];
    X512_UNROLL
    for (size_t r = 0; r < R; r++)
        sum[r][0] = sum[r][1] = _mm512_setzero_si512();
    for (size_t p = 0; p < units; p += KC) {
        const size_t count = units - p < KC ? units - p : KC;
        widen(R, wide, a + p * 4, g->lda, count * 4, true);
        add_s8(R, sum, wide, w, count, ahead, job->hop, false);
        add_s8(R, sum, wide + KC, w, count, ahead, 0, true);
        w += count * 4 * NR;
        ahead += count * job->hop;
    }
    end_s8(R, sum, g, job->i, job->j);
}

static void tile_s8(const vise_gemm_args *g, const x512_job *job)
{
    X512_BY_ROWS(job->rows, rows_s8, g, job)
}

static void gemm_s8(const vise_gemm_args *g)
{
    x512_gemm(g, (g->k + 3) / 4 * 4 * NR, tile_s8);
}

#define PACK(type, size)                                                                           \
    static const vise_gemm bundle_##type;                                                          \
    static void pack_##type(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk,     \
                            size_t n, size_t k, uint8_t flipped)                                   \
    {                                                                                              \
        x512_pack(&bundle_##type, size, panels, sum, w, ldn, ldk, n, k, flipped);                  \
    }                                                                                              \
    static const vise_gemm bundle_##type

PACK(f32,
     4) = {.nr = NR, .kr = 1, .unit = 1, .esize = 4, .mr = 1, .run = gemm_f32, .pack = pack_f32};
PACK(bf16,
     2) = {.nr = NR, .kr = 2, .unit = 2, .esize = 2, .mr = 1, .run = gemm_bf16, .pack = pack_bf16};
PACK(s8, 1) = {.nr = NR, .kr = 4, .unit = 4, .esize = 1, .mr = 1, .run = gemm_s8, .pack = pack_s8};

/* ---- rows of floats ---- */

X512_INLINE __m512 load(const float *x, size_t left)
{
    return left < 16 ? _mm512_maskz_loadu_ps(x512_lanes(left), x) : _mm512_loadu_ps(x);
}

X512_INLINE void store(float *y, size_t left, __m512 v)
{
    if (left < 16)
        _mm512_mask_storeu_ps(y, x512_lanes(left), v);
    else
        _mm512_storeu_ps(y, v);
}

/* Functions of V vectors work on them side by side: one alone would wait for itself. */
enum { SIDE = 4 };

/* 2^t: scalef takes the whole part, a polynomial of relative error 9e-8 the rest, which is in
 * [0, 1]. 0 for -Inf, NaN for NaN. */
X512_INLINE void exp2_side(size_t V, __m512 *t)
{
    static const float c[] = {0.0018671307f, 0.00901702896f, 0.0557999141f,
                              0.24016445f,   0.693151312f,   1};
    __m512 r[SIDE], p[SIDE];
    X512_UNROLL
    for (size_t v = 0; v < V; v++) {
        r[v] = _mm512_reduce_ps(t[v], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
        p[v] = _mm512_set1_ps(c[0]);
    }
    X512_UNROLL
    for (size_t i = 1; i < sizeof c / sizeof *c; i++) {
        X512_UNROLL
        for (size_t v = 0; v < V; v++)
            p[v] = _mm512_fmadd_ps(p[v], r[v], _mm512_set1_ps(c[i]));
    }
    X512_UNROLL
    for (size_t v = 0; v < V; v++)
        t[v] = _mm512_scalef_ps(p[v], t[v]);
}

/* The weights 2^((x - top) s) of V vectors, of which `left` numbers are there. */
X512_INLINE void weights(size_t V, __m512 *e, const float *x, size_t left, __m512 top, __m512 s)
{
    X512_UNROLL
    for (size_t v = 0; v < V; v++) {
        const __m512 z = V > 1 ? _mm512_loadu_ps(x + v * 16) : load(x, left);
        e[v] = _mm512_mul_ps(_mm512_sub_ps(z, top), s);
    }
    exp2_side(V, e);
}

static const float log2_e = 1.44269504f; // its rounding is far below an eps: 2^(x log2 e) is e^x

/* Sum of f over a row in four chains, so that the latency of an addition is hidden; centre is
 * subtracted, and squared differences are summed if `square`. */
X512_INLINE float row_sum(const float *x, size_t n, float centre, bool square)
{
    const __m512 mid = _mm512_set1_ps(centre);
    __m512 s[4];
    X512_UNROLL
    for (size_t v = 0; v < 4; v++)
        s[v] = _mm512_setzero_ps();
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        X512_UNROLL
        for (size_t v = 0; v < 4; v++) {
            const __m512 d = _mm512_loadu_ps(x + i + v * 16), e = _mm512_sub_ps(d, mid);
            s[v] = square ? _mm512_fmadd_ps(e, e, s[v]) : _mm512_add_ps(s[v], d);
        }
    }
    for (; i < n; i += 16) {
        const __m512 d = load(x + i, n - i);
        const __m512 e = _mm512_maskz_sub_ps(x512_lanes(n - i), d, mid);
        s[0] = square ? _mm512_fmadd_ps(e, e, s[0]) : _mm512_add_ps(s[0], d);
    }
    return _mm512_reduce_add_ps(
        _mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3])));
}

static void layernorm(float *y, size_t ldy, const float *x, size_t ldx, const float *w,
                      const float *b, size_t rows, size_t n, float eps)
{
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        const float mean = row_sum(x, n, 0, false) / (float)n;
        const float var = row_sum(x, n, mean, true) / (float)n;
        const __m512 mid = _mm512_set1_ps(mean), rstd = _mm512_set1_ps(1 / sqrtf(var + eps));
        for (size_t i = 0; i < n; i += 16) {
            const __m512 scale = w ? load(w + i, n - i) : _mm512_set1_ps(1);
            const __m512 shift = b ? load(b + i, n - i) : _mm512_setzero_ps();
            const __m512 v = _mm512_mul_ps(_mm512_sub_ps(load(x + i, n - i), mid), rstd);
            store(y + i, n - i, _mm512_fmadd_ps(v, scale, shift));
        }
    }
}

/* The largest number of a row; a NaN is left to who reads the row next. */
X512_INLINE float row_max(const float *x, size_t n)
{
    const __m512 low = _mm512_set1_ps(-INFINITY);
    __m512 m[4];
    X512_UNROLL
    for (size_t v = 0; v < 4; v++)
        m[v] = low;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        X512_UNROLL
        for (size_t v = 0; v < 4; v++) // of a NaN and a number the second is taken
            m[v] = _mm512_max_ps(_mm512_loadu_ps(x + i + v * 16), m[v]);
    }
    for (; i < n; i += 16)
        m[0] = _mm512_max_ps(_mm512_mask_loadu_ps(low, x512_lanes(n - i), x + i), m[0]);
    return _mm512_reduce_max_ps(
        _mm512_max_ps(_mm512_max_ps(m[0], m[1]), _mm512_max_ps(m[2], m[3])));
}

static void softmax(float *x, size_t ld, size_t rows, size_t n, float scale)
{
    const __m512 s = _mm512_set1_ps(scale * log2_e);
    for (size_t r = 0; r < rows; r++, x += ld) {
        const __m512 top = _mm512_set1_ps(row_max(x, n));
        __m512 e[SIDE], sum = _mm512_setzero_ps();
        size_t i = 0;
        for (; i + 64 <= n; i += 64) {
            weights(SIDE, e, x + i, 64, top, s);
            X512_UNROLL
            for (size_t v = 0; v < SIDE; v++)
                _mm512_storeu_ps(x + i + v * 16, e[v]);
            sum = _mm512_add_ps(
                sum, _mm512_add_ps(_mm512_add_ps(e[0], e[1]), _mm512_add_ps(e[2], e[3])));
        }
        for (; i < n; i += 16) {
            weights(1, e, x + i, n - i, top, s);
            sum = _mm512_mask_add_ps(sum, x512_lanes(n - i), sum, e[0]);
            store(x + i, n - i, e[0]);
        }
        const __m512 inv = _mm512_set1_ps(1 / _mm512_reduce_add_ps(sum));
        for (i = 0; i < n; i += 16)
            store(x + i, n - i, _mm512_mul_ps(load(x + i, n - i), inv));
    }
}

/* y = f(x), in place on V vectors; p: its parameters. */
typedef void side_fn(size_t V, __m512 *x, const __m512 *p);

/* Two runs of 32 numbers. */
X512_INLINE void two_runs(float *y, size_t ldy, const float *x, size_t ldx, side_fn *f,
                          const __m512 *p)
{
    __m512 z[SIDE];
    X512_UNROLL
    for (size_t v = 0; v < SIDE; v++)
        z[v] = _mm512_loadu_ps(x + v / 2 * ldx + v % 2 * 16);
    f(SIDE, z, p);
    X512_UNROLL
    for (size_t v = 0; v < SIDE; v++)
        _mm512_storeu_ps(y + v / 2 * ldy + v % 2 * 16, z[v]);
}

X512_INLINE void each_row(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                          side_fn *f, const __m512 *p)
{
    if (n == NR) // a tile of a product
        for (; rows >= 2; rows -= 2, x += 2 * ldx, y += 2 * ldy)
            two_runs(y, ldy, x, ldx, f, p);
    for (size_t r = 0; r < rows; r++, x += ldx, y += ldy) {
        size_t i = 0;
        for (; i + 64 <= n; i += 64)
            two_runs(y + i, 32, x + i, 32, f, p);
        for (; i < n; i += 16) {
            __m512 z = load(x + i, n - i);
            f(1, &z, p);
            store(y + i, n - i, z);
        }
    }
}

/* Phi(x) - 1/2 = x P(x^2 - h) up to |x| = 5.08, where Phi is 0 or 1 to 2e-7: P is the polynomial of
 * the smallest error (2e-7) that makes it exactly -1/2 or 1/2 there. */
X512_INLINE void phi_side(size_t V, __m512 *y, const __m512 *x)
{
    static const float c[] = {3.61010306e-17f, -1.20490278e-15f, 1.53034578e-14f, -2.89556329e-13f,
                              9.16071906e-12f, -2.02512784e-10f, 3.71627817e-09f, -6.65419435e-08f,
                              1.14311763e-06f, -1.87495607e-05f, 0.000305904658f, -0.00536756916f,
                              0.139148578f};
    __m512 in[SIDE], t[SIDE], p[SIDE];
    X512_UNROLL
    for (size_t v = 0; v < V; v++) {
        // the number of smaller magnitude, with the sign of x; the last factor brings back a NaN
        in[v] = _mm512_range_ps(x[v], _mm512_set1_ps(5.07999992f), 2);
        t[v] = _mm512_fmsub_ps(in[v], in[v], _mm512_set1_ps(12.9031992f));
        p[v] = _mm512_set1_ps(c[0]);
    }
    X512_UNROLL
    for (size_t i = 1; i < sizeof c / sizeof *c; i++) {
        X512_UNROLL
        for (size_t v = 0; v < V; v++)
            p[v] = _mm512_fmadd_ps(p[v], t[v], _mm512_set1_ps(c[i]));
    }
    X512_UNROLL
    for (size_t v = 0; v < V; v++)
        y[v] = _mm512_add_ps(_mm512_mul_ps(in[v], p[v]), _mm512_set1_ps(0.5f));
}

X512_INLINE void gelu_side(size_t V, __m512 *x, const __m512 *none)
{
    __m512 phi[SIDE];
    (void)none;
    phi_side(V, phi, x);
    X512_UNROLL
    for (size_t v = 0; v < V; v++)
        x[v] = _mm512_mul_ps(x[v], phi[v]);
}

/* Phi(x) + x phi(x) */
X512_INLINE void gelu_slope_side(size_t V, __m512 *x, const __m512 *none)
{
    __m512 phi[SIDE], d[SIDE];
    (void)none;
    X512_UNROLL
    for (size_t v = 0; v < V; v++)
        d[v] = _mm512_mul_ps(_mm512_mul_ps(x[v], x[v]), _mm512_set1_ps(-0.5f * log2_e));
    exp2_side(V, d);
    phi_side(V, phi, x);
    X512_UNROLL
    for (size_t v = 0; v < V; v++)
        x[v] = _mm512_fmadd_ps(x[v], _mm512_mul_ps(d[v], _mm512_set1_ps(0.39894228f)), phi[v]);
}

static void gelu(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                 const float *p)
{
    (void)p;
    each_row(y, ldy, x, ldx, rows, n, gelu_side, NULL);
}

static void gelu_slope(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                       const float *p)
{
    (void)p;
    each_row(y, ldy, x, ldx, rows, n, gelu_slope_side, NULL);
}

/* x / (1 + 2^t) for t = -log2 e (p0 x + p1 x^3). t ends at 100, where the quotient is nothing beside
 * x and the reciprocal still a normal number. */
X512_INLINE void swish_side(size_t V, __m512 *x, const __m512 *p)
{
    const __m512 one = _mm512_set1_ps(1);
    __m512 t[SIDE];
    X512_UNROLL
    for (size_t v = 0; v < V; v++) {
        t[v] = _mm512_fmadd_ps(_mm512_mul_ps(p[1], x[v]), x[v], p[0]);
        // of a NaN and a number the second is taken
        t[v] = _mm512_min_ps(_mm512_set1_ps(100), _mm512_mul_ps(x[v], t[v]));
    }
    exp2_side(V, t);
    X512_UNROLL
    for (size_t v = 0; v < V; v++) {
        const __m512 d = _mm512_add_ps(t[v], one), r = _mm512_rcp14_ps(d); // and one Newton step
        const __m512 inv = _mm512_fmadd_ps(r, _mm512_fnmadd_ps(d, r, one), r);
        x[v] = _mm512_mul_ps(x[v], _mm512_min_ps(one, inv));
    }
}

static void swish(float *y, size_t ldy, const float *x, size_t ldx, size_t rows, size_t n,
                  const float *p)
{
    const __m512 by[2] = {_mm512_set1_ps(-p[0] * log2_e), _mm512_set1_ps(-p[1] * log2_e)};
    each_row(y, ldy, x, ldx, rows, n, swish_side, by);
}

static void depthwise(float *y, const float *const *x, const float *w, const float *bias,
                      size_t taps, size_t n)
{
    size_t c = 0;
    for (; c + 64 <= n; c += 64) {
        __m512 s[4];
        X512_UNROLL
        for (size_t v = 0; v < 4; v++)
            s[v] = bias ? _mm512_loadu_ps(bias + c + v * 16) : _mm512_setzero_ps();
        for (size_t t = 0; t < taps; t++) {
            if (!x[t]) continue;
            X512_UNROLL
            for (size_t v = 0; v < 4; v++)
                s[v] = _mm512_fmadd_ps(_mm512_loadu_ps(x[t] + c + v * 16),
                                       _mm512_loadu_ps(w + t * n + c + v * 16), s[v]);
        }
        X512_UNROLL
        for (size_t v = 0; v < 4; v++)
            _mm512_storeu_ps(y + c + v * 16, s[v]);
    }
    for (; c < n; c += 16) {
        __m512 s = bias ? load(bias + c, n - c) : _mm512_setzero_ps();
        for (size_t t = 0; t < taps; t++)
            if (x[t]) s = _mm512_fmadd_ps(load(x[t] + c, n - c), load(w + t * n + c, n - c), s);
        store(y + c, n - c, s);
    }
}

/* ---- other formats ---- */

/* The bits of |x|, whose order as integers is the order of numbers, Inf, NaN. */
X512_INLINE __m512i magnitude(__m512 x)
{
    return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7fffffff));
}

X512_INLINE uint32_t row_most(const float *x, size_t n)
{
    __m512i m[4];
    X512_UNROLL
    for (size_t v = 0; v < 4; v++)
        m[v] = _mm512_setzero_si512();
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        X512_UNROLL
        for (size_t v = 0; v < 4; v++)
            m[v] = _mm512_max_epu32(m[v], magnitude(_mm512_loadu_ps(x + i + v * 16)));
    }
    for (; i < n; i += 16)
        m[0] = _mm512_max_epu32(m[0], magnitude(load(x + i, n - i)));
    return _mm512_reduce_max_epu32(
        _mm512_max_epu32(_mm512_max_epu32(m[0], m[1]), _mm512_max_epu32(m[2], m[3])));
}

static float absmax(const float *x, size_t ldx, size_t rows, size_t n)
{
    uint32_t most = 0;
    for (size_t r = 0; r < rows; r++, x += ldx) {
        const uint32_t m = row_most(x, n);
        most = m > most ? m : most;
    }
    float f;
    memcpy(&f, &most, sizeof f);
    return f;
}

/* To nearest even, in the low halves of the lanes. */
X512_INLINE __m512i bf16_of(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_srli_epi32(_mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000)), 16);
}

static void to_bf16(uint16_t *y, size_t ldy, size_t npad, const float *x, size_t ldx, size_t rows,
                    size_t n)
{
    const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0); // of what packus returns
    for (size_t r = 0; r < rows; r++, x += ldx) {
        uint16_t *to = (uint16_t *)(void *)((char *)y + r * ldy);
        for (size_t i = 0; i < npad; i += 32) {
            const size_t left = i < n ? n - i : 0;
            const __m512i a = bf16_of(load(x + i, left));
            const __m512i b = bf16_of(load(x + i + 16, left > 16 ? left - 16 : 0));
            const __m512i v = _mm512_permutexvar_epi64(order, _mm512_packus_epi32(a, b));
            if (npad - i < 32)
                _mm512_mask_storeu_epi16(to + i, (1u << (npad - i)) - 1, v);
            else
                _mm512_storeu_si512(to + i, v);
        }
    }
}

/* 64 codes from four vectors of 16 bits that saturate: [0, 255], or [-128, 127] with zero added. */
X512_INLINE __m512i narrow(__m512i low, __m512i high, bool positive)
{
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    return _mm512_permutexvar_epi32(order, positive ? _mm512_packus_epi16(low, high)
                                                    : _mm512_packs_epi16(low, high));
}

X512_INLINE void store_codes(uint8_t *q, size_t left, __m512i codes)
{
    if (left < 64)
        _mm512_mask_storeu_epi8(q, x512_bytes(left), codes);
    else
        _mm512_storeu_si512(q, codes);
}

/* 254 times the weights of up to 64 numbers, as integers. */
X512_INLINE void weights_s32(__m512i w[SIDE], const float *x, size_t left, __m512 top, __m512 s)
{
    const __m512 steps = _mm512_set1_ps(254);
    __m512 e[SIDE];
    if (left >= 64) {
        weights(SIDE, e, x, left, top, s);
        X512_UNROLL
        for (size_t v = 0; v < SIDE; v++)
            w[v] = _mm512_cvtps_epi32(_mm512_mul_ps(e[v], steps));
        return;
    }
    X512_UNROLL
    for (size_t v = 0; v < SIDE; v++) {
        w[v] = _mm512_setzero_si512();
        if (left <= 16 * v) continue;
        weights(1, e, x + 16 * v, left - 16 * v, top, s);
        w[v] = _mm512_maskz_cvtps_epi32(x512_lanes(left - 16 * v), _mm512_mul_ps(e[0], steps));
    }
}

static void softmax_s8(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                       size_t ldx, size_t rows, size_t n, float scale, uint8_t flip)
{
    const __m512i flips = _mm512_set1_epi8((char)flip), zero = _mm512_setzero_si512();
    const __m512 s = _mm512_set1_ps(scale * log2_e);
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        const __m512 top = _mm512_set1_ps(row_max(x, n));
        __m512i sum = zero, any = zero; // a NaN becomes INT32_MIN, then weight 0
        for (size_t i = 0; i < npad; i += 64) {
            const size_t left = i < n ? n - i : 0;
            __m512i w[SIDE];
            weights_s32(w, x + i, left, top, s);
            any = _mm512_ternarylogic_epi32(any, w[0], w[1], 0xfe);
            any = _mm512_ternarylogic_epi32(any, w[2], w[3], 0xfe);
            __m512i c =
                narrow(_mm512_packs_epi32(w[0], w[1]), _mm512_packs_epi32(w[2], w[3]), true);
            sum = _mm512_add_epi64(sum, _mm512_sad_epu8(c, zero));
            c = _mm512_maskz_sub_epi8(x512_bytes(left), c, _mm512_set1_epi8(127));
            store_codes(q + i, npad - i, _mm512_xor_si512(c, flips));
        }
        const bool nan = _mm512_movepi32_mask(any) != 0;
        rowq[r] = (vise_rowq){nan ? NAN : 1 / (float)_mm512_reduce_add_epi64(sum), -127};
    }
}

/* The scale and zero point of a row, with inv = 1 / scale, or 0 if its codes are all 0. */
static vise_rowq range_of(const float *x, size_t n, const vise_quant *how, float *inv)
{
    const bool sym = how->mode == VISE_QUANT_SYM;
    const float steps = sym ? how->hi : (float)(how->hi - how->lo);
    float lo = 0, most = 0;
    if (sym) {
        const uint32_t bits = row_most(x, n);
        memcpy(&most, &bits, sizeof most);
    } else {
        __m512 low = _mm512_setzero_ps(), high = low, bad[2] = {low, low}; // NaN after NaN or Inf
        size_t i = 0;
        for (; i + 32 <= n; i += 32) {
            const __m512 u = _mm512_loadu_ps(x + i), v = _mm512_loadu_ps(x + i + 16);
            low = _mm512_min_ps(_mm512_min_ps(u, v), low);
            high = _mm512_max_ps(_mm512_max_ps(u, v), high);
            bad[0] = _mm512_fmadd_ps(u, _mm512_setzero_ps(), bad[0]);
            bad[1] = _mm512_fmadd_ps(v, _mm512_setzero_ps(), bad[1]);
        }
        for (; i < n; i += 16) {
            const __m512 v = load(x + i, n - i);
            low = _mm512_min_ps(v, low);
            high = _mm512_max_ps(v, high);
            bad[0] = _mm512_fmadd_ps(v, _mm512_setzero_ps(), bad[0]);
        }
        lo = _mm512_reduce_min_ps(low);
        most = _mm512_reduce_max_ps(high) - lo;
        if (_mm512_cmp_ps_mask(bad[0], bad[1], _CMP_UNORD_Q)) most = NAN;
    }
    *inv = 0;
    if (!isfinite(most)) return (vise_rowq){NAN, 0};
    if (!(most >= 1e-30f)) return (vise_rowq){0, 0};
    *inv = steps / most;
    vise_rowq q = {most / steps, 0};
    if (!sym) {
        const float zero = rintf(how->lo - lo * *inv);
        q.zero = (int32_t)(zero < how->lo ? how->lo : zero > how->hi ? how->hi : zero);
    }
    return q;
}

typedef struct coder {
    __m512 inv, high;
    __m512i zero, flip, lo, hi;
} coder;

/* 16 lanes to integers. `high` is only needed where a product may exceed what converts. */
X512_INLINE __m512i code_16(const float *x, size_t left, const coder *c, bool fixed, __mmask16 *nan)
{
    __m512 v = _mm512_mul_ps(load(x, left), c->inv);
    if (fixed) {
        *nan |= _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        v = _mm512_min_ps(v, c->high);
    }
    return _mm512_cvtps_epi32(v);
}

/* Saturation clamps: to 16 bits, then with the zero point to [-128, 127], which holds [lo, hi].
 * Returns whether there was a NaN, if `fixed`; other rows have none. */
X512_INLINE bool code_row(uint8_t *q, size_t npad, const float *x, size_t n, const coder *c,
                          bool fixed)
{
    __mmask16 nan = 0;
    for (size_t i = 0; i < npad; i += 64) {
        const size_t left = i < n ? n - i : 0;
        __m512i w[4];
        X512_UNROLL
        for (size_t v = 0; v < 4; v++)
            w[v] = left > 16 * v ? code_16(x + i + 16 * v, left - 16 * v, c, fixed, &nan)
                                 : _mm512_setzero_si512();
        const __m512i low = _mm512_adds_epi16(_mm512_packs_epi32(w[0], w[1]), c->zero);
        const __m512i high = _mm512_adds_epi16(_mm512_packs_epi32(w[2], w[3]), c->zero);
        __m512i code = _mm512_min_epi8(narrow(low, high, false), c->hi);
        code = _mm512_maskz_max_epi8(x512_bytes(left), code, c->lo);
        store_codes(q + i, npad - i, _mm512_xor_si512(code, c->flip));
    }
    return nan;
}

static void quant_s8(uint8_t *q, size_t ldq, size_t npad, vise_rowq *rowq, const float *x,
                     size_t ldx, size_t rows, size_t n, const vise_quant *how)
{
    assert(how->lo < 0 && how->hi > 0);
    for (size_t r = 0; r < rows; r++, x += ldx, q += ldq) {
        const bool fixed = how->mode == VISE_QUANT_FIXED;
        float inv = 1 / how->fixed.scale;
        rowq[r] = fixed ? how->fixed : range_of(x, n, how, &inv);
        const coder c = {_mm512_set1_ps(inv),
                         _mm512_set1_ps((float)(how->hi - rowq[r].zero)),
                         _mm512_set1_epi16((short)rowq[r].zero),
                         _mm512_set1_epi8((char)how->flip),
                         _mm512_set1_epi8(how->lo),
                         _mm512_set1_epi8(how->hi)};
        const bool nan = inv == 0 ? false
                         : fixed  ? code_row(q, npad, x, n, &c, true)
                                  : code_row(q, npad, x, n, &c, false);
        if (!nan && inv != 0) continue;
        rowq[r] = (vise_rowq){nan ? NAN : rowq[r].scale, 0};
        memset(q, how->flip, npad);
    }
}

void vise_kern_avx512(vise_kern *k)
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
    vise_kern_avx512_codes(k);
}
