/* write.c - a model as an ONNX file
 * SPDX-License-Identifier: MIT */
#include "base/file.h"
#include "graph/actq.h"
#include "model/model.h"
#include "model/onnx/build.h"

#include <stdio.h>
#include <string.h>

/* ---- nodes ---- */

/* A node that does not depend on the images: its numbers are constants of the file. */
static void fold(vise_onnx *w, const vise_node *n)
{
    const vise_value *y = &w->g->value[n->out];
    vise_call c = {.attr = n->attr, .batch = 1, .nin = n->nin, .nout = 1, .actq = n->actq};
    for (uint32_t i = 0; i < n->nin; i++) {
        if (n->in[i] == VISE_NONE) continue;
        const float *numbers = vise_onnx_numbers(w, n->in[i]);
        c.in[i].shape = &w->g->value[n->in[i]].shape;
        memcpy(&c.in[i].data, &numbers, sizeof numbers); // they are only read
    }
    vise_sig sig;
    vise_graph_sig(w->g, n, &sig);
    const size_t scratch = n->op->scratch ? n->op->scratch(&sig, &y->shape) : 0;
    c.scratch = vise_onnx_keep(w, scratch * sizeof(float) + VISE_ALIGN, 1);
    float *out = vise_onnx_keep(w, vise_shape_count(&y->shape), sizeof *out);
    c.out[0] = (vise_arg){&y->shape, out, false};
    if (w->status) return;
    n->op->forward(&c);
    w->folded[n->out] = out;
}

/* A map of an image: an output of this kind goes out channels first. */
static bool is_map(const vise_onnx *w, vise_id v)
{
    return w->g->value[v].shape.rank == 3 && w->g->value[v].batched;
}

/* The name of a node's tensor in the file: that of an output that is this tensor, else its own
 * unless a port has that. NULL: none */
static const char *name_of(const vise_onnx *w, vise_id v)
{
    const vise_graph *g = w->g;
    for (size_t i = 0; i < g->outputs; i++)
        if (g->output[i].value == v && is_map(w, v) == w->channels_first) return g->output[i].name;
    return vise_onnx_is_port(w, g->value[v].name) ? NULL : g->value[v].name;
}

/* The first operand that is rounded to codes of fewer than 8 bits: ONNX would use all 256. */
static const vise_actq *narrow(const vise_node *n)
{
    for (uint32_t i = 0; i < n->nin; i++)
        if (vise_actq_is_coded(n->actq[i].kind) && n->actq[i].bits < 8) return &n->actq[i];
    return NULL;
}

static void add_node(vise_onnx *w, const vise_node *n)
{
    vise_onnx_fn *fn = vise_onnx_find(n->op->name);
    w->base = n->name;
    w->channels_first = false;
    if (!w->g->value[n->out].batched) {
        fold(w, n);
        return;
    }
    const bool any_rank = !strcmp(n->op->name, "add") || !strcmp(n->op->name, "mul");
    if (!fn || (!any_rank && w->g->value[n->in[0]].shape.rank == 0)) {
        vise_onnx_fail(w, vise_fail(w->e, VISE_EFORMAT,
                                    "%s: operator %s of this shape cannot be written as ONNX",
                                    n->name, n->op->name));
        return;
    }
    const vise_actq *q = narrow(n);
    if (q)
        vise_onnx_fail(w, vise_fail(w->e, VISE_EFORMAT,
                                    "%s: an operand rounded to %s codes of %u bits cannot be "
                                    "written as ONNX",
                                    n->name, vise_actq_name(q->kind), q->bits));
    if (w->status) return;
    const char *x = fn(w, n), *name = name_of(w, n->out);
    if (name) x = vise_onnx_rename(w, x, name);
    (w->channels_first ? w->first : w->last)[n->out] = x;
}

/* ---- ports ---- */

static Vise__Onnx__Value *port(vise_onnx *w, const char *name, vise_id v)
{
    const vise_shape *s = vise_onnx_shape(w, v);
    const bool images = vise_onnx_batched(w, v), map = is_map(w, v);
    const uint32_t rank = s->rank + images;
    Vise__Onnx__Value *p = vise_onnx_keep(w, 1, sizeof *p);
    Vise__Onnx__ValueType *type = vise_onnx_keep(w, 1, sizeof *type);
    Vise__Onnx__TensorType *tensor = vise_onnx_keep(w, 1, sizeof *tensor);
    Vise__Onnx__Shape *shape = vise_onnx_keep(w, 1, sizeof *shape);
    Vise__Onnx__Dim *dim = vise_onnx_keep(w, rank, sizeof *dim);
    Vise__Onnx__Dim **dims = vise_onnx_keep(w, rank, sizeof *dims);
    static char N[] = "N";
    if (w->status) return NULL;
    vise__onnx__value__init(p);
    vise__onnx__value_type__init(type);
    vise__onnx__tensor_type__init(tensor);
    vise__onnx__shape__init(shape);
    memcpy(&p->name, &name, sizeof name); // it is only read
    p->type = type;
    type->tensor = tensor;
    tensor->has_element = true;
    tensor->element = VISE__ONNX__TENSOR__TYPE__F32;
    tensor->shape = shape;
    shape->n_dim = rank;
    shape->dim = dims;
    for (uint32_t i = 0; i < rank; i++) {
        vise__onnx__dim__init(dims[i] = &dim[i]);
        dim[i].has_value = i >= images;
        if (i < images)
            dim[i].param = N;
        else // channels first: C, H, W of [H, W, C]
            dim[i].value = (int64_t)s->dim[map ? (i + 1) % 3 : i - images];
    }
    return p;
}

/* Makes the tensor of an output have its name. */
static void finish_output(vise_onnx *w, const vise_port_ref *p)
{
    w->base = p->name;
    const char *x =
        is_map(w, p->value) ? vise_onnx_in_first(w, p->value) : vise_onnx_in(w, p->value);
    if (strcmp(x, p->name) != 0) vise_onnx_rename(w, vise_onnx_1(w, "Identity", x), p->name);
}

/* ---- the file ---- */

static void start(vise_onnx *w)
{
    const vise_graph *g = w->g;
    w->last = vise_onnx_keep(w, g->values, sizeof *w->last);
    w->first = vise_onnx_keep(w, g->values, sizeof *w->first);
    w->folded = vise_onnx_keep(w, g->values, sizeof *w->folded);
    for (int i = 0; i < 2; i++)
        w->codes[i] = vise_onnx_keep(w, g->values, sizeof **w->codes);
    for (size_t i = 0; !w->status && i < g->inputs; i++)
        (is_map(w, g->input[i].value) ? w->first : w->last)[g->input[i].value] = g->input[i].name;
}

static void make_graph(vise_onnx *w, Vise__Onnx__Graph *out)
{
    static char name[] = "vise";
    const vise_graph *g = w->g;
    vise__onnx__graph__init(out);
    start(w);
    for (size_t i = 0; !w->status && i < g->nodes; i++)
        add_node(w, &g->node[i]);
    for (size_t i = 0; !w->status && i < g->outputs; i++)
        finish_output(w, &g->output[i]);
    out->input = vise_onnx_keep(w, g->inputs, sizeof *out->input);
    out->output = vise_onnx_keep(w, g->outputs, sizeof *out->output);
    for (size_t i = 0; !w->status && i < g->inputs; i++)
        out->input[i] = port(w, g->input[i].name, g->input[i].value);
    for (size_t i = 0; !w->status && i < g->outputs; i++)
        out->output[i] = port(w, g->output[i].name, g->output[i].value);
    if (w->status) return;
    out->name = name;
    out->n_input = g->inputs;
    out->n_output = g->outputs;
    out->n_node = w->nodes.n;
    out->n_initializer = w->tensors.n;
    out->node = (void *)w->nodes.item; // arrays of pointers, all of one representation
    out->initializer = (void *)w->tensors.item;
}

typedef struct sink {
    ProtobufCBuffer base;
    vise_out *out;
} sink;

static void put(ProtobufCBuffer *b, size_t n, const uint8_t *data)
{
    vise_out_write(((sink *)(void *)b)->out, data, n);
}

static vise_status write_file(const Vise__Onnx__Model *m, const char *path, vise_err *e)
{
    vise_out o;
    const size_t bytes = vise__onnx__model__get_packed_size(m);
    if (bytes > INT32_MAX)
        return vise_fail(e, VISE_EFORMAT, "%s: would have %zu bytes, an ONNX file has at most %d",
                         path, bytes, INT32_MAX);
    VISE_TRY(vise_out_open(&o, path, e));
    sink s = {{put}, &o};
    vise__onnx__model__pack_to_buffer(m, &s.base);
    return vise_out_commit(&o, e);
}

static const char *note_of(const vise_onnx *w)
{
    static const char *const notes[2][2] = {
        {NULL,
         "where vise rounds activations and ONNX has no products of such, it computes in f32"},
        {"activations are rounded with one scale for a whole tensor, where vise has one per row",
         "activations are rounded with one scale for a whole tensor, where vise has one per row, "
         "or "
         "not at all"}};
    return notes[w->per_tensor][w->in_f32];
}

vise_status vise_model_save_onnx(const vise_model *m, const char *path, const char **note,
                                 vise_err *e)
{
    enum { IR_VERSION = 8 };
    static char producer[] = "vise", version[] = VISE_VERSION, domain[] = "";
    vise_onnx w = {.g = &m->graph, .base = "the graph", .e = e};
    Vise__Onnx__Graph graph;
    Vise__Onnx__Opset opset = VISE__ONNX__OPSET__INIT, *opsets = &opset;
    Vise__Onnx__Model model = VISE__ONNX__MODEL__INIT;
    make_graph(&w, &graph);
    opset.domain = domain;
    opset.has_version = model.has_ir_version = true;
    opset.version = VISE_ONNX_OPSET;
    model.ir_version = IR_VERSION;
    model.producer_name = producer;
    model.producer_version = version;
    model.graph = &graph;
    model.n_opset = 1;
    model.opset = &opsets;
    const vise_status s = w.status ? w.status : write_file(&model, path, e);
    if (note) *note = s ? NULL : note_of(&w);
    vise_region_free(&w.mem);
    return s;
}
