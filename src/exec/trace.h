/* trace.h - which memory a run touches, in which order: the streams of its plan.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_EXEC_TRACE_H
#define VISE_EXEC_TRACE_H

#include "exec/session.h"

typedef enum vise_touch { VISE_TOUCH_READ, VISE_TOUCH_WRITE, VISE_TOUCH_WEIGHTS } vise_touch;

/* Bytes from p on are read, or written, one after the other, by this step. WEIGHTS: read, and no
 * activations. */
typedef void vise_touch_fn(void *user, size_t step, const void *p, size_t bytes, vise_touch how);

/* What one image costs one thread: chain by chain and block by block, as a run goes; of products, panel by
 * panel and tile by tile of rows. Registers and the stack are left out, and so is what a step of the
 * operator's own definition does inside.
 *   input  where the picture lies */
void vise_session_trace(vise_session *s, const float *input, vise_touch_fn *fn, void *user);

#endif
