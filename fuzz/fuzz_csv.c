/* fuzz_csv.c - tables of labels
 * SPDX-License-Identifier: MIT */
#include "data/dataset.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vise_data d = {0};
    vise_err e;
    char *text;
    if (vise_alloc_or(&text, size + 1, 1, "the table", &e)) return 0;
    if (size) memcpy(text, data, size);
    if (!vise_csv_labels(&d, text, size, "labels.csv", &e))
        for (size_t i = 0; i < d.count; i++)
            if (d.item[i].label >= VISE_MAX_LABEL || d.item[i].name[0] == '/')
                vise_bug("picture %zu", i);
    vise_free(text);
    vise_region_free(&d.names);
    vise_free(d.item);
    return 0;
}
