/* session.h - the inside of a session: slots for values, steps that fill them, one block.
 *
 * Opening goes through four stages, each a function below: lower (nodes become steps), plan (every
 * slot gets a place), pack (weights go where the kernels want them), fold (what does not depend on
 * the images is computed once). Running walks the steps.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_EXEC_SESSION_H
#define VISE_EXEC_SESSION_H

#include "base/pool.h"
#include "kern/kern.h"
#include "model/model.h"

/* Where a value lives while the session runs. Indexed by the graph's value ids. */
typedef enum vise_slot_kind {
    VISE_SLOT_UNUSED,
    VISE_SLOT_CONST,  // a decoded constant, kept
    VISE_SLOT_FOLDED, // computed once at open, kept
    VISE_SLOT_INPUT,  // the caller's memory, known at run
    VISE_SLOT_SHARED, // a place in the block that is reused when the value is dead
} vise_slot_kind;

typedef struct vise_slot {
    vise_slot_kind kind;
    bool batched;
    vise_shape shape;
    vise_id root;       // another slot whose memory this one shares (a reshape), or itself
    size_t first, last; // steps between which a SHARED root is alive
    size_t offset;      // of a SHARED root, bytes into the shared part
    float *data;        // of a root
} vise_slot;

typedef struct vise_step vise_step;

/* How a kind of node is run. A step without a kind of its own runs the operator's forward. */
typedef struct vise_step_kind {
    const char *op;
    /* Can this kind run that node? NULL: always. */
    bool (*fits)(const vise_sig *sig);
    bool packs; // input 1 is a weight matrix that pack() consumes: it needs no slot
    /* Takes the step's own memory: packed weights and scratch. Called twice, as every layout. */
    void (*layout)(vise_step *st, vise_arena *m);
    /* Fills what layout took from the constant; VISE_ENOMEM. NULL: nothing to do. */
    vise_status (*pack)(vise_step *st, const vise_const *w, vise_err *e);
    void (*run)(vise_step *st, size_t batch);
} vise_step_kind;

struct vise_step {
    const vise_step_kind *kind;
    const vise_op *op;
    const void *attr;
    uint32_t nin;
    vise_id in[VISE_MAX_IN], out;
    size_t node;         // in the graph
    vise_shape weight;   // of input 1, when the kind packs
    float *packed;       // owned by the kind
    float *scratch;      // [threads, scratch_size] floats, shared by all steps
    size_t scratch_size; // per thread, of this step
    vise_session *s;
    vise_step_info *info; // NULL: nobody keeps time
};

typedef struct vise_port_slot {
    vise_port port;
    vise_id slot;
} vise_port_slot;

struct vise_session {
    vise_kern kern;
    vise_pool *pool; // NULL: one thread
    size_t threads, batch;
    vise_slot *slot; // [slots]
    size_t slots;
    vise_step *step; // [steps]; the folded ones are not among them
    size_t steps;
    vise_port_slot *in, *out;
    size_t nin, nout;
    size_t shared_bytes; // of the reused part of the block
    char *shared;
    vise_arena block;
    vise_region texts; // names, attributes, tables
};

/* ---- opening ---- */

vise_status vise_lower(vise_session *s, const vise_graph *g, const vise_session_opts *o,
                       vise_err *e);
vise_status vise_plan(vise_session *s, vise_err *e); // offsets of all SHARED roots

/* ---- keeping time ---- */

/* Gives every step its info. VISE_ENOMEM. */
vise_status vise_profile_open(vise_session *s, const vise_graph *g, vise_err *e);
/* Runs a step, with the clock if it has an info. */
void vise_profile_run(vise_step *st, size_t batch);

/* ---- for steps ---- */

extern const vise_step_kind vise_step_forward; // runs any operator's own definition
/* The kind for a node, never NULL. */
const vise_step_kind *vise_step_kind_for(const vise_op *op, const vise_sig *sig);
/* Operand i as forward wants it; absent operands have a NULL shape. */
vise_arg vise_step_in(const vise_step *st, uint32_t i);
vise_arg vise_step_out(const vise_step *st);
/* Rows of an operand seen as [rows, last extent], with the batch. */
size_t vise_arg_rows(const vise_arg *a, size_t batch);
/* Runs fn over tasks 0 .. tasks - 1 on the session's pool. */
void vise_step_split(vise_step *st, size_t tasks, vise_task_fn *fn, void *ctx);

/* Rows [first, first + n) of a constant seen as [rows, cols]. */
vise_const vise_const_rows(const vise_const *c, size_t first, size_t n);
/* Packs a constant [n, k] of any encoding for the session's f32 GEMM. perm: NULL, or [k]: column p
 * of the packed matrix is column perm[p] of the constant. VISE_ENOMEM. */
vise_status vise_pack_const(float *panels, const vise_gemm *g, const vise_const *w, const size_t *perm,
                            vise_err *e);

#endif
