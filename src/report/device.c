/* device.c - devices from their file, and what a run costs on one
 * SPDX-License-Identifier: MIT */
#include "exec/trace.h"
#include "report/cache.h"

#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char built_in[] = {
#include "report/devices.inc"
    0};

/* ---- reading ---- */

typedef enum unit { NUMBER, KILO, COUNT } unit; // a double; kB to size_t bytes; a size_t
static const struct {
    const char *key;
    size_t offset;
    unit unit;
    double least, most;
} fields[] = {
    {"cores", offsetof(vise_device, cores), NUMBER, 1, 1024},
    {"ghz", offsetof(vise_device, ghz), NUMBER, 1e-3, 100},
    {"f32_macs_per_cycle", offsetof(vise_device, macs_per_cycle[0]), NUMBER, 1e-3, 1e6},
    {"bf16_macs_per_cycle", offsetof(vise_device, macs_per_cycle[1]), NUMBER, 1e-3, 1e6},
    {"int8_macs_per_cycle", offsetof(vise_device, macs_per_cycle[2]), NUMBER, 1e-3, 1e6},
    {"line", offsetof(vise_device, line), COUNT, 8, 4096},
    {"l1_kb", offsetof(vise_device, l1_bytes), KILO, 1, 65536},
    {"l1_ways", offsetof(vise_device, l1_ways), COUNT, 1, 1024},
    {"llc_kb", offsetof(vise_device, llc_bytes), KILO, 1, 4194304},
    {"llc_ways", offsetof(vise_device, llc_ways), COUNT, 1, 1024},
    {"dram_gbs", offsetof(vise_device, dram_gbs), NUMBER, 1e-3, 1e5},
    {"pj_f32_mac", offsetof(vise_device, pj_mac[0]), NUMBER, 0, 1e6},
    {"pj_bf16_mac", offsetof(vise_device, pj_mac[1]), NUMBER, 0, 1e6},
    {"pj_int8_mac", offsetof(vise_device, pj_mac[2]), NUMBER, 0, 1e6},
    {"pj_l1_byte", offsetof(vise_device, pj_l1_byte), NUMBER, 0, 1e6},
    {"pj_llc_byte", offsetof(vise_device, pj_llc_byte), NUMBER, 0, 1e6},
    {"pj_dram_byte", offsetof(vise_device, pj_dram_byte), NUMBER, 0, 1e6},
    {"idle_w", offsetof(vise_device, idle_w), NUMBER, 0, 1e4},
};

static vise_status read_field(vise_device *d, const json_t *o, size_t i, vise_err *e)
{
    const json_t *field = json_object_get(o, fields[i].key);
    const json_t *v = json_object_get(field, "value");
    const double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= fields[i].least && x <= fields[i].most))
        return vise_fail(e, VISE_EFORMAT, "device %s: %s needs a value from %g to %g", d->name,
                         fields[i].key, fields[i].least, fields[i].most);
    if (!json_string_length(json_object_get(field, "source")))
        return vise_fail(e, VISE_EFORMAT, "device %s: %s has no source", d->name, fields[i].key);
    void *to = (char *)d + fields[i].offset;
    const size_t whole = (size_t)(fields[i].unit == KILO ? x * 1024 : x);
    if (fields[i].unit == NUMBER)
        memcpy(to, &x, sizeof x);
    else
        memcpy(to, &whole, sizeof whole);
    return VISE_OK;
}

static const char *name_of(const json_t *o)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    return name ? name : "";
}

static vise_status read_device(vise_device *d, const json_t *o, vise_err *e)
{
    const char *about = json_string_value(json_object_get(o, "about"));
    *d = (vise_device){0};
    snprintf(d->name, sizeof d->name, "%s", name_of(o));
    snprintf(d->about, sizeof d->about, "%s", about ? about : "");
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        VISE_TRY(read_field(d, o, i, e));
    return VISE_OK;
}

static vise_status find(vise_device *d, const json_t *root, const char *name, vise_err *e)
{
    char list[300] = "";
    const json_t *all = json_object_get(root, "devices"), *o;
    size_t i;
    json_array_foreach ((json_t *)(uintptr_t)all, i, o) {
        if (!strcmp(name_of(o), name)) return read_device(d, o, e);
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", name_of(o));
    }
    return vise_fail(e, VISE_EARG, "%.60s: no such device; there are %s", name,
                     *list ? list : "none");
}

vise_status vise_device_find(vise_device *d, const char *name, const char *path, vise_err *e)
{
    json_error_t je;
    json_t *root = path ? json_load_file(path, JSON_REJECT_DUPLICATES, &je)
                        : json_loads(built_in, JSON_REJECT_DUPLICATES, &je);
    if (!root && je.line < 0) return vise_fail(e, VISE_EIO, "%s", je.text);
    if (!root)
        return vise_fail(e, VISE_EFORMAT, "%s, line %d: %s", path ? path : "devices", je.line,
                         je.text);
    const vise_status s = find(d, root, name, e);
    json_decref(root);
    return s;
}

/* ---- running ---- */

typedef struct job {
    vise_cache cache;
    vise_device_cost *step; // [steps]
} job;

static void touch(void *user, size_t step, const void *p, size_t bytes, vise_touch how)
{
    job *j = user;
    vise_cache_level *l = j->cache.level;
    const uint64_t first = l[0].missed, last = l[1].missed, back = l[1].written;
    const double line = (double)j->cache.line;
    vise_cache_touch(&j->cache, p, bytes, how == VISE_TOUCH_WRITE);
    vise_device_cost *c = &j->step[step];
    const double fetched = (double)(l[1].missed - last) * line;
    c->touched += (double)bytes;
    c->from_llc += (double)(l[0].missed - first) * line;
    c->from_dram += fetched;
    c->to_dram += (double)(l[1].written - back) * line;
    if (how == VISE_TOUCH_WEIGHTS) c->weights += fetched;
}

/* f32, bf16 or int8, by "gemm s8", "attention bf16", "int gemm", ... */
static int type_of(const char *kind)
{
    const size_t n = strlen(kind);
    if (!strncmp(kind, "int", 3) || (n > 3 && !strcmp(kind + n - 3, " s8"))) return 2;
    return n > 5 && !strcmp(kind + n - 5, " bf16");
}

/* A step's roofs and energy. */
static void finish(vise_device_cost *c, const vise_device *d, const vise_step_info *info)
{
    const int type = type_of(info->kind);
    const double macs = (double)info->macs, dram = c->from_dram + c->to_dram;
    const double compute = macs / (d->cores * d->ghz * 1e9 * d->macs_per_cycle[type]);
    const double memory = dram / (d->dram_gbs * 1e9);
    c->macs = info->macs;
    c->by_memory = memory > compute;
    c->seconds = fmax(memory, compute);
    c->j_macs = 1e-12 * macs * d->pj_mac[type];
    c->j_caches = 1e-12 * (c->touched * d->pj_l1_byte + c->from_llc * d->pj_llc_byte);
    c->j_dram = 1e-12 * dram * d->pj_dram_byte;
    c->j_idle = d->idle_w * c->seconds;
}

static void add(vise_device_cost *to, const vise_device_cost *c)
{
    to->macs += c->macs;
    to->touched += c->touched;
    to->from_llc += c->from_llc;
    to->from_dram += c->from_dram;
    to->to_dram += c->to_dram;
    to->weights += c->weights;
    to->seconds += c->seconds;
    to->j_macs += c->j_macs;
    to->j_caches += c->j_caches;
    to->j_dram += c->j_dram;
    to->j_idle += c->j_idle;
}

static vise_status simulate(job *j, const vise_device *d, vise_session *s, const float *picture,
                            vise_err *e)
{
    const vise_cache_size size[2] = {{d->l1_bytes, d->l1_ways}, {d->llc_bytes, d->llc_ways}};
    const size_t steps = vise_session_steps(s);
    VISE_TRY(vise_alloc_or(&j->step, steps, sizeof *j->step, "what steps cost", e));
    VISE_TRY(vise_cache_open(&j->cache, d->line, size, e));
    for (int image = 0; image < 2; image++) { // the first fills the caches
        memset(j->step, 0, steps * sizeof *j->step);
        vise_session_trace(s, picture, touch, j);
    }
    return VISE_OK;
}

vise_status vise_device_run(vise_device_cost *all, vise_device_cost *steps, const vise_device *d,
                            vise_session *s, vise_err *e)
{
    job j = {0};
    float *picture;
    *all = (vise_device_cost){0};
    if (!vise_session_steps(s) || vise_session_inputs(s) != 1)
        return vise_fail(e, VISE_EARG, "a device needs a session with a profile and one input");
    VISE_TRY(vise_alloc_or(&picture, vise_shape_count(&vise_session_input(s, 0)->shape),
                           sizeof *picture, "a picture", e));
    const vise_status st = simulate(&j, d, s, picture, e);
    for (size_t i = 0; !st && i < vise_session_steps(s); i++) {
        vise_step_info info;
        vise_session_step(s, i, &info);
        info.macs /= s->batch;
        finish(&j.step[i], d, &info);
        if (steps) steps[i] = j.step[i];
        add(all, &j.step[i]);
    }
    all->by_memory = all->from_dram + all->to_dram > all->seconds * d->dram_gbs * 5e8;
    vise_cache_close(&j.cache);
    vise_free(j.step);
    vise_free(picture);
    return st;
}
