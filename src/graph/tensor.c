/* tensor.c - element types, shapes, and the meaning of every encoding
 * SPDX-License-Identifier: MIT */
#include "graph/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *st_name;
    size_t size;
} dtypes[VISE_DTYPES] = {
    [VISE_F64] = {"f64", "F64", 8}, [VISE_F32] = {"f32", "F32", 4},
    [VISE_F16] = {"f16", "F16", 2}, [VISE_BF16] = {"bf16", "BF16", 2},
    [VISE_I64] = {"i64", "I64", 8}, [VISE_I32] = {"i32", "I32", 4},
    [VISE_I16] = {"i16", "I16", 2}, [VISE_I8] = {"i8", "I8", 1},
    [VISE_U8] = {"u8", "U8", 1},    [VISE_BOOL] = {"bool", "BOOL", 1},
};

size_t vise_dtype_size(vise_dtype t)
{
    return dtypes[t].size;
}

const char *vise_dtype_name(vise_dtype t)
{
    return dtypes[t].name;
}

const char *vise_dtype_st_name(vise_dtype t)
{
    return dtypes[t].st_name;
}

bool vise_dtype_from_st(vise_dtype *t, const char *name)
{
    for (int i = 0; i < VISE_DTYPES; i++)
        if (!strcmp(dtypes[i].st_name, name)) {
            *t = (vise_dtype)i;
            return true;
        }
    return false;
}

bool vise_dtype_is_float(vise_dtype t)
{
    return t <= VISE_BF16;
}

vise_shape vise_shape_of(uint32_t rank, const size_t *dim)
{
    assert(rank <= VISE_MAX_RANK);
    vise_shape s = {.rank = rank};
    for (uint32_t i = 0; i < rank; i++)
        s.dim[i] = dim[i];
    return s;
}

bool vise_shape_same(const vise_shape *a, const vise_shape *b)
{
    if (a->rank != b->rank) return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

char *vise_shape_text(char *buf, size_t size, const vise_shape *s)
{
    size_t n = 0;
    snprintf(buf, size, "[");
    for (uint32_t i = 0; i < s->rank; i++) {
        n = strlen(buf);
        snprintf(buf + n, size - n, "%s%zu", i ? ", " : "", s->dim[i]);
    }
    n = strlen(buf);
    snprintf(buf + n, size - n, "]");
    return buf;
}

size_t vise_shape_count(const vise_shape *s)
{
    size_t n = 1;
    for (uint32_t i = 0; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}

bool vise_shape_count_within(const vise_shape *s, size_t limit, size_t *count)
{
    size_t n = 1;
    for (uint32_t i = 0; i < s->rank; i++) {
        if (!s->dim[i] || s->dim[i] > limit / n) return false;
        n *= s->dim[i];
    }
    if (n > limit) return false; // a scalar, and limit 0
    *count = n;
    return true;
}

/* ---- elements: little endian, unaligned ---- */

static uint64_t load(const uint8_t *p, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

static float f32_of_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static double f64_of_bits(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* Every f16 is an f32: only the exponent's bias changes, but for the ends of the range. */
static float f32_of_f16(uint32_t h)
{
    const uint32_t sign = (h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
    if (exponent == 31) return f32_of_bits(sign | 0x7f800000 | fraction << 13); // inf, NaN
    if (exponent) return f32_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
    const float tiny = (float)fraction * 0x1p-24f; // subnormal or zero: exact in f32
    return sign ? -tiny : tiny;
}

float vise_element_f32(vise_dtype t, const void *data, size_t i)
{
    const uint8_t *p = (const uint8_t *)data + i * dtypes[t].size;
    switch (t) {
    case VISE_F64:
        return (float)f64_of_bits(load(p, 8));
    case VISE_F32:
        return f32_of_bits((uint32_t)load(p, 4));
    case VISE_F16:
        return f32_of_f16((uint32_t)load(p, 2));
    case VISE_BF16:
        return f32_of_bits((uint32_t)load(p, 2) << 16);
    case VISE_I64:
        return (float)(int64_t)load(p, 8);
    case VISE_I32:
        return (float)(int32_t)load(p, 4);
    case VISE_I16:
        return (float)(int16_t)load(p, 2);
    case VISE_I8:
        return (float)(int8_t)*p;
    case VISE_U8:
        return (float)*p;
    case VISE_BOOL:
        return *p ? 1 : 0;
    case VISE_DTYPES:
        break;
    }
    vise_bug("element type %d", (int)t);
}

void vise_to_f32(float *out, vise_dtype t, const void *data, size_t n)
{
    const uint8_t *p = data;
    static const uint16_t one = 1;
    const bool little = *(const uint8_t *)&one;
    if (t == VISE_F32 && little) { // the common ones without a choice per element
        if (n) memcpy(out, data, n * sizeof *out);
    } else if (t == VISE_F16) {
        for (size_t i = 0; i < n; i++)
            out[i] = f32_of_f16((uint32_t)(p[2 * i] | p[2 * i + 1] << 8));
    } else if (t == VISE_BF16) {
        for (size_t i = 0; i < n; i++)
            out[i] = f32_of_bits((uint32_t)p[2 * i] << 16 | (uint32_t)p[2 * i + 1] << 24);
    } else {
        for (size_t i = 0; i < n; i++)
            out[i] = vise_element_f32(t, data, i);
    }
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static uint16_t bf16_of(float f)
{
    const uint32_t b = bits_of(f);
    const bool nan = (b & 0x7fffffff) > 0x7f800000;
    return (uint16_t)((nan ? b | 0x400000 : b + 0x7fff + (b >> 16 & 1)) >> 16);
}

static uint16_t f16_of(float f)
{
    const uint32_t b = bits_of(f), sign = b >> 16 & 0x8000, size = b & 0x7fffffff;
    if (size > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (size >= 0x477ff000) return (uint16_t)(sign | 0x7c00); // rounds to 2^16 or more
    if (size >= 0x38800000)                                   // 2^-14: normal in f16
        return (uint16_t)(sign | (size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13);
    // adding 0.5 leaves multiples of 2^-24, rounded to nearest even, in the low bits
    return (uint16_t)(sign | (bits_of(f32_of_bits(size) + 0.5f) - 0x3f000000));
}

static void store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

void vise_from_f32(void *out, vise_dtype t, const float *x, size_t n)
{
    uint8_t *p = out;
    assert(t == VISE_F32 || t == VISE_F16 || t == VISE_BF16);
    for (size_t i = 0; i < n && t == VISE_F16; i++)
        store16(p + 2 * i, f16_of(x[i]));
    for (size_t i = 0; i < n && t == VISE_BF16; i++)
        store16(p + 2 * i, bf16_of(x[i]));
    if (t == VISE_F32)
        for (size_t i = 0; i < n; i++) {
            store16(p + 4 * i, (uint16_t)bits_of(x[i]));
            store16(p + 4 * i + 2, (uint16_t)(bits_of(x[i]) >> 16));
        }
}

/* ---- encodings ---- */

static size_t row_bytes(size_t cols, uint32_t bits)
{
    return cols / 8 * bits + (cols % 8 * bits + 7) / 8; // no product that is larger than its result
}

vise_code_layout vise_code_layout_of(const vise_shape *s, const vise_encoding *enc)
{
    const size_t rows = s->rank ? s->dim[0] : 1, cols = rows ? vise_shape_count(s) / rows : 0;
    const size_t group = enc->group ? enc->group : cols;
    const size_t groups = enc->group ? cols / group + (cols % group != 0) : 1;
    return (vise_code_layout){rows, cols, row_bytes(cols, enc->bits), groups,
                              enc->multiplied ? 1 : groups};
}

size_t vise_books_of(const vise_shape *s, const vise_encoding *enc)
{
    const size_t rows = s->rank ? s->dim[0] : 1;
    return enc->book_rows && enc->book_rows < rows
               ? rows / enc->book_rows + (rows % enc->book_rows != 0)
               : 1;
}

size_t vise_const_bytes(const vise_const *c)
{
    if (!c->enc.bits) return vise_shape_count(&c->shape) * vise_dtype_size(c->enc.type);
    const vise_code_layout l = vise_code_layout_of(&c->shape, &c->enc);
    size_t bytes = l.rows * (l.stride + l.scales * sizeof(float));
    if (c->enc.multiplied) bytes += l.rows * l.groups;
    if (c->enc.levels == VISE_CODEBOOK)
        bytes += (vise_books_of(&c->shape, &c->enc) << c->enc.bits) * sizeof(float);
    return bytes;
}

static uint32_t code_at(const uint8_t *row, size_t j, uint32_t bits)
{
    // bit j * bits, without the product: 8 columns are `bits` whole bytes
    const size_t bit = j % 8 * bits, byte = j / 8 * bits + bit / 8;
    const uint32_t shift = bit % 8;
    uint32_t v = row[byte] >> shift;
    if (shift + bits > 8) v |= (uint32_t)row[byte + 1] << (8 - shift);
    return v & ((1U << bits) - 1);
}

void vise_decode(float *out, const vise_const *c)
{
    const vise_encoding *enc = &c->enc;
    if (!enc->bits) {
        vise_to_f32(out, enc->type, c->data, vise_shape_count(&c->shape));
        return;
    }
    const vise_code_layout l = vise_code_layout_of(&c->shape, enc);
    for (size_t i = 0; i < l.rows; i++) {
        const uint8_t *row = (const uint8_t *)c->data + i * l.stride;
        const float *book = enc->levels == VISE_CODEBOOK ? c->codebook : NULL;
        if (book && enc->book_rows) book += i / enc->book_rows << enc->bits;
        for (size_t j = 0; j < l.cols; j++) {
            const uint32_t code = code_at(row, j, enc->bits);
            const size_t group = enc->group ? j / enc->group : 0;
            float level = book ? book[code] : (float)((int32_t)code - enc->zero);
            if (enc->multiplied) level *= (float)c->mult[i * l.groups + group];
            out[i * l.cols + j] = level * c->scale[i * l.scales + (enc->multiplied ? 0 : group)];
        }
    }
}

const char *vise_encoding_name(const vise_encoding *enc)
{
    static const char *const names[2][9] = {
        {"", "", "u2 affine", "u3 affine", "u4 affine", "u5 affine", "u6 affine", "u7 affine",
         "u8 affine"},
        {"", "", "u2 codebook", "u3 codebook", "u4 codebook", "u5 codebook", "u6 codebook",
         "u7 codebook", "u8 codebook"},
    };
    return enc->bits ? names[enc->levels == VISE_CODEBOOK][enc->bits] : vise_dtype_name(enc->type);
}
