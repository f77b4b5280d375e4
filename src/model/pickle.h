/* pickle.h - a pickle as plain values, without running anything
 *
 * Python's pickle is a program for a stack machine that may call any function. This machine knows
 * the opcodes that build data, and a list of globals: PyTorch's tensors and storages, dicts, and
 * classes that checkpoints carry along, whose values become VISE_PKL_OPAQUE. Any other global is
 * refused by name. Source: Python's pickletools (opcodes), torch/serialization.py, torch/_utils.py.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_PICKLE_H
#define VISE_MODEL_PICKLE_H

#include "graph/tensor.h"

typedef enum vise_pkl_kind {
    VISE_PKL_NONE,
    VISE_PKL_BOOL,    // i
    VISE_PKL_INT,     // i
    VISE_PKL_LONG,    // text: more than 64 bits, little endian two's complement
    VISE_PKL_FLOAT,   // nothing is kept
    VISE_PKL_STR,     // text
    VISE_PKL_BYTES,   // text
    VISE_PKL_TUPLE,   // seq
    VISE_PKL_LIST,    // seq
    VISE_PKL_DICT,    // seq of key, value, key, value, ... in the order of insertion
    VISE_PKL_GLOBAL,  // global
    VISE_PKL_STORAGE, // storage
    VISE_PKL_TENSOR,  // tensor
    VISE_PKL_OPAQUE,  // an object of no interest
    VISE_PKL_MARK,    // inside the machine only
} vise_pkl_kind;

/* Anything may be reached from itself: lists and dicts can hold themselves. */
typedef struct vise_pkl {
    vise_pkl_kind kind;
    union {
        int64_t i;
        struct {
            const char *p; // in the pickle, not terminated
            size_t n;
        } text;
        struct vise_pkl_seq *seq;
        const struct vise_pkl_global *global;
        const struct vise_pkl_storage *storage;
        const struct vise_pkl_tensor *tensor;
    } u;
} vise_pkl;

typedef struct vise_pkl_seq {
    vise_pkl *item;
    size_t n, room;
    bool seen; // for a walk that must not go in circles
} vise_pkl_seq;

/* A reference to numbers that are stored outside the pickle. */
typedef struct vise_pkl_storage {
    const struct vise_pkl_storage *next; // of the pickle's list, newest first
    const char *key;                     // in the pickle, not terminated
    size_t key_len;
    const char *type;    // "FloatStorage", for messages
    vise_dtype dtype;    // VISE_DTYPES: one that vise does not read
    size_t element_size; // bytes
    uint64_t count;      // elements
} vise_pkl_storage;

/* As written: nothing is checked against the storage. */
typedef struct vise_pkl_tensor {
    const vise_pkl_storage *storage;
    vise_dtype dtype; // its own where the storage is untyped; VISE_DTYPES: not supported
    int64_t offset;   // elements
    const vise_pkl_seq *size, *stride;
} vise_pkl_tensor;

typedef struct vise_pickle {
    vise_pkl root;
    size_t used; // bytes of the pickle
    const vise_pkl_storage *storages;
    vise_region region; // owns the values; texts stay in the pickle
} vise_pickle;

/* Reads one pickle at the start of data, which must outlive p. Fails with VISE_EFORMAT (broken, or
 * a global that is not in the list: named) or VISE_ENOMEM; then p is empty. */
vise_status vise_pickle_parse(vise_pickle *p, const void *data, size_t size, vise_err *e);
void vise_pickle_free(vise_pickle *p);

bool vise_pkl_is_text(const vise_pkl *v, const char *text); // a str that equals text

#endif
