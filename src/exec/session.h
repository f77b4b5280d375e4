/* session.h - the inside of a session: slots for values, steps that fill them, one block.
 *
 * Opening goes through these stages, each a function below: lower (nodes become steps, several of
 * them one where they fuse), chain (consecutive steps that work row by row run as one), plan (every
 * slot gets a place), pack (weights go where the kernels want them), fold (what does not depend on
 * the images is computed once). Running walks the chains.
 *
 * A chain splits its rows into blocks. A thread takes a block through all steps of the chain before
 * the next: what one step writes the next finds in the cache, values that live inside one chain
 * exist for one block per thread only (LOCAL), and threads meet once per chain.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_EXEC_SESSION_H
#define VISE_EXEC_SESSION_H

#include "base/pool.h"
#include "graph/actq.h"
#include "kern/kern.h"
#include "model/model.h"

typedef struct vise_step vise_step;

/* ---- slots: where a value lives while the session runs ---- */

typedef enum vise_slot_kind {
    VISE_SLOT_UNUSED,
    VISE_SLOT_CONST,  // a decoded constant, kept
    VISE_SLOT_FOLDED, // computed once at open, kept
    VISE_SLOT_INPUT,  // the caller's memory, known at run
    VISE_SLOT_SHARED, // a place in the block that is reused when the value is dead
    VISE_SLOT_LOCAL,  // as SHARED, but of one block of rows, per thread
} vise_slot_kind;

/* How its rows are stored. */
typedef enum vise_format {
    VISE_FMT_F32,
    VISE_FMT_BF16,
    VISE_FMT_S8, // rows of codes for gemm_s8, and behind all rows one vise_rowq per row
    VISE_FMT_RAW // bytes that only their step understands
} vise_format;

/* Indexed by the graph's value ids; ids from graph->values on are the session's own. A value is
 * seen as [rows, last extent]. */
typedef struct vise_slot {
    vise_slot_kind kind;
    vise_format format;
    bool batched;
    bool tight; // of a root: rows must lie without gaps
    vise_shape shape;
    vise_id root;       // another slot whose memory this one shares, or itself
    size_t shift;       // bytes from the start of the root's row: a slice of its columns
    size_t rows;        // per image
    size_t ld;          // of a root: bytes from row to row
    size_t first, last; // of a root: time of the first and last use
    size_t chain;       // of a root: the only chain that touches it, or SIZE_MAX
    size_t room;        // rows of a root in its space
    size_t bytes;       // of a root in its space, for the whole batch or block
    size_t offset;      // of a root in its space
    char *data;         // of a root that is not LOCAL
} vise_slot;

/* Rows that one call works on: of all rows of the batch, those of one block. */
typedef struct vise_rows {
    size_t from, to;
    size_t block; // row where the block starts, for LOCAL slots
    size_t thread;
} vise_rows;

/* ---- steps ---- */

/* How a kind of step is run; exactly one of rows and run is set. */
typedef struct vise_step_kind {
    const char *name;
    /* Takes the step's own memory: packed weights, and scratch. Called twice, as every layout. */
    void (*layout)(vise_step *st, vise_arena *m);
    /* Fills what layout took from constants. VISE_ENOMEM, or VISE_EFORMAT naming the tensor. */
    vise_status (*pack)(vise_step *st, const vise_graph *g, vise_err *e);
    void (*rows)(vise_step *st, const vise_rows *r); // row i of out from row i of the inputs
    void (*run)(vise_step *st, size_t batch);        // all of out, with the pool
    unsigned whole; // rows: bit i: input i is read at any row, and must be complete
    bool strided;   // run: inputs may have gaps between rows
} vise_step_kind;

/* What a linear or convolution multiplies with. Owned by the session's block. */
typedef struct vise_weights {
    size_t n, k, groups; // of [n, k]; groups: panels of n / groups columns each; 0: 1
    vise_format format;
    vise_codes codes;        // what the panels hold instead of bytes or floats; no bits: those
    size_t books, book_rows; // codebooks, and columns with one of them; 0: all
    float *book;             // [books, 2^bits] of codes
    void *panels;
    float *scale, *bias;                 // [n] scale: S8, codes; bias: NULL if there is none
    int32_t *sum;                        // [n] S8
    vise_id from, bias_from, scale_from; // constants; scale_from: of a fused layer scale, or NONE
} vise_weights;

/* What follows a product before it is stored. */
typedef struct vise_epilogue {
    vise_act_fn *act;
    const float *param;
    vise_id add; // VISE_NONE: nothing
} vise_epilogue;

struct vise_step {
    const vise_step_kind *kind;
    const vise_op *op;
    const char *name; // of the node
    const void *attr;
    uint32_t nin;
    vise_id in[VISE_MAX_IN], out;
    size_t node;      // in the graph
    vise_actq actq;   // of the operand that it converts
    size_t actq_node; // whose operand that is, and which; VISE_MAX_IN: no node's
    uint32_t actq_in;
    vise_actq actq_v;        // attention: of v, its operand 2
    vise_actq *rounds;       // forward: [nin] how its operands are rounded
    const uint8_t *replaced; // attention: [256] codes of probabilities by code; NULL: themselves
    vise_weights w;          // linear, conv2d
    vise_shape weight;       // conv2d: of its weight
    vise_epilogue epi;
    void *own;             // what only its kind knows
    size_t scratch;        // bytes per thread that it needs; shared by all steps
    uint64_t weight_bytes; // as packed
    vise_session *s;
};

/* Steps [first, end) that run together. */
typedef struct vise_chain {
    size_t first, end;
    size_t rows;  // per image; 0: one step that runs as a whole
    size_t block; // most rows of a block
} vise_chain;

typedef struct vise_port_slot {
    vise_port port;
    vise_id slot;
} vise_port_slot;

struct vise_session {
    vise_kern kern;
    vise_pool *pool; // NULL: one thread
    size_t threads, batch, cache;
    bool lent;       // SHARED values lie where vise_session_place says
    vise_slot *slot; // [slots]
    size_t slots;
    vise_step *step, *fold; // [steps], and [folds] that run once, at open
    size_t steps, folds;
    vise_chain *chain; // [chains]
    size_t chains;
    vise_port_slot *in, *out;
    size_t nin, nout;
    size_t shared_bytes, local_bytes; // of the reused parts of the block; local: per thread
    size_t scratch_bytes;             // per thread
    char *shared, *local, *scratch;
    vise_step_info *info; // [steps] for profiling; NULL: nobody asked
    double *spent;        // [threads, steps] seconds
    uint64_t runs;
    vise_arena block;
    vise_region texts; // names, attributes, tables
};

/* ---- opening ---- */

vise_status vise_lower(vise_session *s, const vise_graph *g, const vise_session_opts *o,
                       vise_err *e);
vise_status vise_make_chains(vise_session *s, vise_err *e); // and the kinds of their slots
vise_status vise_plan(vise_session *s, vise_err *e);        // offsets of SHARED and LOCAL roots

/* Runs chain c for a batch; a block's rows never mix images' results. */
void vise_chain_run(vise_session *s, const vise_chain *c, size_t batch);
size_t vise_chain_block(const vise_session *s, const vise_chain *c, size_t batch); // rows
/* Runs one step outside any chain. */
void vise_step_run(vise_step *st, size_t batch);

/* ---- for training: the same network again and again, with other numbers ---- */

/* As vise_session_new, but values that live for a run lie in memory of the caller's, which sessions
 * may share that run one after the other. */
vise_status vise_session_new_lent(vise_session **out, const vise_model *m,
                                  const vise_session_opts *opts, vise_err *e);
/*   memory  [s->shared_bytes], aligned to VISE_ALIGN, for all runs to come */
void vise_session_place(vise_session *s, char *memory);
/* Constants of m, of which the session was made, have other numbers now, encoded as before, and static
 * operands other scales.
 * VISE_ENOMEM: then nothing may be run before it succeeds. */
vise_status vise_session_refresh(vise_session *s, const vise_model *m, vise_err *e);
/* Output i after a run, [B, shape], as it lies in the session until the next; NULL if it does so with
 * gaps between its rows. */
const float *vise_session_rows(const vise_session *s, size_t i);

/* ---- keeping time ---- */

/* Tells what every step is, for those who ask for its time. VISE_ENOMEM. */
vise_status vise_profile_open(vise_session *s, const vise_graph *g, vise_err *e);

/* ---- for steps ---- */

/* Row r->from of a value, in memory; rows follow at ld bytes. */
void *vise_row(const vise_step *st, vise_id id, const vise_rows *r);
/* Row i (of all images) of a complete value. */
void *vise_row_at(const vise_step *st, vise_id id, size_t i);
size_t vise_ld(const vise_step *st, vise_id id);   // bytes
size_t vise_cols(const vise_step *st, vise_id id); // last extent
/* The codes' meanings of row r->from on, of an S8 value. */
vise_rowq *vise_rowq_at(const vise_step *st, vise_id id, const vise_rows *r);
void *vise_scratch(const vise_step *st, size_t thread);
/* Operand i as an operator's forward wants it (tight); absent operands have a NULL shape. */
vise_arg vise_step_in(const vise_step *st, uint32_t i);
vise_arg vise_step_out(const vise_step *st);
/* A constant or folded operand, or NULL. */
const float *vise_fixed(const vise_step *st, uint32_t i);

const vise_gemm *vise_gemm_for(const vise_session *s, vise_format f);
vise_format vise_format_of(const vise_actq *q);
/* Bytes between rows of k numbers that a GEMM reads: an odd number of cache lines, so that the rows
 * of a tile do not fall on the same cache sets. */
size_t vise_operand_ld(const vise_session *s, vise_format f, size_t k);
/* Rows in a GEMM's format: rowq [rows] for S8. */
typedef struct vise_operand {
    void *data;
    size_t ld; // bytes
    vise_rowq *rowq;
} vise_operand;
void vise_convert(const vise_session *s, const vise_actq *q, vise_operand to, vise_floats from);

/* Do panels keep the constant's codes? Else they hold what the codes mean. permuted: columns will be
 * packed in another order. */
void vise_weights_keep_codes(vise_weights *w, const vise_session *s, const vise_const *c,
                             bool permuted);
size_t vise_weights_bytes(const vise_weights *w, const vise_session *s);   // of the panels
size_t vise_weights_scratch(const vise_weights *w, const vise_session *s); // per thread that runs
/* Can a product in this format use the constant as it is? */
bool vise_weights_exact(const vise_const *c, vise_format f);
/* Memory for, and contents of, packed weights. perm: NULL, or [k]: column p of the packed matrix is
 * column perm[p] of the constant. */
void vise_weights_layout(vise_weights *w, const vise_session *s, vise_arena *m);
vise_status vise_weights_pack(vise_weights *w, const vise_session *s, const vise_graph *g,
                              const size_t *perm, vise_err *e);
/* Arguments for a product with columns all, rows as given; the caller sets c and what else differs. */
vise_gemm_args vise_weights_args(const vise_weights *w, const vise_epilogue *epi);
/* The product. scratch: as many bytes as vise_weights_scratch says. */
void vise_weights_run(const vise_weights *w, const vise_session *s, vise_gemm_args *g,
                      void *scratch);

extern const vise_step_kind vise_step_forward; // runs any operator's own definition

/* The kernel's activation for a kind (vise_act), or NULL; its parameters in *param. */
vise_act_fn *vise_act_kernel(const vise_kern *k, int kind, const float **param);

#endif
