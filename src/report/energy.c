/* energy.c - the energy counters of Linux's powercap (Documentation/power/powercap): what the processor's
 * packages have used, in microjoules, beginning again at a range
 * SPDX-License-Identifier: MIT */
#include "vise.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = sizeof((vise_energy *)0)->last / sizeof(uint64_t) };

static bool read_number(const vise_energy *e, size_t package, const char *file, uint64_t *to)
{
    char path[160];
    snprintf(path, sizeof path, "%s/intel-rapl:%zu/%s", e->root, package, file);
    FILE *f = fopen(path, "r");
    const bool ok = f && fscanf(f, "%" SCNu64, to) == 1;
    if (f) fclose(f);
    return ok;
}

void vise_energy_open(vise_energy *e, const char *root)
{
    *e = (vise_energy){0};
    snprintf(e->root, sizeof e->root, "%s", root ? root : "/sys/class/powercap");
    while (e->packages < MOST && read_number(e, e->packages, "energy_uj", &e->last[e->packages]))
        e->packages++;
}

double vise_energy_joules(vise_energy *e)
{
    double joules = e->packages ? 0 : (double)NAN;
    for (size_t i = 0; i < e->packages; i++) {
        uint64_t now, range = 0;
        if (!read_number(e, i, "energy_uj", &now)) return (double)NAN;
        if (now < e->last[i] && !read_number(e, i, "max_energy_range_uj", &range))
            return (double)NAN;
        joules += 1e-6 * (double)(now + range - e->last[i]);
        e->last[i] = now;
    }
    return joules;
}
