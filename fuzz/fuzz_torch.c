/* fuzz_torch.c - libFuzzer target: any bytes as a PyTorch zip file
 * SPDX-License-Identifier: MIT */
#include "tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_reader(vise_read_torch_zip, data, size);
}
