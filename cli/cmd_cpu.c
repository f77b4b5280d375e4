/* cmd_cpu.c - vise cpu: what this machine would use
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"

static vise_status run(const cli_call *c, vise_err *e)
{
    (void)e;
    if (c->json) {
        json_t *o = js_object();
        js_put(o, "cpu", js_text(vise_cpu_best()));
        js_put(o, "cores", js_count(vise_cpu_cores()));
        js_print(o);
    } else {
        printf("level  %s\ncores  %zu\n", vise_cpu_best(), vise_cpu_cores());
    }
    return VISE_OK;
}

const cli_command cmd_cpu = {
    .name = "cpu",
    .args = "",
    .summary = "show this machine's CPU level and processors",
    .run = run,
};
