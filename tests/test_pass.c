/* test_pass.c - passes: what a line may say, what quantizing does, and that a failure changes nothing
 * SPDX-License-Identifier: MIT */
#include "compress/calib.h"
#include "compress/pass.h"
#include "edit.h"
#include "graph/actq.h"
#include "tiny.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIXELS = TINY_SIZE * TINY_SIZE * TINY_CHANNELS, PICTURES = 3, BATCH = 5 };

/* What a line says of options that it does not name. */
#define HOW                                                                                        \
    "method=auto range=mse clip=auto fold=auto target=auto damp=auto importance=auto order=on "    \
    "polish=4 refit=on "                                                                           \
    "bias=on levels=on probs=0.5 ends=int8 rest=f16 vectors=f32"

static char dir[] = "/tmp/vise-pass-XXXXXX";
static char path_a[64], path_b[64], set[64], class[80];

static const char *picture(int i)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/%d.ppm", class, i);
    return path;
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return 1;
    snprintf(path_a, sizeof path_a, "%s/a.vise", dir);
    snprintf(path_b, sizeof path_b, "%s/b.vise", dir);
    snprintf(set, sizeof set, "%s/set", dir);
    snprintf(class, sizeof class, "%s/one", set);
    if (mkdir(set, 0700) || mkdir(class, 0700)) return 1;
    for (int i = 0; i < PICTURES; i++) {
        FILE *f = fopen(picture(i), "wb");
        if (!f) return 1;
        fprintf(f, "P6\n%d %d\n255\n", TINY_SIZE, TINY_SIZE);
        for (int k = 0; k < PIXELS; k++)
            fputc((k * (37 + i) + i) % 251, f);
        if (fclose(f)) return 1;
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < PICTURES; i++)
        unlink(picture(i));
    unlink(path_a);
    unlink(path_b);
    return rmdir(class) || rmdir(set) || rmdir(dir); // fails if a temporary was left behind
}

static vise_model *tiny_quantized(const char *line)
{
    vise_err e;
    vise_model *m;
    MUST(tiny_new(&m, &e));
    if (line) MUST(vise_apply(m, line, NULL, &e));
    return m;
}

/* Logits of BATCH pictures. */
static void logits_of(const vise_model *m, size_t threads, size_t batch, float *y)
{
    vise_err e;
    vise_session *s;
    float x[BATCH * PIXELS];
    vise_rng r = vise_rng_named(5, "pixels");
    for (size_t i = 0; i < BATCH * PIXELS; i++)
        x[i] = vise_rng_normal(&r);
    MUST(vise_session_new(&s, m, &(vise_session_opts){.threads = threads, .batch = batch}, &e));
    for (size_t i = 0; i < BATCH; i += batch)
        vise_session_run(s, BATCH - i < batch ? BATCH - i : batch,
                         (const float *[]){x + i * PIXELS},
                         (float *[]){y + i * TINY_CLASSES, NULL});
    vise_session_free(s);
}

static double error_of(const char *line)
{
    float y[BATCH * TINY_CLASSES], z[BATCH * TINY_CLASSES];
    double sum = 0;
    vise_model *a = tiny_quantized(NULL), *b = tiny_quantized(line);
    logits_of(a, 1, 1, y);
    logits_of(b, 1, 1, z);
    for (size_t i = 0; i < BATCH * TINY_CLASSES; i++)
        sum += fabs((double)y[i] - (double)z[i]);
    vise_model_free(a);
    vise_model_free(b);
    return sum;
}

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says; // what it becomes, or its failure
        vise_status status;
    } cases[] = {
        {"quantize", "quantize weights=int8 group=0 acts=int8 " HOW, VISE_OK},
        {"\t quantize   acts=f32\n", "quantize weights=int8 group=0 acts=f32 " HOW, VISE_OK},
        {"quantize skip=head,blocks.*",
         "quantize weights=int8 group=0 acts=int8 " HOW " skip=head,blocks.*", VISE_OK},
        {"integer", "integer", VISE_OK},
        {"integer bits=8", "bits: no such option; there are none", VISE_EARG},
        {"", "no such pass; there is quantize", VISE_EARG},
        {"quantise", "quantise: no such pass; there is quantize", VISE_EARG},
        {"quantize bit=4", "bit: no such option; there are weights, bits, budget, group, acts, ",
         VISE_EARG},
        {"quantize bits=9", "bits=9: allowed are |8|7|", VISE_EARG},
        {"quantize weights=int", "weights=int: allowed are int8|int7|", VISE_EARG},
        {"quantize weights=", "weights=: allowed are int8|int7|", VISE_EARG},
        {"quantize weights", "a value has to follow, as in weights=int8", VISE_EARG},
        {"quantize damp=-1", "damp=-1: a number from 0 up, or auto", VISE_EARG},
        {"quantize damp=1e7", "damp=1e7: a number from 0 up, or auto", VISE_EARG},
        {"quantize damp=0.1x", "damp=0.1x: a number from 0 up, or auto", VISE_EARG},
        {"quantize damp=", "damp=: a number from 0 up, or auto", VISE_EARG},
        {"quantize acts=f32 acts=int8", "acts is given twice", VISE_EARG},
        {"quantize skip=\x1b[2J", "printable ASCII", VISE_EARG},
        {"quantize skip=h\xc3\xa9", "printable ASCII", VISE_EARG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vise_err e = {0};
        const vise_pass *pass;
        vise_line c;
        const vise_status s = vise_pass_parse(&pass, &c, cases[i].line, &e);
        if (s != cases[i].status ||
            (s ? !strstr(e.msg, cases[i].says) : strcmp(c.text, cases[i].says) != 0))
            fail_msg("\"%s\": status %d, %s", cases[i].line, s, s ? e.msg : c.text);
        vise_line_release(&c);
    }
}

static void test_list(void **state)
{
    (void)state;
    vise_pass_info p;
    size_t passes = 0;
    for (; vise_pass_get(passes, 0, &p); passes++) {
        vise_err e;
        const vise_pass *pass;
        vise_line c;
        MUST(vise_pass_parse(&pass, &c, p.name, &e)); // its defaults are allowed
        vise_line_release(&c);
        for (size_t i = 1; vise_pass_get(passes, i, &p); i++)
            assert_true(*p.name && *p.values && *p.help);
        assert_null(p.name);
    }
    assert_true(passes >= 1);
}

/* The setting that changes nothing changes nothing but the history. */
static void test_identity(void **state)
{
    (void)state;
    vise_err e;
    // tiny holds f16 and bf16 weights: f32 holds the same numbers
    vise_model *m = tiny_quantized("quantize weights=f32 acts=f32"), *t = tiny_quantized(NULL);
    float y[BATCH * TINY_CLASSES], z[BATCH * TINY_CLASSES];
    logits_of(m, 1, 2, y);
    logits_of(t, 1, 2, z);
    assert_memory_equal(y, z, sizeof y);
    assert_string_equal(vise_model_history(m, 1), "quantize weights=f32 group=0 acts=f32 " HOW);
    MUST(vise_model_save(m, path_a, &e));
    MUST(vise_apply(m, "quantize weights=f32 acts=f32", NULL, &e));
    m->history.count--;
    MUST(vise_model_save(m, path_b, &e));
    vise_map a, b;
    MUST(vise_map_open(&a, path_a, &e));
    MUST(vise_map_open(&b, path_b, &e));
    assert_true(a.size == b.size && !memcmp(a.data, b.data, a.size));
    vise_map_close(&a);
    vise_map_close(&b);
    vise_model_free(m);
    vise_model_free(t);
}

static const vise_const *const_of(const vise_model *m, const char *name)
{
    const vise_id v = vise_graph_find(&m->graph, name);
    assert_true(v != VISE_NONE && m->graph.value[v].kind == VISE_VALUE_CONST);
    return &m->graph.value[v].data;
}

static const vise_actq *rounding_of(const vise_model *m, const char *name, size_t operand)
{
    const vise_id v = vise_graph_find(&m->graph, name);
    assert_true(v != VISE_NONE && m->graph.value[v].kind == VISE_VALUE_NODE);
    return &m->graph.node[m->graph.value[v].node].actq[operand];
}

static void test_weights(void **state)
{
    (void)state;
    vise_model *t = tiny_quantized(NULL),
               *m = tiny_quantized("quantize weights=int8 acts=f32 range=minmax");
    const char *const names[] = {"stem.weight", "qkv.weight", "head.weight"};
    for (size_t k = 0; k < 3; k++) {
        const vise_const *w = const_of(t, names[k]), *q = const_of(m, names[k]);
        float x[3 * TINY_DIM * TINY_DIM], y[3 * TINY_DIM * TINY_DIM];
        const size_t rows = w->shape.dim[0], cols = vise_shape_count(&w->shape) / rows;
        assert_true(q->enc.bits == 8 && q->enc.zero == 128 && !q->enc.group &&
                    q->enc.levels == VISE_AFFINE && vise_shape_same(&w->shape, &q->shape));
        assert_true(rows * cols <= sizeof x / sizeof *x);
        vise_decode(x, w);
        vise_decode(y, q);
        for (size_t i = 0; i < rows; i++) {
            float most = 0;
            int farthest = 0;
            for (size_t j = i * cols; j < (i + 1) * cols; j++) {
                const int level = ((const uint8_t *)q->data)[j] - 128;
                most = fmaxf(most, fabsf(x[j]));
                farthest = abs(level) > farthest ? abs(level) : farthest;
                // half a step, and the rounding of a product and a quotient
                if (!(fabsf(x[j] - y[j]) <= q->scale[i] * 0.50005f))
                    fail_msg("%s: %g became %g, step %g", names[k], (double)x[j], (double)y[j],
                             (double)q->scale[i]);
            }
            assert_true(q->scale[i] == most / 127 && farthest == 127);
        }
    }
    assert_int_equal(const_of(m, "dw.weight")->enc.bits, 0); // depthwise
    assert_int_equal(const_of(m, "dw.weight")->enc.type, VISE_F16);
    assert_int_equal(const_of(m, "pos_embed")->enc.bits, 0);
    assert_int_equal(const_of(m, "pos_embed")->enc.type, VISE_F16);
    assert_int_equal(const_of(m, "norm.weight")->enc.bits, 0);
    vise_model_free(m);
    m = tiny_quantized("quantize weights=bf16 acts=f32");
    assert_int_equal(const_of(m, "dw.weight")->enc.type, VISE_BF16);
    assert_int_equal(const_of(m, "pos_embed")->enc.type, VISE_BF16);
    assert_int_equal(const_of(m, "stem.weight")->enc.type, VISE_BF16);
    assert_int_equal(const_of(m, "norm.weight")->enc.type, VISE_F32);
    assert_int_equal(const_of(m, "head.bias")->enc.type, VISE_F32);
    vise_model_free(m);
    vise_model_free(t);
    const double f16 = error_of("quantize weights=f16 acts=f32");
    const double bf16 = error_of("quantize weights=bf16 acts=f32");
    const double s8 = error_of("quantize weights=int8 acts=f32");
    assert_true(f16 < bf16 && bf16 < s8 && s8 < error_of("quantize weights=int8 acts=bf16"));
}

/* Codes of any width, with multipliers or without, stand for what is nearest to the weights. */
static void test_codes(void **state)
{
    (void)state;
    static const char *const names[] = {"stem.weight", "qkv.weight", "head.weight"};
    vise_model *t = tiny_quantized(NULL);
    for (uint32_t way = 0; way < 12; way++) {
        char line[96];
        const uint32_t bits = way < 7 ? 2 + way : way - 5, group = way < 7 ? 0 : 32;
        snprintf(line, sizeof line,
                 "quantize weights=int%u group=%u method=nearest range=minmax ends=same", bits,
                 group);
        vise_model *m = tiny_quantized(line);
        for (size_t k = 0; k < 3; k++) {
            const vise_const *w = const_of(t, names[k]), *q = const_of(m, names[k]);
            float x[3 * TINY_DIM * TINY_DIM], y[3 * TINY_DIM * TINY_DIM];
            const size_t rows = w->shape.dim[0], cols = vise_shape_count(&w->shape) / rows;
            assert_true(q->enc.bits == bits && q->enc.group == group);
            vise_decode(x, w);
            vise_decode(y, q);
            const float up = bits == 2 ? 3 : (float)((1 << (bits - 1)) - 1);
            for (size_t i = 0; i < rows; i++) {
                float most = 0; // a step is at most this over the highest level, or 2 without a 0
                for (size_t j = i * cols; j < (i + 1) * cols; j++)
                    most = fmaxf(most, fabsf(x[j]));
                // a multiplier may round a group's step down: then the largest are cut off
                const float limit = most / up * (bits == 2 ? 2 : 1) * (group ? 1.1f : 0.5001f);
                for (size_t j = i * cols; j < (i + 1) * cols; j++)
                    if (!(fabsf(x[j] - y[j]) <= limit))
                        fail_msg("%s, %s: %g became %g, of at most %g", line, names[k],
                                 (double)x[j], (double)y[j], (double)most);
            }
        }
        vise_model_free(m);
    }
    vise_model_free(t);
}

static void test_operands(void **state)
{
    (void)state;
    vise_model *m = tiny_quantized("quantize");
    assert_int_equal(rounding_of(m, "stem", 0)->kind, VISE_ACTQ_ASYM);
    assert_int_equal(rounding_of(m, "dw", 0)->kind, VISE_ACTQ_NONE);
    assert_int_equal(rounding_of(m, "attn.qkv", 0)->kind, VISE_ACTQ_ASYM);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(rounding_of(m, "attn", i)->kind, VISE_ACTQ_SYM);
    assert_int_equal(rounding_of(m, "head", 0)->kind, VISE_ACTQ_ASYM);
    assert_int_equal(rounding_of(m, "head", 1)->kind, VISE_ACTQ_NONE);
    vise_err e;
    MUST(vise_apply(m, "quantize acts=f32 skip=head", NULL, &e)); // takes them off again
    assert_int_equal(rounding_of(m, "attn", 2)->kind, VISE_ACTQ_NONE);
    assert_int_equal(rounding_of(m, "head", 0)->kind, VISE_ACTQ_ASYM);
    assert_int_equal(const_of(m, "head.weight")->enc.bits, 8);
    vise_model_free(m);
    m = tiny_quantized("quantize acts=bf16 skip=h?ad,attn*");
    assert_int_equal(rounding_of(m, "stem", 0)->kind, VISE_ACTQ_BF16);
    assert_int_equal(rounding_of(m, "attn", 0)->kind, VISE_ACTQ_NONE);
    assert_int_equal(rounding_of(m, "attn.qkv", 0)->kind, VISE_ACTQ_NONE);
    assert_int_equal(const_of(m, "head.weight")->enc.bits, 0);
    assert_int_equal(const_of(m, "qkv.weight")->enc.type, VISE_BF16); // as it was
    vise_model_free(m);
}

/* ---- ranges of pictures ---- */

static void widen(vise_range *r, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        r->lo = fminf(r->lo, x[i]);
        r->hi = fmaxf(r->hi, x[i]);
    }
}

/* 255 codes from one end to the other. */
static void same_range(const vise_actq *q, vise_range r)
{
    assert_true(q->kind == VISE_ACTQ_STATIC && q->bits == 8 && r.hi > r.lo);
    assert_true(fabsf(q->scale - (r.hi - r.lo) / 254) <= 1e-6f * q->scale);
    assert_int_equal(q->zero, (int)rintf(-127 - r.lo / q->scale));
}

/* Ranges are those that operands have in the changed network, each behind what is rounded before it:
 * so the changed network itself tells them. */
static void test_static(void **state)
{
    (void)state;
    enum { COUNT = 2 };
    static const char *const lines[] = {"quantize acts=static", "quantize acts=static weights=f32",
                                        "quantize acts=static method=nearest fold=0.5"};
    vise_data *d;
    vise_err e;
    MUST(vise_data_open(&d, set, NULL, &e));
    assert_int_equal(vise_data_count(d), PICTURES);
    for (size_t l = 0; l < 3; l++) {
        vise_session *s;
        vise_model *m = tiny_quantized(NULL);
        MUST(vise_apply(m, lines[l], &(vise_eval_opts){.data = d, .limit = COUNT}, &e));
        const char *const taps[] = {"norm", "attn.q", "attn.v", "pool"};
        static float x[PIXELS], out[4][16 * TINY_DIM], y[TINY_CLASSES];
        vise_range pixels = {0, 0}, r[4] = {{0, 0}};
        MUST(vise_session_new(&s, m, &(vise_session_opts){.taps = taps, .ntaps = 4}, &e));
        for (size_t i = 0; i < COUNT; i++) {
            MUST(vise_data_read(d, i, vise_model_recipe(m), x, &e));
            vise_session_run(s, 1, (const float *[]){x},
                             (float *[]){y, NULL, out[0], out[1], out[2], out[3]});
            widen(&pixels, x, PIXELS);
            for (size_t k = 0; k < 4; k++)
                widen(&r[k], out[k], vise_shape_count(&vise_session_output(s, 2 + k)->shape));
        }
        vise_session_free(s);
        same_range(rounding_of(m, "stem", 0), pixels);
        same_range(rounding_of(m, "attn.qkv", 0), r[0]);
        same_range(rounding_of(m, "head", 0), r[3]);
        for (size_t k = 0; k < 2; k++) { // q and v
            const vise_actq *q = rounding_of(m, "attn", 2 * k);
            const float most = fmaxf(r[1 + k].hi, -r[1 + k].lo);
            assert_true(q->kind == VISE_ACTQ_STATIC && q->zero == 0);
            assert_true(fabsf(q->scale - most / 127) <= 1e-6f * q->scale);
        }
        vise_model_free(m);
    }
    vise_data_free(d);
}

static bool stop_at_once(void *user, const char *what, size_t done, size_t total)
{
    (void)what;
    (void)done;
    (void)total;
    ++*(size_t *)user;
    return false;
}

/* ---- failures ---- */

static void same_model(const vise_model *m)
{
    vise_err e;
    vise_map a, b;
    MUST(vise_model_save(m, path_b, &e));
    MUST(vise_map_open(&a, path_a, &e));
    MUST(vise_map_open(&b, path_b, &e));
    assert_true(a.size == b.size && !memcmp(a.data, b.data, a.size));
    vise_map_close(&a);
    vise_map_close(&b);
}

static void test_unchanged(void **state)
{
    (void)state;
    vise_err e;
    vise_data *d;
    size_t calls = 0;
    vise_model *m = tiny_quantized(NULL);
    MUST(vise_model_save(m, path_a, &e));
    MUST(vise_data_open(&d, set, NULL, &e));
    assert_int_equal(vise_apply(m, "quantize acts=what", NULL, &e), VISE_EARG);
    assert_int_equal(vise_apply(m, "quantize skip=body", NULL, &e), VISE_EARG);
    assert_true(strstr(e.msg, "body: no layer") != NULL);
    assert_int_equal(vise_apply(m, "quantize skip=head,", NULL, &e), VISE_OK);
    vise_model_free(m);
    m = tiny_quantized(NULL);
    assert_int_equal(vise_apply(m, "quantize skip=,head", NULL, &e), VISE_EARG);
    assert_int_equal(vise_apply(m, "quantize acts=static", NULL, &e), VISE_EARG);
    assert_true(strstr(e.msg, "calibration pictures") != NULL);
    const vise_eval_opts stop = {.data = d, .progress = stop_at_once, .user = &calls};
    assert_int_equal(vise_apply(m, "quantize acts=static", &stop, &e), VISE_ECANCEL);
    assert_int_equal(calls, 1);
    // a weight that no f16 holds
    float *w = (float *)(uintptr_t)const_of(m, "dw.weight")->data; // tiny's own block
    const float was = w[5];
    w[5] = 1e5f;
    assert_int_equal(vise_apply(m, "quantize weights=f16", NULL, &e), VISE_EFORMAT);
    assert_string_equal(e.msg, "dw.weight: element 5 is 100000, too large for f16");
    w[5] = was;
    same_model(m);
    vise_model_free(m);
    vise_data_free(d);
}

static void test_starved(void **state)
{
    (void)state;
    vise_err e;
    vise_data *d;
    MUST(vise_data_open(&d, set, NULL, &e));
    const vise_eval_opts o = {.data = d};
    vise_model *m = tiny_quantized(NULL);
    MUST(vise_model_save(m, path_a, &e));
    long n = 0;
    for (;; n++) {
        vise_alloc_fail_at = n;
        const vise_status s = vise_apply(m, "quantize acts=static", &o, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_true(reached ? s == VISE_ENOMEM : !s);
        if (!reached) break;
        same_model(m);
    }
    assert_true(n > 30);
    assert_string_equal(vise_model_history(m, 1), "quantize weights=int8 group=0 acts=static " HOW);
    vise_model_free(m);
    vise_data_free(d);
}

/* ---- running ---- */

/* Any batch and any threads give the same bits; so does the file. */
static void test_same_bits(void **state)
{
    (void)state;
    static const char *const lines[] = {"quantize", "quantize acts=bf16 weights=bf16"};
    for (size_t k = 0; k < 2; k++) {
        vise_err e;
        float y[BATCH * TINY_CLASSES], z[BATCH * TINY_CLASSES];
        vise_model *m = tiny_quantized(lines[k]), *r;
        logits_of(m, 1, 1, y);
        for (size_t threads = 1; threads <= 3; threads++) {
            logits_of(m, threads, 1 + threads, z);
            assert_memory_equal(y, z, sizeof y);
        }
        MUST(vise_model_save(m, path_a, &e));
        MUST(vise_model_open(&r, path_a, NULL, &e));
        vise_model_free(m);
        logits_of(r, 2, 2, z);
        assert_memory_equal(y, z, sizeof y);
        vise_model_free(r);
    }
}

/* A real network: close to what it was. Expected is a KL of 0.002 over many pictures. */
static void test_deit(void **state)
{
    (void)state;
    need_shared_data();
    vise_err e;
    vise_data *d;
    vise_model *m, *t;
    vise_eval_result r;
    const char *path = VISE_SHARED_DATA "/checkpoints/deit_tiny_patch16_224";
    MUST(vise_data_open(&d, VISE_SHARED_DATA "/images/imagenet_calib", NULL, &e));
    MUST(vise_model_open(&t, path, NULL, &e));
    MUST(vise_model_open(&m, path, NULL, &e));
    MUST(vise_apply(m, "quantize", NULL, &e));
    MUST(
        vise_eval(&r, m, &(vise_eval_opts){.against = t, .data = d, .limit = 4, .threads = 2}, &e));
    assert_int_equal(r.n, 4);
    assert_true(r.mean_kl > 1e-5 && r.mean_kl < 0.02);
    assert_true(r.agreement == 1);
    vise_model_free(m);
    vise_model_free(t);
    vise_data_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_list),
        cmocka_unit_test(test_identity), cmocka_unit_test(test_weights),
        cmocka_unit_test(test_codes),    cmocka_unit_test(test_operands),
        cmocka_unit_test(test_static),   cmocka_unit_test(test_unchanged),
        cmocka_unit_test(test_starved),  cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_deit),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
