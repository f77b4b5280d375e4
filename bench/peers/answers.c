/* answers.c - answers MODEL DATA COUNT: the first COUNT pictures of a set, and what vise says they are
 *
 * For another runtime to read from stdout. Per picture, in this machine's byte order:
 *   label, answer  2 x u32                       the class it is, and the one of the largest output
 *   pixels         [channels, height, width] f32  as the model's recipe prepares them
 *
 * SPDX-License-Identifier: MIT */
#include <vise.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct job {
    vise_model *model;
    vise_session *session;
    vise_data *data;
    const vise_port *in, *out;
    float *pixels, *first, *logits; // [H, W, C]; [C, H, W]; [classes]
} job;

static vise_status open_all(job *j, char **args, vise_err *e)
{
    vise_status s = vise_model_open(&j->model, args[0], NULL, e);
    if (!s) s = vise_session_new(&j->session, j->model, &(vise_session_opts){0}, e);
    if (!s) s = vise_data_open(&j->data, args[1], NULL, e);
    if (s) return s;
    j->in = vise_session_input(j->session, 0);
    j->out = vise_session_output(j->session, 0);
    j->pixels = malloc(vise_shape_count(&j->in->shape) * sizeof *j->pixels);
    j->first = malloc(vise_shape_count(&j->in->shape) * sizeof *j->first);
    j->logits = malloc(vise_shape_count(&j->out->shape) * sizeof *j->logits);
    if (j->pixels && j->first && j->logits) return VISE_OK;
    snprintf(e->msg, sizeof e->msg, "no memory for a picture");
    return VISE_ENOMEM;
}

static uint32_t largest(const float *y, size_t n)
{
    size_t at = 0;
    for (size_t i = 1; i < n; i++)
        if (y[i] > y[at]) at = i;
    return (uint32_t)at;
}

static vise_status answer(const job *j, size_t i, vise_err *e)
{
    const vise_status s = vise_data_read(j->data, i, vise_model_recipe(j->model), j->pixels, e);
    if (s) return s;
    vise_session_run(j->session, 1, (const float *[]){j->pixels}, (float *[]){j->logits});
    const size_t channels = j->in->shape.dim[2], area = j->in->shape.dim[0] * j->in->shape.dim[1];
    for (size_t p = 0; p < area; p++)
        for (size_t c = 0; c < channels; c++)
            j->first[c * area + p] = j->pixels[p * channels + c];
    const uint32_t head[2] = {(uint32_t)vise_data_label(j->data, i),
                              largest(j->logits, vise_shape_count(&j->out->shape))};
    if (fwrite(head, sizeof head, 1, stdout) == 1 &&
        fwrite(j->first, sizeof *j->first, area * channels, stdout) == area * channels)
        return VISE_OK;
    snprintf(e->msg, sizeof e->msg, "picture %zu cannot be written", i);
    return VISE_EIO;
}

int main(int argc, char **argv)
{
    job j = {0};
    vise_err e;
    if (argc != 4) {
        fprintf(stderr, "usage: answers MODEL DATA COUNT\n");
        return 2;
    }
    vise_status s = open_all(&j, argv + 1, &e);
    const size_t asked = strtoul(argv[3], NULL, 10), all = s ? 0 : vise_data_count(j.data);
    for (size_t i = 0; !s && i < asked && i < all; i++)
        s = answer(&j, i, &e);
    if (!s && fflush(stdout)) {
        s = VISE_EIO;
        snprintf(e.msg, sizeof e.msg, "the last pictures cannot be written");
    }
    if (s) fprintf(stderr, "answers: %s\n", e.msg);
    free(j.logits);
    free(j.first);
    free(j.pixels);
    vise_data_free(j.data);
    vise_session_free(j.session);
    vise_model_free(j.model);
    return s != VISE_OK;
}
