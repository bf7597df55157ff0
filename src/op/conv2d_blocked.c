/* conv2d_blocked.c: direct convolution on channel-blocked maps for CPUs, and what the CPU ways share: packed weights,
 * sharing out, the sum over partial weight gradients. Kernels: cl/conv2d_blocked.cl, cl/conv2d_gather.cl, cl/conv2d_pack.cl,
 * cl/conv2d_dw.cl. */
#include "device/registers.h"
#include "op/conv2d.h"

#include <stdio.h>

enum {
    STRIP       = 32,           /* inputs a row of taps may span, as in the kernel */
    CACHE_BYTES = 20 << 10,     /* of packed weights that stay in the first-level cache */
    RUN_PIXELS  = 2048,         /* most outputs of a run: one channel block of it stays in the second-level cache */
    GATHER_PIXELS = 96,         /* most pixels of a work-group that gathers; */
    GATHER_DEPTH  = 8,          /* pairs of input block and tap that it gathers at a time; */
    GATHER_BLOCKS = 8,          /* blocks of output channels that they serve */
    PASS_PIXELS = 64,           /* least pixels summed before they are added up in memory */
    MOST_OWN_BYTES = 40 << 10,  /* private memory for the sums of one block of weights */
    GROUPS_EACH = 8             /* work-groups per compute unit that balance well */
};

int64_t conv2d_share(const diffad_caps *caps, int64_t units, int64_t others)
{
    const int64_t unit_count = caps->plan_units ? caps->plan_units : 1;
    const int64_t groups = diffad_ceil_div(GROUPS_EACH * unit_count, others);
    const int64_t run    = diffad_ceil_div(units, groups);
    return run > 0 ? run : 1;
}

/* Of 32 registers of 512 bits half hold sums, two vectors of channels where their number is even: fewer loads per product.
 * A vector takes two registers of 256 bits or four of 128, and there are 16 of them. */
conv2d_tile conv2d_tile_of(const diffad_caps *caps, int64_t channels)
{
    const int64_t vectors = diffad_ceil_div(channels, CONV2D_LANES) % 2 == 0 ? 2 : 1;
    if (diffad_has_wide_vectors(caps))
        return (conv2d_tile){ vectors, 16 / vectors, 16 / vectors };
    return caps->native_float >= 8 ? (conv2d_tile){ 1, 6, 4 } : (conv2d_tile){ 1, 3, 2 };
}

/* Vectors and pixels of a kernel's sums that may be better than conv2d_tile_of's on a CPU with more registers, or fewer, than
 * its vectors tell. */
static const conv2d_tile tiles[] = { { 2, 8, 8 }, { 1, 16, 16 }, { 2, 4, 8 }, { 1, 8, 8 }, { 1, 6, 4 }, { 2, 3, 4 }, { 1, 3, 2 } };

int conv2d_blocked_variants(const diffad_node *n, const diffad_caps *caps)
{
    (void)n;
    (void)caps;
    return (int)(sizeof tiles / sizeof tiles[0]);
}

/* ---- packed weights ---- */

diffad_status conv2d_pack(diffad_emit *e, const diffad_node *n, const conv2d_phase *p, bool by_output,
                          int64_t vectors, int64_t inner_block, int32_t *mem)
{
    char          key[96];
    bool          fresh;
    const int64_t lanes = by_output ? p->out_c : p->in_c, inner = by_output ? p->in_c : p->out_c;
    const int64_t lane_blocks = diffad_ceil_div(lanes, CONV2D_LANES * vectors),
                  inner_blocks = diffad_ceil_div(inner, inner_block);
    const int64_t count = lane_blocks * inner_blocks * p->taps_y * p->taps_x * inner_block * CONV2D_LANES * vectors;
    if (count == 0) {                    /* no tap reaches this phase: the weight is not read */
        *mem = e->in[p->weight].mem;
        return DIFFAD_OK;
    }
    snprintf(key, sizeof key, "conv2d %s %s %d %d %d+%d*%d %d+%d*%d", by_output ? "outputs" : "inputs",
             p->input == 0 ? "forward" : "back", (int)vectors, (int)inner_block, (int)p->ky0, (int)p->taps_y,
             (int)p->k_step, (int)p->kx0, (int)p->taps_x, (int)p->k_step);
    DIFFAD_TRY(diffad_emit_pack(e, n, p->weight, key, count, mem, &fresh));
    if (!fresh)
        return DIFFAD_OK;
    const int64_t lane_stride = by_output ? p->w_out : p->w_in, inner_stride = by_output ? p->w_in : p->w_out;
    const int64_t taps = p->taps_y * p->taps_x;
    const bool    whole = lanes % (CONV2D_LANES * vectors) == 0 && inner % CONV2D_LANES == 0 &&
                          inner_block == CONV2D_LANES && inner_stride == taps && taps == p->kh * p->kw &&
                          p->k_step == 1;
    diffad_launch l = diffad_launch_make(whole ? "conv2d_pack_whole" : "conv2d_pack",
                                         whole ? "conv2d_pack_whole" : "conv2d_pack", lane_blocks, 1);
    diffad_launch_items(&l, lane_blocks, inner_blocks, 1);
    diffad_launch_def(&l, "LANES", CONV2D_LANES * vectors);
    diffad_emit_in(&l, e, p->weight);
    diffad_launch_mem(&l, *mem, 0, DIFFAD_WRITE);
    const int64_t whole_ints[] = { lane_stride, taps };
    const int64_t ints[] = { lanes, inner, lane_stride, inner_stride, inner_block, p->taps_y, p->taps_x, p->kw,
                             p->ky0, p->kx0, p->k_step };
    if (whole)
        diffad_launch_ints(&l, whole_ints, sizeof whole_ints);
    else
        diffad_launch_ints(&l, ints, sizeof ints);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    diffad_emit_pack_end(e);
    return DIFFAD_OK;
}

static void add_packed(diffad_launch *l, const diffad_emit *e, const conv2d_phase *p, int32_t packed)
{
    if (packed == e->in[p->weight].mem)
        diffad_emit_in(l, e, p->weight);
    else
        diffad_launch_mem(l, packed, 0, DIFFAD_READ);
}

void conv2d_add_inputs(diffad_launch *l, const diffad_emit *e, const conv2d_phase *p, int32_t packed)
{
    diffad_emit_in(l, e, p->input);
    add_packed(l, e, p, packed);
    if (p->bias >= 0)
        diffad_emit_in(l, e, p->bias);
    else
        add_packed(l, e, p, packed);     /* in its place, not read */
}

void conv2d_add_operands(diffad_launch *l, const diffad_emit *e, const conv2d_phase *p, int32_t packed)
{
    conv2d_add_inputs(l, e, p, packed);
    diffad_emit_out_updated(l, e, 0);
}

void conv2d_add_tail(diffad_launch *l, const diffad_emit *e, const conv2d_phase *p, int32_t packed)
{
    for (int k = DIFFAD_TAIL_BIAS; k < DIFFAD_TAILS; k++)
        if (e->tail[k].mem >= 0)
            diffad_launch_mem(l, e->tail[k].mem, e->tail[k].offset, DIFFAD_READ);
        else
            add_packed(l, e, p, packed);     /* in its place, not read */
    diffad_launch_int(l, e->tail[DIFFAD_TAIL_BIAS].mem >= 0);
    diffad_launch_int(l, e->is_per_sample ? p->out_c : 0);
    diffad_launch_int(l, e->tail[DIFFAD_TAIL_ADD].mem >= 0);
}

/* ---- forward, and backward with respect to the input ---- */

bool conv2d_blocked_fits(const diffad_node *n, const diffad_caps *caps)
{
    (void)n;
    return caps->block == CONV2D_LANES && caps->local_mem_is_cheap;
}

void conv2d_flatten(conv2d_phase *p)
{
    if (p->taps_y == 1 && p->taps_x == 1 && p->stride == 1 && p->out_stride == 1 && p->top == 0 && p->left == 0 &&
        p->rows == p->in_h && p->cols == p->in_w) {
        p->in_w = p->out_w = p->cols = p->in_h * p->in_w;
        p->in_h = p->out_h = p->rows = 1;
    }
}

/* Rows of segments where taps share what they read and hardly any segment is cut short. */
static bool works_by_rows(const conv2d_phase *p, int64_t pixels)
{
    const int64_t up = diffad_round_up(p->cols, pixels);
    return p->stride == 1 && p->taps_x > 1 && pixels + (p->taps_x - 1) * p->dilation <= STRIP && (up - p->cols) * 10 <= up;
}

/* A variant's, where its vectors share out the output's blocks. */
static conv2d_tile tile_of(const diffad_emit *e, int64_t channels)
{
    const bool is_whole = e->variant >= 0 && diffad_ceil_div(channels, CONV2D_LANES) % tiles[e->variant].vectors == 0;
    return is_whole ? tiles[e->variant] : conv2d_tile_of(e->caps, channels);
}

void conv2d_add_geometry(diffad_launch *l, const conv2d_phase *p)
{
    const int64_t ints[] = { diffad_ceil_div(p->in_c, CONV2D_LANES), p->in_h, p->in_w,
                             diffad_ceil_div(p->out_c, CONV2D_LANES), p->out_c, p->rows, p->cols, p->out_h, p->out_w,
                             p->row0, p->col0, p->out_stride, p->taps_y, p->taps_x, p->stride, p->dilation, p->top,
                             p->left };
    diffad_launch_ints(l, ints, sizeof ints);
}

static diffad_status emit_rows(diffad_emit *e, const conv2d_phase *p, const conv2d_tile *tile, int32_t packed)
{
    const int64_t in_blocks = diffad_ceil_div(p->in_c, CONV2D_LANES);
    const int64_t segments = p->rows * diffad_ceil_div(p->cols, tile->pixels);
    const int64_t outs     = diffad_ceil_div(p->out_c, CONV2D_LANES * tile->vectors);
    const int64_t shared   = conv2d_share(e->caps, segments, outs * p->n);
    const int64_t run      = shared < RUN_PIXELS / tile->pixels ? shared : RUN_PIXELS / tile->pixels;
    const int64_t bytes    = p->taps_y * p->taps_x * CONV2D_LANES * CONV2D_LANES * tile->vectors * 4;
    const int64_t group    = bytes == 0 ? in_blocks : bytes * 2 > CACHE_BYTES ? 1 : CACHE_BYTES / bytes;
    diffad_launch l = diffad_launch_make("conv2d_blocked", "conv2d_blocked", outs, 1);
    diffad_launch_items(&l, outs, diffad_ceil_div(segments, run), p->n);
    diffad_launch_def(&l, "P", tile->pixels);
    diffad_launch_def(&l, "V", tile->vectors);
    conv2d_add_operands(&l, e, p, packed);
    conv2d_add_geometry(&l, p);
    diffad_launch_ints(&l, (int64_t[]){ group, run, segments, p->bias >= 0 }, 4 * sizeof(int64_t));
    conv2d_add_tail(&l, e, p, packed);
    return diffad_emit_queued(e, &l);
}

/* Groups of pixels of a work-group, where `others` work-groups share them: as many as it holds, so that weights are read seldom;
 * fewer, down to half, where threads would have no work or unequal shares. No bit depends on it. */
static int64_t gather_run(const diffad_caps *caps, int64_t groups, int64_t most, int64_t others)
{
    const int64_t threads = caps->compute_units ? caps->compute_units : 1;
    const int64_t limit   = diffad_ceil_div(groups, diffad_ceil_div(most, 2));
    int64_t chunks = diffad_ceil_div(groups, most);
    while (chunks < limit && (others * chunks < 2 * threads || others * chunks % threads != 0))
        chunks++;
    return diffad_ceil_div(groups, chunks);
}

/* Lane blocks and groups of pixels of a work-group: what is gathered serves many outputs, packed weights many pixels. */
static diffad_status emit_gather(diffad_emit *e, const conv2d_phase *p, const conv2d_tile *tile, int32_t packed)
{
    const int64_t each = GATHER_BLOCKS / tile->vectors, blocks = diffad_ceil_div(p->out_c, CONV2D_LANES * tile->vectors);
    const int64_t group_bytes = tile->pixels * CONV2D_LANES * 4 * (GATHER_DEPTH + GATHER_BLOCKS);
    const int64_t room = (int64_t)e->caps->local_mem / group_bytes, want = diffad_ceil_div(GATHER_PIXELS, tile->pixels);
    const int64_t most = room < 1 ? 1 : room < want ? room : want;
    const int64_t groups = diffad_ceil_div(p->rows * p->cols, tile->pixels), items = diffad_ceil_div(blocks, each);
    const int64_t run    = gather_run(e->caps, groups, most, items * p->n);
    diffad_launch l = diffad_launch_make("conv2d_gather", "conv2d_gather", items, 1);
    diffad_launch_items(&l, items, diffad_ceil_div(groups, run), p->n);
    diffad_launch_local(&l, most * group_bytes);
    diffad_launch_def(&l, "P", tile->pixels);
    diffad_launch_def(&l, "V", tile->vectors);
    diffad_launch_def(&l, "GROUPS", most);
    diffad_launch_def(&l, "DEPTH", GATHER_DEPTH);
    diffad_launch_def(&l, "EACH", each);
    conv2d_add_operands(&l, e, p, packed);
    conv2d_add_geometry(&l, p);
    diffad_launch_ints(&l, (int64_t[]){ blocks, run, p->bias >= 0 }, 3 * sizeof(int64_t));
    conv2d_add_tail(&l, e, p, packed);
    return diffad_emit_queued(e, &l);
}

static diffad_status emit_phase(diffad_emit *e, const diffad_node *n, conv2d_phase p)
{
    const conv2d_tile tile = tile_of(e, p.out_c);
    int32_t           packed;
    conv2d_flatten(&p);
    DIFFAD_TRY(conv2d_pack(e, n, &p, true, tile.vectors, CONV2D_LANES, &packed));
    return works_by_rows(&p, tile.pixels) ? emit_rows(e, &p, &tile, packed) : emit_gather(e, &p, &tile, packed);
}

diffad_status conv2d_blocked_emit(diffad_emit *e, const diffad_node *n)
{
    conv2d_phase p;
    for (int i = 0; conv2d_phase_at(n, i, &p); i++)
        if (p.rows > 0 && p.cols > 0)
            DIFFAD_TRY(emit_phase(e, n, p));
    return DIFFAD_OK;
}

/* ---- backward with respect to the weight ---- */

diffad_status conv2d_sum_partial(diffad_emit *e, const conv2d_shape *s, const conv2d_partial *p)
{
    const int64_t taps = s->kh * s->kw, lanes = p->by_output ? s->o : s->i, inner = p->by_output ? s->i : s->o;
    const int64_t step = CONV2D_LANES * p->vectors, lane_blocks = diffad_ceil_div(lanes, step);
    const int64_t inner_blocks = diffad_ceil_div(inner, p->inner_block);
    const int64_t rows = p->inner_block == 1 ? diffad_round_up(inner * taps, p->scalars)
                                             : inner_blocks * p->inner_block * taps;
    const int64_t by_out = s->i * taps, by_in = taps;
    const bool    whole = p->by_output && !p->flipped && p->inner_block == CONV2D_LANES && lanes % step == 0 &&
                          inner % CONV2D_LANES == 0;
    diffad_launch l = diffad_launch_make("conv2d_dw_sum", whole ? "conv2d_dw_sum_whole" : "conv2d_dw_sum",
                                         lane_blocks, 1);
    diffad_launch_items(&l, lane_blocks, inner_blocks, 1);
    diffad_launch_def(&l, "V", p->vectors);
    diffad_launch_def(&l, "J", p->scalars);
    diffad_launch_mem(&l, p->mem, 0, DIFFAD_READ);
    diffad_emit_out(&l, e, 0);
    diffad_launch_int(&l, p->chunks);
    diffad_launch_count(&l, lane_blocks * rows * step);
    diffad_launch_count(&l, rows * step);
    const int64_t whole_ints[] = { by_out, taps };
    const int64_t ints[] = { lanes, inner, p->inner_block, taps, p->by_output ? by_out : by_in,
                             p->by_output ? by_in : by_out, p->flipped };
    if (whole)
        diffad_launch_ints(&l, whole_ints, sizeof whole_ints);
    else
        diffad_launch_ints(&l, ints, sizeof ints);
    return diffad_emit_launch(e, &l);
}

diffad_status conv2d_blocked_dw_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    const conv2d_tile  tile = conv2d_tile_of(e->caps, s.o);
    const int64_t vectors = tile.vectors, in_blocks = diffad_ceil_div(s.i, CONV2D_LANES);
    const int64_t outs = diffad_ceil_div(s.o, CONV2D_LANES * vectors);
    const int64_t rows_each = diffad_ceil_div(PASS_PIXELS, s.ow) < s.oh ? diffad_ceil_div(PASS_PIXELS, s.ow) : s.oh;
    const int64_t passes = s.n * diffad_ceil_div(s.oh, rows_each);
    const int64_t run = conv2d_share(e->caps, passes, outs * in_blocks);
    conv2d_partial part = { .chunks = diffad_ceil_div(passes, run), .vectors = vectors,
                            .scalars = tile.scalars, .inner_block = CONV2D_LANES, .by_output = true };
    const int64_t block = s.kh * s.kw * CONV2D_LANES * CONV2D_LANES * vectors;
    const bool    direct = part.chunks == 1 && s.o % (CONV2D_LANES * vectors) == 0 && s.i % CONV2D_LANES == 0 &&
                           block * 4 <= MOST_OWN_BYTES;

    diffad_launch l = diffad_launch_make("conv2d_dw", "conv2d_dw", outs, 1);
    diffad_launch_items(&l, outs, in_blocks, part.chunks);
    diffad_launch_def(&l, "V", vectors);
    diffad_launch_def(&l, "J", tile.scalars);
    diffad_launch_def(&l, "TAPS", direct ? s.kh * s.kw : 0);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    if (direct) {
        diffad_emit_out(&l, e, 0);
    } else {
        DIFFAD_TRY(diffad_emit_scratch(e, part.chunks * outs * in_blocks * block, 4, &part.mem));
        diffad_launch_mem(&l, part.mem, 0, DIFFAD_READ_WRITE);
    }
    const int64_t ints[] = { in_blocks, s.h, s.w, diffad_ceil_div(s.o, CONV2D_LANES), s.oh, s.ow, s.kh, s.kw,
                             s.at.stride, s.at.dilation, s.at.top, s.at.left, rows_each, run, passes };
    diffad_launch_ints(&l, ints, sizeof ints);
    DIFFAD_TRY(diffad_emit_queued(e, &l));
    return direct ? DIFFAD_OK : conv2d_sum_partial(e, &s, &part);
}
