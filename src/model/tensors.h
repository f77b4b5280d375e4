/* tensors.h - a checkpoint as it was stored: named arrays, texts, and the memory that holds them.
 *
 * Readers fill a vise_tensors; arch/ turns it into a graph; nothing here knows about networks.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_TENSORS_H
#define VISE_MODEL_TENSORS_H

#include "base/file.h"
#include "graph/tensor.h"

enum {
    VISE_MAX_TENSORS = 16384, // in one checkpoint
    VISE_MAX_NAME = 512,      // bytes of a tensor's name
};

typedef struct vise_stored {
    const char *name; // printable ASCII without quote or backslash, 1..VISE_MAX_NAME bytes
    vise_dtype dtype;
    vise_shape shape; // every extent >= 1
    const void *data; // contiguous, row-major, little endian, unaligned
    size_t bytes;
} vise_stored;

typedef struct vise_text {
    const char *key, *value; // UTF-8
} vise_text;

/* Owns everything its tensors point to. */
typedef struct vise_tensors {
    vise_stored *item; // [count] in the file's order
    size_t count, room;
    vise_text *meta; // the file's own texts (safetensors' __metadata__)
    size_t nmeta, meta_room;
    vise_map *maps; // files mapped in place
    size_t nmaps;
    void **blocks; // memory of tensors that could not be read in place
    size_t nblocks, blocks_room;
    vise_region names;
    uint64_t file_bytes; // of all files read
} vise_tensors;

bool vise_tensor_name_ok(const char *name); // as vise_stored says

/* Builders for the readers; all fail with VISE_ENOMEM, add also with VISE_EFORMAT for a bad name or
 * more than VISE_MAX_TENSORS. Names and texts are copied, data is borrowed. */
vise_status vise_tensors_add(vise_tensors *t, const vise_stored *item, vise_err *e);
vise_status vise_tensors_add_text(vise_tensors *t, const char *key, const char *value, vise_err *e);
vise_status vise_tensors_own(vise_tensors *t, void *block, vise_err *e); // frees it if it fails
vise_status vise_tensors_own_map(vise_tensors *t, vise_map *map, vise_err *e); // likewise

const vise_stored *vise_tensors_find(const vise_tensors *t, const char *name); // NULL: none
const char *vise_tensors_text(const vise_tensors *t, const char *key);         // NULL: none
/* Lets go of the mapped pages that were read so far; they come back by themselves when needed. */
void vise_tensors_drop(const vise_tensors *t);
void vise_tensors_free(vise_tensors *t);

/* Checks for duplicate names; every reader ends with it. VISE_EFORMAT names one, VISE_ENOMEM. */
vise_status vise_tensors_check_names(const vise_tensors *t, vise_err *e);

/* VISE_EFORMAT names the tensor and the first element that is NaN or infinite. Integers pass. */
vise_status vise_stored_check_finite(const vise_stored *t, vise_err *e);

/* Reads any checkpoint by its content: safetensors, an index of shards, a PyTorch zip or legacy
 * file, or a folder that holds one of the usual names (model.safetensors, ...index.json,
 * pytorch_model.bin, then a single file with a known suffix). On success *used is the path of the
 * file that was read (vise_free), beside which configuration files are looked for. */
vise_status vise_tensors_read(vise_tensors *t, const char *path, char **used, vise_err *e);

/* One format each, added to what t holds; on failure t is freed and empty. map is taken over (moved
 * into t, or closed) on success and on failure; one without a mapping borrows its data.
 *
 * Nothing of a pickle is executed: its globals are looked up in a list of what tensors, dicts and
 * a few harmless classes need, and any other is refused by name. The tensors are those of the
 * state dict, found through wrappers by the first of the keys state_dict, model, model_state_dict,
 * module, net, params, teacher, student, ema, model_ema, state_dict_ema that leads to tensors; its
 * values that are no tensors are skipped. What must be copied (compressed storages, tensors that
 * are not contiguous) is at most 16 times the file and 1 MiB. */
vise_status vise_read_any(vise_tensors *t, vise_map *map, vise_err *e);
vise_status vise_read_safetensors(vise_tensors *t, vise_map *map, vise_err *e);
/* Writes a file whole or not at all. meta: texts, a json_t that is taken over; NULL: there was no memory
 * for it. VISE_ENOMEM, VISE_EIO */
vise_status vise_write_safetensors(const char *path, void *meta, const vise_stored *item, size_t n,
                                   vise_err *e);
/* An index names the shard, a file beside path, of every tensor; shards may be of any format. */
vise_status vise_read_index(vise_tensors *t, const char *path, vise_err *e);
vise_status vise_read_torch_zip(vise_tensors *t, vise_map *map, vise_err *e);
vise_status vise_read_torch_legacy(vise_tensors *t, vise_map *map, vise_err *e);

#endif
