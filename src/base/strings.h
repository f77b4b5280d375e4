/* strings.h - a growing list of texts: notes, labels, history.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_STRINGS_H
#define VISE_BASE_STRINGS_H

#include "base/mem.h"

/* A growing list of texts that owns them. */
typedef struct vise_strings {
    const char **item;
    size_t count, room;
    vise_region texts;
} vise_strings;

vise_status vise_strings_add(vise_strings *l, const char *text, vise_err *e);
/* printf into the list; texts longer than 1023 bytes are cut. */
vise_status vise_strings_addf(vise_strings *l, vise_err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void vise_strings_free(vise_strings *l);

#endif
