/* cmd_info.c - vise info: what a model is made of
 * SPDX-License-Identifier: MIT */
#include "cli.h"
#include "json.h"
#include "table.h"

#include <string.h>

typedef struct info_opts {
    bool layers;
} info_opts;

static const opt table_of_options[] = {
    {"layers", OPT_FLAG, offsetof(info_opts, layers), NULL,
     "with --json: add \"layers\"; without, they are always listed", 0},
    {0},
};

static const char *filter_name(vise_filter f)
{
    return f == VISE_NEAREST ? "nearest" : f == VISE_BILINEAR ? "bilinear" : "bicubic";
}

static const char *crop_name(vise_crop c)
{
    return c == VISE_CROP_SQUASH ? "squash" : c == VISE_CROP_BORDER ? "border" : "center";
}

/* ---- JSON ---- */

static json_t *per_channel(const float *v, uint32_t channels)
{
    json_t *a = js_array();
    for (uint32_t i = 0; i < channels; i++)
        js_add(a, js_f32(v[i]));
    return a;
}

static json_t *input_json(const vise_recipe *r)
{
    json_t *o = js_object(), *size = js_array();
    js_add(size, js_count(r->height));
    js_add(size, js_count(r->width));
    js_put(o, "channels", js_count(r->channels));
    js_put(o, "size", size);
    js_put(o, "mean", per_channel(r->mean, r->channels));
    js_put(o, "std", per_channel(r->std, r->channels));
    js_put(o, "crop_pct", js_real(r->crop_pct));
    js_put(o, "crop_mode", js_text(crop_name(r->crop)));
    js_put(o, "interpolation", js_text(filter_name(r->filter)));
    js_put(o, "ignore_exif", json_boolean(r->ignore_exif));
    return o;
}

static json_t *texts(const vise_model *m, size_t n, const char *(*get)(const vise_model *, size_t))
{
    json_t *a = js_array();
    for (size_t i = 0; i < n; i++)
        js_add(a, js_text(get(m, i)));
    return a;
}

static json_t *layers_json(const vise_model *m, size_t nodes)
{
    json_t *a = js_array();
    for (size_t i = 0; i < nodes; i++) {
        vise_node_info n;
        vise_model_get_node(m, i, &n);
        json_t *o = js_object(), *shape = js_array();
        for (uint32_t d = 0; d < n.shape.rank; d++)
            js_add(shape, js_count(n.shape.dim[d]));
        js_put(o, "name", js_text(n.name));
        js_put(o, "op", js_text(n.op));
        js_put(o, "shape", shape);
        js_put(o, "params", js_count(n.params));
        js_put(o, "macs", js_count(n.macs));
        js_put(o, "weight_bytes", js_count(n.weight_bytes));
        js_put(o, "act_bytes", js_count(n.act_bytes));
        js_put(o, "type", js_text(n.weight_type));
        js_put(o, "acts", js_text(n.act_type));
        js_add(a, o);
    }
    return a;
}

static json_t *weights_json(const vise_model *m)
{
    json_t *a = js_array();
    vise_weight_info w;
    for (size_t i = 0; vise_model_get_weights(m, i, &w); i++) {
        json_t *o = js_object();
        js_put(o, "type", js_text(w.type));
        js_put(o, "params", js_count(w.params));
        js_put(o, "bytes", js_count(w.bytes));
        js_put(o, "tensors", js_count(w.tensors));
        js_add(a, o);
    }
    return a;
}

static void print_json(const vise_model *m, const vise_model_info *info, const char *path,
                       bool layers)
{
    json_t *o = js_object();
    js_put(o, "model", js_text(path));
    js_put(o, "family", js_text(info->family));
    js_put(o, "params", js_count(info->params));
    js_put(o, "macs", js_count(info->macs));
    js_put(o, "file_bytes", js_count(info->file_bytes));
    js_put(o, "weight_bytes", js_count(info->weight_bytes));
    js_put(o, "weights", weights_json(m));
    js_put(o, "classes", js_count(info->classes));
    js_put(o, "labels", js_count(info->labels));
    js_put(o, "input", input_json(vise_model_recipe(m)));
    js_put(o, "history", texts(m, info->history, vise_model_history));
    js_put(o, "notes", texts(m, info->notes, vise_model_note));
    if (layers) js_put(o, "layers", layers_json(m, info->nodes));
    js_print(o);
}

/* ---- text ---- */

static void add_input(table *t, const vise_recipe *r)
{
    table_add(t, "input");
    table_add(t, "%ux%ux%u, %s, %s crop %g%s", r->height, r->width, r->channels,
              filter_name(r->filter), crop_name(r->crop), r->crop_pct,
              r->ignore_exif ? ", EXIF ignored" : "");
    for (int std = 0; std < 2; std++) {
        const float *v = std ? r->std : r->mean;
        table_add(t, "%s", std ? "std" : "mean");
        if (r->channels == 1)
            table_add(t, "%g", (double)v[0]);
        else
            table_add(t, "%g, %g, %g", (double)v[0], (double)v[1], (double)v[2]);
    }
}

static void add_weights(table *t, const vise_model *m, uint64_t bytes)
{
    char params[TABLE_NUMBER], buf[TABLE_NUMBER];
    vise_weight_info w;
    table_add(t, "weights");
    table_add(t, "%s bytes", table_commas(buf, bytes));
    for (size_t i = 0; vise_model_get_weights(m, i, &w); i++) {
        table_add(t, "%s", "");
        table_add(t, "%s: %s parameters in %zu tensors, %s bytes", w.type,
                  table_commas(params, w.params), w.tensors, table_commas(buf, w.bytes));
    }
}

static void print_head(const vise_model *m, const vise_model_info *info)
{
    char buf[TABLE_NUMBER];
    table t = {.align = "ll"};
    table_add(&t, "family");
    table_add(&t, "%s", info->family);
    table_add(&t, "parameters");
    table_add(&t, "%s", table_commas(buf, info->params));
    table_add(&t, "MACs");
    table_add(&t, "%s", table_short(buf, info->macs, ""));
    table_add(&t, "file");
    table_add(&t, "%s bytes", table_commas(buf, info->file_bytes));
    add_weights(&t, m, info->weight_bytes);
    table_add(&t, "classes");
    table_add(&t, "%zu%s", info->classes, info->labels ? ", named" : "");
    add_input(&t, vise_model_recipe(m));
    for (size_t i = 0; i < info->history; i++) {
        table_add(&t, "%s", i ? "" : "history");
        table_add(&t, "%s", vise_model_history(m, i));
    }
    table_print(stdout, &t);
}

static void print_layers(const vise_model *m, size_t nodes)
{
    static const char *const head[] = {"layer", "op",   "shape", "params",
                                       "MACs",  "type", "acts",  "bytes"};
    table t = {.align = "llrrrllr"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i < nodes; i++) {
        char buf[TABLE_SHAPE];
        vise_node_info n;
        vise_model_get_node(m, i, &n);
        table_add(&t, "%s", n.name);
        table_add(&t, "%s", n.op);
        table_add(&t, "%s", table_shape(buf, &n.shape));
        table_add(&t, "%s", table_commas(buf, n.params));
        table_add(&t, "%s", table_commas(buf, n.macs));
        table_add(&t, "%s", n.weight_type);
        table_add(&t, "%s", n.act_type);
        table_add(&t, "%s", table_commas(buf, n.weight_bytes));
    }
    table_print(stdout, &t);
}

static vise_status run(const cli_call *c, vise_err *e)
{
    const info_opts *o = c->opts;
    vise_model *m;
    vise_model_info info;
    TRY(cli_open(&m, c, c->args[0], false, e));
    vise_model_get_info(m, &info);
    if (c->json) {
        print_json(m, &info, c->args[0], o->layers);
    } else {
        print_head(m, &info);
        puts("");
        print_layers(m, info.nodes);
    }
    vise_model_free(m);
    return VISE_OK;
}

const cli_command cmd_info = {
    .name = "info",
    .args = "MODEL",
    .summary = "show what a model is made of",
    .about = "MACs are the multiply-adds per image of linear, convolution and attention products. "
             "Bytes are those of the weights as they are stored; acts is what a layer rounds its "
             "inputs to.",
    .table = table_of_options,
    .opts_size = sizeof(info_opts),
    .min_args = 1,
    .max_args = 1,
    .import = true,
    .run = run,
};
