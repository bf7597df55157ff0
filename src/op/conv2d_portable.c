/* conv2d_portable.c: convolution on plain maps as a tiled matrix product with gathered columns, for any device.
 * Kernels: cl/conv2d.cl, cl/conv2d_weight.cl. */
#include "op/conv2d.h"

enum {
    SIDE      = 8,
    DEPTH     = 16,             /* as in common/conv2d_tile.cl */
    LEAST_RUN = 512,            /* pixels a chunk of the weight gradient sums at least */
    MOST_PART = 16 << 20        /* floats of partial weight gradients */
};

/* A work-item computes mm x nn results: small tiles where large ones would leave compute units without work. */
typedef struct tile { int64_t mm, nn; } tile;

static tile tile_of(const diffad_caps *caps, int64_t rows, int64_t columns)
{
    static const tile tiles[] = { { 8, 8 }, { 4, 8 }, { 4, 4 }, { 2, 4 } };
    const int         count = (int)(sizeof tiles / sizeof tiles[0]);
    const int64_t     wanted = 4 * (int64_t)caps->plan_units;
    for (int i = 0; i < count - 1; i++)
        if ((rows > SIDE * tiles[i].mm / 2) &&
            diffad_ceil_div(rows, SIDE * tiles[i].mm) * diffad_ceil_div(columns, SIDE * tiles[i].nn) >= wanted)
            return tiles[i];
    return tiles[rows > SIDE * 2 ? count - 2 : count - 1];
}

static diffad_launch tiled(const char *program, const char *kernel, tile t, int64_t rows, int64_t columns,
                           int64_t chunks)
{
    diffad_launch l = diffad_launch_make(program, kernel, 0, DIFFAD_GROUP);
    diffad_launch_items(&l, diffad_ceil_div(columns, SIDE * t.nn) * DIFFAD_GROUP, diffad_ceil_div(rows, SIDE * t.mm),
                        chunks);
    diffad_launch_def(&l, "MM", t.mm);
    diffad_launch_def(&l, "NN", t.nn);
    diffad_launch_local(&l, DEPTH * (SIDE * t.mm + 1 + SIDE * t.nn) * 4);
    return l;
}

static diffad_status emit_phase(diffad_emit *e, const conv2d_phase *p)
{
    const int64_t pixels = p->n * p->rows * p->cols;
    diffad_launch l = tiled("conv2d", "conv2d_phase", tile_of(e->caps, p->out_c, pixels), p->out_c, pixels, 1);
    diffad_emit_in(&l, e, p->input);
    diffad_emit_in(&l, e, p->weight);
    diffad_emit_in(&l, e, p->bias >= 0 ? p->bias : p->weight);
    diffad_emit_out_updated(&l, e, 0);
    const int64_t ints[] = { p->in_c, p->in_h, p->in_w, p->out_c, p->out_h, p->out_w, p->rows, p->cols, p->row0,
                             p->col0, p->out_stride, p->taps_y, p->taps_x, p->stride, p->dilation, p->top, p->left,
                             p->ky0, p->kx0, p->k_step, p->kw, p->w_out, p->w_in, pixels, p->bias >= 0 };
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        diffad_launch_int(&l, ints[i]);
    return diffad_emit_launch(e, &l);
}

diffad_status conv2d_portable_emit(diffad_emit *e, const diffad_node *n)
{
    conv2d_phase p;
    for (int i = 0; conv2d_phase_at(n, i, &p); i++)
        if (p.rows > 0 && p.cols > 0)
            DIFFAD_TRY(emit_phase(e, &p));
    return DIFFAD_OK;
}

/* Chunks of pixels so that all compute units have work, within bounds of memory. */
static int64_t chunks_of(const diffad_caps *caps, int64_t tiles, int64_t terms, int64_t count)
{
    int64_t chunks = diffad_ceil_div(4 * (int64_t)caps->plan_units, tiles);
    if (chunks > diffad_ceil_div(terms, LEAST_RUN))
        chunks = diffad_ceil_div(terms, LEAST_RUN);
    if (chunks > MOST_PART / count)
        chunks = MOST_PART / count;
    return chunks > 1 ? chunks : 1;
}

diffad_status conv2d_portable_dw_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    const int64_t      columns = s.i * s.kh * s.kw, terms = s.n * s.oh * s.ow, count = s.o * columns;
    const tile         t = tile_of(e->caps, s.o, columns);
    const int64_t      tiles = diffad_ceil_div(s.o, SIDE * t.mm) * diffad_ceil_div(columns, SIDE * t.nn);
    const int64_t      run = diffad_round_up(diffad_ceil_div(terms, chunks_of(e->caps, tiles, terms, count)), DEPTH);
    const int64_t      chunks = diffad_ceil_div(terms, run);
    int32_t            part = -1;
    diffad_launch      l = tiled("conv2d_weight", "conv2d_weight", t, s.o, columns, chunks);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    if (chunks > 1) {
        DIFFAD_TRY(diffad_emit_scratch(e, chunks * count, 4, &part));
        diffad_launch_mem(&l, part, 0, DIFFAD_READ_WRITE);
    } else {
        diffad_emit_out_updated(&l, e, 0);
    }
    const int64_t ints[] = { s.i, s.h, s.w, s.o, s.oh, s.ow, s.kh, s.kw, s.at.stride, s.at.dilation, s.at.top,
                             s.at.left, columns, terms, run };
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        diffad_launch_int(&l, ints[i]);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    if (chunks == 1)
        return DIFFAD_OK;
    diffad_launch sum = diffad_launch_make("conv2d_weight", "conv2d_weight_sum", count, DIFFAD_GROUP);
    diffad_launch_def(&sum, "MM", t.mm);
    diffad_launch_def(&sum, "NN", t.nn);
    diffad_launch_mem(&sum, part, 0, DIFFAD_READ);
    diffad_emit_out(&sum, e, 0);
    diffad_launch_count(&sum, count);
    diffad_launch_int(&sum, chunks);
    return diffad_emit_launch(e, &sum);
}
