/* test_readers.c - checkpoints of every format, whole, broken and hostile
 * SPDX-License-Identifier: MIT */
#include "model/pickle.h"
#include "model/tensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include <cmocka.h>

/* ---- bytes ---- */

typedef struct bytes {
    uint8_t *p;
    size_t n;
} bytes;

static void append(bytes *b, const void *p, size_t n)
{
    b->p = realloc(b->p, b->n + n + 1);
    assert_non_null(b->p);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

#define APPEND(b, literal) append(b, literal, sizeof(literal) - 1)

static void append_le(bytes *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++, v >>= 8)
        append(b, &(uint8_t){(uint8_t)v}, 1);
}

static void clear(bytes *b)
{
    free(b->p);
    *b = (bytes){0};
}

static bytes corpus(const char *name)
{
    char path[1024];
    bytes b = {0};
    size_t got;
    uint8_t chunk[4096];
    snprintf(path, sizeof path, "%s/%s", VISE_CORPUS, name);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    while ((got = fread(chunk, 1, sizeof chunk, f)) > 0)
        append(&b, chunk, got);
    fclose(f);
    return b;
}

typedef vise_status reader(vise_tensors *t, vise_map *map, vise_err *e);

/* Reads n bytes in a block of exactly that size, so that ASan sees every byte too many. The
 * tensors may point into *copy. */
static vise_status read_copy(reader *read, const void *p, size_t n, vise_tensors *t, uint8_t **copy,
                             vise_err *e)
{
    *copy = malloc(n ? n : 1);
    assert_non_null(*copy);
    if (n) memcpy(*copy, p, n);
    vise_map map = {.data = n ? *copy : NULL, .size = n};
    *t = (vise_tensors){0};
    memset(e, 0, sizeof *e);
    return read(t, &map, e);
}

/* The bytes are refused with a message that contains text, and nothing is left. */
static void refused(reader *read, const void *p, size_t n, const char *text)
{
    vise_tensors t;
    vise_err e;
    uint8_t *copy;
    const vise_status s = read_copy(read, p, n, &t, &copy, &e);
    if (s != VISE_EFORMAT || !strstr(e.msg, text))
        fail_msg("wanted '%s', got status %d '%s'", text, (int)s, e.msg);
    assert_true(!t.item && !t.maps && !t.blocks && !t.count);
    free(copy);
}

static void accepted(reader *read, const void *p, size_t n, size_t count)
{
    vise_tensors t;
    vise_err e;
    uint8_t *copy;
    if (read_copy(read, p, n, &t, &copy, &e)) fail_msg("%s", e.msg);
    assert_int_equal(t.count, count);
    vise_tensors_free(&t);
    free(copy);
}

/* ---- expectations ---- */

typedef struct want {
    const char *name;
    vise_dtype dtype;
    const char *shape;
    size_t n;
    double v[6];
} want;

static void check(const vise_tensors *t, const want *w, size_t n)
{
    assert_int_equal(t->count, n);
    for (size_t i = 0; i < n; i++, w++) {
        char text[VISE_SHAPE_TEXT];
        const vise_stored *s = &t->item[i]; // in the file's order
        assert_string_equal(s->name, w->name);
        assert_int_equal(s->dtype, w->dtype);
        assert_string_equal(vise_shape_text(text, sizeof text, &s->shape), w->shape);
        assert_int_equal(s->bytes, w->n * vise_dtype_size(s->dtype));
        for (size_t k = 0; k < w->n; k++)
            assert_true(vise_element_f32(s->dtype, s->data, k) == (float)w->v[k]);
    }
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const want torch_types[] = {
    {"f32", VISE_F32, "[2, 3]", 6, {-1, -0.5, 0, 0.5, 1, 1.5}},
    {"f16", VISE_F16, "[3]", 3, {1.5, -2, 0.25}},
    {"bf16", VISE_BF16, "[2]", 2, {3, -0.5}},
    {"f64", VISE_F64, "[1]", 1, {0.1}},
    {"i64", VISE_I64, "[2]", 2, {-7, 1099511627776.0}},
    {"i32", VISE_I32, "[1]", 1, {-70000}},
    {"i16", VISE_I16, "[1]", 1, {-300}},
    {"i8", VISE_I8, "[1]", 1, {-5}},
    {"u8", VISE_U8, "[1]", 1, {250}},
    {"bool", VISE_BOOL, "[2]", 2, {1, 0}},
    {"tr", VISE_F32, "[3, 2]", 6, {0, 3, 1, 4, 2, 5}}, // transposed
    {"col", VISE_F32, "[2]", 2, {-0.5, 1}},            // a column of f32, same storage
    {"scalar", VISE_F32, "[]", 1, {3.5}},
    {"param", VISE_F32, "[2]", 2, {9, 8}},
    {"exp", VISE_F32, "[3]", 3, {4, 4, 4}}, // expanded: stride 0
};

static const want torch_wrapped[] = {
    {"w", VISE_F32, "[1, 2]", 2, {1, 2}},
    {"b", VISE_F32, "[1]", 1, {3}},
};

static const want st_types[] = {
    {"f64", VISE_F64, "[1]", 1, {0.1}}, {"f32", VISE_F32, "[2, 3]", 6, {-1, -0.5, 0, 0.5, 1, 1.5}},
    {"s", VISE_F32, "[]", 1, {3.5}},    {"f16", VISE_F16, "[2]", 2, {1.5, -2}},
    {"bf16", VISE_BF16, "[1]", 1, {3}}, {"i64", VISE_I64, "[1]", 1, {-7}},
    {"i32", VISE_I32, "[1]", 1, {-7}},  {"i16", VISE_I16, "[1]", 1, {-7}},
    {"i8", VISE_I8, "[1]", 1, {-5}},    {"u8", VISE_U8, "[3]", 3, {'a', 'b', 'c'}},
    {"b", VISE_BOOL, "[2]", 2, {1, 0}},
};

static const struct {
    const char *path;
    const want *want;
    size_t n, blocks; // blocks: tensors and entries that had to be copied
} good[] = {
    {"safetensors/types.safetensors", st_types, COUNT(st_types), 0},
    {"torch/types.pt", torch_types, COUNT(torch_types), 3}, // tr, col, exp
    {"torch/wrapped.pt", torch_wrapped, COUNT(torch_wrapped), 0},
    {"torch/wrapped4.pt", torch_wrapped, COUNT(torch_wrapped), 0},
    {"torch/deflated.pt", torch_types, COUNT(torch_types), 3 + 15},
    {"torch_legacy/types.pt", torch_types, COUNT(torch_types), 3},
    {"torch_legacy/wrapped.pt", torch_wrapped, COUNT(torch_wrapped), 0},
    {"torch_legacy/wrapped4.pt", torch_wrapped, COUNT(torch_wrapped), 0},
};

/* Files that PyTorch wrote, and one of our own, hold what was put in. */
static void known_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        bytes b = corpus(good[i].path);
        vise_tensors t;
        vise_err e;
        uint8_t *copy;
        if (read_copy(vise_read_any, b.p, b.n, &t, &copy, &e))
            fail_msg("%s: %s", good[i].path, e.msg);
        check(&t, good[i].want, good[i].n);
        assert_int_equal(t.nblocks, good[i].blocks);
        assert_int_equal(t.file_bytes, b.n);
        if (!i) assert_string_equal(vise_tensors_text(&t, "format"), "pt");
        vise_tensors_free(&t);
        free(copy);
        clear(&b);
    }
}

/* The file cut off anywhere is refused; a wrong byte anywhere does no harm. */
static void cut_and_bent(void **state)
{
    (void)state;
    static const uint8_t flips[] = {0x01, 0x80, 0xff};
    size_t survived = 0;
    for (size_t i = 0; i < COUNT(good); i++) {
        bytes b = corpus(good[i].path);
        for (size_t n = 0; n < b.n; n++)
            refused(vise_read_any, b.p, n, "");
        for (size_t at = 0; at < b.n; at++)
            for (size_t k = 0; k < COUNT(flips); k++) {
                vise_tensors t;
                vise_err e;
                uint8_t *copy;
                b.p[at] ^= flips[k];
                const vise_status s = read_copy(vise_read_any, b.p, b.n, &t, &copy, &e);
                assert_true(s == VISE_OK || (s == VISE_EFORMAT && e.msg[0] && !t.item));
                for (size_t x = 0; x < t.count; x++) { // what was accepted can be read
                    const vise_stored *v = &t.item[x];
                    const size_t last = vise_shape_count(&v->shape) - 1;
                    vise_element_f32(v->dtype, v->data, last);
                }
                survived += s == VISE_OK;
                vise_tensors_free(&t);
                free(copy);
                b.p[at] ^= flips[k];
            }
        clear(&b);
    }
    assert_true(survived > 0);
}

static void no_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        bytes b = corpus(good[i].path);
        for (long n = 0;; n++) { // allocation 0 fails, then 1, ... until none is left
            vise_tensors t;
            vise_err e;
            uint8_t *copy;
            assert_true(n < 1000);
            vise_alloc_fail_at = n;
            const vise_status s = read_copy(vise_read_any, b.p, b.n, &t, &copy, &e);
            const bool reached = vise_alloc_fail_at < 0;
            vise_alloc_fail_at = -1;
            assert_int_equal(s, reached ? VISE_ENOMEM : VISE_OK);
            assert_int_equal(t.item == NULL, reached);
            vise_tensors_free(&t);
            free(copy);
            if (!reached) break;
        }
        clear(&b);
    }
}

/* ---- safetensors ---- */

static bytes st_file(const char *json, size_t data)
{
    bytes b = {0};
    append_le(&b, strlen(json), 8);
    append(&b, json, strlen(json));
    for (size_t i = 0; i < data; i++)
        append(&b, "", 1);
    return b;
}

#define T(dtype, shape, offsets)                                                                   \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct {
    const char *json;
    size_t data;
    const char *message; // NULL: fine
} headers[] = {
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 8, NULL},
    {"{\"a\":" T("F32", "[2]", "[4,12]") ",\"b\":" T("F32", "[]", "[0,4]") "}", 12, NULL},
    {"{}   ", 0, NULL},
    {"{}", 1, "tensors end at byte 0, the data at 1"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 9, "end at byte 8, the data at 9"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 7, "a: data_offsets [0, 8] lie outside 7"},
    {"{\"a\":" T("F32", "[2]", "[1,9]") "}", 9, "a: begins at byte 1"},
    {"{\"a\":" T("F32", "[2]", "[8,0]") "}", 8, "a: data_offsets"},
    {"{\"a\":" T("F32", "[2]", "[-8,0]") "}", 8, "a: has no pair"},
    {"{\"a\":" T("F32", "[2]", "[0]") "}", 8, "a: has no pair"},
    {"{\"a\":" T("F32", "[2]", "[0,8.0]") "}", 8, "a: has no pair"},
    {"{\"a\":" T("F32", "[3]", "[0,8]") "}", 8, "a: shape [3] of f32 does not make its 8"},
    {"{\"a\":" T("F16", "[3]", "[0,7]") "}", 7, "a: shape [3]"},
    {"{\"a\":" T("F32", "[4611686018427387905]", "[0,4]") "}", 4, "a: shape"},
    {"{\"a\":" T("F32", "[4294967296,4294967296]", "[0,4]") "}", 4, "a: shape"},
    {"{\"a\":" T("F32", "[99999999999999999999]", "[0,4]") "}", 4, "not valid JSON"},
    {"{\"a\":" T("F32", "[2,0]", "[0,0]") "}", 0, "a: is empty, extent 1 is 0"},
    {"{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4, "a: extent 0 is not a size"},
    {"{\"a\":" T("F32", "2", "[0,8]") "}", 8, "a: has no shape"},
    {"{\"a\":" T("F32", "[1,1,1,1,1,1,2]", "[0,8]") "}", 8, "a: has 7 dimensions"},
    {"{\"a\":" T("F8_E4M3", "[8]", "[0,8]") "}", 8, "a: dtype F8_E4M3 is not supported"},
    {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "a: has no dtype"},
    {"{\"a\":7}", 0, "a: has no dtype"},
    {"{\"\":" T("F32", "[2]", "[0,8]") "}", 8, "has a name"},
    {"{\"a\\u0007\":" T("F32", "[2]", "[0,8]") "}", 8, "has a name"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"a\":" T("F32", "[2]", "[0,8]") "}", 8,
     "not valid JSON: duplicate"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[2]", "[4,12]") "}", 12,
     "b: begins at byte 4, but a ends at 8"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") ",\"b\":" T("F32", "[1]", "[12,16]") "}", 16,
     "b: begins at byte 12, but a ends at 8"},
    {"{\"__metadata__\":{\"x\":1}}", 0, "not a string"},
    {"{\"__metadata__\":[]}", 0, "__metadata__ is not an object"},
    {"[]", 0, "not a JSON object"},
    {"{", 0, "not valid JSON"},
    {"{} x", 0, "not valid JSON"},
    {"", 0, "not valid JSON"},
};

static void safetensors_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(headers); i++) {
        bytes b = st_file(headers[i].json, headers[i].data);
        if (headers[i].message)
            refused(vise_read_safetensors, b.p, b.n, headers[i].message);
        else
            accepted(vise_read_safetensors, b.p, b.n, i == 1 ? 2 : i == 0);
        clear(&b);
    }
    bytes b = st_file("{}", 0);
    b.p[0] = 3; // one byte longer than the file
    refused(vise_read_safetensors, b.p, b.n, "a header of 3 bytes");
    memset(b.p, 0xff, 8);
    refused(vise_read_safetensors, b.p, b.n, "a header of 18446744073709551615 bytes");
    clear(&b);
}

/* ---- pickles ---- */

#define STR(length, text) "X" length "\0\0\0" text
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"

/* A tensor of rank 1 in a storage of count numbers. */
typedef struct tensor1 {
    int32_t count, offset, size, stride;
} tensor1;

/* Opcodes that set name in the dict at the top. */
static void append_tensor(bytes *b, const char *name, const char *key, tensor1 t)
{
    APPEND(b, "X");
    append_le(b, strlen(name), 4);
    append(b, name, strlen(name));
    APPEND(b, REBUILD "((" STR("\7", "storage") "ctorch\nFloatStorage\nX");
    append_le(b, strlen(key), 4);
    append(b, key, strlen(key));
    APPEND(b, STR("\3", "cpu") "J");
    append_le(b, (uint32_t)t.count, 4);
    APPEND(b, "tQJ");
    append_le(b, (uint32_t)t.offset, 4);
    APPEND(b, "J");
    append_le(b, (uint32_t)t.size, 4);
    APPEND(b, "\x85J");
    append_le(b, (uint32_t)t.stride, 4);
    APPEND(b, "\x85\x89}tRs");
}

/* {"a": a tensor in storage 0} */
static bytes tensor_pickle(tensor1 t)
{
    bytes b = {0};
    APPEND(&b, "\x80\x02}");
    append_tensor(&b, "a", "0", t);
    APPEND(&b, ".");
    return b;
}

#define PKL(literal) literal, sizeof(literal) - 1

static const struct {
    const char *p;
    size_t n;
    const char *message; // NULL: fine
} programs[] = {
    {PKL("\x80\x02]q\0h\0a."), NULL}, // a list that holds itself
    {PKL("\x80\x04\x95\1\0\0\0\0\0\0\0\x8c\1a\x94."), NULL},
    {PKL("(lp0\n."), "no checkpoint needs"},
    {PKL("\x80\x06N."), "unknown protocol"},
    {PKL("."), "the stack is empty"},
    {PKL("N"), "ends too early"},
    {PKL("J\1\2\3"), "ends too early"},
    {PKL("X\xff\xff\xff\xff."), "ends too early"},
    {PKL("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "ends too early"},
    {PKL("\x8b\xff\xff\xff\xff."), "ends too early"},
    {PKL("h\5."), "nothing in this memo"},
    {PKL("Nr\xff\xff\xff\xff."), "memo out of range"},
    {PKL("t."), "no mark"},
    {PKL("(."), "the stack is empty"},
    {PKL("N\x86."), "the stack is empty"},
    {PKL("(NNNd."), "a key without a value"},
    {PKL("}(NNNu."), "a key without a value"},
    {PKL("NNa."), "not a container"},
    {PKL("]NNs."), "not a container"},
    {PKL("K\1)R."), "a call of what is no function"},
    {PKL("ctorch\nfloat32\n)R."), "a call of what is no function"},
    {PKL("ctorch\nFloatStorage\n)R."), "a call of what is no function"},
    {PKL(REBUILD ")R."), "a tensor with wrong arguments"},
    {PKL("ctorch._tensor\n_rebuild_from_type_v2\n)R."), "a tensor with wrong arguments"},
    {PKL("ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._tensor\n_rebuild_from_type_v2\nN)"
         "NtR."),
     "a tensor with wrong arguments"},
    {PKL("NQ."), "no storage"},
    {PKL("()Q."), "no storage"},
    {PKL("cos\nsystem\n(X\2\0\0\0lstR."), "pickle asks to run os.system, which is refused"},
    {PKL("c__builtin__\neval\n."), "pickle asks to run __builtin__.eval"},
    {PKL("\x8c\10builtins\x8c\4eval\x93\x8c\1"
         "1\x85R."),
     "asks to run builtins.eval"},
    {PKL("\x8c\12__main__.V\x8c\3ViT\x93."), "class __main__.V.ViT, which is refused"},
    {PKL("c__main__\nViT\n)\x81."), "save the model's state_dict()"},
    {PKL("cos\n\033[2J\n."), "pickle asks to run os.?[2J"},
    {PKL("cos"), "a line without an end"},
    {PKL("NN\x93."), "a global without a name"},
};

static void pickles(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(programs); i++) {
        vise_pickle p;
        vise_err e = {0};
        uint8_t *copy = malloc(programs[i].n);
        assert_non_null(copy);
        memcpy(copy, programs[i].p, programs[i].n);
        const vise_status s = vise_pickle_parse(&p, copy, programs[i].n, &e);
        const char *message = programs[i].message;
        if (s != (message ? VISE_EFORMAT : VISE_OK) || (message && !strstr(e.msg, message)))
            fail_msg("pickle %zu: status %d '%s'", i, (int)s, e.msg);
        if (!s) assert_int_equal(p.used, programs[i].n);
        vise_pickle_free(&p);
        free(copy);
    }
}

static void pickled_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
        int64_t want;
    } all[] = {
        {PKL("K\xff."), 255},
        {PKL("M\xff\xff."), 65535},
        {PKL("J\xff\xff\xff\xff."), -1},
        {PKL("\x8a\0."), 0},
        {PKL("\x8a\1\xff."), -1},
        {PKL("\x8a\2\xff\0."), 255},
        {PKL("\x8a\5\0\0\0\0\x80."), -549755813888},
        {PKL("\x8b\x8\0\0\0\0\0\0\0\0\0\0\x80."), INT64_MIN},
        {PKL("\x88."), 1},
        {PKL("\x89."), 0},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        vise_pickle p;
        vise_err e;
        if (vise_pickle_parse(&p, all[i].p, all[i].n, &e)) fail_msg("%zu: %s", i, e.msg);
        assert_int_equal(p.root.kind, i < 8 ? VISE_PKL_INT : VISE_PKL_BOOL);
        assert_true(p.root.u.i == all[i].want);
        vise_pickle_free(&p);
    }
}

static void pickle_is_bounded(void **state)
{
    (void)state;
    vise_pickle p;
    vise_err e;
    bytes b = {0};
    b.p = malloc((4 << 20) + 1);
    assert_non_null(b.p);
    b.n = 4 << 20;
    memset(b.p, '(', b.n); // marks only: the stack would grow for ever
    assert_int_equal(vise_pickle_parse(&p, b.p, b.n, &e), VISE_EFORMAT);
    assert_non_null(strstr(e.msg, "too deep"));
    clear(&b);
}

/* ---- the zip container ---- */

typedef struct part {
    const char *name;
    const void *p;
    size_t n;
} part;

static bytes zip_file(const part *parts, size_t n, bool deflate)
{
    bytes b = {0};
    zip_stat_t st;
    zip_source_t *out = zip_source_buffer_create(NULL, 0, 0, NULL);
    zip_source_keep(out);
    zip_t *z = zip_open_from_source(out, ZIP_TRUNCATE, NULL);
    assert_non_null(z);
    for (size_t i = 0; i < n; i++) {
        zip_source_t *in = zip_source_buffer(z, parts[i].p, parts[i].n, 0);
        const zip_int64_t at = zip_file_add(z, parts[i].name, in, ZIP_FL_ENC_UTF_8);
        assert_true(at >= 0);
        zip_set_file_compression(z, (zip_uint64_t)at, deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 1);
    }
    assert_int_equal(zip_close(z), 0);
    assert_int_equal(zip_source_open(out), 0);
    assert_int_equal(zip_source_stat(out, &st), 0);
    b.n = (size_t)st.size;
    b.p = malloc(b.n + 1);
    assert_non_null(b.p);
    assert_int_equal(zip_source_read(out, b.p, b.n), (zip_int64_t)b.n);
    zip_source_close(out);
    zip_source_free(out);
    return b;
}

static const float numbers[4] = {1, 2, 3, 4};

static bytes legacy_file(tensor1 t)
{
    bytes b = {0}, pickle = tensor_pickle(t);
    APPEND(&b, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.");
    APPEND(&b, "\x80\x02}" STR("\15", "little_endian") "\x88s.");
    append(&b, pickle.p, pickle.n);
    APPEND(&b, "\x80\x02]" STR("\1", "0") "a.\4\0\0\0\0\0\0\0");
    append(&b, numbers, sizeof numbers);
    clear(&pickle);
    return b;
}

/* One tensor of a storage of 4 numbers, in both containers. */
static void views(void **state)
{
    (void)state;
    static const struct {
        tensor1 t;
        const char *zip, *legacy; // NULL: fine
    } all[] = {
        {{4, 0, 4, 1}, NULL, NULL},
        {{4, 3, 1, 9}, NULL, NULL}, // the stride of one element does not matter
        {{4, 0, 2, 3}, NULL, NULL},
        {{4, 0, 200000, 0}, NULL, NULL}, // expanded to 0.8 MB: allowed
        {{4, 1, 4, 1}, "a: shape [4] at offset 1 does not lie", "a: shape [4] at offset 1"},
        {{4, 4, 1, 1}, "does not lie", "does not lie"},
        {{4, 0, 3, 2}, "does not lie", "does not lie"},
        {{4, 2147483647, 2147483647, 2147483647}, "does not lie", "does not lie"},
        {{4, 0, 0, 1}, "a: is empty, extent 0 is 0", "a: is empty"},
        {{4, 0, -4, 1}, "a: extent 0 or its stride is not a size", "not a size"},
        {{4, 0, 4, -1}, "not a size", "not a size"},
        {{4, -1, 4, 1}, "offset -1", "offset -1"},
        {{4, 0, 2147483647, 0}, "a: 8589934588 bytes are out of", "out of proportion"},
        {{5, 0, 4, 1},
         "top/data/0: has 16 bytes, but is a FloatStorage of 5",
         "a storage of 5 elements is stored as 4"},
        {{-1, 0, 4, 1}, "no storage", "no storage"},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        bytes pickle = tensor_pickle(all[i].t), legacy = legacy_file(all[i].t);
        const part parts[] = {{"top/data.pkl", pickle.p, pickle.n},
                              {"top/byteorder", "little", 6},
                              {"top/data/0", numbers, sizeof numbers}};
        for (int deflate = 0; deflate < 2; deflate++) {
            bytes zip = zip_file(parts, 3, deflate);
            if (all[i].zip)
                refused(vise_read_any, zip.p, zip.n, all[i].zip);
            else
                accepted(vise_read_any, zip.p, zip.n, 1);
            clear(&zip);
        }
        if (all[i].legacy)
            refused(vise_read_any, legacy.p, legacy.n, all[i].legacy);
        else
            accepted(vise_read_any, legacy.p, legacy.n, 1);
        clear(&pickle);
        clear(&legacy);
    }
}

static void view_values(void **state)
{
    (void)state;
    static const struct {
        tensor1 t;
        want want;
    } all[] = {
        {{4, 2, 2, 1}, {"a", VISE_F32, "[2]", 2, {3, 4}}}, // in place
        {{4, 1, 2, 2}, {"a", VISE_F32, "[2]", 2, {2, 4}}},
        {{4, 3, 5, 0}, {"a", VISE_F32, "[5]", 5, {4, 4, 4, 4, 4}}},
    };
    for (size_t i = 0; i < COUNT(all); i++) {
        vise_tensors t;
        vise_err e;
        uint8_t *copy;
        bytes b = legacy_file(all[i].t);
        if (read_copy(vise_read_any, b.p, b.n, &t, &copy, &e)) fail_msg("%s", e.msg);
        check(&t, &all[i].want, 1);
        assert_int_equal(t.nblocks, i > 0);
        vise_tensors_free(&t);
        free(copy);
        clear(&b);
    }
}

/* Copies are limited together, not one by one. */
static void copies_add_up(void **state)
{
    (void)state;
    bytes b = {0};
    const tensor1 wide = {4, 0, 200000, 0}; // 0.8 MB
    APPEND(&b, "\x80\x02}");
    append_tensor(&b, "a", "0", wide);
    append_tensor(&b, "b", "0", wide);
    APPEND(&b, ".");
    const part parts[] = {{"top/data.pkl", b.p, b.n}, {"top/data/0", numbers, sizeof numbers}};
    bytes zip = zip_file(parts, 2, false);
    refused(vise_read_any, zip.p, zip.n, "b: 800000 bytes are out of proportion");
    clear(&zip);
    clear(&b);
}

/* Entries that all use the same bytes of the file: no memory, but time, is what they would take. */
static void overlapping_entries(void **state)
{
    (void)state;
    enum { N = 90, COUNT0 = 16384 }; // 90 x 64 kB in a file of some 100 kB
    static float data[COUNT0];
    char name[N][32];
    part parts[N + 1];
    bytes pickle = {0};
    APPEND(&pickle, "\x80\x02}");
    for (int i = 0; i < N; i++) {
        snprintf(name[i], sizeof name[i], "top/data/%d", 10 + i);
        parts[i + 1] = (part){name[i], data, i ? 0 : sizeof data};
        append_tensor(&pickle, name[i], name[i] + 9, (tensor1){COUNT0, 0, COUNT0, 1});
    }
    APPEND(&pickle, ".");
    parts[0] = (part){"top/data.pkl", pickle.p, pickle.n};
    bytes b = zip_file(parts, N + 1, false);
    uint8_t *first = NULL;
    for (uint8_t *at = b.p; (at = memmem(at, b.n - (size_t)(at - b.p), "PK\1\2", 4)); at += 46) {
        if (memcmp(at + 46, "top/data/", 9)) continue; // the central directory's entry
        if (!first) first = at;
        memcpy(at + 16, first + 16, 12); // checksum and sizes
        memcpy(at + 42, first + 42, 4);  // place
    }
    refused(vise_read_any, b.p, b.n, "65536 bytes are out of proportion");
    clear(&b);
    clear(&pickle);
}

static void zip_entries(void **state)
{
    (void)state;
    bytes good_pickle = tensor_pickle((tensor1){4, 0, 4, 1});
    const part pickle = {"top/data.pkl", good_pickle.p, good_pickle.n};
    const part data = {"top/data/0", numbers, sizeof numbers};
    const struct {
        part part[3];
        size_t n;
        const char *message; // NULL: fine
    } all[] = {
        {{data, pickle}, 2, NULL},
        {{pickle, data, {"top/version", "3", 1}}, 3, NULL},
        {{pickle, data, {"top/byteorder", "big", 3}}, 3, "little-endian"},
        {{pickle, data, {"top/byteorder", "lIttle", 6}}, 3, "little-endian"},
        {{pickle, data, {"top/byteorder", "littlelittlelittle", 18}}, 3, "byteorder has 18"},
        {{pickle}, 1, "top/data/0 is not in the zip file"},
        {{data}, 1, "without a data.pkl"},
        {{{"a/b/data.pkl", pickle.p, pickle.n}, data}, 2, "without a data.pkl"},
        {{pickle, {"top/data/0", numbers, 15}}, 2, "has 15 bytes"},
        {{{"top/data.pkl", "", 0}, data}, 2, "pickle is empty"},
        {{{"top/data.pkl", PKL("}q\0" STR("\5", "model") "h\0s.")}}, 1, "holds no state dict"},
        {{{"top/data.pkl", PKL("K\1.")}}, 1, "holds no state dict"},
        {{{"top/data.pkl", PKL("cos\nsystem\n.")}}, 1, "asks to run os.system"},
    };
    for (size_t i = 0; i < COUNT(all); i++)
        for (int deflate = 0; deflate < 2; deflate++) {
            bytes b = zip_file(all[i].part, all[i].n, deflate);
            if (all[i].message)
                refused(vise_read_torch_zip, b.p, b.n, all[i].message);
            else
                accepted(vise_read_torch_zip, b.p, b.n, 1);
            clear(&b);
        }
    bytes b = zip_file((const part[]){pickle, data}, 2, false);
    uint8_t *at = memmem(b.p, b.n, numbers, sizeof numbers); // only the checksum can tell
    assert_non_null(at);
    at[1] ^= 1;
    refused(vise_read_torch_zip, b.p, b.n, "top/data/0: cannot be unpacked");
    clear(&b);
    clear(&good_pickle);
}

/* 32 MB of zeros in a file of some 100 kB: the file is refused before they are unpacked. */
static void zip_bomb(void **state)
{
    (void)state;
    const size_t n = 32 << 20;
    void *zeros = calloc(n, 1);
    assert_non_null(zeros);
    bytes pickle = tensor_pickle((tensor1){(int32_t)(n / 4), 0, 4, 1});
    const part parts[] = {{"t/data.pkl", pickle.p, pickle.n}, {"t/data/0", zeros, n}};
    bytes b = zip_file(parts, 2, true);
    assert_true(b.n < n / 64);
    refused(vise_read_any, b.p, b.n, "t/data/0: 33554432 bytes are out of proportion");
    const part big[] = {{"t/data.pkl", zeros, n}, {"t/x", zeros, n}};
    clear(&b);
    b = zip_file(big, 1, true);
    refused(vise_read_any, b.p, b.n, "t/data.pkl: 33554432 bytes are out of proportion");
    clear(&b);
    clear(&pickle);
    free(zeros);
}

/* ---- the older container ---- */

static void legacy_fields(void **state)
{
    (void)state;
    bytes b = legacy_file((tensor1){4, 0, 4, 1});
    accepted(vise_read_torch_legacy, b.p, b.n, 1);
    static const struct {
        const char *from;
        size_t n;
        const char *to, *message;
    } changes[] = {
        {PKL("\x50\x19."), "\x50\x18.", "not one that PyTorch saved"},
        {PKL("M\xe9\x03."), "M\xe8\x03.", "unknown version"},
        {PKL("n\x88s."), "n\x89s.", "little-endian"},
        {PKL("\x80\x02]X"), "\x80\x02)X", "not a container"},
        {PKL("0a.\4"), "1a.\4", "one that is not used"},
        {PKL("0a.\4"), "0a.\3", "a storage of 4 elements is stored as 3"},
    };
    for (size_t i = 0; i < COUNT(changes); i++) {
        uint8_t *at = memmem(b.p, b.n, changes[i].from, changes[i].n);
        assert_non_null(at);
        memcpy(at, changes[i].to, changes[i].n);
        refused(vise_read_torch_legacy, b.p, b.n, changes[i].message);
        memcpy(at, changes[i].from, changes[i].n);
    }
    accepted(vise_read_torch_legacy, b.p, b.n, 1);
    clear(&b);
}

static void hostile_files(void **state)
{
    (void)state;
    static const char *const dirs[] = {"torch", "torch_legacy"};
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/system.pt", dirs[i]);
        bytes b = corpus(path);
        refused(vise_read_any, b.p, b.n, "pickle asks to run posix.system, which is refused");
        clear(&b);
        snprintf(path, sizeof path, "%s/eval.pt", dirs[i]);
        b = corpus(path);
        refused(vise_read_any, b.p, b.n, "pickle asks to run builtins.eval, which is refused");
        clear(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(cut_and_bent),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(safetensors_headers),
        cmocka_unit_test(pickles),
        cmocka_unit_test(pickled_numbers),
        cmocka_unit_test(pickle_is_bounded),
        cmocka_unit_test(views),
        cmocka_unit_test(view_values),
        cmocka_unit_test(copies_add_up),
        cmocka_unit_test(overlapping_entries),
        cmocka_unit_test(zip_entries),
        cmocka_unit_test(zip_bomb),
        cmocka_unit_test(legacy_fields),
        cmocka_unit_test(hostile_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
