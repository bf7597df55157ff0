/* conv2d.h: what the ways of the convolutions share: geometry, and the backward pass with respect to the input as one
 * or more forward-like phases.
 *
 * A phase computes out[n,m,r,c] = b[m] + sum over channels i and taps t,u of
 *     in[n, i, r stride - top + t dilation, c stride - left + u dilation] * w(m, i, ky0 + t k_step, kx0 + u k_step)
 * for r < rows, c < cols, and stores it at row r out_stride + row0, column c out_stride + col0 of the output.
 * The forward convolution is one phase. Its gradient with stride s is s*s phases, one for each remainder of row and
 * column. */
#ifndef DIFFAD_CONV2D_H
#define DIFFAD_CONV2D_H

#include "op/ops.h"

/* Of conv2d_dx: height and width of x. Of conv2d_dw: those of the kernel. */
typedef struct conv2d_grad_attr { diffad_conv_attr conv; int height, width; } conv2d_grad_attr;

/* The forward convolution that a node is, or belongs to. */
typedef struct conv2d_shape {
    int64_t          n, i, h, w, o, kh, kw, oh, ow;
    diffad_conv_attr at;
} conv2d_shape;
conv2d_shape conv2d_shape_of(const diffad_node *n);

typedef struct conv2d_phase {
    int64_t n, in_c, in_h, in_w, out_c, out_h, out_w;
    int64_t rows, cols, row0, col0, out_stride;
    int64_t taps_y, taps_x, stride, dilation, top, left;
    int64_t ky0, kx0, k_step, kh, kw;
    int64_t w_out, w_in;                 /* elements between output channels and between input channels of w */
    int     input, weight, bias;         /* numbers of the operands; bias -1: none */
} conv2d_phase;

/* Phase `index` of a conv2d or conv2d_dx node; false when there are no more. Phases without outputs have rows 0 or
 * cols 0. */
bool conv2d_phase_at(const diffad_node *n, int index, conv2d_phase *out);
double conv2d_flops(const diffad_node *n);

/* The ways: portable (conv2d_portable.c), tf32, bf16, f16 (conv2d_matrix.c), amx (conv2d_amx.c), blocked (conv2d_blocked.c),
 * winograd (conv2d_winograd.c, conv2d_winograd_dw.c), few channels (conv2d_few.c), im2col (conv2d_im2col.c). The first function of each pair serves conv2d and conv2d_dx. */
int           conv2d_portable_variants(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_portable_emit(diffad_emit *e, const diffad_node *n);
diffad_status conv2d_portable_dw_emit(diffad_emit *e, const diffad_node *n);

/* y [n][out_c][pixels] = the sum of part [n][slices][out_c][pixels] over slices, + bias. */
diffad_status conv2d_add_slices(diffad_emit *e, const conv2d_phase *p, int64_t slices, int32_t part);
/* dw [count] = the sum of part [slices][count] over slices. */
diffad_status conv2d_add_weight_slices(diffad_emit *e, int64_t count, int64_t slices, int32_t part);
/* How many parts a sum of `terms` is split into so that `groups` work-groups a part fill the device: at least `least` terms
 * a part, at most `most`; partial sums of `results` floats each. */
int64_t conv2d_slices(const diffad_caps *caps, int64_t groups, int64_t terms, int64_t least, int64_t most, int64_t results);

/* On matrix units (conv2d_matrix.c). */
int           conv2d_matrix_variants(const diffad_node *n, const diffad_caps *caps);
bool          conv2d_matrix_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_matrix_emit(diffad_emit *e, const diffad_node *n, diffad_precision precision);
diffad_status conv2d_matrix_dw_emit(diffad_emit *e, const diffad_node *n, diffad_precision precision);
/* Packs w as rounded words of input channels for `out_tiles` tiles of 16 output channels, `side` of them side by side
 * (cl/conv2d_pack_words.cl). There is a tap. */
diffad_status conv2d_pack_words(diffad_emit *e, const diffad_node *n, const conv2d_phase *p, diffad_precision precision,
                                int64_t out_tiles, int64_t side, int64_t words, int32_t *mem);

/* On Intel's AMX (conv2d_amx.c). */
bool          conv2d_amx_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_amx_emit(diffad_emit *e, const diffad_node *n);
bool          conv2d_amx_dw_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_amx_dw_emit(diffad_emit *e, const diffad_node *n);

int           conv2d_blocked_variants(const diffad_node *n, const diffad_caps *caps);
bool          conv2d_blocked_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_blocked_emit(diffad_emit *e, const diffad_node *n);
diffad_status conv2d_blocked_dw_emit(diffad_emit *e, const diffad_node *n);

bool          conv2d_winograd_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_winograd_emit(diffad_emit *e, const diffad_node *n);
bool          conv2d_winograd_dw_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_winograd_dw_emit(diffad_emit *e, const diffad_node *n);

bool          conv2d_few_in_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_few_in_emit(diffad_emit *e, const diffad_node *n);
bool          conv2d_few_in_dw_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_few_in_dw_emit(diffad_emit *e, const diffad_node *n);
bool          conv2d_few_out_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_few_out_emit(diffad_emit *e, const diffad_node *n);
bool          conv2d_few_out_dw_fits(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_few_out_dw_emit(diffad_emit *e, const diffad_node *n);

/* Variants: the own matrix product, CLBlast's. */
int           conv2d_im2col_variants(const diffad_node *n, const diffad_caps *caps);
diffad_status conv2d_im2col_emit(diffad_emit *e, const diffad_node *n);
diffad_status conv2d_im2col_dx_emit(diffad_emit *e, const diffad_node *n);
diffad_status conv2d_im2col_dw_emit(diffad_emit *e, const diffad_node *n);

/* Helpers (conv2d_blocked.c). */
enum { CONV2D_LANES = 16 };

/* The sums that a kernel holds in registers: `vectors` of 16 channels, which lie beside each other in packed weights, for
 * each of `pixels`; or, for the gradient of the weight, for each of `scalars` (a divisor of 16). */
typedef struct conv2d_tile { int64_t vectors, pixels, scalars; } conv2d_tile;
conv2d_tile conv2d_tile_of(const diffad_caps *caps, int64_t channels);

/* Packs w as [lane blocks][inner / inner_block][taps y][taps x][inner_block][16 vectors]; zero where a block is not
 * full. `by_output`: lanes run over output channels and `inner` over input channels, or the other way round. */
diffad_status conv2d_pack(diffad_emit *e, const diffad_node *n, const conv2d_phase *p, bool by_output,
                          int64_t vectors, int64_t inner_block, int32_t *mem);
/* Map, packed weight and bias as arguments of a launch; and the result after them. */
void conv2d_add_inputs(diffad_launch *l, const diffad_emit *e, const conv2d_phase *p, int32_t packed);
void conv2d_add_operands(diffad_launch *l, const diffad_emit *e, const conv2d_phase *p, int32_t packed);
/* The sizes of a phase on blocked maps, from the number of input blocks to `left`, as arguments. */
void conv2d_add_geometry(diffad_launch *l, const conv2d_phase *p);
/* One row of rows*cols pixels: a convolution of one tap without stride and padding knows no rows. */
void conv2d_flatten(conv2d_phase *p);
/* The arguments of cl/common/tail.cl, the last of a launch: what e->tail holds. */
void conv2d_add_tail(diffad_launch *l, const diffad_emit *e, const conv2d_phase *p, int32_t packed);
/* Work units per group so that each compute unit gets about eight equal groups, `others` groups in other directions. */
int64_t conv2d_share(const diffad_caps *caps, int64_t units, int64_t others);
/* The sum over chunks of partial weight gradients [chunks][lane blocks][inner blocks][taps][inner_block][16 vectors]
 * into dw [O,I,kh,kw]. `by_output`: lanes are output channels. */
typedef struct conv2d_partial {
    int32_t mem;
    int64_t chunks, vectors, scalars, inner_block;
    bool    by_output, flipped;
} conv2d_partial;
diffad_status conv2d_sum_partial(diffad_emit *e, const conv2d_shape *s, const conv2d_partial *p);

#endif
