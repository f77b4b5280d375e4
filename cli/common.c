/* common.c - what the commands share: failing, talking, opening and saving models
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#undef cli_fail // the stand-in for the analyzer

const opt cli_common_table[] = {
    {"threads", OPT_COUNT, offsetof(cli_call, threads), "N",
     "threads; 0, the default: one for every processor", 0},
    {"cpu", OPT_TEXT, offsetof(cli_call, cpu), "LEVEL",
     "highest instruction set to use: c, avx2, avx512, vnni, vbmi, bf16, amx; neon, dotprod, i8mm; "
     "or auto, the default",
     0},
    {"seed", OPT_U64, offsetof(cli_call, seed), "N", "seed of all that is random (default 0)", 0},
    {"json", OPT_FLAG, offsetof(cli_call, json), NULL, "results as JSON, one object a line", 0},
    {"quiet", OPT_FLAG, offsetof(cli_call, quiet), NULL, "no notes and no progress", 0},
    {"help", OPT_FLAG, 0, NULL, "this text", 0}, // the parser itself looks for it
    {0},
};

const opt cli_session_table[] = {
    {"max-memory", OPT_BYTES, offsetof(cli_call, max_memory), "SIZE",
     "most memory for a model's weights and activations, e.g. 16M or 14Mi; what needs more is "
     "refused before it takes any",
     1},
    {"cache", OPT_BYTES, offsetof(cli_call, cache), "SIZE",
     "plan for a processor whose last cache has this size, e.g. 512Ki", 1},
    {0},
};

vise_status cli_fail(vise_err *e, vise_status code, const char *fmt, ...)
{
    va_list ap;
    e->code = code;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return code;
}

void cli_say(const char *fmt, ...)
{
    char line[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    fprintf(stderr, "%s\n", line);
}

vise_status cli_open(vise_model **m, const cli_call *c, const char *path, bool named, vise_err *e)
{
    vise_model_info info;
    TRY(vise_model_open(m, path, &c->import, e));
    vise_model_get_info(*m, &info);
    for (size_t i = 0; i < info.notes && !c->quiet; i++)
        cli_say("note: %s%s%s", named ? path : "", named ? ": " : "", vise_model_note(*m, i));
    return VISE_OK;
}

vise_status cli_session(vise_session **s, const cli_call *c, const vise_model *m, const char *path,
                        vise_session_opts o, vise_err *e)
{
    o.threads = c->threads;
    o.cpu = c->cpu;
    o.max_memory = c->max_memory;
    if (c->cache) o.cache = c->cache;
    const vise_status status = vise_session_new(s, m, &o, e);
    if (status != VISE_ENOMEM) return status;
    const vise_err why = *e;
    return cli_fail(e, status, "%s: %s", path, why.msg);
}

vise_status cli_check_out(const char *path, vise_err *e)
{
    const char *dot = strrchr(path, '.');
    if (dot && !strcmp(dot, ".vise")) return VISE_OK;
    if (dot && !strcmp(dot, ".onnx"))
        return cli_fail(e, VISE_EARG, "%s: only convert writes ONNX files", path);
    return cli_fail(e, VISE_EARG, "%s: an output's name has to end in .vise", path);
}

vise_status cli_save(const vise_model *m, const cli_call *c, const char *path, vise_err *e)
{
    TRY(vise_model_save(m, path, e));
    return cli_print_saved(m, c, path);
}

vise_status cli_print_saved(const vise_model *m, const cli_call *c, const char *path)
{
    struct stat st;
    vise_model_info info;
    vise_model_get_info(m, &info);
    const uint64_t bytes = stat(path, &st) ? 0 : (uint64_t)st.st_size;
    if (c->json) {
        json_t *o = js_object();
        js_put(o, "out", js_text(path));
        js_put(o, "family", js_text(info.family));
        js_put(o, "params", js_count(info.params));
        js_put(o, "in_bytes", info.file_bytes ? js_count(info.file_bytes) : json_null());
        js_put(o, "out_bytes", js_count(bytes));
        js_print(o);
    } else {
        char params[TABLE_NUMBER], in[TABLE_NUMBER], out[TABLE_NUMBER];
        printf("%s: %s, %s parameters, ", path, info.family, table_commas(params, info.params));
        if (info.file_bytes) printf("%s -> ", table_short(in, info.file_bytes, "B"));
        printf("%s\n", table_short(out, bytes, "B"));
    }
    return VISE_OK;
}

double cli_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *cli_cpu(const cli_call *c)
{
    return c->cpu ? c->cpu : vise_cpu_best();
}
