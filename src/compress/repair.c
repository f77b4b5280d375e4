/* repair.c - the pass "repair": a compressed network, block after block, is trained to give what the
 * original's blocks give.
 *
 * Inputs of a block are those that the network compressed and repaired so far gives, the target is what
 * the block gave in the original network on the original's inputs; the last part, norm and head, is held
 * against the original's answers. No labels. Rows count by how much the answers depend on them
 * (importance.h). Every eighth picture is held out: a part that has not brought the whole
 * network's answers to those nearer to the original's becomes what it was again. Weights keep their
 * encodings (params.h), and their codes unless told otherwise: scales and biases are few, so they are
 * learnt from few pictures.
 * After BRECQ (Li et al., arXiv 2102.05426), which reconstructs blocks; codes that move do so by
 * straight-through gradients in the place of learned rounding.
 *
 * SPDX-License-Identifier: MIT */
#include "base/rng.h"
#include "compress/importance.h"
#include "compress/pass.h"
#include "graph/ops_util.h"
#include "train/loss.h"
#include "train/params.h"

#include <math.h>
#include <string.h>

enum { PICTURES = 128, HELD = 8, MAX_PARTS = 1000 };

typedef struct options {
    double epochs, rate, scales, batch;
    int codes; // 1: they move
    const char *skip;
} options;

/* Nodes of one side that end with a block. */
typedef struct part {
    size_t from[2], to[2]; // in the original, in the compressed network
    vise_id out[2];
    bool answers; // it gives logits
} part;

typedef struct job {
    vise_change *c;
    const options *o;
    const vise_model *original;
    vise_params params;
    vise_dense dense;
    part *part;
    size_t parts, pictures, batch;
    float *in[2],
        *target; // [pictures, floats] what a part of either side is given; what it shall give
    size_t floats, out, cols; // of one picture: into this part, out of it, in a row of that
    float *x, *y, *d;         // [batch, ...] gathered
    float *first;             // what this part's parameters were
    float *weight, *w; // [pictures, rows] what rows of this part's output matter; gathered; or NULL
    uint32_t *order;   // [pictures] those to train on
    vise_schedule schedule;
    vise_importance importance;
    float *answers;     // [held out, floats] of the original
    size_t answer;      // floats of one
    vise_session *rest; // of the compressed network, behind this part; NULL: nothing is
    float *got;         // [answer] of it
} job;

/* ---- parts ---- */

/* Both must see the same pictures. */
static vise_status check_recipes(const job *j, vise_err *e)
{
    const vise_recipe *a = &j->original->recipe, *b = &j->c->from->recipe;
    if (a->height == b->height && a->width == b->width && vise_recipe_same_colours(a, b))
        return VISE_OK;
    return vise_fail(
        e, VISE_EARG,
        "repair: the original sees pictures of %u x %u x %u, the model of %u x %u x %u, "
        "and mean and std must be the same, too",
        a->height, a->width, a->channels, b->height, b->width, b->channels);
}

static vise_status find_parts(job *j, vise_err *e)
{
    const vise_graph *g[2] = {&j->original->graph, &j->params.net.graph};
    size_t at[2] = {0, 0};
    while (vise_graph_block_end(g[0], j->parts) != SIZE_MAX)
        j->parts++;
    if (!j->parts || j->parts >= MAX_PARTS)
        return vise_fail(e, VISE_EARG, "repair: the network has no blocks (nodes blocks.N)");
    VISE_TRY(vise_alloc_or(&j->part, ++j->parts, sizeof *j->part, "repair", e));
    for (size_t i = 0; i < j->parts; i++)
        for (size_t s = 0; s < 2; s++) {
            const bool last = i + 1 == j->parts;
            const size_t end = last ? g[s]->nodes - 1 : vise_graph_block_end(g[s], i);
            if (end == SIZE_MAX || (!last && end < at[s]))
                return vise_fail(e, VISE_EARG, "repair: the original's block %zu is missing", i);
            j->part[i].from[s] = at[s];
            j->part[i].to[s] = at[s] = end + 1;
            j->part[i].out[s] = last ? g[s]->output[0].value : g[s]->node[end].out;
            j->part[i].answers = last;
        }
    for (size_t i = 0; i < j->parts; i++)
        if (!vise_shape_same(&g[0]->value[j->part[i].out[0]].shape,
                             &g[1]->value[j->part[i].out[1]].shape))
            return vise_fail(e, VISE_EARG, "repair: %s has another shape in the original",
                             g[1]->value[j->part[i].out[1]].name);
    return VISE_OK;
}

/* ---- running a side through a part, all pictures ---- */

static vise_status run_side(const job *j, size_t side, const part *p, float *to, vise_err *e)
{
    const vise_model *m = side ? &j->params.net : j->original;
    const vise_eval_opts *o = j->c->opts;
    const vise_session_opts so = {.threads = o->threads,
                                  .cpu = o->cpu,
                                  .batch = j->batch,
                                  .from = p->from[side],
                                  .to = p->to[side]};
    vise_session *s;
    VISE_TRY(vise_session_new(&s, m, &so, e));
    const bool fits = vise_session_inputs(s) == 1 &&
                      vise_shape_count(&vise_session_output(s, 0)->shape) == j->out;
    for (size_t i = 0; fits && i < j->pictures; i += j->batch) {
        const size_t n = j->pictures - i < j->batch ? j->pictures - i : j->batch;
        const float *in = j->in[side] + i * j->floats;
        float *out[VISE_MAX_PORTS] = {to + i * j->out};
        vise_session_run(s, n, &in, out);
    }
    vise_session_free(s);
    return fits ? VISE_OK
                : vise_fail(e, VISE_EARG, "repair: more than one value goes on behind a block");
}

/* ---- training a part ---- */

static void gather(const job *j, const uint32_t *which, size_t n)
{
    const size_t rows = j->out / j->cols;
    for (size_t i = 0; i < n; i++) {
        memcpy(j->x + i * j->floats, j->in[1] + which[i] * j->floats, j->floats * sizeof *j->x);
        memcpy(j->y + i * j->out, j->target + which[i] * j->out, j->out * sizeof *j->y);
        if (j->weight) memcpy(j->w + i * rows, j->weight + which[i] * rows, rows * sizeof *j->w);
    }
}

static double loss_of(const job *j, const part *p, const float *got, size_t n, float *d)
{
    const vise_student s = {got, d, n * j->out / j->cols, j->cols, 1};
    return p->answers ? vise_loss_soft(&s, j->y, 1)
                      : vise_loss_weighted(&s, j->y, j->weight ? j->w : NULL);
}

/* How far the whole network's answers are from the original's, on pictures held out: mean KL. What is
 * behind the part is as it is now. */
static double held_out(const job *j, const part *p, vise_tape *t)
{
    const vise_shape *s = &j->params.net.graph.value[j->part[j->parts - 1].out[1]].shape;
    const size_t cols = vise_shape_last(s);
    double sum = 0, n = 0;
    for (size_t i = 0; i < j->pictures; i += HELD) {
        vise_tape_forward(t, 1, j->in[1] + i * j->floats);
        const float *x = t->value[p->out[1]];
        if (j->rest) vise_session_run(j->rest, 1, &x, (float *[VISE_MAX_PORTS]){j->got});
        const vise_student a = {j->rest ? j->got : x, NULL, j->answer / cols, cols, 1};
        sum += vise_loss_soft(&a, j->answers + i / HELD * j->answer, 1);
        n++;
    }
    return sum / n;
}

static void keep(const job *j, const vise_optim *o, bool back)
{
    float *at = j->first;
    for (size_t i = 0; i < o->params; i++) {
        memcpy(back ? o->param[i].x : at, back ? at : o->param[i].x, o->param[i].n * sizeof(float));
        at += o->param[i].n;
    }
}

/* On n pictures that were gathered. */
static vise_status one_step(job *j, const part *p, vise_tape *t, vise_optim *o, size_t n,
                            vise_err *e)
{
    vise_tape_clear(t);
    vise_tape_forward(t, n, j->x);
    memset(j->d, 0, n * j->out * sizeof *j->d);
    loss_of(j, p, t->value[p->out[1]], n, j->d);
    VISE_TRY(vise_tape_backward(t, &(vise_seed){p->out[1], j->d}, 1, e));
    vise_params_gradients(&j->params, t, &j->dense);
    vise_optim_step(o, &j->dense, vise_schedule_at(&j->schedule, o->steps));
    vise_params_encode(&j->params, &j->dense);
    return vise_tape_refresh(t, e);
}

static vise_status train(job *j, const part *p, vise_tape *t, vise_optim *o, vise_err *e)
{
    const vise_eval_opts *opts = j->c->opts;
    size_t n = 0;
    vise_rng r = vise_rng_named(p->from[1], "repair");
    for (size_t i = 0; i < j->pictures; i++)
        if (i % HELD) j->order[n++] = (uint32_t)i;
    const size_t steps = (n + j->batch - 1) / j->batch;
    j->schedule = (vise_schedule){j->o->rate, 0, steps / 2, steps * (size_t)j->o->epochs};
    const double before = held_out(j, p, t);
    keep(j, o, false);
    vise_status st = VISE_OK;
    for (size_t epoch = 0; !st && epoch < (size_t)j->o->epochs; epoch++) {
        vise_rng_shuffle(&r, j->order, n);
        for (size_t i = 0; !st && i < n; i += j->batch) {
            const size_t some = n - i < j->batch ? n - i : j->batch;
            gather(j, j->order + i, some);
            st = one_step(j, p, t, o, some, e);
        }
        if (opts->progress && !st &&
            !opts->progress(opts->user, "repairing blocks",
                            (size_t)(p - j->part) * (size_t)j->o->epochs + epoch,
                            j->parts * (size_t)j->o->epochs))
            st = vise_fail(e, VISE_ECANCEL, "stopped in part %zu of %zu", (size_t)(p - j->part) + 1,
                           j->parts);
    }
    if (!st && held_out(j, p, t) < before) return VISE_OK;
    keep(j, o, true);
    vise_params_encode(&j->params, &j->dense);
    return st ? st : vise_tape_refresh(t, e);
}

/* Does a node outside of the part read v? Then the part may not change it. */
static bool is_shared(const job *j, const part *p, vise_id v)
{
    const vise_graph *g = &j->params.net.graph;
    return vise_graph_reads(g, v, 0, p->from[1]) || vise_graph_reads(g, v, p->to[1], g->nodes);
}

/* An optimizer for what has gradients on this tape, and everything else idle. */
static vise_status open_optim(job *j, const part *where, vise_optim *o, vise_tape *t, vise_err *e)
{
    vise_param *p;
    size_t n = 0, floats = 0;
    for (size_t i = 0; i < j->params.count; i++) {
        vise_trained *w = &j->params.trained[i];
        w->idle = !t->grad[w->to] || is_shared(j, where, w->to);
    }
    vise_operand_scales_within(&j->params.operands, where->from[1], where->to[1]);
    vise_params_connect(&j->params, t);
    VISE_TRY(vise_alloc_or(&p, j->params.params, sizeof *p, "repair", e));
    for (size_t i = 0; i < j->params.params; i++) {
        p[n] = j->params.param[i];
        if (!vise_params_is_idle(&j->params, &p[n])) floats += p[n++].n;
    }
    vise_status s = vise_optim_open(o, &(vise_optim_opts){.kind = VISE_OPTIM_ADAMW}, p, n, e);
    vise_free(p);
    vise_free(j->first);
    j->first = NULL;
    return s ? s : vise_alloc_or(&j->first, floats, sizeof *j->first, "repair", e);
}

/* What follows a part, to judge it by the network's answers. */
static vise_status open_rest(job *j, const part *p, vise_err *e)
{
    const vise_eval_opts *o = j->c->opts;
    vise_session_free(j->rest);
    j->rest = NULL;
    if (p->answers) return VISE_OK;
    const vise_session_opts so = {
        .threads = o->threads, .cpu = o->cpu, .from = p->to[1], .to = j->params.net.graph.nodes};
    VISE_TRY(vise_session_new(&j->rest, &j->params.net, &so, e));
    if (vise_session_inputs(j->rest) == 1) return VISE_OK;
    return vise_fail(e, VISE_EARG, "repair: more than one value goes on behind a block");
}

/* The original's answers to the pictures held out. */
static vise_status open_answers(job *j, vise_err *e)
{
    const vise_eval_opts *o = j->c->opts;
    const vise_graph *g = &j->original->graph;
    vise_session *s;
    j->answer = vise_shape_count(&g->value[g->output[0].value].shape);
    VISE_TRY(vise_alloc_or(&j->answers, (j->pictures + HELD - 1) / HELD * j->answer, sizeof(float),
                           "repair", e));
    VISE_TRY(vise_alloc_or(&j->got, j->answer, sizeof(float), "repair", e));
    VISE_TRY(vise_session_new(&s, j->original,
                              &(vise_session_opts){.threads = o->threads, .cpu = o->cpu}, e));
    for (size_t i = 0; i < j->pictures; i += HELD) {
        const float *in = j->in[0] + i * j->floats;
        float *out[VISE_MAX_PORTS] = {j->answers + i / HELD * j->answer};
        vise_session_run(s, 1, &in, out);
    }
    vise_session_free(s);
    return VISE_OK;
}

/* Reads the pictures, and finds what rows matter: those of a block's last matrix. */
static vise_status open_pictures(job *j, vise_err *e)
{
    vise_prefix p = {0};
    const vise_id in = j->c->from->graph.input[0].value;
    vise_status s = vise_prefix_open(&p, j->c, PICTURES, e);
    if (!s) s = vise_importance_open(&j->importance, &p, &j->dense, e);
    if (!s) {
        j->in[0] = j->in[1] = p.value[VISE_ORIGINAL][in];
        p.value[VISE_ORIGINAL][in] = p.value[VISE_COMPRESSED][in] = NULL;
    }
    vise_prefix_close(&p);
    return s;
}

static float *weight_of(const job *j, const part *p)
{
    const vise_graph *g = &j->params.net.graph;
    for (size_t i = p->to[1]; !p->answers && i-- > p->from[1];) {
        const vise_shape *s = &g->value[g->node[i].out].shape;
        if (j->importance.row[i])
            return vise_shape_count(s) / vise_shape_last(s) == j->out / j->cols
                       ? j->importance.row[i]
                       : NULL;
    }
    return NULL;
}

static vise_status repair_part(job *j, part *p, vise_err *e)
{
    vise_tape t = {0};
    vise_optim o = {0};
    const vise_eval_opts *opts = j->c->opts;
    const vise_tape_opts to = {.batch = j->batch,
                               .threads = opts->threads,
                               .cpu = opts->cpu,
                               .want = j->params.want,
                               .from = p->from[1],
                               .to = p->to[1]};
    vise_status s = vise_tape_open(&t, &j->params.net, &j->dense, &to, e);
    if (!s) s = open_rest(j, p, e);
    if (!s) s = open_optim(j, p, &o, &t, e);
    if (!s && o.params) s = train(j, p, &t, &o, e);
    vise_optim_close(&o);
    vise_tape_close(&t);
    return s;
}

/* Room for what a part gives; its batches. */
static vise_status open_part(job *j, const part *p, vise_err *e)
{
    const vise_graph *g = &j->params.net.graph;
    j->out = vise_shape_count(&g->value[p->out[1]].shape);
    j->cols = vise_shape_last(&g->value[p->out[1]].shape);
    j->weight = weight_of(j, p);
    vise_free(j->x);
    vise_free(j->y);
    vise_free(j->d);
    vise_free(j->w);
    j->x = j->y = j->d = j->w = NULL;
    VISE_TRY(vise_alloc_or(&j->w, j->batch * j->out / j->cols, sizeof(float), "repair", e));
    VISE_TRY(vise_alloc_or(&j->x, j->batch * j->floats, sizeof(float), "repair", e));
    VISE_TRY(vise_alloc_or(&j->y, j->batch * j->out, sizeof(float), "repair", e));
    VISE_TRY(vise_alloc_or(&j->d, j->batch * j->out, sizeof(float), "repair", e));
    return vise_alloc_or(&j->target, j->pictures * j->out, sizeof(float), "repair", e);
}

/* Both sides go on to the next part. */
static vise_status advance(job *j, const part *p, vise_err *e)
{
    float *next;
    VISE_TRY(vise_alloc_or(&next, j->pictures * j->out, sizeof *next, "repair", e));
    const vise_status s = run_side(j, 1, p, next, e);
    if (j->in[1] != j->in[0]) vise_free(j->in[1]);
    vise_free(j->in[0]);
    j->in[0] = j->target;
    j->in[1] = next;
    j->target = NULL;
    j->floats = j->out;
    return s;
}

static vise_status run(job *j, vise_err *e)
{
    const vise_recipe *r = &j->c->from->recipe;
    j->floats = (size_t)r->height * r->width * r->channels;
    VISE_TRY(vise_alloc_or(&j->order, j->pictures, sizeof *j->order, "repair", e));
    VISE_TRY(open_pictures(j, e));
    VISE_TRY(open_answers(j, e));
    for (size_t i = 0; i < j->parts; i++) {
        VISE_TRY(open_part(j, &j->part[i], e));
        VISE_TRY(run_side(j, 0, &j->part[i], j->target, e));
        VISE_TRY(repair_part(j, &j->part[i], e));
        if (i + 1 < j->parts) VISE_TRY(advance(j, &j->part[i], e));
    }
    return VISE_OK;
}

static void close(job *j)
{
    vise_params_close(&j->params);
    vise_dense_close(&j->dense);
    if (j->in[1] != j->in[0]) vise_free(j->in[1]);
    vise_free(j->in[0]);
    vise_free(j->target);
    vise_free(j->part);
    vise_free(j->x);
    vise_free(j->y);
    vise_free(j->d);
    vise_free(j->first);
    vise_free(j->order);
    vise_free(j->w);
    vise_free(j->answers);
    vise_free(j->got);
    vise_session_free(j->rest);
    vise_importance_close(&j->importance);
}

static vise_status check(const options *o, vise_err *e)
{
    if (!(o->batch >= 1 && o->batch <= 4096 && o->batch == floor(o->batch)) ||
        !(o->epochs <= 10000 && o->epochs == floor(o->epochs)))
        return vise_fail(e, VISE_EARG,
                         "repair batch=%g epochs=%g: whole numbers from 1 to 4096, and up to 10000",
                         o->batch, o->epochs);
    if (!(o->rate <= 1 && o->scales <= 1000)) // auto is no number
        return vise_fail(e, VISE_EARG, "repair rate=%g scales=%g: numbers up to 1, and up to 1000",
                         o->rate, o->scales);
    return VISE_OK;
}

static vise_status apply(vise_change *c, const void *opts, vise_err *e)
{
    const options *o = opts;
    const vise_eval_opts *eo = c->opts;
    job j = {.c = c, .o = o, .original = eo->against};
    const vise_params_opts po = {
        .only = "", .skip = o->skip, .layers = 1, .scales = o->scales, .fixed_codes = !o->codes};
    if (!j.original)
        return vise_fail(e, VISE_EARG, "repair needs the original model to learn from");
    VISE_TRY(check(o, e));
    j.batch = (size_t)o->batch;
    VISE_TRY(check_recipes(&j, e));
    VISE_TRY(vise_pictures_count(&j.pictures, c, PICTURES, e));
    if (j.pictures < 2)
        return vise_fail(e, VISE_EARG, "repair needs at least 2 calibration pictures");
    if (j.batch > j.pictures) j.batch = j.pictures;
    vise_status s = vise_dense_open(&j.dense, eo->threads, eo->cpu, e);
    if (!s) s = vise_params_open(&j.params, c, &po, e);
    if (!s) s = find_parts(&j, e);
    if (!s) s = run(&j, e);
    close(&j);
    return s;
}

#define AT(field) offsetof(options, field)
static const vise_line_opt table[] = {
    {"epochs", VISE_LINE_NUMBER, AT(epochs), "NUMBER", "10", "passes over the pictures, each part"},
    {"rate", VISE_LINE_NUMBER, AT(rate), "NUMBER", "0.0002", "learning rate of weights and biases"},
    {"scales", VISE_LINE_NUMBER, AT(scales), "NUMBER", "5",
     "times as much for the logarithms of scales, and for centroids"},
    {"batch", VISE_LINE_NUMBER, AT(batch), "NUMBER", "16", "pictures of a step"},
    {"codes", VISE_LINE_WORD, AT(codes), "stay|move", "stay",
     "move: weights may take other codes; else only their scales and centroids are trained"},
    {"skip", VISE_LINE_TEXT, AT(skip), "PATTERN,...", "", "tensors to leave as they are"},
    {0},
};

const vise_pass vise_pass_repair = {
    .name = "repair",
    .summary = "train a compressed model's blocks to give what the original's give",
    .opts = table,
    .opts_size = sizeof(options),
    .apply = apply,
};
