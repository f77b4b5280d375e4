/* progress.c - a line on the terminal, and Ctrl-C
 * SPDX-License-Identifier: MIT */
#include "progress.h"
#include "cli.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

enum { BAR = 24 };

static volatile sig_atomic_t stop; // a signal handler can reach nothing but a global

static void on_interrupt(int sig)
{
    (void)sig;
    stop = 1;
}

void progress_begin(progress *p, bool quiet)
{
    // reset on use: if the program does not stop soon enough, a second Ctrl-C kills it
    struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    struct sigaction before;
    sigemptyset(&a.sa_mask);
    if (!sigaction(SIGINT, NULL, &before) && before.sa_handler != SIG_IGN)
        sigaction(SIGINT, &a, NULL);
    *p = (progress){.show = !quiet && isatty(STDERR_FILENO), .start = cli_seconds()};
}

bool progress_stopped(void)
{
    return stop != 0;
}

static void draw(const progress *p, const char *what, size_t done, size_t total)
{
    static const char full[BAR + 1] = "========================";
    const double share = total ? (double)done / (double)total : 0;
    const double rate = (double)done / (p->shown - p->start);
    const int fill = (int)(share * BAR);
    fprintf(stderr, "\r\033[K%.20s %zu/%zu [%.*s%*s] %3.0f %% %.1f/s", what, done, total, fill,
            full, BAR - fill, "", 100 * share, rate);
    if (rate > 0) fprintf(stderr, ", %.0f s left", (double)(total - done) / rate);
    fflush(stderr);
}

bool progress_step(void *user, const char *what, size_t done, size_t total)
{
    progress *p = user;
    const double now = cli_seconds();
    if (p->show && now - p->shown >= 0.1 && now > p->start && done <= total) {
        p->shown = now;
        draw(p, what, done, total);
    }
    return !stop;
}

void progress_end(progress *p)
{
    if (p->show && p->shown > 0) fputs("\r\033[K", stderr);
    p->show = false;
}
