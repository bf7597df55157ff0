/* skeleton.h: what emitters of several ops share: pointwise launches, planes of maps, reductions in a fixed order. */
#ifndef DIFFAD_SKELETON_H
#define DIFFAD_SKELETON_H

#include "op/ops.h"

/* Kernel files with several kernels build one at a time (storing a program compiles all it holds): `part` is the
 * kernel's number in its file, the constant PART. One work-item for VEC elements; the caller adds operands and then
 * *vectors as the count. */
diffad_launch diffad_pointwise_launch(const diffad_emit *e, const char *program, const char *kernel, int part,
                                      int64_t count, int64_t *vectors);

/* Channels of all samples, or blocks of channels: a map in either layout is [planes, H, W, block]. */
int64_t diffad_map_planes(const diffad_value *map, int block);
/* `items` work-items on a map's lanes (VEC = block). */
diffad_launch diffad_map_launch(int block, const char *program, const char *kernel, int part, int64_t items);
/* One of them for a pixel; the caller adds operands and sides, then *pixels as an int. */
diffad_launch diffad_pixel_launch(const diffad_value *map, int block, const char *program, const char *kernel, int part,
                                  int64_t *pixels);
/* What map ops' infer functions begin with: input i is f32 [N,C,H,W]. */
diffad_status diffad_expect_map(const diffad_node *n, int i);

/* Sums (or maxima) of `rows` rows of `count` elements, row by row or of all together: groups of work-items reduce
 * pieces of a row with a kernel of the op's own (cl/common/reduce.cl), one more launch reduces the pieces.
 *
 *     diffad_reduction r = diffad_reduction_make(e, rows, count);
 *     diffad_launch    l = diffad_reduction_launch(&r, "loss", "mse", 1);
 *     diffad_emit_in(&l, e, 0);                              the kernel's own arguments first
 *     return diffad_reduction_emit(e, &r, &l, scale, add);   output 0 = add + scale * sum */
typedef struct diffad_reduction {
    int64_t rows, vectors, width, group, per_item, parts;     /* pieces of a row */
    bool    is_max, joins_rows;                               /* set after _make: maximum; one result for all rows */
} diffad_reduction;
diffad_reduction diffad_reduction_make(const diffad_emit *e, int64_t rows, int64_t count);
diffad_launch    diffad_reduction_launch(const diffad_reduction *r, const char *program, const char *kernel, int part);
diffad_status diffad_reduction_emit(diffad_emit *e, const diffad_reduction *r, diffad_launch *l, double scale,
                                    double add);

/* `flops` per element of input 0, which is read once. */
static inline diffad_cost diffad_cost_reduction(const diffad_node *n, double flops)
{
    const diffad_cost c = diffad_cost_pointwise(n, 0);
    return (diffad_cost){ flops * (double)diffad_numel(n->in[0]), c.bytes };
}

#endif
