/* test_golden.c - real checkpoints answer as PyTorch did, on real pictures
 * SPDX-License-Identifier: MIT */
#include "shared.h"
#include "model/tensors.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define CKPT VISE_SHARED_DATA "/checkpoints/"
#define IMAGES VISE_SHARED_DATA "/images/"
#define GOLDEN VISE_SHARED_DATA "/golden/"

typedef struct subject {
    const char *checkpoint, *golden; // files
    const char *data;
    size_t every; // golden row i is picture i * every of the set
    size_t rows;
    size_t top1, top5, n; // golden/accuracy.json
    vise_import import;
} subject;

static const vise_recipe cifar = {
    .crop_pct = 1, .mean = {.4914f, .4822f, .4465f}, .std = {.2470f, .2435f, .2616f}};
static const vise_recipe fashion = {.crop_pct = 1, .mean = {.5f}, .std = {.5f}};

#define DEIT "deit_tiny_patch16_224/"
#define AUGREG "vit_tiny_patch16_224_augreg/"
#define CIFAR "vit_cifar10_d4_w128/"
#define FASHION "vit_fashionmnist_d6_w128/"
#define EVAL_LOGITS "imagenet_eval_logits.safetensors"
#define SMALL(r)                                                                                   \
    {                                                                                              \
        .heads = 4, .ln_eps = 1e-5, .act = "gelu", .norm = "pre", .recipe = r                      \
    }

/* ---- the same pixels, the same logits ---- */

static void read_golden(vise_tensors *t, const char *path)
{
    vise_err e;
    vise_map map;
    MUST(vise_map_open(&map, path, &e));
    MUST(vise_read_safetensors(t, &map, &e));
}

static const float *tensor(const vise_tensors *t, const char *name, size_t count)
{
    const vise_stored *s = vise_tensors_find(t, name);
    assert_non_null(s);
    assert_int_equal(s->dtype, VISE_F32);
    assert_int_equal(vise_shape_count(&s->shape), count);
    return s->data;
}

/* max|y - y*| over max|y*|; the promise is 1e-4. */
static void check_logits(const char *what, size_t image, const float *y, const float *want,
                         size_t n)
{
    float err = 0, max = 0;
    for (size_t i = 0; i < n; i++) {
        float d = fabsf(y[i] - want[i]);
        if (!(d <= err)) err = d;
        max = fmaxf(max, fabsf(want[i]));
    }
    if (!(err <= 1e-4f * max))
        fail_msg("%s, picture %zu: logits differ by %g of %g", what, image, (double)err,
                 (double)max);
}

static void run_eight(const char *ckpt, const char *golden)
{
    enum { N = 8, C = 1000, HW = 224 * 224 };
    vise_err e;
    vise_model *m;
    vise_tensors t = {0};
    MUST(vise_model_open(&m, ckpt, NULL, &e));
    read_golden(&t, golden);
    const float *chw = tensor(&t, "pixels", (size_t)N * 3 * HW);
    const float *want = tensor(&t, "logits", N * C);
    float *hwc = malloc(sizeof(float) * N * 3 * HW), *y = malloc(sizeof(float) * 2 * N * C);
    assert_true(hwc && y);
    for (size_t i = 0; i < (size_t)N * 3 * HW; i++)
        hwc[i] = chw[i / (3 * HW) * 3 * HW + i % 3 * HW + i / 3 % HW];
    for (size_t threads = 1; threads <= 3; threads++) {
        vise_session *s;
        const size_t batch = threads == 2 ? N : 1; // neither threads nor batch change a bit
        const vise_session_opts o = {.threads = threads, .batch = batch};
        MUST(vise_session_new(&s, m, &o, &e));
        float *to = threads == 1 ? y : y + N * C;
        for (size_t i = 0; i < N; i += batch)
            vise_session_run(s, batch, (const float *[]){hwc + i * 3 * HW},
                             (float *[]){to + i * C});
        vise_session_free(s);
        if (threads > 1) assert_memory_equal(y, to, sizeof(float) * N * C);
    }
    for (size_t i = 0; i < N; i++)
        check_logits(ckpt, i, y + i * C, want + i * C, C);
    free(hwc);
    free(y);
    vise_tensors_free(&t);
    vise_model_free(m);
}

static void test_stored_pixels(void **state)
{
    (void)state;
    need_shared_data();
    run_eight(CKPT DEIT "model.safetensors", GOLDEN DEIT "first8_pixels_logits.safetensors");
    run_eight(CKPT AUGREG "model.safetensors", GOLDEN AUGREG "first8_pixels_logits.safetensors");
}

/* ---- memory: opening DeiT-Tiny and answering once stays under 80 MB ---- */

static int answer_once(void)
{
    vise_model *m;
    vise_session *s;
    static float x[224 * 224 * 3], y[1000];
    if (vise_model_open(&m, CKPT DEIT "model.safetensors", NULL, NULL)) return 1;
    if (vise_session_new(&s, m, NULL, NULL)) return 1;
    vise_session_run(s, 1, (const float *[]){x}, (float *[]){y});
    vise_session_free(s);
    vise_model_free(m);
    return 0;
}

static void test_memory(void **state)
{
    (void)state;
    need_shared_data();
    int status = -1;
    struct rusage used;
    const pid_t child = fork(); // its own peak, before other tests have made this process large
    if (child == 0) _exit(answer_once());
    assert_true(child > 0 && wait4(child, &status, 0, &used) == child);
    assert_int_equal(status, 0);
    printf("peak resident set: %ld KB\n", used.ru_maxrss);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(used.ru_maxrss < 80000);
#endif
}

/* ---- pictures in, logits and counts out ---- */

static void check_rows(const subject *s, const vise_model *m, const vise_data *d, vise_tensors *t)
{
    vise_err e;
    vise_model_info info;
    vise_session *ses;
    vise_model_get_info(m, &info);
    const vise_recipe *r = vise_model_recipe(m);
    const float *want = t->item[0].data;
    float *x = malloc(sizeof(float) * r->height * r->width * r->channels);
    float *y = malloc(sizeof(float) * info.classes);
    assert_true(x && y && t->item[0].dtype == VISE_F32);
    MUST(vise_session_new(&ses, m, &(vise_session_opts){.threads = 2}, &e));
    for (size_t i = 0; i < picture_limit(s->rows); i++) {
        MUST(vise_data_read(d, i * s->every, r, x, &e));
        vise_session_run(ses, 1, (const float *[]){x}, (float *[]){y});
        check_logits(s->checkpoint, i, y, want + i * info.classes, info.classes);
    }
    vise_session_free(ses);
    free(x);
    free(y);
}

static void check_counts(const subject *s, const vise_model *m, const vise_data *d)
{
    vise_err e;
    vise_eval_result r;
    const vise_eval_opts o = {.data = d, .threads = 2, .batch = 16, .limit = picture_limit(s->n)};
    MUST(vise_eval(&r, m, &o, &e));
    printf("%s on %s: %zu and %zu of %zu correct (top-1, top-5)\n", s->checkpoint + sizeof CKPT - 1,
           s->data + sizeof IMAGES - 1, r.correct_top1, r.correct_top5, r.n);
    assert_int_equal(r.n, o.limit);
    if (o.limit < s->n) return; // the counts are of the whole set
    assert_true(labs((long)r.correct_top1 - (long)s->top1) * 1000 <= (long)s->n);
    if (s->top5) assert_true(labs((long)r.correct_top5 - (long)s->top5) * 1000 <= (long)s->n);
}

static void run_subject(const subject *s)
{
    vise_err e;
    vise_model *m;
    vise_data *d;
    vise_tensors t = {0};
    need_shared_data();
    MUST(vise_model_open(&m, s->checkpoint, &s->import, &e));
    MUST(vise_data_open(&d, s->data, NULL, &e));
    if (s->golden) {
        read_golden(&t, s->golden);
        check_rows(s, m, d, &t);
    }
    if (s->n) check_counts(s, m, d);
    vise_tensors_free(&t);
    vise_data_free(d);
    vise_model_free(m);
}

static void test_deit(void **state)
{
    (void)state;
    run_subject(&(subject){CKPT DEIT "model.safetensors",
                           GOLDEN DEIT EVAL_LOGITS,
                           IMAGES "imagenet_eval",
                           1,
                           64,
                           867,
                           976,
                           1000,
                           {0}});
    run_subject(&(subject){CKPT DEIT, NULL, IMAGES "imagenet_calib", 1, 0, 397, 472, 500, {0}});
}

static void test_augreg(void **state)
{
    (void)state;
    run_subject(&(subject){CKPT AUGREG "model.safetensors",
                           GOLDEN AUGREG EVAL_LOGITS,
                           IMAGES "imagenet_eval",
                           1,
                           64,
                           880,
                           978,
                           1000,
                           {0}});
    run_subject(&(subject){CKPT AUGREG, NULL, IMAGES "imagenet_calib", 1, 0, 414, 479, 500, {0}});
}

static void test_cifar(void **state)
{
    (void)state;
    const char *golden = GOLDEN CIFAR "test_every10th_logits.safetensors";
    const char *data = IMAGES "cifar10/test.tar";
    run_subject(&(subject){CKPT CIFAR "model.safetensors", golden, data, 10, 1000, 7216, 0, 10000,
                           SMALL(cifar)});
    run_subject(&(subject){CKPT CIFAR "vit.pt", golden, data, 10, 1000, 0, 0, 0, SMALL(cifar)});
}

static void test_fashion(void **state)
{
    (void)state;
    const char *golden = GOLDEN FASHION "t10k_first1000_logits.safetensors";
    const char *data = IMAGES "fashion_mnist";
    run_subject(&(subject){CKPT FASHION "model.safetensors", golden, data, 1, 1000, 9077, 0, 10000,
                           SMALL(fashion)});
    run_subject(&(subject){CKPT FASHION "best_vit_model.pth", golden, data, 1, 1000, 0, 0, 0,
                           SMALL(fashion)});
}

/* ---- clusters of real weights: nearly the same answers, from a third of the memory ---- */

static size_t bytes_of(const vise_model *m)
{
    vise_err e;
    vise_session *s;
    MUST(vise_session_new(&s, m, NULL, &e));
    const size_t bytes = vise_session_bytes(s);
    vise_session_free(s);
    return bytes;
}

static void test_clusters(void **state)
{
    (void)state;
    static const char *const lines[] = {"cluster k=64 method=kmeans acts=f32",
                                        "cluster k=64 method=kmeans"};
    need_shared_data();
    for (size_t i = 0; i < 2; i++) {
        vise_err e;
        vise_model *m, *c;
        vise_data *d;
        vise_eval_result r;
        MUST(vise_model_open(&m, CKPT DEIT, NULL, &e));
        MUST(vise_model_open(&c, CKPT DEIT, NULL, &e));
        MUST(vise_data_open(&d, IMAGES "imagenet_calib", NULL, &e));
        MUST(vise_apply(c, lines[i], NULL, &e));
        const vise_eval_opts o = {
            .data = d, .against = m, .threads = 2, .limit = picture_limit(48)};
        MUST(vise_eval(&r, c, &o, &e));
        printf("%s: agreement %g, KL %g, %zu to %zu kB\n", lines[i], r.agreement, r.mean_kl,
               bytes_of(m) / 1000, bytes_of(c) / 1000);
        assert_true(r.agreement >= 0.9 && r.mean_kl <= 0.02);
        assert_true(3 * bytes_of(c) < bytes_of(m));
        vise_data_free(d);
        vise_model_free(c);
        vise_model_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_stored_pixels),
        cmocka_unit_test(test_deit),     cmocka_unit_test(test_augreg),
        cmocka_unit_test(test_cifar),    cmocka_unit_test(test_fashion),
        cmocka_unit_test(test_clusters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
