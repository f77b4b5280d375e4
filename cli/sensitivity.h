/* sensitivity.h - a measured sensitivity, as the command prints it and the picture shows it.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_SENSITIVITY_H
#define VISE_CLI_SENSITIVITY_H

#include "vise.h"

#include <stdio.h>

typedef struct sensitivity {
    const char *model;
    size_t pictures, group, rows;
    vise_sensitivity_row *row; // [rows]
} sensitivity;

/* The picture: layers down, bits across, colours by the logarithm of KL. Self-contained SVG; s is a
 * sensitivity. */
void sensitivity_svg(FILE *f, const void *s);

#endif
