/* plan.h: a graph made runnable on one device.
 *
 *     diffad_plan *p;
 *     DIFFAD_TRY(diffad_plan_create(dev, g, NULL, &p));      allocates, compiles, freezes arguments
 *     DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(p, "x"), data, bytes));
 *     DIFFAD_TRY(diffad_plan_run(p));                        enqueues; does not wait
 *     DIFFAD_TRY(diffad_tensor_read(diffad_plan_tensor(p, "y"), data, bytes));     waits
 *     diffad_plan_destroy(p);                                NULL is fine
 *
 * The plan borrows device and graph: both outlive it. Work space is shared by all plans of a device: create the largest
 * plan first. */
#ifndef DIFFAD_PLAN_H
#define DIFFAD_PLAN_H

#include "diffad/device.h"
#include "diffad/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct diffad_plan diffad_plan;

typedef struct diffad_plan_options {
    const char *ways;           /* "conv2d=im2col,gemm=clblast": forces ways; added to DIFFAD_WAYS */
    const char *node_ways;      /* as diffad_plan_ways gave them for the same graph: each node takes its recorded way, so that
                                   later tuning does not change the bits; NULL */
    bool        no_fusion;      /* each node by launches of its own (DIFFAD_FUSE=0, DIFFAD_CHECK=1 too); the bits are the same */
    bool        no_sharing;     /* every value keeps its own memory (for checks) */
    bool        keeps_packed_only;   /* parameters will not change: packed at once, and plain tensors of bound values that then
                                        nothing reads give up their memory (they can no longer be read or written) */
    bool        sizes_only;     /* only what diffad_plan_bytes and the like tell: nothing is allocated, built or run, and bound
                                   values need no tensors */
    size_t      max_bytes;      /* 0: no matter. Else what diffad_plan_bytes and diffad_plan_fixed_bytes may tell together: gradients
                                   make forward values again instead of keeping them, as few as it takes; the results are the
                                   same bits. MEMORY when even the smallest plan is larger */
    bool        guard;          /* 256 bytes of canary around every memory object (for checks) */
} diffad_plan_options;

/* options NULL: defaults. Errors: the graph's first failure, SHAPE, UNSUPPORTED (no way fits), MEMORY, DEVICE. */
DIFFAD_API diffad_status diffad_plan_create(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *options, diffad_plan **out);
DIFFAD_API void          diffad_plan_destroy(diffad_plan *p);
DIFFAD_API diffad_status diffad_plan_run(diffad_plan *p);

/* The tensor of an input or output; NULL when there is none of that name. It belongs to the plan. */
DIFFAD_API diffad_tensor *diffad_plan_tensor(const diffad_plan *p, const char *name);

/* Bytes of activations and work space after sharing (other plans may use the same); bytes of inputs, outputs and packed
 * parameters besides, and of what launches share their work through. */
DIFFAD_API size_t diffad_plan_bytes(const diffad_plan *p);
DIFFAD_API size_t diffad_plan_fixed_bytes(const diffad_plan *p);
DIFFAD_API int    diffad_plan_launches(const diffad_plan *p);
DIFFAD_API double diffad_plan_flops(const diffad_plan *p);
/* Seconds of a run where each node takes what is longer of its arithmetic and its memory traffic at these rates. */
DIFFAD_API double diffad_plan_seconds(const diffad_plan *p, double flops_per_second, double bytes_per_second);
DIFFAD_API diffad_device *diffad_plan_device(const diffad_plan *p);

/* One line per node: op, way, kernel, geometry, bytes, flops; after a profiled run (DIFFAD_PROFILE=1 when the device was
 * opened) microseconds and percent. New memory, released with diffad_memory_release. NULL: memory. */
DIFFAD_API char *diffad_plan_dump(const diffad_plan *p);
/* "op:way" of each node of the graph, comma-separated, whatever is made again; equal texts mean equal bits on one device and build. New memory. */
DIFFAD_API char *diffad_plan_ways(const diffad_plan *p);
/* What was fused: "conv2d+add 16, conv2d+bias 17", each a node and what its launches compute besides, and how often. New memory. */
DIFFAD_API char *diffad_plan_fusions(const diffad_plan *p);
/* After a profiled run: events as a Chrome trace, atomically. */
DIFFAD_API diffad_status diffad_plan_trace(const diffad_plan *p, const char *path);

/* The canaries of a plan made with `guard`: false, and the value's name in `where`, when a kernel wrote out of bounds. */
DIFFAD_API diffad_status diffad_plan_check_guards(diffad_plan *p, bool *intact, char *where, size_t bytes);
/* With `no_sharing`: whether the padding lanes of every value in a blocked layout are zero after a run. */
DIFFAD_API diffad_status diffad_plan_check_lanes(diffad_plan *p, bool *zero, char *where, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
