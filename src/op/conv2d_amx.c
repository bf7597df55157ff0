/* conv2d_amx.c: convolution and its gradients with operands rounded to bf16 and sums in float32 on Intel's AMX, on channel-blocked
 * maps. Kernels: cl/conv2d_amx.cl, cl/conv2d_pack_words.cl, cl/conv2d_weight_amx.cl. */
#include "op/conv2d.h"

enum {
    TILE        = 16,            /* outputs of a tile; channels of one block */
    WORDS       = 16,            /* of a step along the terms: two blocks of input channels */
    MOST_TILES  = 16,            /* of a window, 1 KiB of sums each and block of output channels; even */
    MOST_WIDE   = 32,            /* columns of a window with several rows: it is read with its taps' border */
    EACH        = 8,             /* pairs of output blocks that one strip serves at most */
    WEIGHT_STEPS = 18,           /* steps of a strip, 2 KiB of weights each: they stay in the first-level cache for all tiles, */
    STRIP_BYTES = 128 << 10,     /* and the strip in the second-level cache */
    TERMS       = 512,           /* outputs of a window of the weight's gradient, at most; */
    TERMS_WIDE  = 64,            /* in so many columns */
    STEP_TERMS  = 32,            /* of a product of tiles */
    POOL_STEP   = 128 << 10      /* bytes: sizes are rounded, so that few programs are built */
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t pairs_of(int64_t channels) { return diffad_ceil_div(channels, 2 * CONV2D_LANES); }

static bool channels_fit(const diffad_node *n, const diffad_caps *caps)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return caps->matrix == DIFFAD_MATRIX_INTEL_AMX && conv2d_blocked_fits(n, caps) && s.i >= CONV2D_LANES && s.o >= CONV2D_LANES;
}

static diffad_launch launch_of(const diffad_emit *e, const char *kernel, int64_t bytes)
{
    diffad_launch l = diffad_launch_make(kernel, kernel, 1, 1);
    diffad_launch_def(&l, "TYPE", DIFFAD_PRECISION_BF16);
    diffad_launch_def(&l, "UNIT", e->caps->matrix);
    diffad_launch_def(&l, "PLAIN", e->caps->matrix_is_plain);
    diffad_launch_def(&l, "POOL", bytes / 4);
    diffad_launch_local(&l, bytes);
    return l;
}

/* ---- forward, and backward with respect to the input ---- */

/* As the kernel's arguments of these names; `bytes`: strip and sums. */
typedef struct window { int64_t high, wide, pairs, depth, each, area, windows, bytes; bool by_row; } window;

static int64_t bytes_of(const window *w)
{
    const int64_t strip = w->depth * w->area * 2 * CONV2D_LANES * 2, sums = w->each * MOST_TILES * 2 * TILE * TILE * 4;
    return diffad_round_up(strip + sums, POOL_STEP);
}

/* A phase that no tap reaches is one of no pairs, with its bias or zeros as results. */
static conv2d_phase with_taps(const conv2d_phase *p)
{
    conv2d_phase q = *p;
    if (p->taps_y * p->taps_x == 0)
        q.in_c = 0;
    q.taps_y = p->taps_y > 0 ? p->taps_y : 1;
    q.taps_x = p->taps_x > 0 ? p->taps_x : 1;
    return q;
}

static window window_of(const diffad_caps *caps, const conv2d_phase *p)
{
    window        w = { .wide = least(p->cols, p->rows == 1 ? MOST_TILES * TILE : MOST_WIDE) };
    const int64_t pitch = (w.wide - 1) * p->stride + (p->taps_x - 1) * p->dilation + 1, per_row = diffad_ceil_div(w.wide, TILE);
    const int64_t rows = least(p->rows, MOST_TILES / per_row), flat = least(p->rows, (MOST_TILES * TILE - w.wide) / pitch + 1);
    const int64_t flat_tiles = diffad_ceil_div((flat - 1) * pitch + w.wide, TILE);
    w.by_row = rows * flat_tiles >= flat * rows * per_row;      /* outputs a tile */
    w.high   = w.by_row ? rows : flat;
    w.area   = p->stride * ((w.high - 1) * pitch + w.wide + TILE - 2) + ((p->taps_y - 1) * pitch + p->taps_x - 1) * p->dilation + 1;
    w.pairs  = pairs_of(p->in_c);
    w.depth  = least(WEIGHT_STEPS / (p->taps_y * p->taps_x), STRIP_BYTES / (w.area * 2 * CONV2D_LANES * 2));
    w.depth  = least(w.depth > 1 ? w.depth : 1, w.pairs);
    w.windows = diffad_ceil_div(p->rows, w.high) * diffad_ceil_div(p->cols, w.wide);
    w.each   = least(EACH, conv2d_share(caps, pairs_of(p->out_c), w.windows * p->n));
    while (w.each > 1 && (uint64_t)bytes_of(&w) > caps->local_mem)
        w.each /= 2;
    w.bytes = bytes_of(&w);
    return w;
}

bool conv2d_amx_fits(const diffad_node *n, const diffad_caps *caps)
{
    conv2d_phase p;
    if (!channels_fit(n, caps))
        return false;
    for (int i = 0; conv2d_phase_at(n, i, &p); i++) {
        const conv2d_phase q = with_taps(&p);
        if (p.rows > 0 && p.cols > 0 && (uint64_t)window_of(caps, &q).bytes > caps->local_mem)
            return false;
    }
    return true;
}

static diffad_status emit_phase(diffad_emit *e, const diffad_node *n, const conv2d_phase *p)
{
    const int64_t out_pairs = pairs_of(p->out_c);
    const window  w = window_of(e->caps, p);
    int32_t       packed = e->in[p->weight].mem;
    if (w.pairs > 0)
        DIFFAD_TRY(conv2d_pack_words(e, n, p, DIFFAD_PRECISION_BF16, out_pairs * 2, 2, w.pairs * WORDS, &packed));
    diffad_launch l = launch_of(e, "conv2d_amx", w.bytes);
    diffad_launch_items(&l, diffad_ceil_div(out_pairs, w.each), w.windows, p->n);
    conv2d_add_operands(&l, e, p, packed);
    conv2d_add_geometry(&l, p);
    const int64_t ints[] = { w.each, w.high, w.wide, w.depth, w.area, MOST_TILES, w.by_row, p->bias >= 0 };
    diffad_launch_ints(&l, ints, sizeof ints);
    conv2d_add_tail(&l, e, p, packed);
    return diffad_emit_launch(e, &l);
}

diffad_status conv2d_amx_emit(diffad_emit *e, const diffad_node *n)
{
    conv2d_phase p;
    for (int i = 0; conv2d_phase_at(n, i, &p); i++) {
        p = with_taps(&p);
        conv2d_flatten(&p);
        if (p.rows > 0 && p.cols > 0)
            DIFFAD_TRY(emit_phase(e, n, &p));
    }
    return DIFFAD_OK;
}

/* ---- backward with respect to the weight ---- */

/* As the kernel's arguments of these names. */
typedef struct weight_window { int64_t high, wide, area, steps, each, windows, bytes; } weight_window;

static int64_t weight_bytes_of(const weight_window *w, int64_t taps)
{
    const int64_t words = w->each * w->steps * 2 * TILE * TILE, strip = w->each * CONV2D_LANES * w->area;
    return diffad_round_up((w->each * w->each * taps * 4 * TILE * TILE + words + strip) * 4, POOL_STEP);
}

static weight_window weight_window_of(const diffad_caps *caps, const conv2d_shape *s)
{
    weight_window w = { .wide = least(s->ow, TERMS_WIDE), .each = s->kh * s->kw > 1 ? 2 : 4 };
    const int64_t pitch = w.wide + (s->kw - 1) * s->at.dilation, most = (TERMS - w.wide) / pitch + 1;
    w.high    = least(s->oh, most);
    w.steps   = diffad_ceil_div((w.high - 1) * pitch + w.wide, STEP_TERMS);
    w.area    = diffad_round_up(w.steps * STEP_TERMS + ((s->kh - 1) * pitch + s->kw - 1) * s->at.dilation, TILE);
    w.windows = s->n * diffad_ceil_div(s->oh, w.high) * diffad_ceil_div(s->ow, w.wide);
    while (w.each > 1 && (uint64_t)weight_bytes_of(&w, s->kh * s->kw) > caps->local_mem)
        w.each /= 2;
    w.bytes = weight_bytes_of(&w, s->kh * s->kw);
    return w;
}

/* Strides would part the terms of a tap. */
bool conv2d_amx_dw_fits(const diffad_node *n, const diffad_caps *caps)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return channels_fit(n, caps) && s.at.stride == 1 && (uint64_t)weight_window_of(caps, &s).bytes <= caps->local_mem;
}

diffad_status conv2d_amx_dw_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape  s = conv2d_shape_of(n);
    const weight_window w = weight_window_of(e->caps, &s);
    const int64_t  outs = diffad_ceil_div(pairs_of(s.o), w.each), ins = diffad_ceil_div(pairs_of(s.i), w.each);
    const int64_t  in_blocks = diffad_ceil_div(s.i, CONV2D_LANES), run = conv2d_share(e->caps, w.windows, outs * ins);
    conv2d_partial part = { .chunks = diffad_ceil_div(w.windows, run), .vectors = 2, .scalars = 8, .inner_block = CONV2D_LANES,
                            .by_output = true };
    DIFFAD_TRY(diffad_emit_scratch(e, part.chunks * pairs_of(s.o) * in_blocks * s.kh * s.kw * 2 * TILE * TILE, 4, &part.mem));
    diffad_launch l = launch_of(e, "conv2d_weight_amx", w.bytes);
    diffad_launch_items(&l, outs, ins, part.chunks);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    diffad_launch_mem(&l, part.mem, 0, DIFFAD_WRITE);
    const int64_t ints[] = { in_blocks, s.h, s.w, diffad_ceil_div(s.o, CONV2D_LANES), s.oh, s.ow, s.kh, s.kw, s.at.dilation, s.at.top,
                             s.at.left, w.each, w.high, w.wide, w.area, w.steps, run, w.windows };
    diffad_launch_ints(&l, ints, sizeof ints);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    return conv2d_sum_partial(e, &s, &part);
}
