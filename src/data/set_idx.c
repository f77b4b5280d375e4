/* set_idx.c - a pair of idx files (images, labels), as MNIST and its kin are given out
 *
 * An idx file of bytes is 0, 0, 8, rank, then rank 4-byte big-endian extents, then the bytes. The
 * pair is told by names: ...images...idx3... and ...labels...idx1..., each with or without .gz.
 *
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

#define MAX_UNPACKED ((size_t)1 << 31) // bytes of a compressed file's data
#define MAX_BYTES ((size_t)1 << 40)    // bytes of any file's data

static bool is_gzip(const uint8_t *p, size_t size)
{
    return size >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8;
}

static vise_status parse_header(vise_idx *x, size_t *bytes, const uint8_t *head, size_t rank,
                                vise_err *e)
{
    const uint8_t magic[4] = {0, 0, 8, (uint8_t)rank};
    if (memcmp(head, magic, 4))
        return vise_fail(e, VISE_EFORMAT, "not an idx file of bytes in %zu dimension%s", rank,
                         rank == 1 ? "" : "s");
    *bytes = 1;
    for (size_t i = 0; i < rank; i++) {
        const uint8_t *p = head + 4 + 4 * i;
        x->dim[i] = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        const size_t most = i ? VISE_IMAGE_SIDE : VISE_MAX_PICTURES;
        if (!x->dim[i] || x->dim[i] > most)
            return vise_fail(e, VISE_EFORMAT, "an extent of %zu, not 1 to %zu", x->dim[i], most);
        *bytes *= x->dim[i]; // at most 2^24 * 2^16 * 2^16
    }
    if (*bytes > MAX_BYTES)
        return vise_fail(e, VISE_EFORMAT, "%zu bytes of data, at most %zu are read", *bytes,
                         MAX_BYTES);
    return VISE_OK;
}

static vise_status wrong_length(size_t bytes, vise_err *e)
{
    return vise_fail(e, VISE_EFORMAT,
                     "the data is not the %zu bytes that the header says, or is damaged", bytes);
}

static vise_status unpack(vise_idx *out, z_stream *z, size_t rank, vise_err *e)
{
    uint8_t head[16];
    size_t bytes;
    const size_t packed = z->avail_in;
    z->next_out = head;
    z->avail_out = (uInt)(4 + 4 * rank);
    if (inflate(z, Z_SYNC_FLUSH) < 0 || z->avail_out)
        return vise_fail(e, VISE_EFORMAT, "damaged gzip data, or shorter than an idx header");
    VISE_TRY(parse_header(out, &bytes, head, rank, e));
    if (bytes > MAX_UNPACKED)
        return vise_fail(e, VISE_EFORMAT,
                         "%zu bytes of data, at most %zu are unpacked: decompress the file first",
                         bytes, MAX_UNPACKED);
    if (bytes / 1032 > packed) return wrong_length(bytes, e); // deflate does not shrink by more
    VISE_TRY(vise_alloc_or(&out->block, bytes + 1, 1, "the unpacked idx file", e));
    out->data = out->block;
    z->next_out = out->block;
    z->avail_out = (uInt)(bytes + 1); // a byte too many shows itself
    if (inflate(z, Z_FINISH) != Z_STREAM_END || z->avail_out != 1) return wrong_length(bytes, e);
    return VISE_OK;
}

static vise_status parse_gzip(vise_idx *out, const uint8_t *bytes, size_t size, size_t rank,
                              vise_err *e)
{
    if (size > MAX_UNPACKED)
        return vise_fail(e, VISE_EFORMAT, "%zu bytes of gzip data, at most %zu are read", size,
                         MAX_UNPACKED);
    z_stream z = {.next_in = (Bytef *)bytes, .avail_in = (uInt)size}; // zlib does not write there
    if (inflateInit2(&z, 16 + MAX_WBITS))
        return vise_fail(e, VISE_ENOMEM, "out of memory: unpacking an idx file");
    vise_status s = unpack(out, &z, rank, e);
    inflateEnd(&z);
    if (s) {
        vise_free(out->block);
        *out = (vise_idx){0};
    }
    return s;
}

vise_status vise_idx_parse(vise_idx *out, const uint8_t *bytes, size_t size, size_t rank,
                           vise_err *e)
{
    const size_t head = 4 + 4 * rank;
    size_t data;
    *out = (vise_idx){0};
    if (is_gzip(bytes, size)) return parse_gzip(out, bytes, size, rank, e);
    if (size < head)
        return vise_fail(e, VISE_EFORMAT, "%zu bytes, an idx header takes %zu", size, head);
    vise_idx x = {0};
    VISE_TRY(parse_header(&x, &data, bytes, rank, e));
    if (size - head != data)
        return vise_fail(e, VISE_EFORMAT, "%zu bytes of data, the header says %zu", size - head,
                         data);
    x.data = bytes + head;
    *out = x;
    return VISE_OK;
}

/* The last place of a word in a path's file name, or NULL. */
static char *in_name(const char *path, const char *word)
{
    const char *slash = strrchr(path, '/'), *found = NULL;
    for (const char *p = slash ? slash + 1 : path; (p = strstr(p, word)); p++)
        found = p;
    return (char *)found;
}

static bool is_images_name(const char *name)
{
    return in_name(name, "images") && in_name(name, "idx3");
}

/* The images file of a folder, as an entry name in *out (vise_free) or NULL. Two are a failure. */
static vise_status find_images(char **out, const char *dir, vise_err *e)
{
    DIR *list;
    const char *name;
    *out = NULL;
    VISE_TRY(vise_open_dir(&list, dir, e));
    vise_status s;
    while (!(s = vise_next_entry(&name, list, dir, e)) && name) {
        if (!is_images_name(name)) continue;
        if (*out)
            s = vise_fail(e, VISE_EARG, "%s: both %s and %s are in it: give the path of one", dir,
                          *out, name);
        else if (!(*out = vise_strdup(name)))
            s = vise_fail(e, VISE_ENOMEM, "out of memory: the name of %s", name);
        if (s) break;
    }
    closedir(list);
    if (s) {
        vise_free(*out);
        *out = NULL;
    }
    return s;
}

/* The labels file beside an images file, in *out (vise_free). */
static vise_status find_labels(char **out, const char *images, vise_err *e)
{
    const size_t n = strlen(images);
    char *path;
    VISE_TRY(vise_alloc_or(&path, n + 4, 1, "the name of the labels", e));
    memcpy(path, images, n);
    char *word = in_name(path, "images"), *rank = in_name(path, "idx3");
    if (!word || !rank) {
        vise_free(path);
        return vise_fail(
            e, VISE_EARG,
            "%s: its name does not say images and idx3, so the labels beside it cannot "
            "be found",
            images);
    }
    memcpy(word, "labels", 6);
    memcpy(rank, "idx1", 4);
    const bool gz = n > 3 && !strcmp(path + n - 3, ".gz");
    if (!vise_is_file(path)) memcpy(gz ? path + n - 3 : path + n, gz ? "\0\0" : ".gz", 3);
    if (!vise_is_file(path)) memcpy(gz ? path + n - 3 : path + n, gz ? ".gz" : "\0\0", 3);
    *out = path;
    return VISE_OK;
}

static bool starts_as_idx(const char *path)
{
    vise_map map;
    uint8_t head[4] = {0};
    if (vise_map_open(&map, path, NULL)) return false;
    if (is_gzip(map.data, map.size)) {
        z_stream z = {.next_in = (Bytef *)map.data,
                      .avail_in = map.size < 65536 ? (uInt)map.size : 65536,
                      .next_out = head,
                      .avail_out = 4};
        if (!inflateInit2(&z, 16 + MAX_WBITS)) {
            inflate(&z, Z_SYNC_FLUSH);
            inflateEnd(&z);
        }
    } else if (map.size >= 4) {
        memcpy(head, map.data, 4);
    }
    vise_map_close(&map);
    return !memcmp(head, "\0\0\x08", 3);
}

static vise_status claims(bool *mine, const char *path, bool truth, vise_err *e)
{
    (void)truth; // a folder with a table is another kind
    *mine = vise_is_file(path) && starts_as_idx(path);
    if (!vise_is_dir(path)) return VISE_OK;
    char *name;
    vise_status s = find_images(&name, path, e);
    *mine = name || s == VISE_EARG; // there is one, or two
    vise_free(name);
    return s == VISE_ENOMEM ? s : VISE_OK;
}

/* Gives every picture its number as a name and its byte as a label. */
static vise_status add_labels(vise_data *d, const char *path, size_t count, vise_err *e)
{
    vise_map map;
    vise_idx labels = {0};
    VISE_TRY(vise_map_open(&map, path, e));
    vise_status s = vise_idx_parse(&labels, map.data, map.size, 1, e);
    if (!s && labels.dim[0] != count)
        s = vise_fail(e, VISE_EFORMAT, "%zu labels for %zu pictures", labels.dim[0], count);
    for (size_t i = 0; !s && i < count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        s = vise_data_add(d, number, labels.data[i], 0, e);
    }
    vise_free(labels.block);
    vise_map_close(&map);
    return vise_fail_in(e, s, path);
}

static vise_status open_pair(vise_data *d, const char *images, vise_err *e)
{
    vise_idx x;
    char *labels = NULL;
    VISE_TRY(vise_map_open(&d->map, images, e));
    vise_status s = vise_idx_parse(&x, d->map.data, d->map.size, 3, e);
    if (s) return vise_fail_in(e, s, images);
    d->block = x.block;
    d->raw = x.data;
    d->height = x.dim[1];
    d->width = x.dim[2];
    VISE_TRY(find_labels(&labels, images, e));
    s = add_labels(d, labels, x.dim[0], e);
    vise_free(labels);
    if (d->block) vise_map_close(&d->map);
    return s;
}

static vise_status open_set(vise_data *d, const char *truth, vise_err *e)
{
    if (truth)
        return vise_fail(e, VISE_EARG,
                         "%s: idx files have labels of their own, %s cannot replace them", d->path,
                         truth);
    if (!vise_is_dir(d->path)) return open_pair(d, d->path, e);
    char *name, *path;
    VISE_TRY(find_images(&name, d->path, e));
    if (!name) return vise_fail(e, VISE_EIO, "%s: no idx file of images in it", d->path);
    vise_status s = vise_path_join(&path, d->path, name, e);
    vise_free(name);
    if (s) return s;
    s = open_pair(d, path, e);
    vise_free(path);
    return s;
}

static vise_status picture(const vise_data *d, size_t i, const vise_image_opts *how,
                           vise_image *out, vise_err *e)
{
    vise_status s = vise_image_new(out, d->height, d->width, 1, how, e);
    if (s) return vise_data_fail_in(d, i, s, e);
    memcpy(out->data, d->raw + i * d->height * d->width, d->height * d->width);
    return VISE_OK;
}

const vise_data_kind vise_set_idx = {claims, open_set, picture, false};
