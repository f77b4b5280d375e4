/* pickle.c - the stack machine that builds data and calls nothing
 * SPDX-License-Identifier: MIT */
#include "model/pickle.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_STACK = 1 << 20,    // values
    MAX_MEMO = 1 << 22,     // values
    MAX_VALUES = 256 << 20, // bytes
    MAX_PROTOCOL = 5,
};

/* ---- globals ---- */

typedef enum role {
    OPAQUE, // a class or function whose results are of no interest
    DICT,   // a class of dicts
    SIZE,   // torch.Size, a tuple
    STORAGE,
    DTYPE,
    TENSOR,    // _rebuild_tensor(storage, offset, size, stride) and _v2 with more arguments
    TENSOR_V3, // (storage, offset, size, stride, requires_grad, hooks, dtype, metadata)
    WRAPPER,   // (tensor, ...) is the tensor
    FROM_TYPE, // (function, type, arguments, state) is function(*arguments)
} role;

typedef struct vise_pkl_global {
    const char *module, *name;
    role role;
    vise_dtype dtype; // of STORAGE and DTYPE
    size_t size;      // bytes of an element, of STORAGE
} global;

static const global globals[] = {
    {"collections", "OrderedDict", DICT, 0, 0},
    {"collections", "defaultdict", DICT, 0, 0},
    {"collections", "Counter", DICT, 0, 0},
    {"torch", "Size", SIZE, 0, 0},

    {"torch._utils", "_rebuild_tensor", TENSOR, 0, 0},
    {"torch._utils", "_rebuild_tensor_v2", TENSOR, 0, 0},
    {"torch._utils", "_rebuild_tensor_v3", TENSOR_V3, 0, 0},
    {"torch._utils", "_rebuild_parameter", WRAPPER, 0, 0},
    {"torch._utils", "_rebuild_parameter_with_state", WRAPPER, 0, 0},
    {"torch._tensor", "_rebuild_from_type_v2", FROM_TYPE, 0, 0},

    {"torch", "DoubleStorage", STORAGE, VISE_F64, 8},
    {"torch", "FloatStorage", STORAGE, VISE_F32, 4},
    {"torch", "HalfStorage", STORAGE, VISE_F16, 2},
    {"torch", "BFloat16Storage", STORAGE, VISE_BF16, 2},
    {"torch", "LongStorage", STORAGE, VISE_I64, 8},
    {"torch", "IntStorage", STORAGE, VISE_I32, 4},
    {"torch", "ShortStorage", STORAGE, VISE_I16, 2},
    {"torch", "CharStorage", STORAGE, VISE_I8, 1},
    {"torch", "ByteStorage", STORAGE, VISE_U8, 1},
    {"torch", "BoolStorage", STORAGE, VISE_BOOL, 1},
    {"torch.storage", "UntypedStorage", STORAGE, VISE_U8, 1},
    {"torch", "ComplexFloatStorage", STORAGE, VISE_DTYPES, 8},
    {"torch", "ComplexDoubleStorage", STORAGE, VISE_DTYPES, 16},
    {"torch", "QInt8Storage", STORAGE, VISE_DTYPES, 1},
    {"torch", "QUInt8Storage", STORAGE, VISE_DTYPES, 1},
    {"torch", "QInt32Storage", STORAGE, VISE_DTYPES, 4},

    {"torch", "float64", DTYPE, VISE_F64, 0},
    {"torch", "float32", DTYPE, VISE_F32, 0},
    {"torch", "float16", DTYPE, VISE_F16, 0},
    {"torch", "bfloat16", DTYPE, VISE_BF16, 0},
    {"torch", "int64", DTYPE, VISE_I64, 0},
    {"torch", "int32", DTYPE, VISE_I32, 0},
    {"torch", "int16", DTYPE, VISE_I16, 0},
    {"torch", "int8", DTYPE, VISE_I8, 0},
    {"torch", "uint8", DTYPE, VISE_U8, 0},
    {"torch", "bool", DTYPE, VISE_BOOL, 0},
    {"torch", "uint16", DTYPE, VISE_DTYPES, 0},
    {"torch", "uint32", DTYPE, VISE_DTYPES, 0},
    {"torch", "uint64", DTYPE, VISE_DTYPES, 0},
    {"torch", "float8_e4m3fn", DTYPE, VISE_DTYPES, 0},
    {"torch", "float8_e5m2", DTYPE, VISE_DTYPES, 0},

    {"torch", "device", OPAQUE, 0, 0},
    {"torch", "Tensor", OPAQUE, 0, 0},
    {"torch.nn.parameter", "Parameter", OPAQUE, 0, 0},
    {"torch.nn.parameter", "Buffer", OPAQUE, 0, 0},
    {"argparse", "Namespace", OPAQUE, 0, 0},
    {"yacs.config", "CfgNode", OPAQUE, 0, 0},
    {"mmengine.logging.history_buffer", "HistoryBuffer", OPAQUE, 0, 0},
    {"pathlib", "PosixPath", OPAQUE, 0, 0},
    {"pathlib", "WindowsPath", OPAQUE, 0, 0},
    {"datetime", "datetime", OPAQUE, 0, 0},
    {"numpy", "dtype", OPAQUE, 0, 0},
    {"numpy", "ndarray", OPAQUE, 0, 0},
    {"numpy.core.multiarray", "scalar", OPAQUE, 0, 0},
    {"numpy.core.multiarray", "_reconstruct", OPAQUE, 0, 0},
    {"numpy._core.multiarray", "scalar", OPAQUE, 0, 0},
    {"numpy._core.multiarray", "_reconstruct", OPAQUE, 0, 0},
    {"numpy.core.numeric", "_frombuffer", OPAQUE, 0, 0},
    {"numpy._core.numeric", "_frombuffer", OPAQUE, 0, 0},
    {"_codecs", "encode", OPAQUE, 0, 0},
    {"copy_reg", "_reconstructor", OPAQUE, 0, 0},
    {"copyreg", "_reconstructor", OPAQUE, 0, 0},
    {"builtins", "set", OPAQUE, 0, 0},
    {"builtins", "frozenset", OPAQUE, 0, 0},
    {"builtins", "list", OPAQUE, 0, 0},
    {"builtins", "dict", OPAQUE, 0, 0},
    {"builtins", "tuple", OPAQUE, 0, 0},
    {"builtins", "int", OPAQUE, 0, 0},
    {"builtins", "float", OPAQUE, 0, 0},
    {"builtins", "bool", OPAQUE, 0, 0},
    {"builtins", "str", OPAQUE, 0, 0},
    {"builtins", "bytearray", OPAQUE, 0, 0},
    {"builtins", "slice", OPAQUE, 0, 0},
    {"builtins", "object", OPAQUE, 0, 0},
};

/* ---- the machine ---- */

typedef struct machine {
    const uint8_t *start, *p, *end;
    vise_pickle *out;
    vise_pkl *stack, *memo;
    size_t depth, stack_room;
    size_t memo_room, memo_used; // slots, slots that hold a value
    bool stopped;
    uint8_t op; // being executed
    vise_err *e;
} machine;

static vise_status broken(machine *m, const char *what)
{
    return vise_fail(m->e, VISE_EFORMAT, "pickle is broken: %s at byte %zu (opcode 0x%02x)", what,
                     (size_t)(m->p - m->start), m->op);
}

static vise_status no_memory(machine *m)
{
    return vise_fail(m->e, VISE_ENOMEM, "out of memory: the values of a pickle");
}

static vise_status new_object(machine *m, void *out, size_t n, size_t size)
{
    if (m->out->region.bytes > MAX_VALUES || n > MAX_VALUES / size)
        return vise_fail(m->e, VISE_EFORMAT, "pickle makes more than %d MB of values",
                         MAX_VALUES >> 20);
    void *p = vise_region_take(&m->out->region, n, size);
    if (!p) return no_memory(m);
    memcpy(out, &p, sizeof p);
    return VISE_OK;
}

/* At least n bytes of the pickle, or an error. */
static vise_status take(machine *m, uint64_t n, const uint8_t **bytes)
{
    if (n > (uint64_t)(m->end - m->p)) return broken(m, "it ends too early");
    *bytes = m->p;
    m->p += n;
    return VISE_OK;
}

static vise_status take_le(machine *m, size_t n, uint64_t *v)
{
    const uint8_t *p = NULL;
    VISE_TRY(take(m, n, &p));
    *v = 0;
    while (n-- > 0)
        *v = *v << 8 | p[n];
    return VISE_OK;
}

static vise_status push(machine *m, vise_pkl v)
{
    if (m->depth >= MAX_STACK) return broken(m, "the stack is too deep");
    if (m->depth == m->stack_room) {
        const size_t room = m->stack_room ? 2 * m->stack_room : 256;
        vise_pkl *p = vise_realloc(m->stack, m->depth * sizeof *p, room, sizeof *p);
        if (!p) return no_memory(m);
        m->stack = p;
        m->stack_room = room;
    }
    m->stack[m->depth++] = v;
    return VISE_OK;
}

static vise_status push_int(machine *m, vise_pkl_kind kind, int64_t i)
{
    return push(m, (vise_pkl){.kind = kind, .u.i = i});
}

/* The value at the top, which stays there. */
static vise_status top(machine *m, vise_pkl **v)
{
    if (!m->depth || m->stack[m->depth - 1].kind == VISE_PKL_MARK)
        return broken(m, "the stack is empty");
    *v = &m->stack[m->depth - 1];
    return VISE_OK;
}

static vise_status pop(machine *m, vise_pkl *v)
{
    vise_pkl *at = NULL;
    VISE_TRY(top(m, &at));
    *v = *at;
    m->depth--;
    return VISE_OK;
}

/* Removes everything down to the last mark, and the mark. The values stay readable at *first until
 * the next push. */
static vise_status pop_mark(machine *m, const vise_pkl **first, size_t *n)
{
    size_t i = m->depth;
    while (i > 0 && m->stack[i - 1].kind != VISE_PKL_MARK)
        i--;
    if (!i) return broken(m, "there is no mark");
    *first = m->stack + i;
    *n = m->depth - i;
    m->depth = i - 1;
    return VISE_OK;
}

static vise_status seq_add(machine *m, vise_pkl_seq *s, const vise_pkl *v, size_t n)
{
    if (n > s->room - s->n) {
        const size_t room = s->n + n > 2 * s->room ? s->n + n : 2 * s->room;
        vise_pkl *item = NULL;
        VISE_TRY(new_object(m, &item, room, sizeof *item));
        if (s->n) memcpy(item, s->item, s->n * sizeof *item);
        s->item = item;
        s->room = room;
    }
    if (n) memcpy(s->item + s->n, v, n * sizeof *v);
    s->n += n;
    return VISE_OK;
}

static vise_status push_seq(machine *m, vise_pkl_kind kind, const vise_pkl *v, size_t n)
{
    vise_pkl_seq *s = NULL;
    VISE_TRY(new_object(m, &s, 1, sizeof *s));
    VISE_TRY(seq_add(m, s, v, n));
    return push(m, (vise_pkl){.kind = kind, .u.seq = s});
}

/* ---- opcodes of plain data ---- */

static vise_status op_proto(machine *m)
{
    uint64_t v = 0;
    VISE_TRY(take_le(m, 1, &v));
    return v <= MAX_PROTOCOL ? VISE_OK : broken(m, "unknown protocol");
}

static vise_status op_frame(machine *m)
{
    uint64_t v = 0;
    return take_le(m, 8, &v);
}

static vise_status op_stop(machine *m)
{
    m->stopped = true;
    return pop(m, &m->out->root);
}

static vise_status op_mark(machine *m)
{
    return push_int(m, VISE_PKL_MARK, 0);
}

static vise_status op_pop(machine *m)
{
    if (!m->depth) return broken(m, "the stack is empty");
    m->depth--;
    return VISE_OK;
}

static vise_status op_pop_mark(machine *m)
{
    const vise_pkl *v = NULL;
    size_t n = 0;
    return pop_mark(m, &v, &n);
}

static vise_status op_dup(machine *m)
{
    vise_pkl *v = NULL;
    VISE_TRY(top(m, &v));
    return push(m, *v);
}

static vise_status op_none(machine *m)
{
    return push_int(m, VISE_PKL_NONE, 0);
}

static vise_status op_bool(machine *m)
{
    return push_int(m, VISE_PKL_BOOL, m->op == 0x88);
}

static vise_status op_int(machine *m)
{
    uint64_t v = 0;
    VISE_TRY(take_le(m, m->op == 'J' ? 4 : m->op == 'M' ? 2 : 1, &v));
    return push_int(m, VISE_PKL_INT, m->op == 'J' ? (int32_t)(uint32_t)v : (int64_t)v);
}

static vise_status op_long(machine *m)
{
    uint64_t n = 0, v = 0;
    const uint8_t *p = NULL;
    VISE_TRY(take_le(m, m->op == 0x8a ? 1 : 4, &n));
    VISE_TRY(take(m, n, &p));
    if (n > 8)
        return push(m, (vise_pkl){.kind = VISE_PKL_LONG, .u.text = {(const char *)p, (size_t)n}});
    if (n && p[n - 1] & 0x80) v = UINT64_MAX; // the sign
    while (n-- > 0)
        v = v << 8 | p[n];
    return push_int(m, VISE_PKL_INT, (int64_t)v);
}

static vise_status op_float(machine *m)
{
    const uint8_t *p = NULL;
    VISE_TRY(take(m, 8, &p));
    return push_int(m, VISE_PKL_FLOAT, 0);
}

static vise_status push_text(machine *m, vise_pkl_kind kind, size_t length_bytes)
{
    uint64_t n = 0;
    const uint8_t *p = NULL;
    VISE_TRY(take_le(m, length_bytes, &n));
    VISE_TRY(take(m, n, &p));
    return push(m, (vise_pkl){.kind = kind, .u.text = {(const char *)p, (size_t)n}});
}

static vise_status op_text1(machine *m)
{
    return push_text(m, m->op == 'C' ? VISE_PKL_BYTES : VISE_PKL_STR, 1);
}

static vise_status op_text4(machine *m)
{
    return push_text(m, m->op == 'B' ? VISE_PKL_BYTES : VISE_PKL_STR, 4);
}

static vise_status op_text8(machine *m)
{
    return push_text(m, m->op == 0x8d ? VISE_PKL_STR : VISE_PKL_BYTES, 8);
}

/* ---- opcodes of containers ---- */

static vise_status op_empty(machine *m)
{
    const vise_pkl_kind kind = m->op == ')'   ? VISE_PKL_TUPLE
                               : m->op == ']' ? VISE_PKL_LIST
                                              : VISE_PKL_DICT;
    return push_seq(m, kind, NULL, 0);
}

static vise_status op_empty_set(machine *m)
{
    return push_int(m, VISE_PKL_OPAQUE, 0);
}

static vise_status op_tuple(machine *m)
{
    const vise_pkl *v = NULL;
    size_t n = (size_t)m->op - 0x84; // TUPLE1 0x85, TUPLE2, TUPLE3
    if (m->op == 't') {
        VISE_TRY(pop_mark(m, &v, &n));
    } else {
        for (size_t i = 0; i < n; i++) {
            vise_pkl one;
            VISE_TRY(pop(m, &one));
        }
        v = m->stack + m->depth;
    }
    return push_seq(m, VISE_PKL_TUPLE, v, n);
}

static vise_status op_list(machine *m)
{
    const vise_pkl *v = NULL;
    size_t n = 0;
    VISE_TRY(pop_mark(m, &v, &n));
    return push_seq(m, VISE_PKL_LIST, v, n);
}

static vise_status op_dict(machine *m)
{
    const vise_pkl *v = NULL;
    size_t n = 0;
    VISE_TRY(pop_mark(m, &v, &n));
    if (n % 2) return broken(m, "a key without a value");
    return push_seq(m, VISE_PKL_DICT, v, n);
}

static vise_status op_frozenset(machine *m)
{
    VISE_TRY(op_pop_mark(m));
    return op_empty_set(m);
}

/* Adds n values to the container at the top; one of no interest forgets them. */
static vise_status add_to_top(machine *m, vise_pkl_kind kind, const vise_pkl *v, size_t n)
{
    vise_pkl *to = NULL;
    VISE_TRY(top(m, &to));
    if (to->kind == VISE_PKL_OPAQUE) return VISE_OK;
    if (to->kind != kind) return broken(m, "this is not a container to add to");
    if (kind == VISE_PKL_DICT && n % 2) return broken(m, "a key without a value");
    return seq_add(m, to->u.seq, v, n);
}

static vise_status op_append(machine *m)
{
    vise_pkl v;
    VISE_TRY(pop(m, &v));
    return add_to_top(m, VISE_PKL_LIST, &v, 1);
}

static vise_status op_setitem(machine *m)
{
    vise_pkl v[2];
    VISE_TRY(pop(m, &v[1]));
    VISE_TRY(pop(m, &v[0]));
    return add_to_top(m, VISE_PKL_DICT, v, 2);
}

static vise_status op_add_many(machine *m)
{
    const vise_pkl *v = NULL;
    size_t n = 0;
    VISE_TRY(pop_mark(m, &v, &n));
    const vise_pkl_kind kind = m->op == 'u'   ? VISE_PKL_DICT
                               : m->op == 'e' ? VISE_PKL_LIST
                                              : VISE_PKL_OPAQUE; // a set
    return add_to_top(m, kind, v, n);
}

/* ---- the memo ---- */

static vise_status put(machine *m, uint64_t i)
{
    vise_pkl *v = NULL;
    VISE_TRY(top(m, &v));
    if (i >= MAX_MEMO || i >= (uint64_t)(m->end - m->start)) return broken(m, "memo out of range");
    if (i >= m->memo_room) {
        const size_t room = 2 * (size_t)i + 64;
        vise_pkl *memo = vise_realloc(m->memo, m->memo_room * sizeof *memo, room, sizeof *memo);
        if (!memo) return no_memory(m);
        for (size_t k = m->memo_room; k < room; k++)
            memo[k].kind = VISE_PKL_MARK; // nothing there yet
        m->memo = memo;
        m->memo_room = room;
    }
    m->memo_used += m->memo[i].kind == VISE_PKL_MARK;
    m->memo[i] = *v;
    return VISE_OK;
}

static vise_status op_put(machine *m)
{
    uint64_t i = 0;
    VISE_TRY(take_le(m, m->op == 'q' ? 1 : 4, &i));
    return put(m, i);
}

static vise_status op_memoize(machine *m)
{
    return put(m, m->memo_used);
}

static vise_status op_get(machine *m)
{
    uint64_t i = 0;
    VISE_TRY(take_le(m, m->op == 'h' ? 1 : 4, &i));
    if (i >= m->memo_room || m->memo[i].kind == VISE_PKL_MARK)
        return broken(m, "nothing in this memo");
    return push(m, m->memo[i]);
}

/* ---- globals, and calls that build tensors ---- */

static bool same(const vise_pkl *v, const char *text)
{
    const size_t n = strlen(text);
    return v->u.text.n == n && !memcmp(v->u.text.p, text, n);
}

bool vise_pkl_is_text(const vise_pkl *v, const char *text)
{
    return v->kind == VISE_PKL_STR && same(v, text);
}

static vise_status refuse(machine *m, const vise_pkl *module, const vise_pkl *name)
{
    char text[160];
    snprintf(text, sizeof text, "%.*s.%.*s", (int)(module->u.text.n & 0xffff), module->u.text.p,
             (int)(name->u.text.n & 0xffff), name->u.text.p);
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
    const char *last = strrchr(text, '.');
    if (last && last[1] >= 'A' && last[1] <= 'Z')
        return vise_fail(m->e, VISE_EFORMAT,
                         "holds an object of class %s, which is refused: only tensors are read; "
                         "save the model's state_dict() instead of the model",
                         text);
    return vise_fail(m->e, VISE_EFORMAT, "pickle asks to run %s, which is refused", text);
}

static vise_status push_global(machine *m, const vise_pkl *module, const vise_pkl *name)
{
    const bool python2 = same(module, "__builtin__");
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        const global *g = &globals[i];
        if (!same(name, g->name)) continue;
        if (!same(module, g->module) && !(python2 && !strcmp(g->module, "builtins"))) continue;
        return push(m, (vise_pkl){.kind = VISE_PKL_GLOBAL, .u.global = g});
    }
    return refuse(m, module, name);
}

static vise_status take_line(machine *m, vise_pkl *v)
{
    const size_t rest = (size_t)(m->end - m->p);
    const uint8_t *end = rest ? memchr(m->p, '\n', rest) : NULL;
    if (!end) return broken(m, "a line without an end");
    *v = (vise_pkl){.kind = VISE_PKL_STR, .u.text = {(const char *)m->p, (size_t)(end - m->p)}};
    m->p = end + 1;
    return VISE_OK;
}

static vise_status op_global(machine *m)
{
    vise_pkl module, name;
    VISE_TRY(take_line(m, &module));
    VISE_TRY(take_line(m, &name));
    return push_global(m, &module, &name);
}

static vise_status op_stack_global(machine *m)
{
    vise_pkl module, name;
    VISE_TRY(pop(m, &name));
    VISE_TRY(pop(m, &module));
    if (module.kind != VISE_PKL_STR || name.kind != VISE_PKL_STR)
        return broken(m, "a global without a name");
    return push_global(m, &module, &name);
}

static vise_status rebuild_tensor(machine *m, const global *g, const vise_pkl_seq *args)
{
    const vise_pkl *a = args->item;
    const size_t need = g->role == TENSOR_V3 ? 7 : 4;
    if (args->n < need || a[0].kind != VISE_PKL_STORAGE || a[1].kind != VISE_PKL_INT ||
        a[2].kind != VISE_PKL_TUPLE || a[3].kind != VISE_PKL_TUPLE)
        return broken(m, "a tensor with wrong arguments");
    vise_dtype dtype = a[0].u.storage->dtype;
    if (g->role == TENSOR_V3) {
        if (a[6].kind != VISE_PKL_GLOBAL || a[6].u.global->role != DTYPE)
            return broken(m, "a tensor with wrong arguments");
        dtype = a[6].u.global->dtype;
    }
    vise_pkl_tensor *t = NULL;
    VISE_TRY(new_object(m, &t, 1, sizeof *t));
    *t = (vise_pkl_tensor){a[0].u.storage, dtype, a[1].u.i, a[2].u.seq, a[3].u.seq};
    return push(m, (vise_pkl){.kind = VISE_PKL_TENSOR, .u.tensor = t});
}

/* Pushes what function(*args) would give. */
static vise_status call(machine *m, const vise_pkl *function, const vise_pkl *args)
{
    if (function->kind != VISE_PKL_GLOBAL || args->kind != VISE_PKL_TUPLE)
        return broken(m, "a call of what is no function");
    const global *g = function->u.global;
    const vise_pkl_seq *seq = args->u.seq;
    if (g->role == FROM_TYPE) { // one level: its function is another
        if (seq->n < 3 || seq->item[0].kind != VISE_PKL_GLOBAL ||
            seq->item[2].kind != VISE_PKL_TUPLE || seq->item[0].u.global->role == FROM_TYPE)
            return broken(m, "a tensor with wrong arguments");
        g = seq->item[0].u.global;
        seq = seq->item[2].u.seq;
    }
    switch (g->role) {
    case OPAQUE:
        return push_int(m, VISE_PKL_OPAQUE, 0);
    case DICT:
        return push_seq(m, VISE_PKL_DICT, NULL, 0);
    case TENSOR:
    case TENSOR_V3:
        return rebuild_tensor(m, g, seq);
    case SIZE:
        if (seq->n != 1 || seq->item[0].kind != VISE_PKL_TUPLE)
            return broken(m, "a torch.Size with wrong arguments");
        return push(m, seq->item[0]);
    case WRAPPER:
        if (!seq->n) return broken(m, "a parameter without a tensor");
        return push(m, seq->item[0]);
    case STORAGE:
    case DTYPE:
    case FROM_TYPE:
        break;
    }
    return broken(m, "a call of what is no function");
}

static vise_status op_reduce(machine *m) // NEWOBJ too: class(*args)
{
    vise_pkl function, args;
    VISE_TRY(pop(m, &args));
    VISE_TRY(pop(m, &function));
    return call(m, &function, &args);
}

static vise_status op_newobj_ex(machine *m)
{
    vise_pkl names;
    VISE_TRY(pop(m, &names)); // keyword arguments matter to no class of the list
    return op_reduce(m);
}

static vise_status op_build(machine *m) // attributes of an object: not of interest
{
    vise_pkl state, *object = NULL;
    VISE_TRY(pop(m, &state));
    return top(m, &object);
}

/* ("storage", class, key, place, count): numbers outside the pickle. */
static vise_status op_persistent(machine *m)
{
    vise_pkl id;
    VISE_TRY(pop(m, &id));
    const vise_pkl *a = id.kind == VISE_PKL_TUPLE ? id.u.seq->item : NULL;
    if (!a || id.u.seq->n < 5 || !vise_pkl_is_text(&a[0], "storage") ||
        a[1].kind != VISE_PKL_GLOBAL || a[1].u.global->role != STORAGE ||
        a[2].kind != VISE_PKL_STR || a[4].kind != VISE_PKL_INT || a[4].u.i < 0)
        return broken(m, "a reference to what is no storage");
    if (id.u.seq->n > 5 && a[5].kind != VISE_PKL_NONE)
        return broken(m, "a view of a storage, as PyTorch before 0.4 wrote, is not supported");
    vise_pkl_storage *s = NULL;
    VISE_TRY(new_object(m, &s, 1, sizeof *s));
    *s = (vise_pkl_storage){.next = m->out->storages,
                            .key = a[2].u.text.p,
                            .key_len = a[2].u.text.n,
                            .type = a[1].u.global->name,
                            .dtype = a[1].u.global->dtype,
                            .element_size = a[1].u.global->size,
                            .count = (uint64_t)a[4].u.i};
    m->out->storages = s;
    return push(m, (vise_pkl){.kind = VISE_PKL_STORAGE, .u.storage = s});
}

/* ---- running ---- */

typedef vise_status op_fn(machine *m);

static op_fn *const ops[256] = {
    [0x80] = op_proto,     [0x95] = op_frame,     ['.'] = op_stop,       ['('] = op_mark,
    ['0'] = op_pop,        ['1'] = op_pop_mark,   ['2'] = op_dup,        ['N'] = op_none,
    [0x88] = op_bool,      [0x89] = op_bool,      ['J'] = op_int,        ['K'] = op_int,
    ['M'] = op_int,        [0x8a] = op_long,      [0x8b] = op_long,      ['G'] = op_float,
    ['U'] = op_text1,      ['C'] = op_text1,      [0x8c] = op_text1,     ['X'] = op_text4,
    ['T'] = op_text4,      ['B'] = op_text4,      [0x8d] = op_text8,     [0x8e] = op_text8,
    [0x96] = op_text8,     [')'] = op_empty,      [']'] = op_empty,      ['}'] = op_empty,
    [0x8f] = op_empty_set, [0x91] = op_frozenset, ['t'] = op_tuple,      [0x85] = op_tuple,
    [0x86] = op_tuple,     [0x87] = op_tuple,     ['l'] = op_list,       ['d'] = op_dict,
    ['a'] = op_append,     ['s'] = op_setitem,    ['e'] = op_add_many,   ['u'] = op_add_many,
    [0x90] = op_add_many,  ['q'] = op_put,        ['r'] = op_put,        [0x94] = op_memoize,
    ['h'] = op_get,        ['j'] = op_get,        ['c'] = op_global,     [0x93] = op_stack_global,
    ['R'] = op_reduce,     [0x81] = op_reduce,    [0x92] = op_newobj_ex, ['b'] = op_build,
    ['Q'] = op_persistent,
};

static vise_status run(machine *m)
{
    while (!m->stopped) {
        if (m->p == m->end) return broken(m, "it ends too early");
        m->op = *m->p++;
        if (!ops[m->op]) return broken(m, "an opcode that no checkpoint needs");
        VISE_TRY(ops[m->op](m));
    }
    return VISE_OK;
}

vise_status vise_pickle_parse(vise_pickle *p, const void *data, size_t size, vise_err *e)
{
    *p = (vise_pickle){0};
    if (!size) return vise_fail(e, VISE_EFORMAT, "pickle is empty");
    const uint8_t *bytes = data;
    machine m = {.start = bytes, .p = bytes, .end = bytes + size, .out = p, .e = e};
    vise_status s = run(&m);
    p->used = (size_t)(m.p - m.start);
    vise_free(m.stack);
    vise_free(m.memo);
    if (s) vise_pickle_free(p);
    return s;
}

void vise_pickle_free(vise_pickle *p)
{
    vise_region_free(&p->region);
    *p = (vise_pickle){0};
}
