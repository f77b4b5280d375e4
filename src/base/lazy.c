/* lazy.c - loading a library and finding its functions
 * SPDX-License-Identifier: MIT */
#define _GNU_SOURCE // RTLD_NODELETE
#include "base/lazy.h"

#include <dlfcn.h>
#include <string.h>

vise_status vise_lazy_load(void *table, const char *soname, const vise_lazy_symbol *symbols,
                           size_t count, const char *what, vise_err *e)
{
    void *lib = dlopen(soname, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (!lib) return vise_fail(e, VISE_EIO, "%s need %s, and it cannot be loaded", what, soname);
    vise_status s = VISE_OK;
    for (size_t i = 0; !s && i < count; i++) {
        void *f = dlsym(lib, symbols[i].name);
        if (!f)
            s = vise_fail(e, VISE_EIO, "%s need %s, and it lacks %s", what, soname,
                          symbols[i].name);
        memcpy((char *)table + symbols[i].offset, &f, sizeof f);
    }
    dlclose(lib); // it stays: NODELETE
    return s;
}
