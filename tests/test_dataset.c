/* test_dataset.c - labelled sets of every kind, whole, broken and hostile
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

#include "shared.h"

#include <ftw.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* ---- a folder of its own for every test ---- */

static char root[64];

static int fresh(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/vise-test-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static int gone(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *at(const char *name)
{
    static char path[4][512]; // as many may be in use at once
    static size_t turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", root, name);
    return p;
}

/* Writes a file, and the folders that it stands in. */
static void put(const char *name, const void *bytes, size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s", at(name));
    for (char *p = path + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = 0;
        mkdir(path, 0777);
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void put_text(const char *name, const char *text)
{
    put(name, text, strlen(text));
}

/* A picture of one grey pixel. */
static void put_grey(const char *name, unsigned char value)
{
    char text[] = "P5 1 1 255\n?";
    text[sizeof text - 2] = (char)value;
    put(name, text, sizeof text - 1);
}

static void put_gzip(const char *name, const void *bytes, size_t size)
{
    gzFile f = gzopen(at(name), "wb9");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(f), Z_OK);
}

/* ---- what is in a set, and what is said when it cannot be opened ---- */

static const vise_recipe grey = {1, 1, 1, VISE_NEAREST, VISE_CROP_CENTER, 1, {0}, {1, 1, 1}, false};

/* The set as text: "name=label:value ..." in its order. */
static void expect(const char *path, const char *truth, const char *want)
{
    char text[1024] = "";
    vise_data *d;
    vise_err e;
    MUST(vise_data_open(&d, path, truth, &e));
    size_t most = 0;
    for (size_t i = 0; i < vise_data_count(d); i++) {
        const size_t n = strlen(text), label = vise_data_label(d, i);
        float value;
        MUST(vise_data_read(d, i, &grey, &value, &e));
        snprintf(text + n, sizeof text - n, "%s%s=%zu:%.0f", i ? " " : "", vise_data_name(d, i),
                 label, (double)value * 255);
        if (label > most) most = label;
    }
    assert_string_equal(text, want);
    assert_int_equal(vise_data_classes(d), most + 1);
    vise_data_free(d);
}

static void refuse(const char *path, const char *truth, vise_status status, const char *words)
{
    vise_data *d = (vise_data *)root;
    vise_err e = {0};
    const vise_status s = vise_data_open(&d, path, truth, &e);
    if (s != status || d || !strstr(e.msg, words) || strchr(e.msg, '\n'))
        fail_msg("status %d, '%s', not '%s'", s, e.msg, words);
}

/* ---- tables ---- */

static void test_table(void **state)
{
    (void)state;
    put_grey("b.pgm", 2);
    put_grey("sub/a,\"1\".pgm", 3);
    put_text("labels.csv", "path,label\nb.pgm,7\n\"sub/a,\"\"1\"\".pgm\",0\r\n\nb.pgm, 1 ");
    expect(root, NULL, "b.pgm=7:2 sub/a,\"1\".pgm=0:3 b.pgm=1:2");
    put_text("labels.csv", "\xef\xbb\xbf"
                           "label,note,path\r\n5,\"x\ny\",b.pgm\r6,,b.pgm");
    expect(root, NULL, "b.pgm=5:2 b.pgm=6:2");
    put_text("labels.csv", "b.pgm,000012,more");
    expect(root, NULL, "b.pgm=12:2");
    put_text("other.csv", "b.pgm,3\n");
    expect(root, at("other.csv"), "b.pgm=3:2");
}

static void test_bad_tables(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "labels.csv: no pictures in it"},
        {"path,label\n", "labels.csv: no pictures in it"},
        {"path,label\nx.jpg,1\nx.jpg,cat\n", "labels.csv: line 3: the label 'cat' is not"},
        {"x.jpg,-1\n", "line 1: the label '-1' is not a whole number below 1000000"},
        {"x.jpg,1000000\n", "line 1: the label '1000000'"},
        {"x.jpg,99999999999999999999999999\n", "line 1: the label"},
        {"x.jpg,1.5\n", "line 1: the label '1.5'"},
        {"x.jpg,\n", "line 1: the label ''"},
        {"x.jpg\n", "line 1: 1 columns"},
        {"note,path,label\n1,x.jpg\n", "line 2: 2 columns"},
        {",1\n", "line 1: the path '' is empty"},
        {"/etc/x.jpg,1\n", "line 1: the path '/etc/x.jpg'"},
        {"../x.jpg,1\n", "line 1: the path '../x.jpg'"},
        {"a/../../x.jpg,1\n", "leads out of the folder"},
        {"a/..,1\n", "leads out of the folder"},
        {"\"x.jpg,1\n", "line 1: a quote is not closed"},
        {"\"a\nb\",1\n\"x\"y,1\n", "line 3: text behind a closing quote"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_text("labels.csv", bad[i].text);
        refuse(root, NULL, VISE_EFORMAT, bad[i].words);
    }
    put("labels.csv", "x\0,1\n", 5);
    refuse(root, NULL, VISE_EFORMAT, "labels.csv: not a text file");
    refuse(root, at("none.csv"), VISE_EIO, "none.csv: cannot open");
}

static void test_unreadable_pictures(void **state)
{
    (void)state;
    put_text("labels.csv", "gone.jpg,1\nbroken.png,1\nempty.png,1\n..x/y.jpg,1\n");
    put_text("broken.png", "\x89PNG\r\n\x1a\nand no more");
    put_text("empty.png", "");
    vise_data *d;
    vise_err e;
    float value;
    MUST(vise_data_open(&d, root, NULL, &e));
    assert_int_equal(vise_data_read(d, 0, &grey, &value, &e), VISE_EIO);
    assert_non_null(strstr(e.msg, "/gone.jpg: cannot open: No such file"));
    assert_int_equal(vise_data_read(d, 1, &grey, &value, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "/broken.png: "));
    assert_int_equal(vise_data_read(d, 2, &grey, &value, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "/empty.png: not a JPEG, PNG, WebP or PPM picture"));
    vise_data_free(d);
}

/* ---- a folder per class ---- */

static void test_folders(void **state)
{
    (void)state;
    put_grey("dog/2.PGM", 1);
    put_grey("dog/deep/er/1.ppm", 2);
    put_grey("dog-house/1.pgm", 3); // '-' sorts before '/', and yet dog is the smaller name
    put_grey("cat/1.pnm", 4);
    put_grey("cat/.hidden.pgm", 5);
    put_grey("root.pgm", 6);
    put_text("cat/readme.txt", "none");
    put_text("a-nothing/readme.txt", "no picture, no class");
    expect(root, NULL, "cat/1.pnm=0:4 dog-house/1.pgm=2:3 dog/2.PGM=1:1 dog/deep/er/1.ppm=1:2");
    expect(at(""), NULL, "cat/1.pnm=0:4 dog-house/1.pgm=2:3 dog/2.PGM=1:1 dog/deep/er/1.ppm=1:2");
}

static void test_bad_folders(void **state)
{
    (void)state;
    refuse(root, NULL, VISE_EFORMAT, ": no pictures in it");
    put_text("cat/readme.txt", "none");
    put_grey("root.pgm", 6);
    refuse(root, NULL, VISE_EFORMAT, ": no pictures in it");
    refuse(at("nowhere"), NULL, VISE_EIO, "nowhere: cannot open: No such file");
    assert_int_equal(symlink(".", at("cat/loop")), 0);
    refuse(root, NULL, VISE_EFORMAT, "deeper than 16 folders");
}

/* ---- idx ---- */

static const unsigned char images[16 + 3] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0,
                                             0, 1, 0, 0, 0, 1, 9, 8, 7};
static const unsigned char labels[8 + 3] = {0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 2};

static void test_idx(void **state)
{
    (void)state;
    const char *want = "0=5:9 1=0:8 2=2:7";
    put("t10k-images-idx3-ubyte", images, sizeof images);
    put("t10k-labels-idx1-ubyte", labels, sizeof labels);
    expect(root, NULL, want);
    expect(at("t10k-images-idx3-ubyte"), NULL, want);
    refuse(root, at("t10k-labels-idx1-ubyte"), VISE_EFORMAT, "not a text file"); // a truth table
    refuse(at("t10k-images-idx3-ubyte"), "x.csv", VISE_EARG, "labels of their own");
    refuse(at("t10k-labels-idx1-ubyte"), NULL, VISE_EFORMAT,
           "labels-idx1-ubyte: 11 bytes, an idx header takes 16");

    put_gzip("t10k-labels-idx1-ubyte.gz", labels, sizeof labels);
    unlink(at("t10k-labels-idx1-ubyte"));
    expect(root, NULL, want);
    put_gzip("t10k-images.idx3-ubyte.gz", images, sizeof images);
    refuse(root, NULL, VISE_EARG, "give the path of one");
    unlink(at("t10k-images-idx3-ubyte"));
    refuse(root, NULL, VISE_EIO, "t10k-labels.idx1-ubyte.gz: cannot open");
    put_gzip("t10k-labels.idx1-ubyte.gz", labels, sizeof labels);
    expect(root, NULL, want);
    put("plain", images, sizeof images);
    refuse(at("plain"), NULL, VISE_EARG, "plain: its name does not say images");
}

static void refuse_idx(const void *bytes, size_t size, size_t rank, const char *words)
{
    vise_idx x;
    vise_err e = {0};
    uint8_t *copy = malloc(size ? size : 1);
    if (size) memcpy(copy, bytes, size);
    const vise_status s = vise_idx_parse(&x, copy, size, rank, &e);
    if (s != VISE_EFORMAT || x.data || x.block || !strstr(e.msg, words))
        fail_msg("status %d, '%s', not '%s'", s, e.msg, words);
    free(copy);
}

static void test_bad_idx(void **state)
{
    (void)state;
    unsigned char bad[sizeof images + 1] = {0};
    memcpy(bad, images, sizeof images);
    for (size_t n = 0; n < sizeof images; n++)
        refuse_idx(images, n, 3, n < 16 ? "an idx header takes 16" : "the header says 3");
    refuse_idx(bad, sizeof bad, 3, "4 bytes of data, the header says 3");
    refuse_idx(images, sizeof images, 1, "not an idx file of bytes in 1 dimension");
    bad[2] = 9;
    refuse_idx(bad, sizeof images, 3, "not an idx file");
    bad[2] = 8;
    memset(bad + 4, 0xff, 12);
    refuse_idx(bad, sizeof images, 3, "an extent of 4294967295");
    memset(bad + 4, 0, 12);
    refuse_idx(bad, sizeof images, 3, "an extent of 0");
    bad[5] = bad[10] = bad[14] = 0xff;
    refuse_idx(bad, sizeof images, 3, "bytes of data");

    put_gzip("x.gz", images, sizeof images);
    vise_map m;
    vise_err e;
    MUST(vise_map_open(&m, at("x.gz"), &e));
    for (size_t n = 3; n < m.size; n++)
        refuse_idx(m.data, n, 3, n < 18 ? "damaged gzip" : "dama");
    vise_map_close(&m);
    memset(bad + 4, 0, 12);
    bad[5] = bad[9 + 1] = bad[15] = 1; // 65536 x 256 x 1 bytes from a few
    put_gzip("y.gz", bad, sizeof images);
    MUST(vise_map_open(&m, at("y.gz"), &e));
    refuse_idx(m.data, m.size, 3, "not the 16777216 bytes that the header says");
    vise_map_close(&m);

    put("images-idx3", images, sizeof images);
    unsigned char fewer[sizeof labels - 1];
    memcpy(fewer, labels, sizeof fewer);
    fewer[7] = 2;
    put("labels-idx1", fewer, sizeof fewer);
    refuse(root, NULL, VISE_EFORMAT, "labels-idx1: 2 labels for 3 pictures");
}

/* ---- cifar ---- */

enum { PLANE = 32 * 32 };

/* Writes n pictures whose labels are first, first + 1, ... and whose planes, and pixels, differ. */
static void put_cifar(const char *name, size_t lead, size_t n, unsigned char first)
{
    static unsigned char bytes[4 * (2 + 3 * PLANE)];
    unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) {
        *p++ = (unsigned char)(first + i);
        if (lead == 2) p[-1] = 19; // the coarse label does not count
        if (lead == 2) *p++ = (unsigned char)(first + i);
        for (size_t k = 0; k < 3 * PLANE; k++)
            *p++ = (unsigned char)((first + i) * 7 + k / PLANE * 50 + k % PLANE % 31);
    }
    put(name, bytes, (size_t)(p - bytes));
}

/* The labels of a set written by put_cifar, whose pixels are all compared. */
static void expect_cifar(const char *path, const char *want)
{
    char text[256] = "", number[24];
    vise_data *d;
    vise_err e;
    MUST(vise_data_open(&d, path, NULL, &e));
    for (size_t i = 0; i < vise_data_count(d); i++) {
        vise_image im;
        const size_t label = vise_data_label(d, i), n = strlen(text);
        MUST(vise_data_picture(d, i, &(vise_image_opts){0}, &im, &e));
        assert_true(im.height == 32 && im.width == 32 && im.channels == 3);
        for (size_t k = 0; k < 3 * PLANE; k++)
            assert_int_equal(im.data[k], (label * 7 + k % 3 * 50 + k / 3 % 31) & 255);
        vise_free(im.data);
        snprintf(text + n, sizeof text - n, " %zu", label);
        snprintf(number, sizeof number, "%zu", i);
        assert_string_equal(vise_data_name(d, i), number);
    }
    assert_string_equal(text, want);
    vise_data_free(d);
}

static void test_cifar(void **state)
{
    (void)state;
    put_cifar("ten/data_batch_2.bin", 1, 3, 4);
    put_cifar("ten/data_batch_1.bin", 1, 2, 8);
    put_cifar("ten/test_batch.bin", 1, 1, 3);
    put_text("ten/batches.meta.txt", "airplane");
    expect_cifar(at("ten"), " 8 9 4 5 6");
    expect_cifar(at("ten/data_batch_2.bin"), " 4 5 6");
    expect_cifar(at("ten/test_batch.bin"), " 3");
    put_cifar("hundred/train.bin", 2, 3, 97);
    put_cifar("hundred/test.bin", 2, 1, 42);
    expect_cifar(at("hundred"), " 97 98 99");
    expect_cifar(at("hundred/test.bin"), " 42");
    refuse(at("hundred"), "x.csv", VISE_EIO, "x.csv: cannot open"); // a folder with a table
    refuse(at("hundred/test.bin"), "x.csv", VISE_EARG, "labels of their own");

    put_cifar("tests/test.bin", 2, 1, 42);
    refuse(at("tests"), NULL, VISE_EFORMAT, "no pictures in it"); // test files only when named
    put_cifar("ten/train.bin", 2, 1, 42);
    refuse(at("ten"), NULL, VISE_EARG, "are in it: give the path of one");
    put_cifar("data_batch_1.bin", 1, 2, 9);
    refuse(root, NULL, VISE_EFORMAT,
           "data_batch_1.bin: picture 1 has the label 10, not one below 10");
    put_cifar("train.bin", 2, 1, 100);
    refuse(at("train.bin"), NULL, VISE_EFORMAT, "picture 0 has the label 100, not one below 100");
    put_cifar("train.bin", 1, 1, 9);
    refuse(at("train.bin"), NULL, VISE_EFORMAT, "train.bin: 3073 bytes, not one or more pictures");
    put_text("test.bin", "");
    refuse(at("test.bin"), NULL, VISE_EFORMAT, "test.bin: 0 bytes, not one or more pictures");
}

/* ---- tar ---- */

static const char *corpus(const char *file)
{
    static char path[512];
    snprintf(path, sizeof path, VISE_CORPUS "/tar/%s", file);
    return path;
}

static const vise_recipe corner = {1, 1, 1, VISE_NEAREST, VISE_CROP_CENTER, 0.5, {0}, {1}, false};

/* Name and label of every picture, each of which can be read. */
static void expect_tar(const char *path, const char *truth, const char *want)
{
    char text[2048] = "";
    vise_data *d;
    vise_err e;
    MUST(vise_data_open(&d, path, truth, &e));
    for (size_t i = 0; i < vise_data_count(d); i++) {
        const size_t n = strlen(text);
        float value;
        MUST(vise_data_read(d, i, &corner, &value, &e));
        snprintf(text + n, sizeof text - n, "%s%.12s=%zu:%.0f", i ? " " : "", vise_data_name(d, i),
                 vise_data_label(d, i), (double)value * 255);
    }
    assert_string_equal(text, want);
    vise_data_free(d);
}

/* Entry n of the corpus is the 2 x 2 pixels n, n + 1, n + 2, n + 3, of which the first is read; the
 * last entry of links.tar counts as the sixth. */
static void test_tar(void **state)
{
    (void)state;
    expect_tar(corpus("ustar.tar"), NULL, "a-b/1.pgm=1:3 a/1.pgm=0:1 b/1.pgm=2:2 b/2.pgm=2:0");
    expect_tar(corpus("top.tar"), NULL, "test/cat/1.p=0:1 test/dog/2.P=1:0");
    expect_tar(corpus("long_gnu.tar"), NULL, "cccccccccccc=0:0 e/1.pgm=1:1");
    expect_tar(corpus("long_pax.tar"), NULL, "cccccccccccc=0:0 \u00e9/1.pgm=1:1");
    expect_tar(corpus("links.tar"), NULL, "a/1.pgm=0:5"); // the later of two
    put_text("truth.csv", "root.pgm,4\nb/2.pgm,9\n");
    expect_tar(corpus("ustar.tar"), at("truth.csv"), "root.pgm=4:5 b/2.pgm=9:0");
    put_text("truth.csv", "b/3.pgm,4\n");
    refuse(corpus("ustar.tar"), at("truth.csv"), VISE_EFORMAT, "b/3.pgm is no picture of ");
}

static void test_bad_tar(void **state)
{
    (void)state;
    put_gzip("x.tar.gz", "not idx, so a compressed tar", 28);
    refuse(at("x.tar.gz"), NULL, VISE_EFORMAT, "x.tar.gz: compressed by gzip: decompress it");
    put_text("x.txt", "hello");
    refuse(at("x.txt"), NULL, VISE_EFORMAT, "x.txt: neither a folder, nor an idx file, nor a tar");
    put_text("empty", "");
    refuse(at("empty"), NULL, VISE_EFORMAT, "empty: neither a folder, nor an idx file, nor a tar");

    vise_map m;
    vise_err e;
    size_t refused = 0, opened = 0;
    MUST(vise_map_open(&m, corpus("ustar.tar"), &e));
    for (size_t n = 1; n < m.size; n += 37) {
        vise_data *d;
        put("cut.tar", m.data, n);
        const vise_status s = vise_data_open(&d, at("cut.tar"), NULL, &e);
        for (size_t i = 0; !s && i < vise_data_count(d); i++) {
            float value; // what was listed is there
            MUST(vise_data_read(d, i, &corner, &value, &e));
        }
        if (s && (s != VISE_EFORMAT || !strstr(e.msg, "cut.tar: "))) fail_msg("%zu: %s", n, e.msg);
        refused += s != VISE_OK;
        opened += s == VISE_OK;
        if (!s) vise_data_free(d);
    }
    vise_map_close(&m);
    assert_true(refused > 20 && opened > 5);
}

typedef struct reader {
    const vise_data *d;
    size_t wrong;
} reader;

static void *read_often(void *arg)
{
    static const float want[] = {3, 1, 2, 0};
    reader *r = arg;
    for (size_t i = 0; i < 400; i++) {
        float value;
        if (vise_data_read(r->d, i % 4, &corner, &value, NULL)) r->wrong++;
        r->wrong += value != want[i % 4] / 255.0f;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    vise_data *d;
    vise_err e;
    pthread_t thread[4];
    reader r[4];
    MUST(vise_data_open(&d, corpus("ustar.tar"), NULL, &e));
    for (size_t i = 0; i < 4; i++) {
        r[i] = (reader){.d = d};
        assert_int_equal(pthread_create(&thread[i], NULL, read_often, &r[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
        assert_int_equal(r[i].wrong, 0);
    }
    vise_data_free(d);
}

/* ---- pictures as they were stored ---- */

/* One picture with an input that it cannot be brought to: the failure names it. */
static void expect_picture(const char *path, const char *words)
{
    static const vise_recipe none = {2, 1, 1, VISE_NEAREST, VISE_CROP_CENTER, 1, {0}, {1}, false};
    vise_data *d;
    vise_image im;
    vise_err e;
    float value;
    MUST(vise_data_open(&d, path, NULL, &e));
    MUST(vise_data_picture(d, 0, &(vise_image_opts){0}, &im, &e));
    assert_true(im.height && im.width && im.channels == 1 && im.data);
    MUST(vise_data_read(d, 0, &corner, &value, &e));
    assert_true(value == (float)im.data[0] / 255.0f);
    vise_free(im.data);
    assert_int_equal(vise_data_read(d, 0, &none, &value, &e), VISE_EARG);
    if (!strstr(e.msg, words)) fail_msg("'%s', not '%s'", e.msg, words);
    vise_data_free(d);
}

static void test_pictures(void **state)
{
    (void)state;
    put_grey("table/1.pgm", 7);
    put_text("table/labels.csv", "1.pgm,1\n");
    put_grey("folders/a/1.pgm", 9);
    put("images-idx3", images, sizeof images);
    put("labels-idx1", labels, sizeof labels);
    expect_picture(at("table"), "/table/1.pgm: recipe: 2 channels");
    expect_picture(at("folders"), "/folders/a/1.pgm: recipe: 2 channels");
    expect_picture(at("images-idx3"), "/images-idx3: 0: recipe: 2 channels");
    expect_picture(corpus("ustar.tar"), "/ustar.tar: a-b/1.pgm: recipe: 2 channels");
}

/* ---- every allocation failing in turn ---- */

static void starve(const char *path, const char *truth)
{
    long at_least = 0;
    for (;; at_least++) {
        vise_data *d = NULL;
        vise_err e;
        float value;
        vise_alloc_fail_at = at_least;
        vise_status s = vise_data_open(&d, path, truth, &e);
        assert_int_equal(s != VISE_OK, d == NULL);
        if (!s) s = vise_data_read(d, 0, &grey, &value, &e);
        const bool reached = vise_alloc_fail_at < 0;
        vise_alloc_fail_at = -1;
        vise_data_free(d);
        if (!reached) {
            assert_int_equal(s, VISE_OK);
            break;
        }
        if (s != VISE_ENOMEM) fail_msg("%s: status %d at allocation %ld", path, s, at_least);
    }
    assert_true(at_least >= 6);
}

static void test_short_memory(void **state)
{
    (void)state;
    put_grey("folders/a/1.pgm", 1);
    put_grey("folders/b/1.pgm", 1);
    put_grey("table/1.pgm", 1);
    put_text("table/labels.csv", "1.pgm,1\n");
    put("idx/images-idx3", images, sizeof images);
    put("idx/labels-idx1", labels, sizeof labels);
    put_gzip("images-idx3.gz", images, sizeof images);
    put_gzip("labels-idx1.gz", labels, sizeof labels);
    put_text("truth.csv", "root.pgm,4\n");
    starve(at("folders"), NULL);
    starve(at("table"), NULL);
    starve(at("idx"), NULL);
    put_cifar("ten/data_batch_1.bin", 1, 1, 8);
    put_cifar("ten/data_batch_2.bin", 1, 1, 8);
    starve(at("ten"), NULL);
    starve(at("images-idx3.gz"), NULL);
    starve(corpus("ustar.tar"), NULL);
    starve(corpus("ustar.tar"), at("truth.csv"));
}

/* ---- real sets ---- */

static void test_real_sets(void **state)
{
    (void)state;
    need_shared_data();
    static const struct {
        const char *path;
        size_t count, classes, i;
        const char *name; // of picture i
        size_t label;
    } sets[] = {
        {"imagenet_eval", 1000, 996, 0, "0c7ac4a8c9dfa802.jpg", 305},
        {"cifar10/test.tar", 10000, 10, 9999, "test/truck/0999.jpg", 9},
        {"fashion_mnist", 10000, 10, 9999, "9999", 9},
    };
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        char path[512];
        vise_data *d;
        vise_err e;
        float value;
        snprintf(path, sizeof path, VISE_SHARED_DATA "/images/%s", sets[i].path);
        MUST(vise_data_open(&d, path, NULL, &e));
        assert_int_equal(vise_data_count(d), sets[i].count);
        assert_int_equal(vise_data_classes(d), sets[i].classes);
        assert_string_equal(vise_data_name(d, sets[i].i), sets[i].name);
        assert_int_equal(vise_data_label(d, sets[i].i), sets[i].label);
        MUST(vise_data_read(d, sets[i].i, &grey, &value, &e));
        vise_data_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_table, fresh, gone),
        cmocka_unit_test_setup_teardown(test_bad_tables, fresh, gone),
        cmocka_unit_test_setup_teardown(test_unreadable_pictures, fresh, gone),
        cmocka_unit_test_setup_teardown(test_folders, fresh, gone),
        cmocka_unit_test_setup_teardown(test_bad_folders, fresh, gone),
        cmocka_unit_test_setup_teardown(test_idx, fresh, gone),
        cmocka_unit_test_setup_teardown(test_bad_idx, fresh, gone),
        cmocka_unit_test_setup_teardown(test_cifar, fresh, gone),
        cmocka_unit_test_setup_teardown(test_tar, fresh, gone),
        cmocka_unit_test_setup_teardown(test_bad_tar, fresh, gone),
        cmocka_unit_test(test_threads),
        cmocka_unit_test_setup_teardown(test_pictures, fresh, gone),
        cmocka_unit_test_setup_teardown(test_short_memory, fresh, gone),
        cmocka_unit_test(test_real_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
