/* param.h: named parameters of one network: shapes, initial values, device tensors, optimiser state, files.
 *
 * Names are those of the published checkpoints. A graph asks for a parameter by name; the first graph to ask creates it. */
#ifndef DIFFAD_PARAM_H
#define DIFFAD_PARAM_H

#include "base/arena.h"
#include "base/hash.h"
#include "diffad/graph.h"

typedef enum diffad_init_kind {
    DIFFAD_INIT_CONSTANT,        /* a */
    DIFFAD_INIT_UNIFORM,         /* between -a and a; PyTorch's default: a = 1/sqrt(fan in) */
    DIFFAD_INIT_NORMAL           /* mean a, standard deviation b */
} diffad_init_kind;

typedef struct diffad_init { diffad_init_kind kind; double a, b; } diffad_init;

typedef struct diffad_param {
    const char    *name;
    diffad_shape   shape;
    diffad_init    init;
    bool           is_trained;       /* false: a buffer (running statistics, constants) */
    diffad_tensor *tensor;
    diffad_tensor *m, *v;            /* Adam's moments; NULL without an optimiser */
    diffad_tensor *shadow;           /* EMA; NULL without */
    diffad_tensor *sum;              /* gradients of the batches of one step so far; NULL without accumulation */
} diffad_param;

typedef struct diffad_params {
    diffad_arena   arena;
    diffad_param **item;
    int64_t        count, capacity;
} diffad_params;

diffad_params *diffad_params_create(void);                  /* NULL: no host memory */
void           diffad_params_destroy(diffad_params *p);     /* with all tensors */

/* Finds or adds. NULL when memory is out or when the name exists with another shape (detail is set). */
diffad_param *diffad_params_get(diffad_params *p, const char *name, const diffad_shape *shape, diffad_init init, bool is_trained);
diffad_param *diffad_params_find(const diffad_params *p, const char *name);
int64_t       diffad_params_elements(const diffad_params *p, bool trained_only);

/* Tensors for all entries that have none, zero-filled; trained entries get what `with` names besides. */
enum { DIFFAD_WITH_MOMENTS = 1, DIFFAD_WITH_SHADOW = 2, DIFFAD_WITH_SUM = 4 };
diffad_status diffad_params_allocate(diffad_params *p, diffad_device *dev, unsigned with);
void          diffad_params_drop(diffad_params *p, unsigned with);      /* lets go of them again */
/* Fresh values from (seed, network, index of the entry): the same on every device. Shadows start as copies. */
diffad_status diffad_params_init(diffad_params *p, uint64_t seed, uint32_t network);

typedef enum diffad_param_part { DIFFAD_PART_VALUE, DIFFAD_PART_M, DIFFAD_PART_V, DIFFAD_PART_SHADOW, DIFFAD_PART_SUM } diffad_param_part;
diffad_tensor *diffad_param_tensor(const diffad_param *p, diffad_param_part part);

/* Reads entry `prefix` + name of every parameter. Missing, wrongly shaped or (unless allow_nonfinite) not finite entries
 * fail, listing what differs. Extra entries under the prefix fail when `strict`. */
diffad_status diffad_params_load(diffad_params *p, const diffad_file *f, const char *prefix, diffad_param_part part, bool strict,
                                 bool allow_nonfinite);
/* Appends the entries to a list for diffad_file_save; data is read back into `arena`. */
typedef struct diffad_file_list { diffad_file_tensor *item; int64_t count, capacity; } diffad_file_list;
diffad_status diffad_params_collect(const diffad_params *p, const char *prefix, diffad_param_part part, diffad_arena *arena, diffad_file_list *list);
/* Adds names, shapes and bytes of all values to a hash. */
diffad_status diffad_params_hash(const diffad_params *p, diffad_hasher *h);
/* dst.part = src.part for all (equal names): for sampling with the shadow weights. */
diffad_status diffad_params_swap_shadow(diffad_params *p);

#endif
