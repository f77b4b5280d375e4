/* progress.h - how far a long call is, on a terminal; and stopping it with Ctrl-C.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_CLI_PROGRESS_H
#define VISE_CLI_PROGRESS_H

#include "vise.h"

typedef struct progress {
    bool show;
    double start, shown; // s; when it was begun and last drawn
} progress;

/* From here on Ctrl-C only asks to stop, once: a second one ends the program. Shows nothing if
 * quiet, or if stderr is not a terminal. */
void progress_begin(progress *p, bool quiet);
/* A vise_progress_fn, with a progress * as user: draws a line at most ten times a second. False:
 * stop was asked for. */
bool progress_step(void *user, const char *what, size_t done, size_t total);
void progress_end(progress *p); // wipes the line

bool progress_stopped(void); // Ctrl-C came after progress_begin

#endif
