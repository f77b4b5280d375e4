/* dataset.h - labelled sets of pictures: one struct, one kind a file.
 *
 * A set is immutable once it is open; its pictures are read from many threads at once.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_DATA_DATASET_H
#define VISE_DATA_DATASET_H

#include "base/file.h"
#include "data/image.h"

#include <dirent.h>

enum {
    VISE_MAX_PICTURES = 1 << 24, // in one set
    VISE_MAX_LABEL = 1000000,    // labels are below
    VISE_MAX_PATH = 4096,        // bytes of a picture's path
};

typedef struct vise_item {
    const char *name; // path inside the set, or number
    size_t label;
    uint64_t at; // tar: where its header starts in the file; cifar: where its pixels do in all
                 // files, one behind the other; bytes
} vise_item;

typedef struct vise_data_kind {
    /* Is this the kind for path? truth: labels are given apart. A path that cannot be read is no
     * failure here: it will be one of open, or of a later kind. VISE_ENOMEM. */
    vise_status (*claims)(bool *mine, const char *path, bool truth, vise_err *e);
    /* Fills d->item and what read needs; on failure the caller releases all of d. */
    vise_status (*open)(vise_data *d, const char *truth, vise_err *e);
    /* As vise_data_picture. */
    vise_status (*picture)(const vise_data *d, size_t i, const vise_image_opts *how,
                           vise_image *out, vise_err *e);
    bool files; // pictures are files below path, not parts of it
} vise_data_kind;

extern const vise_data_kind vise_set_scenes, vise_set_csv, vise_set_idx, vise_set_cifar,
    vise_set_folder, vise_set_tar;

struct vise_data {
    const vise_data_kind *kind;
    char *path;
    vise_item *item; // [count]
    size_t count, room;
    size_t classes;
    vise_region names;    // what item[].name points to
    vise_map map;         // tar: the archive; idx: the images file
    void *block;          // idx.gz: the images, unpacked; scenes: a vise_scenes
    const uint8_t *raw;   // idx: [count, height, width] u8, in map or block
    size_t height, width; // idx
    vise_map *part;       // cifar: [parts] its files
    size_t parts;
};

/* Picture i as it was stored, decoded: out->data is the caller's (vise_free). May be called from
 * many threads at once. Fails with VISE_EIO, VISE_EFORMAT or VISE_ENOMEM, naming the picture; then
 * *out is all zero. */
vise_status vise_data_picture(const vise_data *d, size_t i, const vise_image_opts *how,
                              vise_image *out, vise_err *e);
/* Puts the name of picture i before the message of e: "path/name: ", or "path: name: " where path
 * is a file. Returns s. */
vise_status vise_data_fail_in(const vise_data *d, size_t i, vise_status s, vise_err *e);

/* ---- for the kinds ---- */

/* Appends a picture; name is copied. VISE_EFORMAT beyond VISE_MAX_PICTURES, VISE_ENOMEM. */
vise_status vise_data_add(vise_data *d, const char *name, size_t label, uint64_t at, vise_err *e);

/* Sorts the pictures by name (a name that is there twice stays with its larger `at`) and labels
 * each by its first folder, in alphabetical order; names without a folder make a class each. strip:
 * a first folder that all share is passed over if another follows in every name. VISE_ENOMEM. */
vise_status vise_data_label_by_folder(vise_data *d, bool strip, vise_err *e);

/* Does the name end in .jpg, .jpeg, .png, .webp, .ppm, .pgm or .pnm, in any case, and not start
 * with a dot? Folders may stand before it. */
bool vise_is_picture_name(const char *path);

/* The next entry of an open folder that does not start with a dot, NULL at the end. Fails with
 * VISE_EIO, naming path. */
vise_status vise_next_entry(const char **name, DIR *dir, const char *path, vise_err *e);
vise_status vise_open_dir(DIR **dir, const char *path, vise_err *e); // VISE_EIO, naming path

/* vise_data_kind.picture for pictures that are files below d->path. */
vise_status vise_data_picture_file(const vise_data *d, size_t i, const vise_image_opts *how,
                                   vise_image *out, vise_err *e);

/* ---- parsers of untrusted bytes ---- */

/* Adds a picture for every row of a table of comma-separated values. A first row with fields "path"
 * and "label" says which columns they are; without it they are the first two. Quotes are those of
 * RFC 4180; lines end in LF, CR LF or CR.
 *
 *   text  inout  [size + 1]  text[size] is 0; fields are cut and unquoted in place
 *
 * Fails with VISE_EFORMAT, naming the table and the line: a label that is not a whole number below
 * VISE_MAX_LABEL, a path that is absolute, leads out of the folder by "..", or is longer than
 * VISE_MAX_PATH, an unclosed quote, no rows; or VISE_ENOMEM. */
vise_status vise_csv_labels(vise_data *d, char *text, size_t size, const char *table, vise_err *e);

/* Reads labels from a file, as above. Also VISE_EIO. */
vise_status vise_csv_labels_file(vise_data *d, const char *path, vise_err *e);

/* An idx file of bytes: rank big-endian extents behind a magic number. */
typedef struct vise_idx {
    size_t dim[3];       // [rank]
    const uint8_t *data; // their product, in the bytes given or in block
    void *block;         // unpacked data of a compressed file, or NULL; release with vise_free
} vise_idx;

/* rank 1 or 3; bytes may be compressed by gzip. Fails with VISE_EFORMAT (another magic number, a
 * length that does not fit the extents, extents beyond the limits) or VISE_ENOMEM; then *out is all
 * zero. The messages do not name the file. */
vise_status vise_idx_parse(vise_idx *out, const uint8_t *bytes, size_t size, size_t rank,
                           vise_err *e);

/* Adds the pictures of one of CIFAR's binary files, the last of d->part; labels: label bytes of a
 * picture, 1 (CIFAR-10) or 2 (CIFAR-100). Fails with VISE_EFORMAT (a length that is no whole number
 * of pictures, a label beyond the set's classes) or VISE_ENOMEM; the messages do not name the
 * file. */
vise_status vise_cifar_scan(vise_data *d, size_t labels, vise_err *e);

/* Adds every picture file of the tar in d->map that lies in a folder, or every one (all), in the
 * archive's order. Fails with VISE_EFORMAT or VISE_ENOMEM; the messages do not name the file. */
vise_status vise_tar_scan(vise_data *d, bool all, vise_err *e);
/* The bytes of picture i of a scanned tar, in *bytes (vise_free). Likewise. */
vise_status vise_tar_extract(const vise_data *d, size_t i, uint8_t **bytes, size_t *size,
                             vise_err *e);

#endif
