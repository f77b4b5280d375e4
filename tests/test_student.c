/* test_student.c - students of a teacher: what they take over, and where it is
 * SPDX-License-Identifier: MIT */
#include "edit.h"
#include "model/arch/arch.h"
#include "vit_schemes.h"

#include <unistd.h>

static const vise_new small = {.seed = 1,
                               .dim = 32,
                               .depth = 5,
                               .heads = 4,
                               .patch = 4,
                               .height = 8,
                               .width = 12,
                               .classes = 7,
                               .mlp_ratio = 3};

static vise_model *must_new(const char *name, const vise_new *o)
{
    vise_err e;
    vise_model *m;
    MUST(vise_model_new(&m, name, o, &e));
    return m;
}

/* Random weights, and things that are no default. */
static vise_model *a_teacher(const char *name, const vise_new *o)
{
    vise_err e;
    vise_model *m = must_new(name, o);
    m->recipe.filter = VISE_BILINEAR;
    m->recipe.crop = VISE_CROP_SQUASH;
    m->recipe.crop_pct = 0.75;
    m->recipe.mean[1] = 0.25f;
    m->recipe.std[2] = 0.125f;
    for (int i = 0; i < 7; i++)
        MUST(vise_strings_addf(&m->labels, &e, "class %d", i));
    return m;
}

static vise_model *student_of(const vise_model *teacher, vise_new o)
{
    o.from = teacher;
    return must_new("vit", &o);
}

static void logits_of(float out[7], const vise_model *m)
{
    vise_err e;
    vise_session *s;
    float pixels[16 * 24 * 3];
    for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)(i * 37 % 101) / 50 - 1;
    MUST(vise_session_new(&s, m, NULL, &e));
    vise_session_run(s, 1, (const float *[]){pixels}, (float *[]){out});
    vise_session_free(s);
}

static void check_same_logits(const vise_model *a, const vise_model *b)
{
    float x[7] = {0}, y[7] = {0};
    logits_of(x, a);
    logits_of(y, b);
    assert_memory_equal(x, y, sizeof x);
    assert_true(x[0] != 0 && x[0] != x[1]);
}

static const float *numbers(const vise_model *m, const char *name, size_t *bytes)
{
    const vise_stored *x = vise_tensors_find(&m->tensors, name);
    if (!x) fail_msg("no %s", name);
    *bytes = x->bytes;
    return x->data;
}

/* Is tensor x of a the same as tensor y of b? */
static bool same(const vise_model *a, const char *x, const vise_model *b, const char *y)
{
    size_t n, m;
    const float *p = numbers(a, x, &n), *q = numbers(b, y, &m);
    return n == m && !memcmp(p, q, n);
}

static const char *last_line(const vise_strings *l)
{
    return l->count ? l->item[l->count - 1] : "";
}

/* ---- all of it ---- */

static void test_all_blocks(void **state)
{
    (void)state;
    static const char *const names[] = {"vit", "deit3_small_patch16_224",
                                        "deit_tiny_distilled_patch16_224"};
    for (size_t i = 0; i < 3; i++) {
        vise_model *teacher = a_teacher(names[i], &small);
        vise_model *m = student_of(teacher, (vise_new){.seed = 9});
        check_same_logits(m, teacher);
        assert_int_equal(m->tensors.count, teacher->tensors.count);
        assert_memory_equal(&m->recipe, &teacher->recipe, sizeof m->recipe);
        assert_int_equal(m->labels.count, 7);
        assert_string_equal(m->labels.item[6], "class 6");
        assert_int_equal(m->history.count, 2);
        assert_string_equal(m->history.item[0], teacher->history.item[0]);
        assert_true(
            strstr(m->history.item[1], "new vit seed=9 from=teacher blocks=0,1,2,3,4 copied="));
        assert_int_equal(m->notes.count, 1); // nothing is random
        vise_model_free(m);
        vise_model_free(teacher);
    }
}

/* A checkpoint with Hugging Face's names: q, k, v in three; k has no bias if it lacks_bias. */
static vise_model *with_three(const vise_model *from, bool lacks_bias)
{
    static const char *const part[] = {"q", "k", "v"};
    vise_err e;
    vise_model *m;
    MUST(vise_model_alloc(&m, &e));
    for (size_t i = 0; i < from->tensors.count; i++) {
        vise_stored x = from->tensors.item[i];
        char role[80], name[160];
        const char *at = strstr(x.name, "qkv"), *whole = x.name, *data = x.data;
        x.name = name;
        if (at) {
            x.bytes /= 3;
            x.shape.dim[0] /= 3;
        }
        for (size_t k = 0; k < (at ? 3 : 1); k++) {
            snprintf(role, sizeof role, "%s", whole);
            if (at)
                snprintf(role, sizeof role, "%.*s%s%s", (int)(at - whole), whole, part[k], at + 3);
            x.data = data + k * x.bytes;
            if (lacks_bias && k == 1 && strstr(role, ".bias")) continue;
            assert_true(rename_one(name, sizeof name, hf_vit, role));
            MUST(vise_tensors_add(&m->tensors, &x, &e));
        }
    }
    m->family = "vit";
    const vise_import o = {.heads = 4, .act = "relu", .height = 8, .width = 12};
    MUST(vise_arch_find("vit")->build(m, &o, NULL, &e));
    return m;
}

static void test_other_names(void **state)
{
    (void)state;
    vise_model *plain = must_new("vit", &small);
    for (int lacks = 0; lacks <= 1; lacks++) {
        vise_model *teacher = with_three(plain, lacks);
        assert_true(vise_graph_find(&teacher->graph, "blocks.0.attn.k.weight") != VISE_NONE);
        vise_model *m = student_of(teacher, (vise_new){0});
        check_same_logits(m, teacher); // with its epsilon and activation
        assert_true(same(m, "blocks.1.attn.qkv.weight", plain, "blocks.1.attn.qkv.weight"));
        assert_int_equal(same(m, "blocks.1.attn.qkv.bias", plain, "blocks.1.attn.qkv.bias"),
                         !lacks);
        vise_model_free(m);
        vise_model_free(teacher);
    }
    vise_model_free(plain);
}

/* A teacher whose weights are shorter than f32, and one without a bias. */
static void test_encodings(void **state)
{
    (void)state;
    vise_model *teacher = a_teacher("vit", &small);
    vise_value *v = &teacher->graph.value[vise_graph_find(&teacher->graph, "head.weight")];
    uint16_t half[7 * 32];
    float back[7 * 32];
    vise_from_f32(half, VISE_BF16, v->data.data, 7 * 32);
    vise_to_f32(back, VISE_BF16, half, 7 * 32);
    v->data.data = half;
    v->data.enc.type = VISE_BF16;
    vise_model *m = student_of(teacher, (vise_new){0});
    size_t n;
    const float *w = numbers(m, "head.weight", &n);
    assert_int_equal(n, sizeof back);
    assert_memory_equal(w, back, n);
    vise_model_free(m);
    vise_model_free(teacher);
}

static void test_no_bias(void **state)
{
    (void)state;
    vise_err e;
    vise_model *plain = must_new("vit", &small), *teacher;
    MUST(vise_model_alloc(&teacher, &e));
    for (size_t i = 0; i < plain->tensors.count; i++)
        if (!strstr(plain->tensors.item[i].name, "qkv.bias"))
            MUST(vise_tensors_add(&teacher->tensors, &plain->tensors.item[i], &e));
    teacher->family = "vit";
    const vise_import o = {.heads = 4, .height = 8, .width = 12};
    MUST(vise_arch_find("vit")->build(teacher, &o, NULL, &e));
    vise_model *m = student_of(teacher, (vise_new){0});
    assert_null(vise_tensors_find(&m->tensors, "blocks.0.attn.qkv.bias"));
    check_same_logits(m, teacher);
    vise_model_free(m);
    vise_model_free(teacher);
    vise_model_free(plain);
}

/* ---- parts of it ---- */

static void check_blocks(const vise_model *m, const vise_model *teacher, size_t n, const size_t *at)
{
    static const char *const part[] = {"norm1.bias", "attn.qkv.weight", "attn.proj.weight",
                                       "mlp.fc1.weight", "mlp.fc2.bias"};
    char x[64], y[64], next[64];
    for (size_t i = 0; i < n * 5; i++) {
        snprintf(x, sizeof x, "blocks.%zu.%s", i / 5, part[i % 5]);
        snprintf(y, sizeof y, "blocks.%zu.%s", at[i / 5], part[i % 5]);
        if (!same(m, x, teacher, y)) fail_msg("%s is not %s", x, y);
    }
    snprintf(next, sizeof next, "blocks.%zu.norm1.bias", n);
    assert_null(vise_tensors_find(&m->tensors, next));
}

static void test_some_blocks(void **state)
{
    (void)state;
    vise_model *teacher = a_teacher("vit", &small);
    const uint32_t chosen[] = {3, 0, 3};
    vise_model *m = student_of(teacher, (vise_new){.blocks = chosen, .nblocks = 3});
    check_blocks(m, teacher, 3, (size_t[]){3, 0, 3});
    assert_true(strstr(last_line(&m->history), "blocks=3,0,3 copied=44/44"));
    vise_model_free(m);
    static const size_t spread[5][5] = {{0}, {0, 4}, {0, 2, 4}, {0, 1, 3, 4}, {0, 1, 2, 3, 4}};
    for (uint32_t depth = 1; depth <= 5; depth++) {
        m = student_of(teacher, (vise_new){.depth = depth});
        check_blocks(m, teacher, depth, spread[depth - 1]);
        assert_true(same(m, "norm.weight", teacher, "norm.weight"));
        vise_model_free(m);
    }
    vise_model_free(teacher);
}

/* Is every tensor of m as in the teacher if its name has one of the words, else as in random? */
static void check_split(const vise_model *m, const vise_model *teacher, const vise_model *random,
                        const char *const *words)
{
    assert_int_equal(m->tensors.count, random->tensors.count);
    for (size_t i = 0; i < m->tensors.count; i++) {
        const char *name = m->tensors.item[i].name;
        bool taken = false;
        for (const char *const *w = words; *w; w++)
            taken |= strstr(name, *w) != NULL;
        if (!same(m, name, taken ? teacher : random, name))
            fail_msg("%s is not as %s", name, taken ? "in the teacher" : "without one");
    }
}

static void test_other_shapes(void **state)
{
    (void)state;
    static const char *const taken[][12] = {
        {"head.bias", NULL},
        {"token", "embed", "norm", "attn", "mlp", NULL},
        {"token", "embed", "norm", "attn", "fc2.bias", "head", NULL},
        {"token", "embed.proj.bias", "norm", "attn", "mlp", "head", "pos", NULL},
    };
    const vise_new changed[] = {{.dim = 24, .heads = 3},
                                {.classes = 5},
                                {.mlp_ratio = 2},
                                {.patch = 2, .height = 4, .width = 6}};
    vise_model *teacher = a_teacher("vit", &small);
    for (size_t i = 0; i < 4; i++) {
        vise_new o = small;
        o.seed = 5;
        if (changed[i].dim) o.dim = changed[i].dim, o.heads = changed[i].heads;
        if (changed[i].classes) o.classes = changed[i].classes;
        if (changed[i].mlp_ratio > 0) o.mlp_ratio = changed[i].mlp_ratio;
        if (changed[i].patch) o.patch = 2, o.height = 4, o.width = 6;
        vise_new given = changed[i];
        given.seed = 5;
        vise_model *random = must_new("vit", &o), *m = student_of(teacher, given);
        check_split(m, teacher, random, taken[i]);
        assert_int_equal(m->labels.count, i == 1 ? 0 : 7);
        assert_int_equal(m->notes.count, 2);
        assert_true(strstr(last_line(&m->notes), "still random: "));
        vise_model_free(random);
        vise_model_free(m);
    }
    vise_model_free(teacher);
}

/* Positions of another size are those the teacher has at that size. */
static void test_other_size(void **state)
{
    (void)state;
    vise_err e;
    char path[] = "/tmp/vise_student_XXXXXX";
    vise_model *teacher = a_teacher("vit", &small), *large;
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    MUST(vise_model_save(teacher, path, &e));
    MUST(vise_model_open(&large, path, &(vise_import){.height = 16, .width = 24}, &e));
    unlink(path);
    vise_model *m = student_of(teacher, (vise_new){.height = 16, .width = 24});
    check_same_logits(m, large);
    vise_model *again = student_of(large, (vise_new){0});
    check_same_logits(again, large);
    size_t bytes;
    numbers(again, "pos_embed", &bytes);
    assert_int_equal(bytes, (1 + 4 * 6) * 32 * sizeof(float));
    vise_model_free(again);
    vise_model_free(m);
    vise_model_free(large);
    vise_model_free(teacher);
}

/* ---- distillation tokens ---- */

static bool has_node(const vise_model *m, const char *name)
{
    const vise_id v = vise_graph_find(&m->graph, name);
    return v != VISE_NONE && m->graph.value[v].kind == VISE_VALUE_NODE;
}

static void test_distilled(void **state)
{
    (void)state;
    vise_new o = small;
    vise_model *teacher = must_new("vit", &o);
    assert_false(has_node(teacher, "head_dist"));
    o.distilled = true;
    vise_model *m = must_new("vit", &o);
    assert_true(has_node(m, "head") && has_node(m, "head_dist"));
    assert_false(same(m, "head.weight", m, "head_dist.weight"));
    assert_true(strstr(last_line(&m->history), " distilled"));
    vise_model *named = must_new("deit_tiny_distilled_patch16_224", &o); // is so anyway
    assert_true(same(m, "pos_embed", named, "pos_embed"));
    vise_model_free(named);
    vise_model_free(m);
    // of a teacher that is not: everything of the class is there twice
    m = student_of(teacher, (vise_new){.distilled = true});
    assert_true(has_node(m, "head") && has_node(m, "head_dist"));
    assert_true(same(m, "dist_token", teacher, "cls_token"));
    assert_true(same(m, "head_dist.weight", teacher, "head.weight"));
    assert_true(same(m, "head_dist.bias", teacher, "head.bias"));
    size_t n, bytes;
    const size_t row = 32;
    const float *p = numbers(teacher, "pos_embed", &n), *q = numbers(m, "pos_embed", &bytes);
    assert_int_equal(bytes, n + row * sizeof *q);
    assert_memory_equal(q, p, row * sizeof *q);
    assert_memory_equal(q + row, p, n);
    assert_int_equal(m->notes.count, 1);
    vise_model_free(m);
    vise_model_free(teacher);
    // positions of patches only
    teacher = must_new("deit3_small_patch16_224", &small);
    m = student_of(teacher, (vise_new){.distilled = true});
    assert_true(has_node(m, "head_dist") && same(m, "pos_embed", teacher, "pos_embed"));
    vise_model_free(m);
    vise_model_free(teacher);
}

/* ---- refusals ---- */

static void must_refuse(const char *name, const vise_new *o, const char *words)
{
    vise_err e = {0};
    vise_model *m;
    const vise_status s = vise_model_new(&m, name, o, &e);
    if (s != VISE_EARG || m || !strstr(e.msg, words)) fail_msg("status %d, %s", (int)s, e.msg);
}

static void test_refusals(void **state)
{
    (void)state;
    vise_model *teacher = a_teacher("vit", &small);
    const uint32_t far[] = {0, 5};
    const struct {
        const char *name;
        vise_new o;
        const char *words;
    } cases[] = {
        {"deit_tiny_patch16_224",
         {.from = teacher},
         "NAME has to be vit, not deit_tiny_patch16_224"},
        {"vit", {.blocks = far, .nblocks = 1}, "give --from"},
        {"vit",
         {.from = teacher, .blocks = far, .nblocks = 2},
         "--blocks 5: the teacher's are 0 to 4"},
        {"vit", {.from = teacher, .depth = 6}, "--depth 6: the teacher has 5 blocks"},
        {"vit", {.from = teacher, .depth = 3, .blocks = far, .nblocks = 2}, "--blocks lists 2"},
        {"vit", {.from = teacher, .blocks = far, .nblocks = 513}, "513 of them"},
        {"vit", {.from = teacher, .dim = 30}, "give --heads"},
        {"vit", {.from = teacher, .height = 10}, "--size 10x12"},
        {"vit", {.from = teacher, .dim = 64, .classes = 5}, "dim 32, fits a student of dim 64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        must_refuse(cases[i].name, &cases[i].o, cases[i].words);
    vise_model_free(teacher);
}

/* The tensors of a ViT, one of them under another name or left out (to: NULL). */
static vise_model *spoilt(const vise_model *from, const char *name, const char *to,
                          const vise_import *import)
{
    vise_err e;
    vise_model *m;
    MUST(vise_model_alloc(&m, &e));
    for (size_t i = 0; i < from->tensors.count; i++) {
        vise_stored x = from->tensors.item[i];
        if (!strncmp(x.name, name, strlen(name))) {
            char text[80];
            snprintf(text, sizeof text, "%s%s", to ? to : "", x.name + strlen(name));
            x.name = text;
            if (to) MUST(vise_tensors_add(&m->tensors, &x, &e));
            continue;
        }
        MUST(vise_tensors_add(&m->tensors, &x, &e));
    }
    MUST(vise_tensors_add_text(&m->tensors, "img_size", "[8, 12]", &e));
    m->family = "vit";
    MUST(vise_arch_find("vit")->build(m, import, NULL, &e));
    return m;
}

static void test_other_networks(void **state)
{
    (void)state;
    const vise_import pre = {.heads = 4}, post = {.heads = 4, .norm = "post"};
    const struct {
        const char *name, *to, *words;
        const vise_import *import;
    } cases[] = {
        {"norm.", "fc_norm.", "fc_norm.", &pre},
        {"none", NULL, "no layernorm before the attention", &post},
        {"head.", NULL, "give --classes", &pre},
    };
    vise_model *plain = must_new("vit", &small);
    for (size_t i = 0; i < 3; i++) {
        vise_model *teacher = spoilt(plain, cases[i].name, cases[i].to, cases[i].import);
        must_refuse("vit", &(vise_new){.from = teacher}, cases[i].words);
        if (!strcmp(cases[i].name, "head.")) { // everything else can be had
            vise_model *m = student_of(teacher, (vise_new){.classes = 3});
            assert_true(strstr(last_line(&m->notes), "still random: head.weight [3, 32]"));
            vise_model_free(m);
        }
        vise_model_free(teacher);
    }
    vise_model_free(plain);
}

static void test_memory(void **state)
{
    (void)state;
    vise_model *teacher = a_teacher("vit", &small);
    const vise_new o = {.from = teacher, .depth = 2, .height = 4, .distilled = true};
    for (long at = 0;; at++) {
        vise_err e = {0};
        vise_model *m;
        vise_alloc_fail_at = at;
        const vise_status s = vise_model_new(&m, "vit", &o, &e);
        const bool failed = vise_alloc_fail_at == -1;
        vise_alloc_fail_at = -1;
        vise_model_free(m);
        if (!failed) {
            assert_int_equal(s, VISE_OK);
            assert_true(at > 8);
            break;
        }
        if (s != VISE_ENOMEM || m) fail_msg("allocation %ld: status %d, %s", at, (int)s, e.msg);
    }
    vise_model_free(teacher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_blocks),  cmocka_unit_test(test_other_names),
        cmocka_unit_test(test_encodings),   cmocka_unit_test(test_no_bias),
        cmocka_unit_test(test_some_blocks), cmocka_unit_test(test_other_shapes),
        cmocka_unit_test(test_other_size),  cmocka_unit_test(test_distilled),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_other_networks),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
