/* ops.h: the list of ops. From it follow the test matrix, `diffad ops`, `diffad bench` and the README's table. The builders'
 * prototypes stand in include/diffad/ops.h. A new op is its file in src/op, its kernels in cl, one line here and one there. */
#ifndef DIFFAD_OPS_INTERNAL_H
#define DIFFAD_OPS_INTERNAL_H

#include "base/size.h"
#include "diffad/ops.h"
#include "graph/emit.h"
#include "graph/op.h"

#define DIFFAD_OP_LIST(X)                                                                       \
    /* movement */                                                                              \
    X(fill) X(stop_gradient) X(reorder)                                                                   \
    /* pointwise: unary.c, binary.c */                                                          \
    X(silu) X(silu_grad)                                                                        \
    X(add)

#define DIFFAD_OP_DECLARE(name) extern const diffad_op diffad_op_##name;
DIFFAD_OP_LIST(DIFFAD_OP_DECLARE)
#undef DIFFAD_OP_DECLARE

/* All ops, in the order of the list; *count of them. */
const diffad_op *const *diffad_op_table(int *count);
const diffad_op        *diffad_op_find(const char *name);

/* Work-items for one-dimensional kernels: 64 everywhere. */
enum { DIFFAD_GROUP = 64 };

/* A pointwise cost: `flops` per element, every operand touched once. */
static inline diffad_cost diffad_cost_pointwise(const diffad_node *n, double flops)
{
    double bytes = 0;
    for (int i = 0; i < n->n_in; i++)
        bytes += n->in[i] ? (double)diffad_numel(n->in[i]) * (double)diffad_dtype_bytes(n->in[i]->type) : 0;
    for (int k = 0; k < n->op->n_out; k++)
        bytes += (double)diffad_numel(n->out[k]) * (double)diffad_dtype_bytes(n->out[k]->type);
    return (diffad_cost){ flops * (double)(n->op->n_out ? diffad_numel(n->out[0]) : diffad_numel(n->in[0])), bytes };
}

#endif
