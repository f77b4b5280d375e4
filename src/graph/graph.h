/* graph.h - a network: nodes in execution order over named values.
 *
 * A graph is built once, node by node, by a family (arch/) or by the .vise reader, and is immutable
 * from then on. Shapes are inferred while it is built, from the shape of the input: a file stores
 * attributes, never shapes of activations, so the same file serves every input size.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_GRAPH_GRAPH_H
#define VISE_GRAPH_GRAPH_H

#include "graph/op.h"

enum { VISE_MAX_NODES = 1 << 13, VISE_MAX_PORTS = 64 };
#define VISE_NONE UINT32_MAX

typedef uint32_t vise_id; // of a value

typedef enum vise_value_kind {
    VISE_VALUE_INPUT,
    VISE_VALUE_CONST,
    VISE_VALUE_NODE
} vise_value_kind;

typedef struct vise_value {
    const char *name; // unique in the graph; of a node's output: the node's name
    vise_value_kind kind;
    bool batched;
    vise_shape shape; // of one image's part
    uint32_t node;    // that makes it; VISE_NONE for inputs and constants
    vise_const data;  // of a constant; shape repeated, pointers borrowed until the graph is freed
} vise_value;

typedef struct vise_node {
    const char *name; // unique; dotted path, e.g. "blocks.3.attn.qkv"
    const vise_op *op;
    const void *attr;
    uint32_t nin;
    vise_id in[VISE_MAX_IN];     // VISE_NONE: absent optional operand
    vise_actq actq[VISE_MAX_IN]; // NONE where zero
    vise_id out;
} vise_node;

typedef struct vise_port_ref {
    const char *name; // what users call it, e.g. "logits"
    vise_id value;
} vise_port_ref;

typedef struct vise_graph {
    vise_value *value; // [values]
    size_t values, values_room;
    vise_node *node; // [nodes] in execution order
    size_t nodes, nodes_room;
    vise_port_ref input[VISE_MAX_PORTS], output[VISE_MAX_PORTS];
    size_t inputs, outputs;
    vise_region texts;  // names, attributes, levels
    vise_err *e;        // while building
    vise_status status; // first failure while building; it sticks
    uint32_t *index;    // hash of value names; internal
    size_t index_size;
} vise_graph;

/* ---- building ----
 *
 * Failures stick: after the first, every call returns VISE_NONE and does nothing, so that a family
 * reads as the network it describes, and looks at the status once, in vise_graph_finish. */

void vise_graph_init(vise_graph *g, vise_err *e);
vise_id vise_graph_input(vise_graph *g, const char *name, const vise_shape *shape); // batched
vise_id vise_graph_const(vise_graph *g, const char *name, const vise_const *data);
/* attr: the operator's struct (copied), or NULL for all defaults. in[i] may be VISE_NONE for an
 * optional operand. Fails with VISE_EFORMAT for an unknown operator, a wrong number of operands, a
 * name used twice, an attribute out of range, or shapes that do not fit. */
vise_id vise_graph_add(vise_graph *g, const char *op, const char *name, const void *attr,
                       uint32_t nin, const vise_id *in);
/* How the operands of the node that makes this value are rounded before they are used, all at once.
 * VISE_EFORMAT for what graph/actq.h or the operator does not allow.   actq [nin] of the node */
void vise_graph_set_actq(vise_graph *g, vise_id value, const vise_actq *actq);
void vise_graph_output(vise_graph *g, const char *name, vise_id value);
/* The status so far, and the failure is in e. Requires an input, and outputs that nodes make from
 * it. A failed graph is freed by the caller as any other. */
vise_status vise_graph_finish(vise_graph *g);
/* Marks a failure of the builder's own (used by arch/): the first one sticks. */
void vise_graph_fail(vise_graph *g, vise_status s);
void vise_graph_free(vise_graph *g);

/* ---- reading ---- */

vise_id vise_graph_find(const vise_graph *g, const char *name); // value by name; VISE_NONE: none

/* Does one of the nodes [from, to) read v? */
bool vise_graph_reads(const vise_graph *g, vise_id v, size_t from, size_t to);
/* The last node of block i, as families name them: "blocks.I.*". SIZE_MAX: there is no such block. */
size_t vise_graph_block_end(const vise_graph *g, size_t i);

/* The node's signature, for shape and cost rules. */
void vise_graph_sig(const vise_graph *g, const vise_node *n, vise_sig *s);

typedef struct vise_cost {
    uint64_t macs;         // per image
    uint64_t params;       // elements of the constants it reads
    uint64_t weight_bytes; // of these, as encoded
    uint64_t act_bytes;    // activations read and written per image, as f32
} vise_cost;

void vise_graph_cost(const vise_graph *g, const vise_node *n, vise_cost *c);

/* ---- attributes as JSON, for the model file ---- */

/* Attributes of n that differ from their defaults, as a JSON object in a block to vise_free. */
vise_status vise_attr_to_json(char **text, const vise_op *op, const void *attr, vise_err *e);
/* The reverse, into attr (attr_size bytes). Unknown keys and wrong kinds are VISE_EFORMAT. json is a
 * parsed object (jansson's json_t). */
vise_status vise_attr_from_json(void *attr, const vise_op *op, const void *json, const char *node,
                                vise_err *e);

#endif
