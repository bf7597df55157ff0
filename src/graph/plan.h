/* plan.h (internal): a plan's inside. plan.c chooses ways and emits, fuse.c joins nodes, fit.c keeps within a number of bytes, memory.c lays out, exec.c runs, dump.c prints. */
#ifndef DIFFAD_PLAN_INTERNAL_H
#define DIFFAD_PLAN_INTERNAL_H

#include "diffad/plan.h"
#include "graph/emit.h"
#include "graph/graph.h"
#include "graph/recompute.h"
#include "tensor/tensor.h"

enum { PLAN_GUARD_BYTES = 256, PLAN_ALIGN = 256 };

typedef enum plan_mem_kind { PLAN_MEM_TEMP, PLAN_MEM_FIXED, PLAN_MEM_PACK } plan_mem_kind;

typedef struct plan_mem {
    plan_mem_kind  kind;
    int64_t        bytes;
    uint8_t        element;          /* bytes of one element */
    int32_t        first, last;      /* launches that touch it; first -1: none yet */
    int32_t        reads_left;       /* while emitting: reads of the values in it that are still to come */
    diffad_tensor *tensor;           /* FIXED */
    int32_t        value;            /* a value that lies in it, or -1 */
} plan_mem;

typedef struct plan_value {
    diffad_operand plain, blocked;   /* where it lies; mem -1: not in this layout */
    bool           is_home_blocked;  /* the one that its node writes; the other is a copy made for a reader */
    int32_t        reads;            /* by live nodes, outputs count one */
    int32_t last_read; /* the last node that reads it or an alias of it; INT32_MAX of an output, -1: none */
    int32_t        root;             /* the value in whose memory it lies: its own, or an alias' origin */
    bool           is_written;       /* by a node that was emitted already */
    bool           is_changing;      /* from run to run: some node writes it, or the graph says so */
} plan_value;

typedef struct plan_pack {
    int32_t        value, mem;
    char           key[96];
    diffad_tensor *tensor;
    uint64_t       version;          /* of the tensor when it was packed; 0: never */
    int64_t        first, count;     /* launches in `prologue` */
} plan_pack;

typedef struct plan_step {           /* a node's part of the launches */
    int32_t           node;
    const diffad_way *way;           /* NULL: alias */
    int               variant;       /* of the way, or -1: what it finds best */
    uint64_t          in_blocked;    /* bit i: input i is read blocked */
    uint8_t           out_blocked;
    int64_t           first, count;
} plan_step;

struct diffad_plan {
    diffad_device       *dev;
    const diffad_graph  *graph;                /* the caller's, or that of `remade` */
    recompute_result     remade;               /* where values are made again; else graph NULL */
    const diffad_plan   *model;                /* while emitting: the plan of the caller's graph, whose ways and layouts are taken */
    diffad_plan_options  options;
    char                *forced;               /* "op=way,..." from options and environment */
    char                *model_ways;           /* diffad_plan_ways of the plan without recomputation; NULL: this is one */

    plan_value          *value;
    plan_mem            *mem;
    int64_t              n_mems, cap_mems;
    diffad_launch       *launch;               /* of a run; moved into `frozen` in the end */
    int64_t              n_launches, cap_launches;
    diffad_launch       *prologue;
    int64_t              n_prologue, cap_prologue;
    plan_pack           *pack;
    int64_t              n_packs, cap_packs;
    plan_step           *step;
    int64_t              n_steps, cap_steps;
    int32_t             *step_of;              /* by node: its step; -1: dead */
    int32_t             *fused_into;           /* by node: the one whose launches compute it; -1: its own */
    bool                 is_packing;
    const char          *next_way;             /* while emitting: rest of options.node_ways */

    diffad_place        *place;
    cl_mem              *block;                /* activations and work space: the device's, or with no_sharing its own */
    size_t              *block_bytes;
    int64_t              n_blocks;
    diffad_tensor      **owned;                /* tensors of inputs and outputs */
    int32_t             *owned_value;
    int64_t              n_owned, cap_owned;
    diffad_frozen       *frozen, *frozen_prologue;
    cl_event            *event;                /* of the last run, when the device profiles */
    diffad_tensor       *queue;                /* of cl/common/queue.cl, for all launches: they run one after another */
    int32_t              queue_mem;            /* -1: none asked for it */
    size_t               shared_bytes, fixed_bytes;
    bool                 has_run;
    bool                 is_checked;           /* DIFFAD_CHECK */
};

/* Bytes of canary on each side of a memory object. */
static inline int64_t plan_margin(const diffad_plan *p) { return p->options.guard ? PLAN_GUARD_BYTES : 0; }

/* A plan of r->graph (taken, *r is empty afterwards) where each node does as its origin in `model` does; r NULL: of g. */
diffad_status plan_make(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *o, const diffad_plan *model,
                        recompute_result *r, diffad_plan **out);
/* fit.c: a plan within options->max_bytes. */
diffad_status plan_fit(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *options, diffad_plan **out);

diffad_status plan_new_mem(diffad_plan *p, plan_mem_kind kind, int64_t bytes, int element, int32_t value, int32_t *out);
diffad_status plan_add_launch(diffad_plan *p, const diffad_launch *l);
/* ways.c. The way of a node and its variant: recorded, forced, tuned, or the first that fits; way NULL: none does, with a
 * reason in the thread's detail where it was recorded. And what a table of tuned ways calls the node: op, precision, operands
 * ("=" before one that stays as it is from run to run), attributes. */
typedef struct plan_choice { const diffad_way *way; int variant; } plan_choice;
enum { PLAN_KEY_BYTES = 512 };
plan_choice plan_choose_way(const diffad_emit *e, const diffad_node *n);
void        plan_key(const diffad_plan *p, const diffad_node *n, char key[PLAN_KEY_BYTES]);
/* Whether this device has way w for node n. The way and variant that `text` ("portable", "portable/2") names; false: none that
 * fits. */
bool        plan_way_fits(const diffad_node *n, const diffad_caps *caps, const diffad_way *w);
bool        plan_way_named(const diffad_node *n, const diffad_caps *caps, const char *text, size_t length, plan_choice *out);
/* operand.c. A tensor of the plan's own for an input or output; the memory of an input or bound value, when it is first
 * seen; the queue's; operands of a node, in the layout asked for. */
diffad_status plan_own_tensor(diffad_plan *p, const diffad_value *v, int32_t *mem);
diffad_status plan_queue(diffad_plan *p, int32_t *mem);
diffad_status plan_place_leaf(diffad_plan *p, const diffad_value *v);
diffad_status plan_operand_in(diffad_emit *e, const diffad_value *v, bool blocked, diffad_operand *out);
diffad_status plan_operand_out(diffad_emit *e, const diffad_node *n, int k, bool blocked);
/* Output k of n where nodes up to `last` were fused into it: the memory of last's result stands for all between. */
diffad_status plan_operand_fused(diffad_emit *e, const diffad_node *n, const diffad_node *last, bool blocked);
/* fuse.c. Before n is emitted by way w: which of the nodes behind it become tails of its launches; their summands as operands in
 * e->tail. Returns the node whose output the launches then make: n itself when there are none. */
diffad_status plan_fuse(diffad_emit *e, const diffad_node *n, const plan_step *s, const diffad_node **last);
/* memory.c: buffers and places, but for packed parameters. */
diffad_status plan_lay_out(diffad_plan *p);
void          plan_release_blocks(diffad_plan *p);
/* pack.c: memory and launches of packed parameters; with keeps_packed_only they are packed here. */
diffad_status plan_freeze_packs(diffad_plan *p, const uint8_t *element);
diffad_status plan_run_packs(diffad_plan *p);
void          plan_release_packs(diffad_plan *p);
/* exec.c: enqueues launches [first, first + count) of a run. */
diffad_status plan_enqueue(diffad_plan *p, int64_t first, int64_t count);
diffad_status plan_read(diffad_plan *p, const diffad_place *from, int64_t before, size_t bytes, void *to);
diffad_status plan_fill_guards(diffad_plan *p);
bool          plan_env_is_on(const char *name);
/* check.c: a run that compares every node with its reference (DIFFAD_CHECK=1). */
diffad_status plan_run_checked(diffad_plan *p);

#endif
