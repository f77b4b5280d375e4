/* pool.c - threads that wait for a list of tasks
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/pool.h"
#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>

/* How long to look for work, or for the end of it, before sleeping. A network is dozens of runs in a
 * row: between them nobody sleeps, between two pictures everybody does. Where threads outnumber
 * processors, who waits takes time from who works. Seconds. */
static const double PATIENCE = 100e-6, PATIENCE_IN_A_CROWD = 2e-6;
enum { BURST = 32 }; // looks between two looks at the clock

/* A run is a list that shrinks: open counts the tasks that nobody has taken, left those that are not
 * done. A thread reads fn, ctx and tasks only after it has taken a task: until it reports that task
 * done the run cannot end, and so they hold still. Threads that come late find nothing open and are
 * not waited for. */
struct vise_pool {
    size_t threads; // with the caller
    double patience;
    pthread_t *ids; // [threads - 1]
    struct start {
        vise_pool *pool;
        size_t thread;
    } * starts;
    size_t tasks;
    vise_task_fn *fn;
    void *ctx;
    alignas(VISE_ALIGN) _Atomic size_t open;
    alignas(VISE_ALIGN) _Atomic size_t left;
    alignas(VISE_ALIGN) _Atomic size_t sleepers; // workers that sleep, or are about to
    _Atomic bool caller_sleeps;
    _Atomic bool stop;
    pthread_mutex_t lock; // for falling asleep and waking only
    pthread_cond_t wake, idle;
};

/* ---- waiting ---- */

#if defined(__x86_64__) || defined(__i386__)
static inline void relax(void)
{
    __builtin_ia32_pause();
}
#elif defined(__aarch64__)
static inline void relax(void)
{
    __asm__ volatile("isb"); // yield is a no-operation on most cores
}
#else
static inline void relax(void) {}
#endif

static bool has_work(vise_pool *p)
{
    return atomic_load(&p->open) || atomic_load(&p->stop);
}

static bool is_done(vise_pool *p)
{
    return !atomic_load(&p->left);
}

/* Waits for ready, but not for long. A thread that lost its processor meanwhile finds that its time
 * is over, and sleeps: somebody else needs the processor. */
static bool spin(vise_pool *p, bool (*ready)(vise_pool *))
{
    const double start = vise_seconds();
    do {
        for (int i = 0; i < BURST; i++) {
            if (ready(p)) return true;
            relax();
        }
    } while (vise_seconds() - start < p->patience);
    return false;
}

/* Falling asleep and waking somebody look at two words in opposite order, both in the one order
 * that all threads agree on (seq_cst): one of the two sees the other. */
static void wait_for_work(vise_pool *p)
{
    if (spin(p, has_work)) return;
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    while (!has_work(p))
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
}

static void wait_for_end(vise_pool *p)
{
    if (spin(p, is_done)) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->caller_sleeps, true);
    while (!is_done(p))
        pthread_cond_wait(&p->idle, &p->lock);
    atomic_store(&p->caller_sleeps, false);
    pthread_mutex_unlock(&p->lock);
}

/* Wakes as many workers as there are tasks for them. */
static void wake_workers(vise_pool *p, size_t most)
{
    const size_t asleep = atomic_load(&p->sleepers);
    if (!asleep) return;
    pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < most && most < asleep; i++)
        pthread_cond_signal(&p->wake);
    if (most >= asleep) pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* ---- working ---- */

static bool take(vise_pool *p, size_t *task)
{
    size_t open = atomic_load(&p->open);
    while (open && !atomic_compare_exchange_weak(&p->open, &open, open - 1))
        continue;
    if (open) *task = p->tasks - open;
    return open != 0;
}

static void work(vise_pool *p, size_t thread)
{
    size_t done = 0;
    for (size_t i; take(p, &i); done++)
        p->fn(p->ctx, i, thread);
    if (!done || atomic_fetch_sub(&p->left, done) != done) return;
    if (!atomic_load(&p->caller_sleeps)) return;
    pthread_mutex_lock(&p->lock);
    pthread_cond_signal(&p->idle);
    pthread_mutex_unlock(&p->lock);
}

static void *thread_main(void *arg)
{
    const struct start *st = arg;
    vise_pool *p = st->pool;
    while (!atomic_load(&p->stop)) {
        work(p, st->thread);
        wait_for_work(p);
    }
    return NULL;
}

/* ---- the pool ---- */

vise_status vise_pool_new(vise_pool **out, size_t threads, vise_err *e)
{
    *out = NULL;
    vise_pool *p = NULL;
    VISE_TRY(vise_alloc_or(&p, 1, sizeof *p, "the thread pool", e));
    p->threads = 1;
    p->patience = threads <= vise_cpu_count() ? PATIENCE : PATIENCE_IN_A_CROWD;
    p->ids = vise_alloc(threads, sizeof *p->ids);
    p->starts = vise_alloc(threads, sizeof *p->starts);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->idle, NULL);
    vise_status s = VISE_OK;
    if (!p->ids || !p->starts) s = vise_fail(e, VISE_ENOMEM, "out of memory: %zu threads", threads);
    for (size_t i = 1; !s && i < threads; i++) {
        p->starts[i - 1] = (struct start){p, i};
        if (pthread_create(&p->ids[i - 1], NULL, thread_main, &p->starts[i - 1]))
            s = vise_fail(e, VISE_EIO, "the system refuses thread %zu of %zu", i + 1, threads);
        else
            p->threads++;
    }
    if (s) {
        vise_pool_free(p);
        return s;
    }
    *out = p;
    return VISE_OK;
}

void vise_pool_free(vise_pool *p)
{
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    atomic_store(&p->stop, true);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 1; i < p->threads; i++)
        pthread_join(p->ids[i - 1], NULL);
    pthread_cond_destroy(&p->idle);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    vise_free(p->starts);
    vise_free(p->ids);
    vise_free(p);
}

size_t vise_pool_threads(const vise_pool *p)
{
    return p ? p->threads : 1;
}

void vise_pool_run(vise_pool *p, size_t tasks, vise_task_fn *fn, void *ctx)
{
    if (!p || p->threads == 1 || tasks <= 1) {
        for (size_t i = 0; i < tasks; i++)
            fn(ctx, i, 0);
        return;
    }
    p->fn = fn;
    p->ctx = ctx;
    p->tasks = tasks;
    atomic_store(&p->left, tasks);
    atomic_store(&p->open, tasks);
    wake_workers(p, tasks - 1);
    work(p, 0);
    wait_for_end(p);
}

size_t vise_cpu_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? (size_t)n : 1;
}
