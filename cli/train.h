/* train.h - the curve of a training: its points, as a table and as a page.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_TRAIN_H
#define VISE_CLI_TRAIN_H

#include "vise.h"

typedef struct train_curve {
    vise_train_point *point; // [n]
    size_t n, room;
} train_curve;

void train_curve_add(train_curve *c, const vise_train_point *p);
void train_curve_free(train_curve *c);
vise_status train_curve_csv(const train_curve *c, const char *path, vise_err *e);
/*   line  what was trained, as a title */
vise_status train_curve_html(const train_curve *c, const char *path, const char *line, vise_err *e);

#endif
