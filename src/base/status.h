/* status.h - how a call fails: one status, one message, one line to fail, one line to forward.
 *
 * Three kinds of failure, three treatments. The environment (files, memory, numbers in a file)
 * returns a vise_status and fills a vise_err. A caller's bug is an assert. Our own bug is
 * vise_bug(), which prints and aborts in every build.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_STATUS_H
#define VISE_BASE_STATUS_H

#include "vise.h"

/* Fill e (if any) and return code, so that a failure is one line: return vise_fail(e, ...).
 * The message is one sentence that names the thing at fault and the numbers. Text that comes from
 * a file goes through %s only after vise_printable() or a check of its own. */
vise_status vise_fail(vise_err *e, vise_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ // it cannot look into status.c: what fails is never VISE_OK
#define vise_fail(e, code, ...) ((vise_fail)(e, code, __VA_ARGS__), (code))
#endif

/* Put "prefix: " before the message of e, for a caller that knows the file's name. Returns s. */
vise_status vise_fail_in(vise_err *e, vise_status s, const char *prefix);

/* An impossible state: prints the message and aborts, in every build. */
_Noreturn void vise_bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define VISE_TRY(call)                                                                             \
    do {                                                                                           \
        vise_status s_ = (call);                                                                   \
        if (s_) return s_;                                                                         \
    } while (0)

#endif
