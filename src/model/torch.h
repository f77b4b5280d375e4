/* torch.h - from PyTorch's pickled values and stored numbers to named tensors
 *
 * What the zip container and the older one have in common.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_TORCH_H
#define VISE_MODEL_TORCH_H

#include "model/pickle.h"
#include "model/tensors.h"

/* All count * element_size bytes of a storage, in place or in a block of t. */
typedef vise_status vise_torch_storage_fn(void *file, const vise_pkl_storage *s,
                                          const uint8_t **data, vise_err *e);

typedef struct vise_torch {
    vise_tensors *t;
    size_t budget; // bytes that may still be copied: a small file must not fill the memory
    vise_torch_storage_fn *storage;
    void *file;
} vise_torch;

size_t vise_torch_budget(size_t file_bytes); // 16 times the file and 1 MiB

/* A block of t, taken from the budget. VISE_EFORMAT if it does not allow it, naming name. */
vise_status vise_torch_block(vise_torch *f, size_t bytes, const char *name, void **block,
                             vise_err *e);

/* Adds the tensors of the state dict in p to t. VISE_EFORMAT: there is none, or a tensor that does
 * not lie inside its storage. */
vise_status vise_torch_collect(vise_torch *f, const vise_pickle *p, vise_err *e);

#endif
