/* norm.h: what group and batch norm share: walking a map in chunks (cl/common/slab.cl) and their gradient. */
#ifndef DIFFAD_NORM_H
#define DIFFAD_NORM_H

#include "op/ops.h"

#include <math.h>

typedef struct norm_walk {
    int     block, vec, group;                       /* channel block, floats in a vector, work-items in a group */
    int64_t n, c, padded, units, chunks, per;        /* padded: channels with the last block's padding */
} norm_walk;

norm_walk diffad_norm_walk(const diffad_emit *e, const diffad_value *x, int block);
/* Work space for `fields` numbers a lane of every chunk. */
diffad_status diffad_norm_part(diffad_emit *e, const norm_walk *s, int fields, int32_t *mem);
/* A kernel of norm.cl or norm_grad.cl; `chunks`: one work-group a chunk, else the caller sets the items. */
diffad_launch diffad_norm_launch(const norm_walk *s, const char *program, const char *kernel, diffad_activation act);
void          diffad_norm_over_chunks(diffad_launch *l, const norm_walk *s);

/* Moments of every chunk of input 0 -> *part (3 fields). */
diffad_status diffad_norm_moments(diffad_emit *e, const norm_walk *s, int32_t *part);
/* Output 0 = act(normalised input 0); coef has `samples` rows of 4 * padded. */
diffad_status diffad_norm_apply(diffad_emit *e, const norm_walk *s, int32_t coef, bool is_per_sample,
                                diffad_activation act);

/* Whether one work-item a channel block does the whole of a group norm, instead of work-items for its chunks: the same bits, memory read
 * once. It wants blocks for every thread, and groups that do not straddle them. */
bool diffad_norm_by_block(const diffad_emit *e, const norm_walk *s, int groups);

/* What the gradients of the family have in common: inputs x, w, b, mean, rstd (or variance), dy; outputs dx, dw, db. */
typedef enum norm_share { NORM_GROUP, NORM_BATCH, NORM_GIVEN } norm_share;
diffad_status diffad_norm_emit_grad(diffad_emit *e, const diffad_node *n, norm_share share);
void          diffad_norm_ref_grad(const diffad_ref *r, norm_share share);
diffad_status diffad_norm_infer_grad(const diffad_node *n, diffad_infer_out *out);
/* w and b are [C], x is [N,C,...]. */
diffad_status diffad_norm_check(const diffad_node *n);

static inline double diffad_norm_act(diffad_activation act, double h)
{
    return act == DIFFAD_ACT_SILU ? h / (1.0 + exp(-h)) : act == DIFFAD_ACT_RELU ? fmax(h, 0.0) : h;
}

#endif
