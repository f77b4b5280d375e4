/* test_new.c - random models: published sizes have the published parameters and operations
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "model/arch/arch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static vise_model *must_new(const char *name, const vise_new *o)
{
    vise_err e = {0};
    vise_model *m;
    if (vise_model_new(&m, name, o, &e)) fail_msg("%s: %s", name, e.msg);
    return m;
}

/* ---- parameters and multiply-adds, as published ---- */

/* A model of these extents whose tensors all show the same zeros, so that large ones cost nothing. */
static vise_model *hollow(size_t dim, size_t depth, size_t patch, size_t side, const float *zeros)
{
    static const struct part {
        const char *name;
        size_t rows, cols; // in units of dim; cols 0: none
    } parts[] = {{"norm1", 1, 0}, {"attn.qkv", 3, 1}, {"attn.proj", 1, 1},
                 {"norm2", 1, 0}, {"mlp.fc1", 4, 1},  {"mlp.fc2", 1, 4}};
    vise_err e;
    vise_model *m;
    assert_int_equal(vise_model_alloc(&m, &e), VISE_OK);
    const size_t tokens = side / patch * (side / patch) + 1;
    vise_stored x[] = {
        {"cls_token", VISE_F32, {3, {1, 1, dim}}, zeros, 0},
        {"pos_embed", VISE_F32, {3, {1, tokens, dim}}, zeros, 0},
        {"patch_embed.proj.weight", VISE_F32, {4, {dim, 3, patch, patch}}, zeros, 0},
        {"patch_embed.proj.bias", VISE_F32, {1, {dim}}, zeros, 0},
        {"norm.weight", VISE_F32, {1, {dim}}, zeros, 0},
        {"norm.bias", VISE_F32, {1, {dim}}, zeros, 0},
        {"head.weight", VISE_F32, {2, {1000, dim}}, zeros, 0},
        {"head.bias", VISE_F32, {1, {1000}}, zeros, 0},
    };
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        assert_int_equal(vise_tensors_add(&m->tensors, &x[i], &e), VISE_OK);
    for (size_t i = 0; i < depth * 12; i++) {
        char name[64];
        const struct part *p = &parts[i / 2 % 6];
        snprintf(name, sizeof name, "blocks.%zu.%s.%s", i / 12, p->name, i % 2 ? "bias" : "weight");
        vise_stored t = {name, VISE_F32, {1, {p->rows * dim}}, zeros, 0};
        if (p->cols && i % 2 == 0) t.shape = (vise_shape){2, {p->rows * dim, p->cols * dim}};
        assert_int_equal(vise_tensors_add(&m->tensors, &t, &e), VISE_OK);
    }
    if (vise_arch_find("vit")->build(m, &(vise_import){0}, NULL, &e)) fail_msg("%s", e.msg);
    return m;
}

static void check_costs(const char *what, const vise_model *m, uint64_t params, double gmacs)
{
    vise_model_info info;
    vise_model_get_info(m, &info);
    if (info.params != params) fail_msg("%s: %llu", what, (unsigned long long)info.params);
    if (!(fabs((double)info.macs / 1e9 - gmacs) <= 0.01 * gmacs))
        fail_msg("%s: %g G", what, (double)info.macs / 1e9);
    uint64_t macs = 0;
    for (size_t i = 0; i < info.nodes; i++) {
        vise_node_info n;
        vise_model_get_node(m, i, &n);
        macs += n.macs;
    }
    assert_int_equal(macs, info.macs);
}

static void test_published(void **state)
{
    (void)state;
    const struct {
        const char *what;
        size_t dim, depth, patch, side;
        uint64_t params;
        double gmacs;
    } cases[] = {
        {"DeiT-Ti/16", 192, 12, 16, 224, 5717416, 1.254},
        {"ViT-S/16", 384, 12, 16, 224, 22050664, 4.6},
        {"ViT-B/16", 768, 12, 16, 224, 86567656, 17.6},
        {"ViT-B/32", 768, 12, 32, 224, 88224232, 4.41},
        {"ViT-B/16 at 384", 768, 12, 16, 384, 86859496, 55.5},
        {"ViT-L/16", 1024, 24, 16, 224, 304326632, 61.6},
    };
    float *zeros = calloc(4 * 1024 * 1024, sizeof *zeros); // the largest tensor of these
    assert_non_null(zeros);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_model *m = hollow(cases[i].dim, cases[i].depth, cases[i].patch, cases[i].side, zeros);
        check_costs(cases[i].what, m, cases[i].params, cases[i].gmacs);
        vise_model_free(m);
    }
    free(zeros);
    vise_model *m = must_new("deit_tiny_patch16_224", NULL);
    check_costs("deit_tiny_patch16_224", m, 5717416, 1.254);
    assert_string_equal(m->history.item[0], "new deit_tiny_patch16_224 seed=0");
    assert_int_equal(m->notes.count, 0);
    vise_model_free(m);
    m = must_new("deit_tiny_distilled_patch16_224", NULL);
    check_costs("deit_tiny_distilled_patch16_224", m, 5910800, 1.26);
    vise_model_free(m);
}

static void test_names(void **state)
{
    (void)state;
    size_t n = 0;
    bool base32 = false;
    for (; vise_model_names(n); n++)
        base32 |= !strcmp(vise_model_names(n), "vit_base_patch32_384");
    assert_true(base32 && n >= 20);
    assert_null(vise_model_names(n + 1));
    for (size_t i = 0; i < n; i++) { // every name, made small
        const vise_new o = {.dim = 32, .heads = 2, .depth = 1, .classes = 3};
        vise_model_free(must_new(vise_model_names(i), &o));
    }
}

/* ---- seeds ---- */

static const vise_new small = {.seed = 1,
                               .dim = 32,
                               .depth = 2,
                               .heads = 4,
                               .patch = 4,
                               .height = 8,
                               .width = 12,
                               .classes = 7,
                               .mlp_ratio = 3};

static void test_seeds(void **state)
{
    (void)state;
    vise_new o = small;
    vise_model *a = must_new("vit", &o), *b = must_new("vit", &o);
    o.seed = 2;
    vise_model *c = must_new("vit", &o);
    assert_string_equal(a->history.item[0],
                        "new vit seed=1 dim=32 depth=2 heads=4 patch=4 height=8 "
                        "width=12 classes=7 mlp-ratio=3");
    assert_int_equal(a->recipe.height, 8);
    assert_int_equal(a->recipe.width, 12);
    for (size_t i = 0; i < a->tensors.count; i++) {
        const vise_stored *x = &a->tensors.item[i], *y = &b->tensors.item[i],
                          *z = &c->tensors.item[i];
        const float *w = x->data;
        assert_memory_equal(x->data, y->data, x->bytes);
        assert_memory_not_equal(x->data, z->data, x->bytes);
        for (size_t k = 0; k < x->bytes / sizeof *w; k++)
            assert_true(w[k] != 0 && w[k] != 1 && fabsf(w[k]) < 2);
    }
    const vise_stored *up = vise_tensors_find(&a->tensors, "blocks.0.mlp.fc1.weight");
    const vise_stored *up1 = vise_tensors_find(&a->tensors, "blocks.1.mlp.fc1.weight");
    assert_true(up && up1);
    assert_memory_not_equal(up->data, up1->data, up->bytes);
    // a deeper model begins with the same numbers
    o = small;
    o.depth = 3;
    vise_model *d = must_new("vit", &o);
    const vise_stored *x = vise_tensors_find(&a->tensors, "blocks.1.attn.qkv.weight");
    const vise_stored *y = vise_tensors_find(&d->tensors, "blocks.1.attn.qkv.weight");
    assert_true(x && y);
    assert_memory_equal(x->data, y->data, x->bytes);
    vise_model_free(a);
    vise_model_free(b);
    vise_model_free(c);
    vise_model_free(d);
}

/* 7 x 28 patches are not taken for 14 x 14. */
static void test_not_square(void **state)
{
    (void)state;
    vise_new o = small;
    o.height = 28;
    o.width = 112;
    vise_model *m = must_new("vit", &o);
    const vise_id v = vise_graph_find(&m->graph, "pos_embed.add");
    assert_true(v != VISE_NONE);
    const vise_embed_add_attr *a = m->graph.node[m->graph.value[v].node].attr;
    assert_int_equal(a->grid_h, 7);
    assert_int_equal(a->grid_w, 28);
    vise_model_free(m);
}

/* ---- refusals ---- */

static void test_refusals(void **state)
{
    (void)state;
    const struct {
        const char *name;
        vise_new o;
        const char *words;
    } cases[] = {
        {"resnet50", {0}, "resnet50"},
        {"vit", {.dim = 100, .heads = 3}, "--heads 3 does not divide --dim 100"},
        {"vit", {.dim = 100}, "give --heads"},
        {"vit", {.dim = 1u << 30}, "--dim 1073741824"},
        {"vit", {.depth = 100000}, "--depth 100000"},
        {"vit", {.height = 225}, "--size 225x224"},
        {"vit", {.height = 1u << 20}, "--size height 1048576"},
        {"vit", {.patch = 1, .height = 16384, .width = 16384}, "number of patches of 268435456"},
        {"vit", {.patch = 5000}, "--patch 5000"},
        {"vit", {.classes = 2000000000}, "--classes 2000000000"},
        {"vit", {.mlp_ratio = -1}, "--mlp-ratio -1"},
        {"vit", {.mlp_ratio = (double)NAN}, "--mlp-ratio"},
        {"vit", {.mlp_ratio = 1e-9}, "hidden width of 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e = {0};
        vise_model *m;
        const vise_status s = vise_model_new(&m, cases[i].name, &cases[i].o, &e);
        if (s != VISE_EARG || m || !strstr(e.msg, cases[i].words))
            fail_msg("case %zu: status %d, %s", i, (int)s, e.msg);
    }
}

static void test_memory(void **state)
{
    (void)state;
    for (long at = 0;; at++) {
        vise_err e = {0};
        vise_model *m;
        vise_alloc_fail_at = at;
        const vise_status s = vise_model_new(&m, "vit", &small, &e);
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published), cmocka_unit_test(test_names),
        cmocka_unit_test(test_seeds),     cmocka_unit_test(test_not_square),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
