/* conv2d_portable.c: convolution on plain maps as a tiled matrix product with gathered columns, for any device.
 * Kernels: cl/conv2d.cl, cl/conv2d_pack_rows.cl, cl/conv2d_weight.cl; partial sums: cl/gemm_epilogue.cl. */
#include "op/conv2d.h"
#include "device/registers.h"

#include <math.h>
#include <stdio.h>

enum {
    DEPTH      = 8,             /* terms of a slab, as in common/product.cl */
    LEAST_RUN  = 32,            /* slabs a slice sums at least: fewer do not pay for adding the slices up */
    MOST_RUN   = 1024,          /* slabs that one float sums up */
    MOST_SLICE = 64,
    MOST_PART  = 16 << 20       /* floats of partial sums */
};

/* side_m x side_n work-items, each with rm x rn results. `share`: of the device's rate that the tile reaches at best. */
typedef struct tile { int64_t side_m, side_n, rm, rn; double share; } tile;

static const tile tiles[] = {
    { 16, 16, 8, 8, 1.0 }, { 8, 8, 8, 8, 0.8 }, { 8, 16, 4, 8, 0.75 }, { 8, 8, 4, 4, 0.5 }, { 2, 32, 4, 4, 0.4 },
};

/* A product of rows x columns results with so many slabs of terms: its tile, and slices of `each` slabs. */
typedef struct layout {
    tile    t;
    int64_t tiles_m, tiles_n, slices, each;
} layout;

static int64_t local_bytes(const tile *t) { return 2 * DEPTH * (t->side_m * t->rm + t->side_n * t->rn + 8) * 4; }

int64_t conv2d_slices(const diffad_caps *caps, int64_t groups, int64_t terms, int64_t least, int64_t most, int64_t results)
{
    int64_t slices = diffad_ceil_div(2 * (int64_t)caps->plan_units, groups);
    if (slices > terms / least)
        slices = terms / least;
    if (slices > MOST_SLICE)
        slices = MOST_SLICE;
    if (slices < diffad_ceil_div(terms, most))
        slices = diffad_ceil_div(terms, most);
    if (slices > MOST_PART / results)
        slices = MOST_PART / results;
    return slices > 1 ? slices : 1;
}

int conv2d_portable_variants(const diffad_node *n, const diffad_caps *caps)
{
    (void)n;
    (void)caps;
    return (int)(sizeof tiles / sizeof tiles[0]);
}

/* The tile that loses least: to its own rate, to results beyond the edge, and to compute units without work; with `variant`
 * that one, where the device can have it. */
static layout layout_of(const diffad_caps *caps, int variant, int64_t rows, int64_t columns, int64_t slabs)
{
    layout best = { .slices = 0 };
    double best_score = 0;
    for (size_t i = 0; i < sizeof tiles / sizeof tiles[0]; i++) {
        const tile *t = &tiles[i];
        if ((uint64_t)(t->side_m * t->side_n) > caps->max_group || (uint64_t)local_bytes(t) > caps->local_mem ||
            (variant != (int)i && t->rm * t->rn > diffad_most_sums(caps)))
            continue;
        layout        l = { .t = *t, .tiles_m = diffad_ceil_div(rows, t->side_m * t->rm),
                            .tiles_n = diffad_ceil_div(columns, t->side_n * t->rn) };
        const int64_t groups = l.tiles_m * l.tiles_n;
        l.slices = conv2d_slices(caps, groups, slabs, LEAST_RUN, MOST_RUN, rows * columns);
        l.each   = diffad_ceil_div(slabs > 0 ? slabs : 1, l.slices);
        l.slices = diffad_ceil_div(slabs > 0 ? slabs : 1, l.each);
        const double useful = (double)(rows * columns) / ((double)groups * (double)(t->side_m * t->rm * t->side_n * t->rn));
        const double waves  = (double)(groups * l.slices) / (double)(caps->plan_units > 0 ? caps->plan_units : 1);
        const double busy   = waves / ceil(waves);
        const double score  = t->share * useful * busy * (l.slices > 1 ? 0.9 : 1.0) + (variant == (int)i ? 1 : 0);
        if (score > best_score) {
            best_score = score;
            best       = l;
        }
    }
    return best;
}

static diffad_launch tiled(const char *program, const char *kernel, const layout *y)
{
    diffad_launch l = diffad_launch_make(program, kernel, 0, 0);
    diffad_launch_items(&l, y->tiles_n * y->t.side_n, y->tiles_m * y->t.side_m, y->slices);
    diffad_launch_group(&l, y->t.side_n, y->t.side_m, 1);
    diffad_launch_def(&l, "RM", y->t.rm);
    diffad_launch_def(&l, "RN", y->t.rn);
    diffad_launch_local(&l, local_bytes(&y->t));
    return l;
}

/* ---- forward, and backward with respect to the input ---- */

static int64_t slabs_of(const conv2d_phase *p) { return diffad_ceil_div(p->in_c, DEPTH) * p->taps_y * p->taps_x; }

/* Weights in the order of the slabs, rows of `pitch` output channels. */
static diffad_status pack_rows(diffad_emit *e, const diffad_node *n, const conv2d_phase *p, int64_t pitch, int32_t *mem)
{
    const int64_t channels = diffad_round_up(p->in_c, DEPTH);
    char          key[96];
    bool          fresh;
    snprintf(key, sizeof key, "conv2d rows %s %d %d+%d*%d %d+%d*%d", p->input == 0 ? "forward" : "back", (int)pitch,
             (int)p->ky0, (int)p->taps_y, (int)p->k_step, (int)p->kx0, (int)p->taps_x, (int)p->k_step);
    DIFFAD_TRY(diffad_emit_pack(e, n, p->weight, key, slabs_of(p) * DEPTH * pitch, mem, &fresh));
    if (!fresh)
        return DIFFAD_OK;
    diffad_launch l = diffad_launch_make("conv2d_pack_rows", "conv2d_pack_rows", pitch, DIFFAD_GROUP);
    diffad_launch_items(&l, pitch, channels, 1);
    diffad_emit_in(&l, e, p->weight);
    diffad_launch_mem(&l, *mem, 0, DIFFAD_WRITE);
    const int64_t ints[] = { p->out_c, p->in_c, pitch, p->w_out, p->w_in, p->taps_y, p->taps_x, p->kw, p->ky0, p->kx0,
                             p->k_step };
    diffad_launch_ints(&l, ints, sizeof ints);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    diffad_emit_pack_end(e);
    return DIFFAD_OK;
}

/* `part`: where partial sums of all slices go, or -1 with one slice. */
static diffad_status emit_phase(diffad_emit *e, const diffad_node *n, const conv2d_phase *p, const layout *y, int32_t part)
{
    const int64_t slabs = slabs_of(p), pitch = y->tiles_m * y->t.side_m * y->t.rm;
    int32_t       packed = e->in[p->weight].mem;
    if (slabs > 0)
        DIFFAD_TRY(pack_rows(e, n, p, pitch, &packed));
    diffad_launch l = tiled("conv2d", "conv2d_phase", y);
    conv2d_add_inputs(&l, e, p, packed);
    if (part < 0)
        diffad_emit_out_updated(&l, e, 0);
    else
        diffad_launch_mem(&l, part, 0, DIFFAD_READ_WRITE);
    const int64_t ints[] = { p->in_c, p->in_h, p->in_w, p->out_c, p->out_h, p->out_w, p->rows, p->cols, p->row0,
                             p->col0, p->out_stride, p->taps_y, p->taps_x, p->stride, p->dilation, p->top, p->left,
                             p->n * p->rows * p->cols, slabs, diffad_ceil_div(slabs > 0 ? slabs : 1, y->slices), pitch,
                             part < 0 && p->bias >= 0 };
    diffad_launch_ints(&l, ints, sizeof ints);
    return diffad_emit_launch(e, &l);
}

diffad_status conv2d_add_slices(diffad_emit *e, const conv2d_phase *p, int64_t slices, int32_t part)
{
    const int64_t map = p->out_h * p->out_w;
    diffad_launch l = diffad_launch_make("gemm_epilogue", "gemm_slices", map, DIFFAD_GROUP);
    diffad_launch_items(&l, map, p->out_c, p->n);
    diffad_launch_mem(&l, part, 0, DIFFAD_READ);
    diffad_emit_out(&l, e, 0);
    if (p->bias >= 0)
        diffad_emit_in(&l, e, p->bias);
    else
        diffad_launch_mem(&l, part, 0, DIFFAD_READ);      /* in its place, not read */
    diffad_launch_int(&l, map);
    diffad_launch_int(&l, map);
    diffad_launch_count(&l, p->out_c * map);
    diffad_launch_int(&l, slices);
    diffad_launch_float(&l, 1.0);
    diffad_launch_int(&l, 0);
    diffad_launch_int(&l, p->bias >= 0 ? DIFFAD_GEMM_BIAS_ROWS : DIFFAD_GEMM_NO_BIAS);
    return diffad_emit_launch(e, &l);
}

diffad_status conv2d_portable_emit(diffad_emit *e, const diffad_node *n)
{
    conv2d_phase p, most = { 0 };
    for (int i = 0; conv2d_phase_at(n, i, &p); i++)
        if (p.rows > 0 && p.cols > 0 && slabs_of(&p) >= slabs_of(&most))
            most = p;
    const layout y = layout_of(e->caps, e->variant, most.out_c, most.n * most.rows * most.cols, slabs_of(&most));
    int32_t      part = -1;
    if (y.slices > 1)
        DIFFAD_TRY(diffad_emit_scratch(e, y.slices * most.n * most.out_c * most.out_h * most.out_w, 4, &part));
    for (int i = 0; conv2d_phase_at(n, i, &p); i++) {
        if (p.rows <= 0 || p.cols <= 0)
            continue;
        layout each = y;
        each.tiles_n = diffad_ceil_div(p.n * p.rows * p.cols, y.t.side_n * y.t.rn);
        DIFFAD_TRY(emit_phase(e, n, &p, &each, part));
    }
    return part < 0 ? DIFFAD_OK : conv2d_add_slices(e, &most, y.slices, part);
}

/* ---- backward with respect to the weight ---- */

diffad_status conv2d_portable_dw_emit(diffad_emit *e, const diffad_node *n)
{
    const conv2d_shape s = conv2d_shape_of(n);
    const int64_t      columns = s.i * s.kh * s.kw, terms = s.n * s.oh * s.ow, count = s.o * columns;
    const layout       y = layout_of(e->caps, e->variant, s.o, columns, diffad_ceil_div(terms, DEPTH));
    int32_t            part = -1;
    diffad_launch      l = tiled("conv2d_weight", "conv2d_weight", &y);
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    if (y.slices > 1) {
        DIFFAD_TRY(diffad_emit_scratch(e, y.slices * count, 4, &part));
        diffad_launch_mem(&l, part, 0, DIFFAD_READ_WRITE);
    } else {
        diffad_emit_out_updated(&l, e, 0);
    }
    const int64_t ints[] = { s.i, s.h, s.w, s.o, s.oh, s.ow, s.kh, s.kw, s.at.stride, s.at.dilation, s.at.top,
                             s.at.left, columns, terms, y.each * DEPTH };
    diffad_launch_ints(&l, ints, sizeof ints);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    return y.slices == 1 ? DIFFAD_OK : conv2d_add_weight_slices(e, count, y.slices, part);
}

diffad_status conv2d_add_weight_slices(diffad_emit *e, int64_t count, int64_t slices, int32_t part)
{
    diffad_launch sum = diffad_launch_make("conv2d_weight_sum", "conv2d_weight_sum", count, DIFFAD_GROUP);
    diffad_launch_mem(&sum, part, 0, DIFFAD_READ);
    diffad_emit_out(&sum, e, 0);
    diffad_launch_count(&sum, count);
    diffad_launch_int(&sum, slices);
    return diffad_emit_launch(e, &sum);
}
