/* test_onnx.c - ONNX files: well-formed, complete, refused or written whole
 *
 * With VISE_ONNX_DIR set, every case is left there beside its input and vise's own outputs, for
 * bench/peers/check.mjs to run in another runtime: NAME.onnx, NAME.in, NAME.PORT.out (f32) and NAME.tol.
 *
 * SPDX-License-Identifier: MIT */
#include "model/onnx.pb-c.h"
#include "shared.h"
#include "tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64] = "/tmp/vise-onnx-XXXXXX";

static const char *in_dir(char *buf, size_t size, const char *name)
{
    snprintf(buf, size, "%s/%s", dir, name);
    return buf;
}

/* ---- a network of every operator: one output for each way to use one ---- */

enum { H = 6, W = 5, C = 8, T = H * W };

typedef struct zoo {
    tiny t;
    vise_graph *g;
    vise_id map, tokens, vector; // [H, W, C], [T, C], [C], of the image
} zoo;

static void give(zoo *z, vise_id v)
{
    if (!z->g->status) vise_graph_output(z->g, z->g->value[v].name, v);
}

static vise_id node(zoo *z, const char *op, const char *name, const void *attr, uint32_t nin,
                    const vise_id *in)
{
    const vise_id v = vise_graph_add(z->g, op, name, attr, nin, in);
    give(z, v);
    return v;
}

static vise_id one(zoo *z, const char *op, const char *name, const void *attr, vise_id x)
{
    return node(z, op, name, attr, 1, &x);
}

static vise_id two(zoo *z, const char *op, const char *name, const void *attr, vise_id a, vise_id b)
{
    return node(z, op, name, attr, 2, (vise_id[]){a, b});
}

static vise_id numbers(zoo *z, const char *name, uint32_t rank, const size_t *dim)
{
    return tiny_const(&z->t, name, VISE_F32, rank, dim);
}
#define DIMS(...)                                                                                  \
    sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), (size_t[])                                   \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void pointwise(zoo *z)
{
    for (int i = 0; vise_act_names[i]; i++)
        one(z, "act", vise_act_names[i], &(vise_act_attr){i}, z->map);
    two(z, "add", "add_channels", NULL, z->map, numbers(z, "c8", DIMS(C)));
    two(z, "add", "add_vector", NULL, z->map, z->vector);
    two(z, "mul", "mul_wide", NULL, z->vector, numbers(z, "t8", DIMS(T, C)));
    one(z, "softmax", "softmax", NULL, z->tokens);
}

static void norms(zoo *z)
{
    const vise_id w = numbers(z, "norm.w", DIMS(C)), b = numbers(z, "norm.b", DIMS(C));
    const vise_norm_attr eps = {1e-3};
    node(z, "layernorm", "layernorm", &eps, 3, (vise_id[]){z->map, w, b});
    one(z, "layernorm", "layernorm_bare", &eps, z->tokens);
    two(z, "rmsnorm", "rmsnorm", &eps, z->tokens, w);
    one(z, "l2norm", "l2norm", &eps, z->map);
    node(z, "groupnorm", "groupnorm", &(vise_groupnorm_attr){1e-3, 4}, 3,
         (vise_id[]){z->map, w, b});
    one(z, "groupnorm", "groupnorm_bare", &(vise_groupnorm_attr){1e-3, 2}, z->tokens);
}

static void products(zoo *z)
{
    const vise_id w = numbers(z, "lin.w", DIMS(7, C)), b = numbers(z, "lin.b", DIMS(7));
    node(z, "linear", "linear_map", NULL, 3, (vise_id[]){z->map, w, b});
    two(z, "linear", "linear_vector", NULL, z->vector, w);
    two(z, "matmul", "matmul_const", NULL, z->map, numbers(z, "mm", DIMS(C, 3)));
    two(z, "matmul", "matmul_const_t", &(vise_matmul_attr){true}, z->map,
        numbers(z, "mmt", DIMS(3, C)));
    two(z, "matmul", "matmul_left", NULL, numbers(z, "left", DIMS(4, 2, T)), z->tokens);
    two(z, "matmul", "matmul_self", &(vise_matmul_attr){true}, z->tokens, z->tokens);
}

static void attentions(zoo *z)
{
    const vise_id q = two(z, "linear", "q", NULL, z->tokens, numbers(z, "q.w", DIMS(C, C)));
    const vise_id k = two(z, "linear", "k", NULL, z->tokens, numbers(z, "k.w", DIMS(C, C)));
    const vise_id bias = numbers(z, "bias", DIMS(2, 1, T));
    const vise_id mixed = two(z, "matmul", "mixed", &(vise_matmul_attr){true}, z->tokens, k);
    const vise_id sum = one(z, "mean", "per_token", &(vise_mean_attr){{1, {-1}}}, z->tokens);
    const vise_id size = one(z, "act", "sizes", &(vise_act_attr){VISE_ACT_SOFTPLUS}, sum);
    const vise_attention_attr heads = {.heads = 2, .prob_bits = 8},
                              scaled = {.heads = 4, .scale = 0.3, .prob_bits = 8};
    node(z, "attention", "attend", &heads, 3, (vise_id[]){q, k, z->tokens});
    node(z, "attention", "attend_bias", &heads, 4, (vise_id[]){q, k, z->tokens, bias});
    node(z, "attention", "attend_size", &scaled, 5, (vise_id[]){q, k, z->tokens, VISE_NONE, size});
    node(z, "attention", "attend_mixed", &scaled, 4, (vise_id[]){q, k, z->tokens, mixed});
    node(z, "attention", "attend_query", &heads, 3,
         (vise_id[]){numbers(z, "query", DIMS(3, C)), k, z->tokens});
    node(z, "attention", "attend_rows", &heads, 3, (vise_id[]){z->map, z->map, z->map});
}

static void convolutions(zoo *z)
{
    const vise_conv2d_attr plain = {{2, {2, 1}}, {2, {1, 2}}, {2, {1, 2}}, 1};
    const vise_id b = numbers(z, "conv.b", DIMS(4));
    const vise_id x = node(z, "conv2d", "conv", &plain, 3,
                           (vise_id[]){z->map, numbers(z, "conv.w", DIMS(4, C, 3, 2)), b});
    two(z, "conv2d", "conv_again", &(vise_conv2d_attr){.groups = 1}, x,
        numbers(z, "again.w", DIMS(3, 4, 1, 1)));
    two(z, "conv2d", "conv_groups", &(vise_conv2d_attr){.pad = {1, {1}}, .groups = 4}, z->map,
        numbers(z, "groups.w", DIMS(C, 2, 3, 3)));
}

static void moves(zoo *z)
{
    const vise_id row = numbers(z, "row", DIMS(1, C));
    two(z, "concat", "concat_const", &(vise_concat_attr){0}, row, z->tokens);
    two(z, "concat", "concat_last", &(vise_concat_attr){-1}, z->map, z->map);
    two(z, "embed_add", "embed", &(vise_embed_add_attr){1, 3, 4, false}, z->map,
        numbers(z, "table", DIMS(1, 13, C)));
    one(z, "mean", "mean_both", &(vise_mean_attr){{2, {0, -2}}}, z->map);
    one(z, "pad", "pad", &(vise_pad_attr){{3, {1, 0, 2}}, {3, {0, 3, 1}}, -1.5}, z->map);
    one(z, "permute", "permute", &(vise_permute_attr){{3, {-1, 0, 1}}}, z->map);
    one(z, "reshape", "reshape", &(vise_reshape_attr){{4, {0, -1, 2, 4}}}, z->map);
    one(z, "roll", "roll", &(vise_roll_attr){{2, {0, -2}}, {2, {2, -1}}}, z->map);
    one(z, "roll", "roll_none", &(vise_roll_attr){{1, {0}}, {1, {H}}}, z->map);
    one(z, "slice", "slice", &(vise_slice_attr){0, 1, VISE_SLICE_END, 2}, z->map);
    one(z, "slice", "slice_end", &(vise_slice_attr){-1, -3, -1, 1}, z->tokens);
}

static void pools(zoo *z)
{
    const vise_ints three = {1, {3}}, two_ = {1, {2}}, single = {1, {1}};
    one(z, "pool", "max", &(vise_pool_attr){0, three, two_, single, false, false}, z->map);
    one(z, "pool", "max_up", &(vise_pool_attr){0, two_, three, {0}, true, false}, z->map);
    one(z, "pool", "avg", &(vise_pool_attr){1, three, two_, single, false, false}, z->map);
    one(z, "pool", "avg_pad", &(vise_pool_attr){1, three, single, single, false, true}, z->map);
    one(z, "pool", "avg_up", &(vise_pool_attr){1, three, two_, single, true, true}, z->map);
    one(z, "pool", "avg_up_bare", &(vise_pool_attr){1, three, two_, {0}, true, false}, z->map);
}

static void resizes(zoo *z)
{
    const vise_ints up = {2, {11, 13}}, down = {2, {4, 2}};
    const vise_id small = one(z, "slice", "small", &(vise_slice_attr){0, 0, 2, 1}, z->map);
    one(z, "resize", "near_up", &(vise_resize_attr){0, false, up, {0}}, z->map);
    one(z, "resize", "near_twice", &(vise_resize_attr){0, false, {0}, {1, {2}}}, z->map);
    two(z, "resize", "linear_like", &(vise_resize_attr){1, false, {0}, {0}}, small, z->map);
    one(z, "resize", "linear_down", &(vise_resize_attr){1, false, down, {0}}, z->map);
    one(z, "resize", "linear_down_aa", &(vise_resize_attr){1, true, down, {0}}, z->map);
    one(z, "resize", "cubic_up", &(vise_resize_attr){2, false, up, {0}}, z->map);
    one(z, "resize", "cubic_down_aa", &(vise_resize_attr){2, true, down, {0}}, z->map);
}

static void build_zoo(zoo *z)
{
    z->map = vise_graph_input(z->g, "pixels", &(vise_shape){3, {H, W, C}});
    z->tokens = one(z, "reshape", "tokens", &(vise_reshape_attr){{2, {-1, C}}}, z->map);
    z->vector = one(z, "mean", "vector", &(vise_mean_attr){{1, {0}}}, z->tokens);
}

static const struct {
    const char *name;
    void (*build)(zoo *);
} zoos[] = {{"pointwise", pointwise},
            {"norms", norms},
            {"products", products},
            {"attentions", attentions},
            {"convolutions", convolutions},
            {"moves", moves},
            {"pools", pools},
            {"resizes", resizes}};
enum { ZOOS = sizeof zoos / sizeof *zoos };

static vise_model *new_zoo(size_t i)
{
    vise_err e;
    vise_model *m;
    assert_int_equal(vise_model_alloc(&m, &e), VISE_OK);
    m->family = "zoo";
    zoo z = {.t = {m, &m->graph, &e, 1}, .g = &m->graph};
    vise_graph_init(&m->graph, &e);
    build_zoo(&z);
    zoos[i].build(&z);
    if (vise_graph_finish(&m->graph)) fail_msg("%s", e.msg);
    return m;
}

/* Rounds whatever can be rounded: by row (SYM) or with a fixed scale. */
static void round_operands(vise_model *m, vise_actq_kind kind)
{
    vise_err e;
    MUST(vise_apply(m, "quantize weights=int8 acts=int8", NULL, &e));
    for (size_t i = 0; i < m->graph.nodes; i++)
        for (uint32_t k = 0; k < m->graph.node[i].nin; k++) {
            vise_actq *q = &m->graph.node[i].actq[k];
            if (q->kind) *q = (vise_actq){.kind = kind, .bits = 8};
            if (q->kind == VISE_ACTQ_STATIC) q->scale = 0.03f;
            if (q->kind == VISE_ACTQ_STATIC && k == 0) q->zero = 3;
        }
}

/* ---- is a file what it should be? ---- */

typedef struct parsed {
    char *bytes;
    Vise__Onnx__Model *model;
    const Vise__Onnx__Graph *graph;
} parsed;

static parsed parse(const char *path)
{
    vise_err e;
    size_t size;
    parsed p;
    MUST(vise_read_text(&p.bytes, &size, path, (size_t)1 << 30, &e));
    p.model = vise__onnx__model__unpack(NULL, size, (const uint8_t *)p.bytes);
    assert_non_null(p.model);
    p.graph = p.model->graph;
    assert_non_null(p.graph);
    return p;
}

static void parsed_free(parsed *p)
{
    vise__onnx__model__free_unpacked(p->model, NULL);
    vise_free(p->bytes);
}

static const Vise__Onnx__Tensor *tensor(const Vise__Onnx__Graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (!strcmp(g->initializer[i]->name, name)) return g->initializer[i];
    return NULL;
}

static size_t count_ops(const Vise__Onnx__Graph *g, const char *op)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_node; i++)
        n += !strcmp(g->node[i]->op, op);
    return n;
}

/* Names made so far, each once. */
typedef struct names {
    const char *item[8192];
    size_t n;
} names;

static bool known(const names *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->item[i], name)) return true;
    return false;
}

static void define(names *l, const char *name)
{
    assert_true(*name);
    if (known(l, name)) fail_msg("%s is made twice", name);
    assert_true(l->n < sizeof l->item / sizeof *l->item);
    l->item[l->n++] = name;
}

static void check_tensor(const Vise__Onnx__Tensor *t)
{
    static const size_t bytes[] = {0, 4, 1, 1, 0, 0, 4, 8};
    size_t n = bytes[t->type];
    for (size_t i = 0; i < t->n_dim; i++)
        n *= (size_t)t->dim[i];
    if (n != t->raw.len) fail_msg("%s: %zu bytes, not %zu", t->name, t->raw.len, n);
}

static void check_port(const Vise__Onnx__Value *v, const vise_graph *g, const vise_port_ref *p)
{
    const vise_shape *s = &g->value[p->value].shape;
    const Vise__Onnx__Shape *shape = v->type->tensor->shape;
    const bool map = s->rank == 3;
    assert_string_equal(v->name, p->name);
    assert_int_equal(v->type->tensor->element, VISE__ONNX__TENSOR__TYPE__F32);
    assert_int_equal(shape->n_dim, s->rank + 1);
    assert_string_equal(shape->dim[0]->param, "N");
    for (uint32_t i = 0; i < s->rank; i++)
        assert_int_equal(shape->dim[i + 1]->value, s->dim[map ? (i + 2) % 3 : i]);
}

/* Every name is made once, and before it is read; constants have the bytes of their shape. */
static void check_form(const parsed *p, const vise_graph *g)
{
    static names l;
    l.n = 0;
    assert_int_equal(p->model->opset[0]->version, 18);
    assert_int_equal(p->graph->n_input, g->inputs);
    assert_int_equal(p->graph->n_output, g->outputs);
    for (size_t i = 0; i < g->inputs; i++) {
        check_port(p->graph->input[i], g, &g->input[i]);
        define(&l, p->graph->input[i]->name);
    }
    for (size_t i = 0; i < p->graph->n_initializer; i++) {
        check_tensor(p->graph->initializer[i]);
        define(&l, p->graph->initializer[i]->name);
    }
    for (size_t i = 0; i < p->graph->n_node; i++) {
        const Vise__Onnx__Node *n = p->graph->node[i];
        for (size_t k = 0; k < n->n_input; k++)
            if (*n->input[k] && !known(&l, n->input[k]))
                fail_msg("%s reads %s, which is not there", n->name, n->input[k]);
        for (size_t k = 0; k < n->n_output; k++)
            define(&l, n->output[k]);
    }
    for (size_t i = 0; i < g->outputs; i++) {
        check_port(p->graph->output[i], g, &g->output[i]);
        assert_true(known(&l, g->output[i].name));
    }
}

/* ---- cases for another runtime ---- */

static void put_file(const char *name, const char *suffix, const void *data, size_t size)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s%s", dir, name, suffix);
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(data, 1, size, f) == size && !fclose(f));
}

/* [H, W, C] to [C, H, W] for every image. */
static void channels_first(float *y, const float *x, size_t images, const vise_shape *s)
{
    const size_t pixels = s->dim[0] * s->dim[1], ch = s->dim[2];
    for (size_t b = 0; b < images; b++)
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < ch; c++)
                y[(b * ch + c) * pixels + p] = x[(b * pixels + p) * ch + c];
}

static void put_port(const char *name, const char *suffix, const vise_port *p, size_t images,
                     const float *x)
{
    const size_t n = images * vise_shape_count(&p->shape);
    float *y = calloc(n, sizeof *y);
    assert_non_null(y);
    memcpy(y, x, n * sizeof *y);
    if (p->shape.rank == 3) channels_first(y, x, images, &p->shape);
    put_file(name, suffix, y, n * sizeof *y);
    free(y);
}

/* x [images, input]: what vise makes of it, beside NAME.onnx. */
static void put_case(const char *name, const vise_model *m, size_t images, const float *x,
                     const char *tolerance)
{
    vise_err e;
    vise_session *s;
    if (!getenv("VISE_ONNX_DIR")) return;
    MUST(vise_session_new(&s, m, &(vise_session_opts){.batch = images}, &e));
    const size_t nout = vise_session_outputs(s);
    float *out[VISE_MAX_PORTS];
    for (size_t i = 0; i < nout; i++)
        out[i] = calloc(images * vise_shape_count(&vise_session_output(s, i)->shape), 4);
    vise_session_run(s, images, &x, out);
    put_port(name, ".in", vise_session_input(s, 0), images, x);
    for (size_t i = 0; i < nout; i++) {
        char suffix[96];
        snprintf(suffix, sizeof suffix, ".%s.out", vise_session_output(s, i)->name);
        put_port(name, suffix, vise_session_output(s, i), images, out[i]);
        free(out[i]);
    }
    put_file(name, ".tol", tolerance, strlen(tolerance));
    vise_session_free(s);
}

/* Saves, checks the form, leaves a case with random images. Returns the file for more questions. */
static parsed saved(const char *name, const vise_model *m, const char *tolerance)
{
    enum { IMAGES = 3 };
    vise_err e;
    char file[64], path[256];
    snprintf(file, sizeof file, "%s.onnx", name);
    MUST(vise_model_save_onnx(m, in_dir(path, sizeof path, file), NULL, &e));
    parsed p = parse(path);
    check_form(&p, &m->graph);
    if (!tolerance) return p;
    const size_t n = IMAGES * vise_shape_count(&m->graph.value[m->graph.input[0].value].shape);
    float *x = calloc(n, sizeof *x);
    assert_non_null(x);
    vise_rng r = vise_rng_named(3, name);
    for (size_t i = 0; i < n; i++)
        x[i] = vise_rng_normal(&r);
    put_case(name, m, IMAGES, x, tolerance);
    free(x);
    return p;
}

/* ---- tests ---- */

static void test_every_operator(void **state)
{
    (void)state;
    for (size_t i = 0; i < ZOOS; i++) {
        vise_model *m = new_zoo(i);
        parsed p = saved(zoos[i].name, m, "1e-4");
        parsed_free(&p);
        vise_model_free(m);
    }
}

static void test_rounded_operands(void **state)
{
    (void)state;
    static const char *const of[] = {"products", "attentions", "convolutions"};
    for (size_t i = 0; i < ZOOS; i++)
        for (int fixed = 0; fixed < 2; fixed++) {
            char name[64];
            bool wanted = false;
            for (size_t k = 0; k < 3; k++)
                wanted |= !strcmp(of[k], zoos[i].name);
            if (!wanted) continue;
            vise_model *m = new_zoo(i);
            round_operands(m, fixed ? VISE_ACTQ_STATIC : VISE_ACTQ_SYM);
            snprintf(name, sizeof name, "%s_%s", zoos[i].name, fixed ? "static" : "rows");
            parsed p = saved(name, m, "3e-2");
            const bool products = i == 2;
            assert_int_equal(count_ops(p.graph, "QuantizeLinear") > 0, fixed);
            assert_true(!products ||
                        count_ops(p.graph, "DynamicQuantizeLinear") == (fixed ? 0 : 2));
            parsed_free(&p);
            vise_model_free(m);
        }
}

/* What ONNX cannot say: codes of few bits, and few probabilities. */
static void test_refused_bits(void **state)
{
    (void)state;
    static const int8_t level[] = {-100, 0, 20, 100};
    const vise_actq four = {.kind = VISE_ACTQ_SYM, .bits = 4},
                    eight = {.kind = VISE_ACTQ_SYM, .bits = 8},
                    levels = {VISE_ACTQ_LEVELS, 2, 0.1f, 0, level};
    const struct {
        const char *node;
        vise_actq q;
        int64_t prob_bits;
        const char *says;
    } all[] = {
        {"head", four, 8, "head: an operand rounded to sym codes of 4 bits cannot"},
        {"head", levels, 8, "head: an operand rounded to levels codes of 2 bits cannot"},
        {"attn", eight, 4, "attn: probabilities of 4 bits and step 0 cannot"},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        vise_err e;
        vise_model *m;
        vise_attention_attr *a;
        char path[256];
        const char *note;
        MUST(tiny_new(&m, &e));
        vise_node *n = &m->graph.node[m->graph.value[vise_graph_find(&m->graph, all[i].node)].node];
        const bool attention = !strcmp(n->op->name, "attention");
        for (uint32_t k = 0; k < (attention ? 3 : 1); k++)
            n->actq[k] = all[i].q;
        memcpy(&a, &n->attr, sizeof a);
        if (attention) a->prob_bits = all[i].prob_bits;
        const vise_status s =
            vise_model_save_onnx(m, in_dir(path, sizeof path, "bits.onnx"), &note, &e);
        if (s != VISE_EFORMAT || !strstr(e.msg, all[i].says)) fail_msg("%d, %s", s, e.msg);
        assert_int_equal(access(path, F_OK), -1);
        vise_model_free(m);
    }
}

/* The weights that a file holds are those of the model, transposed where that is what ONNX needs. */
static void test_tiny(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    MUST(tiny_new(&m, &e));
    parsed p = saved("tiny", m, "1e-4");
    const vise_value *head = &m->graph.value[vise_graph_find(&m->graph, "head.weight")];
    const Vise__Onnx__Tensor *t = tensor(p.graph, "head.weight");
    assert_true(t && t->n_dim == 2 && t->dim[0] == TINY_CLASSES && t->dim[1] == TINY_DIM);
    assert_memory_equal(t->raw.data, head->data.data, t->raw.len);
    t = tensor(p.graph, "qkv.weight"); // bf16
    assert_true(t && t->type == VISE__ONNX__TENSOR__TYPE__F32 &&
                t->raw.len == 3 * TINY_DIM * TINY_DIM * sizeof(float));
    assert_null(tensor(p.graph, "pos_embed")); // resized, and its first row added to cls_token
    assert_non_null(tensor(p.graph, "cls"));
    parsed_free(&p);
    vise_model_free(m);
}

/* Rounded by hand: one weight row's codes, and the bias in units of codes. */
static void test_codes(void **state)
{
    (void)state;
    vise_err e;
    vise_model *m;
    const char *note;
    char path[256];
    MUST(tiny_new(&m, &e));
    MUST(vise_apply(m, "quantize weights=int8 acts=int8", NULL, &e));
    MUST(vise_model_save_onnx(m, in_dir(path, sizeof path, "rows.onnx"), &note, &e));
    assert_non_null(strstr(note, "one scale for a whole tensor"));
    const vise_node *head = &m->graph.node[m->graph.value[m->graph.output[0].value].node];
    const vise_const *w = &m->graph.value[head->in[1]].data;
    parsed p = parse(path);
    const Vise__Onnx__Node *product = NULL;
    for (size_t i = 0; i < p.graph->n_node; i++)
        if (!strcmp(p.graph->node[i]->op, "MatMulInteger")) product = p.graph->node[i];
    assert_non_null(product); // the last one is the head's
    const Vise__Onnx__Tensor *t = tensor(p.graph, product->input[1]);
    assert_true(t && t->type == VISE__ONNX__TENSOR__TYPE__S8 && t->dim[0] == TINY_DIM &&
                t->dim[1] == TINY_CLASSES);
    for (size_t j = 0; j < TINY_CLASSES; j++)
        for (size_t i = 0; i < TINY_DIM; i++)
            assert_int_equal((int8_t)t->raw.data[i * TINY_CLASSES + j],
                             ((const uint8_t *)w->data)[j * TINY_DIM + i] - w->enc.zero);
    parsed_free(&p);
    round_operands(m, VISE_ACTQ_STATIC);
    MUST(vise_model_save_onnx(m, path, &note, &e));
    p = parse(path);
    check_form(&p, &m->graph);
    assert_int_equal(count_ops(p.graph, "MatMulInteger"), 0);
    parsed_free(&p);
    vise_model_free(m);
    unlink(path);
}

/* No allocation that fails leaves a file, or anything else. */
static void test_no_memory(void **state)
{
    (void)state;
    vise_err e;
    char path[256];
    vise_model *m = new_zoo(2);
    in_dir(path, sizeof path, "starved.onnx");
    for (long n = 0;; n++) {
        vise_alloc_fail_at = n;
        const vise_status s = vise_model_save_onnx(m, path, NULL, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        if (!reached) {
            assert_int_equal(s, VISE_OK);
            assert_true(n > 2);
            break;
        }
        assert_int_equal(s, VISE_ENOMEM);
        assert_false(vise_is_file(path));
    }
    unlink(path);
    vise_model_free(m);
}

static void test_refused(void **state)
{
    (void)state;
    vise_err e;
    const char *note = "kept";
    char path[256];
    static float few[16]; // what is too large is never looked at
    vise_model *m;
    MUST(tiny_new(&m, &e));
    assert_int_equal(vise_model_save_onnx(m, "/nowhere/a.onnx", &note, &e), VISE_EIO);
    assert_non_null(strstr(e.msg, "/nowhere/a.onnx"));
    assert_null(note);
    assert_int_equal(vise_model_save_onnx(m, dir, NULL, &e), VISE_EIO);
    vise_model_free(m);

    in_dir(path, sizeof path, "large.onnx");
    MUST(vise_model_alloc(&m, &e));
    vise_graph_init(&m->graph, &e);
    const vise_id x = vise_graph_input(&m->graph, "pixels", &(vise_shape){3, {1, 1, 1 << 15}});
    const vise_const w = {.shape = {2, {1 << 15, 1 << 15}}, .enc = {.type = VISE_F32}, .data = few};
    const vise_id y = vise_graph_add(&m->graph, "linear", "big", NULL, 2,
                                     (vise_id[]){x, vise_graph_const(&m->graph, "w", &w)});
    vise_graph_output(&m->graph, "y", y);
    MUST(vise_graph_finish(&m->graph));
    assert_int_equal(vise_model_save_onnx(m, path, NULL, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "an ONNX file has at most 2147483647"));
    assert_false(vise_is_file(path));
    vise_model_free(m);

    MUST(vise_model_alloc(&m, &e)); // positions made from the image
    vise_graph_init(&m->graph, &e);
    const vise_id map = vise_graph_input(&m->graph, "pixels", &(vise_shape){3, {2, 2, 1}});
    const vise_id table =
        vise_graph_add(&m->graph, "reshape", "table", &(vise_reshape_attr){{2, {4, 1}}}, 1, &map);
    vise_graph_output(&m->graph, "y",
                      vise_graph_add(&m->graph, "embed_add", "strange",
                                     &(vise_embed_add_attr){0, 2, 2, false}, 2,
                                     (vise_id[]){map, table}));
    MUST(vise_graph_finish(&m->graph));
    assert_int_equal(vise_model_save_onnx(m, path, NULL, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "strange: "));
    vise_model_free(m);
}

/* DeiT-Tiny on real pictures, as it is and in 8 bits. */
static void test_deit(void **state)
{
    (void)state;
    enum { SIDE = 224, PIXELS = SIDE * SIDE * 3 };
    static const struct {
        const char *name, *pass, *tolerance;
    } kind[] = {{"deit", NULL, "1e-4"},
                {"deit_rows", "quantize weights=int8 acts=int8", "classes"},
                {"deit_static", "quantize weights=int8 acts=static", "classes"}};
    need_shared_data();
    vise_err e;
    vise_data *d;
    const size_t images = picture_limit(64);
    float *x = calloc(images, PIXELS * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < sizeof kind / sizeof *kind; i++) {
        vise_model *m;
        MUST(vise_model_open(&m, VISE_SHARED_DATA "/checkpoints/deit_tiny_patch16_224", NULL, &e));
        MUST(vise_data_open(&d, VISE_SHARED_DATA "/images/imagenet_calib", NULL, &e));
        const vise_eval_opts calib = {.data = d, .limit = picture_limit(32)};
        if (kind[i].pass) MUST(vise_apply(m, kind[i].pass, &calib, &e));
        vise_data_free(d);
        parsed p = saved(kind[i].name, m, NULL);
        if (i)
            assert_int_equal(count_ops(p.graph, i == 1 ? "MatMulInteger" : "Gemm"),
                             i == 1 ? 61 : 49);
        parsed_free(&p);
        MUST(vise_data_open(&d, VISE_SHARED_DATA "/images/imagenet_eval", NULL, &e));
        for (size_t k = 0; getenv("VISE_ONNX_DIR") && k < images; k++)
            MUST(vise_data_read(d, k, vise_model_recipe(m), x + k * PIXELS, &e));
        vise_data_free(d);
        put_case(kind[i].name, m, images, x, kind[i].tolerance);
        vise_model_free(m);
    }
    free(x);
}

/* ---- main ---- */

static int setup(void **state)
{
    (void)state;
    const char *keep = getenv("VISE_ONNX_DIR");
    if (!keep) return !mkdtemp(dir);
    snprintf(dir, sizeof dir, "%s", keep);
    return mkdir(dir, 0777) && errno != EEXIST;
}

static int teardown(void **state)
{
    (void)state;
    if (getenv("VISE_ONNX_DIR")) return 0;
    static const char *const extra[] = {"tiny", "deit", "deit_rows", "deit_static"};
    char path[256];
    for (size_t i = 0; i < 3 * ZOOS + 4; i++) {
        static const char *const suffix[] = {"", "_rows", "_static"};
        snprintf(path, sizeof path, "%s/%s%s.onnx", dir,
                 i < 3 * ZOOS ? zoos[i / 3].name : extra[i - 3 * ZOOS],
                 i < 3 * ZOOS ? suffix[i % 3] : "");
        unlink(path);
    }
    return rmdir(dir); // fails if anything else was left behind
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_operator), cmocka_unit_test(test_rounded_operands),
        cmocka_unit_test(test_refused_bits),   cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_codes),          cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_refused),        cmocka_unit_test(test_deit),
    };
    return cmocka_run_group_tests_name("onnx", tests, setup, teardown);
}
