/* kern_avx2_gemm.c - matrix products for AVX2 with FMA
 * SPDX-License-Identifier: MIT */
#include "kern/x86/avx2.h"

#include <assert.h>
#include <string.h>

enum {
    NR = 16,    // columns of a panel of f32, bf16: two vectors of sums
    MR = 6,     // most rows of a tile: 12 sums, two vectors of w, one of a
    ROWS = 96,  // most rows whose sums wait in memory
    DEPTH = 96, // elements along k that are brought into another form at once
    LINE = 64,  // bytes of a cache line
};

/* ---- what all formats share ---- */

/* m rows in parts of even heights, at most `most`. */
typedef struct split {
    size_t parts, rows, more; // the first `more` parts have one row more
} split;

static split split_rows(size_t m, size_t most)
{
    const size_t parts = (m + most - 1) / most;
    return (split){parts, m / parts, m % parts};
}

AVX2_INLINE size_t rows_of(const split *s, size_t part)
{
    return s->rows + (part < s->more);
}

static size_t min_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* out [count], of which x [n] or NULL is there, then zeros. */
static void pad_row(float *out, size_t count, const float *x, size_t n)
{
    memset(out, 0, count * sizeof *out);
    if (x) memcpy(out, x, min_of(n, count) * sizeof *out);
}

/* c = f(x) + add for rows i.. and columns j.. of c.  x [rows, ld], ld a multiple of 8 */
static void finish(const vise_gemm_args *g, float *x, size_t ld, size_t i, size_t j, size_t rows)
{
    const size_t cols = min_of(g->n - j, ld);
    float *c = g->c + i * g->ldc + j;
    if (g->act && !g->add) {
        g->act(c, g->ldc, x, ld, rows, cols, g->act_param);
        return;
    }
    if (g->act) g->act(x, ld, x, ld, rows, cols, g->act_param);
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < cols; q += 8) {
            __m256 v = _mm256_loadu_ps(x + r * ld + q);
            if (g->add)
                v = _mm256_add_ps(v, avx2_load(g->add + (i + r) * g->ldadd + j + q, cols - q));
            avx2_store(c + r * g->ldc + q, cols - q, v);
        }
}

/* Calls tile(R, ...) with the constant R = rows, 1 to MR. */
#define BY_ROWS(rows, tile, ...)                                                                   \
    switch (rows) {                                                                                \
    case 1:                                                                                        \
        tile(1, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 2:                                                                                        \
        tile(2, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 3:                                                                                        \
        tile(3, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 4:                                                                                        \
        tile(4, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    case 5:                                                                                        \
        tile(5, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    default:                                                                                       \
        tile(6, __VA_ARGS__);                                                                      \
        break;                                                                                     \
    }

/* ---- f32 ---- */

/* sum[r] += a[r][p] w[p] for one p. */
AVX2_INLINE void step_f32(size_t R, __m256 sum[MR][2], const char *const row[2], size_t lda,
                          size_t p, const float *w)
{
    const __m256 w0 = _mm256_load_ps(w + p * NR), w1 = _mm256_load_ps(w + p * NR + 8);
    AVX2_UNROLL
    for (size_t r = 0; r < R; r++) {
        const void *at = row[r / 3] + r % 3 * lda + p * sizeof *w;
        const __m256 x = _mm256_broadcast_ss(at);
        sum[r][0] = _mm256_fmadd_ps(x, w0, sum[r][0]);
        sum[r][1] = _mm256_fmadd_ps(x, w1, sum[r][1]);
    }
}

/* sum[r] += a[r][0 .. k) w, rows lda bytes apart. Two pointers and the address modes reach six
 * rows; two steps at once, since counting takes the ports that multiply. */
AVX2_INLINE void add_f32(size_t R, __m256 sum[MR][2], const char *a, size_t lda, const float *w,
                         size_t k)
{
    enum { STEPS = 2 };
    const char *row[2] = {a, a + 3 * lda};
    for (; k >= STEPS; k -= STEPS, w += STEPS * NR) {
        AVX2_UNROLL
        for (size_t p = 0; p < STEPS; p++)
            step_f32(R, sum, row, lda, p, w);
        row[0] += STEPS * sizeof *w;
        row[1] += STEPS * sizeof *w;
    }
    for (size_t p = 0; p < k; p++)
        step_f32(R, sum, row, lda, p, w);
}

AVX2_INLINE void rows_f32(size_t R, const vise_gemm_args *g, size_t i, size_t j, const float *bias)
{
    __m256 sum[MR][2];
    AVX2_UNROLL
    for (size_t r = 0; r < R; r++) {
        sum[r][0] = _mm256_loadu_ps(bias);
        sum[r][1] = _mm256_loadu_ps(bias + 8);
    }
    add_f32(R, sum, (const char *)g->a + i * g->lda, g->lda, (const float *)g->w + j * g->k, g->k);
    float scratch[MR * NR];
    const bool direct = !g->act && g->n - j >= NR;
    float *to = direct ? g->c + i * g->ldc + j : scratch;
    const size_t ld = direct ? g->ldc : NR;
    AVX2_UNROLL
    for (size_t r = 0; r < R; r++) {
        if (direct && g->add) {
            const float *add = g->add + (i + r) * g->ldadd + j;
            sum[r][0] = _mm256_add_ps(sum[r][0], _mm256_loadu_ps(add));
            sum[r][1] = _mm256_add_ps(sum[r][1], _mm256_loadu_ps(add + 8));
        }
        _mm256_storeu_ps(to + r * ld, sum[r][0]);
        _mm256_storeu_ps(to + r * ld + 8, sum[r][1]);
    }
    if (!direct) finish(g, scratch, NR, i, j, R);
}

/* Panel by panel, so that a panel is read from far once. */
static void gemm_f32(const vise_gemm_args *g)
{
    assert(g->m && g->n && g->k && g->ldc >= g->n);
    const split s = split_rows(g->m, MR);
    for (size_t j = 0; j < g->n; j += NR) {
        float bias[NR];
        pad_row(bias, NR, g->bias ? g->bias + j : NULL, g->n - j);
        for (size_t t = 0, i = 0; t < s.parts; i += rows_of(&s, t++))
            BY_ROWS(rows_of(&s, t), rows_f32, g, i, j, bias)
    }
}

/* ---- bf16: parts of panels and of rows are widened to f32, then multiplied as such ---- */

/* w [k / 2, NR, 2] bf16 to [k, NR] f32. */
static void widen_panel(float *to, const uint16_t *w, size_t k)
{
    for (size_t p = 0; p < k; p += 2, to += 2 * NR, w += 2 * NR)
        for (size_t q = 0; q < NR; q += 8) {
            const __m256i x = avx2_load_bytes(w + 2 * q);
            avx2_store_bytes(to + q, _mm256_slli_epi32(x, 16));
            avx2_store_bytes(to + NR + q, _mm256_and_si256(x, _mm256_set1_epi32((int)0xffff0000)));
        }
}

/* Rows of k bf16, k a multiple of 8, to [rows, DEPTH] f32. */
static void widen_rows(float *to, const char *a, size_t lda, size_t rows, size_t k)
{
    for (size_t r = 0; r < rows; r++, a += lda, to += DEPTH)
        for (size_t p = 0; p < k; p += 8) {
            const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(a + 2 * p));
            avx2_store_bytes(to + p, _mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
        }
}

/* sums [R, NR] += a [R, k] w [k, NR], rows of a lda bytes apart. */
AVX2_INLINE void rows_sums(size_t R, float *sums, const char *a, size_t lda, const float *w,
                           size_t k)
{
    __m256 sum[MR][2];
    AVX2_UNROLL
    for (size_t r = 0; r < R; r++) {
        sum[r][0] = _mm256_load_ps(sums + r * NR);
        sum[r][1] = _mm256_load_ps(sums + r * NR + 8);
    }
    add_f32(R, sum, a, lda, w, k);
    AVX2_UNROLL
    for (size_t r = 0; r < R; r++) {
        _mm256_store_ps(sums + r * NR, sum[r][0]);
        _mm256_store_ps(sums + r * NR + 8, sum[r][1]);
    }
}

/* Rows i.. (1 to ROWS) of the panel of columns j.. */
static void block_bf16(const vise_gemm_args *g, size_t i, size_t j, size_t rows)
{
    _Alignas(32) float sums[ROWS * NR], wide_w[DEPTH * NR], wide_a[MR * DEPTH];
    const size_t kpad = (g->k + 7) / 8 * 8;
    const char *a = (const char *)g->a + i * g->lda;
    const uint16_t *w = (const uint16_t *)g->w + j * kpad;
    const split s = split_rows(rows, MR);
    for (size_t r = 0; r < rows; r++)
        pad_row(sums + r * NR, NR, g->bias ? g->bias + j : NULL, g->n - j);
    for (size_t p = 0; p < kpad; p += DEPTH) {
        const size_t k = min_of(kpad - p, DEPTH);
        widen_panel(wide_w, w + p * NR, k);
        for (size_t t = 0, r = 0; t < s.parts; r += rows_of(&s, t++)) {
            widen_rows(wide_a, a + r * g->lda + p * 2, g->lda, rows_of(&s, t), k);
            BY_ROWS(rows_of(&s, t), rows_sums, sums + r * NR, (const char *)wide_a,
                    DEPTH * sizeof *wide_a, wide_w, k)
        }
    }
    finish(g, sums, NR, i, j, rows);
}

static void gemm_bf16(const vise_gemm_args *g)
{
    assert(g->m && g->n && g->k && g->ldc >= g->n);
    const split s = split_rows(g->m, ROWS);
    for (size_t j = 0; j < g->n; j += NR)
        for (size_t t = 0, i = 0; t < s.parts; i += rows_of(&s, t++))
            block_bf16(g, i, j, rows_of(&s, t));
}

/* ---- s8 ----
 *
 * vpmaddubsw multiplies unsigned by signed bytes and adds pairs in 16 bits, which just hold
 * 2 127 127. So a enters by its magnitude, and its signs elsewhere: the sign of the first of each
 * pair as a factor of vpmaddwd, which only adds pairs to 32 bits otherwise; whether the sign of the
 * second differs chooses between the codes of w and those with every second one negated. A unit has
 * two pairs, so four forms of it are made, each used by a quarter of the rows. This takes three
 * instructions for 32 products; widening to 16 bits would take four. */

enum {
    NR8 = 32,        // columns of a panel: four vectors of sums
    ROWS8 = 100,     // most rows for which the forms of a panel are made once
    UNIT8 = NR8 * 4, // bytes of one form of a unit
    GROUP8 = 4,      // rows that are brought into form before they are multiplied
};

/* DEPTH codes of a row. */
typedef struct row_s8 {
    _Alignas(32) uint8_t magnitude[DEPTH];
    _Alignas(32) int16_t sign[DEPTH / 2];  // of the first of each pair
    _Alignas(32) uint32_t form[DEPTH / 4]; // of w for each unit, in bytes
} row_s8;

/* The first k codes at a, k a multiple of 32. */
static void form_row(row_s8 *row, const char *a, size_t k)
{
    for (size_t p = 0; p < k; p += 32) {
        const __m256i x = avx2_load_bytes(a + p), first = _mm256_slli_epi16(x, 8);
        const __m256i sign = _mm256_or_si256(_mm256_srai_epi16(first, 15), _mm256_set1_epi16(1));
        const __m256i differ = _mm256_srli_epi16(_mm256_xor_si256(x, first), 15);
        const __m256i form =
            _mm256_madd_epi16(differ, _mm256_set1_epi32(UNIT8 | (2 * UNIT8) << 16));
        avx2_store_bytes(row->magnitude + p, _mm256_abs_epi8(x));
        avx2_store_bytes(row->sign + p / 2, sign);
        avx2_store_bytes(row->form + p / 4, form);
    }
}

/* w [units, UNIT8] to its forms [units, 4, UNIT8]. */
static void form_panel(char *to, const char *w, size_t units)
{
    const __m256i second = _mm256_set1_epi32(0x0101ff01),
                  fourth = _mm256_set1_epi32((int)0xff010101);
    for (size_t u = 0; u < units; u++, to += 4 * UNIT8, w += UNIT8)
        for (size_t q = 0; q < UNIT8; q += 32) {
            const __m256i x = avx2_load_bytes(w + q), y = _mm256_sign_epi8(x, second);
            avx2_store_bytes(to + q, x);
            avx2_store_bytes(to + UNIT8 + q, y);
            avx2_store_bytes(to + 2 * UNIT8 + q, _mm256_sign_epi8(x, fourth));
            avx2_store_bytes(to + 3 * UNIT8 + q, _mm256_sign_epi8(y, fourth));
        }
}

AVX2_INLINE __m256i broadcast_4(const void *from)
{
    int32_t x;
    memcpy(&x, from, sizeof x);
    return _mm256_set1_epi32(x);
}

/* What columns j.. mean. */
typedef struct scales_s8 {
    float scale[NR8], sum[NR8], bias[NR8];
} scales_s8;

static void scales_at(scales_s8 *s, const vise_gemm_args *g, size_t j)
{
    const size_t cols = min_of(g->n - j, NR8);
    pad_row(s->scale, NR8, g->wscale + j, cols);
    pad_row(s->bias, NR8, g->bias ? g->bias + j : NULL, cols);
    pad_row(s->sum, NR8, NULL, 0);
    for (size_t q = 0; g->zeros && q < cols; q++)
        s->sum[q] = (float)g->wsum[j + q];
}

/* A block of rows i.. and the panel of columns j.. */
typedef struct block_s8 {
    const vise_gemm_args *g;
    size_t i, j, rows;
    const scales_s8 *scales;
    float *to; // where c goes, as it is or to f
    size_t ld;
    const float *add; // added here, or NULL
    bool first, last; // part along k: sums start from nothing, are whole
    const char *end;  // of w
} block_s8;

/* Row r of c. fma(-zero, sum, v) leaves v alone where zero or sum is 0: v is an integer, never -0. */
AVX2_INLINE void scale_s8(const block_s8 *b, size_t r, const __m256i sum[4])
{
    const vise_rowq *rowq = b->g->rowq + b->i + r;
    const __m256 zero = _mm256_cvtepi32_ps(_mm256_set1_epi32(rowq->zero));
    const __m256 scale = _mm256_broadcast_ss(&rowq->scale);
    const scales_s8 *s = b->scales;
    AVX2_UNROLL
    for (size_t i = 0; i < 4; i++) {
        const size_t q = 8 * i;
        __m256 v = _mm256_cvtepi32_ps(sum[i]);
        v = _mm256_fnmadd_ps(zero, _mm256_loadu_ps(s->sum + q), v);
        v = _mm256_fmadd_ps(v, _mm256_mul_ps(scale, _mm256_loadu_ps(s->scale + q)),
                            _mm256_loadu_ps(s->bias + q));
        if (b->add) v = _mm256_add_ps(v, _mm256_loadu_ps(b->add + r * b->g->ldadd + q));
        _mm256_storeu_ps(b->to + r * b->ld + q, v);
    }
}

/* Rows i.. of the sums [rows, NR8] of a block += a [R] times the forms of w [units, 4, UNIT8]; the
 * last turn into c. */
AVX2_INLINE void rows_s8(size_t R, const block_s8 *b, size_t i, int32_t *sums, const row_s8 *a,
                         const char *w, size_t units)
{
    __m256i sum[2][4];
    sums += i * NR8;
    AVX2_UNROLL
    for (size_t v = 0; v < 4 * R; v++)
        sum[v / 4][v % 4] = b->first ? _mm256_setzero_si256() : avx2_load_bytes(sums + 8 * v);
    for (size_t u = 0; u < units; u++, w += 4 * UNIT8) {
        AVX2_UNROLL
        for (size_t r = 0; r < R; r++) {
            const char *form = w + a[r].form[u];
            __asm__("" : "+r"(form)); // one addition, not an index in each of four addresses
            const __m256i x = broadcast_4(a[r].magnitude + 4 * u);
            const __m256i sign = broadcast_4(a[r].sign + 2 * u);
            AVX2_UNROLL
            for (size_t v = 0; v < 4; v++) {
                const __m256i pairs = _mm256_maddubs_epi16(x, avx2_load_bytes(form + 32 * v));
                sum[r][v] = _mm256_add_epi32(sum[r][v], _mm256_madd_epi16(pairs, sign));
            }
        }
    }
    if (b->last) {
        AVX2_UNROLL
        for (size_t r = 0; r < R; r++)
            scale_s8(b, i + r, sum[r]);
        return;
    }
    AVX2_UNROLL
    for (size_t v = 0; v < 4 * R; v++)
        avx2_store_bytes(sums + 8 * v, sum[v / 4][v % 4]);
}

/* sums [rows, NR8] += codes a [rows, k] times w [k / 4, UNIT8], k at most DEPTH and padded as rows
 * are, while fetching what follows in w. In a function of its own for the size of its stack. */
static __attribute__((noinline)) void part_s8(const block_s8 *b, int32_t *sums, const char *a,
                                              const char *w, size_t k)
{
    _Alignas(32) char forms[DEPTH * NR8 * 4];
    row_s8 row[GROUP8];
    const size_t units = (k + 3) / 4;
    const char *ahead = w + units * UNIT8;
    const size_t left = (size_t)(b->end - ahead);
    form_panel(forms, w, units);
    for (size_t i = 0; i < b->rows; i += GROUP8) {
        const size_t count = min_of(b->rows - i, GROUP8);
        for (size_t r = 0; r < count; r++) {
            form_row(&row[r], a + (i + r) * b->g->lda, k);
            if ((i + r) * LINE < left) _mm_prefetch(ahead + (i + r) * LINE, _MM_HINT_T0);
        }
        size_t r = 0;
        for (; r + 2 <= count; r += 2)
            rows_s8(2, b, i + r, sums, &row[r], forms, units);
        if (r < count) rows_s8(1, b, i + r, sums, &row[r], forms, units);
    }
}

typedef union sums_s8 { // a vector of sums turns into the numbers that they mean
    int32_t sum[ROWS8 * NR8];
    float value[ROWS8 * NR8];
} sums_s8;

static void run_s8(block_s8 *b)
{
    _Alignas(32) sums_s8 t;
    const vise_gemm_args *g = b->g;
    const bool direct = !g->act && g->n - b->j >= NR8;
    const size_t kpad = (g->k + 31) / 32 * 32, from = b->i * g->ldc + b->j;
    const char *a = (const char *)g->a + b->i * g->lda, *w = (const char *)g->w + b->j * kpad;
    b->to = direct ? g->c + from : t.value;
    b->ld = direct ? g->ldc : NR8;
    b->add = direct && g->add ? g->add + b->i * g->ldadd + b->j : NULL;
    for (size_t p = 0; p < g->k; p += DEPTH) {
        const size_t k = min_of(g->k - p, DEPTH);
        b->first = !p;
        b->last = p + k == g->k;
        part_s8(b, t.sum, a + p, w + p * NR8, k);
    }
    if (!direct) finish(g, t.value, NR8, b->i, b->j, b->rows);
    b->to = NULL; // t ends here
}

static void gemm_s8(const vise_gemm_args *g)
{
    assert(g->m && g->n && g->k && g->ldc >= g->n);
    const size_t kpad = (g->k + 31) / 32 * 32, npad = (g->n + NR8 - 1) / NR8 * NR8;
    const split p = split_rows(g->m, ROWS8);
    block_s8 b = {.g = g, .end = (const char *)g->w + npad * kpad};
    for (b.j = 0; b.j < g->n; b.j += NR8) {
        scales_s8 s;
        scales_at(&s, g, b.j);
        b.scales = &s;
        b.i = 0;
        for (size_t t = 0; t < p.parts; b.i += b.rows, t++) {
            b.rows = rows_of(&p, t);
            run_s8(&b);
        }
    }
}

/* ---- packing: units have 4 bytes in every format ---- */

/* [8, 8] units, in place. */
AVX2_INLINE void transpose(__m256i x[8])
{
    __m256i t[8], y[8];
    AVX2_UNROLL
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    AVX2_UNROLL
    for (int i = 0; i < 8; i++) { // y[i]: units i % 4 and i % 4 + 4 of rows 4 (i / 4)..
        const int from = i / 4 * 4 + i % 4 / 2;
        y[i] = i % 2 ? _mm256_unpackhi_epi64(t[from], t[from + 2])
                     : _mm256_unpacklo_epi64(t[from], t[from + 2]);
    }
    AVX2_UNROLL
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2x128_si256(y[i], y[i + 4], 0x20);
        x[i + 4] = _mm256_permute2x128_si256(y[i], y[i + 4], 0x31);
    }
}

/* Up to 32 bytes with `flip` XORed into each, then zeros. */
AVX2_INLINE __m256i load_part(const char *x, size_t bytes, uint8_t flip)
{
    const __m256i flips = _mm256_set1_epi8((char)flip);
    if (bytes >= 32) return _mm256_xor_si256(avx2_load_bytes(x), flips);
    _Alignas(32) char part[32];
    avx2_store_bytes(part, flips);
    memcpy(part, x, bytes);
    return _mm256_xor_si256(avx2_load_bytes(part), flips);
}

/* sums + the sums of four codes each. */
AVX2_INLINE __m256i add_codes(__m256i sums, __m256i codes)
{
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* 8 columns, `cols` of them there, as the rows of a matrix at w, ldn bytes apart, `bytes` of each:
 * `units` units to `to`, `step` bytes apart. Returns the sums, if the elements are codes. */
AVX2_INLINE __m256i pack_columns(char *to, size_t step, size_t units, const char *w, size_t ldn,
                                 size_t cols, size_t bytes, uint8_t flip)
{
    __m256i sums = _mm256_setzero_si256();
    for (size_t u = 0; u < units; u += 8) {
        const size_t there = u * 4 < bytes ? bytes - u * 4 : 0, count = min_of(units - u, 8);
        __m256i x[8];
        AVX2_UNROLL
        for (size_t i = 0; i < 8; i++) {
            x[i] = _mm256_setzero_si256();
            if (i < cols && there) x[i] = load_part(w + i * ldn + u * 4, there, flip);
        }
        transpose(x);
        AVX2_UNROLL
        for (size_t i = 0; i < 8; i++) {
            sums = add_codes(sums, x[i]); // units past the last are zeros
            if (i < count) avx2_store_bytes(to + (u + i) * step, x[i]);
        }
    }
    return sums;
}

/* Element p of one unit of 8 columns, side by side at w, in the place it has in the unit. */
AVX2_INLINE __m256i spread(const char *w, size_t cols, size_t size, size_t p, uint8_t flip)
{
    const __m256i x = cols < 8 ? load_part(w, cols * size, 0) : _mm256_setzero_si256();
    const __m128i low = _mm256_castsi256_si128(x);
    if (size == 4) return cols < 8 ? x : avx2_load_bytes(w);
    if (size == 2) {
        const __m128i e = cols < 8 ? low : _mm_loadu_si128((const __m128i *)(const void *)w);
        return _mm256_sll_epi32(_mm256_cvtepu16_epi32(e), _mm_cvtsi32_si128((int)p * 16));
    }
    const __m128i e = cols < 8 ? low : _mm_loadl_epi64((const __m128i *)(const void *)w);
    const __m256i flips = _mm256_and_si256(_mm256_set1_epi32(flip), avx2_lanes(cols));
    const __m256i code = _mm256_xor_si256(_mm256_cvtepu8_epi32(e), flips);
    return _mm256_sll_epi32(code, _mm_cvtsi32_si128((int)p * 8));
}

/* The same for columns side by side: element p of column i lies at w + p ldk + i size, p < k. */
AVX2_INLINE __m256i pack_rows(char *to, size_t step, size_t units, const char *w, size_t ldk,
                              size_t cols, size_t k, size_t size, uint8_t flip)
{
    const size_t unit = 4 / size;
    __m256i sums = _mm256_setzero_si256();
    for (size_t u = 0; u < units; u++) {
        __m256i x = _mm256_setzero_si256();
        for (size_t p = 0; p < unit && u * unit + p < k && cols; p++)
            x = _mm256_or_si256(x, spread(w + (u * unit + p) * ldk, cols, size, p, flip));
        sums = add_codes(sums, x);
        avx2_store_bytes(to + u * step, x);
    }
    return sums;
}

AVX2_INLINE void pack(const vise_gemm *g, size_t size, void *panels, int32_t *sum, const void *w,
                      size_t ldn, size_t ldk, size_t n, size_t k, uint8_t flipped)
{
    const size_t step = g->nr * 4, units = (k + g->kr - 1) / g->kr * g->kr * size / 4;
    const uint8_t flip = size == 1 ? flipped : 0;
    if (ldk != 1 && ldn != 1) {
        vise_pack(g, panels, sum, w, ldn, ldk, n, k, flipped);
        return;
    }
    for (size_t j = 0; j < (n + g->nr - 1) / g->nr * g->nr; j += 8) {
        char *to = (char *)panels + j / g->nr * units * step + j % g->nr * 4;
        const char *from = (const char *)w + (j < n ? j : 0) * ldn * size;
        const size_t cols = j < n ? min_of(n - j, 8) : 0;
        const __m256i sums =
            ldk == 1 ? pack_columns(to, step, units, from, ldn * size, cols, k * size, flip)
                     : pack_rows(to, step, units, from, ldk * size, cols, k, size, flip);
        if (sum) _mm256_maskstore_epi32(sum + (j < n ? j : 0), avx2_lanes(cols), sums);
    }
}

#define PACK(type, size)                                                                           \
    static const vise_gemm bundle_##type;                                                          \
    static void pack_##type(void *panels, int32_t *sum, const void *w, size_t ldn, size_t ldk,     \
                            size_t n, size_t k, uint8_t flipped)                                   \
    {                                                                                              \
        pack(&bundle_##type, size, panels, sum, w, ldn, ldk, n, k, flipped);                       \
    }                                                                                              \
    static const vise_gemm bundle_##type

PACK(f32,
     4) = {.nr = NR, .kr = 1, .unit = 1, .esize = 4, .mr = 1, .run = gemm_f32, .pack = pack_f32};
PACK(bf16,
     2) = {.nr = NR, .kr = 8, .unit = 2, .esize = 2, .mr = 1, .run = gemm_bf16, .pack = pack_bf16};
PACK(s8,
     1) = {.nr = NR8, .kr = 32, .unit = 4, .esize = 1, .mr = 1, .run = gemm_s8, .pack = pack_s8};

void vise_kern_avx2_gemm(vise_kern *k)
{
    k->gemm_f32 = bundle_f32;
    k->gemm_bf16 = bundle_bf16;
    k->gemm_s8 = bundle_s8;
}
