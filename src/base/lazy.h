/* lazy.h - shared libraries that are loaded when a file needs them.
 *
 * libzip and libarchive bring libcrypto, ICU and a C++ library with them: several MB of memory and
 * milliseconds of every start, for files that most runs never see.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_BASE_LAZY_H
#define VISE_BASE_LAZY_H

#include "base/status.h"

/* A function by its name, and where in a table its pointer goes. The table's fields are declared from
 * the library's own header, so that the compiler checks every call. */
typedef struct vise_lazy_symbol {
    const char *name;
    size_t offset;
} vise_lazy_symbol;

#define VISE_LAZY_FIELD(f) __typeof__(f) *(f);

/* Fills a table with the functions of a library, which stays loaded until the process ends: cheap after
 * the first time. Fails with VISE_EIO; what, a plural, is what needs it. */
vise_status vise_lazy_load(void *table, const char *soname, const vise_lazy_symbol *symbols,
                           size_t count, const char *what, vise_err *e);

#endif
