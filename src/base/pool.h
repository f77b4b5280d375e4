/* pool.h - a fixed set of threads that share a list of tasks.
 *
 * Tasks split outputs, never sums, so results do not depend on the number of threads.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_POOL_H
#define VISE_BASE_POOL_H

#include "base/mem.h"

typedef struct vise_pool vise_pool;

/* Called once per task; thread in [0, threads) picks a private scratch. */
typedef void vise_task_fn(void *ctx, size_t task, size_t thread);

/* threads >= 1 counts the caller: 1 starts none. Fails with VISE_ENOMEM or VISE_EIO (the system
 * refuses a thread). */
vise_status vise_pool_new(vise_pool **out, size_t threads, vise_err *e);
void vise_pool_free(vise_pool *p);
size_t vise_pool_threads(const vise_pool *p);

/* Runs fn for tasks 0 .. tasks-1, handed out in this order to whichever thread is free, and returns
 * when all are done: what they wrote is seen here and by the tasks of later runs. One call at a time
 * per pool. p may be NULL: then everything runs here, as thread 0; so does a single task.
 *
 * Threads wait awake for a fraction of a millisecond, so that a run that follows another starts
 * within a microsecond; then they sleep, and an idle pool costs nothing. */
void vise_pool_run(vise_pool *p, size_t tasks, vise_task_fn *fn, void *ctx);

size_t vise_cpu_count(void); // processors this process may use, at least 1

#endif
