/* arch.c - the model families
 * SPDX-License-Identifier: MIT */
#include "model/arch/vit.h"

#include <string.h>

static const vise_arch *const archs[] = {&vise_arch_vit};

const vise_arch *vise_arch_find(const char *name)
{
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (!strcmp(archs[i]->name, name)) return archs[i];
    return NULL;
}

vise_status vise_arch_detect(const vise_arch **out, const vise_tensors *t, vise_err *e)
{
    int best = 0;
    *out = NULL;
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        const int sure = archs[i]->match(t);
        if (sure <= best) continue;
        best = sure;
        *out = archs[i];
    }
    if (*out) return VISE_OK;
    if (!t->count) return vise_fail(e, VISE_EFORMAT, "no tensors in it");
    vise_listing l = {0};
    for (size_t i = 0; i < t->count; i++)
        vise_listing_add(&l, t->item[i].name, &t->item[i].shape);
    return vise_fail(e, VISE_EFORMAT, "its %zu tensors are of no model family known here: %s",
                     t->count, vise_listing_text(&l));
}
