/* device.c - vise profile --device: what a run costs on a device, step by step
 * SPDX-License-Identifier: MIT */
#include "device.h"
#include "json.h"
#include "svg.h"
#include "table.h"

#include <stdlib.h>

double device_joules(const vise_device_cost *c)
{
    return c->j_macs + c->j_caches + c->j_dram + c->j_idle;
}

double device_intensity(const vise_device_cost *c)
{
    const double bytes = c->from_dram + c->to_dram;
    return bytes > 0 ? (double)c->macs / bytes : 0;
}

static json_t *cost_json(const vise_device_cost *c)
{
    json_t *j = js_object();
    js_put(j, "macs", js_count(c->macs));
    js_put(j, "bytes_touched", js_real(c->touched));
    js_put(j, "bytes_from_llc", js_real(c->from_llc));
    js_put(j, "bytes_from_dram", js_real(c->from_dram));
    js_put(j, "bytes_to_dram", js_real(c->to_dram));
    js_put(j, "bytes_of_weights", js_real(c->weights));
    js_put(j, "macs_per_byte", js_real(device_intensity(c)));
    js_put(j, "roof", js_text(c->by_memory ? "memory" : "compute"));
    js_put(j, "ms", js_real(1e3 * c->seconds));
    js_put(j, "mj", js_real(1e3 * device_joules(c)));
    js_put(j, "mj_macs", js_real(1e3 * c->j_macs));
    js_put(j, "mj_caches", js_real(1e3 * c->j_caches));
    js_put(j, "mj_dram", js_real(1e3 * c->j_dram));
    js_put(j, "mj_idle", js_real(1e3 * c->j_idle));
    return j;
}

static void print_json(const device_profile *p)
{
    for (size_t i = 0; i < p->steps; i++) {
        json_t *j = cost_json(&p->step[i]);
        js_put(j, "name", js_text(p->info[i].name));
        js_put(j, "kind", js_text(p->info[i].kind));
        js_print(j);
    }
    json_t *j = cost_json(&p->all);
    js_put(j, "model", js_text(p->model));
    js_put(j, "device", js_text(p->device.name));
    js_put(j, "cores", js_real(p->device.cores));
    js_put(j, "modelled", json_true());
    js_put(j, "version", js_text(vise_version()));
    js_print(j);
}

static void add_row(table *t, const char *name, const char *kind, const vise_device_cost *c)
{
    table_add(t, "%s", name);
    table_add(t, "%s", kind);
    table_add(t, "%.2f", 1e-6 * (double)c->macs);
    table_add(t, "%.1f", 1e-3 * c->weights);
    table_add(t, "%.1f", 1e-3 * (c->from_dram + c->to_dram));
    if (c->macs && c->from_dram + c->to_dram > 0)
        table_add(t, "%.0f", device_intensity(c));
    else
        table_add(t, "-");
    table_add(t, "%s", c->by_memory ? "memory" : c->macs ? "compute" : "-");
    table_add(t, "%.3f", 1e3 * c->seconds);
    table_add(t, "%.3f", 1e3 * device_joules(c));
}

static void print_text(const device_profile *p)
{
    static const char *const head[] = {"step",  "kind", "MMAC", "weights kB", "DRAM kB",
                                       "MAC/B", "roof", "ms",   "mJ"};
    const vise_device *d = &p->device;
    const vise_device_cost *a = &p->all;
    table t = {.align = "llrrrrlrr"};
    printf("%s on %s, modelled: %s; %g of its cores\n", p->model, d->name, d->about, d->cores);
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i < p->steps; i++)
        add_row(&t, p->info[i].name, p->info[i].kind, &p->step[i]);
    add_row(&t, "all", "", a);
    table_print(stdout, &t);
    printf("\nno run is faster than %.2f ms; energy %.2f mJ: arithmetic %.2f, caches %.2f, memory "
           "%.2f, the rest %.2f\n",
           1e3 * a->seconds, 1e3 * device_joules(a), 1e3 * a->j_macs, 1e3 * a->j_caches,
           1e3 * a->j_dram, 1e3 * a->j_idle);
}

vise_status device_find(vise_device *d, const device_opts *o, vise_err *e)
{
    TRY(vise_device_find(d, o->name, o->file, e));
    if (o->cores && (double)o->cores < d->cores) d->cores = (double)o->cores;
    return VISE_OK;
}

vise_status device_run(const vise_device *d, const cli_call *c, const char *report, vise_session *s,
                       vise_err *e)
{
    device_profile p = {.model = c->args[0], .device = *d, .steps = vise_session_steps(s)};
    p.step = cli_alloc(p.steps, sizeof *p.step);
    p.info = cli_alloc(p.steps, sizeof *p.info);
    for (size_t i = 0; i < p.steps; i++)
        vise_session_step(s, i, &p.info[i]);
    vise_status st = vise_device_run(&p.all, p.step, &p.device, s, e);
    if (!st) (c->json ? print_json : print_text)(&p);
    if (!st && report) st = svg_write(report, device_html, &p, e);
    free(p.step);
    free(p.info);
    return st;
}
