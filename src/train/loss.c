/* loss.c - losses on logits and on values, with their gradients
 * SPDX-License-Identifier: MIT */
#include "train/loss.h"
#include "train/work.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- logits ---- */

void vise_targets_of(float *targets, const size_t *labels, size_t n, size_t classes,
                     double smoothing)
{
    const double rest = smoothing / (double)classes;
    for (size_t i = 0; i < n; i++, targets += classes) {
        assert(labels[i] < classes);
        for (size_t c = 0; c < classes; c++)
            targets[c] = (float)rest;
        targets[labels[i]] = (float)(1 - smoothing + rest);
    }
}

/* log sum_c exp(x_c / T) */
static double log_sum_exp(const float *x, size_t n, double T)
{
    double most = (double)x[0], sum = 0;
    for (size_t c = 1; c < n; c++)
        most = fmax(most, (double)x[c]);
    for (size_t c = 0; c < n; c++)
        sum += exp(((double)x[c] - most) / T);
    return most / T + log(sum);
}

double vise_loss_targets(const vise_student *s, const float *targets)
{
    const double scale = s->weight / (double)s->rows;
    double loss = 0;
    for (size_t i = 0; i < s->rows; i++) {
        const float *x = s->x + i * s->cols, *t = targets + i * s->cols;
        const double all = log_sum_exp(x, s->cols, 1);
        double mass = 0; // of the targets
        for (size_t c = 0; c < s->cols; c++) {
            loss += (double)t[c] * (all - (double)x[c]);
            mass += (double)t[c];
        }
        for (size_t c = 0; s->dx && c < s->cols; c++)
            s->dx[i * s->cols + c] +=
                (float)(scale * (mass * exp((double)x[c] - all) - (double)t[c]));
    }
    return loss / (double)s->rows;
}

double vise_loss_soft(const vise_student *s, const float *teacher, double T)
{
    const double scale = s->weight * T / (double)s->rows; // T^2, and 1 / T of the chain rule
    double loss = 0;
    for (size_t i = 0; i < s->rows; i++) {
        const float *x = s->x + i * s->cols, *t = teacher + i * s->cols;
        const double all = log_sum_exp(x, s->cols, T), teachers = log_sum_exp(t, s->cols, T);
        for (size_t c = 0; c < s->cols; c++) {
            const double lq = (double)x[c] / T - all, lp = (double)t[c] / T - teachers;
            const double p = exp(lp);
            loss += p * (lp - lq);
            if (s->dx) s->dx[i * s->cols + c] += (float)(scale * (exp(lq) - p));
        }
    }
    return T * T * loss / (double)s->rows;
}

double vise_loss_hard(const vise_student *s, const float *teacher)
{
    const double scale = s->weight / (double)s->rows;
    double loss = 0;
    for (size_t i = 0; i < s->rows; i++) {
        const float *x = s->x + i * s->cols, *t = teacher + i * s->cols;
        const double all = log_sum_exp(x, s->cols, 1);
        size_t label = 0;
        for (size_t c = 1; c < s->cols; c++)
            if (t[c] > t[label]) label = c;
        loss += all - (double)x[label];
        for (size_t c = 0; s->dx && c < s->cols; c++)
            s->dx[i * s->cols + c] += (float)(scale * (exp((double)x[c] - all) - (c == label)));
    }
    return loss / (double)s->rows;
}

/* ---- values ---- */

/* What mean squares are divided by. */
static double divisor(const float *target, size_t n, bool normalise)
{
    double mean = 0, var = 0;
    for (size_t i = 0; normalise && i < n; i++)
        mean += (double)target[i];
    mean /= (double)n;
    for (size_t i = 0; normalise && i < n; i++)
        var += ((double)target[i] - mean) * ((double)target[i] - mean);
    return var == 0 ? 1 : var / (double)n;
}

double vise_loss_mse(const vise_student *s, const float *target, bool normalise)
{
    const size_t n = s->rows * s->cols;
    const double by = (double)n * divisor(target, n, normalise);
    const float scale = (float)(2 * s->weight / by);
    double loss = 0;
    for (size_t i = 0; i < n; i++) {
        const float d = s->x[i] - target[i];
        loss += (double)d * (double)d;
    }
    for (size_t i = 0; s->dx && i < n; i++)
        s->dx[i] += scale * (s->x[i] - target[i]);
    return loss / by;
}

double vise_loss_weighted(const vise_student *s, const float *target, const float *weight)
{
    const size_t n = s->rows * s->cols;
    const double by = (double)n * divisor(target, n, true);
    double loss = 0;
    for (size_t r = 0; r < s->rows; r++) {
        const double w = weight ? (double)weight[r] : 1;
        const float scale = (float)(2 * s->weight * w / by);
        double sum = 0;
        for (size_t i = r * s->cols; i < (r + 1) * s->cols; i++) {
            const float d = s->x[i] - target[i];
            sum += (double)d * (double)d;
            if (s->dx) s->dx[i] += scale * d;
        }
        loss += w * sum;
    }
    return loss / by;
}

vise_status vise_loss_projected(double *loss, vise_dense *d, const vise_student *s,
                                const vise_projected *p, vise_err *e)
{
    const size_t rows = s->rows, in = s->cols, out = p->dim;
    float *y = p->room, *dy = y + rows * out;
    const vise_product forward = {y,   out, {s->x, in, 1}, {p->w, in, 1}, rows,
                                  out, in,  false,         false};
    VISE_TRY(vise_dense_mul(d, &forward, e));
    memset(dy, 0, rows * out * sizeof *dy);
    *loss = vise_loss_mse(&(vise_student){y, dy, rows, out, s->weight}, p->teacher, p->normalise);
    if (s->dx) {
        const vise_product dx = {s->dx, in,  {dy, out, 1}, {p->w, 1, in}, rows,
                                 in,    out, true,         false};
        VISE_TRY(vise_dense_mul(d, &dx, e));
    }
    if (!p->dw) return VISE_OK;
    vise_turn(y, rows, dy, out, rows, out); // y is no longer needed
    const vise_product dw = {p->dw, in, {y, rows, 1}, {s->x, 1, in}, out, in, rows, true, false};
    return vise_dense_mul(d, &dw, e);
}
