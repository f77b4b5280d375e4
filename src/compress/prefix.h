/* prefix.h - the original network and the compressed one side by side on the same pictures, stopped
 * before one node after the other.
 *
 * What both have computed so far is kept, and only that: memory holds the values that later nodes
 * read, for all pictures, and each node runs once per side.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_COMPRESS_PREFIX_H
#define VISE_COMPRESS_PREFIX_H

#include "base/pool.h"
#include "model/change.h"

typedef enum vise_side { VISE_ORIGINAL, VISE_COMPRESSED } vise_side;

typedef struct vise_prefix {
    const vise_change *c;
    vise_model original; // only its graph is used; what c stood for when this was opened
    size_t pictures, at; // both sides have run nodes [0, at)
    float **value[2];    // [side][values of c->from] [pictures, shape] or NULL
} vise_prefix;

/* How many pictures c->opts asks for; fallback: if it does not say. VISE_EARG: there are none. */
vise_status vise_pictures_count(size_t *n, const vise_change *c, size_t fallback, vise_err *e);
/* n pictures from all over the set.   to  out  [n, input]   Fails as data sets do; VISE_ECANCEL */
vise_status vise_pictures_read(const vise_change *c, size_t n, float *to, vise_err *e);

/* Reads c->opts->limit pictures (0: fallback) from all over c->opts->data. c's constants as they are now
 * are the original; they must stay in memory. VISE_EARG: there are no pictures; or as data sets fail. */
vise_status vise_prefix_open(vise_prefix *p, const vise_change *c, size_t fallback, vise_err *e);
void vise_prefix_close(vise_prefix *p); // safe on a zeroed one

/* Runs both sides up to, and without, node i; the compressed side as c says now. i >= p->at. Fails as
 * vise_session_new. */
vise_status vise_prefix_to(vise_prefix *p, size_t i, vise_err *e);
/* A value that a node from p->at on reads: pictures times its shape; once if it is not batched. */
const float *vise_prefix_value(const vise_prefix *p, vise_side side, vise_id v);

/* Runs m, a change of the same network, from where p stands to its end, on the original's values;
 * p stays there. Fails as vise_session_new.
 *   to  out  [pictures, shape of the first output]  untouched if it comes from nodes before */
vise_status vise_prefix_rest(const vise_prefix *p, const vise_model *m, float *to, vise_err *e);

#endif
