/* conv2d_amx.c: convolution, and its gradient with respect to the input, with operands rounded to bf16 and sums in float32 on
 * Intel's AMX, on channel-blocked maps. Kernels: cl/conv2d_amx.cl, cl/conv2d_pack_words.cl. */
#include "op/conv2d.h"

enum {
    TILE        = 16,            /* outputs of a tile; channels of one block */
    WORDS       = 16,            /* of a step along the terms: two blocks of input channels */
    MOST_TILES  = 16,            /* of a window, 1 KiB of sums each and block of output channels; even */
    MOST_WIDE   = 32,            /* columns of a window with several rows: it is read with its taps' border */
    EACH        = 8,             /* pairs of output blocks that one strip serves at most */
    WEIGHT_STEPS = 18,           /* steps of a strip, 2 KiB of weights each: they stay in the first-level cache for all tiles, */
    STRIP_BYTES = 128 << 10,     /* and the strip in the second-level cache */
    POOL_STEP   = 128 << 10      /* bytes: sizes are rounded, so that few programs are built */
};

/* As the kernel's arguments of these names; `bytes`: strip and sums. */
typedef struct window { int64_t high, wide, pairs, depth, each, area, windows, bytes; bool by_row; } window;

static int64_t bytes_of(const window *w)
{
    const int64_t strip = w->depth * w->area * 2 * CONV2D_LANES * 2, sums = w->each * MOST_TILES * 2 * TILE * TILE * 4;
    return diffad_round_up(strip + sums, POOL_STEP);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

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
    w.pairs  = diffad_ceil_div(p->in_c, 2 * CONV2D_LANES);
    w.depth  = least(WEIGHT_STEPS / (p->taps_y * p->taps_x), STRIP_BYTES / (w.area * 2 * CONV2D_LANES * 2));
    w.depth  = least(w.depth > 1 ? w.depth : 1, w.pairs);
    w.windows = diffad_ceil_div(p->rows, w.high) * diffad_ceil_div(p->cols, w.wide);
    w.each   = least(EACH, conv2d_share(caps, diffad_ceil_div(p->out_c, 2 * CONV2D_LANES), w.windows * p->n));
    while (w.each > 1 && (uint64_t)bytes_of(&w) > caps->local_mem)
        w.each /= 2;
    w.bytes = bytes_of(&w);
    return w;
}

bool conv2d_amx_fits(const diffad_node *n, const diffad_caps *caps)
{
    const conv2d_shape s = conv2d_shape_of(n);
    conv2d_phase       p;
    if (caps->matrix != DIFFAD_MATRIX_INTEL_AMX || !conv2d_blocked_fits(n, caps) || s.i < CONV2D_LANES || s.o < CONV2D_LANES)
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
    const int64_t out_pairs = diffad_ceil_div(p->out_c, 2 * CONV2D_LANES);
    const window  w = window_of(e->caps, p);
    int32_t       packed = e->in[p->weight].mem;
    if (w.pairs > 0)
        DIFFAD_TRY(conv2d_pack_words(e, n, p, DIFFAD_PRECISION_BF16, out_pairs * 2, 2, w.pairs * WORDS, &packed));
    diffad_launch l = diffad_launch_make("conv2d_amx", "conv2d_amx", 1, 1);
    diffad_launch_items(&l, diffad_ceil_div(out_pairs, w.each), w.windows, p->n);
    diffad_launch_def(&l, "TYPE", DIFFAD_PRECISION_BF16);
    diffad_launch_def(&l, "UNIT", e->caps->matrix);
    diffad_launch_def(&l, "PLAIN", e->caps->matrix_is_plain);
    diffad_launch_def(&l, "POOL", w.bytes / 4);
    diffad_launch_local(&l, w.bytes);
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
