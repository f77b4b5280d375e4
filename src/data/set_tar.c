/* set_tar.c - a tar file with a folder of pictures per class
 *
 * One scan notes where every picture's header starts. A picture is read by a fresh libarchive
 * reader that starts at that header in the mapped file. Readers share nothing, so threads need no
 * lock.
 *
 * SPDX-License-Identifier: MIT */
#include "base/lazy.h"
#include "data/dataset.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#define NO_TAR "neither a folder, nor an idx file, nor a tar file"

/* What is used of libarchive. */
#define ARCHIVE(X)                                                                                 \
    X(archive_entry_filetype)                                                                      \
    X(archive_entry_hardlink)                                                                      \
    X(archive_entry_pathname)                                                                      \
    X(archive_entry_pathname_utf8)                                                                 \
    X(archive_entry_size)                                                                          \
    X(archive_error_string)                                                                        \
    X(archive_read_data)                                                                           \
    X(archive_read_free)                                                                           \
    X(archive_read_header_position)                                                                \
    X(archive_read_new)                                                                            \
    X(archive_read_next_header)                                                                    \
    X(archive_read_open_memory)                                                                    \
    X(archive_read_support_format_tar)

typedef struct tar {
    ARCHIVE(VISE_LAZY_FIELD)
    struct archive *a;
} tar;

#define SYMBOL(f) {#f, offsetof(tar, f)},
static const vise_lazy_symbol symbols[] = {ARCHIVE(SYMBOL)};

static vise_status start(tar *t, const uint8_t *bytes, size_t size, vise_err *e)
{
    VISE_TRY(vise_lazy_load(t, VISE_LIBARCHIVE, symbols, sizeof symbols / sizeof *symbols,
                            "tar files", e));
    t->a = t->archive_read_new();
    if (!t->a || t->archive_read_support_format_tar(t->a)) {
        t->archive_read_free(t->a);
        return vise_fail(e, VISE_ENOMEM, "out of memory: reading a tar file");
    }
    if (t->archive_read_open_memory(t->a, bytes, size)) {
        t->archive_read_free(t->a);
        return vise_fail(e, VISE_EFORMAT, NO_TAR);
    }
    return VISE_OK;
}

static vise_status next(struct archive_entry **entry, const tar *t, size_t n, vise_err *e)
{
    int code = t->archive_read_next_header(t->a, entry);
    if (code == ARCHIVE_EOF) *entry = NULL;
    if (code == ARCHIVE_EOF || code == ARCHIVE_OK || code == ARCHIVE_WARN) return VISE_OK;
    if (!n) return vise_fail(e, VISE_EFORMAT, NO_TAR);
    const char *why = t->archive_error_string(t->a);
    return vise_fail(e, VISE_EFORMAT, "damaged or incomplete tar behind entry %zu: %s", n,
                     why ? why : "unknown reason");
}

/* NULL for what is not a named regular file. */
static const char *picture_path(const tar *t, struct archive_entry *entry)
{
    if (t->archive_entry_filetype(entry) != AE_IFREG || t->archive_entry_hardlink(entry))
        return NULL;
    const char *path = t->archive_entry_pathname(entry);
    // a name that the C locale cannot spell is there in UTF-8
    if (!path) path = t->archive_entry_pathname_utf8(entry);
    if (!path || strlen(path) > VISE_MAX_PATH || !vise_is_picture_name(path)) return NULL;
    while (!strncmp(path, "./", 2))
        path += 2;
    return path;
}

/* Does the archive hold all the bytes of an entry whose header starts at `at`? */
static vise_status check_size(const vise_data *d, uint64_t at, int64_t size, const char *path,
                              vise_err *e)
{
    if (size < 0 || (uint64_t)size > VISE_IMAGE_FILE_BYTES)
        return vise_fail(e, VISE_EFORMAT, "%s: a picture file of %lld bytes, at most %zu are read",
                         path, (long long)size, VISE_IMAGE_FILE_BYTES);
    if (at > d->map.size || (uint64_t)size > d->map.size - at)
        return vise_fail(e, VISE_EFORMAT,
                         "incomplete tar: %s: %lld bytes, but the file ends before", path,
                         (long long)size);
    return VISE_OK;
}

static vise_status add_entry(vise_data *d, const tar *t, struct archive_entry *entry, bool all,
                             vise_err *e)
{
    const char *path = picture_path(t, entry);
    if (!path || (!all && !strchr(path, '/'))) return VISE_OK;
    const uint64_t at = (uint64_t)t->archive_read_header_position(t->a);
    VISE_TRY(check_size(d, at, t->archive_entry_size(entry), path, e));
    return vise_data_add(d, path, 0, at, e);
}

vise_status vise_tar_scan(vise_data *d, bool all, vise_err *e)
{
    tar t;
    struct archive_entry *entry;
    VISE_TRY(start(&t, d->map.data, d->map.size, e));
    vise_status s;
    for (size_t n = 0; !(s = next(&entry, &t, n, e)) && entry; n++)
        if ((s = add_entry(d, &t, entry, all, e))) break;
    t.archive_read_free(t.a);
    return s;
}

static vise_status read_all(uint8_t *to, size_t size, const tar *t, vise_err *e)
{
    for (size_t done = 0; done < size;) {
        la_ssize_t got = t->archive_read_data(t->a, to + done, size - done);
        if (got <= 0)
            return vise_fail(e, VISE_EFORMAT, "incomplete tar: %zu of %zu bytes are there", done,
                             size);
        done += (size_t)got;
    }
    return VISE_OK;
}

vise_status vise_tar_extract(const vise_data *d, size_t i, uint8_t **bytes, size_t *size,
                             vise_err *e)
{
    const vise_item *x = &d->item[i];
    tar t;
    struct archive_entry *entry;
    uint8_t *p = NULL;
    VISE_TRY(start(&t, d->map.data + x->at, d->map.size - (size_t)x->at, e));
    vise_status s = next(&entry, &t, 1, e);
    if (!s && !entry) s = vise_fail(e, VISE_EFORMAT, "the tar file has changed");
    if (!s) s = check_size(d, x->at, t.archive_entry_size(entry), x->name, e);
    const size_t n = s ? 0 : (size_t)t.archive_entry_size(entry);
    if (!s) s = vise_alloc_or(&p, n, 1, "a picture file", e);
    if (!s) s = read_all(p, n, &t, e);
    t.archive_read_free(t.a);
    if (s) {
        vise_free(p);
        return s;
    }
    *bytes = p;
    *size = n;
    return VISE_OK;
}

/* Replaces the scanned pictures by those that a table lists, in its order. */
static vise_status keep_listed(vise_data *d, const char *truth, vise_err *e)
{
    vise_data listed = {0};
    vise_status s = vise_data_label_by_folder(d, false, e); // sorted, and each name once
    if (!s) s = vise_csv_labels_file(&listed, truth, e);
    for (size_t i = 0, lo; !s && i < listed.count; i++) {
        const char *name = listed.item[i].name;
        lo = 0; // the first scanned picture not before name
        for (size_t hi = d->count; lo < hi;) {
            size_t mid = lo + (hi - lo) / 2;
            if (strcmp(d->item[mid].name, name) < 0)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo < d->count && !strcmp(d->item[lo].name, name))
            listed.item[i].at = d->item[lo].at;
        else
            s = vise_fail(e, VISE_EFORMAT, "%s: %s is no picture of %s", truth, name, d->path);
    }
    if (s) {
        vise_free(listed.item);
        vise_region_free(&listed.names);
        return s;
    }
    vise_free(d->item);
    vise_region_free(&d->names);
    d->item = listed.item;
    d->count = listed.count;
    d->room = listed.room;
    d->names = listed.names;
    return VISE_OK;
}

static const char *packer(const uint8_t *p, size_t size)
{
    static const struct {
        const char *magic, *name;
    } packers[] = {
        {"\x1f\x8b", "gzip"},
        {"BZh", "bzip2"},
        {"\xfd\x37\x7a", "xz"},
        {"\x28\xb5\x2f\xfd", "zstd"},
    };
    for (size_t i = 0; i < sizeof packers / sizeof *packers; i++) {
        const size_t n = strlen(packers[i].magic);
        if (size >= n && !memcmp(p, packers[i].magic, n)) return packers[i].name;
    }
    return NULL;
}

static vise_status claims(bool *mine, const char *path, bool truth, vise_err *e)
{
    (void)path;
    (void)truth;
    (void)e;
    *mine = true; // the last kind: what is no tar fails here
    return VISE_OK;
}

static vise_status open_set(vise_data *d, const char *truth, vise_err *e)
{
    VISE_TRY(vise_map_open(&d->map, d->path, e));
    const char *packed = packer(d->map.data, d->map.size);
    if (packed)
        return vise_fail(
            e, VISE_EFORMAT,
            "%s: compressed by %s: decompress it, pictures are read from plain tar files", d->path,
            packed);
    vise_status s = vise_tar_scan(d, truth != NULL, e);
    if (s) return vise_fail_in(e, s, d->path);
    vise_map_drop(&d->map, d->map.data, d->map.size); // the scan touched all of it
    if (truth) return keep_listed(d, truth, e);
    if (!d->count)
        return vise_fail(e, VISE_EFORMAT, "%s: no pictures in it, in a folder per class", d->path);
    return vise_data_label_by_folder(d, true, e);
}

static vise_status picture(const vise_data *d, size_t i, const vise_image_opts *how,
                           vise_image *out, vise_err *e)
{
    uint8_t *bytes = NULL;
    size_t size;
    vise_status s = vise_tar_extract(d, i, &bytes, &size, e);
    if (!s) s = vise_image_read(out, bytes, size, how, e);
    vise_free(bytes);
    return vise_data_fail_in(d, i, s, e);
}

const vise_data_kind vise_set_tar = {claims, open_set, picture, false};
