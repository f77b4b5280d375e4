/* test_tensors.c - element types, shapes, encodings, and the list of named tensors
 * SPDX-License-Identifier: MIT */
#include "model/tensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t bits_of(float f)
{
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}

/* The value of an f16 from its definition, in double. */
static double f16_value(unsigned h)
{
    const int exponent = (int)(h >> 10 & 31), fraction = (int)(h & 1023);
    double v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) v = fraction ? (double)NAN : (double)INFINITY;
    return h & 0x8000 ? -v : v;
}

static void all_f16(void **state)
{
    (void)state;
    uint8_t data[1 + 2 * 65536]; // starts unaligned
    static float out[65536];
    for (unsigned h = 0; h < 65536; h++) {
        data[1 + 2 * h] = (uint8_t)h;
        data[2 + 2 * h] = (uint8_t)(h >> 8);
    }
    vise_to_f32(out, VISE_F16, data + 1, 65536);
    for (unsigned h = 0; h < 65536; h++) {
        const double want = f16_value(h);
        if (isnan(want)) {
            assert_true(isnan(out[h]));
        } else {
            assert_true((double)out[h] == want);
            assert_int_equal(signbit(out[h]) != 0, h >> 15);
        }
        assert_int_equal(bits_of(vise_element_f32(VISE_F16, data + 1, h)), bits_of(out[h]));
    }
}

static void all_bf16(void **state)
{
    (void)state;
    uint8_t data[3] = {0};
    for (unsigned h = 0; h < 65536; h++) { // the upper half of an f32, NaNs included
        float out;
        data[1] = (uint8_t)h;
        data[2] = (uint8_t)(h >> 8);
        vise_to_f32(&out, VISE_BF16, data + 1, 1);
        assert_int_equal(bits_of(out), h << 16);
        assert_int_equal(bits_of(vise_element_f32(VISE_BF16, data + 1, 0)), h << 16);
    }
}

/* Elements of every type, stored unaligned. */
static void other_types(void **state)
{
    (void)state;
    static const double f64[] = {0.1, -1e300, 1e-320, 1.0 + 0x1p-24, -0.0};
    static const int64_t i64[] = {INT64_MIN, INT64_MAX, -1, 16777217};
    static const int32_t i32[] = {INT32_MIN, INT32_MAX, -1};
    static const int16_t i16[] = {INT16_MIN, INT16_MAX, -1};
    static const float f32[] = {1.5f, -0.0f, 1e-45f};
    static const uint8_t bytes[] = {0, 1, 127, 128, 255};
    char data[64];
    float out[8];

    memcpy(data + 1, f64, sizeof f64);
    vise_to_f32(out, VISE_F64, data + 1, 5);
    assert_int_equal(bits_of(out[0]), bits_of(0.1f));
    assert_true(isinf(out[1]) && out[1] < 0);
    assert_true(out[2] == 0 && out[3] == 1); // ties to even
    assert_int_equal(bits_of(out[4]), 0x80000000);

    memcpy(data + 1, i64, sizeof i64);
    vise_to_f32(out, VISE_I64, data + 1, 4);
    assert_true(out[0] == -0x1p63f && out[1] == 0x1p63f && out[2] == -1 && out[3] == 16777216);
    memcpy(data + 1, i32, sizeof i32);
    vise_to_f32(out, VISE_I32, data + 1, 3);
    assert_true(out[0] == -0x1p31f && out[1] == 0x1p31f && out[2] == -1);
    memcpy(data + 1, i16, sizeof i16);
    vise_to_f32(out, VISE_I16, data + 1, 3);
    assert_true(out[0] == -32768 && out[1] == 32767 && out[2] == -1);
    memcpy(data + 1, f32, sizeof f32);
    vise_to_f32(out, VISE_F32, data + 1, 3);
    assert_memory_equal(out, f32, sizeof f32);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(bits_of(vise_element_f32(VISE_F32, data + 1, i)), bits_of(f32[i]));

    vise_to_f32(out, VISE_I8, bytes, 5);
    assert_true(out[1] == 1 && out[2] == 127 && out[3] == -128 && out[4] == -1);
    vise_to_f32(out, VISE_U8, bytes, 5);
    assert_true(out[0] == 0 && out[3] == 128 && out[4] == 255);
    vise_to_f32(out, VISE_BOOL, bytes, 5);
    assert_true(out[0] == 0 && out[1] == 1 && out[4] == 1);
    vise_to_f32(out, VISE_F32, NULL, 0);
}

static void dtype_names(void **state)
{
    (void)state;
    static const size_t sizes[VISE_DTYPES] = {8, 4, 2, 2, 8, 4, 2, 1, 1, 1};
    for (int i = 0; i < VISE_DTYPES; i++) {
        vise_dtype t = VISE_DTYPES;
        assert_true(vise_dtype_from_st(&t, vise_dtype_st_name((vise_dtype)i)));
        assert_int_equal(t, i);
        assert_int_equal(vise_dtype_size(t), sizes[i]);
        assert_int_equal(vise_dtype_is_float(t), i < 4);
    }
    vise_dtype t = VISE_F32;
    assert_false(vise_dtype_from_st(&t, "F8_E4M3") || vise_dtype_from_st(&t, "f32"));
    assert_int_equal(t, VISE_F32);
    assert_string_equal(vise_dtype_name(VISE_BF16), "bf16");
}

static void shapes(void **state)
{
    (void)state;
    char text[VISE_SHAPE_TEXT];
    const vise_shape a = vise_shape_of(2, (size_t[]){197, 192}), b = vise_shape_of(0, NULL);
    const vise_shape c = vise_shape_of(2, (size_t[]){197, 191});
    assert_string_equal(vise_shape_text(text, sizeof text, &a), "[197, 192]");
    assert_string_equal(vise_shape_text(text, sizeof text, &b), "[]");
    assert_true(vise_shape_same(&a, &a) && !vise_shape_same(&a, &b) && !vise_shape_same(&a, &c));
    assert_int_equal(vise_shape_count(&a), 197 * 192);
    assert_int_equal(vise_shape_count(&b), 1);

    const size_t big = SIZE_MAX; // the longest text fits
    const vise_shape huge = vise_shape_of(6, (size_t[]){big, big, big, big, big, big});
    assert_int_equal(strlen(vise_shape_text(text, sizeof text, &huge)), 6 * 20 + 5 * 2 + 2);

    size_t n = 7;
    const vise_shape zero = vise_shape_of(2, (size_t[]){3, 0});
    assert_false(vise_shape_count_within(&huge, SIZE_MAX, &n));
    assert_false(vise_shape_count_within(&zero, 100, &n));
    assert_false(vise_shape_count_within(&a, 197 * 192 - 1, &n));
    assert_false(vise_shape_count_within(&b, 0, &n));
    assert_int_equal(n, 7);
    assert_true(vise_shape_count_within(&a, 197 * 192, &n) && n == 197 * 192);
    assert_true(vise_shape_count_within(&b, 1, &n) && n == 1);
}

/* ---- encodings ---- */

static void put_code(uint8_t *row, size_t j, unsigned bits, unsigned code)
{
    for (unsigned b = 0; b < bits; b++) // bit by bit, as the definition reads
        if (code >> b & 1) row[(j * bits + b) / 8] |= (uint8_t)(1U << (j * bits + b) % 8);
}

static void check_coded(unsigned bits, vise_levels levels, size_t rows, size_t cols, size_t group)
{
    const size_t stride = (cols * bits + 7) / 8, groups = group ? (cols + group - 1) / group : 1;
    uint8_t *codes = calloc(rows, stride); // exactly as large as it must be: ASan watches
    float *scale = calloc(rows * groups, sizeof *scale), *out = calloc(rows * cols, sizeof *out);
    float codebook[256];
    assert_true(codes && scale && out);
    for (size_t i = 0; i < 256; i++)
        codebook[i] = (float)i * 0.37f - 11;
    for (size_t i = 0; i < rows * groups; i++)
        scale[i] = (float)(i + 1) * 0.013f;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            put_code(codes + i * stride, j, bits, (unsigned)(i * 31 + j * 7) % (1U << bits));

    const vise_const c = {.shape = vise_shape_of(3, (size_t[]){rows, 1, cols}),
                          .enc = {.bits = bits, .levels = levels, .zero = 5, .group = group},
                          .data = codes,
                          .scale = scale,
                          .codebook = codebook};
    vise_decode(out, &c);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            const unsigned code = (unsigned)(i * 31 + j * 7) % (1U << bits);
            const float level = levels == VISE_AFFINE ? (float)code - 5 : codebook[code];
            const float want = level * scale[i * groups + (group ? j / group : 0)];
            assert_int_equal(bits_of(out[i * cols + j]), bits_of(want));
        }
    size_t bytes = rows * stride + rows * groups * 4;
    if (levels == VISE_CODEBOOK) bytes += 4U << bits;
    assert_int_equal(vise_const_bytes(&c), bytes);
    free(codes);
    free(scale);
    free(out);
}

static void coded(void **state)
{
    (void)state;
    static const size_t cols[] = {1, 7, 8, 13, 64}, groups[] = {0, 1, 5, 8, 100};
    for (unsigned bits = 2; bits <= 8; bits++)
        for (size_t i = 0; i < 5; i++)
            for (size_t g = 0; g < 5; g++) {
                check_coded(bits, VISE_AFFINE, 3, cols[i], groups[g]);
                check_coded(bits, VISE_CODEBOOK, 2, cols[i], groups[g]);
            }
}

static void plain(void **state)
{
    (void)state;
    static const uint8_t data[] = {0x00, 0x3c, 0x00, 0xc0};
    float out[2];
    vise_const c = {.shape = vise_shape_of(1, (size_t[]){2}), .enc = {.type = VISE_F16}};
    c.data = data;
    vise_decode(out, &c);
    assert_true(out[0] == 1 && out[1] == -2);
    assert_int_equal(vise_const_bytes(&c), 4);
    assert_string_equal(vise_encoding_name(&c.enc), "f16");
    assert_string_equal(vise_encoding_name(&(vise_encoding){.bits = 4, .levels = VISE_CODEBOOK}),
                        "u4 codebook");
    assert_string_equal(vise_encoding_name(&(vise_encoding){.bits = 8}), "u8 affine");
}

/* ---- the list of tensors ---- */

static void names(void **state)
{
    (void)state;
    char name[VISE_MAX_NAME + 2];
    memset(name, 'x', sizeof name);
    name[VISE_MAX_NAME + 1] = 0;
    assert_false(vise_tensor_name_ok(name));
    name[VISE_MAX_NAME] = 0;
    assert_true(vise_tensor_name_ok(name));
    assert_true(vise_tensor_name_ok("blocks.0.attn.qkv weight"));
    static const char *const bad[] = {"", "a\"b", "a\\b", "a\nb", "a\x7f", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(vise_tensor_name_ok(bad[i]));
}

static vise_status fill(vise_tensors *t, vise_err *e)
{
    char name[32];
    vise_map map = {.data = (const uint8_t *)"abc", .size = 3};
    for (int i = 0; i < 200; i++) { // so many that the lists grow
        snprintf(name, sizeof name, "tensor%d", i);
        VISE_TRY(vise_tensors_add(t, &(vise_stored){.name = name, .bytes = (size_t)i}, e));
        VISE_TRY(vise_tensors_add_text(t, name, "value", e));
        void *block;
        VISE_TRY(vise_alloc_or(&block, 8, 1, "a block", e));
        VISE_TRY(vise_tensors_own(t, block, e));
    }
    VISE_TRY(vise_tensors_own_map(t, &map, e));
    assert_null(map.data);
    return vise_tensors_check_names(t, e);
}

static void builders(void **state)
{
    (void)state;
    vise_tensors t = {0};
    vise_err e;
    assert_int_equal(fill(&t, &e), VISE_OK);
    assert_int_equal(t.count, 200);
    assert_int_equal(t.file_bytes, 3);
    const vise_stored *s = vise_tensors_find(&t, "tensor150");
    assert_true(s && s->bytes == 150);
    assert_null(vise_tensors_find(&t, "tensor200"));
    assert_string_equal(vise_tensors_text(&t, "tensor7"), "value");
    assert_null(vise_tensors_text(&t, "tensor"));

    assert_int_equal(vise_tensors_add(&t, &(vise_stored){.name = "a\nb"}, &e), VISE_EFORMAT);
    assert_int_equal(vise_tensors_add(&t, &(vise_stored){.name = "tensor9"}, &e), VISE_OK);
    assert_int_equal(vise_tensors_check_names(&t, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "tensor9"));
    vise_tensors_free(&t);
    assert_null(t.item);

    for (long n = 0;; n++) { // allocation 0 fails, then 1, ...
        assert_true(n < 2000);
        vise_alloc_fail_at = n;
        const vise_status status = fill(&t, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(status, reached ? VISE_ENOMEM : VISE_OK);
        vise_tensors_free(&t);
        if (!reached) break;
    }
}

static void too_many(void **state)
{
    (void)state;
    vise_tensors t = {0};
    vise_err e;
    vise_status s = VISE_OK;
    for (size_t i = 0; i < VISE_MAX_TENSORS; i++)
        s = s ? s : vise_tensors_add(&t, &(vise_stored){.name = "x"}, &e);
    assert_int_equal(s, VISE_OK);
    assert_int_equal(vise_tensors_add(&t, &(vise_stored){.name = "x"}, &e), VISE_EFORMAT);
    assert_int_equal(t.count, VISE_MAX_TENSORS);
    vise_tensors_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_f16),  cmocka_unit_test(all_bf16),    cmocka_unit_test(other_types),
        cmocka_unit_test(shapes),   cmocka_unit_test(dtype_names), cmocka_unit_test(coded),
        cmocka_unit_test(plain),    cmocka_unit_test(names),       cmocka_unit_test(builders),
        cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
