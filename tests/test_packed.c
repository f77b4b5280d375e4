/* test_packed.c - sessions that keep weights as packed codes: the bits of those that keep bytes or
 * floats
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "walk.h"
#include "base/cpu.h"
#include "base/rng.h"

#include <math.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE * 3, CLASSES = 10, BATCH = 2, GROUP = 32 };

/* One way of coding weights. */
typedef struct coding {
    uint32_t bits;
    vise_levels levels;
    bool multiplied;
    size_t book_rows;
    bool floats; // operands are not rounded, and levels are no whole numbers
} coding;

static void *own(vise_model *m, size_t n, size_t size)
{
    vise_err e;
    void *p = vise_alloc(n, size);
    assert_non_null(p);
    MUST(vise_tensors_own(&m->tensors, p, &e));
    return p;
}

/* Random codes. Levels reach `most`, which leaves room for multipliers. */
static void code_randomly(vise_model *m, vise_const *c, const coding *how, vise_rng *rng)
{
    const size_t codes = (size_t)1 << how->bits;
    const size_t most = how->levels == VISE_AFFINE ? codes / 2 : how->multiplied ? 18 : 127;
    c->enc = (vise_encoding){.type = VISE_U8, .bits = how->bits, .levels = how->levels};
    if (how->levels == VISE_AFFINE) c->enc.zero = (int32_t)most;
    c->enc.multiplied = how->multiplied;
    c->enc.group = how->multiplied ? GROUP : 0;
    const vise_code_layout l = vise_code_layout_of(&c->shape, &c->enc);
    uint8_t *data = own(m, l.rows, l.stride), *mult = own(m, l.rows, l.groups);
    c->enc.book_rows = how->book_rows;
    const size_t books = vise_books_of(&c->shape, &c->enc);
    float *book = own(m, books * codes, sizeof *book);
    for (size_t i = 0; i < l.rows * l.stride; i++)
        data[i] = (uint8_t)vise_rng_u64(rng);
    for (size_t i = 0; i < l.rows * l.groups; i++)
        mult[i] = (uint8_t)(vise_rng_u64(rng) % (127 / most + 1));
    for (size_t i = 0; i < books * codes; i++)
        book[i] = how->floats ? 30 * vise_rng_normal(rng)
                              : (float)(vise_rng_u64(rng) % (2 * most + 1)) - (float)most;
    c->data = data;
    c->mult = how->multiplied ? mult : NULL;
    c->codebook = how->levels == VISE_CODEBOOK ? book : NULL;
}

/* The same numbers as bytes. */
static void code_as_bytes(vise_model *m, vise_const *to, const vise_const *from)
{
    const vise_code_layout l = vise_code_layout_of(&from->shape, &from->enc);
    const size_t n = l.rows * l.cols;
    float *ones = own(m, l.rows, sizeof *ones), *levels = own(m, n, sizeof *levels);
    uint8_t *data = own(m, n, 1);
    vise_const plain = *from;
    for (size_t i = 0; i < l.rows; i++)
        ones[i] = 1;
    plain.scale = ones;
    vise_decode(levels, &plain);
    for (size_t i = 0; i < n; i++) {
        assert_true(levels[i] == rintf(levels[i]) && fabsf(levels[i]) <= 127);
        data[i] = (uint8_t)((int)levels[i] + 128);
    }
    to->enc = (vise_encoding){.type = VISE_U8, .bits = 8, .zero = 128};
    to->data = data;
}

static void code_as_floats(vise_model *m, vise_const *to, const vise_const *from)
{
    float *data = own(m, vise_shape_count(&from->shape), sizeof *data);
    vise_decode(data, from);
    to->enc = (vise_encoding){.type = VISE_F32};
    to->data = data;
}

static vise_model *network(const char *acts)
{
    char line[64];
    snprintf(line, sizeof line, "quantize weights=int8 acts=%s method=nearest", acts);
    const vise_new small = {.dim = 48,
                            .depth = 2,
                            .heads = 3,
                            .patch = 8,
                            .height = SIDE,
                            .width = SIDE,
                            .classes = CLASSES,
                            .mlp_ratio = 4,
                            .seed = 5};
    vise_err e;
    vise_model *m;
    MUST(vise_model_new(&m, "vit", &small, &e));
    MUST(vise_apply(m, line, NULL, &e));
    return m;
}

static size_t run(const vise_model *m, const vise_session_opts *o, const float *x, float *y)
{
    vise_err e;
    vise_session *s;
    MUST(vise_session_new(&s, m, o, &e));
    const size_t bytes = vise_session_bytes(s);
    const long allocs = vise_alloc_count;
    vise_session_run(s, o->batch, (const float *[]){x}, (float *[]){y});
    assert_int_equal(vise_alloc_count, allocs); // a run allocates nothing
    vise_session_free(s);
    return bytes;
}

static void check_level(const vise_model *packed, const vise_model *bytes, const char *level)
{
    static float x[BATCH * PIXELS], y[BATCH * CLASSES], z[BATCH * CLASSES];
    vise_rng rng = vise_rng_named(3, "pixels");
    for (size_t i = 0; i < BATCH * PIXELS; i++)
        x[i] = vise_rng_normal(&rng);
    vise_session_opts o = {.batch = BATCH, .cpu = level};
    const size_t more = run(bytes, &o, x, y);
    for (o.threads = 1; o.threads <= 3; o.threads++) {
        memset(z, 0, sizeof z);
        const size_t less = run(packed, &o, x, z);
        assert_memory_equal(y, z, sizeof y);
        if (o.threads == 1 && less >= more)
            fail_msg("%s: %zu bytes of codes, %zu of bytes", level, less, more);
    }
    float **want = walk(&packed->graph, x);
    const float *w = want[packed->graph.output[0].value];
    float largest = 0;
    for (size_t i = 0; i < CLASSES; i++)
        largest = fmaxf(largest, fabsf(w[i]));
    for (size_t i = 0; i < CLASSES; i++)
        if (!(fabsf(y[i] - w[i]) <= 0.05f * largest))
            fail_msg("%s: output %zu is %g, not %g", level, i, (double)y[i], (double)w[i]);
    free_values(&packed->graph, want);
}

static void check_coding(const coding *how)
{
    const char *acts = how->floats ? "f32" : "int8";
    vise_model *packed = network(acts), *bytes = network(acts);
    vise_rng rng = vise_rng_named(7, "codes");
    size_t coded = 0;
    for (vise_id v = 0; v < packed->graph.values; v++) {
        vise_const *c = &packed->graph.value[v].data;
        if (packed->graph.value[v].kind != VISE_VALUE_CONST || c->enc.bits != 8) continue;
        code_randomly(packed, c, how, &rng);
        (how->floats ? code_as_floats : code_as_bytes)(bytes, &bytes->graph.value[v].data, c);
        coded++;
    }
    assert_true(coded > 8);
    for (size_t l = 0; vise_cpu_level(l); l++) {
        unsigned mask;
        if (!vise_cpu_parse(&mask, vise_cpu_level(l), NULL))
            check_level(packed, bytes, vise_cpu_level(l));
    }
    vise_model_free(packed);
    vise_model_free(bytes);
}

static void test_affine(void **state)
{
    (void)state;
    for (uint32_t bits = 2; bits <= 6; bits++) {
        check_coding(&(coding){.bits = bits, .levels = VISE_AFFINE});
        check_coding(&(coding){bits, VISE_AFFINE, true, 0, false});
    }
}

static void test_codebook(void **state)
{
    (void)state;
    for (uint32_t bits = 2; bits <= 6; bits += 2) {
        check_coding(&(coding){.bits = bits, .levels = VISE_CODEBOOK});
        check_coding(&(coding){bits, VISE_CODEBOOK, true, 0, false});
    }
}

static void test_books(void **state)
{
    (void)state;
    for (uint32_t bits = 2; bits <= 6; bits++) {
        check_coding(&(coding){bits, VISE_CODEBOOK, false, 64, false});
        check_coding(&(coding){bits, VISE_CODEBOOK, false, 128, false});
    }
}

static void test_floats(void **state)
{
    (void)state;
    for (uint32_t bits = 2; bits <= 6; bits++) {
        check_coding(&(coding){bits, VISE_CODEBOOK, false, 0, true});
        check_coding(&(coding){bits, VISE_CODEBOOK, false, 64, true});
        check_coding(&(coding){bits, VISE_AFFINE, false, 0, true});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_affine),
        cmocka_unit_test(test_codebook),
        cmocka_unit_test(test_books),
        cmocka_unit_test(test_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
