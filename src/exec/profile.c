/* profile.c - where a session's time goes
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"
#include "base/clock.h"

#include <assert.h>

vise_status vise_profile_open(vise_session *s, const vise_graph *g, vise_err *e)
{
    vise_step_info *info = vise_region_take(&s->texts, s->steps, sizeof *info);
    if (!info) return vise_fail(e, VISE_ENOMEM, "out of memory: the times of %zu steps", s->steps);
    for (size_t i = 0; i < s->steps; i++) {
        vise_step *st = &s->step[i];
        const vise_node *n = &g->node[st->node];
        const size_t images = s->slot[st->out].batched ? s->batch : 1;
        vise_cost c;
        vise_graph_cost(g, n, &c);
        info[i] = (vise_step_info){.name = vise_region_str(&s->texts, n->name),
                                   .op = n->op->name,
                                   .kind = st->kind->packs ? "gemm f32" : n->op->name,
                                   .macs = images * c.macs,
                                   .bytes = images * c.act_bytes + c.weight_bytes};
        if (!info[i].name) return vise_fail(e, VISE_ENOMEM, "out of memory: names of steps");
        st->info = &info[i];
    }
    return VISE_OK;
}

void vise_profile_run(vise_step *st, size_t batch)
{
    const double start = st->info ? vise_seconds() : 0;
    st->kind->run(st, batch);
    if (!st->info) return;
    st->info->seconds +=
        (vise_seconds() - start) * (double)st->s->threads; // some of it spent waiting
    st->info->runs++;
}

size_t vise_session_steps(const vise_session *s)
{
    return s->steps && s->step[0].info ? s->steps : 0;
}

void vise_session_step(const vise_session *s, size_t i, vise_step_info *info)
{
    assert(i < vise_session_steps(s));
    *info = *s->step[i].info;
}

void vise_session_reset(vise_session *s)
{
    for (size_t i = 0; i < vise_session_steps(s); i++) {
        s->step[i].info->seconds = 0;
        s->step[i].info->runs = 0;
    }
}
