/* ops.h: the list of ops. From it follow the test matrix, `diffad ops`, `diffad bench` and the README's table. The builders'
 * prototypes stand in include/diffad/ops.h. A new op is its file in src/op, its kernels in cl, one line here and one there. */
#ifndef DIFFAD_OPS_INTERNAL_H
#define DIFFAD_OPS_INTERNAL_H

#include "base/size.h"
#include "diffad/ops.h"
#include "graph/emit.h"
#include "graph/op.h"

#define DIFFAD_OP_LIST(X)                                                                       \
    /* resampling, pooling, reductions */                                                       \
    X(upsample_nearest2) X(upsample_nearest2_grad) X(upsample_bilinear) X(upsample_bilinear_grad) \
    X(max_pool) X(max_pool_grad) X(avg_pool) X(avg_pool_grad)                                   \
    X(sum) X(mean) X(mean_spatial) X(max_all) X(sum_squares) X(spread)                          \
    /* diffusion */                                                                             \
    X(time_embedding) X(gaussian_sample) X(gaussian_sample_grad) X(q_sample) X(q_sample_grad)   \
    X(ddim_step) X(ddpm_step)                                                                   \
    /* losses, optimisation */                                                                  \
    X(mse) X(mse_grad) X(l1_sum) X(l1_sum_grad) X(kl) X(kl_grad) X(hinge_side) X(hinge_side_grad) \
    X(focal) X(focal_grad) X(ssim_filter) X(ssim_filter_grad) X(ssim) X(ssim_grad) X(ssim_range) \
    X(adam) X(ema) X(sums_of_squares) X(norm_of_squares) X(clip_scale)                          \
    /* training */                                                                              \
    X(adaptive_weight) X(unscale) X(update_scale)                                               \
    /* movement */                                                                              \
    X(fill) X(stop_gradient) X(reorder) X(reshape) X(concat) X(slice) X(slice_grad)             \
    X(pad) X(assign) X(cast)                                                                    \
    /* pointwise: unary.c, binary.c */                                                          \
    X(silu) X(silu_grad) X(relu) X(relu_grad) X(leaky_relu) X(leaky_relu_grad)                  \
    X(tanh) X(tanh_grad) X(sigmoid) X(sigmoid_grad) X(exp) X(gelu) X(gelu_grad)                 \
    X(abs) X(abs_grad) X(square) X(square_grad) X(clamp) X(clamp_grad) X(affine)                \
    X(add) X(sub) X(mul) X(scale_by) X(bias) X(bias_grad) X(dropout) X(randn)                   \
    /* products */                                                                              \
    X(linear) X(linear_bias_grad) X(matmul) X(conv2d) X(conv2d_dx) X(conv2d_dw)                  \
    /* normalisation: group_norm.c, batch_norm.c */                                             \
    X(attention) X(attention_grad) X(group_norm) X(group_norm_grad) X(batch_norm_train) X(batch_norm_again) X(batch_norm_train_grad) X(batch_norm) X(batch_norm_grad)\
    /* layer_norm.c, unit_channels.c, softmax.c */                                              \
    X(layer_norm) X(layer_norm_grad) X(unit_channels) X(unit_channels_grad) X(softmax) X(softmax_grad)

#define DIFFAD_OP_DECLARE(name) extern const diffad_op diffad_op_##name;
DIFFAD_OP_LIST(DIFFAD_OP_DECLARE)
#undef DIFFAD_OP_DECLARE

/* All ops, in the order of the list; *count of them. */
const diffad_op *const *diffad_op_table(int *count);
const diffad_op        *diffad_op_find(const char *name);

/* Work-items for one-dimensional kernels: 64 everywhere. */
enum { DIFFAD_GROUP = 64 };

/* Floats one work-item of a pointwise kernel handles (VEC): the most of 16 (CPUs only), 4 and 1 that divide `count`. */
static inline int64_t diffad_vector_width(const diffad_caps *caps, int64_t count)
{
    return count % 16 == 0 && caps->local_mem_is_cheap ? 16 : count % 4 == 0 ? 4 : 1;
}

/* For infer: all inputs are float32. */
static inline diffad_status diffad_need_f32(const diffad_node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && n->in[i]->type != DIFFAD_F32)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: input %d is %s, f32 is needed", n->op->name, i, diffad_dtype_name(n->in[i]->type));
    return DIFFAD_OK;
}

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
