/* pickle_globals.c: the globals that a checkpoint may name, and what calling them means. Nothing is ever called. */
#include "base/fail.h"
#include "tensor/pickle.h"

#include <string.h>

#define STORAGE(name, type, each) { "torch", name "Storage", MEANS_STORAGE, type, each }, { "torch.cuda", name "Storage", MEANS_STORAGE, type, each }

/* Beside tensors, Lightning keeps the states of optimisers, schedules, callbacks and hyper-parameters: classes as keys,
 * NumPy numbers, paths, OmegaConf objects. They are passed over. */
static const pickle_global globals[] = {
    STORAGE("Float", DIFFAD_F32, 4), STORAGE("Half", DIFFAD_F16, 2), STORAGE("BFloat16", DIFFAD_BF16, 2), STORAGE("Double", DIFFAD_F64, 8),
    STORAGE("Long", DIFFAD_I64, 8), STORAGE("Int", DIFFAD_I32, 4), STORAGE("Byte", DIFFAD_U8, 1), STORAGE("Bool", DIFFAD_U8, 1),
    STORAGE("Short", -1, 2), STORAGE("Char", -1, 1), STORAGE("ComplexFloat", -1, 8), STORAGE("ComplexDouble", -1, 16),
    { "torch._utils", "_rebuild_tensor", MEANS_TENSOR, 0, 0 },
    { "torch._utils", "_rebuild_tensor_v2", MEANS_TENSOR, 0, 0 },
    { "torch._utils", "_rebuild_parameter", MEANS_PARAMETER, 0, 0 },
    { "torch._utils", "_rebuild_parameter_with_state", MEANS_PARAMETER, 0, 0 },
    { "torch", "Size", MEANS_TUPLE, 0, 0 },
    { "collections", "OrderedDict", MEANS_DICT, 0, 0 },
    { "collections", "defaultdict", MEANS_NOTHING, 0, 0 },
    { "collections", "Counter", MEANS_NOTHING, 0, 0 },
    { "collections", "deque", MEANS_NOTHING, 0, 0 },
    { "torch", "device", MEANS_NOTHING, 0, 0 },
    { "torch", "float32", MEANS_NOTHING, 0, 0 }, { "torch", "float64", MEANS_NOTHING, 0, 0 }, { "torch", "float16", MEANS_NOTHING, 0, 0 },
    { "torch", "bfloat16", MEANS_NOTHING, 0, 0 }, { "torch", "int64", MEANS_NOTHING, 0, 0 }, { "torch", "int32", MEANS_NOTHING, 0, 0 },
    { "torch", "uint8", MEANS_NOTHING, 0, 0 }, { "torch", "bool", MEANS_NOTHING, 0, 0 },
    { "numpy", "dtype", MEANS_NOTHING, 0, 0 }, { "numpy", "ndarray", MEANS_NOTHING, 0, 0 },
    { "numpy.core.multiarray", "*", MEANS_NOTHING, 0, 0 }, { "numpy._core.multiarray", "*", MEANS_NOTHING, 0, 0 },
    { "_codecs", "encode", MEANS_NOTHING, 0, 0 },
    { "pathlib", "PosixPath", MEANS_NOTHING, 0, 0 }, { "pathlib", "WindowsPath", MEANS_NOTHING, 0, 0 },
    { "argparse", "Namespace", MEANS_NOTHING, 0, 0 }, { "typing", "Any", MEANS_NOTHING, 0, 0 },
    { "builtins", "int", MEANS_NOTHING, 0, 0 }, { "builtins", "float", MEANS_NOTHING, 0, 0 }, { "builtins", "str", MEANS_NOTHING, 0, 0 },
    { "builtins", "bool", MEANS_NOTHING, 0, 0 }, { "builtins", "dict", MEANS_NOTHING, 0, 0 }, { "builtins", "list", MEANS_NOTHING, 0, 0 },
    { "builtins", "tuple", MEANS_NOTHING, 0, 0 }, { "builtins", "set", MEANS_NOTHING, 0, 0 }, { "builtins", "frozenset", MEANS_NOTHING, 0, 0 },
    { "__builtin__", "int", MEANS_NOTHING, 0, 0 }, { "__builtin__", "float", MEANS_NOTHING, 0, 0 }, { "__builtin__", "unicode", MEANS_NOTHING, 0, 0 },
    { "__builtin__", "str", MEANS_NOTHING, 0, 0 }, { "__builtin__", "bool", MEANS_NOTHING, 0, 0 }, { "__builtin__", "dict", MEANS_NOTHING, 0, 0 },
    { "__builtin__", "list", MEANS_NOTHING, 0, 0 }, { "__builtin__", "tuple", MEANS_NOTHING, 0, 0 }, { "__builtin__", "set", MEANS_NOTHING, 0, 0 },
    { "__builtin__", "frozenset", MEANS_NOTHING, 0, 0 },
    { "pytorch_lightning.*", "*", MEANS_NOTHING, 0, 0 }, { "lightning.*", "*", MEANS_NOTHING, 0, 0 },
    { "lightning_fabric.*", "*", MEANS_NOTHING, 0, 0 }, { "lightning_utilities.*", "*", MEANS_NOTHING, 0, 0 },
    { "omegaconf.*", "*", MEANS_NOTHING, 0, 0 },
};

static bool matches(const char *pattern, const char *text)
{
    const size_t n = strlen(pattern);
    return pattern[n - 1] == '*' ? strncmp(pattern, text, n - 1) == 0 : strcmp(pattern, text) == 0;
}

const pickle_global *diffad_pickle_global(const char *module, const char *name)
{
    for (size_t i = 0; i < sizeof globals / sizeof globals[0]; i++)
        if (matches(globals[i].module, module) && matches(globals[i].name, name))
            return &globals[i];
    return NULL;
}

/* ---- tensors ---- */

static const pickle_value *argument(const pickle_value *args, int64_t i) { return i < args->item.count ? args->item.at[i] : NULL; }

static bool is_int(const pickle_value *v) { return v && v->kind == PICKLE_INT; }

/* torch._utils._rebuild_tensor_v2(storage, offset, sides, strides, ...) */
static diffad_status rebuild(pickle *p, const pickle_value *args, pickle_value **out)
{
    const pickle_value *storage = argument(args, 0), *offset = argument(args, 1), *sides = argument(args, 2), *strides = argument(args, 3);
    if (!storage || storage->kind != PICKLE_STORAGE || !is_int(offset) || !sides || sides->kind != PICKLE_TUPLE || !strides ||
        strides->kind != PICKLE_TUPLE || sides->item.count != strides->item.count)
        return pickle_fail(p, "a tensor that is not made of storage, offset, sides and strides; the file is damaged");
    if (sides->item.count > DIFFAD_MAX_RANK)
        return pickle_new(p, PICKLE_OPAQUE, out);
    pickle_tensor *t = diffad_arena_alloc(p->arena, sizeof *t);
    if (!t)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", p->origin);
    t->storage = *storage->storage;
    t->offset  = offset->number;
    t->rank    = (int)sides->item.count;
    for (int i = 0; i < t->rank; i++) {
        if (!is_int(sides->item.at[i]) || !is_int(strides->item.at[i]))
            return pickle_fail(p, "a tensor with a side or stride that is not a number; the file is damaged");
        t->side[i]   = sides->item.at[i]->number;
        t->stride[i] = strides->item.at[i]->number;
    }
    DIFFAD_TRY(pickle_new(p, PICKLE_TENSOR, out));
    (*out)->tensor = t;
    return DIFFAD_OK;
}

/* OrderedDict() or, as Python 2 wrote it, OrderedDict([[key, value], ...]). */
static diffad_status make_dict(pickle *p, const pickle_value *args, pickle_value **out)
{
    const pickle_value *pairs = argument(args, 0);
    DIFFAD_TRY(pickle_new(p, PICKLE_DICT, out));
    if (!pairs)
        return DIFFAD_OK;
    if (pairs->kind != PICKLE_LIST)
        return pickle_fail(p, "an OrderedDict that is not made of a list of pairs; the file is damaged");
    for (int64_t i = 0; i < pairs->item.count; i++) {
        const pickle_value *pair = pairs->item.at[i];
        if ((pair->kind != PICKLE_LIST && pair->kind != PICKLE_TUPLE) || pair->item.count != 2)
            return pickle_fail(p, "an OrderedDict that is not made of a list of pairs; the file is damaged");
        DIFFAD_TRY(pickle_add(p, *out, pair->item.at[0]));
        DIFFAD_TRY(pickle_add(p, *out, pair->item.at[1]));
    }
    return DIFFAD_OK;
}

diffad_status diffad_pickle_reduce(pickle *p, const pickle_value *func, const pickle_value *args, pickle_value **out)
{
    if (args->kind != PICKLE_TUPLE)
        return pickle_fail(p, "a call whose arguments are not a tuple; the file is damaged");
    if (func->kind == PICKLE_OPAQUE)
        return pickle_new(p, PICKLE_OPAQUE, out);
    if (func->kind != PICKLE_GLOBAL)
        return pickle_fail(p, "a call of something that is not a global; the file is damaged or hostile, and nothing was run");
    switch (func->global->meaning) {
    case MEANS_NOTHING: return pickle_new(p, PICKLE_OPAQUE, out);
    case MEANS_DICT: return make_dict(p, args, out);
    case MEANS_TENSOR: return rebuild(p, args, out);
    case MEANS_TUPLE:
        if (!argument(args, 0) || argument(args, 0)->kind != PICKLE_TUPLE)
            break;
        *out = args->item.at[0];
        return DIFFAD_OK;
    case MEANS_PARAMETER:
        if (!argument(args, 0) || argument(args, 0)->kind != PICKLE_TENSOR)
            break;
        *out = args->item.at[0];
        return DIFFAD_OK;
    case MEANS_STORAGE: break;
    }
    return pickle_fail(p, "a call of %s.%s that torch.save does not write; the file is damaged or hostile, and nothing was run",
                       func->global->module, func->global->name);
}

/* ('storage', type, key, place, count) and, in files before 1.6, a view: None or (key, offset, count). */
diffad_status diffad_pickle_persistent(pickle *p, const pickle_value *id, pickle_value **out)
{
    enum { MAX_KEY = 64 };
    const pickle_value *type = id->kind == PICKLE_TUPLE ? argument(id, 1) : NULL, *key = type ? argument(id, 2) : NULL;
    if (!type || !pickle_is_text(argument(id, 0), "storage") || type->kind != PICKLE_GLOBAL || type->global->meaning != MEANS_STORAGE || !key ||
        key->kind != PICKLE_TEXT || !is_int(argument(id, 4)))
        return pickle_fail(p, "a persistent id that is not ('storage', type, key, place, count); the file is damaged");
    if (argument(id, 5) && argument(id, 5)->kind != PICKLE_NONE)
        return pickle_fail(p, "a storage that is a view, as torch before 0.4 wrote them; load and save the file with a newer torch");
    if (key->text.bytes == 0 || key->text.bytes > MAX_KEY || memchr(key->text.at, 0, (size_t)key->text.bytes) ||
        memchr(key->text.at, '/', (size_t)key->text.bytes))
        return pickle_fail(p, "a storage whose key is no name; the file is damaged");
    pickle_storage *s    = diffad_arena_alloc(p->arena, sizeof *s);
    char           *name = diffad_arena_alloc(p->arena, (size_t)key->text.bytes + 1);
    if (!s || !name)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", p->origin);
    memcpy(name, key->text.at, (size_t)key->text.bytes);
    *s = (pickle_storage){ .before = p->last_storage, .key = name, .type = type->global->type, .each = type->global->each, .count = argument(id, 4)->number };
    p->last_storage = s;
    DIFFAD_TRY(pickle_new(p, PICKLE_STORAGE, out));
    (*out)->storage = s;
    return DIFFAD_OK;
}
