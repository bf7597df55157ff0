/* emit.h: how an op puts its launches into a plan.
 *
 *     static diffad_status emit(diffad_emit *e, const diffad_node *n)
 *     {
 *         diffad_launch l = diffad_launch_make("silu", "silu_fwd", items, 64);
 *         diffad_launch_def(&l, "B", e->in[0].block);
 *         diffad_emit_in(&l, e, 0);          adds `__global const float *x, ulong x_off`
 *         diffad_emit_out(&l, e, 0);
 *         return diffad_emit_launch(e, &l);
 *     }
 *
 * e->in[i] and e->out[k] say where operand i lies and in which layout: block 1 is row-major, B > 1 is [N, C/B, H, W, B]. */
#ifndef DIFFAD_EMIT_H
#define DIFFAD_EMIT_H

#include "blas/gemm.h"
#include "graph/op.h"
#include "kernel/launch.h"

typedef struct diffad_operand {
    int32_t mem;        /* -1: absent */
    int64_t offset;     /* elements */
    int     block;
} diffad_operand;

struct diffad_plan;

struct diffad_emit {
    struct diffad_plan *plan;
    const diffad_caps  *caps;
    diffad_operand      in[DIFFAD_MAX_IN], out[DIFFAD_MAX_OUT];
    /* What the node's way takes along (its `tails`): the summand of each, mem -1 where there is none. Output 0 is then the
     * sum, and a bias is [C], or [N,C] where is_per_sample. Summands never share output 0's memory. */
    diffad_operand      tail[DIFFAD_TAILS];
    bool                is_per_sample;
    int                 variant;     /* of the way: below what its `variants` told, or -1: what it finds best */
};

/* Elements a value takes in a layout: padded channels count. */
int64_t diffad_layout_count(const diffad_value *v, int block);

/* Optional inputs that are absent pass operand `other` instead (kernels then do not read it). */
void diffad_emit_in(diffad_launch *l, const diffad_emit *e, int i);
void diffad_emit_in_or(diffad_launch *l, const diffad_emit *e, int i, int other);
void diffad_emit_out(diffad_launch *l, const diffad_emit *e, int k);
/* An input the node writes (bit set in op->writes), or an output written in more than one launch. */
void diffad_emit_in_written(diffad_launch *l, const diffad_emit *e, int i);
void diffad_emit_out_updated(diffad_launch *l, const diffad_emit *e, int k);
diffad_status diffad_emit_launch(diffad_emit *e, const diffad_launch *l);

/* Emits l, whose kernel takes the places of its range from a queue (cl/common/queue.cl): adds the last arguments, and a few groups
 * stand for the range. */
diffad_status diffad_emit_queued(diffad_emit *e, diffad_launch *l);

/* Work space for this node's launches; `element` bytes of one element. */
diffad_status diffad_emit_scratch(diffad_emit *e, int64_t count, int element, int32_t *mem);

/* A packed form of input i, named by `key` and shared by all nodes that ask for the same one. For a parameter it is made
 * again only when the parameter changed. When *fresh, the caller emits the launches that fill *mem (count floats) and
 * then calls diffad_emit_pack_end. */
diffad_status diffad_emit_pack(diffad_emit *e, const diffad_node *n, int i, const char *key, int64_t count, int32_t *mem, bool *fresh);
void          diffad_emit_pack_end(diffad_emit *e);

/* Copies v from one layout to the other (blocks may be equal: a plain copy). */
diffad_status diffad_emit_reorder(diffad_emit *e, const diffad_value *v, const diffad_operand *from, const diffad_operand *to);

/* A matrix product (blas/gemm.h). a, b: which of the node's inputs the operands are, or -1: the packed form of a parameter
 * is then kept while it does not change. g->way yields to DIFFAD_WAYS "gemm=..." unless the op's own way is forced. */
diffad_status diffad_emit_gemm(diffad_emit *e, const diffad_node *n, const diffad_gemm *g, int a, int b);

/* The way forced for `op` by options or DIFFAD_WAYS, or NULL. */
const char *diffad_emit_forced(const diffad_emit *e, const char *op);

#endif
