/* eval.c - accuracy of a classifier, and how far two classifiers are apart
 * SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "data/batch.h"
#include "data/kl.h"

#include <math.h>
#include <string.h>

enum { TOP = 5 };

/* How many classes rank before label: larger logits, and equal ones of a lower index. */
static size_t rank_of(const float *logits, size_t classes, size_t label)
{
    size_t rank = 0;
    for (size_t i = 0; i < classes; i++)
        rank += logits[i] > logits[label] || (logits[i] == logits[label] && i < label);
    return rank;
}

static size_t argmax(const float *logits, size_t classes)
{
    size_t best = 0;
    for (size_t i = 1; i < classes; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

static void count_one(vise_eval_result *r, const float *logits, size_t classes, size_t label)
{
    const size_t rank = rank_of(logits, classes, label);
    r->correct_top1 += rank < 1;
    r->correct_top5 += rank < TOP;
    r->n++;
}

static void compare_one(vise_eval_result *r, const float *y, const float *ref, size_t classes)
{
    r->agreement += argmax(y, classes) == argmax(ref, classes);
    r->mean_kl += vise_kl(ref, y, classes);
    double sum = 0;
    for (size_t i = 0; i < classes; i++) {
        const double d = fabs((double)y[i] - (double)ref[i]);
        sum += d;
        if (d > r->max_abs_logit_error) r->max_abs_logit_error = d;
    }
    r->mean_abs_logit_error += sum / (double)classes;
}

static vise_status check_labels(const vise_runner *run, const vise_data *d, size_t n, vise_err *e)
{
    const vise_port *port = vise_session_output(run->session, 0);
    if (strcmp(port->name, "logits") != 0)
        return vise_fail(e, VISE_EARG,
                         "the model gives %.64s, not logits: there is nothing to count",
                         port->name);
    for (size_t i = 0; i < n; i++)
        if (vise_data_label(d, i) >= run->floats_out)
            return vise_fail(e, VISE_EFORMAT, "%s: label %zu, and the model has %zu classes",
                             vise_data_name(d, i), vise_data_label(d, i), run->floats_out);
    return VISE_OK;
}

/* Logits that are not finite would rank and compare as anything. */
static vise_status check_numbers(const float *y, size_t n, const char *picture, vise_err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(y[i]))
            return vise_fail(e, VISE_EFORMAT, "%s: logit %zu is %g: the network overflows", picture,
                             i, (double)y[i]);
    return VISE_OK;
}

static vise_status evaluate(vise_eval_result *r, vise_runner *run, vise_runner *ref, size_t n,
                            const vise_eval_opts *o, vise_err *e)
{
    const size_t classes = run->floats_out;
    for (size_t i = 0; i < n; i += run->batch) {
        const size_t m = n - i < run->batch ? n - i : run->batch;
        if (o->progress && !o->progress(o->user, "pictures", i, n))
            return vise_fail(e, VISE_ECANCEL, "stopped after %zu of %zu pictures", i, n);
        VISE_TRY(vise_runner_read(run, o->data, i, m, e));
        vise_runner_run(run, m);
        if (ref) {
            if (!vise_runner_same_input(run, ref))
                VISE_TRY(vise_runner_read(ref, o->data, i, m, e));
            vise_runner_run(ref, m);
        }
        for (size_t k = 0; k < m; k++) {
            const float *y = run->out[0] + k * classes;
            VISE_TRY(check_numbers(y, classes, vise_data_name(o->data, i + k), e));
            if (ref)
                VISE_TRY(check_numbers(ref->out[0] + k * classes, classes,
                                       vise_data_name(o->data, i + k), e));
            count_one(r, y, classes, vise_data_label(o->data, i + k));
            if (ref) compare_one(r, y, ref->out[0] + k * classes, classes);
            if (o->predicted) o->predicted[i + k] = argmax(y, classes);
        }
    }
    if (o->progress) o->progress(o->user, "pictures", n, n);
    return VISE_OK;
}

static vise_status run_all(vise_eval_result *r, vise_runner *run, vise_runner *ref,
                           const vise_eval_opts *o, vise_err *e)
{
    const size_t all = vise_data_count(o->data), n = o->limit && o->limit < all ? o->limit : all;
    const double start = vise_seconds();
    VISE_TRY(check_labels(run, o->data, n, e));
    if (ref && ref->floats_out != run->floats_out)
        return vise_fail(e, VISE_EARG,
                         "one model has %zu outputs, the other %zu: they cannot be "
                         "compared",
                         run->floats_out, ref->floats_out);
    VISE_TRY(evaluate(r, run, ref, n, o, e));
    r->seconds = vise_seconds() - start;
    r->agreement /= (double)n;
    r->mean_kl /= (double)n;
    r->mean_abs_logit_error /= (double)n;
    return VISE_OK;
}

vise_status vise_eval(vise_eval_result *r, const vise_model *m, const vise_eval_opts *o,
                      vise_err *e)
{
    vise_runner run = {0}, ref = {0};
    *r = (vise_eval_result){0};
    vise_status s = vise_runner_open(&run, m, o, NULL, 0, e);
    if (!s && o->against) {
        s = vise_runner_open(&ref, o->against, o, NULL, 0, e);
        if (s) vise_fail_in(e, s, "--against");
    }
    if (!s) s = run_all(r, &run, o->against ? &ref : NULL, o, e);
    if (s) *r = (vise_eval_result){0};
    vise_runner_close(&ref);
    vise_runner_close(&run);
    return s;
}
