/* file.h - files: read in place, written whole or not at all.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_FILE_H
#define VISE_BASE_FILE_H

#include "base/mem.h"

/* A file in memory, read-only. data is NULL only for a file of 0 bytes. */
typedef struct vise_map {
    const uint8_t *data;
    size_t size;   // bytes
    void *mapping; // what to unmap, or NULL
} vise_map;

/* Maps a regular file. Fails with VISE_EIO, naming the path and the system's reason. */
vise_status vise_map_open(vise_map *m, const char *path, vise_err *e);
void vise_map_close(vise_map *m); // safe on a zeroed map
/* Tells the system that these bytes will not be read again soon, so they leave the resident set.
 * What lies outside of m is left alone. */
void vise_map_drop(const vise_map *m, const void *p, size_t n);

/* Reads a whole small file, with a 0 byte after its end. Fails with VISE_EIO, and with
 * VISE_EFORMAT when it has more than limit bytes. Release *text with vise_free. */
vise_status vise_read_text(char **text, size_t *size, const char *path, size_t limit, vise_err *e);

/* A file that appears under its name only when it is whole: written without a name (or, where the
 * file system cannot, as PATH.vise-part beside it), fsynced, renamed. A PATH.vise-part that a killed process left is
 * replaced. Errors stick and are told by vise_out_commit. */
typedef struct vise_out {
    void *file;   // FILE
    char *temp;   // the temporary name
    bool named;   // it exists under that name
    char *path;   // the name it will have
    int error;    // first errno, 0 none
    size_t bytes; // written
} vise_out;

vise_status vise_out_open(vise_out *o, const char *path, vise_err *e);
void vise_out_write(vise_out *o, const void *p, size_t n);
vise_status vise_out_commit(vise_out *o, vise_err *e); // releases o; on failure nothing is left
void vise_out_abandon(vise_out *o);                    // releases o; nothing is left

bool vise_is_dir(const char *path);
bool vise_is_file(const char *path);

/* "dir/name" of a file beside path, in *out (vise_free). VISE_ENOMEM. */
vise_status vise_path_beside(char **out, const char *path, const char *name, vise_err *e);
/* "dir/name", in *out (vise_free). VISE_ENOMEM. */
vise_status vise_path_join(char **out, const char *dir, const char *name, vise_err *e);

#endif
