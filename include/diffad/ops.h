/* ops.h: builders of graph nodes. They read as mathematics; shapes are logical (N,C,H,W), types float32 unless said.
 * A bad call yields an invalid handle and the graph remembers the first reason. Section numbers are those of the method's
 * description in the README's sources. */
#ifndef DIFFAD_OPS_H
#define DIFFAD_OPS_H

#include "diffad/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- movement: no arithmetic ---- */

DIFFAD_API diffad_val diffad_fill(diffad_graph *g, diffad_shape shape, double value);
/* x in the device's channel-blocked layout where it has one: changes where values lie, not what they are. x [N,C,H,W] */
DIFFAD_API diffad_val diffad_reorder(diffad_graph *g, diffad_val x);
/* The same elements in row-major order under another shape of equal count; no copy. */
DIFFAD_API diffad_val diffad_reshape(diffad_graph *g, diffad_val x, diffad_shape shape);
/* Along axis 1: n values of 1..8 that agree in all other sides; rank 2..4. */
DIFFAD_API diffad_val diffad_concat(diffad_graph *g, int n, const diffad_val *x);
/* Channels from .. from+count-1 (axis 1), rank 2..4. */
DIFFAD_API diffad_val diffad_slice(diffad_graph *g, diffad_val x, int64_t from, int64_t count);
/* Zeros around [N,C,H,W]; negative amounts cut away. */
DIFFAD_API diffad_val diffad_pad(diffad_graph *g, diffad_val x, int left, int right, int top, int bottom);
/* Conversion: float to half and bfloat16 rounds to nearest even; to u8 and i32 rounds to nearest, saturating. */
DIFFAD_API diffad_val diffad_cast(diffad_graph *g, diffad_val x, diffad_dtype type);

/* ---- pointwise, any shape ---- */

DIFFAD_API diffad_val diffad_silu(diffad_graph *g, diffad_val x);                       /* x sigmoid(x) */
DIFFAD_API diffad_val diffad_relu(diffad_graph *g, diffad_val x);                       /* max(x,0); gradient 0 at 0 */
DIFFAD_API diffad_val diffad_leaky_relu(diffad_graph *g, diffad_val x, double slope);   /* gradient `slope` at 0 */
DIFFAD_API diffad_val diffad_tanh(diffad_graph *g, diffad_val x);
DIFFAD_API diffad_val diffad_sigmoid(diffad_graph *g, diffad_val x);
DIFFAD_API diffad_val diffad_exp(diffad_graph *g, diffad_val x);
DIFFAD_API diffad_val diffad_gelu(diffad_graph *g, diffad_val x);                       /* exact, with erf */
DIFFAD_API diffad_val diffad_abs(diffad_graph *g, diffad_val x);                        /* gradient 0 at 0 */
DIFFAD_API diffad_val diffad_square(diffad_graph *g, diffad_val x);
DIFFAD_API diffad_val diffad_clamp(diffad_graph *g, diffad_val x, double lo, double hi); /* gradient 0 outside */
DIFFAD_API diffad_val diffad_affine(diffad_graph *g, diffad_val x, double a, double b); /* a x + b */
DIFFAD_API diffad_val diffad_add(diffad_graph *g, diffad_val a, diffad_val b);          /* equal shapes */
DIFFAD_API diffad_val diffad_sub(diffad_graph *g, diffad_val a, diffad_val b);
DIFFAD_API diffad_val diffad_mul(diffad_graph *g, diffad_val a, diffad_val b);
/* x * s for a scalar value s (one element) */
DIFFAD_API diffad_val diffad_scale_by(diffad_graph *g, diffad_val x, diffad_val s);
/* x [N,C,...] + b, b [C] or [N,C] */
DIFFAD_API diffad_val diffad_bias(diffad_graph *g, diffad_val x, diffad_val b);
/* x with elements dropped with probability p and the rest scaled by 1/(1-p). key i32 [2]: { seed, step }, `salt` tells
 * dropouts of one network apart: Philox, so the gradient draws the same mask again. */
DIFFAD_API diffad_val diffad_dropout(diffad_graph *g, diffad_val x, diffad_val key, double p, uint32_t salt);
/* N(0,1) of the given shape [N,...]; key i32 [N,4] rows { seed low, seed high, step, sample }: sample n of purpose
 * `purpose` (base/rng.h) gets the same bits as the host's diffad_rng with that key. */
DIFFAD_API diffad_val diffad_randn(diffad_graph *g, diffad_val key, diffad_shape shape, uint32_t purpose);

/* ---- products ---- */

/* x [M,K] w [N,K] b [N] or invalid -> [M,N] = x w^T + b */
DIFFAD_API diffad_val diffad_linear(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b);
typedef struct diffad_matmul_attr { int transpose_a, transpose_b; double alpha; } diffad_matmul_attr;
/* alpha op(a) op(b): a [..,M,K] b [..,K,N] after transposition, rank 2 or 3 with equal batch -> [..,M,N] */
DIFFAD_API diffad_val diffad_matmul(diffad_graph *g, diffad_val a, diffad_val b, const diffad_matmul_attr *attr);

typedef struct diffad_conv_attr { int stride, dilation, left, right, top, bottom; } diffad_conv_attr;
/* x [N,I,H,W] w [O,I,kh,kw] b [O] or invalid -> [N,O,H',W'], cross-correlation, zero padding */
DIFFAD_API diffad_val diffad_conv2d(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, const diffad_conv_attr *attr);

/* ---- normalisation ---- */

typedef enum diffad_activation { DIFFAD_ACT_NONE, DIFFAD_ACT_SILU, DIFFAD_ACT_RELU } diffad_activation;
typedef struct diffad_norm_attr { int groups; double eps; diffad_activation act; double momentum; } diffad_norm_attr;
/* x [N,C,H,W] w,b [C]; act(group norm), biased variance. groups divides C. */
DIFFAD_API diffad_val diffad_group_norm(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, const diffad_norm_attr *attr);
/* act(batch norm) with the batch's statistics (biased variance); running_mean and running_var (bound values [C]) are
 * updated with attr->momentum, the variance unbiased (with one value per channel: the biased one). attr->groups is not read. */
DIFFAD_API diffad_val diffad_batch_norm_train(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, diffad_val running_mean,
                                              diffad_val running_var, const diffad_norm_attr *attr);
/* With the running statistics, which are constant in the backward pass. */
DIFFAD_API diffad_val diffad_batch_norm(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, diffad_val running_mean,
                                        diffad_val running_var, const diffad_norm_attr *attr);
/* Over the last axis; x [...,D] w,b [D] */
DIFFAD_API diffad_val diffad_layer_norm(diffad_graph *g, diffad_val x, diffad_val w, diffad_val b, double eps);
/* x / (sqrt(sum over channels of x^2) + eps), per pixel; x [N,C,H,W] (LPIPS) */
DIFFAD_API diffad_val diffad_unit_channels(diffad_graph *g, diffad_val x, double eps);
/* Over `axis` (negative counts from the end), rank 1..4 */
DIFFAD_API diffad_val diffad_softmax(diffad_graph *g, diffad_val x, int axis);

/* ---- attention ---- */

typedef struct diffad_attention_attr { int heads; double scale; } diffad_attention_attr;
/* qkv [N,3C,H,W], channels by head: q, k, v (C/heads each) of head 0, then of head 1, ... -> [N,C,H,W];
 * softmax over keys of scale q.k, streaming: no T x T buffer, T = H W. */
DIFFAD_API diffad_val diffad_attention(diffad_graph *g, diffad_val qkv, const diffad_attention_attr *attr);

/* ---- resampling and pooling, [N,C,H,W] ---- */

DIFFAD_API diffad_val diffad_upsample_nearest2(diffad_graph *g, diffad_val x);
typedef struct diffad_bilinear_attr { int height, width, align_corners; } diffad_bilinear_attr;
/* To height x width. align_corners: src = i (n-1)/(m-1), a side of length 1 is copied; else half-pixel centres. */
DIFFAD_API diffad_val diffad_upsample_bilinear(diffad_graph *g, diffad_val x, const diffad_bilinear_attr *attr);
typedef struct diffad_pool_attr { int kernel, stride, pad; } diffad_pool_attr;
/* No padding; odd rows and columns are dropped; the gradient goes to the first maximum in row-major order. */
DIFFAD_API diffad_val diffad_max_pool(diffad_graph *g, diffad_val x, const diffad_pool_attr *attr);
/* Zero padding counts: divides by kernel^2. */
DIFFAD_API diffad_val diffad_avg_pool(diffad_graph *g, diffad_val x, const diffad_pool_attr *attr);

/* ---- reductions, in a fixed order ---- */

DIFFAD_API diffad_val diffad_sum(diffad_graph *g, diffad_val x);           /* -> [] */
DIFFAD_API diffad_val diffad_mean(diffad_graph *g, diffad_val x);          /* -> [] */
DIFFAD_API diffad_val diffad_mean_spatial(diffad_graph *g, diffad_val x);  /* [N,C,H,W] -> [N,C] */
DIFFAD_API diffad_val diffad_max_all(diffad_graph *g, diffad_val x);       /* [N,...] -> [N]; no gradient */
DIFFAD_API diffad_val diffad_sum_squares(diffad_graph *g, diffad_val x);   /* -> []; no gradient */

/* ---- diffusion ---- */

/* t i32 [N] -> [N,dim]: cos then sin of t exp(-ln(10000) i / (dim/2)); one zero column if dim is odd */
DIFFAD_API diffad_val diffad_time_embedding(diffad_graph *g, diffad_val t, int dim);
/* mean + exp(logvar/2) eps, equal shapes */
DIFFAD_API diffad_val diffad_gaussian_sample(diffad_graph *g, diffad_val mean, diffad_val logvar, diffad_val eps);
/* a[t_n] x0 + b[t_n] eps; x0, eps [N,...], t i32 [N], a, b [T]: sqrt(abar), sqrt(1-abar) */
DIFFAD_API diffad_val diffad_q_sample(diffad_graph *g, diffad_val x0, diffad_val eps, diffad_val t, diffad_val a, diffad_val b);
/* coef [5]: sqrt(abar_t), sqrt(1-abar_t), sqrt(abar_prev), sqrt(1-abar_prev-sigma^2), sigma. noise may be invalid (sigma 0).
 * Output 0: the next x; output 1: x0. */
DIFFAD_API diffad_val diffad_ddim_step(diffad_graph *g, diffad_val x, diffad_val eps, diffad_val noise, diffad_val coef, diffad_val *x0);
/* t i32 [N]; table [T,5] rows: sqrt(1/abar), sqrt(1/abar-1), posterior coef1, coef2, [t>0] exp(logvar/2) */
DIFFAD_API diffad_val diffad_ddpm_step(diffad_graph *g, diffad_val x, diffad_val eps, diffad_val noise, diffad_val t, diffad_val table);

/* ---- losses -> [] ---- */

DIFFAD_API diffad_val diffad_mse(diffad_graph *g, diffad_val a, diffad_val b);      /* mean of (a-b)^2 */
DIFFAD_API diffad_val diffad_l1_sum(diffad_graph *g, diffad_val a, diffad_val b);   /* sum |a-b| / N; gradient 0 at 0 */
/* 0.5 sum(mean^2 + exp(logvar) - 1 - logvar) / N */
DIFFAD_API diffad_val diffad_kl(diffad_graph *g, diffad_val mean, diffad_val logvar);
/* Focal loss of section 7 (gamma 2, alpha 1, smooth 1e-5): p [N,2,H,W] as given (not renormalised), mask u8 [N,1,H,W] */
DIFFAD_API diffad_val diffad_focal(diffad_graph *g, diffad_val p, diffad_val mask);
/* 1 - mean SSIM map: 11x11 Gaussian, sigma 1.5, zero padding 5; range: [] value L (diffad_ssim_range, or diffad_fill) */
DIFFAD_API diffad_val diffad_ssim_loss(diffad_graph *g, diffad_val a, diffad_val b, diffad_val range);
/* [] L guessed from x: max 255 if any x > 128 else 1; min -1 if any x < -0.5 else 0; L = max - min. No gradient. */
DIFFAD_API diffad_val diffad_ssim_range(diffad_graph *g, diffad_val x);
/* 0.5 (mean relu(1-real) + mean relu(1+fake)) */
DIFFAD_API diffad_val diffad_hinge(diffad_graph *g, diffad_val real, diffad_val fake);

/* a, b: one value each, squared norms -> weight * clamp(sqrt(a) / (sqrt(b) + 1e-4), 0, 1e4); not a number where one of them is
 * not finite; no gradient. scaler [3] (diffad_unscale): the norms are of gradients times its scale; or none. */
DIFFAD_API diffad_val diffad_adaptive_weight(diffad_graph *g, diffad_val a, diffad_val b, diffad_val scaler, double weight);

/* ---- optimisation: of n parameters in few launches; what is written is bound ---- */

/* p, m, v [..] bound; grad like p; hyper [8]: lr, 1-beta1, 1-beta2, eps, decay, 1-beta1^k, 1-beta2^k, gradient scale
 * (1-beta2 itself: formed from a float32 0.999 it would be off by 1e-5); ok [] 1 or 0: with 0 nothing changes (a
 * not-a-number was seen).
 * g = scale*grad; p *= 1-lr*decay; m,v updated; p -= lr/(1-beta1^k) m / (sqrt(v)/sqrt(1-beta2^k) + eps). */
typedef struct diffad_adam_set { diffad_val p, m, v, grad; } diffad_adam_set;
DIFFAD_API void diffad_adam(diffad_graph *g, int n, const diffad_adam_set *set, diffad_val hyper, diffad_val ok);
/* shadow[k] = d shadow[k] + (1-d) p[k]; shadow bound; decay [] holds d; ok as above */
DIFFAD_API void diffad_ema(diffad_graph *g, int n, const diffad_val *shadow, const diffad_val *p, diffad_val decay, diffad_val ok);
/* The norm over n gradients of any shapes (at most 1200: summed in this order) -> [2]: { norm, 1 if it is finite else 0 } */
DIFFAD_API diffad_val diffad_grad_norm(diffad_graph *g, int n, const diffad_val *grad);
/* norm [2] -> []: min(1, limit / (norm + 1e-6)) (PyTorch's clip_grad_norm_); 0 when not finite */
DIFFAD_API diffad_val diffad_clip_scale(diffad_graph *g, diffad_val norm, double limit);

/* Of gradients of a loss that was scaled: scaler [3]: scale, steps since it changed, steps skipped so far. hyper [8] as above, norm [2]
 * of the scaled gradients, step []: which one this is, from 1; decay [] or none.
 * -> hyper whose gradient scale takes the loss's off and whose k counts the steps that were not skipped; the unscaled norm [2];
 * min(decay, (1+k)/(10+k)) []. */
typedef struct diffad_unscaled { diffad_val hyper, norm, decay; } diffad_unscaled;
DIFFAD_API diffad_unscaled diffad_unscale(diffad_graph *g, diffad_val hyper, diffad_val scaler, diffad_val norm, diffad_val step, diffad_val decay);
/* After the step; scaler bound. norm [2] finite: the scale doubles (to 2^127 at most) with the interval-th such step since it changed;
 * else it is halved and the step counted as skipped. */
DIFFAD_API void diffad_update_scale(diffad_graph *g, diffad_val scaler, diffad_val norm, int interval);

#ifdef __cplusplus
}
#endif

#endif
