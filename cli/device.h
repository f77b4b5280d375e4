/* device.h - a profile of a device that is not here.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_DEVICE_H
#define VISE_CLI_DEVICE_H

#include "cli.h"

#include <stdio.h>

typedef struct device_opts {
    const char *name, *file, *report; // NULL if not given
    size_t cores;                     // 0: all
} device_opts;

/* What its page shows. */
typedef struct device_profile {
    const char *model;
    vise_device device;
    vise_device_cost all, *step; // [steps]
    vise_step_info *info;        // [steps]
    size_t steps;
} device_profile;

double device_joules(const vise_device_cost *c);
/* Multiply-adds per byte of memory traffic. */
double device_intensity(const vise_device_cost *c);

/* The device asked for, with as many cores. */
vise_status device_find(vise_device *d, const device_opts *o, vise_err *e);
/* s: opened with profile. report: NULL or a file for the page. */
vise_status device_run(const vise_device *d, const cli_call *c, const char *report, vise_session *s,
                       vise_err *e);
/* One self-contained HTML page: the roofs with a point for every step, and bars; p a device_profile. */
void device_html(FILE *f, const void *p);

#endif
