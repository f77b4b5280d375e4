/* test_vit_refuse.c - files that are almost a ViT: refused, naming what is wrong
 * SPDX-License-Identifier: MIT */
#include "vit_schemes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <jansson.h>

static const vise_import two_heads = {.heads = 2};

/* The tensors of a net, with changes to be made before they are built. */
static vise_model *tensors_of(const net *n, const renaming *table)
{
    vise_err e;
    vise_model *m;
    assert_int_equal(vise_model_alloc(&m, &e), VISE_OK);
    assert_int_equal(net_tensors(&m->tensors, n, table, &e), VISE_OK);
    return m;
}

static vise_stored *stored(vise_model *m, const char *name)
{
    vise_stored *x = (vise_stored *)vise_tensors_find(&m->tensors, name);
    assert_non_null(x);
    return x;
}

static void drop(vise_model *m, const char *name)
{
    vise_stored *x = stored(m, name), *end = m->tensors.item + m->tensors.count;
    memmove(x, x + 1, (size_t)(end - x - 1) * sizeof *x);
    m->tensors.count--;
}

/* Builds, frees, and checks that it failed so, with these words in the sentence. */
static void refused(vise_model *m, const vise_import *opts, const char *config, vise_status status,
                    const char *words)
{
    vise_err e = {0};
    json_t *j = config ? json_loads(config, 0, NULL) : NULL;
    assert_true(!config || j);
    const vise_arch *arch;
    vise_status s = vise_arch_detect(&arch, &m->tensors, &e);
    if (!s) s = arch->build(m, opts, &(vise_configs){j, NULL}, &e);
    if (s != status || !strstr(e.msg, words))
        fail_msg("status %d \"%s\", expected %d and \"%s\"", (int)s, e.msg, (int)status, words);
    json_decref(j);
    vise_model_free(m);
}

static const spec plain = {.cls = 1, .prefix_pos = 1, .eps = 1e-6};

/* ---- tensors ---- */

static void test_missing(void **state)
{
    (void)state;
    net n;
    net_make(&n, &plain);
    size_t refusals = 0;
    for (size_t i = 0; i < n.count; i++) {
        const char *name = n.item[i].name, *words = name;
        vise_model *m = tensors_of(&n, NULL);
        drop(m, name);
        if (!strcmp(name, "head.bias") || !strcmp(name, "patch_embed.proj.bias")) {
            vise_err e; // a layer may have none: then a note says so
            assert_int_equal(vise_arch_find("vit")->build(m, &two_heads, NULL, &e), VISE_OK);
            bool told = false;
            for (size_t k = 0; k < m->notes.count; k++)
                told |= strstr(m->notes.item[k], "has no bias") != NULL;
            assert_true(told);
            vise_model_free(m);
            continue;
        }
        if (!strcmp(name, "cls_token")) words = "pos_embed: [1, 17, 16]";
        if (!strcmp(name, "head.weight")) words = "head.bias [5]";
        refused(m, &two_heads, NULL, VISE_EFORMAT, words);
        refusals++;
    }
    assert_int_equal(refusals, n.count - 2);
    net_free(&n);
}

static void test_extra(void **state)
{
    (void)state;
    static const char *const names[] = {"adapter.weight", "blocks.0.attn.rel_pos",
                                        "blocks.1.mlp.norm.weight", "head_dist.weight",
                                        "blocks.0.mlp.w3.weight2"};
    const float x[6] = {0};
    net n;
    net_make(&n, &plain);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vise_err e;
        char words[100];
        vise_model *m = tensors_of(&n, NULL);
        const vise_stored t = {names[i], VISE_F32, {2, {2, 3}}, x, sizeof x};
        assert_int_equal(vise_tensors_add(&m->tensors, &t, &e), VISE_OK);
        snprintf(words, sizeof words, "%s [2, 3]", names[i]);
        refused(m, &two_heads, NULL, VISE_EFORMAT, words);
    }
    net_free(&n);
}

/* CLIPForImageClassification's head is for patches before the last norm. */
static void test_head_of_patches(void **state)
{
    (void)state;
    const float x[5 * 16] = {0};
    const spec s = {.no_head = 1, .cls = 1, .prefix_pos = 1, .norm_pre = 1, .no_patch_bias = 1};
    const vise_stored head = {"classifier.weight", VISE_F32, {2, {5, 16}}, x, sizeof x};
    vise_err e;
    net n;
    net_make(&n, &s);
    vise_model *m = tensors_of(&n, hf_clip);
    assert_int_equal(vise_tensors_add(&m->tensors, &head, &e), VISE_OK);
    refused(m, &two_heads, NULL, VISE_EFORMAT,
            "1 tensor not understood in a ViT with Hugging Face "
            "CLIP names: classifier.weight [5, 16]");
    net_free(&n);
}

static void test_missing_and_extra(void **state)
{
    (void)state;
    net n;
    net_make(&n, &plain);
    vise_model *m = tensors_of(&n, NULL);
    stored(m, "blocks.1.attn.qkv.weight")->name = "blocks.1.attn.qvk.weight";
    refused(m, &two_heads, NULL, VISE_EFORMAT,
            "blocks.1.attn.qkv.weight; not understood: blocks.1.attn.qvk.weight [48, 16]");
    m = tensors_of(&n, NULL);
    stored(m, "blocks.1.norm2.bias")->name = "model.blocks.1.norm1.bias"; // twice
    refused(m, &two_heads, NULL, VISE_EFORMAT, "could be blocks.1.norm1.bias");
    net_free(&n);
}

static void test_shapes(void **state)
{
    (void)state;
    net n;
    const spec s = {.cls = 1,
                    .dist = 1,
                    .prefix_pos = 2,
                    .scale = 1,
                    .qk_norm = 1,
                    .fc_norm = 1,
                    .pre_logits = 1,
                    .eps = 1e-6};
    net_make(&n, &s);
    for (size_t i = 0; i < n.count; i++) {
        vise_model *m = tensors_of(&n, NULL);
        vise_shape *shape = &stored(m, n.item[i].name)->shape;
        const bool conv = shape->rank == 4; // fewer channels; else fewer of the last extent
        shape->dim[conv ? 1 : shape->rank - 1]--;
        const bool other = !strcmp(n.item[i].name, "head.weight") ||
                           strstr(n.item[i].name, "pre_logits.fc.weight") ||
                           !strcmp(n.item[i].name, "blocks.0.mlp.fc2.weight") ||
                           strstr(n.item[i].name, "q_norm"); // the first to differ is another
        refused(m, &two_heads, NULL,
                strstr(n.item[i].name, "blocks.0.attn.q_norm.weight") ? VISE_EARG : VISE_EFORMAT,
                other ? "" : n.item[i].name);
    }
    net_free(&n);
}

static void test_numbers(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    net n;
    net_make(&n, &plain);
    for (size_t i = 0; i < n.count; i++) {
        array *a = &n.item[i];
        const size_t at = a->n - 1 - i % a->n;
        const float good = a->data[at];
        char words[160];
        a->data[at] = bad[i % 3];
        snprintf(words, sizeof words, "%s: element %zu is %s", a->name, at,
                 i % 3 ? "infinite" : "not a number");
        refused(tensors_of(&n, NULL), &two_heads, NULL, VISE_EFORMAT, words);
        a->data[at] = good;
    }
    vise_model *m = tensors_of(&n, NULL);
    stored(m, "blocks.0.mlp.fc1.weight")->dtype = VISE_I32;
    refused(m, &two_heads, NULL, VISE_EFORMAT, "blocks.0.mlp.fc1.weight: weights of type i32");
    net_free(&n);
}

static void test_other_networks(void **state)
{
    (void)state;
    const float x[64] = {0};
    const vise_stored conv = {"stem.weight", VISE_F32, {4, {4, 1, 4, 4}}, x, sizeof x};
    vise_err e;
    vise_model *m;
    assert_int_equal(vise_model_alloc(&m, &e), VISE_OK);
    refused(m, &two_heads, NULL, VISE_EFORMAT, "no tensors");
    assert_int_equal(vise_model_alloc(&m, &e), VISE_OK);
    assert_int_equal(vise_tensors_add(&m->tensors, &conv, &e), VISE_OK);
    refused(m, &two_heads, NULL, VISE_EFORMAT, "stem.weight [4, 1, 4, 4]");
    assert_null(vise_arch_find("mamba"));
}

/* ---- options and configurations ---- */

static void test_heads(void **state)
{
    (void)state;
    net n;
    net_make(&n, &plain);
    refused(tensors_of(&n, NULL), &(vise_import){0}, NULL, VISE_EARG, "give --heads (1 or 2)");
    refused(tensors_of(&n, NULL), &(vise_import){.heads = 3}, NULL, VISE_EARG, "--heads 3");
    refused(tensors_of(&n, NULL), &(vise_import){0}, "{\"num_heads\": 3}", VISE_EFORMAT,
            "num_heads of config.json: 3 heads do not fit dim 16");
    refused(tensors_of(&n, NULL), &(vise_import){0}, "{\"num_heads\": -1}", VISE_EFORMAT, "-1");
    refused(tensors_of(&n, NULL), &(vise_import){0}, "{\"num_heads\": \"two\"}", VISE_EFORMAT,
            "num_heads");
    net_free(&n);
    spec s = plain;
    s.qk_norm = true;
    net_make(&n, &s);
    refused(tensors_of(&n, NULL), &(vise_import){.heads = 4}, NULL, VISE_EARG, "attn.q_norm");
    net_free(&n);
}

static void test_options(void **state)
{
    (void)state;
    const struct {
        vise_import opts;
        const char *config, *words;
    } cases[] = {
        {{.heads = 2, .act = "tanh"}, NULL, "--act tanh"},
        {{.heads = 2, .norm = "sandwich"}, NULL, "--norm sandwich"},
        {{.heads = 2, .ln_eps = -1}, NULL, "--ln-eps -1"},
        {{.heads = 2, .ln_eps = (double)NAN}, NULL, "--ln-eps"},
        {{.heads = 2, .height = 18}, NULL, "height 18: not a multiple of the patch, 4"},
        {{.heads = 2, .width = 40000}, NULL, "width 40000"},
        {{.heads = 2, .recipe = {.crop_pct = 2}}, NULL, "--crop-pct 2"},
        {{.heads = 2, .recipe = {.height = 32}}, NULL, "the network's is 16x16x3"},
        {{.heads = 2}, "{\"hidden_act\": \"mish\"}", "hidden_act of config.json: mish"},
        {{.heads = 2}, "{\"layer_norm_eps\": 0}", "layer_norm_eps of config.json"},
        {{.heads = 2}, "{\"norm\": \"both\"}", "norm of config.json: both"},
        {{.heads = 2}, "{\"global_pool\": \"map\"}", "global_pool of config.json: map"},
        {{.heads = 2}, "{\"crop_pct\": 0}", "crop_pct"},
        {{.heads = 2}, "{\"architecture\": \"vit_base_patch16_rpn_224\"}", "_rpn_"},
    };
    net n;
    net_make(&n, &plain);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(tensors_of(&n, NULL), &cases[i].opts, cases[i].config,
                cases[i].config ? VISE_EFORMAT : VISE_EARG, cases[i].words);
    net_free(&n);
}

/* ---- by structure: what cannot be told is not guessed ---- */

static void test_structure(void **state)
{
    (void)state;
    net n;
    net_make(&n, &plain);
    vise_model *m = tensors_of(&n, layers); // two norms under names that say nothing, sorted
    char from[80], to[4][2][80];
    for (int block = 0; block < 2; block++)
        for (int k = 0; k < 4; k++) {
            const char *kind = k % 2 ? "bias" : "weight";
            snprintf(from, sizeof from,
                     k / 2 ? "transformer_layers.%d.layer_norm_2.%s"
                           : "transformer_layers.%d.layer_norm_1.%s",
                     block, kind);
            snprintf(to[k][block], sizeof to[k][block],
                     k / 2 ? "transformer_layers.%d.nb.%s" : "transformer_layers.%d.na.%s", block,
                     kind);
            stored(m, from)->name = to[k][block];
        }
    for (size_t i = 1; i < m->tensors.count; i++) // as a safetensors file may be
        for (size_t j = i; j && strcmp(m->tensors.item[j - 1].name, m->tensors.item[j].name) > 0;
             j--) {
            const vise_stored x = m->tensors.item[j];
            m->tensors.item[j] = m->tensors.item[j - 1];
            m->tensors.item[j - 1] = x;
        }
    refused(m, &two_heads, NULL, VISE_EFORMAT, "two norms per block were not told apart");

    m = tensors_of(&n, layers); // one block is not like the other
    stored(m, "transformer_layers.1.mlp.2.bias")->name = "transformer_layers.1.mlp.3.bias";
    refused(m, &two_heads, NULL, VISE_EFORMAT, "no blocks that are all alike");

    m = tensors_of(&n, layers); // something more than a ViT
    stored(m, "mlp_head.0.bias")->name = "gate.shift.bias";
    refused(m, &two_heads, NULL, VISE_EFORMAT, "mlp_head.0.weight [16]");
    net_free(&n);

    const spec cube = {.cls = 1, .prefix_pos = 1, .mlp = 16, .eps = 1e-5}; // every matrix square
    net_make(&n, &cube);
    refused(tensors_of(&n, layers), &two_heads, NULL, VISE_EFORMAT, "the mlp of the blocks");
    net_free(&n);
}

/* ---- memory ---- */

static void test_memory(void **state)
{
    (void)state;
    const renaming *const tables[] = {NULL, hf_vit, layers};
    net n;
    net_make(&n, &plain);
    for (size_t k = 0; k < 3; k++)
        for (long at = 0;; at++) {
            vise_err e = {0};
            vise_model *m = tensors_of(&n, tables[k]);
            vise_alloc_fail_at = at;
            const vise_status s = vise_arch_find("vit")->build(m, &two_heads, NULL, &e);
            const bool failed = vise_alloc_fail_at == -1; // at all: else this was the last
            vise_alloc_fail_at = -1;
            vise_model_free(m);
            if (!failed) {
                assert_int_equal(s, VISE_OK);
                assert_true(at > 6);
                break;
            }
            if (s != VISE_ENOMEM) fail_msg("allocation %ld: status %d, %s", at, (int)s, e.msg);
        }
    net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing),         cmocka_unit_test(test_extra),
        cmocka_unit_test(test_head_of_patches), cmocka_unit_test(test_missing_and_extra),
        cmocka_unit_test(test_shapes),          cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_other_networks),  cmocka_unit_test(test_heads),
        cmocka_unit_test(test_options),         cmocka_unit_test(test_structure),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
