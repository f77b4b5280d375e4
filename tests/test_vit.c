/* test_vit.c - the vit family: every way of naming and building a ViT is the network it should be
 * SPDX-License-Identifier: MIT */
#include "graph/ops.h"
#include "vit_schemes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <jansson.h>

/* ---- a net through the library ---- */

static vise_status import(vise_model **out, const net *n, const renaming *table,
                          const vise_import *opts, const vise_configs *c, vise_err *e)
{
    vise_model *m;
    const vise_arch *arch;
    *out = NULL;
    VISE_TRY(vise_model_alloc(&m, e));
    vise_status s = net_tensors(&m->tensors, n, table, e);
    if (!s) s = vise_arch_detect(&arch, &m->tensors, e);
    if (!s) s = arch->build(m, opts, c, e);
    if (s)
        vise_model_free(m);
    else
        *out = m;
    return s;
}

static vise_model *must_import(const char *what, const net *n, const renaming *table,
                               const vise_import *opts, const vise_configs *c)
{
    vise_err e = {0};
    vise_model *m;
    if (import(&m, n, table, opts, c, &e)) fail_msg("%s: %s", what, e.msg);
    return m;
}

static bool noted(const vise_model *m, const char *words)
{
    for (size_t i = 0; i < m->notes.count; i++)
        if (strstr(m->notes.item[i], words)) return true;
    return false;
}

static void must_note(const vise_model *m, const char *words)
{
    if (!noted(m, words)) fail_msg("no note says \"%s\"", words);
}

static float *pixels_of(const spec *s)
{
    const size_t n = s->size[0] * s->size[1] * s->patch * s->patch * s->channels;
    float *x = malloc(n * sizeof *x);
    vise_rng r = vise_rng_named(9, "pixels");
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = vise_rng_normal(&r);
    return x;
}

/* A value passes fewer than 256 f32 roundings in a row, each of half an epsilon, and the layernorms
 * in between keep magnitudes near 1: 128 epsilons of the largest output, or of 1. */
static void check_close(const char *what, const float *y, const double *want, size_t n)
{
    double err = 0, max = 1;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)y[i] - want[i]);
        if (!(d <= err)) err = d;
        if (fabs(want[i]) > max) max = fabs(want[i]);
    }
    if (!(err <= 128 * 1.1920929e-7 * max)) fail_msg("%s: off by %g of %g", what, err, max);
}

static const void *attr_of(const vise_graph *g, const char *node)
{
    const vise_id v = vise_graph_find(g, node);
    assert_true(v != VISE_NONE && g->value[v].kind == VISE_VALUE_NODE);
    return g->node[g->value[v].node].attr;
}

/* The model's answer to one picture equals the oracle's, and it has the net's numbers, all of them. */
static void check_model(const char *what, const vise_model *m, const net *n,
                        const double *positions)
{
    const size_t outputs = n->s.classes ? n->s.classes : (n->s.both_pool ? 2 : 1) * n->s.dim;
    const vise_graph *g = &m->graph;
    float *x = pixels_of(&n->s), *y = vit_run(g, x);
    double *want = vit_oracle(n, x, positions);
    assert_string_equal(g->output[0].name, n->s.classes ? "logits" : "features");
    assert_int_equal(vise_shape_count(&g->value[g->output[0].value].shape), outputs);
    check_close(what, y, want, outputs);
    uint64_t params = 0;
    vise_model_info info;
    for (size_t i = 0; i < n->count; i++)
        params += n->item[i].n;
    vise_model_get_info(m, &info);
    assert_int_equal(info.params, params);
    const vise_norm_attr *norm = attr_of(g, "blocks.1.norm2");
    if (norm->eps != n->s.eps) fail_msg("%s: eps %g, not %g", what, norm->eps, n->s.eps);
    free(x);
    free(y);
    free(want);
}

static void check_net(const char *what, spec s, const renaming *table, const vise_import *opts)
{
    net n;
    net_make(&n, &s);
    vise_model *m = must_import(what, &n, table, opts, NULL);
    check_model(what, m, &n, NULL);
    vise_model_free(m);
    net_free(&n);
}

/* ---- naming schemes: only heads are given, the rest is the scheme's own ---- */

static void test_schemes(void **state)
{
    (void)state;
    const struct {
        const char *what;
        const renaming *table;
        spec s;
    } cases[] = {
        {"timm", NULL, {.cls = 1, .prefix_pos = 1, .eps = 1e-6}},
        {"HF ViT", hf_vit, {.cls = 1, .prefix_pos = 1, .eps = 1e-12}},
        {"HF ViT without a head", hf_vit, {.no_head = 1, .cls = 1, .prefix_pos = 1, .eps = 1e-12}},
        {"HF DeiT", hf_deit, {.cls = 1, .dist = 1, .prefix_pos = 2, .eps = 1e-12}},
        {"HF DINOv2",
         hf_dinov2,
         {.cls = 1, .scale = 1, .prefix_pos = 1, .both_pool = 1, .eps = 1e-6}},
        {"HF DINOv2 giant with registers",
         hf_dinov2,
         {.no_head = 1,
          .cls = 1,
          .scale = 1,
          .prefix_pos = 1,
          .registers = 4,
          .gated = 1,
          .eps = 1e-6}},
        {"HF CLIP",
         hf_clip,
         {.cls = 1,
          .prefix_pos = 1,
          .norm_pre = 1,
          .no_patch_bias = 1,
          .no_head_bias = 1,
          .act = 2,
          .eps = 1e-5}},
        {"torchvision", torchvision, {.cls = 1, .prefix_pos = 1, .eps = 1e-6}},
        {"torchvision, pre-logits",
         torchvision,
         {.cls = 1, .prefix_pos = 1, .pre_logits = 1, .eps = 1e-6}},
        {"torchvision, old", torchvision_old, {.cls = 1, .prefix_pos = 1, .eps = 1e-6}},
        {"nn.TransformerEncoder",
         torch_encoder,
         {.cls = 1, .prefix_pos = 1, .post = 1, .act = 1, .eps = 1e-5}},
        {"nn.TransformerEncoder without a norm",
         torch_encoder,
         {.cls = 1, .prefix_pos = 1, .post = 1, .no_norm = 1, .act = 1, .eps = 1e-5}},
        {"by structure, layers", layers, {.cls = 1, .prefix_pos = 1, .eps = 1e-5}},
        {"by structure, nested", nested, {.cls = 1, .prefix_pos = 1, .eps = 1e-5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_net(cases[i].what, cases[i].s, cases[i].table, &(vise_import){.heads = 2});
}

/* The same numbers under other names are the same network, to the bit. */
static void test_same_bits(void **state)
{
    (void)state;
    const renaming *const fused[] = {NULL, torchvision, torch_encoder, layers};
    const renaming *const apart[] = {hf_vit, nested};
    const vise_import opts = {.heads = 2, .ln_eps = 1e-6, .act = "gelu", .norm = "pre"};
    const spec s = {.cls = 1, .prefix_pos = 1, .eps = 1e-6};
    net n;
    net_make(&n, &s);
    float *x = pixels_of(&n.s), *first = NULL;
    for (size_t i = 0; i < 6; i++) {
        vise_model *m = must_import("bits", &n, i < 4 ? fused[i] : apart[i - 4], &opts, NULL);
        float *y = vit_run(&m->graph, x);
        if (first) assert_memory_equal(first, y, n.s.classes * sizeof *y);
        if (first)
            free(y);
        else
            first = y;
        vise_model_free(m);
    }
    free(first);
    free(x);
    net_free(&n);
}

/* Wrappers' prefixes. */
static void test_prefixes(void **state)
{
    (void)state;
    static const char *const prefix[] = {"module.", "model.", "backbone.", "module.encoder.",
                                         "_orig_mod.student.backbone."};
    const spec s = {.cls = 1, .prefix_pos = 1, .eps = 1e-6};
    for (size_t k = 0; k < sizeof prefix / sizeof *prefix; k++) {
        net n;
        net_make(&n, &s);
        vise_err e;
        vise_model *m;
        assert_int_equal(vise_model_alloc(&m, &e), VISE_OK);
        for (size_t i = 0; i < n.count; i++) {
            char name[200];
            const array *a = &n.item[i];
            snprintf(name, sizeof name, "%s%s", prefix[k], a->name);
            const vise_stored x = {name, VISE_F32, a->shape, a->data, a->n * sizeof(float)};
            assert_int_equal(vise_tensors_add(&m->tensors, &x, &e), VISE_OK);
        }
        if (vise_arch_find("vit")->build(m, &(vise_import){.heads = 2}, NULL, &e))
            fail_msg("%s: %s", prefix[k], e.msg);
        check_model(prefix[k], m, &n, NULL);
        assert_false(noted(m, "mapped"));
        vise_model_free(m);
        net_free(&n);
    }
}

/* ---- variants, under timm's names ---- */

static void test_variants(void **state)
{
    (void)state;
    const struct {
        const char *what;
        spec s;
        vise_import opts;
    } cases[] = {
        {"distilled", {.cls = 1, .dist = 1, .prefix_pos = 2, .eps = 1e-6}, {.heads = 2}},
        {"layer scale, positions of patches only",
         {.cls = 1, .scale = 1, .eps = 1e-6},
         {.heads = 2}},
        {"registers outside the table",
         {.cls = 1, .registers = 4, .prefix_pos = 1, .eps = 1e-6},
         {.heads = 2}},
        {"registers inside the table",
         {.cls = 1, .registers = 3, .prefix_pos = 4, .eps = 1e-6},
         {.heads = 2}},
        {"registers, mean of patches",
         {.registers = 4, .mean_pool = 1, .no_norm = 1, .fc_norm = 1, .eps = 1e-6},
         {.heads = 2}},
        {"mean of patches", {.mean_pool = 1, .eps = 1e-6}, {.heads = 2}},
        {"class token, but mean of patches",
         {.cls = 1, .prefix_pos = 1, .mean_pool = 1, .no_norm = 1, .fc_norm = 1, .eps = 1e-6},
         {.heads = 2}},
        {"SwiGLU", {.cls = 1, .prefix_pos = 1, .gated = 1, .eps = 1e-6}, {.heads = 2}},
        {"packed SwiGLU", {.cls = 1, .prefix_pos = 1, .gated = 2, .eps = 1e-6}, {.heads = 2}},
        {"QK-norm tells heads",
         {.heads = 4, .cls = 1, .prefix_pos = 1, .qk_norm = 1, .eps = 1e-6},
         {0}},
        {"no bias of q, k, v",
         {.cls = 1, .prefix_pos = 1, .no_qkv_bias = 1, .eps = 1e-6},
         {.heads = 2}},
        {"biases of q and v",
         {.cls = 1, .prefix_pos = 1, .beit_bias = 1, .eps = 1e-6},
         {.heads = 2}},
        {"pre-norm of CLIP, as in timm",
         {.cls = 1, .prefix_pos = 1, .norm_pre = 1, .no_patch_bias = 1, .eps = 1e-5},
         {.heads = 2}},
        {"no head", {.no_head = 1, .cls = 1, .prefix_pos = 1, .eps = 1e-6}, {.heads = 2}},
        {"tanh before the head",
         {.cls = 1, .prefix_pos = 1, .pre_logits = 1, .eps = 1e-6},
         {.heads = 2}},
        {"post-norm, given",
         {.cls = 1, .prefix_pos = 1, .post = 1, .act = 3, .eps = 1e-3},
         {.heads = 2, .norm = "post", .act = "gelu_tanh", .ln_eps = 1e-3}},
        {"quick gelu, given",
         {.cls = 1, .prefix_pos = 1, .act = 2, .eps = 1e-6},
         {.heads = 2, .act = "gelu_quick"}},
        {"grey, patches of 7",
         {.channels = 1, .patch = 7, .cls = 1, .prefix_pos = 1, .eps = 1e-6},
         {.heads = 2}},
        {"not square, by the size given",
         {.grid = {2, 3}, .cls = 1, .prefix_pos = 1, .eps = 1e-6},
         {.heads = 2, .height = 8, .width = 12}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_net(cases[i].what, cases[i].s, NULL, &cases[i].opts);
}

/* Features of two tokens are their mean, as the answers of two heads are. */
static void test_distilled_features(void **state)
{
    (void)state;
    const vise_import opts = {.heads = 2};
    const spec s = {.no_head = 1, .cls = 1, .dist = 1, .prefix_pos = 2, .eps = 1e-6};
    check_net("distilled, without heads", s, NULL, &opts);
}

/* nn.TransformerEncoder with options that its names do not tell. */
static void test_encoder_options(void **state)
{
    (void)state;
    const vise_import opts = {.heads = 2, .norm = "pre", .act = "gelu", .ln_eps = 1e-6};
    check_net("pre-norm", (spec){.cls = 1, .prefix_pos = 1, .eps = 1e-6}, torch_encoder, &opts);
}

/* A linear layer over the pixels of a grey patch is a convolution. */
static void test_linear_patch(void **state)
{
    (void)state;
    net n;
    vise_err e;
    vise_model *m;
    spec s = {.channels = 1, .cls = 1, .prefix_pos = 1, .eps = 1e-6};
    net_make(&n, &s);
    array *w = net_find(&n, "patch_embed.proj.weight");
    const vise_shape conv = w->shape;
    w->shape = (vise_shape){2, {n.s.dim, 16}};
    m = must_import("linear patch", &n, NULL, &(vise_import){.heads = 2}, NULL);
    w->shape = conv;
    check_model("linear patch", m, &n, NULL);
    vise_model_free(m);
    net_free(&n);
    s.channels = 3; // the order of 48 flattened numbers is not known
    net_make(&n, &s);
    net_find(&n, "patch_embed.proj.weight")->shape = (vise_shape){2, {n.s.dim, 48}};
    assert_int_equal(import(&m, &n, NULL, &(vise_import){.heads = 2}, NULL, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "patch_embed.proj.weight"));
    assert_null(m);
    net_free(&n);
}

/* ---- other input sizes ---- */

/* A 4 x 4 table and what torch.nn.functional.interpolate makes of it (bicubic, antialias=True). */
static const double table4x4[16] = {-2.3125,  -0.375,    -1.0625,   1.0,     -0.890625, -1.28125,
                                    -0.625,   -0.859375, -1.296875, 1.53125, 0.328125,  2.015625,
                                    1.140625, -1.234375, 0.078125,  0.34375};
static const double table6x5[30] = {
    -2.49650592263,   -0.846855606775, -0.711014597039, -0.525300186398, 1.21810851309,
    -1.64772164876,   -1.15392658821,  -0.953297334559, -0.665048669128, -0.00653545673077,
    -0.882091207042,  -0.975618950681, -0.719988787616, -0.481319781764, -0.606733273237,
    -1.49004587896,   0.659367545298,  0.862783926505,  0.57820023078,   1.81020883413,
    -0.0417049632353, 0.157385197171,  0.193129595588,  0.547286664908,  1.34496959842,
    1.41856279257,    -0.759001306701, -0.85791015625,  0.215289315828,  0.241204018535};
static const double table3x2[6] = {-1.37227182305, -0.30928750331,  -0.466863760301,
                                   0.269990077598, 0.0463676314844, 0.445928463699};

/* The same with antialias=False. */
static const double plain6x5[30] = {
    -2.56590699599,  -0.8046222602,   -0.709869384766, -0.558069471571, 1.29881338162,
    -1.59213110352,  -1.24089123535,  -1.03703308105,  -0.71085534668,  -0.154635131836,
    -0.865363914207, -0.947951348199, -0.66837339048,  -0.432091114185, -0.587232458044,
    -1.594201841,    0.701770277235,  0.906491880064,  0.513071664316,  1.80669144242,
    -0.148306396484, 0.277897094727,  0.293380737305,  0.602021362305,  1.51949060059,
    1.52393314616,   -0.854586873372, -0.987341986762, 0.264875393338,  0.20726051161};
static const double plain3x2[6] = {-1.28428988987, -0.20985977738, -0.408889770508,
                                   0.202346801758, -0.08861456977, 0.468253241645};

static void check_size(const char *what, size_t h, size_t w, const double *table,
                       const renaming *names, size_t registers)
{
    const size_t C = 16;
    spec s = {.size = {h, w},
              .cls = 1,
              .registers = registers,
              .scale = names == hf_dinov2,
              .prefix_pos = 1,
              .eps = 1e-6};
    double positions[30 * 16];
    net n;
    net_make(&n, &s);
    array *pos = net_find(&n, "pos_embed");
    for (size_t c = 0; c < C; c++) { // every channel another multiple of the table
        for (size_t i = 0; i < 16; i++)
            pos->data[(1 + i) * C + c] = (float)(table4x4[i] * (double)(c + 1) / 16);
        for (size_t i = 0; i < h * w; i++)
            positions[i * C + c] = table[i] * (double)(c + 1) / 16;
    }
    const vise_import opts = {
        .heads = 2, .ln_eps = 1e-6, .height = (uint32_t)h * 4, .width = (uint32_t)w * 4};
    vise_model *m = must_import(what, &n, names, &opts, NULL);
    assert_int_equal(m->recipe.height, h * 4);
    assert_int_equal(m->recipe.width, w * 4);
    check_model(what, m, &n, positions);
    vise_model_free(m);
    net_free(&n);
}

static void test_sizes(void **state)
{
    (void)state;
    check_size("the same size", 4, 4, table4x4, NULL, 0);
    check_size("larger", 6, 5, table6x5, NULL, 0);
    check_size("smaller", 3, 2, table3x2, NULL, 0);
    check_size("Hugging Face ViT, larger", 6, 5, plain6x5, hf_vit, 0);
    check_size("Hugging Face DINOv2, smaller", 3, 2, plain3x2, hf_dinov2, 0);
    check_size("Hugging Face DINOv2 with registers", 3, 2, table3x2, hf_dinov2, 4);
}

static vise_model *with_texts(const net *n, const renaming *table, const char *config,
                              const char *preprocessor)
{
    json_t *c = json_loads(config, 0, NULL),
           *p = preprocessor ? json_loads(preprocessor, 0, NULL) : NULL;
    assert_true(c && (!preprocessor || p));
    vise_model *m =
        must_import(config, n, table, &(vise_import){.heads = 2}, &(vise_configs){c, p});
    json_decref(p);
    json_decref(c);
    return m;
}

/* Sizes that configurations tell: of the positions, of what a processor hands on, and with pixels
 * at the borders that are in no patch. */
static void test_told_sizes(void **state)
{
    (void)state;
    net n;
    spec s = {.grid = {6, 4}, .cls = 1, .prefix_pos = 1, .eps = 1e-6};
    net_make(&n, &s); // 25 rows: a class token and 6 x 4, though 25 is a square
    vise_model *m =
        with_texts(&n, NULL, "{\"pretrained_cfg\": {\"input_size\": [3, 24, 16]}}", NULL);
    check_model("6 x 4", m, &n, NULL);
    vise_model_free(m);
    net_free(&n);
    s = (spec){.cls = 1, .scale = 1, .prefix_pos = 1, .eps = 1e-6};
    net_make(&n, &s);
    m = with_texts(&n, hf_dinov2, "{\"image_size\": 16}",
                   "{\"size\": {\"height\": 10, \"width\": 15}, \"crop_size\": {\"height\": 8, "
                   "\"width\": 12}}");
    assert_int_equal(m->recipe.height, 8);
    assert_int_equal(m->recipe.width, 12);
    assert_true(fabs(m->recipe.crop_pct - 0.8) < 1e-6);
    must_note(m, "size 8x12: as preprocessor_config.json says, not 16x16");
    vise_model_free(m);
    m = with_texts(&n, hf_dinov2, "{\"image_size\": 19}", NULL);
    assert_int_equal(m->recipe.height, 19);
    assert_int_equal(m->recipe.width, 19);
    assert_false(noted(m, "size "));
    float *x = pixels_of(&n.s), wide[19 * 19 * 3] = {0};
    for (size_t i = 0; i < 16; i++)
        memcpy(wide + i * 19 * 3, x + i * 16 * 3, 16 * 3 * sizeof *x);
    float *y = vit_run(&m->graph, wide);
    double *want = vit_oracle(&n, x, NULL);
    check_close("borders", y, want, n.s.classes);
    free(x);
    free(y);
    free(want);
    vise_model_free(m);
    net_free(&n);
}

/* Whose pictures: what structure tells of who trained it. */
static void test_pictures(void **state)
{
    (void)state;
    const struct {
        const char *what;
        spec s;
        float mean;
    } cases[] = {
        {"augreg", {.cls = 1, .prefix_pos = 1}, 0.5f},
        {"distilled", {.cls = 1, .dist = 1, .prefix_pos = 2}, 0.485f},
        {"DINOv2", {.patch = 14, .cls = 1, .scale = 1, .prefix_pos = 1}, 0.485f},
        {"DINOv2 with registers", {.patch = 14, .cls = 1, .scale = 1, .registers = 4}, 0.485f},
        {"DeiT III", {.cls = 1, .scale = 1}, 0.485f},
        {"MAE, fine-tuned",
         {.cls = 1, .prefix_pos = 1, .mean_pool = 1, .no_norm = 1, .fc_norm = 1},
         0.485f},
        {"plus", {.cls = 1, .scale = 1, .prefix_pos = 1}, 0.5f},
        {"reg4_gap", {.registers = 4, .scale = 1, .mean_pool = 1}, 0.5f},
        {"CLIP", {.cls = 1, .prefix_pos = 1, .norm_pre = 1}, 0.48145466f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        net n;
        net_make(&n, &cases[i].s);
        vise_model *m = must_import(cases[i].what, &n, NULL, &(vise_import){.heads = 2}, NULL);
        if (m->recipe.mean[0] != cases[i].mean)
            fail_msg("%s: mean %g", cases[i].what, (double)m->recipe.mean[0]);
        vise_model_free(m);
        net_free(&n);
    }
}

/* One tensor of one's own under a known network's names leaves what those names tell. */
static void test_own_head(void **state)
{
    (void)state;
    net n;
    const spec s = {.cls = 1, .prefix_pos = 1, .eps = 1e-12};
    net_make(&n, &s);
    snprintf(net_find(&n, "head.weight")->name, 96, "my_output.weight");
    snprintf(net_find(&n, "head.bias")->name, 96, "my_output.bias");
    vise_model *m = must_import("own head", &n, hf_vit, &(vise_import){.heads = 2}, NULL);
    must_note(m, "mapped my_output.weight -> head.weight");
    snprintf(net_find(&n, "my_output.weight")->name, 96, "head.weight");
    snprintf(net_find(&n, "my_output.bias")->name, 96, "head.bias");
    check_model("own head", m, &n, NULL);
    vise_model_free(m);
    net_free(&n);
}

/* ---- what shapes do not tell ---- */

static vise_model *with_config(const net *n, const char *config, const vise_import *opts)
{
    json_t *j = json_loads(config, 0, NULL);
    assert_non_null(j);
    vise_model *m = must_import(config, n, NULL, opts, &(vise_configs){j, NULL});
    json_decref(j);
    return m;
}

static void test_configs(void **state)
{
    (void)state;
    spec s = {.heads = 4, .cls = 1, .prefix_pos = 1, .act = 1, .post = 1, .eps = 1e-4};
    static const char *const configs[] = {
        "{\"num_attention_heads\": 4, \"layer_norm_eps\": 1e-4, \"hidden_act\": \"relu\", "
        "\"norm\": \"post\"}",
        "{\"architecture\": \"x\", \"model_args\": {\"num_heads\": 4, \"norm_eps\": 1e-4, "
        "\"act_layer\": \"relu\", \"norm_first\": false}}",
        "{\"vision_config\": {\"num_attention_heads\": 4, \"layer_norm_eps\": 1e-4, "
        "\"hidden_act\": "
        "\"relu\"}, \"norm\": \"post\"}",
    };
    net n;
    net_make(&n, &s);
    for (size_t i = 0; i < 3; i++) {
        vise_model *m = with_config(&n, configs[i], &(vise_import){0});
        check_model(configs[i], m, &n, NULL);
        assert_false(noted(m, "heads") || noted(m, "ln_eps") || noted(m, "act") ||
                     noted(m, "norm "));
        vise_model_free(m);
    }
    // options come first
    vise_model *m =
        with_config(&n, "{\"num_heads\": 2, \"layer_norm_eps\": 1, \"norm\": \"pre\"}",
                    &(vise_import){.heads = 4, .ln_eps = 1e-4, .act = "relu", .norm = "post"});
    check_model("options first", m, &n, NULL);
    vise_model_free(m);
    net_free(&n);
}

/* What tensors of two architectures have in common, their name tells apart. */
static void test_architectures(void **state)
{
    (void)state;
    const struct {
        const char *config;
        spec s;
    } cases[] = {
        {"{\"architecture\": \"vit_base_patch16_gap_224\"}",
         {.heads = 16, .mean_pool = 1, .eps = 1e-6}},
        {"{\"architecture\": \"vit_base_patch32_clip_quickgelu_224\", \"num_heads\": 2}",
         {.cls = 1, .prefix_pos = 1, .norm_pre = 1, .act = 2, .eps = 1e-5}},
        {"{\"architecture\": \"vit_so400m_patch16_siglip_gap_256\", \"num_heads\": 2}",
         {.mean_pool = 1, .act = 3, .eps = 1e-6}},
        {"{\"architecture\": \"x\", \"global_pool\": \"avg\", \"num_heads\": 2}",
         {.cls = 1, .prefix_pos = 1, .mean_pool = 1, .eps = 1e-6}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        net n;
        net_make(&n, &cases[i].s);
        vise_model *m = with_config(&n, cases[i].config, &(vise_import){0});
        check_model(cases[i].config, m, &n, NULL);
        vise_model_free(m);
        net_free(&n);
    }
}

static void test_metadata(void **state)
{
    (void)state;
    const spec s = {.grid = {2, 8}, .heads = 8, .cls = 1, .prefix_pos = 1, .act = 1, .eps = 1e-3};
    const char *const texts[][2] = {{"num_heads", "8"},
                                    {"ln_eps", "0.001"},
                                    {"act", "relu"},
                                    {"norm", "pre"},
                                    {"img_size", "[8, 32]"}};
    net n;
    vise_err e;
    vise_model *m;
    net_make(&n, &s);
    for (int whole = 0; whole < 2; whole++) {
        assert_int_equal(vise_model_alloc(&m, &e), VISE_OK);
        assert_int_equal(net_tensors(&m->tensors, &n, NULL, &e), VISE_OK);
        for (size_t i = 0; i < 5 && !whole; i++)
            assert_int_equal(vise_tensors_add_text(&m->tensors, texts[i][0], texts[i][1], &e),
                             VISE_OK);
        if (whole)
            assert_int_equal(
                vise_tensors_add_text(
                    &m->tensors, "config",
                    "{\"heads\": 8, \"layer_norm_eps\": 0.001, \"hidden_act\": \"relu\", "
                    "\"norm\": \"pre\", \"image_size\": [8, 32]}",
                    &e),
                VISE_OK);
        if (vise_arch_find("vit")->build(m, &(vise_import){0}, NULL, &e)) fail_msg("%s", e.msg);
        check_model("metadata", m, &n, NULL); // 2 x 8 patches, though 16 is a square
        vise_model_free(m);
    }
    net_free(&n);
}

/* Each assumption is told with the option that changes it. */
static void test_notes(void **state)
{
    (void)state;
    net n;
    const spec s = {.cls = 1, .prefix_pos = 1, .no_qkv_bias = 1};
    net_make(&n, &s);
    net_put(&n, "mask_token", (vise_shape){3, {1, 1, 16}}, 0, 1);
    vise_model *m = must_import("notes", &n, NULL, &(vise_import){.heads = 2}, NULL);
    static const char *const words[] = {"--ln-eps",        "--act",      "--norm",
                                        "--crop-pct",      "--mean",     "--crop-mode",
                                        "--interpolation", "mask_token", "attn.qkv has no bias"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        must_note(m, words[i]);
    vise_model_free(m);
    m = must_import("notes", &n, layers, &(vise_import){.heads = 2}, NULL);
    must_note(
        m, "mapped transformer_layers.0.self_attention.in_proj_weight -> blocks.0.attn.qkv.weight");
    must_note(m, "mapped mlp_head.1.bias -> head.bias");
    vise_model_free(m);
    net_free(&n);
}

/* ---- element types ---- */

static void test_dtypes(void **state)
{
    (void)state;
    const spec s = {.cls = 1, .prefix_pos = 1, .eps = 1e-6};
    net n;
    vise_err e;
    vise_model *m;
    net_make(&n, &s);
    assert_int_equal(vise_model_alloc(&m, &e), VISE_OK);
    double *wide[160];
    uint16_t *half[160];
    for (size_t i = 0; i < n.count; i++) {
        array *a = &n.item[i];
        wide[i] = malloc(a->n * sizeof(double));
        half[i] = malloc(a->n * 2);
        assert_true(wide[i] && half[i]);
        for (size_t k = 0; k < a->n; k++) {
            uint32_t bits;
            memcpy(&bits, &a->data[k], 4);
            half[i][k] = (uint16_t)(bits >> 16); // a bf16, and the net's number from now on
            if (i % 2) bits &= 0xffff0000u;
            memcpy(&a->data[k], &bits, 4);
            wide[i][k] = (double)a->data[k] * (1 + 1e-12); // rounds to the f32
        }
        const vise_stored x = {a->name, i % 2 ? VISE_BF16 : VISE_F64, a->shape,
                               i % 2 ? (void *)half[i] : (void *)wide[i], a->n * (i % 2 ? 2 : 8)};
        assert_int_equal(vise_tensors_add(&m->tensors, &x, &e), VISE_OK);
    }
    if (vise_arch_find("vit")->build(m, &(vise_import){.heads = 2}, NULL, &e))
        fail_msg("%s", e.msg);
    must_note(m, "f64");
    check_model("f64 and bf16", m, &n, NULL);
    for (size_t i = 0; i < n.count; i++) {
        const vise_id v = vise_graph_find(&m->graph, n.item[i].name);
        assert_int_equal(m->graph.value[v].data.enc.type, i % 2 ? VISE_BF16 : VISE_F32);
        free(wide[i]);
        free(half[i]);
    }
    vise_model_free(m);
    net_free(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemes),         cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_prefixes),        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_encoder_options), cmocka_unit_test(test_linear_patch),
        cmocka_unit_test(test_sizes),           cmocka_unit_test(test_configs),
        cmocka_unit_test(test_architectures),   cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_notes),           cmocka_unit_test(test_dtypes),
        cmocka_unit_test(test_told_sizes),      cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_own_head),        cmocka_unit_test(test_distilled_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
