/* pickle.h: a reader of pickles as torch.save writes them, protocols 2 to 5, that can run nothing.
 *
 * It builds plain values and knows a list of globals (pickle_globals.c): a few have a meaning (storages, tensors,
 * OrderedDict, torch.Size), some that training scripts leave in checkpoints become values without any, every other one is
 * refused. Memory follows the length of the pickle: no count in it is believed before the bytes behind it are there. */
#ifndef DIFFAD_PICKLE_H
#define DIFFAD_PICKLE_H

#include "base/arena.h"
#include "diffad/tensor.h"

#include <stdbool.h>

typedef enum pickle_kind {
    PICKLE_NONE, PICKLE_BOOL, PICKLE_INT, PICKLE_FLOAT, PICKLE_TEXT, PICKLE_BYTES, PICKLE_TUPLE, PICKLE_LIST, PICKLE_DICT,
    PICKLE_GLOBAL, PICKLE_STORAGE, PICKLE_TENSOR,
    PICKLE_OPAQUE      /* an object without a meaning here; what is done to it has no effect */
} pickle_kind;

typedef struct pickle_storage {
    const struct pickle_storage *before;
    const char *key;                  /* NUL-terminated */
    int         type;                 /* diffad_dtype; -1: a type that no tensor here has */
    int         each;                 /* bytes of an element */
    int64_t     count;
} pickle_storage;

typedef struct pickle_tensor {
    pickle_storage storage;
    int64_t        offset;            /* all in elements */
    int            rank;
    int64_t        side[DIFFAD_MAX_RANK], stride[DIFFAD_MAX_RANK];
} pickle_tensor;

typedef struct pickle_value pickle_value;
struct pickle_value {
    pickle_kind kind;
    union {
        int64_t number;                                              /* bool, int */
        double  real;
        struct { const unsigned char *at; int64_t bytes; } text;     /* text (UTF-8, not NUL-terminated), bytes, long integers */
        struct { pickle_value **at; int64_t count, capacity; } item; /* tuple, list; dict: key, value, key, ... */
        const struct pickle_global *global;
        pickle_storage *storage;
        pickle_tensor  *tensor;
    };
};

typedef enum pickle_meaning {
    MEANS_NOTHING, MEANS_DICT, MEANS_TUPLE, MEANS_TENSOR, MEANS_PARAMETER, MEANS_STORAGE
} pickle_meaning;

typedef struct pickle_global {
    const char    *module, *name;     /* "*" at a module's end: all below it; name "*": any */
    pickle_meaning meaning;
    int            type, each;        /* of a storage */
} pickle_global;

/* NULL: not on the list. */
const pickle_global *diffad_pickle_global(const char *module, const char *name);

/* A pickle being read. */
typedef struct pickle {
    const char          *origin;      /* for messages: the file */
    const char          *part;        /* "data.pkl" */
    const unsigned char *data;
    int64_t              bytes, at, op;      /* op: where the current opcode stands */
    diffad_arena        *arena;
    pickle_value       **stack;
    int64_t              depth, capacity;
    int64_t             *mark;
    int64_t              marks, mark_capacity;
    pickle_value       **memo;
    int64_t              n_memo, memo_capacity;
    int64_t              values;
    const pickle_storage *last_storage;      /* all that were named, by `before` */
} pickle;

/* Reads one pickle from p->at on; p->at is then behind it. Fill origin, part, data, bytes, at, arena before; values live in
 * the arena, texts in data. Errors: CHECKPOINT, MEMORY. */
diffad_status diffad_pickle_read(pickle *p, pickle_value **root);
/* What func(args) means; *out NULL never. */
diffad_status diffad_pickle_reduce(pickle *p, const pickle_value *func, const pickle_value *args, pickle_value **out);
diffad_status diffad_pickle_persistent(pickle *p, const pickle_value *id, pickle_value **out);

/* ---- for the files of the reader: pickle_values.c ---- */

diffad_status pickle_fail(const pickle *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
diffad_status pickle_fail_memory(const pickle *p);
diffad_status pickle_new(pickle *p, pickle_kind kind, pickle_value **out);
diffad_status pickle_add(pickle *p, pickle_value *to, pickle_value *item);
diffad_status pickle_push(pickle *p, pickle_value *v);
diffad_status pickle_push_new(pickle *p, pickle_kind kind, pickle_value **out);
diffad_status pickle_push_number(pickle *p, pickle_kind kind, int64_t n);
/* The next bytes as a value: behind their length, of as many bytes as said; big-endian double. */
diffad_status pickle_push_text(pickle *p, pickle_kind kind, int length_bytes);
diffad_status pickle_push_long(pickle *p, int length_bytes);
diffad_status pickle_push_float(pickle *p);
int64_t       pickle_above(const pickle *p);      /* values above the last mark */
diffad_status pickle_pop(pickle *p, pickle_value **out);
diffad_status pickle_top(pickle *p, pickle_value **out);
/* The values above the last mark, which goes away: *items stay where they are until the next push. */
diffad_status pickle_pop_mark(pickle *p, pickle_value ***items, int64_t *count);
diffad_status pickle_take(pickle *p, uint64_t n, const unsigned char **out);
diffad_status pickle_take_number(pickle *p, int bytes, uint64_t *out);      /* little-endian, unsigned */

bool                pickle_is_text(const pickle_value *v, const char *text);
const pickle_value *pickle_find(const pickle_value *dict, const char *key);      /* the last of that key; NULL: none */

#endif
