/* torch_zip.c - PyTorch's zip container: a folder with data.pkl and a file per storage
 *
 *   TOP/data.pkl    the object, with references to storages
 *   TOP/data/KEY    the numbers of storage KEY
 *   TOP/byteorder   "little" or "big"; absent in older files, which are little
 *
 * PyTorch stores without compression, so numbers are used where they lie in the file, after their
 * checksum was verified. Source: torch/serialization.py.
 *
 * SPDX-License-Identifier: MIT */
#include "base/lazy.h"
#include "model/torch.h"

#include <stdio.h>
#include <string.h>
#include <zip.h>

enum {
    MAX_PICKLE = 64 << 20, // bytes
    MAX_TOP = 256,         // bytes of the folder's name
    MAX_BYTEORDER = 16,    // bytes
    CHUNK = 1 << 16,       // bytes
};

/* What is used of libzip. */
#define ZIP(X)                                                                                     \
    X(zip_discard)                                                                                 \
    X(zip_error_fini)                                                                              \
    X(zip_error_init)                                                                              \
    X(zip_error_set)                                                                               \
    X(zip_error_strerror)                                                                          \
    X(zip_error_to_data)                                                                           \
    X(zip_fclose)                                                                                  \
    X(zip_fopen_index)                                                                             \
    X(zip_fread)                                                                                   \
    X(zip_get_name)                                                                                \
    X(zip_get_num_entries)                                                                         \
    X(zip_name_locate)                                                                             \
    X(zip_open_from_source)                                                                        \
    X(zip_source_free)                                                                             \
    X(zip_source_function_create)                                                                  \
    X(zip_source_make_command_bitmap)                                                              \
    X(zip_source_seek_compute_offset)                                                              \
    X(zip_stat_index)                                                                              \
    X(zip_stat_init)

typedef struct zip_lib {
    ZIP(VISE_LAZY_FIELD)
} zip_lib;

#define SYMBOL(f) {#f, offsetof(zip_lib, f)},
static const vise_lazy_symbol symbols[] = {ZIP(SYMBOL)};

/* The mapped file as libzip reads it. It remembers where the last read began: libzip does not tell
 * where an entry's data lies, but it has to read there. */
typedef struct source {
    const zip_lib *lib; // NULL: not loaded
    const vise_map *map;
    zip_uint64_t at, last;
    zip_error_t error;
} source;

typedef struct archive {
    zip_lib lib;
    zip_t *zip;
    source src;
    vise_torch torch;
    const uint8_t **found; // [entries] data of the entries read so far
    uint8_t *chunk;        // [CHUNK]
    size_t work;           // bytes that may still be unpacked: entries may overlap in the file
    char top[MAX_TOP];
} archive;

static zip_int64_t source_read(source *s, void *data, zip_uint64_t len)
{
    const zip_uint64_t rest = s->map->size - s->at;
    const size_t n = (size_t)(len < rest ? len : rest);
    s->last = s->at;
    if (n) memcpy(data, s->map->data + s->at, n);
    s->at += n;
    return (zip_int64_t)n;
}

static zip_int64_t source_stat(const source *s, void *data, zip_uint64_t len)
{
    zip_stat_t st;
    if (len < sizeof st) return -1;
    s->lib->zip_stat_init(&st);
    st.size = s->map->size;
    st.valid = ZIP_STAT_SIZE;
    memcpy(data, &st, sizeof st);
    return sizeof st;
}

static zip_int64_t source_call(void *user, void *data, zip_uint64_t len, zip_source_cmd_t cmd)
{
    source *s = user;
    switch (cmd) {
    case ZIP_SOURCE_OPEN:
        s->at = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return source_read(s, data, len);
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    case ZIP_SOURCE_STAT:
        return source_stat(s, data, len);
    case ZIP_SOURCE_ERROR:
        return s->lib->zip_error_to_data(&s->error, data, len);
    case ZIP_SOURCE_SEEK: {
        zip_int64_t to =
            s->lib->zip_source_seek_compute_offset(s->at, s->map->size, data, len, &s->error);
        if (to < 0) return -1;
        s->at = (zip_uint64_t)to;
        return 0;
    }
    case ZIP_SOURCE_TELL:
        return (zip_int64_t)s->at;
    case ZIP_SOURCE_SUPPORTS:
        return s->lib->zip_source_make_command_bitmap(
            ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT, ZIP_SOURCE_ERROR,
            ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, -1);
    default:
        s->lib->zip_error_set(&s->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

static vise_status open_zip(archive *a, vise_err *e)
{
    zip_error_t error;
    VISE_TRY(vise_lazy_load(&a->lib, VISE_LIBZIP, symbols, sizeof symbols / sizeof *symbols,
                            "PyTorch's zip files", e));
    a->src.lib = &a->lib;
    a->lib.zip_error_init(&error);
    a->lib.zip_error_init(&a->src.error);
    zip_source_t *s = a->lib.zip_source_function_create(source_call, &a->src, &error);
    if (s) a->zip = a->lib.zip_open_from_source(s, ZIP_RDONLY, &error);
    vise_status status = VISE_OK;
    if (!a->zip) {
        if (s) a->lib.zip_source_free(s);
        status =
            vise_fail(e, VISE_EFORMAT, "zip file is broken: %s", a->lib.zip_error_strerror(&error));
    }
    a->lib.zip_error_fini(&error);
    return status;
}

/* ---- entries ---- */

typedef struct entry {
    zip_uint64_t index;
    size_t size;
    bool plain; // not compressed
    const char *name;
} entry;

static vise_status stat_entry(archive *a, entry *x, vise_err *e)
{
    zip_stat_t st;
    const zip_uint64_t need = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_METHOD;
    if (a->lib.zip_stat_index(a->zip, x->index, 0, &st) || (st.valid & need) != need)
        return vise_fail(e, VISE_EFORMAT, "zip file is broken: entry %llu has no size",
                         (unsigned long long)x->index);
    if (st.size > SIZE_MAX / 2)
        return vise_fail(e, VISE_EFORMAT, "%s: claims %llu bytes", st.name,
                         (unsigned long long)st.size);
    x->name = st.name;
    x->size = (size_t)st.size;
    x->plain = st.comp_method == ZIP_CM_STORE;
    if (!x->plain && st.comp_method != ZIP_CM_DEFLATE)
        return vise_fail(e, VISE_EFORMAT, "%s: compression method %d is not supported", st.name,
                         (int)st.comp_method);
    if ((st.valid & ZIP_STAT_ENCRYPTION_METHOD) && st.encryption_method != ZIP_EM_NONE)
        return vise_fail(e, VISE_EFORMAT, "%s: is encrypted", st.name);
    return VISE_OK;
}

/* Exactly the entry's bytes; the end of the data verifies the checksum. */
static vise_status read_into(archive *a, const entry *x, uint8_t *out, vise_err *e)
{
    size_t done = 0;
    zip_int64_t got = 1;
    zip_file_t *f = a->lib.zip_fopen_index(a->zip, x->index, 0);
    while (f && got > 0 && done < x->size) {
        got = a->lib.zip_fread(f, out + done, x->size - done);
        if (got > 0) done += (size_t)got;
    }
    if (f && done == x->size && got >= 0) got = a->lib.zip_fread(f, a->chunk, 1); // 0: the end
    if (f) a->lib.zip_fclose(f);
    if (!f || got || done != x->size)
        return vise_fail(e, VISE_EFORMAT, "%s: cannot be unpacked to its %zu bytes", x->name,
                         x->size);
    return VISE_OK;
}

/* Where an uncompressed entry lies in the file, having read it all and compared: so it cannot be
 * the wrong place, and the checksum was right. NULL if it does not turn out so. */
static const uint8_t *find_in_place(archive *a, const entry *x)
{
    const vise_map *m = a->src.map;
    zip_file_t *f = x->size <= m->size ? a->lib.zip_fopen_index(a->zip, x->index, 0) : NULL;
    const uint8_t *start = NULL;
    zip_int64_t got = 1;
    size_t done = 0;
    while (f && got > 0) {
        got =
            a->lib.zip_fread(f, a->chunk, CHUNK); // one more when all is done verifies the checksum
        if (got <= 0) break;
        if (!start && a->src.last <= m->size - x->size) start = m->data + a->src.last;
        if (!start || (size_t)got > x->size - done || memcmp(start + done, a->chunk, (size_t)got))
            got = -1;
        else
            done += (size_t)got;
    }
    if (f) a->lib.zip_fclose(f);
    return got == 0 && done == x->size ? start : NULL;
}

static vise_status read_entry(archive *a, const entry *x, const uint8_t **data, vise_err *e)
{
    if (a->found[x->index]) {
        *data = a->found[x->index];
        return VISE_OK;
    }
    if (x->size > a->work)
        return vise_fail(e, VISE_EFORMAT, "%s: %zu bytes are out of proportion to the file's size",
                         x->name, x->size);
    a->work -= x->size;
    const uint8_t *p = x->plain ? find_in_place(a, x) : NULL;
    if (!p) {
        void *block = NULL;
        VISE_TRY(vise_torch_block(&a->torch, x->size, x->name, &block, e));
        VISE_TRY(read_into(a, x, block, e));
        p = block;
    }
    *data = a->found[x->index] = p;
    return VISE_OK;
}

static vise_status storage_bytes(void *file, const vise_pkl_storage *s, const uint8_t **data,
                                 vise_err *e)
{
    archive *a = file;
    char name[MAX_TOP + 80];
    if (s->key_len > 64 || memchr(s->key, 0, s->key_len))
        return vise_fail(e, VISE_EFORMAT, "a storage has a key of %zu bytes", s->key_len);
    snprintf(name, sizeof name, "%s/data/%.*s", a->top, (int)s->key_len, s->key);
    const zip_int64_t index = a->lib.zip_name_locate(a->zip, name, 0);
    if (index < 0) return vise_fail(e, VISE_EFORMAT, "%s is not in the zip file", name);
    entry x = {.index = (zip_uint64_t)index};
    VISE_TRY(stat_entry(a, &x, e));
    if (x.size % s->element_size || x.size / s->element_size != s->count)
        return vise_fail(e, VISE_EFORMAT, "%s: has %zu bytes, but is a %s of %llu elements", name,
                         x.size, s->type, (unsigned long long)s->count);
    return read_entry(a, &x, data, e);
}

/* Finds TOP/data.pkl. */
static vise_status find_pickle(archive *a, zip_uint64_t entries, entry *pickle, vise_err *e)
{
    for (zip_uint64_t i = 0; i < entries; i++) {
        const char *name = a->lib.zip_get_name(a->zip, i, ZIP_FL_ENC_RAW);
        const char *slash = name ? strchr(name, '/') : NULL;
        if (!slash || strcmp(slash, "/data.pkl") || slash - name >= MAX_TOP) continue;
        memcpy(a->top, name, (size_t)(slash - name));
        pickle->index = i;
        VISE_TRY(stat_entry(a, pickle, e));
        if (pickle->size > MAX_PICKLE)
            return vise_fail(e, VISE_EFORMAT, "data.pkl has %zu bytes, at most %d are read",
                             pickle->size, (int)MAX_PICKLE);
        return VISE_OK;
    }
    return vise_fail(e, VISE_EFORMAT, "is a zip file without a data.pkl, so not from PyTorch");
}

static vise_status check_byteorder(archive *a, vise_err *e)
{
    char name[MAX_TOP + 16];
    const uint8_t *text = NULL;
    snprintf(name, sizeof name, "%s/byteorder", a->top);
    const zip_int64_t index = a->lib.zip_name_locate(a->zip, name, 0);
    if (index < 0) return VISE_OK; // older files have none
    entry x = {.index = (zip_uint64_t)index};
    VISE_TRY(stat_entry(a, &x, e));
    if (x.size == 0 || x.size > MAX_BYTEORDER)
        return vise_fail(e, VISE_EFORMAT, "byteorder has %zu bytes", x.size);
    VISE_TRY(read_entry(a, &x, &text, e));
    if (x.size != 6 || memcmp(text, "little", 6))
        return vise_fail(e, VISE_EFORMAT, "was not written on a little-endian machine");
    return VISE_OK;
}

static vise_status parse(archive *a, vise_err *e)
{
    entry x = {0};
    const uint8_t *data = NULL;
    vise_pickle p;
    VISE_TRY(open_zip(a, e));
    const zip_int64_t entries = a->lib.zip_get_num_entries(a->zip, 0);
    VISE_TRY(vise_alloc_or(&a->found, (size_t)entries, sizeof *a->found, "the zip's entries", e));
    VISE_TRY(vise_alloc_or(&a->chunk, CHUNK, 1, "a buffer", e));
    VISE_TRY(find_pickle(a, (zip_uint64_t)entries, &x, e));
    VISE_TRY(check_byteorder(a, e));
    VISE_TRY(read_entry(a, &x, &data, e));
    VISE_TRY(vise_pickle_parse(&p, data, x.size, e));
    vise_status s = vise_torch_collect(&a->torch, &p, e);
    vise_pickle_free(&p);
    return s;
}

vise_status vise_read_torch_zip(vise_tensors *t, vise_map *map, vise_err *e)
{
    const vise_map m = *map; // its bytes stay where they are
    archive a = {.src.map = &m};
    a.torch = (vise_torch){t, vise_torch_budget(m.size), storage_bytes, &a};
    a.work = a.torch.budget;
    vise_status s = vise_tensors_own_map(t, map, e);
    if (!s) s = parse(&a, e);
    if (a.zip) a.lib.zip_discard(a.zip);
    if (a.src.lib) a.lib.zip_error_fini(&a.src.error);
    vise_free(a.found);
    vise_free(a.chunk);
    if (s) vise_tensors_free(t);
    return s;
}
