/* pool.c - threads that wait for a list of tasks
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

struct vise_pool {
    size_t threads; // with the caller
    pthread_t *ids; // [threads - 1]
    struct start {
        vise_pool *pool;
        size_t thread;
    } * starts;
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    size_t round;  // counts calls of run; guarded by lock
    size_t active; // threads still in this round; guarded by lock
    bool stop;
    size_t tasks;
    _Atomic size_t next;
    vise_task_fn *fn;
    void *ctx;
};

static void work(vise_pool *p, size_t thread)
{
    for (size_t i; (i = atomic_fetch_add(&p->next, 1)) < p->tasks;)
        p->fn(p->ctx, i, thread);
}

static void *thread_main(void *arg)
{
    const struct start *st = arg;
    vise_pool *p = st->pool;
    size_t seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->round == seen && !p->stop)
            pthread_cond_wait(&p->wake, &p->lock);
        if (p->stop) break;
        seen = p->round;
        pthread_mutex_unlock(&p->lock);
        work(p, st->thread);
        pthread_mutex_lock(&p->lock);
        if (!--p->active) pthread_cond_signal(&p->idle);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

vise_status vise_pool_new(vise_pool **out, size_t threads, vise_err *e)
{
    *out = NULL;
    vise_pool *p = NULL;
    VISE_TRY(vise_alloc_or(&p, 1, sizeof *p, "the thread pool", e));
    p->threads = 1;
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
    p->stop = true;
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
    atomic_store(&p->next, 0);
    pthread_mutex_lock(&p->lock);
    p->active = p->threads - 1;
    p->round++;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    work(p, 0);
    pthread_mutex_lock(&p->lock);
    while (p->active)
        pthread_cond_wait(&p->idle, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

size_t vise_cpu_count(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? (size_t)n : 1;
}
