/* test_tensors_read.c - checkpoints as files: folders, indexes of shards, real ones
 * SPDX-License-Identifier: MIT */
#include "model/tensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const void *p, size_t n)
{
    FILE *f = fopen(in_dir(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A safetensors file of one number. */
static void write_st(const char *name, const char *tensor)
{
    char file[256] = {0};
    const int n =
        snprintf(file + 8, sizeof file - 8,
                 "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", tensor);
    file[0] = (char)n;
    assert_true(n > 0 && n < 128);
    write_file(name, file, 8 + (size_t)n + 4);
}

/* A PyTorch file of two tensors, w and b. */
static void write_pt(const char *name)
{
    vise_map map;
    vise_err e;
    if (vise_map_open(&map, VISE_CORPUS "/torch/wrapped.pt", &e)) fail_msg("%s", e.msg);
    write_file(name, map.data, map.size);
    vise_map_close(&map);
}

static void write_text(const char *name, const char *text)
{
    write_file(name, text, strlen(text));
}

/* An empty name is the folder itself. message NULL: it is read, from the file used. */
static void reads(const char *name, size_t count, const char *used, const char *message)
{
    vise_tensors t = {0};
    vise_err e = {0};
    char *from = NULL, path[256];
    snprintf(path, sizeof path, "%s", *name ? in_dir(name) : dir);
    const vise_status s = vise_tensors_read(&t, path, &from, &e);
    if (message) {
        if (!s || !strstr(e.msg, message) || !strstr(e.msg, dir))
            fail_msg("wanted '%s', got %d '%s'", message, (int)s, e.msg);
        assert_true(!from && !t.item && !t.maps);
        return;
    }
    if (s) fail_msg("%s", e.msg);
    assert_int_equal(t.count, count);
    assert_string_equal(from, in_dir(used));
    vise_free(from);
    vise_tensors_free(&t);
}

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/vise-test-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    static const char *const all[] = {"a.pth",
                                      "b.pt",
                                      "notes.txt",
                                      ".hidden.pt",
                                      "s1.safetensors",
                                      "s2.bin",
                                      "i.json",
                                      "model.safetensors",
                                      "model.safetensors.index.json",
                                      "pytorch_model.bin"};
    for (size_t i = 0; i < COUNT(all); i++)
        unlink(in_dir(all[i]));
    return rmdir(dir);
}

static void folders(void **state)
{
    (void)state;
    reads("", 0, NULL, "no checkpoint in this folder");
    reads("none.pt", 0, NULL, "cannot open");
    write_text("notes.txt", "nothing");
    write_st(".hidden.pt", "x");
    unlink(in_dir(".hidden.pt"));
    write_st("a.pth", "x"); // the content counts, not the suffix
    reads("", 1, "a.pth", NULL);
    write_pt("b.pt");
    reads("", 0, NULL, "2 checkpoints");
    reads("b.pt", 2, "b.pt", NULL);
    write_pt("pytorch_model.bin");
    reads("", 2, "pytorch_model.bin", NULL);
    write_text("model.safetensors.index.json", "{}");
    reads("", 0, NULL, "has no weight_map");
    write_st("model.safetensors", "x");
    reads("", 1, "model.safetensors", NULL);

    reads("notes.txt", 0, NULL, "neither a safetensors nor a PyTorch file");
    write_text("notes.txt", "");
    reads("notes.txt", 0, NULL, "is empty");
    write_text("notes.txt", "version https://git-lfs.github.com/spec/v1\n");
    reads("notes.txt", 0, NULL, "Git LFS pointer");
}

static void indexes(void **state)
{
    (void)state;
    static const struct {
        const char *json, *message;
    } all[] = {
        {"{\"weight_map\":{\"x\":\"s1.safetensors\",\"w\":\"s2.bin\",\"b\":\"s2.bin\"}}", NULL},
        {" {\"weight_map\":{\"x\":\"s1.safetensors\",\"w\":\"s2.bin\"}}", NULL},
        {"{\"weight_map\":{\"x\":\"s1.safetensors\",\"y\":\"s2.bin\"}}", "y is not in s2.bin"},
        {"{\"weight_map\":{\"x\":\"s2.bin\",\"w\":\"s1.safetensors\"}}", "x is not in s2.bin"},
        {"{\"weight_map\":{\"x\":\"s3.safetensors\"}}", "cannot open"},
        {"{\"weight_map\":{\"x\":\"../s1.safetensors\"}}", "a file beside it"},
        {"{\"weight_map\":{\"x\":\"/etc/passwd\"}}", "a file beside it"},
        {"{\"weight_map\":{\"x\":\"..\"}}", "a file beside it"},
        {"{\"weight_map\":{\"x\":\"\"}}", "a file beside it"},
        {"{\"weight_map\":{\"x\":1}}", "a file beside it"},
        {"{\"weight_map\":{\"x\":\"i.json\"}}", "neither a safetensors nor"},
        {"{\"weight_map\":[]}", "has no weight_map"},
        {"{\"weight_map\":", "is not valid JSON"},
        {"{\"weight_map\":{\"x\":\"s1.safetensors\",\"x\":\"s2.bin\"}}", "is not valid JSON"},
    };
    write_st("s1.safetensors", "x");
    write_pt("s2.bin");
    for (size_t i = 0; i < COUNT(all); i++) {
        write_text("i.json", all[i].json);
        reads("i.json", 3, "i.json", all[i].message);
    }
    write_text("i.json", all[0].json);
    write_st("s1.safetensors", "w");
    reads("i.json", 0, NULL, "tensor w is there twice");
    write_st("s1.safetensors", "x");

    for (long n = 0;; n++) { // allocation 0 fails, then 1, ... until none is left
        vise_tensors t = {0};
        vise_err e;
        char *used = NULL;
        assert_true(n < 1000);
        vise_alloc_fail_at = n;
        const vise_status s = vise_tensors_read(&t, in_dir("i.json"), &used, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        assert_int_equal(s, reached ? VISE_ENOMEM : VISE_OK);
        assert_int_equal(used == NULL, reached);
        assert_int_equal(t.item == NULL, reached);
        vise_tensors_free(&t);
        vise_free(used);
        if (!reached) break;
    }
}

/* ---- real checkpoints ---- */

static const vise_stored *find_equal(const vise_tensors *t, const vise_stored *s)
{
    for (size_t i = 0; i < t->count; i++) {
        const vise_stored *x = &t->item[i];
        if (x->dtype == s->dtype && vise_shape_same(&x->shape, &s->shape) &&
            !memcmp(x->data, s->data, s->bytes))
            return x;
    }
    return NULL;
}

/* An author's file and the safetensors file beside it hold the same numbers, whatever their names
 * (but for BatchNorm's counters). */
static void real_files(void **state)
{
    (void)state;
    static const struct {
        const char *folder, *file;
        size_t tensors, floats;
    } all[] = {
        {"efficientvit_seg_b0_cityscapes", "b0.pt", 230, 198},
        {"vit_cifar10_d4_w128", "vit.pt", 56, 56},
        {"vit_fashionmnist_d6_w128", "best_vit_model.pth", 80, 80},
    };
    if (!vise_is_dir(VISE_SHARED_DATA "/checkpoints")) {
        print_message("SKIP: no shared data\n");
        skip();
    }
    for (size_t i = 0; i < COUNT(all); i++) {
        char path[1024], folder[1024], *used = NULL, *used_pt = NULL;
        vise_tensors st = {0}, pt = {0};
        vise_err e;
        snprintf(folder, sizeof folder, "%s/checkpoints/%s", VISE_SHARED_DATA, all[i].folder);
        snprintf(path, sizeof path, "%s/checkpoints/%s/%s", VISE_SHARED_DATA, all[i].folder,
                 all[i].file);
        if (vise_tensors_read(&st, folder, &used, &e)) fail_msg("%s", e.msg);
        if (vise_tensors_read(&pt, path, &used_pt, &e)) fail_msg("%s", e.msg);
        assert_int_equal(st.count, all[i].floats);
        assert_int_equal(pt.count, all[i].tensors);
        size_t floats = 0;
        for (size_t k = 0; k < pt.count; k++)
            if (vise_dtype_is_float(pt.item[k].dtype)) {
                floats++;
                assert_non_null(find_equal(&st, &pt.item[k]));
            }
        assert_int_equal(floats, all[i].floats);
        vise_tensors_free(&st);
        vise_tensors_free(&pt);
        vise_free(used);
        vise_free(used_pt);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(indexes, make_dir, remove_dir),
        cmocka_unit_test(real_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
