/* conv2d_few.c: convolutions on CPUs where the input has fewer than 16 channels, or the output at most 4: the map
 * with few channels stays plain and is not padded to a vector. Kernels: cl/conv2d_few_in.cl, cl/conv2d_few_out.cl,
 * cl/conv2d_dw_few.cl. */
#include "device/registers.h"
#include "op/conv2d.h"

enum {
    STRIP      = 32,            /* as in conv2d_few_in.cl and conv2d_few_out.cl */
    MOST_OUT   = 4,
    LENGTH     = 64,            /* as in conv2d_dw_few.cl */
    MOST_STRIP = 8192           /* floats of private memory for the strips of one pass */
};

static bool is_cpu(const diffad_caps *caps) { return caps->block == CONV2D_LANES && caps->local_mem_is_cheap; }

static int64_t span(int64_t pixels, int64_t stride, int64_t taps, int64_t dilation)
{
    return (pixels - 1) * stride + (taps > 0 ? taps - 1 : 0) * dilation + 1;
}

/* ---- forward, and backward with respect to the input ---- */

/* Lanes of a sum, and pixels for which the sums of all outputs fit the registers (16 or 32). */
static int64_t few_out_lanes(const diffad_caps *caps) { return diffad_has_wide_vectors(caps) ? 16 : 8; }

static int64_t few_out_pixels(const diffad_caps *caps, const conv2d_phase *p)
{
    const int64_t sums = diffad_has_wide_vectors(caps) ? 24 : 12;
    return p->out_c <= sums / 8 ? 8 : sums / p->out_c;
}

bool conv2d_few_in_fits(const diffad_node *n, const diffad_caps *caps)
{
    conv2d_phase p;
    bool         ok = is_cpu(caps);
    for (int i = 0; ok && conv2d_phase_at(n, i, &p); i++)
        ok = p.in_c < CONV2D_LANES && span(conv2d_tile_of(caps, p.out_c).pixels, p.stride, p.taps_x, p.dilation) <= STRIP;
    return ok;
}

bool conv2d_few_out_fits(const diffad_node *n, const diffad_caps *caps)
{
    conv2d_phase p;
    bool         ok = is_cpu(caps);
    for (int i = 0; ok && conv2d_phase_at(n, i, &p); i++)
        ok = p.out_c <= MOST_OUT && p.in_c >= CONV2D_LANES &&
             span(few_out_pixels(caps, &p), p.stride, p.taps_x, p.dilation) <= STRIP;
    return ok;
}

static diffad_status emit_few_in(diffad_emit *e, const diffad_node *n, const conv2d_phase *p)
{
    const conv2d_tile tile = conv2d_tile_of(e->caps, p->out_c);
    const int64_t vectors = tile.vectors, pixels = tile.pixels;
    const int64_t outs = diffad_ceil_div(p->out_c, CONV2D_LANES * vectors);
    const int64_t segments = p->rows * diffad_ceil_div(p->cols, pixels);
    const int64_t run = conv2d_share(e->caps, segments, outs * p->n);
    int32_t       packed;
    DIFFAD_TRY(conv2d_pack(e, n, p, true, vectors, 1, &packed));
    diffad_launch l = diffad_launch_make("conv2d_few_in", "conv2d_few_in", outs, 1);
    diffad_launch_items(&l, outs, diffad_ceil_div(segments, run), p->n);
    diffad_launch_def(&l, "P", pixels);
    diffad_launch_def(&l, "V", vectors);
    diffad_launch_def(&l, "STRIDE", p->stride);
    conv2d_add_operands(&l, e, p, packed);
    const int64_t ints[] = { p->in_c, p->in_h, p->in_w, diffad_ceil_div(p->out_c, CONV2D_LANES), p->out_c,
                             p->cols, p->out_h, p->out_w, p->row0, p->col0, p->out_stride, p->taps_y, p->taps_x,
                             p->dilation, p->top, p->left, run, segments, p->bias >= 0 };
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        diffad_launch_int(&l, ints[i]);
    return diffad_emit_queued(e, &l);
}

static diffad_status emit_few_out(diffad_emit *e, const diffad_node *n, const conv2d_phase *p)
{
    const int64_t pixels = few_out_pixels(e->caps, p), segments = p->rows * diffad_ceil_div(p->cols, pixels);
    const int64_t run = conv2d_share(e->caps, segments, p->n);
    int32_t       packed;
    DIFFAD_TRY(conv2d_pack(e, n, p, false, 1, p->out_c, &packed));
    diffad_launch l = diffad_launch_make("conv2d_few_out", "conv2d_few_out", 1, 1);
    diffad_launch_items(&l, 1, diffad_ceil_div(segments, run), p->n);
    diffad_launch_def(&l, "P", pixels);
    diffad_launch_def(&l, "VEC", few_out_lanes(e->caps));
    diffad_launch_def(&l, "OUT", p->out_c);
    diffad_launch_def(&l, "STRIDE", p->stride);
    conv2d_add_operands(&l, e, p, packed);
    const int64_t ints[] = { diffad_ceil_div(p->in_c, CONV2D_LANES), p->in_h, p->in_w, p->cols, p->out_h,
                             p->out_w, p->row0, p->col0, p->out_stride, p->taps_y, p->taps_x, p->dilation, p->top,
                             p->left, run, segments, p->bias >= 0 };
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        diffad_launch_int(&l, ints[i]);
    return diffad_emit_queued(e, &l);
}

diffad_status conv2d_few_in_emit(diffad_emit *e, const diffad_node *n)
{
    conv2d_phase p;
    for (int i = 0; conv2d_phase_at(n, i, &p); i++)
        if (p.rows > 0 && p.cols > 0)
            DIFFAD_TRY(emit_few_in(e, n, &p));
    return DIFFAD_OK;
}

diffad_status conv2d_few_out_emit(diffad_emit *e, const diffad_node *n)
{
    conv2d_phase p;
    for (int i = 0; conv2d_phase_at(n, i, &p); i++)
        if (p.rows > 0 && p.cols > 0)
            DIFFAD_TRY(emit_few_out(e, n, &p));
    return DIFFAD_OK;
}

/* ---- backward with respect to the weight ---- */

bool conv2d_few_in_dw_fits(const diffad_node *n, const diffad_caps *caps)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return is_cpu(caps) && s.i < CONV2D_LANES &&
           s.i * s.kh * span(LENGTH, s.at.stride, s.kw, s.at.dilation) <= MOST_STRIP;
}

bool conv2d_few_out_dw_fits(const diffad_node *n, const diffad_caps *caps)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return is_cpu(caps) && s.at.stride == 1 && s.o <= MOST_OUT && s.i >= CONV2D_LANES &&
           s.o * s.kh * span(LENGTH, 1, s.kw, s.at.dilation) <= MOST_STRIP;
}

/* The thin map of `thin_c` channels and th x tw pixels is read at r stride - top + t dilation for each pixel r of the
 * wide map. */
typedef struct few_dw { int thin, wide; int64_t thin_c, th, tw, wide_c, wh, ww, top, left; } few_dw;

static diffad_status emit_dw(diffad_emit *e, const conv2d_shape *s, const few_dw *f)
{
    const conv2d_tile tile = conv2d_tile_of(e->caps, f->wide_c);
    const int64_t step = CONV2D_LANES * tile.vectors, blocks = diffad_ceil_div(f->wide_c, step);
    const int64_t rows = diffad_round_up(f->thin_c * s->kh * s->kw, tile.scalars);
    const int64_t passes = s->n * f->wh * diffad_ceil_div(f->ww, LENGTH), run = conv2d_share(e->caps, passes, blocks);
    conv2d_partial part = { .chunks = diffad_ceil_div(passes, run), .vectors = tile.vectors, .scalars = tile.scalars,
                            .inner_block = 1, .by_output = f->thin == 0, .flipped = f->thin == 1 };
    DIFFAD_TRY(diffad_emit_scratch(e, part.chunks * blocks * rows * step, 4, &part.mem));
    diffad_launch l = diffad_launch_make("conv2d_dw_few", "conv2d_dw_few", blocks, 1);
    diffad_launch_items(&l, blocks, part.chunks, 1);
    diffad_launch_def(&l, "V", tile.vectors);
    diffad_launch_def(&l, "J", tile.scalars);
    diffad_launch_def(&l, "LENGTH", LENGTH);
    diffad_launch_def(&l, "STRIPS", MOST_STRIP);
    diffad_emit_in(&l, e, f->thin);
    diffad_emit_in(&l, e, f->wide);
    diffad_launch_mem(&l, part.mem, 0, DIFFAD_READ_WRITE);
    const int64_t ints[] = { f->thin_c, f->th, f->tw, diffad_ceil_div(f->wide_c, CONV2D_LANES), f->wh, f->ww,
                             s->kh, s->kw, s->at.stride, s->at.dilation, f->top, f->left, run, passes };
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        diffad_launch_int(&l, ints[i]);
    DIFFAD_TRY(diffad_emit_queued(e, &l));
    return conv2d_sum_partial(e, s, &part);
}

diffad_status conv2d_few_in_dw_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return emit_dw(e, &s, &(few_dw){ 0, 1, s.i, s.h, s.w, s.o, s.oh, s.ow, s.at.top, s.at.left });
}

/* Stride 1: the pixels of x give the lanes, dy is read at mirrored taps. */
diffad_status conv2d_few_out_dw_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return emit_dw(e, &s, &(few_dw){ 1, 0, s.o, s.oh, s.ow, s.i, s.h, s.w, (s.kh - 1) * s.at.dilation - s.at.top,
                                     (s.kw - 1) * s.at.dilation - s.at.left });
}
