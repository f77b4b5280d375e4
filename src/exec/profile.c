/* profile.c - where a session's time goes
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static uint64_t slot_bytes(const vise_session *s, vise_id id)
{
    const vise_slot *v = &s->slot[id];
    const size_t images = v->batched ? s->batch : 1;
    if (v->format == VISE_FMT_RAW) return (uint64_t)v->ld * images;
    return (uint64_t)vise_shape_count(&v->shape) * images * vise_gemm_for(s, v->format)->esize;
}

/* "gemm s8": what a step does, with its operands' format where there is a choice. */
static const char *kind_of(vise_session *s, const vise_step *st)
{
    static const char *const format[] = {"f32", "bf16", "s8"};
    char text[64];
    if (st->kind == &vise_step_forward) return st->op->name;
    const bool product = st->w.n || !strcmp(st->op->name, "attention");
    if (!product) return st->kind->name;
    snprintf(text, sizeof text, "%s %s", st->kind->name, format[st->w.format]);
    return vise_region_str(&s->texts, text);
}

vise_status vise_profile_open(vise_session *s, const vise_graph *g, vise_err *e)
{
    s->info = vise_region_take(&s->texts, s->steps + 1, sizeof *s->info);
    if (!s->info) return vise_fail(e, VISE_ENOMEM, "out of memory: times of %zu steps", s->steps);
    for (size_t i = 0; i < s->steps; i++) {
        const vise_step *st = &s->step[i];
        vise_step_info *info = &s->info[i];
        vise_cost c;
        vise_graph_cost(g, &g->node[st->node], &c);
        const bool product = st->w.n || (st->kind->rows && !strcmp(st->op->name, "attention"));
        *info = (vise_step_info){.name = st->name, .op = st->op->name, .kind = kind_of(s, st)};
        if (!info->kind) return vise_fail(e, VISE_ENOMEM, "out of memory: names of steps");
        info->macs = product || st->kind == &vise_step_forward ? c.macs * s->batch : 0;
        info->bytes = st->weight_bytes + slot_bytes(s, st->out);
        for (uint32_t k = 0; k < st->nin; k++)
            if (st->in[k] != VISE_NONE) info->bytes += slot_bytes(s, st->in[k]);
        if (st->epi.add != VISE_NONE) info->bytes += slot_bytes(s, st->epi.add);
    }
    return VISE_OK;
}

size_t vise_session_steps(const vise_session *s)
{
    return s->info ? s->steps : 0;
}

void vise_session_step(const vise_session *s, size_t i, vise_step_info *info)
{
    assert(i < vise_session_steps(s));
    *info = s->info[i];
    info->runs = s->runs;
    for (size_t t = 0; t < s->threads; t++)
        info->seconds += s->spent[t * s->steps + i];
}

void vise_session_reset(vise_session *s)
{
    s->runs = 0;
    if (s->info) memset(s->spent, 0, s->threads * s->steps * sizeof *s->spent);
}
