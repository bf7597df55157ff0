/* conv2d_matrix.c: convolution on matrix units, with operands rounded to tf32, bf16 or f16 and sums in float32.
 * Kernels: cl/conv2d_matrix.cl, cl/conv2d_pack_words.cl, cl/conv2d_weight_matrix.cl. */
#include "op/conv2d.h"

#include <math.h>
#include <stdio.h>

enum {
    WORDS     = 8,           /* of a step along the terms, as in common/matrix.cl */
    TILE_M    = 16,
    LEAST_RUN = 4,           /* stages, or steps of a weight gradient, that a slice sums at least */
    MOST_RUN  = 4096
};

/* A team's items and columns of its tile (ITEMS_MMA, TILE_N); words that an item holds of both operands; sums and fetched floats that
 * an item may hold besides: with more, compilers have been seen to spill (tests/bench/compile_lab.tsv). */
typedef struct unit { int64_t team, tile_n, words, most_held; } unit;
static const unit units[DIFFAD_MATRICES] = {
    [DIFFAD_MATRIX_NVIDIA_80] = { 32, 8, 6, 96 },   [DIFFAD_MATRIX_NVIDIA_75] = { 32, 8, 6, 96 },
    [DIFFAD_MATRIX_NVIDIA_70] = { 32, 16, 16, 96 }, [DIFFAD_MATRIX_AMD_MFMA] = { 64, 16, 4, 96 },
    [DIFFAD_MATRIX_AMD_WMMA] = { 32, 16, 16, 48 },  [DIFFAD_MATRIX_INTEL_16] = { 16, 16, 16, 40 },
    [DIFFAD_MATRIX_INTEL_8] = { 8, 8, 24, 40 },
};

/* wm x wn teams, mt x nt tiles each, over windows of ph x pw outputs. `share`: of the device's rate that it reaches at best.
 * In the lists: for teams of 32 items and tiles of 8 columns. */
typedef struct tile { int64_t wm, wn, mt, nt, ph, pw; double share; const unit *unit; } tile;

static const tile tiles[] = {
    { 2, 2, 4, 4, 8, 8, 1.0, NULL }, { 2, 2, 2, 4, 8, 8, 0.7, NULL }, { 2, 2, 2, 2, 4, 8, 0.5, NULL }, { 1, 4, 1, 4, 8, 16, 0.4, NULL }, { 1, 2, 1, 2, 4, 8, 0.25, NULL },
};
static const tile weight_tiles[] = {
    { 2, 2, 4, 4, 0, 0, 1.0, NULL }, { 2, 2, 2, 4, 0, 0, 0.8, NULL }, { 2, 2, 2, 2, 0, 0, 0.6, NULL }, { 1, 4, 1, 2, 0, 0, 0.4, NULL },
};

int conv2d_matrix_variants(const diffad_node *n, const diffad_caps *caps)
{
    (void)caps;
    return (int)(n->op == &diffad_op_conv2d_dw ? sizeof weight_tiles / sizeof weight_tiles[0] : sizeof tiles / sizeof tiles[0]);
}

static int64_t items_of(const tile *t) { return t->wm * t->wn * t->unit->team; }
static int64_t rows_of(const tile *t) { return t->wm * t->mt * TILE_M; }
static int64_t columns_of(const tile *t) { return t->wn * t->nt * t->unit->tile_n; }

/* A tile of the lists with a device's teams: the same rows and columns; small teams are more. False: it cannot be shared out. */
static bool tile_for(const diffad_caps *caps, const tile *from, tile *t)
{
    *t      = *from;
    t->unit = &units[caps->matrix];
    t->nt   = from->nt * 8 / t->unit->tile_n;
    for (int64_t team = t->unit->team; team < 32; team *= 2)
        if (t->mt % 2 == 0) {
            t->wm *= 2;
            t->mt /= 2;
        } else if (t->nt % 2 == 0) {
            t->wn *= 2;
            t->nt /= 2;
        } else {
            return false;
        }
    return (uint64_t)items_of(t) <= caps->max_group;
}

static int64_t word_terms(diffad_precision p) { return p == DIFFAD_PRECISION_TF32 ? 1 : 2; }

/* How much of the device's rate is left: results beyond the edge, and compute units without work. */
static double score_of(const diffad_caps *caps, const tile *t, double useful, int64_t groups, int64_t slices)
{
    const double waves = (double)(groups * slices) / (double)(caps->plan_units > 0 ? caps->plan_units : 1);
    return t->share * useful * (waves / ceil(waves)) * (slices > 1 ? 0.9 : 1.0);
}

/* What the unit's layout without the unit needs of local memory besides. */
static int64_t plain_local(const diffad_caps *caps, const tile *t) { return caps->matrix_is_plain ? items_of(t) * t->unit->words * 4 : 0; }

static void add_unit(diffad_launch *l, diffad_precision precision, const diffad_caps *caps)
{
    diffad_launch_def(l, "TYPE", precision);
    diffad_launch_def(l, "UNIT", caps->matrix);
    diffad_launch_def(l, "PLAIN", caps->matrix_is_plain);
}

static void add_tile(diffad_launch *l, const tile *t, diffad_precision precision, const diffad_caps *caps)
{
    add_unit(l, precision, caps);
    diffad_launch_def(l, "WM", t->wm);
    diffad_launch_def(l, "WN", t->wn);
    diffad_launch_def(l, "MT", t->mt);
    diffad_launch_def(l, "NT", t->nt);
}

/* ---- forward, and backward with respect to the input ---- */

/* How a phase is cut up. A stage is `sub` blocks of WORDS words of input channels. */
typedef struct cut {
    tile    t;
    int64_t sub, blocks, stages, each, slices, windows, groups_m;
    int64_t local;
    double  score;
} cut;

static int64_t taps_of(const conv2d_phase *p) { return p->taps_y * p->taps_x; }
static int64_t halo_of(const conv2d_phase *p, const tile *t)
{
    return ((t->ph - 1) * p->stride + (p->taps_y - 1) * p->dilation + 1) *
           ((t->pw - 1) * p->stride + (p->taps_x - 1) * p->dilation + 1);
}

/* `slices` 0: as many as are good for the device. */
static cut cut_of(const diffad_caps *caps, const conv2d_phase *p, diffad_precision precision, const tile *t, int64_t slices)
{
    cut c = { .t = *t, .sub = taps_of(p) > 1 ? 1 : 2, .groups_m = diffad_ceil_div(p->out_c, rows_of(t)) };
    c.blocks  = diffad_ceil_div(p->in_c, WORDS * word_terms(precision));
    c.stages  = taps_of(p) ? diffad_ceil_div(c.blocks, c.sub) : 0;
    c.windows = p->n * diffad_ceil_div(p->rows, t->ph) * diffad_ceil_div(p->cols, t->pw);
    c.local   = (taps_of(p) ? 2 * c.sub * halo_of(p, t) * WORDS * 4 : 32) + plain_local(caps, t);
    c.slices  = slices ? slices : conv2d_slices(caps, c.groups_m * c.windows, c.stages, LEAST_RUN, MOST_RUN,
                                                p->n * p->out_c * p->out_h * p->out_w);
    c.each    = diffad_ceil_div(c.stages > 0 ? c.stages : 1, c.slices);
    if (!slices)
        c.slices = diffad_ceil_div(c.stages > 0 ? c.stages : 1, c.each);
    const double done = (double)(c.windows * t->ph * t->pw) * (double)(c.groups_m * rows_of(t));
    c.score = score_of(caps, t, (double)(p->n * p->rows * p->cols) * (double)p->out_c / done, c.windows * c.groups_m, c.slices);
    return c;
}

/* Whether an item can hold its sums and the floats that it fetches for the next stage. */
static bool holds(const tile *t, int64_t fetched) { return t->mt * t->nt * TILE_M * t->unit->tile_n / t->unit->team + fetched <= t->unit->most_held; }

static int64_t fetched_by(const cut *c, const conv2d_phase *p, diffad_precision precision)
{
    return 4 * word_terms(precision) * diffad_ceil_div(2 * c->sub * halo_of(p, &c->t), items_of(&c->t));
}

/* `variant`: that tile, where the device can have it. */
static diffad_status best_cut(const diffad_caps *caps, const diffad_node *n, const conv2d_phase *p, diffad_precision precision, int variant,
                              cut *best)
{
    best->score = 0;
    for (size_t i = 0; i < sizeof tiles / sizeof tiles[0]; i++) {
        tile t;
        if (!tile_for(caps, &tiles[i], &t))
            continue;
        cut c = cut_of(caps, p, precision, &t, 0);
        c.score += variant == (int)i ? 1 : 0;
        if ((uint64_t)c.local <= caps->local_mem && holds(&c.t, fetched_by(&c, p, precision)) && c.score > best->score)
            *best = c;
    }
    if (best->score <= 0)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "%s: no tile for matrix units fits %s's %llu bytes of local memory", n->op->name,
                    caps->name, (unsigned long long)caps->local_mem);
    return DIFFAD_OK;
}

/* Not where every tile is too large for an item's registers, by halos of wide strides. */
bool conv2d_matrix_fits(const diffad_node *n, const diffad_caps *caps)
{
    conv2d_phase p;
    cut          c;
    if (units[caps->matrix].team == 0 || caps->max_group < 128)
        return false;
    for (int i = 0; n->op != &diffad_op_conv2d_dw && conv2d_phase_at(n, i, &p); i++)
        if (p.rows > 0 && p.cols > 0 && best_cut(caps, n, &p, caps->precision, -1, &c) != DIFFAD_OK)
            return false;
    return true;
}

diffad_status conv2d_pack_words(diffad_emit *e, const diffad_node *n, const conv2d_phase *p, diffad_precision precision,
                                int64_t out_tiles, int64_t side, int64_t words, int32_t *mem)
{
    char key[96];
    bool fresh;
    snprintf(key, sizeof key, "conv2d %s/%d %s %d %d %d+%d*%d %d+%d*%d", diffad_precision_name(precision), (int)e->caps->matrix,
             p->input == 0 ? "forward" : "back", (int)out_tiles, (int)words, (int)p->ky0, (int)p->taps_y, (int)p->k_step, (int)p->kx0,
             (int)p->taps_x, (int)p->k_step);
    DIFFAD_TRY(diffad_emit_pack(e, n, p->weight, key, words * taps_of(p) * out_tiles * TILE_M, mem, &fresh));
    if (!fresh)
        return DIFFAD_OK;
    diffad_launch l = diffad_launch_make("conv2d_pack_words", "conv2d_pack_words", out_tiles * TILE_M, DIFFAD_GROUP);
    add_unit(&l, precision, e->caps);
    diffad_launch_items(&l, out_tiles * TILE_M, words, taps_of(p));
    diffad_emit_in(&l, e, p->weight);
    diffad_launch_mem(&l, *mem, 0, DIFFAD_WRITE);
    const int64_t ints[] = { p->out_c, p->in_c, out_tiles, side, p->w_out, p->w_in, p->taps_y, p->taps_x, p->kw, p->ky0, p->kx0, p->k_step };
    diffad_launch_ints(&l, ints, sizeof ints);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    diffad_emit_pack_end(e);
    return DIFFAD_OK;
}

/* `part`: where partial sums of all slices go, or -1 with one slice. */
static diffad_status emit_phase(diffad_emit *e, const diffad_node *n, const conv2d_phase *p, diffad_precision precision,
                                const cut *c, int32_t part)
{
    const int64_t out_tiles = c->groups_m * c->t.wm * c->t.mt;
    int32_t       packed = e->in[p->weight].mem;
    if (c->stages > 0)
        DIFFAD_TRY(conv2d_pack_words(e, n, p, precision, out_tiles, out_tiles, c->stages * c->sub * WORDS, &packed));
    diffad_launch l = diffad_launch_make("conv2d_matrix", "conv2d_matrix", 0, 0);
    diffad_launch_items(&l, c->windows * items_of(&c->t), c->groups_m, c->slices);
    diffad_launch_group(&l, items_of(&c->t), 1, 1);
    add_tile(&l, &c->t, precision, e->caps);
    diffad_launch_def(&l, "PH", c->t.ph);
    diffad_launch_def(&l, "PW", c->t.pw);
    diffad_launch_def(&l, "SUB", c->sub);
    diffad_launch_def(&l, "TAPS_Y", c->stages ? p->taps_y : 1);
    diffad_launch_def(&l, "TAPS_X", c->stages ? p->taps_x : 1);
    diffad_launch_def(&l, "STRIDE", p->stride);
    diffad_launch_def(&l, "DILATION", p->dilation);
    diffad_launch_local(&l, c->local);
    conv2d_add_inputs(&l, e, p, packed);
    if (part < 0)
        diffad_emit_out_updated(&l, e, 0);
    else
        diffad_launch_mem(&l, part, 0, DIFFAD_READ_WRITE);
    const int64_t ints[] = { p->in_c, p->in_h, p->in_w, p->out_c, p->out_h, p->out_w, p->rows, p->cols, p->row0, p->col0,
                             p->out_stride, p->top, p->left, c->stages, c->each, out_tiles,
                             part < 0 && p->bias >= 0 };
    diffad_launch_ints(&l, ints, sizeof ints);
    return diffad_emit_launch(e, &l);
}

diffad_status conv2d_matrix_emit(diffad_emit *e, const diffad_node *n, diffad_precision precision)
{
    conv2d_phase p, most = { 0 };
    cut          c = { .slices = 0 };
    int32_t      part = -1;
    for (int i = 0; conv2d_phase_at(n, i, &p); i++)
        if (p.rows > 0 && p.cols > 0 && taps_of(&p) >= taps_of(&most))
            most = p;
    DIFFAD_TRY(best_cut(e->caps, n, &most, precision, e->variant, &c));
    if (c.slices > 1)
        DIFFAD_TRY(diffad_emit_scratch(e, c.slices * most.n * most.out_c * most.out_h * most.out_w, 4, &part));
    for (int i = 0; conv2d_phase_at(n, i, &p); i++) {
        if (p.rows <= 0 || p.cols <= 0)
            continue;
        const cut each = cut_of(e->caps, &p, precision, &c.t, c.slices);
        DIFFAD_TRY(emit_phase(e, n, &p, precision, &each, part));
    }
    return part < 0 ? DIFFAD_OK : conv2d_add_slices(e, &most, c.slices, part);
}

/* ---- backward with respect to the weight ---- */

diffad_status conv2d_matrix_dw_emit(diffad_emit *e, const diffad_node *n, diffad_precision precision)
{
    const conv2d_shape s = conv2d_shape_of(n);
    const int64_t columns = s.i * s.kh * s.kw, terms = s.n * s.oh * s.ow, count = s.o * columns, step = WORDS * word_terms(precision);
    tile          best_tile = { .unit = NULL };
    const tile   *t = &best_tile;
    int64_t       slices = 1, m = 0, across = 0;
    double        best = 0;
    int32_t       part = -1;
    for (size_t i = 0; i < sizeof weight_tiles / sizeof weight_tiles[0]; i++) {
        tile fitted;
        if (!tile_for(e->caps, &weight_tiles[i], &fitted) || items_of(&fitted) > WORDS * rows_of(&fitted) ||
            items_of(&fitted) > WORDS * columns_of(&fitted))      /* each item fetches a word of both operands at least */
            continue;
        if (!holds(&fitted, word_terms(precision) * WORDS * (rows_of(&fitted) + columns_of(&fitted)) / items_of(&fitted)))
            continue;
        const tile   *w = &fitted;
        const int64_t tn = columns_of(w), gm = diffad_ceil_div(s.o, rows_of(w)), gn = diffad_ceil_div(columns, tn);
        const int64_t k = conv2d_slices(e->caps, gm * gn, diffad_ceil_div(terms, step), LEAST_RUN * 4, MOST_RUN, count);
        const double  score = score_of(e->caps, w, (double)count / ((double)(gm * rows_of(w)) * (double)(gn * tn)), gm * gn, k) +
                              (e->variant == (int)i ? 1 : 0);
        if (score > best) {
            best      = score;
            best_tile = fitted;
            slices = k;
            m      = gm;
            across = gn;
        }
    }
    if (!t->unit)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "%s: no tile for matrix units fits %s", n->op->name, e->caps->name);
    const int64_t run = diffad_ceil_div(diffad_ceil_div(terms, step), slices) * step;
    slices = diffad_ceil_div(terms, run);
    diffad_launch l = diffad_launch_make("conv2d_weight_matrix", "conv2d_weight_matrix", 0, 0);
    diffad_launch_items(&l, across * items_of(t), m, slices);
    diffad_launch_group(&l, items_of(t), 1, 1);
    add_tile(&l, t, precision, e->caps);
    diffad_launch_local(&l, 2 * WORDS * 4 * (rows_of(t) + columns_of(t)) + plain_local(e->caps, t));
    diffad_emit_in(&l, e, 0);
    diffad_emit_in(&l, e, 1);
    if (slices > 1) {
        DIFFAD_TRY(diffad_emit_scratch(e, slices * count, 4, &part));
        diffad_launch_mem(&l, part, 0, DIFFAD_READ_WRITE);
    } else {
        diffad_emit_out_updated(&l, e, 0);
    }
    const int64_t ints[] = { s.i, s.h, s.w, s.o, s.oh, s.ow, s.kh, s.kw, s.at.stride, s.at.dilation, s.at.top, s.at.left, columns,
                             terms, run };
    diffad_launch_ints(&l, ints, sizeof ints);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    return slices == 1 ? DIFFAD_OK : conv2d_add_weight_slices(e, count, slices, part);
}
