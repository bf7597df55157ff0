/* graph.h: what is to be computed, without a device.
 *
 *     diffad_graph *g;
 *     DIFFAD_TRY(diffad_graph_create(&g));
 *     diffad_val x = diffad_input(g, "x", DIFFAD_F32, shape);
 *     diffad_val y = diffad_silu(g, x);                      builders stand in ops.h
 *     diffad_output(g, "y", y);
 *     DIFFAD_TRY(diffad_graph_status(g));                    or leave it to diffad_plan_create
 *
 * Builders return a value handle. A bad call yields an invalid handle that later builders pass on; the first reason
 * waits in the graph. The order of the calls is the order of execution: state that a node writes (running statistics,
 * optimiser state) is seen by nodes that were added after it. */
#ifndef DIFFAD_GRAPH_H
#define DIFFAD_GRAPH_H

#include "diffad/tensor.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct diffad_graph diffad_graph;
typedef struct diffad_val { int32_t id; } diffad_val;       /* id < 0: invalid */

DIFFAD_API diffad_status diffad_graph_create(diffad_graph **out);
DIFFAD_API void          diffad_graph_destroy(diffad_graph *g);
DIFFAD_API diffad_status diffad_graph_status(const diffad_graph *g);     /* the first failure, with its detail */

/* A value the caller writes before a run; its tensor belongs to the plan (diffad_plan_tensor). */
DIFFAD_API diffad_val diffad_input(diffad_graph *g, const char *name, diffad_dtype type, diffad_shape shape);
/* A value in a persistent tensor (parameter, running statistic, optimiser state, a latent that another plan wrote).
 * *slot must hold the tensor when a plan is created; type and shape must agree. */
DIFFAD_API diffad_val diffad_bound(diffad_graph *g, const char *name, diffad_dtype type, diffad_shape shape, diffad_tensor **slot);
/* Marks v as a result: it keeps its memory, plain row-major, and is read by name. */
DIFFAD_API void diffad_output(diffad_graph *g, const char *name, diffad_val v);
/* Writes src over the bound value dst (same shape and type). */
DIFFAD_API void diffad_assign(diffad_graph *g, diffad_val dst, diffad_val src);

/* v itself; no gradient passes. */
DIFFAD_API diffad_val diffad_stop_gradient(diffad_graph *g, diffad_val v);
/* Appends nodes for d(sum(of * seed))/d(wrt[i]); an invalid seed means ones. out[i] is invalid where `of` does not depend
 * on wrt[i]. May be called several times in one graph. */
DIFFAD_API void diffad_graph_grad(diffad_graph *g, diffad_val of, diffad_val seed, const diffad_val *wrt, int n, diffad_val *out);

/* A second name for v, such as a module's path; for finding it again. */
DIFFAD_API void       diffad_name(diffad_graph *g, diffad_val v, const char *name);
DIFFAD_API diffad_val diffad_find(const diffad_graph *g, const char *name);       /* invalid: absent */

DIFFAD_API bool                diffad_is_valid(diffad_val v);
DIFFAD_API const diffad_shape *diffad_val_shape(const diffad_graph *g, diffad_val v);   /* a scalar's for an invalid v */
DIFFAD_API diffad_dtype        diffad_val_type(const diffad_graph *g, diffad_val v);

static inline diffad_shape diffad_shape4(int64_t n, int64_t c, int64_t h, int64_t w)
{
    diffad_shape s = { 4, { n, c, h, w, 0 } };
    return s;
}
static inline diffad_shape diffad_shape1(int64_t n)
{
    diffad_shape s = { 1, { n, 0, 0, 0, 0 } };
    return s;
}
static inline diffad_shape diffad_shape2(int64_t n, int64_t m)
{
    diffad_shape s = { 2, { n, m, 0, 0, 0 } };
    return s;
}
static inline diffad_shape diffad_shape0(void)
{
    diffad_shape s = { 0, { 0, 0, 0, 0, 0 } };
    return s;
}
static inline diffad_val diffad_none(void)
{
    diffad_val v = { -1 };
    return v;
}

#ifdef __cplusplus
}
#endif

#endif
