/* check.c - the kernel checker: every kernel of this machine's levels, in processes of their own
 * SPDX-License-Identifier: MIT */
#define _DEFAULT_SOURCE // MAP_ANONYMOUS
#include "kern/check.h"
#include "base/cpu.h"
#include "base/mem.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ROUNDS = 200,
    SECONDS = 100, // for one round, which takes milliseconds: a kernel that hangs is a finding
    ROOM = 40 << 20,
    MAX_LEVELS = 16,
};

static const struct kernel {
    const char *name, *contract;
    size_t offset;                         // of its entry in the table
    enum { FUNCTION, BUNDLE, CODES } kind; // CODES: with the gemm_s8 that it stands on
    void (*check)(vise_checker *t);
} kernels[] = {
#define ENTRY(field) offsetof(vise_kern, field)
    {"gemm_f32", "bounded", ENTRY(gemm_f32), BUNDLE, vise_check_gemm_f32},
    {"gemm_bf16", "bounded", ENTRY(gemm_bf16), BUNDLE, vise_check_gemm_bf16},
    {"gemm_s8", "exact", ENTRY(gemm_s8), BUNDLE, vise_check_gemm_s8},
    {"pack_f32", "exact", ENTRY(gemm_f32), BUNDLE, vise_check_pack_f32},
    {"pack_bf16", "exact", ENTRY(gemm_bf16), BUNDLE, vise_check_pack_bf16},
    {"pack_s8", "exact", ENTRY(gemm_s8), BUNDLE, vise_check_pack_s8},
    {"gemm_codes", "exact", ENTRY(gemm_codes), CODES, vise_check_gemm_codes},
    {"expand", "exact", ENTRY(gemm_codes), CODES, vise_check_expand},
    {"gemm_f32_codes", "exact", ENTRY(look_up), FUNCTION, vise_check_float_codes},
    {"layernorm", "bounded", ENTRY(layernorm), FUNCTION, vise_check_layernorm},
    {"softmax", "bounded", ENTRY(softmax), FUNCTION, vise_check_softmax},
    {"softmax_s8", "1 code", ENTRY(softmax_s8), FUNCTION, vise_check_softmax_s8},
    {"gelu", "bounded", ENTRY(gelu), FUNCTION, vise_check_gelu},
    {"gelu_slope", "bounded", ENTRY(gelu_slope), FUNCTION, vise_check_gelu_slope},
    {"swish", "bounded", ENTRY(swish), FUNCTION, vise_check_swish},
    {"to_bf16", "exact", ENTRY(to_bf16), FUNCTION, vise_check_to_bf16},
    {"quant_s8", "exact", ENTRY(quant_s8), FUNCTION, vise_check_quant_s8},
    {"absmax", "exact", ENTRY(absmax), FUNCTION, vise_check_absmax},
    {"depthwise", "bounded", ENTRY(depthwise), FUNCTION, vise_check_depthwise},
    {"requant", "exact", ENTRY(fixed.requant), FUNCTION, vise_check_requant},
    {"int_add", "exact", ENTRY(fixed.add), FUNCTION, vise_check_int_add},
    {"ratio", "exact", ENTRY(fixed.ratio), FUNCTION, vise_check_ratio},
    {"lut", "exact", ENTRY(fixed.lut), FUNCTION, vise_check_lut},
    {"int_softmax", "exact", ENTRY(fixed.softmax), FUNCTION, vise_check_int_softmax},
    {"int_layernorm", "exact", ENTRY(fixed.layernorm), FUNCTION, vise_check_int_layernorm},
#undef ENTRY
};

enum { KERNELS = sizeof kernels / sizeof *kernels };

/* The tables of this machine's levels, in ascending order. */
typedef struct levels {
    vise_kern kern[MAX_LEVELS];
    const char *name[MAX_LEVELS];
    size_t n;
} levels;

typedef struct run {
    const vise_check_opts *opts;
    levels levels;
    char *room; // [ROOM] for the children's buffers
    vise_check_board *board;
    size_t failed;
} run;

/* By their members: padding may differ. */
static bool same_gemm(const vise_gemm *g, const vise_gemm *h)
{
    return g->run == h->run && g->pack == h->pack && g->nr == h->nr && g->kr == h->kr &&
           g->unit == h->unit && g->esize == h->esize && g->mr == h->mr && g->flip == h->flip;
}

static bool same_entry(const struct kernel *k, const vise_kern *a, const vise_kern *b)
{
    const void *x = (const char *)a + k->offset, *y = (const char *)b + k->offset;
    if (k->kind == BUNDLE) return same_gemm(x, y);
    if (k->kind == FUNCTION) return !memcmp(x, y, sizeof(void (*)(void)));
    return same_gemm(&a->gemm_s8, &b->gemm_s8) && a->gemm_codes.lanes == b->gemm_codes.lanes &&
           a->gemm_codes.run == b->gemm_codes.run && a->gemm_codes.expand == b->gemm_codes.expand;
}

/* The levels that make up cpu, or all of this machine. */
static vise_status levels_init(levels *l, const char *cpu, vise_err *e)
{
    unsigned most, mask;
    VISE_TRY(vise_cpu_parse(&most, cpu, e));
    for (size_t i = 0; vise_cpu_level(i) && l->n < MAX_LEVELS; i++) {
        if (vise_cpu_parse(&mask, vise_cpu_level(i), NULL) || (mask & ~most)) continue;
        l->name[l->n] = vise_cpu_level(i);
        vise_kern_init(&l->kern[l->n++], mask);
    }
    return VISE_OK;
}

/* ---- one kernel at one level ---- */

/* In the child: rounds until one fails. What it finds stands on the board. */
_Noreturn static void child(const run *u, const struct kernel *k, const vise_kern *kern)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        signal(crashes[i], SIG_DFL);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), skip = page - (uintptr_t)u->room % page;
    vise_checker t = {.kern = kern,
                      .board = u->board,
                      .base = u->room + skip,
                      .size = (ROOM - skip) / page * page,
                      .page = page};
    const size_t rounds = u->opts->rounds ? u->opts->rounds : ROUNDS;
    vise_rng seeds = vise_rng_named(u->opts->seed, k->name);
    for (size_t i = 0; i < rounds; i++) {
        u->board->round = i;
        u->board->shape[0] = 0;
        t.rng.state = vise_rng_u64(&seeds);
        t.canary = i % 2 ? 0xff : (unsigned char)vise_check_pick(&t, 255);
        t.used = 0;
        alarm(SECONDS);
        k->check(&t);
    }
    _exit(0);
}

/* How a child of a kernel ended, as a sentence; NULL if it is in order. */
static const char *verdict(char *text, size_t room, const run *u, int status)
{
    static const struct {
        int number;
        const char *text;
    } ends[] = {
        {SIGSEGV, "an access outside of the buffers (SIGSEGV)"},
        {SIGBUS, "an access outside of the buffers (SIGBUS)"},
        {SIGILL, "an instruction that this machine lacks (SIGILL)"},
        {SIGFPE, "SIGFPE"},
        {SIGABRT, "an assertion failed (SIGABRT)"},
        {SIGALRM, "no end in sight (SIGALRM)"},
    };
    const vise_check_board *b = u->board;
    const char *what = "the process ended early";
    if (WIFEXITED(status) && !WEXITSTATUS(status)) {
        if (b->checks) return NULL;
        what = "nothing was checked";
    }
    for (size_t i = 0; WIFSIGNALED(status) && i < sizeof ends / sizeof *ends; i++)
        if (ends[i].number == WTERMSIG(status)) what = ends[i].text;
    if (b->failure[0]) what = b->failure;
    snprintf(text, room, "%s in round %zu of seed %llu (%s)", what, b->round,
             (unsigned long long)u->opts->seed, b->shape);
    return text;
}

static vise_status check_one(run *u, const struct kernel *k, size_t level, vise_err *e)
{
    char text[512];
    int status;
    vise_check_row row = {k->name, k->contract, u->levels.name[level], NULL};
    if (!u->opts->list) {
        memset(u->board, 0, sizeof *u->board);
        const pid_t pid = fork();
        if (!pid) child(u, k, &u->levels.kern[level]);
        pid_t ended = pid;
        do // a signal may interrupt the wait
            if (pid > 0) ended = waitpid(pid, &status, 0);
        while (ended < 0 && pid > 0 && errno == EINTR);
        if (ended < 0)
            return vise_fail(e, VISE_EIO, "no process to check %s in: %s", k->name,
                             strerror(errno));
        row.failure = verdict(text, sizeof text, u, status);
    }
    u->failed += row.failure != NULL;
    if (u->opts->report) u->opts->report(u->opts->user, &row);
    return VISE_OK;
}

/* The implementations of one kernel: all, or the one that the highest level uses. */
static vise_status check_levels(run *u, const struct kernel *k, vise_err *e)
{
    const levels *l = &u->levels;
    size_t last = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (i && same_entry(k, &l->kern[i], &l->kern[i - 1])) continue;
        last = i;
        if (!u->opts->cpu) VISE_TRY(check_one(u, k, i, e));
    }
    return u->opts->cpu ? check_one(u, k, last, e) : VISE_OK;
}

static vise_status check_all(run *u, vise_err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < KERNELS; i++) {
        if (u->opts->kernel && strcmp(u->opts->kernel, kernels[i].name) != 0) continue;
        VISE_TRY(check_levels(u, &kernels[i], e));
        n++;
    }
    if (!n) return vise_fail(e, VISE_EARG, "there is no kernel %s", u->opts->kernel);
    return VISE_OK;
}

vise_status vise_check(size_t *failed, const vise_check_opts *opts, vise_err *e)
{
    const vise_check_opts none = {0};
    run u = {.opts = opts ? opts : &none};
    *failed = 0;
    VISE_TRY(levels_init(&u.levels, u.opts->cpu, e));
    if (u.opts->list) return check_all(&u, e);
    VISE_TRY(vise_alloc_or(&u.room, ROOM, 1, "the kernel checker", e));
    u.board =
        mmap(NULL, sizeof *u.board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    vise_status s = u.board == MAP_FAILED
                        ? vise_fail(e, VISE_ENOMEM, "out of memory: the kernel checker")
                        : check_all(&u, e);
    if (u.board != MAP_FAILED) munmap(u.board, sizeof *u.board);
    vise_free(u.room);
    *failed = u.failed;
    return s;
}
