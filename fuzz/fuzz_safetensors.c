/* fuzz_safetensors.c - libFuzzer target: any bytes as a safetensors file
 * SPDX-License-Identifier: MIT */
#include "tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_reader(vise_read_safetensors, data, size);
}
