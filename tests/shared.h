/* shared.h - real checkpoints and pictures, where this machine has them
 *
 * Tests that need them call need_shared_data first: without the folder they are skipped, visibly,
 * unless CI says that it must be there.
 *
 * SPDX-License-Identifier: MIT */
#ifndef TESTS_SHARED_H
#define TESTS_SHARED_H

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static inline void need_shared_data(void)
{
    if (vise_is_dir(VISE_SHARED_DATA "/checkpoints")) return;
    fprintf(stderr, "SKIP: no shared data at %s\n", VISE_SHARED_DATA);
    skip();
}

/* Slow builds (sanitizers, a second compiler) look at VISE_TEST_QUICK pictures only. */
static inline size_t picture_limit(size_t full)
{
    const char *quick = getenv("VISE_TEST_QUICK");
    const size_t most = quick ? strtoul(quick, NULL, 10) : 0;
    return most && most < full ? most : full;
}

/* A failure of the library is a failure of the test, with its sentence. */
#define MUST(call)                                                                                 \
    do {                                                                                           \
        e.msg[0] = 0;                                                                              \
        if (call) fail_msg("%s: %s", #call, e.msg);                                                \
    } while (0)

#endif
