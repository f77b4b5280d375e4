/* state.c - a checkpoint is a safetensors file
 * SPDX-License-Identifier: MIT */
#include "train/state.h"
#include "model/tensors.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEP_ROOM = 24 };

/* ---- writing ---- */

vise_status vise_state_write(const vise_state *s, const char *path, vise_err *e)
{
    char step[STEP_ROOM];
    vise_stored *item;
    snprintf(step, sizeof step, "%llu", (unsigned long long)s->step);
    VISE_TRY(vise_alloc_or(&item, s->arrays + 1, sizeof *item, "a checkpoint", e));
    for (size_t i = 0; i < s->arrays; i++)
        item[i] = (vise_stored){.name = s->array[i].name,
                                .dtype = VISE_F32,
                                .shape = {1, {s->array[i].n}},
                                .data = s->array[i].x,
                                .bytes = s->array[i].n * sizeof(float)};
    json_t *meta = json_pack("{s:s, s:s, s:s}", "format", "vise", "training", s->of, "step", step);
    const vise_status st = vise_write_safetensors(path, meta, item, s->arrays, e);
    vise_free(item);
    return st;
}

/* ---- reading ---- */

static vise_status take(vise_state *s, const vise_tensors *t, const char *path, vise_err *e)
{
    const char *of = vise_tensors_text(t, "training"), *step = vise_tensors_text(t, "step");
    if (!of || !step)
        return vise_fail(e, VISE_EFORMAT, "%s: not the checkpoint of a training", path);
    if (strcmp(of, s->of) != 0)
        return vise_fail(
            e, VISE_EARG,
            "%.150s is the checkpoint of another training (%.130s); remove it to begin "
            "anew, or name another with --state",
            path, of);
    for (size_t i = 0; i < s->arrays; i++) {
        const vise_state_array *a = &s->array[i];
        const vise_stored *x = vise_tensors_find(t, a->name);
        if (!x || x->dtype != VISE_F32 || x->bytes != a->n * sizeof(float))
            return vise_fail(e, VISE_EFORMAT, "%s: %s is missing or has not %zu numbers", path,
                             a->name, a->n);
    }
    for (size_t i = 0; i < s->arrays; i++)
        memcpy(s->array[i].x, vise_tensors_find(t, s->array[i].name)->data,
               s->array[i].n * sizeof(float));
    s->step = strtoull(step, NULL, 10);
    return VISE_OK;
}

vise_status vise_state_read(vise_state *s, bool *found, const char *path, vise_err *e)
{
    vise_map map;
    vise_tensors t = {0};
    *found = vise_is_file(path);
    if (!*found) return VISE_OK;
    VISE_TRY(vise_map_open(&map, path, e));
    vise_status st = vise_read_safetensors(&t, &map, e);
    if (!st) st = take(s, &t, path, e);
    vise_tensors_free(&t);
    return st;
}
