/* op.h: what an op is. Everything the project knows about an op stands in one descriptor in src/op/<name>.c. */
#ifndef DIFFAD_OP_H
#define DIFFAD_OP_H

#include "base/fail.h"
#include "diffad/device.h"
#include "diffad/graph.h"

enum { DIFFAD_MAX_IN = 50, DIFFAD_MAX_OUT = 4, DIFFAD_CASE_IN = 12 };

typedef struct diffad_op   diffad_op;
typedef struct diffad_emit diffad_emit;      /* graph/emit.h */

typedef struct diffad_value {
    int32_t         id;
    diffad_dtype    type;
    diffad_shape    shape;
    enum { DIFFAD_VALUE_INPUT, DIFFAD_VALUE_BOUND, DIFFAD_VALUE_NODE } kind;
    int32_t         node;            /* producer, or -1 */
    const char     *name;            /* of an input, bound value or output; else NULL */
    diffad_tensor **slot;            /* bound */
    bool            is_output;
    bool            is_changing;     /* bound: changes between runs, so that a packed form is not worth keeping */
} diffad_value;

typedef struct diffad_node {
    int32_t             id;
    const diffad_op    *op;
    const void         *attr;
    int                 n_in;                        /* absent optional inputs count: in[i] is NULL, x[i] invalid */
    const diffad_value *in[DIFFAD_MAX_IN];
    const diffad_value *out[DIFFAD_MAX_OUT];
    diffad_val          x[DIFFAD_MAX_IN], y[DIFFAD_MAX_OUT];
    const char         *scope;                       /* innermost named value at creation, for dumps; or NULL */
    int32_t             pass;                        /* the gradient (diffad_graph_grad, from 1) that appended it; 0: none */
    bool                has_gradient;                /* some gradient goes back through it */
} diffad_node;

static inline int64_t diffad_numel(const diffad_value *v) { return diffad_shape_count(&v->shape); }
/* Side i of a value, 1 beyond its rank: maps of rank < 4 read as [N,C,1,1]. */
static inline int64_t diffad_side(const diffad_value *v, int i) { return i < v->shape.rank ? v->shape.side[i] : 1; }

/* infer: fills type and shape of each output, or says what is wrong (DIFFAD_FAIL). in[] and attr are set. */
typedef struct diffad_infer_out { diffad_dtype type; diffad_shape shape; } diffad_infer_out;
typedef diffad_status (*diffad_infer_fn)(const diffad_node *n, diffad_infer_out *out);
diffad_status diffad_infer_same(const diffad_node *n, diffad_infer_out *out);            /* all outputs like input 0 */
diffad_status diffad_infer_equal_shapes(const diffad_node *n, diffad_infer_out *out);    /* and all inputs are alike */
diffad_status diffad_infer_none(const diffad_node *n, diffad_infer_out *out);            /* no outputs: writes state */

typedef struct diffad_cost { double flops, bytes; } diffad_cost;      /* of the algorithm, not of the implementation */

typedef enum diffad_layout {
    DIFFAD_LAYOUT_PLAIN,       /* every operand row-major */
    DIFFAD_LAYOUT_ANY,         /* maps all in one layout, whichever they come in; the kernel takes the block as a constant */
    DIFFAD_LAYOUT_BLOCKED,     /* maps in [N, C/B, H, W, B] with the device's block B > 1; padding lanes zero in and out */
    DIFFAD_LAYOUT_OWN          /* the way's `choose` says it per operand */
} diffad_layout;

/* What a node may be to the one before it: a last step on its result, which a way can take along (graph/fuse.c). In the order
 * they are applied in. */
typedef enum diffad_tail { DIFFAD_TAIL_NONE, DIFFAD_TAIL_BIAS, DIFFAD_TAIL_ADD, DIFFAD_TAILS } diffad_tail;

/* One algorithm for an op. `fits` NULL: always. */
typedef struct diffad_way {
    const char    *name;
    diffad_layout  layout;
    bool         (*fits)(const diffad_node *n, const diffad_caps *caps);
    diffad_status (*emit)(diffad_emit *e, const diffad_node *n);
    /* DIFFAD_LAYOUT_OWN: true for each operand to be blocked. Preset to false. */
    void         (*choose)(const diffad_node *n, const diffad_caps *caps, bool *in_blocked, bool *out_blocked);
    /* How many sets of constants (tiles, work-groups) the node could be computed with; NULL: one. The way itself finds one that
     * should be good; tuning measures them. */
    int          (*variants)(const diffad_node *n, const diffad_caps *caps);
    uint32_t       tails;          /* bits 1 << diffad_tail: what its launches add to output 0 where e->tail says so */
    diffad_precision precision;    /* F32, or what it rounds its operands to: taken only on a device set to just that */
    double         tol;            /* 0: the op's; a looser one needs a comment with its reason */
    bool           is_portable;    /* OpenCL 1.2, float32, 16 KiB of local memory, work-groups of 64 suffice */
} diffad_way;

/* The reference: plain loops in double. in[i] NULL where absent; integers and bytes come as doubles. Ops that write
 * state change in[i] in place. */
typedef struct diffad_ref {
    const diffad_node *n;
    double            *in[DIFFAD_MAX_IN];
    double            *out[DIFFAD_MAX_OUT];
} diffad_ref;

typedef struct diffad_range { double lo, hi; } diffad_range;      /* {0,0}: normal(0,1); integers: lo..hi inclusive */

typedef struct diffad_op_case {
    const char   *name;
    diffad_shape  in[DIFFAD_CASE_IN];        /* of an op with sets: up to the end of the first */
    int           n_in;                      /* 0: all of the op's, or what `sets` tells */
    const int64_t *sets;                     /* elements (rank 1) of each input of every further set, up to a 0 */
    diffad_dtype  type[DIFFAD_CASE_IN];      /* default f32 */
    diffad_range  range[DIFFAD_CASE_IN];
    const void   *attr;
    uint32_t      absent;                    /* bit i: optional input i is not there */
    double        tol;                       /* 0: the op's; a looser one needs a comment with its reason */
    bool          bench;                     /* a real shape: timed by `diffad bench`, no gradient check by differences */
} diffad_op_case;

struct diffad_op {
    const char *name;
    int         n_in, n_out;                 /* n_in: the most */
    int         n_required;                  /* 0: all */
    int         set_first, set_size;         /* inputs from set_first on are sets of set_size that are alike, such as a
                                              * parameter, its moments and gradient; masks tell the first set. 0: none */
    size_t      attr_size;
    const char *attr_kinds;                  /* its members, i for int and d for double: of ops with several ways (tuned ones go by them) */
    double      tol;                         /* largest |error| / largest |reference| of a tensor */
    diffad_infer_fn infer;
    const diffad_way *ways;                  /* in order of preference */
    int         n_ways;
    uint32_t    maps_in, maps_out;           /* bits: operands that are activation maps [N,C,H,W] and may be blocked */
    /* dy[k] invalid where no gradient arrives; leave dx[i] invalid where none leaves. */
    void      (*grad)(diffad_graph *g, const diffad_node *n, const diffad_val *dy, diffad_val *dx);
    const char *no_grad;                     /* why there is none: exactly one of grad and no_grad is set */
    uint32_t    constant_in;                 /* bits: float inputs that get no gradient by definition (targets, statistics) */
    uint32_t    saved_out;                   /* bits: outputs that only serve the gradient (saved statistics) */
    diffad_cost (*cost)(const diffad_node *n);
    void      (*ref)(const diffad_ref *r);
    diffad_tail tail;                        /* output 0 is input 0 + input 1: with a bias [C] or [N,C], or maps alike in either order */
    bool        is_alias;                    /* output 0 is input 0 seen with another shape: no launch */
    uint32_t    inplace;                     /* bits: output 0 may overwrite input i (same count of elements, same type) */
    uint32_t    writes;                      /* bits: inputs the node changes; such a node is never dropped */
    const diffad_op *again;                  /* of an op that writes: one with the first of its inputs, its attributes and its ways that
                                                makes the same outputs and writes nothing; NULL: there is none */
    const diffad_op_case *cases;
    int         n_cases;
};

#define DIFFAD_WAYS(array)  .ways = (array), .n_ways = (int)(sizeof(array) / sizeof((array)[0]))
#define DIFFAD_CASES(array) .cases = (array), .n_cases = (int)(sizeof(array) / sizeof((array)[0]))

/* The input that tells for input i what masks and cases say: in sets, its like in the first one. */
static inline int diffad_role(const diffad_op *op, int i)
{
    return op->set_size && i >= op->set_first ? op->set_first + (i - op->set_first) % op->set_size : i;
}
static inline bool diffad_in_mask(const diffad_op *op, uint32_t mask, int i) { return mask >> diffad_role(op, i) & 1u; }
/* Sets of a node. */
static inline int diffad_sets(const diffad_node *n)
{
    int k = 0;
    while (n->op->set_first + k * n->op->set_size < n->n_in && n->in[n->op->set_first + k * n->op->set_size])
        k++;
    return k;
}
static inline bool diffad_op_writes(const diffad_op *op, int i) { return diffad_in_mask(op, op->writes, i); }

/* Appends a node; attr (op->attr_size bytes) is copied. Returns output 0, or an invalid handle for an op without outputs
 * or after a failure. Output k of the same node is diffad_out(v, k). */
diffad_val diffad_apply(diffad_graph *g, const diffad_op *op, const void *attr, int n_in, const diffad_val *in);
static inline diffad_val diffad_out(diffad_val first, int k)
{
    return (diffad_val){ first.id < 0 ? -1 : first.id + k };
}
/* Records a failure of a builder; returns an invalid handle. */
diffad_val diffad_graph_fail(diffad_graph *g, diffad_status code, const char *format, ...) DIFFAD_PRINTF(3, 4);

#endif
