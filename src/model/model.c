/* model.c - opening a model, and what it says of itself
 * SPDX-License-Identifier: MIT */
#include "model/model.h"
#include "model/arch/arch.h"
#include "graph/actq.h"
#include "graph/ops.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_LIMIT = 16 << 20, LABELS_LIMIT = 16 << 20, MAX_LABELS = 1 << 20 };

vise_status vise_model_alloc(vise_model **out, vise_err *e)
{
    *out = NULL;
    return vise_alloc_or(out, 1, sizeof **out, "a model", e);
}

void vise_model_free(vise_model *m)
{
    if (!m) return;
    vise_graph_free(&m->graph);
    vise_tensors_free(&m->tensors);
    vise_strings_free(&m->labels);
    vise_strings_free(&m->notes);
    vise_strings_free(&m->history);
    vise_free(m);
}

/* ---- what lies beside a checkpoint ---- */

static vise_status read_json(json_t **out, const char *beside, const char *name, vise_err *e)
{
    char *path = NULL, *text = NULL;
    size_t size;
    *out = NULL;
    VISE_TRY(vise_path_beside(&path, beside, name, e));
    vise_status s = VISE_OK;
    if (vise_is_file(path)) {
        json_error_t je;
        s = vise_read_text(&text, &size, path, CONFIG_LIMIT, e);
        if (!s) *out = json_loadb(text, size, 0, &je);
        if (!s && !json_is_object(*out)) {
            s = vise_fail(e, VISE_EFORMAT, "%s: not a JSON object (line %d: %s)", path,
                          *out ? 1 : je.line, *out ? "something else" : je.text);
            json_decref(*out);
            *out = NULL;
        }
    }
    vise_free(text);
    vise_free(path);
    return s;
}

/* One name a line; a final newline makes no empty name. */
static vise_status read_labels(vise_strings *labels, const char *path, vise_err *e)
{
    char *text = NULL;
    size_t size;
    VISE_TRY(vise_read_text(&text, &size, path, LABELS_LIMIT, e));
    vise_status s = VISE_OK;
    if (memchr(text, 0, size)) s = vise_fail(e, VISE_EFORMAT, "%s: a zero byte in a text", path);
    vise_strings_free(labels);
    for (char *line = text; !s && *line;) {
        char *end = line + strcspn(line, "\n");
        char *next = *end ? end + 1 : end;
        if (end > line && end[-1] == '\r') end--;
        *end = 0;
        json_t *utf8 = json_string(line);
        if (labels->count == MAX_LABELS)
            s = vise_fail(e, VISE_EFORMAT, "%s: more than %d class names", path, MAX_LABELS);
        else if (!utf8)
            s = vise_fail(e, VISE_EFORMAT, "%s: line %zu is not UTF-8", path, labels->count + 1);
        else
            s = vise_strings_add(labels, line, e);
        json_decref(utf8);
        line = next;
    }
    if (!s && !labels->count) s = vise_fail(e, VISE_EFORMAT, "%s: no class names in it", path);
    vise_free(text);
    return s;
}

/* Hugging Face's id2label {"0": "tench", ...}, when it is complete and says more than LABEL_0. */
static vise_status labels_from_config(vise_model *m, const json_t *config, vise_err *e)
{
    const json_t *map = json_object_get(config, "id2label");
    const size_t n = json_object_size(map);
    if (!n || n > MAX_LABELS) return VISE_OK;
    for (size_t i = 0; i < n; i++) {
        char key[24];
        snprintf(key, sizeof key, "%zu", i);
        const char *name = json_string_value(json_object_get(map, key));
        if (!name || (i == 0 && !strcmp(name, "LABEL_0"))) {
            vise_strings_free(&m->labels);
            return VISE_OK;
        }
        VISE_TRY(vise_strings_add(&m->labels, name, e));
    }
    return VISE_OK;
}

/* The line of history: the file, and the options that made this graph of it. */
static vise_status record_import(vise_model *m, const char *path, const vise_import *o, vise_err *e)
{
    char line[512], heads[24] = "", eps[40] = "", size[40] = "";
    const char *slash = strrchr(path, '/');
    if (o->heads) snprintf(heads, sizeof heads, " heads=%u", o->heads);
    if (o->ln_eps > 0) snprintf(eps, sizeof eps, " ln-eps=%g", o->ln_eps);
    if (o->height) snprintf(size, sizeof size, " size=%ux%u", o->height, o->width);
    snprintf(line, sizeof line, "import %.200s%s%s%s%.32s%s%.32s%s", slash ? slash + 1 : path,
             heads, eps, o->act ? " act=" : "", o->act ? o->act : "", o->norm ? " norm=" : "",
             o->norm ? o->norm : "", size);
    for (char *c = line; *c; c++) // a file's name may hold any bytes, JSON only UTF-8
        if (*c < 0x20 || *c > 0x7e) *c = '?';
    return vise_strings_add(&m->history, line, e);
}

static vise_status import(vise_model *m, const char *path, const vise_import *opts, vise_err *e)
{
    const vise_arch *arch = NULL;
    json_t *config = NULL, *preprocessor = NULL;
    if (opts->arch) {
        arch = vise_arch_find(opts->arch);
        if (!arch) return vise_fail(e, VISE_EARG, "--arch %s: no such model family", opts->arch);
    } else {
        VISE_TRY(vise_arch_detect(&arch, &m->tensors, e));
    }
    m->family = arch->name;
    vise_status s = read_json(&config, path, "config.json", e);
    if (!s) s = read_json(&preprocessor, path, "preprocessor_config.json", e);
    if (!s) s = arch->build(m, opts, &(vise_configs){config, preprocessor}, e);
    if (!s) s = labels_from_config(m, config, e);
    if (!s) s = record_import(m, path, opts, e);
    json_decref(preprocessor);
    json_decref(config);
    return s;
}

/* A position table that is not used at its own size is worth knowing about. */
static vise_status note_resized(vise_model *m, vise_err *e)
{
    const vise_graph *g = &m->graph;
    for (size_t i = 0; i < g->nodes; i++) {
        const vise_node *n = &g->node[i];
        if (strcmp(n->op->name, "embed_add") != 0) continue;
        const vise_embed_add_attr *a = n->attr;
        const vise_shape *map = &g->value[n->out].shape;
        if ((size_t)a->grid_h != map->dim[0] || (size_t)a->grid_w != map->dim[1])
            VISE_TRY(vise_strings_addf(
                &m->notes, e, "%s: resized from %lld x %lld to %zu x %zu positions, bicubic",
                g->value[n->in[1]].name, (long long)a->grid_h, (long long)a->grid_w, map->dim[0],
                map->dim[1]));
    }
    return VISE_OK;
}

static vise_status check_size(const vise_import *o, vise_err *e)
{
    enum { MAX_SIDE = 16384 };
    if (!o->height && !o->width) return VISE_OK;
    if (o->height >= 1 && o->height <= MAX_SIDE && o->width >= 1 && o->width <= MAX_SIDE)
        return VISE_OK;
    return vise_fail(e, VISE_EARG, "--size %ux%u: each side is 1 to %d pixels", o->height, o->width,
                     MAX_SIDE);
}

static vise_status open_model(vise_model *m, const char *path, const vise_import *opts, vise_err *e)
{
    char *used = NULL;
    VISE_TRY(check_size(opts, e));
    VISE_TRY(vise_tensors_read(&m->tensors, path, &used, e));
    vise_status s = vise_file_is(&m->tensors) ? vise_file_load(m, opts->height, opts->width, e)
                                              : import(m, used, opts, e);
    if (s) vise_fail_in(e, s, used);
    vise_free(used);
    VISE_TRY(s);
    VISE_TRY(note_resized(m, e));
    VISE_TRY(vise_recipe_override(&m->recipe, &opts->recipe, e));
    if (opts->class_names) VISE_TRY(read_labels(&m->labels, opts->class_names, e));
    const vise_graph *g = &m->graph;
    const size_t classes = vise_shape_count(&g->value[g->output[0].value].shape);
    if (m->labels.count && m->labels.count != classes)
        return vise_fail(e, opts->class_names ? VISE_EARG : VISE_EFORMAT,
                         "%s: %zu class names for %zu outputs",
                         opts->class_names ? opts->class_names : path, m->labels.count, classes);
    return VISE_OK;
}

vise_status vise_model_open(vise_model **out, const char *path, const vise_import *opts,
                            vise_err *e)
{
    vise_model *m;
    *out = NULL;
    VISE_TRY(vise_model_alloc(&m, e));
    vise_status s = open_model(m, path, opts ? opts : &(vise_import){0}, e);
    vise_tensors_drop(&m->tensors); // checking the numbers touched all of them
    if (s)
        vise_model_free(m);
    else
        *out = m;
    return s;
}

/* ---- questions ---- */

void vise_model_get_info(const vise_model *m, vise_model_info *info)
{
    const vise_graph *g = &m->graph;
    *info = (vise_model_info){.family = m->family,
                              .file_bytes = m->tensors.file_bytes,
                              .nodes = g->nodes,
                              .classes = vise_shape_count(&g->value[g->output[0].value].shape),
                              .labels = m->labels.count,
                              .notes = m->notes.count,
                              .history = m->history.count};
    for (size_t i = 0; i < g->values; i++) { // each constant once, however often it is read
        if (g->value[i].kind != VISE_VALUE_CONST) continue;
        info->params += vise_shape_count(&g->value[i].shape);
        info->weight_bytes += vise_const_bytes(&g->value[i].data);
    }
    for (size_t i = 0; i < g->nodes; i++) {
        vise_cost c;
        vise_graph_cost(g, &g->node[i], &c);
        info->macs += c.macs;
    }
}

/* Does a node before `node` read this constant? Then its parameters are counted there. */
static bool read_before(const vise_graph *g, vise_id v, size_t node)
{
    if (v == VISE_NONE || g->value[v].kind != VISE_VALUE_CONST) return false;
    for (size_t i = 0; i < node; i++)
        for (uint32_t k = 0; k < g->node[i].nin; k++)
            if (g->node[i].in[k] == v) return true;
    return false;
}

/* Of the operands that can be rounded, the first stands for all. */
static const char *act_type(const vise_node *n)
{
#define BITS(kind)                                                                                 \
    {                                                                                              \
        "int2" kind, "int3" kind, "int4" kind, "int5" kind, "int6" kind, "int7" kind, "int8" kind  \
    }
    static const char *const codes[][7] = {BITS(""), BITS(" asym"), BITS(" static")};
#undef BITS
    const vise_actq *q = &n->actq[0];
    if (!vise_actq_is_coded(q->kind)) return q->kind == VISE_ACTQ_BF16 ? "bf16" : "";
    return codes[q->kind - VISE_ACTQ_SYM][q->bits - 2];
}

void vise_model_get_node(const vise_model *m, size_t i, vise_node_info *info)
{
    const vise_graph *g = &m->graph;
    const vise_node *n = &g->node[i];
    vise_cost c;
    vise_graph_cost(g, n, &c);
    *info = (vise_node_info){.name = n->name,
                             .op = n->op->name,
                             .params = c.params,
                             .macs = c.macs,
                             .weight_bytes = c.weight_bytes,
                             .act_bytes = c.act_bytes,
                             .shape = g->value[n->out].shape,
                             .weight_type = "",
                             .act_type = act_type(n)};
    for (uint32_t k = 0; k < n->nin; k++)
        if (read_before(g, n->in[k], i))
            info->params -= vise_shape_count(&g->value[n->in[k]].shape);
    for (uint32_t k = 0; k < n->nin; k++) {
        if (n->in[k] == VISE_NONE || g->value[n->in[k]].kind != VISE_VALUE_CONST) continue;
        info->weight_type = vise_encoding_name(&g->value[n->in[k]].data.enc);
        break;
    }
}

/* The encoding of value v; NULL if it is no constant. */
static const char *encoding_at(const vise_graph *g, size_t v)
{
    const vise_value *x = &g->value[v];
    return x->kind == VISE_VALUE_CONST ? vise_encoding_name(&x->data.enc) : NULL;
}

/* Is value v the first constant of its encoding? */
static bool opens_encoding(const vise_graph *g, size_t v)
{
    const char *type = encoding_at(g, v);
    for (size_t u = 0; type && u < v; u++)
        if (encoding_at(g, u) && !strcmp(encoding_at(g, u), type)) return false;
    return type != NULL;
}

bool vise_model_get_weights(const vise_model *m, size_t i, vise_weight_info *info)
{
    const vise_graph *g = &m->graph;
    *info = (vise_weight_info){0};
    for (size_t v = 0; v < g->values && !info->type; v++)
        if (opens_encoding(g, v) && !i--) info->type = encoding_at(g, v);
    for (size_t v = 0; v < g->values && info->type; v++) {
        const char *type = encoding_at(g, v);
        if (!type || strcmp(type, info->type) != 0) continue;
        info->params += vise_shape_count(&g->value[v].shape);
        info->bytes += vise_const_bytes(&g->value[v].data);
        info->tensors++;
    }
    return info->type != NULL;
}

const vise_recipe *vise_model_recipe(const vise_model *m)
{
    return &m->recipe;
}

const char *vise_model_label(const vise_model *m, size_t cls)
{
    return cls < m->labels.count ? m->labels.item[cls] : NULL;
}

const char *vise_model_note(const vise_model *m, size_t i)
{
    return i < m->notes.count ? m->notes.item[i] : NULL;
}

const char *vise_model_history(const vise_model *m, size_t i)
{
    return i < m->history.count ? m->history.item[i] : NULL;
}
