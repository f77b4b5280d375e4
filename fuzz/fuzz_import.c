/* fuzz_import.c - any tensors as a checkpoint: recognising a family and building its graph
 * SPDX-License-Identifier: MIT */
#include "model/arch/arch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vise_err e;
    vise_model *m;
    const vise_arch *arch;
    const vise_import opts = {.heads = size % 3}; // 0: to be found
    vise_map map = {.data = data, .size = size};
    if (vise_model_alloc(&m, &e)) return 0;
    if (!vise_read_safetensors(&m->tensors, &map, &e) && !vise_arch_detect(&arch, &m->tensors, &e))
        arch->build(m, &opts, &(vise_configs){0}, &e);
    vise_model_free(m);
    return 0;
}
