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
/* Points up to step `last` of a table that a training which was stopped has left at path; what is not
 * such a table gives none. */
void train_curve_read(train_curve *c, const char *path, uint64_t last, uint64_t steps);
vise_status train_curve_csv(const train_curve *c, const char *path, vise_err *e);
/*   line  what was trained, as a title */
vise_status train_curve_html(const train_curve *c, const char *path, const char *line, vise_err *e);

#endif
