/* vit.h - what the files of the vit family share.
 *
 * Every plain ViT is brought under timm's tensor names ("roles") first: by tables of the known
 * naming schemes (vit_names.c), else by structure (vit_structure.c). vit_facts.c then finds what
 * shapes do not tell, and vit.c writes the graph in terms of roles only.
 *
 *   patch_embed.proj  cls_token  dist_token  reg_token  pos_embed  norm_pre
 *   blocks.N.{norm1 attn.qkv attn.q attn.k attn.v attn.q_bias attn.v_bias attn.q_norm attn.k_norm
 *             attn.proj ls1.gamma norm2 mlp.fc1 mlp.fc2 mlp.w12 mlp.w3 ls2.gamma}
 *   norm  fc_norm  pre_logits.fc  head  head_dist
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_MODEL_ARCH_VIT_H
#define VISE_MODEL_ARCH_VIT_H

#include "graph/ops.h"
#include "model/arch/arch.h"

enum {
    VISE_VIT_ROLE = 64,      // bytes of a role's name
    VISE_VIT_DEPTH = 512,    // most blocks
    VISE_VIT_SIDE = 1 << 14, // most pixels of an input's side
};

/* Normalisation and its kind of pictures, by who trains under these names. */
typedef enum vise_vit_pictures {
    VISE_VIT_HALF,     // mean and std 0.5
    VISE_VIT_IMAGENET, // ImageNet's mean and std
    VISE_VIT_CLIP,     // OpenAI's
} vise_vit_pictures;

/* What comes with a way of naming tensors, where nothing else tells. */
typedef struct vise_vit_style {
    const char *name; // for notes
    double ln_eps;
    vise_act act;
    bool post; // norms after the residual additions
    vise_vit_pictures pictures;
    vise_filter filter;
    vise_crop crop;
    double crop_pct;
    bool aliased; // positions are resized without antialiasing
} vise_vit_style;

typedef struct vise_vit_role {
    const char *name;          // with .weight or .bias
    const vise_stored *tensor; // under whatever name the file has
    bool used;                 // by the graph
} vise_vit_role;

/* Which stored tensor plays which role. */
typedef struct vise_vit_map {
    const vise_vit_style *style;
    vise_vit_role *role; // [roles] by name
    size_t roles, depth;
    const vise_stored **unknown; // [unknowns] neither understood nor known to be harmless
    size_t unknowns;
    vise_region texts;
} vise_vit_map;

/* A list of tensors cut to what fits into a message: "a [3], b [2, 4] and 5 more". */
typedef struct vise_listing {
    char text[300];
    size_t used, left; // bytes of text, entries that did not fit
} vise_listing;
void vise_listing_add(vise_listing *l, const char *name, const vise_shape *shape); // shape or NULL
const char *vise_listing_text(vise_listing *l);

/* ---- names ---- */

/* Fills map from the known naming schemes: of all schemes the one that understands most tensors.
 * What none understands is in map->unknown. Notes say what was left out. VISE_EFORMAT if two tensors
 * play one role, or VISE_ENOMEM; map is to be freed in any case. */
vise_status vise_vit_map_names(vise_vit_map *map, const vise_tensors *t, vise_strings *notes,
                               vise_err *e);
/* Fills map from shapes, from repetition, and from order and words where shapes are equal. Every
 * tensor's role becomes a note. VISE_EFORMAT lists what does not fit; map is to be freed. */
vise_status vise_vit_map_structure(vise_vit_map *map, const vise_tensors *t, vise_strings *notes,
                                   vise_err *e);
void vise_vit_map_free(vise_vit_map *map);

/* For the two above: adds a role, and orders them when all are there. */
vise_status vise_vit_map_add(vise_vit_map *map, const char *role, const vise_stored *tensor,
                             vise_err *e);
vise_status vise_vit_map_sort(vise_vit_map *map, vise_err *e);
vise_status vise_vit_map_room(vise_vit_map *map, const vise_tensors *t, vise_err *e);

vise_vit_role *vise_vit_find(const vise_vit_map *map, const char *role); // NULL: none
/* Does any block have this role, e.g. "attn.qkv.bias"? */
bool vise_vit_any_block(const vise_vit_map *map, const char *role);

/* Is this a tensor that takes no part in inference, e.g. a counter of training? */
bool vise_vit_harmless(const char *name);
/* How many tensors the best known scheme understands; allocates nothing. */
size_t vise_vit_known_names(const vise_tensors *t, bool *has_blocks);

/* ---- facts ---- */

typedef struct vise_vit_facts {
    size_t dim, depth, mlp, heads; // mlp: width of the hidden layer
    size_t channels, patch[2];     // vertical, horizontal
    size_t classes, head_cols;     // of the head; classes 0: no head
    bool cls_and_mean;             // the head reads class token and mean of patches, concatenated
    size_t prefix, prefix_pos;     // prefix tokens, and how many of them pos_embed covers
    size_t grid[2], size[2];       // of pos_embed; of the input, pixels
    double ln_eps;
    vise_act act;
    bool post, mean_pool;
    bool gated;        // mlp: silu(a) * b with [a, b] = fc1(x) or w12(x), as SwiGLU
    bool linear_patch; // patch_embed.proj.weight is [dim, patch * patch] of a grey picture
} vise_vit_facts;

/* Finds them from shapes, options, configuration, metadata and known sizes, in this order of trust:
 * options first. Each assumption is a note. VISE_EFORMAT, or VISE_EARG for an option that does not
 * fit or is needed. */
vise_status vise_vit_find_facts(vise_vit_facts *f, const vise_vit_map *map, vise_model *m,
                                const vise_import *opts, const vise_configs *c, vise_err *e);
extern const vise_arch vise_arch_vit;

#endif
