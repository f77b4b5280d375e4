/* batch.c - batches of pictures through a session
 * SPDX-License-Identifier: MIT */
#include "data/batch.h"
#include "model/model.h"

vise_status vise_runner_open(vise_runner *r, const vise_model *m, const vise_eval_opts *o,
                             const char *const *taps, size_t ntaps, vise_err *e)
{
    *r = (vise_runner){.batch = o->batch ? o->batch : 1, .recipe = *vise_model_recipe(m)};
    const vise_session_opts so = {.threads = o->threads,
                                  .batch = r->batch,
                                  .cpu = o->cpu,
                                  .taps = taps,
                                  .ntaps = ntaps,
                                  .max_memory = o->max_memory};
    VISE_TRY(vise_session_new(&r->session, m, &so, e));
    const vise_port *in = vise_session_input(r->session, 0);
    const size_t outputs = vise_session_outputs(r->session);
    r->floats_out = vise_shape_count(&vise_session_output(r->session, 0)->shape);
    r->floats_in = (size_t)r->recipe.height * r->recipe.width * r->recipe.channels;
    if (vise_session_inputs(r->session) != 1 || vise_shape_count(&in->shape) != r->floats_in)
        return vise_fail(e, VISE_EARG, "the model takes something else than one picture");
    if (o->threads > 1) VISE_TRY(vise_pool_new(&r->readers, o->threads, e));
    VISE_TRY(vise_alloc_or(&r->pixels, r->batch * r->floats_in, sizeof(float), "pictures", e));
    VISE_TRY(vise_alloc_or(&r->out, outputs, sizeof *r->out, "outputs", e));
    for (size_t i = 0; i < outputs; i++) {
        const vise_port *p = vise_session_output(r->session, i);
        VISE_TRY(vise_alloc_or(&r->out[i], vise_shape_count(&p->shape) * r->batch, sizeof(float),
                               p->name, e));
    }
    r->in = r->pixels;
    return VISE_OK;
}

void vise_runner_close(vise_runner *r)
{
    for (size_t i = 0; r->out && i < vise_session_outputs(r->session); i++)
        vise_free(r->out[i]);
    vise_free(r->out);
    vise_free(r->pixels);
    vise_pool_free(r->readers);
    vise_session_free(r->session);
    *r = (vise_runner){0};
}

typedef struct job {
    vise_runner *r;
    const vise_data *data;
    size_t first;
    vise_err *err; // [threads] the failure of lowest index that a thread met
    size_t *bad;   // [threads] its index, or SIZE_MAX
} job;

static void read_one(void *ctx, size_t i, size_t thread)
{
    const job *j = ctx;
    vise_err e;
    if (!vise_data_read(j->data, j->first + i, &j->r->recipe, j->r->pixels + i * j->r->floats_in,
                        &e))
        return;
    if (i < j->bad[thread]) {
        j->bad[thread] = i;
        j->err[thread] = e;
    }
}

vise_status vise_runner_read(vise_runner *r, const vise_data *d, size_t first, size_t n,
                             vise_err *e)
{
    const size_t threads = vise_pool_threads(r->readers);
    job j = {.r = r, .data = d, .first = first};
    VISE_TRY(vise_alloc_or(&j.bad, threads, sizeof *j.bad + sizeof *j.err, "messages", e));
    j.err = (vise_err *)(j.bad + threads); // this order keeps both aligned
    for (size_t t = 0; t < threads; t++)
        j.bad[t] = SIZE_MAX;
    vise_pool_run(r->readers, n, read_one, &j);
    size_t worst = 0;
    for (size_t t = 1; t < threads; t++)
        if (j.bad[t] < j.bad[worst]) worst = t;
    vise_status s = VISE_OK;
    if (j.bad[worst] != SIZE_MAX) {
        s = j.err[worst].code;
        if (e) *e = j.err[worst];
    }
    vise_free(j.bad);
    r->in = r->pixels;
    return s;
}

static bool same_recipe(const vise_recipe *a, const vise_recipe *b)
{
    return vise_recipe_same_colours(a, b) && a->height == b->height && a->width == b->width &&
           a->filter == b->filter && a->crop == b->crop && a->crop_pct == b->crop_pct &&
           a->ignore_exif == b->ignore_exif;
}

bool vise_runner_same_input(const vise_runner *a, vise_runner *b)
{
    if (!same_recipe(&a->recipe, &b->recipe)) return false;
    b->in = a->in;
    return true;
}

void vise_runner_run(vise_runner *r, size_t n)
{
    vise_session_run(r->session, n, &r->in, r->out);
}
