/* pickle.c: the machine that reads a pickle (protocols 2 to 5). Opcodes that torch.save does not write are refused. */
#include "tensor/pickle.h"
#include "base/fail.h"
#include "base/sys.h"

#include <string.h>

enum { MAX_PROTOCOL = 5 };

enum opcode {
    OP_MARK = '(', OP_STOP = '.', OP_POP = '0', OP_POP_MARK = '1', OP_DUP = '2', OP_FLOAT = 'G', OP_INT = 'J', OP_INT1 = 'K', OP_INT2 = 'M',
    OP_NONE = 'N', OP_PERSISTENT = 'Q', OP_REDUCE = 'R', OP_STRING = 'T', OP_SHORT_STRING = 'U', OP_UNICODE = 'X', OP_APPEND = 'a',
    OP_BUILD = 'b', OP_GLOBAL = 'c', OP_APPENDS = 'e', OP_GET = 'h', OP_LONG_GET = 'j', OP_PUT = 'q', OP_LONG_PUT = 'r',
    OP_SETITEM = 's', OP_TUPLE = 't', OP_SETITEMS = 'u', OP_EMPTY_LIST = ']', OP_EMPTY_TUPLE = ')', OP_EMPTY_DICT = '}', OP_BYTES = 'B',
    OP_SHORT_BYTES = 'C', OP_PROTO = 0x80, OP_NEWOBJ = 0x81, OP_TUPLE1 = 0x85, OP_TUPLE2 = 0x86, OP_TUPLE3 = 0x87, OP_TRUE = 0x88,
    OP_FALSE = 0x89, OP_LONG1 = 0x8a, OP_LONG4 = 0x8b, OP_SHORT_UNICODE = 0x8c, OP_UNICODE8 = 0x8d, OP_BYTES8 = 0x8e,
    OP_EMPTY_SET = 0x8f, OP_ADDITEMS = 0x90, OP_FROZENSET = 0x91, OP_NEWOBJ_EX = 0x92, OP_STACK_GLOBAL = 0x93, OP_MEMOIZE = 0x94,
    OP_FRAME = 0x95, OP_BYTEARRAY8 = 0x96
};

/* ---- globals and calls ---- */

enum { NAME_BYTES = 128 };

static diffad_status push_global(pickle *p, const char *module, const char *name)
{
    pickle_value        *v;
    const pickle_global *g = diffad_pickle_global(module, name);
    if (!g)
        return pickle_fail(p, "names the global %.80s.%.80s, which weights do not need; nothing was run; if you trust the file, load it in "
                              "Python and save model.state_dict() alone", module, name);
    DIFFAD_TRY(pickle_push_new(p, PICKLE_GLOBAL, &v));
    v->global = g;
    return DIFFAD_OK;
}

/* One line of the text form. */
static diffad_status take_line(pickle *p, char *out)
{
    int64_t n = 0;
    while (p->at + n < p->bytes && p->data[p->at + n] != '\n')
        n++;
    if (p->at + n == p->bytes)
        return pickle_fail(p, "goes past the end of the %lld bytes (is the file complete?)", (long long)p->bytes);
    if (n >= NAME_BYTES || memchr(p->data + p->at, 0, (size_t)n))
        return pickle_fail(p, "names a global of %lld bytes; the file is damaged or hostile, and nothing was run", (long long)n);
    memcpy(out, p->data + p->at, (size_t)n);
    out[n] = '\0';
    p->at += n + 1;
    return DIFFAD_OK;
}

static diffad_status text_of(const pickle *p, const pickle_value *v, char *out)
{
    if (v->kind != PICKLE_TEXT || v->text.bytes >= NAME_BYTES || memchr(v->text.at, 0, (size_t)v->text.bytes))
        return pickle_fail(p, "names a global by something that is no name; the file is damaged or hostile, and nothing was run");
    memcpy(out, v->text.at, (size_t)v->text.bytes);
    out[v->text.bytes] = '\0';
    return DIFFAD_OK;
}

static diffad_status op_global(pickle *p, bool is_on_stack)
{
    char          module[NAME_BYTES], name[NAME_BYTES];
    pickle_value *a = NULL, *b = NULL;
    if (is_on_stack) {
        DIFFAD_TRY(pickle_pop(p, &b));
        DIFFAD_TRY(pickle_pop(p, &a));
        DIFFAD_TRY(text_of(p, a, module));
        DIFFAD_TRY(text_of(p, b, name));
    } else {
        DIFFAD_TRY(take_line(p, module));
        DIFFAD_TRY(take_line(p, name));
    }
    return push_global(p, module, name);
}

static diffad_status op_reduce(pickle *p, bool has_keywords)
{
    pickle_value *func = NULL, *args = NULL, *keywords, *v;
    if (has_keywords)
        DIFFAD_TRY(pickle_pop(p, &keywords));
    DIFFAD_TRY(pickle_pop(p, &args));
    DIFFAD_TRY(pickle_pop(p, &func));
    DIFFAD_TRY(diffad_pickle_reduce(p, func, args, &v));
    return pickle_push(p, v);
}

/* The state of an object. Of an OrderedDict it is torch's _metadata, of a parameter what it was given besides. */
static diffad_status op_build(pickle *p)
{
    pickle_value *state, *of = NULL;
    DIFFAD_TRY(pickle_pop(p, &state));
    DIFFAD_TRY(pickle_top(p, &of));
    if (of->kind != PICKLE_DICT && of->kind != PICKLE_OPAQUE && of->kind != PICKLE_TENSOR)
        return pickle_fail(p, "gives a state to something that has none; the file is damaged or hostile, and nothing was run");
    return DIFFAD_OK;
}

/* ---- collections ---- */

static diffad_status push_tuple(pickle *p, pickle_value **items, int64_t count)
{
    pickle_value *v, **at = diffad_arena_copy(p->arena, items, (size_t)count * sizeof *items);
    if (!at)
        return pickle_fail_memory(p);
    DIFFAD_TRY(pickle_push_new(p, PICKLE_TUPLE, &v));
    v->item.at    = at;
    v->item.count = v->item.capacity = count;
    return DIFFAD_OK;
}

static diffad_status short_tuple(pickle *p, int64_t count)
{
    if (pickle_above(p) < count)
        return pickle_fail(p, "takes a value where there is none; the file is damaged");
    p->depth -= count;
    return push_tuple(p, p->stack + p->depth, count);
}

/* items into the list or dict below them. */
static diffad_status add_items(pickle *p, pickle_kind kind, pickle_value **items, int64_t count)
{
    pickle_value *to = NULL;
    DIFFAD_TRY(pickle_top(p, &to));
    if (to->kind == PICKLE_OPAQUE)
        return DIFFAD_OK;
    if (to->kind != kind || (kind == PICKLE_DICT && count % 2))
        return pickle_fail(p, "puts values into something that is not a %s; the file is damaged", kind == PICKLE_DICT ? "dict" : "list");
    for (int64_t i = 0; i < count; i++)
        DIFFAD_TRY(pickle_add(p, to, items[i]));
    return DIFFAD_OK;
}

static diffad_status op_collection(pickle *p, int op)
{
    pickle_value **items = NULL, *v;
    int64_t        count = 0;
    if (op == OP_APPEND || op == OP_SETITEM) {
        count = op == OP_APPEND ? 1 : 2;
        if (pickle_above(p) < count)
            return pickle_fail(p, "takes a value where there is none; the file is damaged");
        p->depth -= count;
        return add_items(p, op == OP_APPEND ? PICKLE_LIST : PICKLE_DICT, p->stack + p->depth, count);
    }
    DIFFAD_TRY(pickle_pop_mark(p, &items, &count));
    switch (op) {
    case OP_TUPLE: return push_tuple(p, items, count);
    case OP_APPENDS: return add_items(p, PICKLE_LIST, items, count);
    case OP_SETITEMS: return add_items(p, PICKLE_DICT, items, count);
    case OP_ADDITEMS: return add_items(p, PICKLE_OPAQUE, items, count);
    case OP_FROZENSET: return pickle_push_new(p, PICKLE_OPAQUE, &v);
    default: return DIFFAD_OK;      /* OP_POP_MARK */
    }
}

/* ---- memo ---- */

/* A place is remembered by at least two bytes: numbers beyond that are not torch's. */
static diffad_status put(pickle *p, uint64_t index)
{
    pickle_value *v = NULL;
    DIFFAD_TRY(pickle_top(p, &v));
    if (index > (uint64_t)p->op)
        return pickle_fail(p, "remembers a value as number %llu, which no writer does; the file is damaged or hostile", (unsigned long long)index);
    while (p->n_memo <= (int64_t)index) {
        if (!diffad_grow(&p->memo, p->n_memo, &p->memo_capacity, sizeof(pickle_value *)))
            return pickle_fail_memory(p);
        p->memo[p->n_memo++] = NULL;
    }
    p->memo[index] = v;
    return DIFFAD_OK;
}

static diffad_status get(pickle *p, uint64_t index)
{
    if (index >= (uint64_t)p->n_memo || !p->memo[index])
        return pickle_fail(p, "recalls value number %llu, which was not remembered; the file is damaged", (unsigned long long)index);
    return pickle_push(p, p->memo[index]);
}

static diffad_status op_memo(pickle *p, int op)
{
    uint64_t n;
    if (op == OP_MEMOIZE)
        return put(p, (uint64_t)p->n_memo);
    DIFFAD_TRY(pickle_take_number(p, op == OP_PUT || op == OP_GET ? 1 : 4, &n));
    return op == OP_PUT || op == OP_LONG_PUT ? put(p, n) : get(p, n);
}

/* ---- the machine ---- */

static diffad_status op_number(pickle *p, int op)
{
    uint64_t n;
    switch (op) {
    case OP_INT: DIFFAD_TRY(pickle_take_number(p, 4, &n)); return pickle_push_number(p, PICKLE_INT, (int64_t)n - ((int64_t)(n >> 31) << 32));
    case OP_INT1: DIFFAD_TRY(pickle_take_number(p, 1, &n)); return pickle_push_number(p, PICKLE_INT, (int64_t)n);
    case OP_INT2: DIFFAD_TRY(pickle_take_number(p, 2, &n)); return pickle_push_number(p, PICKLE_INT, (int64_t)n);
    case OP_LONG1: return pickle_push_long(p, 1);
    case OP_LONG4: return pickle_push_long(p, 4);
    case OP_FLOAT: return pickle_push_float(p);
    default: return pickle_push_number(p, PICKLE_BOOL, op == OP_TRUE);
    }
}

/* What stands by itself: neither value nor call. */
static diffad_status op_frame(pickle *p, int op)
{
    uint64_t             n;
    const unsigned char *at = NULL;
    if (op == OP_FRAME) {      /* its bytes follow as opcodes */
        DIFFAD_TRY(pickle_take_number(p, 8, &n));
        return n <= (uint64_t)(p->bytes - p->at) ? DIFFAD_OK : pickle_fail(p, "a frame past the end (is the file complete?)");
    }
    DIFFAD_TRY(pickle_take(p, 1, &at));
    return *at >= 2 && *at <= MAX_PROTOCOL ? DIFFAD_OK : pickle_fail(p, "protocol %d; this reads 2 to %d", *at, MAX_PROTOCOL);
}

static diffad_status step(pickle *p, int op)
{
    pickle_value *v, *made;
    switch (op) {
    case OP_PROTO: case OP_FRAME: return op_frame(p, op);
    case OP_MARK:
        if (!diffad_grow(&p->mark, p->marks, &p->mark_capacity, sizeof *p->mark))
            return pickle_fail_memory(p);
        p->mark[p->marks++] = p->depth;
        return DIFFAD_OK;
    case OP_POP: return pickle_pop(p, &v);
    case OP_DUP: DIFFAD_TRY(pickle_top(p, &v)); return pickle_push(p, v);
    case OP_NONE: return pickle_push_new(p, PICKLE_NONE, &v);
    case OP_INT: case OP_INT1: case OP_INT2: case OP_LONG1: case OP_LONG4: case OP_FLOAT: case OP_TRUE: case OP_FALSE: return op_number(p, op);
    case OP_UNICODE: case OP_STRING: return pickle_push_text(p, PICKLE_TEXT, 4);
    case OP_SHORT_UNICODE: case OP_SHORT_STRING: return pickle_push_text(p, PICKLE_TEXT, 1);
    case OP_UNICODE8: return pickle_push_text(p, PICKLE_TEXT, 8);
    case OP_BYTES: return pickle_push_text(p, PICKLE_BYTES, 4);
    case OP_SHORT_BYTES: return pickle_push_text(p, PICKLE_BYTES, 1);
    case OP_BYTES8: case OP_BYTEARRAY8: return pickle_push_text(p, PICKLE_BYTES, 8);
    case OP_EMPTY_LIST: return pickle_push_new(p, PICKLE_LIST, &v);
    case OP_EMPTY_DICT: return pickle_push_new(p, PICKLE_DICT, &v);
    case OP_EMPTY_TUPLE: return pickle_push_new(p, PICKLE_TUPLE, &v);
    case OP_EMPTY_SET: return pickle_push_new(p, PICKLE_OPAQUE, &v);
    case OP_TUPLE1: case OP_TUPLE2: case OP_TUPLE3: return short_tuple(p, op - OP_TUPLE1 + 1);
    case OP_TUPLE: case OP_APPEND: case OP_APPENDS: case OP_SETITEM: case OP_SETITEMS: case OP_ADDITEMS: case OP_FROZENSET: case OP_POP_MARK:
        return op_collection(p, op);
    case OP_GLOBAL: case OP_STACK_GLOBAL: return op_global(p, op == OP_STACK_GLOBAL);
    case OP_REDUCE: case OP_NEWOBJ: case OP_NEWOBJ_EX: return op_reduce(p, op == OP_NEWOBJ_EX);
    case OP_BUILD: return op_build(p);
    case OP_PERSISTENT:
        DIFFAD_TRY(pickle_pop(p, &v));
        DIFFAD_TRY(diffad_pickle_persistent(p, v, &made));
        return pickle_push(p, made);
    case OP_PUT: case OP_LONG_PUT: case OP_MEMOIZE: case OP_GET: case OP_LONG_GET: return op_memo(p, op);
    default: return pickle_fail(p, "opcode 0x%02x, which torch.save does not write; the file is damaged or hostile, and nothing was run", op);
    }
}

static diffad_status run(pickle *p, pickle_value **root)
{
    const unsigned char *op = NULL;
    for (;;) {
        p->op = p->at;
        DIFFAD_TRY(pickle_take(p, 1, &op));
        if (*op == OP_STOP)
            break;
        DIFFAD_TRY(step(p, *op));
    }
    if (p->depth != 1 || p->marks != 0)
        return pickle_fail(p, "ends with %lld values in place of one; the file is damaged", (long long)p->depth);
    *root = p->stack[0];
    return DIFFAD_OK;
}

diffad_status diffad_pickle_read(pickle *p, pickle_value **root)
{
    const diffad_status st = run(p, root);
    diffad_release(p->stack);
    diffad_release(p->mark);
    diffad_release(p->memo);
    p->stack = p->memo = NULL;
    p->mark  = NULL;
    p->depth = p->capacity = p->marks = p->mark_capacity = p->n_memo = p->memo_capacity = 0;
    return st;
}
