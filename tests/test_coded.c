/* test_coded.c - coded constants and rounded operands in a file: exact round trip, nothing trusted
 * SPDX-License-Identifier: MIT */
#include "coded.h"
#include "edit.h"
#include "model/coded.h"

#include <math.h>
#include <unistd.h>

static char dir[] = "/tmp/vise-coded-XXXXXX";
static char path_a[64], path_b[64];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return 1;
    snprintf(path_a, sizeof path_a, "%s/a.vise", dir);
    snprintf(path_b, sizeof path_b, "%s/b.vise", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path_a);
    unlink(path_b);
    return rmdir(dir); // fails if a temporary was left behind
}

static void save_coded(void)
{
    vise_err e;
    vise_model *m;
    MUST(coded_new(&m, &e));
    MUST(vise_model_save(m, path_a, &e));
    vise_model_free(m);
}

static void same_bytes(const char *x, const char *y)
{
    vise_err e;
    vise_map a, b;
    MUST(vise_map_open(&a, x, &e));
    MUST(vise_map_open(&b, y, &e));
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    vise_map_close(&a);
    vise_map_close(&b);
}

static void same_const(const vise_value *x, const vise_value *y)
{
    const size_t n = vise_shape_count(&x->shape);
    const vise_encoding *p = &x->data.enc, *q = &y->data.enc;
    assert_true(vise_shape_same(&x->shape, &y->shape));
    assert_true(p->type == q->type && p->bits == q->bits && p->levels == q->levels &&
                p->zero == q->zero && p->group == q->group && p->multiplied == q->multiplied &&
                p->book_rows == q->book_rows);
    float *a = calloc(n, sizeof *a), *b = calloc(n, sizeof *b);
    assert_true(a && b);
    vise_decode(a, &x->data);
    vise_decode(b, &y->data);
    assert_memory_equal(a, b, n * sizeof *a);
    free(a);
    free(b);
}

static const char *act_type(const vise_model *m, const char *name)
{
    vise_node_info info;
    vise_model_get_node(m, m->graph.value[vise_graph_find(&m->graph, name)].node, &info);
    return info.act_type;
}

static void test_round_trip(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m, *r;
    save_coded();
    MUST(coded_new(&m, &e));
    MUST(vise_model_open(&r, path_a, NULL, &e));
    size_t found = 0, levels = 0;
    assert_int_equal(m->graph.nodes, r->graph.nodes);
    for (size_t i = 0; i < m->graph.values; i++) {
        const vise_value *v = &m->graph.value[i];
        const vise_id id = vise_graph_find(&r->graph, v->name);
        assert_true(id != VISE_NONE);
        if (v->kind == VISE_VALUE_CONST) same_const(v, &r->graph.value[id]);
        found += v->kind == VISE_VALUE_CONST && v->data.enc.bits;
    }
    assert_int_equal(found, 21);
    for (size_t i = 0; i < m->graph.nodes; i++)
        for (size_t k = 0; k < VISE_MAX_IN; k++) {
            const vise_actq *p = &m->graph.node[i].actq[k], *q = &r->graph.node[i].actq[k];
            assert_true(p->kind == q->kind && p->bits == q->bits && p->scale == q->scale &&
                        p->zero == q->zero && !p->level == !q->level);
            if (p->level) assert_memory_equal(p->level, q->level, (size_t)1 << p->bits);
            levels += p->level != NULL;
        }
    assert_int_equal(levels, 1);
    const vise_node *attn =
        &r->graph.node[r->graph.value[vise_graph_find(&r->graph, "attn3")].node];
    const vise_attention_attr *a = attn->attr;
    assert_true(a->prob_bits == 4 && a->prob_step == 0.5);
    vise_model_info im, ir;
    vise_model_get_info(m, &im);
    vise_model_get_info(r, &ir);
    assert_true(im.params == ir.params && im.weight_bytes == ir.weight_bytes);
    assert_string_equal(act_type(r, "affine3"), "int8 static");
    assert_string_equal(act_type(r, "narrow"), "int3");
    assert_string_equal(act_type(r, "choice"), "int2 levels");
    MUST(vise_model_save(r, path_b, &e));
    same_bytes(path_a, path_b);
    vise_model_free(m);
    vise_model_free(r);
}

/* The corpus of fuzz_vise holds this very file, so that it stays a valid one. */
static void test_corpus(void **state)
{
    (void)state;
    save_coded();
    if (getenv("UPDATE")) {
        vise_err e;
        vise_map a;
        MUST(vise_map_open(&a, path_a, &e));
        write_file(VISE_CORPUS "/vise/coded.vise", a.data, a.size);
        vise_map_close(&a);
    }
    same_bytes(path_a, VISE_CORPUS "/vise/coded.vise");
}

static void test_truncated(void **state)
{
    (void)state;
    vise_err e;
    vise_map a;
    save_coded();
    MUST(vise_map_open(&a, path_a, &e));
    for (size_t n = 0; n < a.size; n += 53) {
        vise_model *m = (vise_model *)&e;
        write_file(path_b, a.data, n);
        assert_int_equal(vise_model_open(&m, path_b, NULL, &e), VISE_EFORMAT);
        assert_null(m);
    }
    vise_map_close(&a);
}

/* The first `from` in the header becomes `to`; says is in the sentence that refuses the file. */
static const struct {
    const char *from, *to, *says;
} wrong_fields[] = {
    {"\"vise\":\"2\"", "\"vise\":\"3\"", "format 3"},
    {"\"vise.encodings\"", "\"vise.encodingx\"", "stem.weight: a constant of type u8"},
    {"\"vise.encodings\":\"{", "\"vise.encodings\":\"[", "vise.encodings"},
    {"\\\"stem.weight\\\":{\\\"shape\\\"", "\\\"stem.wright\\\":{\\\"shape\\\"",
     "stem.weight: a constant of type u8"},
    {"\\\"stem.weight\\\":{\\\"shape\\\"", "\\\"extra\\\":{},\\\"stem.weight\\\":{\\\"shape\\\"",
     "extra is no tensor"},
    {"{\\\"shape\\\":[6,3,2,2]", "{\\\"shape\\\":[6,3,2,3]",
     "stem.weight: u8 [6, 12], expected u8 [6, 18]"},
    {"{\\\"shape\\\":[6,3,2,2]", "{\\\"shape\\\":[6,3,0,2]", "stem.weight: vise.encodings"},
    {"{\\\"shape\\\":[6,3,2,2]", "{\\\"shape\\\":[16777216,16777216,16777216,2]",
     "stem.weight: vise.encodings"},
    {"{\\\"shape\\\":[6,3,2,2]", "{\\\"shape\\\":[]", "stem.weight: vise.encodings"},
    {"\\\"bits\\\":8,\\\"levels\\\"", "\\\"bits\\\":9,\\\"levels\\\"", "codes of 9 bits"},
    {"\\\"bits\\\":8,\\\"levels\\\"", "\\\"bits\\\":1,\\\"levels\\\"", "codes of 1 bits"},
    {"\\\"bits\\\":8,\\\"levels\\\"", "\\\"bits\\\":7,\\\"levels\\\"", "stem.weight"},
    {"\\\"levels\\\":\\\"affine\\\"", "\\\"levels\\\":\\\"offine\\\"", "stem.weight: a field"},
    {"\\\"zero\\\":128", "\\\"zero\\\":256", "stem.weight: a field"},
    {"\\\"zero\\\":128", "\\\"zero\\\":-1", "stem.weight: a field"},
    {"\\\"zero\\\":128", "\\\"zero\\\":64", "stem.weight: code"},
    {"\\\"zero\\\":128", "\\\"zerp\\\":128", "stem.weight: a field"},
    {"\\\"zero\\\":128", "\\\"zero\\\":128,\\\"fine\\\":1", "stem.weight: a field"},
    {"\\\"group\\\":7", "\\\"group\\\":0", "pos: a field"},
    {"\\\"zero\\\":128", "\\\"zero\\\":128,\\\"book_rows\\\":64", "stem.weight: a field"},
    {"\\\"codebook\\\"", "\\\"codebook\\\",\\\"book_rows\\\":60", ": a field"},
    {"\\\"codebook\\\"", "\\\"codebook\\\",\\\"book_rows\\\":0", ": a field"},
    {"\\\"codebook\\\"", "\\\"codebook\\\",\\\"book_rows\\\":64", ".codebook: f32 ["},
    {"\\\"group\\\":7", "\\\"group\\\":5", "pos.scale: f32 [1, 4], expected f32 [1, 5]"},
    {"\"stem.weight.scale\"", "\"stem.weight.skale\"", "stem.weight.scale: not in the file"},
    {"\"book4.weight.codebook\"", "\"book4.weight.kodebook\"",
     "book4.weight.codebook: not in the file"},
    {"\"stem.weight.scale\":{\"dtype\":\"F32\",\"shape\":[6,1]",
     "\"stem.weight.scale\":{\"dtype\":\"F32\",\"shape\":[1,6]",
     "stem.weight.scale: f32 [1, 6], expected f32 [6, 1]"},
    {"\"stem.weight.scale\":{\"dtype\":\"F32\",\"shape\":[6,1]",
     "\"stem.weight.scale\":{\"dtype\":\"BF16\",\"shape\":[6,2]",
     "stem.weight.scale: bf16 [6, 2], expected f32 [6, 1]"},
    {"{\\\"name\\\":\\\"tokens\\\"",
     "{\\\"name\\\":\\\"odd\\\",\\\"op\\\":\\\"l2norm\\\",\\\"in\\\":[\\\"affine6.weight."
     "scale\\\"]},{\\\"name\\\":\\\"tokens\\\"",
     "affine6.weight.scale: a node"},
    {"\\\"kind\\\":\\\"asym\\\"", "\\\"kind\\\":\\\"osym\\\"", "stem: a field of actq"},
    {"\\\"kind\\\":\\\"asym\\\",\\\"bits\\\":8", "\\\"kind\\\":\\\"asym\\\"",
     "stem: a field of actq"},
    {"\\\"kind\\\":\\\"asym\\\",\\\"bits\\\":8", "\\\"kind\\\":\\\"asym\\\",\\\"bits\\\":9",
     "stem: operand 0 is rounded to asym of 9 bits"},
    {"\\\"kind\\\":\\\"asym\\\",\\\"bits\\\":8",
     "\\\"kind\\\":\\\"asym\\\",\\\"bits\\\":8,\\\"zero\\\":1", "stem: a field of actq"},
    {"\\\"zero\\\":-7", "\\\"zero\\\":-128", "a zero point of -128"},
    {"\\\"zero\\\":-7", "\\\"zero\\\":4294967295", "a field of actq"},
    {"\\\"scale\\\":0.1", "\\\"scale\\\":-0.1", "a scale of -0.1"},
    {"\\\"scale\\\":0.1", "\\\"scale\\\":1e300,\\\"x\\\":0.1", "a field of actq"},
    {"\\\"levels\\\":[-127,-40", "\\\"levels\\\":[-127,-127",
     "choice: operand 0 is rounded to levels that do not ascend"},
    {"\\\"levels\\\":[-127,-40", "\\\"levels\\\":[-128,-40",
     "choice: operand 0 is rounded to levels that do not ascend"},
    {"\\\"levels\\\":[-127,-40", "\\\"levels\\\":[-40", "choice: a field of actq"},
    {"\\\"levels\\\":[-127,-40", "\\\"levels\\\":[-127,-40.5", "choice: a field of actq"},
    {"\\\"levels\\\":[-127,-40", "\\\"levels\\\":[-129,-40", "choice: a field of actq"},
    {"\\\"levels\\\":[-127,-40", "\\\"label\\\":1,\\\"levels\\\":[-127,-40",
     "choice: a field of actq"},
    {"\\\"kind\\\":\\\"levels\\\",\\\"bits\\\":2", "\\\"kind\\\":\\\"levels\\\",\\\"bits\\\":3",
     "choice: a field of actq"},
    {"\\\"kind\\\":\\\"levels\\\",\\\"bits\\\":2", "\\\"kind\\\":\\\"static\\\",\\\"bits\\\":2",
     "choice: a field of actq"},
    {"\\\"zero\\\":-99", "\\\"zero\\\":-128",
     "choice: operand 0 is rounded with a zero point of -128"},
    {"\\\"prob_bits\\\":4", "\\\"prob_bits\\\":9", "attn3: prob_bits"},
    {"\\\"prob_step\\\":0.5", "\\\"prob_step\\\":-1", "attn3: prob_step"},
    {"\\\"actq\\\":[", "\\\"actq\\\":[null,", "stem: a field of actq"},
    {"\\\"actq\\\":[", "\\\"actq\\\":[null],\\\"arctq\\\":[", "stem: a field of actq"},
};

static void test_wrong_fields(void **state)
{
    (void)state;
    save_coded();
    for (size_t i = 0; i < sizeof wrong_fields / sizeof *wrong_fields; i++) {
        vise_err e;
        vise_model *m = (vise_model *)&e;
        edit_file(path_a, path_b, wrong_fields[i].from, wrong_fields[i].to);
        vise_status s = vise_model_open(&m, path_b, NULL, &e);
        if (s != VISE_EFORMAT || m || !strstr(e.msg, wrong_fields[i].says))
            fail_msg("%s -> %s: status %d, \"%s\"", wrong_fields[i].from, wrong_fields[i].to, s,
                     s ? e.msg : "opened");
    }
}

/* Overwrites bytes of one tensor of the file. */
static void spoil(const char *name, size_t at, const void *bytes, size_t n)
{
    vise_err e;
    vise_map a;
    vise_tensors t = {0};
    save_coded();
    MUST(vise_map_open(&a, path_a, &e));
    vise_map whole = {.data = a.data, .size = a.size}; // borrowed: t closes nothing
    MUST(vise_read_safetensors(&t, &whole, &e));
    const vise_stored *st = vise_tensors_find(&t, name);
    assert_non_null(st);
    uint8_t *copy = malloc(a.size);
    assert_true(copy && at + n <= st->bytes);
    memcpy(copy, a.data, a.size);
    memcpy(copy + ((const uint8_t *)st->data - a.data) + at, bytes, n);
    write_file(path_b, copy, a.size);
    free(copy);
    vise_tensors_free(&t);
    vise_map_close(&a);
}

static void test_wrong_numbers(void **state)
{
    (void)state;
    const float nan = (float)NAN, inf = (float)INFINITY, negative = -1, zero = 0;
    const float half = 0.5f;
    const uint8_t least = 0, large = 16;
    const struct {
        const char *name;
        size_t at;
        const void *bytes;
        size_t n;
        const char *says; // NULL: it opens
    } cases[] = {
        {"affine3.weight.scale", 4, &nan, 4, "affine3.weight.scale: element 1 is not a number"},
        {"affine3.weight.scale", 8, &inf, 4, "affine3.weight.scale: element 2 is infinite"},
        {"affine3.weight.scale", 0, &negative, 4, NULL},
        {"mult4.weight.multiplier", 3, &large, 1, "mult4.weight.multiplier: element 3 is 16"},
        {"mult3.weight.codebook", 4, &half, 4, "mult3.weight.multiplier: element 0 is"},
        {"affine3.weight.scale", 0, &zero, 4, NULL},
        {"book5.weight.codebook", 124, &inf, 4, "book5.weight.codebook: element 31 is infinite"},
        {"affine8.weight", 2, &least, 1, "affine8.weight: code 2 is 0"},
        {"affine7.weight", 2, &least, 1, NULL},
        {"book8.weight", 2, &least, 1, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e;
        vise_model *m;
        spoil(cases[i].name, cases[i].at, cases[i].bytes, cases[i].n);
        const vise_status s = vise_model_open(&m, path_b, NULL, &e);
        if (s != (cases[i].says ? VISE_EFORMAT : VISE_OK) ||
            (cases[i].says && !strstr(e.msg, cases[i].says)))
            fail_msg("%s: status %d, %s", cases[i].name, s, s ? e.msg : "opened");
        vise_model_free(m);
    }
}

/* A name that a companion needs is taken. */
static void test_companion_name(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    const vise_shape in = {3, {1, 1, 6}}, w = {2, {6, 6}};
    MUST(vise_model_alloc(&m, &e));
    coded c = {m, &m->graph, &e, vise_rng_named(1, "clash")};
    vise_graph_init(&m->graph, &e);
    vise_id x = vise_graph_input(c.g, "pixels", &in);
    x = vise_graph_add(c.g, "linear", "w.scale", NULL, 2,
                       (vise_id[]){x, coded_const(&c, "w", w, coded_affine(8, 0))});
    vise_graph_output(c.g, "logits", x);
    MUST(vise_graph_finish(&m->graph));
    m->family = "clash";
    unlink(path_b);
    assert_int_equal(vise_model_save(m, path_b, &e), VISE_EFORMAT);
    assert_true(strstr(e.msg, "w.scale") != NULL);
    assert_int_not_equal(access(path_b, F_OK), 0);
    vise_model_free(m);
}

static void test_starved(void **state)
{
    (void)state;
    vise_err e;
    save_coded();
    for (long n = 0;; n++) {
        vise_model *m = (vise_model *)&e;
        vise_alloc_fail_at = n;
        vise_status s = vise_model_open(&m, path_a, NULL, &e);
        bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = n;
        if (!s) s = vise_model_save(m, path_b, &e);
        reached = reached || vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_true(reached ? s == VISE_ENOMEM : !s);
        vise_model_free(m);
        if (!reached) return;
    }
}

/* ---- short floats ---- */

static void test_from_f32(void **state)
{
    (void)state;
    for (int t = VISE_F16; t <= VISE_BF16; t++)
        for (uint32_t i = 0; i < 0x10000; i++) { // each number comes back, so does what lies around
            const uint16_t bits = (uint16_t)i;
            uint16_t got;
            const float x = vise_element_f32((vise_dtype)t, &bits, 0);
            vise_from_f32(&got, (vise_dtype)t, &x, 1);
            if (isnan(x)) {
                assert_true(isnan(vise_element_f32((vise_dtype)t, &got, 0)));
                continue;
            }
            if (got != bits) fail_msg("type %d: %04x came back as %04x", t, bits, got);
            const uint16_t next = (uint16_t)(bits + 1); // away from zero
            const float y = vise_element_f32((vise_dtype)t, &next, 0);
            if (!isfinite(x) || !isfinite(y)) continue;
            const float middle = (float)(((double)x + (double)y) / 2); // exact in f32
            const float above = nextafterf(middle, y), below = nextafterf(middle, x);
            vise_from_f32(&got, (vise_dtype)t, &middle, 1);
            assert_int_equal(got, bits & 1 ? next : bits);
            vise_from_f32(&got, (vise_dtype)t, &above, 1);
            assert_int_equal(got, next);
            vise_from_f32(&got, (vise_dtype)t, &below, 1);
            assert_int_equal(got, bits);
        }
    const float big[] = {65519.996f, 65520, 1e30f, -1e30f, 1e-30f};
    uint16_t got[5];
    vise_from_f32(got, VISE_F16, big, 5);
    assert_true(got[0] == 0x7bff && got[1] == 0x7c00 && got[2] == 0x7c00 && got[3] == 0xfc00 &&
                got[4] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_truncated),     cmocka_unit_test(test_wrong_fields),
        cmocka_unit_test(test_wrong_numbers), cmocka_unit_test(test_companion_name),
        cmocka_unit_test(test_starved),       cmocka_unit_test(test_from_f32),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
