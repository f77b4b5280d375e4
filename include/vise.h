/* vise.h - the whole public interface of vise: Vision Transformers, squeezed and run in C.
 *
 * A model is opened from any checkpoint that vise can read, and is immutable from then on: it may
 * serve many sessions in many threads. A session is a model planned for this machine; running it
 * allocates nothing and cannot fail. The library never prints, never exits and never reads the
 * environment: failures come back as a status and one sentence, notes are texts to ask for.
 *
 *   vise_err e;
 *   vise_model *m;
 *   vise_session *s;
 *   if (vise_model_open(&m, "deit_tiny/model.safetensors", NULL, &e)) return fail(e.msg);
 *   if (vise_session_new(&s, m, NULL, &e)) return fail(e.msg);
 *   const vise_recipe *r = vise_model_recipe(m);
 *   if (vise_image_load(pixels, r, "cat.jpg", &e)) return fail(e.msg);
 *   vise_session_run(s, 1, (const float *[]){pixels}, (float *[]){logits});
 *
 * Structs that configure a call may be NULL or all zero, which means: every default.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_H
#define VISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VISE_VERSION "0.1.0"

#if defined(__GNUC__)
#define VISE_API __attribute__((visibility("default")))
#else
#define VISE_API
#endif

/* ---- failures ---- */

typedef enum vise_status {
    VISE_OK = 0,
    VISE_ENOMEM = -1,
    VISE_EIO = -2,     // the system would not read or write
    VISE_EFORMAT = -3, // the file is wrong
    VISE_EARG = -4,    // the caller's option or argument is wrong
    VISE_ECPU = -5,    // this machine lacks the CPU level asked for
    VISE_ECANCEL = -6, // the progress callback said stop
} vise_status;

/* Where and why a call failed: one sentence that names the file, tensor or option at fault and the
 * numbers. Lives on the caller's stack, is never allocated; a NULL vise_err is allowed everywhere. */
typedef struct vise_err {
    vise_status code;
    char msg[480];
} vise_err;

/* Long calls report how far they are. Returning false stops the call with VISE_ECANCEL. */
typedef bool vise_progress_fn(void *user, const char *what, size_t done, size_t total);

/* ---- shapes, CPU levels ---- */

enum { VISE_MAX_RANK = 6 };

/* Extents, slowest first, without the batch. Rank 0 is a scalar. */
typedef struct vise_shape {
    uint32_t rank;
    size_t dim[VISE_MAX_RANK];
} vise_shape;

VISE_API size_t vise_shape_count(const vise_shape *s); // product of the extents

VISE_API const char *vise_version(void);
VISE_API const char *vise_cpu_best(void); // name of the highest CPU level of this machine
VISE_API size_t vise_cpu_cores(void);     // processors this process may use
/* Multiplications and additions per second of one thread in a matrix product that stays in the cache,
 * of type "f32", "bf16" or "s8" at a CPU level: what a step's speed can be held against. Measured by
 * the call, in some milliseconds; 0 if there is no such type or level. */
VISE_API double vise_cpu_peak(const char *cpu, const char *type);

/* ---- the input recipe: from a picture file to the tensor a network was trained on ---- */

typedef enum vise_filter {
    VISE_FILTER_UNSET,
    VISE_NEAREST,
    VISE_BILINEAR,
    VISE_BICUBIC
} vise_filter;

typedef enum vise_crop {
    VISE_CROP_UNSET,
    VISE_CROP_CENTER, // shorter side to floor(size / crop_pct), then the middle
    VISE_CROP_SQUASH, // both sides to floor(size / crop_pct), then the middle
    VISE_CROP_BORDER, // longer side to floor(size / crop_pct), the rest filled with the mean
} vise_crop;

/* timm's evaluation transform. All fields are set in a model's recipe; as an override (in
 * vise_import) 0 means: keep. */
typedef struct vise_recipe {
    uint32_t channels;      // 1 grey, 3 red green blue
    uint32_t height, width; // of the network's input, pixels
    vise_filter filter;     // resize filter, antialiased as Pillow's
    vise_crop crop;
    double crop_pct;       // (0, 1]
    float mean[3], std[3]; // per channel, for values in [0, 1]; std 0 in an override: keep both
    bool ignore_exif;      // false: a JPEG's EXIF orientation is applied; an override only sets it
} vise_recipe;

/* ---- models ---- */

typedef struct vise_model vise_model;

/* What a raw checkpoint's shapes do not tell. Ignored, but for size and recipe, by .vise files. */
typedef struct vise_import {
    const char *arch;        // family name; NULL: recognise
    uint32_t heads;          // 0: from config, checkpoint metadata or known model sizes
    double ln_eps;           // 0: likewise
    const char *act;         // "gelu", "gelu_tanh", "gelu_quick", "relu", "silu"; NULL: likewise
    const char *norm;        // "pre" or "post"; NULL: likewise
    uint32_t height, width;  // input size, 0: the checkpoint's own
    vise_recipe recipe;      // overrides; 0 fields keep what was found
    const char *class_names; // path of a text file, one name a line; NULL: none
} vise_import;

/* Opens a .vise file or any checkpoint (.safetensors, sharded .safetensors.index.json, .pth, .pt,
 * .bin, or a folder that holds one); its kind is told by its content, not by its name. Fails with
 * VISE_EIO, VISE_EFORMAT, VISE_EARG or VISE_ENOMEM. */
VISE_API vise_status vise_model_open(vise_model **out, const char *path, const vise_import *import,
                                     vise_err *e);
/* Random weights for a published plain-ViT size ("deit_tiny_patch16_224", "vit_base_patch32_384",
 * ...: see vise_model_names) or "vit" with free dimensions. */
typedef struct vise_new {
    uint64_t seed;
    uint32_t dim, depth, heads, patch, height, width, classes; // 0: of the named model
    double mlp_ratio;                                          // 0: likewise
    bool distilled;         // add a distillation token and its head
    const vise_model *from; // for "vit": a plain ViT that gives what is not set above, its recipe,
                            // and every weight of the same shape; NULL: all is random
    const uint32_t *blocks; // [nblocks] block i begins as its block blocks[i]; depth is nblocks
    size_t nblocks;         // 0: as depth (0: all) blocks, evenly spread from its first to its last
} vise_new;
VISE_API vise_status vise_model_new(vise_model **out, const char *name, const vise_new *opts,
                                    vise_err *e);
VISE_API const char *vise_model_names(size_t i); // published sizes; NULL after the last

/* Writes a .vise file: whole, or not at all. Opening it again gives the same model, bit for bit. */
VISE_API vise_status vise_model_save(const vise_model *m, const char *path, vise_err *e);
/* Writes an ONNX file (opset 18): whole, or not at all. Images are [N, channels, height, width] for
 * any N, as are maps that go out; the file serves the input size that m has. Weights of 8 bits or
 * less stay bytes, shorter floats become f32. *note: what the file computes differently, NULL if
 * nothing; note may be NULL. Fails with VISE_EIO, VISE_ENOMEM or VISE_EFORMAT: what ONNX cannot say. */
VISE_API vise_status vise_model_save_onnx(const vise_model *m, const char *path, const char **note,
                                          vise_err *e);
VISE_API void vise_model_free(vise_model *m); // NULL is allowed

typedef struct vise_model_info {
    const char *family;    // "vit"
    uint64_t params;       // numbers in the checkpoint's parameters
    uint64_t macs;         // multiply-adds per image of linear, convolution and attention products
    uint64_t weight_bytes; // of the parameters as encoded
    uint64_t file_bytes;   // 0 if the model was not read from a file
    size_t nodes, classes, labels, notes, history;
} vise_model_info;

typedef struct vise_node_info {
    const char *name, *op;
    uint64_t params; // of the constants that no earlier node reads: rows add up to the model
    uint64_t macs;
    uint64_t weight_bytes;   // of the constants it reads, as encoded
    uint64_t act_bytes;      // activations read and written per image, as f32
    vise_shape shape;        // of its first output
    const char *weight_type; // "f32", "u8 affine", ...; "" without weights
    const char *act_type;    // what its inputs are rounded to: "int8", "bf16", ...; "": nothing
} vise_node_info;

/* The constants of one encoding. */
typedef struct vise_weight_info {
    const char *type; // as a node's weight_type
    uint64_t params, bytes;
    size_t tensors;
} vise_weight_info;

VISE_API void vise_model_get_info(const vise_model *m, vise_model_info *info);
VISE_API void vise_model_get_node(const vise_model *m, size_t i, vise_node_info *info);
/* The i-th encoding that constants have. False after the last. */
VISE_API bool vise_model_get_weights(const vise_model *m, size_t i, vise_weight_info *info);
VISE_API const vise_recipe *vise_model_recipe(const vise_model *m);
VISE_API const char *vise_model_label(const vise_model *m, size_t cls); // NULL: it has none
VISE_API const char *vise_model_note(const vise_model *m, size_t i);    // assumptions, mappings
VISE_API const char *vise_model_history(const vise_model *m, size_t i); // how it was made

/* ---- sessions ---- */

typedef struct vise_session vise_session;

typedef struct vise_session_opts {
    size_t threads;          // 0: 1
    size_t batch;            // most images per run; 0: 1
    const char *cpu;         // CPU level; NULL: the best of this machine
    size_t from, to;         // run nodes [from, to) only; 0, 0: all. What crosses the border
                             // becomes inputs and outputs, by the names of its values
    const char *const *taps; // names of values to give out as well
    size_t ntaps;
    size_t max_memory; // most bytes it may own (vise_session_bytes); 0: as many as it needs
    size_t cache;      // bytes of a last cache to plan for; 0: as is best on machines known to us
    bool profile;      // keep time for vise_session_step
} vise_session_opts;

/* Fails with VISE_EARG (an unknown tap, an empty range), VISE_ECPU, VISE_EFORMAT or VISE_ENOMEM;
 * when max_memory is too little, before that memory is taken, and with the numbers.
 * The session holds what it needs: the model may be freed first. */
VISE_API vise_status vise_session_new(vise_session **out, const vise_model *m,
                                      const vise_session_opts *opts, vise_err *e);
VISE_API void vise_session_free(vise_session *s); // NULL is allowed

/* A tensor that goes in or out. Images are [height, width, channels], channels last. */
typedef struct vise_port {
    const char *name;
    vise_shape shape; // of one image's part
    bool batched;     // false: it does not depend on the images, and is there once per run
} vise_port;

VISE_API size_t vise_session_inputs(const vise_session *s);
VISE_API size_t vise_session_outputs(const vise_session *s); // graph outputs first, then taps
VISE_API const vise_port *vise_session_input(const vise_session *s, size_t i);
VISE_API const vise_port *vise_session_output(const vise_session *s, size_t i);
VISE_API size_t vise_session_bytes(const vise_session *s); // memory it owns

/*   in   in   per input port   [B, shape] f32
 *   out  out  per output port  [B, shape] f32; a NULL entry is not written
 *
 * 1 <= B <= batch. An image's result depends neither on B nor on the number of threads, to the bit.
 * One run at a time per session. */
VISE_API void vise_session_run(vise_session *s, size_t B, const float *const *in,
                               float *const *out);

/* What a session spends its time on, of one opened with profile: its steps, each a node or several
 * fused ones, in order. Steps that ran once, when it was opened, are not among them. */
typedef struct vise_step_info {
    const char *name, *op; // of the node whose result it gives
    const char *kind;      // how it is computed: "gemm s8", "attention", "layernorm", ...
    uint64_t macs, bytes;  // of a run of the whole batch; bytes: weights and activations, read
                           // and written
    double seconds;        // of all threads together, since the last reset
    uint64_t runs;
} vise_step_info;

VISE_API size_t vise_session_steps(const vise_session *s); // 0 without profile
VISE_API void vise_session_step(const vise_session *s, size_t i, vise_step_info *info);
VISE_API void vise_session_reset(vise_session *s); // seconds and runs to 0

/* ---- devices that are not here ---- */

/* What a processor can do, and what that takes (docs/DEVICES.md). Rates are one core's, but memory's. */
typedef struct vise_device {
    char name[32], about[160];
    double cores, ghz, macs_per_cycle[3]; // f32, bf16, int8
    size_t line, l1_bytes, l1_ways, llc_bytes, llc_ways;
    double dram_gbs, pj_mac[3], pj_l1_byte, pj_llc_byte, pj_dram_byte, idle_w;
} vise_device;

/* By name, of those that vise knows, or of path, a file as data/devices.json, if it is not NULL. VISE_EARG
 * lists the names; VISE_EIO, VISE_EFORMAT say what is wrong with the file. */
VISE_API vise_status vise_device_find(vise_device *d, const char *name, const char *path,
                                      vise_err *e);

/* One image on it, modelled: memory traffic by simulating its caches on what the session would touch,
 * the second image in a row; time by its roofs, energy by adding up. */
typedef struct vise_device_cost {
    uint64_t macs;
    double touched, from_llc, from_dram, to_dram; // bytes; from_llc: what the first cache misses
    double weights;                               // bytes of from_dram
    double seconds;
    double j_macs, j_caches, j_dram, j_idle; // joules
    bool by_memory;                          // memory is the lower roof
} vise_device_cost;

/*   all  out   steps  out  [vise_session_steps] or NULL. s: opened with profile, one input. VISE_EARG:
 * caches that are no powers of two; VISE_ENOMEM */
VISE_API vise_status vise_device_run(vise_device_cost *all, vise_device_cost *steps,
                                     const vise_device *d, vise_session *s, vise_err *e);

/* Measured: joules of all processor packages since the last call, or since it was opened; NaN where there
 * are no counters that may be read.   root  NULL: /sys/class/powercap */
typedef struct vise_energy {
    char root[96];
    size_t packages;
    uint64_t last[16];
} vise_energy;
VISE_API void vise_energy_open(vise_energy *e, const char *root);
VISE_API double vise_energy_joules(vise_energy *e);

/* ---- pictures and data sets ---- */

/* Decodes JPEG, PNG, WebP or PPM/PGM and applies the recipe.
 *   pixels  out  [height, width, channels]  f32
 * Fails with VISE_EIO or VISE_EFORMAT, naming the path. */
VISE_API vise_status vise_image_load(float *pixels, const vise_recipe *r, const char *path,
                                     vise_err *e);
/* The same from a file's bytes; name is used in messages. */
VISE_API vise_status vise_image_decode(float *pixels, const vise_recipe *r, const void *bytes,
                                       size_t size, const char *name, vise_err *e);
/* The same from a raw picture: what a camera gives. [height, width, channels] u8, rows tight;
 * channels 1 or 3. */
VISE_API vise_status vise_image_from_raw(float *pixels, const vise_recipe *r, const uint8_t *raw,
                                         size_t height, size_t width, size_t channels, vise_err *e);

typedef struct vise_data vise_data;

/* A labelled set of pictures: a folder with labels.csv (path,label), a folder per class, a pair of
 * idx or idx.gz files (the folder, or the images file), CIFAR's binary files (a folder: those for
 * training; or one), or a tar of a folder per class; or a text as
 * scenes:count=20000,size=64,seed=0,classes=10: see vise_scene_draw. Class indices of folders are their
 * alphabetical order. truth: a CSV of path,label, or NULL. Pictures come as in labels.csv, or sorted by
 * path. */
VISE_API vise_status vise_data_open(vise_data **out, const char *path, const char *truth,
                                    vise_err *e);
VISE_API void vise_data_free(vise_data *d); // NULL is allowed
VISE_API size_t vise_data_count(const vise_data *d);
VISE_API size_t vise_data_classes(const vise_data *d);             // 1 + largest label
VISE_API const char *vise_data_name(const vise_data *d, size_t i); // path or number, for messages
VISE_API size_t vise_data_label(const vise_data *d, size_t i);
/* Picture i by the recipe into pixels. May be called from many threads at once. */
VISE_API vise_status vise_data_read(const vise_data *d, size_t i, const vise_recipe *r,
                                    float *pixels, vise_err *e);

/* Synthetic pictures, each drawn from (seed, index): docs/SCENES.md has what is on them. */
typedef struct vise_scenes {
    uint64_t seed;
    size_t height, width, classes; // 16 to 4096 pixels a side; 10 or 100
} vise_scenes;
typedef struct vise_scene {
    size_t label, x0, y0, x1,
        y1; // the object's class and the box of what shows of it; x1, y1 are out
    const char *shape, *texture; // the names of the class
} vise_scene;
/*   picture  out  [height, width, 3] u8   or NULL: nothing is drawn, and there is no box
 *   mask     out  [height, width] u8      or NULL: 0 ground, 1 object, 2 clutter, 3 what is before it
 * The same bits on every machine. Fails with VISE_EARG: a field of s is out of range. */
VISE_API vise_status vise_scene_draw(vise_scene *out, uint8_t *picture, uint8_t *mask,
                                     const vise_scenes *s, size_t index, vise_err *e);

/* ---- measuring ---- */

typedef struct vise_eval_opts {
    const vise_model *against; // compare with this model's outputs; NULL: no
    const vise_data *data;
    size_t limit;          // most pictures, 0: all
    size_t threads, batch; // 0: 1
    const char *cpu;
    size_t max_memory; // of each session, 0: any
    vise_progress_fn *progress;
    void *user;
    size_t *predicted; // out [n] the top-1 class of every picture, or NULL
} vise_eval_opts;

typedef struct vise_eval_result {
    size_t n, correct_top1, correct_top5;
    double seconds;                                   // decoding and both models included
    double agreement, mean_kl;                        // of top-1; KL(against || model), nats
    double max_abs_logit_error, mean_abs_logit_error; // 0 without against
} vise_eval_result;

/* Reads pictures in the data set's order, runs the model, counts. Equal logits rank by lower class
 * index. Fails on the first unreadable picture, naming it. */
VISE_API vise_status vise_eval(vise_eval_result *r, const vise_model *m, const vise_eval_opts *opts,
                               vise_err *e);

typedef struct vise_diff_row {
    const char *name;      // a value that both models have, with the same shape; lives as long as
                           // the first model
    double relative_error; // ||a - b|| / ||a|| over all pictures; 0 if equal
    double cosine;
} vise_diff_row;

/* Compares the values of two models, node by node, on pictures of a data set (opts->against is not
 * used). *rows is released with vise_diff_free. */
VISE_API vise_status vise_diff(vise_diff_row **rows, size_t *nrows, const vise_model *a,
                               const vise_model *b, const vise_eval_opts *opts, vise_err *e);
VISE_API void vise_diff_free(vise_diff_row *rows);

/* ---- this machine's kernels ---- */

typedef struct vise_check_row {
    const char *kernel, *contract; // "gemm_s8"; "exact" or "bounded"
    const char *level;             // the CPU level whose code it is
    const char *failure;           // one sentence; NULL: it passed, or was only listed
} vise_check_row;

typedef struct vise_check_opts {
    const char *cpu;    // what this level uses; NULL: all that any level of this machine has
    const char *kernel; // only this one; NULL: all
    uint64_t seed;
    size_t rounds; // of random shapes, per kernel and level; 0: 200
    bool list;     // report what there is, check nothing
    void (*report)(void *user, const vise_check_row *row); // or NULL
    void *user;
} vise_check_opts;

/* Holds every kernel against its definition, each in a process of its own (fork), so that what
 * crashes is a failure among others. *failed: how many rows have a failure. Fails with VISE_EARG,
 * VISE_ECPU, VISE_ENOMEM or VISE_EIO (no process). */
VISE_API vise_status vise_check(size_t *failed, const vise_check_opts *opts, vise_err *e);

/* ---- compression ---- */

/* Changes m by one pass, a line of text: "quantize weights=int8 acts=static skip=head". The line,
 * with all its options spelt out, joins the model's history. Of opts, threads, cpu, progress and
 * user are used, and by passes that calibrate data, limit (0: 128 pictures) and batch. On failure m is
 * as it was; VISE_EARG names what is not known and lists what is. Sessions of m go on as they are,
 * but nothing else may read m meanwhile. */
VISE_API vise_status vise_apply(vise_model *m, const char *line, const vise_eval_opts *opts,
                                vise_err *e);

typedef struct vise_pass_info {
    const char *name, *values, *def, *help; // of an option: "int8|f16|..." and its default
} vise_pass_info;

/* Row 0 of pass i is its name and summary, row 1 its first option. False after the last. */
VISE_API bool vise_pass_get(size_t i, size_t row, vise_pass_info *info);

enum { VISE_WIDTHS = 6 };
typedef struct vise_sensitivity_row {
    const char *name;            // of a node with a matrix; lives as long as the model
    uint64_t params;             // of the matrix
    uint32_t bits[VISE_WIDTHS];  // 8, 6, 5, 4, 3, 2
    uint64_t bytes[VISE_WIDTHS]; // of the matrix, stored with so many bits
    double kl[VISE_WIDTHS];      // mean KL(m || m with only this matrix rounded), nats
} vise_sensitivity_row;
/* On the first pictures, 16 if limit is 0. group: columns that share a multiplier, 0: all; at most 6
 * bits have it. *rows, in the order of nodes, are released with vise_sensitivity_free. */
VISE_API vise_status vise_sensitivity(vise_sensitivity_row **rows, size_t *n, const vise_model *m,
                                      size_t group, const vise_eval_opts *opts, vise_err *e);
VISE_API void vise_sensitivity_free(vise_sensitivity_row *rows);

/* ---- training ---- */

/* How far training is; of the steps since the last point. */
typedef struct vise_train_point {
    uint64_t step, steps;
    double epoch, loss, right; // right: share of the batches' pictures whose label was first
    double rate, norm;         // of the last step: learning rate, norm of all gradients
    double images_per_s;
    double top1; // of test, at the end of an epoch; otherwise NaN
} vise_train_point;

typedef struct vise_train_opts {
    const vise_data *data;     // labelled pictures
    const vise_data *test;     // or NULL: pictures to measure after each epoch
    const vise_model *teacher; // or NULL
    size_t threads;
    const char *cpu;
    uint64_t seed;
    const char *state; // path of a checkpoint, read if it is there; NULL: none
    double every;      // seconds from one to the next; 0: 60
    void (*report)(void *user, const vise_train_point *p);
    vise_progress_fn *progress;
    void *user;
} vise_train_opts;

/* Changes m as a line of text says: "train epochs=30 rate=0.001 ...", "distill ..." (with a teacher) or
 * "finetune ...", which differ in defaults. Every encoding stays what it is: codes, scales and centroids
 * are trained as they will run. The same bits for a seed, a machine and any number of threads, stopped
 * and resumed or not. On failure m is as it was. VISE_ECANCEL and a loss that is no number leave the
 * last checkpoint. */
VISE_API vise_status vise_train(vise_model *m, const char *line, const vise_train_opts *opts,
                                vise_err *e);
/* Option i of such a line. False after the last. */
VISE_API bool vise_train_option(const char *command, size_t i, vise_pass_info *info);

typedef struct vise_bench_row {
    const char *layer, *type, *level; // "ViT-S qkv", "s8", "amx"
    size_t m, n, k;
    double us;           // the shortest run
    double best, median; // GOP/s of that run, and of the median one; a MAC is 2 operations
    double peak;         // GOP/s of a loop of that instruction, measured between the runs
    const char *instruction;
    size_t weights; // bytes of weights the runs rotate over
} vise_bench_row;

typedef struct vise_bench_opts {
    const char *cpu,
        *type;   // CPU level, element type (f32, bf16, s8, c6 to c2); NULL: the best, all
    size_t runs; // 0: 30
    void (*report)(void *user, const vise_bench_row *row);
    void *user;
} vise_bench_opts;

/* Times the matrix products of ViT-Tiny, -Small and -Base at 224 pixels, with bias, on one thread.
 * Inputs are in the nearest caches; weights come from copies that together exceed an L2 cache, as
 * in a network, but those of attention (K and V), which are warm. Fails with VISE_EARG, VISE_ECPU or
 * VISE_ENOMEM. */
VISE_API vise_status vise_bench_kernels(const vise_bench_opts *opts, vise_err *e);

#ifdef __cplusplus
}
#endif

#endif
