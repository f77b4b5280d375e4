/* forward.c - a step that runs an operator's own definition, image by image
 * SPDX-License-Identifier: MIT */
#include "exec/session.h"

typedef struct job {
    const vise_step *st;
    vise_call call; // of the whole batch
} job;

static void one_image(void *ctx, size_t b, size_t thread)
{
    const job *j = ctx;
    vise_call c = j->call;
    for (uint32_t i = 0; i < c.nin; i++)
        if (c.in[i].shape) c.in[i].data = vise_arg_at(&c.in[i], b);
    c.out[0].data = vise_arg_at(&c.out[0], b);
    c.scratch = vise_scratch(j->st, thread);
    c.batch = 1;
    j->st->op->forward(&c);
}

static void run(vise_step *st, size_t batch)
{
    job j = {st, {.attr = st->attr, .nin = st->nin, .nout = 1, .actq = st->rounds}};
    for (uint32_t i = 0; i < st->nin; i++)
        j.call.in[i] = vise_step_in(st, i);
    j.call.out[0] = vise_step_out(st);
    vise_pool_run(st->s->pool, j.call.out[0].batched ? batch : 1, one_image, &j);
}

const vise_step_kind vise_step_forward = {.name = "forward", .run = run};
