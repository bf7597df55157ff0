/* conv2d_winograd_dw.c: the gradient of 3x3 weights without stride by Winograd's F(4x4,3x3) on channel-blocked maps, for
 * CPUs: a quarter of the products of the direct way. Kernels: cl/conv2d_winograd_tiles.cl, cl/conv2d_winograd_dw.cl. */
#include "op/conv2d.h"

enum {
    SIDE          = 4,          /* outputs of a tile along an axis */
    POINTS        = 36,         /* sums per pair of channels */
    RUN           = 16,         /* tiles transformed by a work-item */
    EACH          = 128,        /* most tiles of a chunk: a row of each operand stays in the first-level cache */
    LEAST_TILES   = 16,        /* fewer do not pay for the transforms of their sums */
    MOST_SUMS     = POINTS * 512 * 512,
    SCRATCH_BYTES = 8 << 20     /* transformed operands made at a time, for the cache that the cores share */
};

typedef struct walk {
    conv2d_shape s;
    conv2d_tile  tile;
    int64_t      in_blocks, outs;                       /* outs: of 16 channels, times the tile's vectors */
    int64_t      tiles_x, tiles_each, tiles;            /* of a row, a sample, all */
    int64_t      each, chunks, per_launch;              /* tiles of a chunk; chunks, and those made at a time */
    int64_t      x_chunk, dy_chunk;                     /* floats of a chunk */
} walk;

static walk walk_of(const diffad_caps *caps, const diffad_node *n)
{
    walk k = { .s = conv2d_shape_of(n) };
    k.tile       = conv2d_tile_of(caps, k.s.o);
    k.in_blocks  = diffad_ceil_div(k.s.i, CONV2D_LANES);
    k.outs       = diffad_ceil_div(k.s.o, CONV2D_LANES * k.tile.vectors);
    k.tiles_x    = diffad_ceil_div(k.s.ow, SIDE);
    k.tiles_each = k.tiles_x * diffad_ceil_div(k.s.oh, SIDE);
    k.tiles      = k.tiles_each * k.s.n;
    k.each       = k.tiles < EACH ? diffad_round_up(k.tiles, RUN) : EACH;
    k.chunks     = diffad_ceil_div(k.tiles, k.each);
    k.x_chunk    = POINTS * k.each * k.in_blocks * CONV2D_LANES;
    k.dy_chunk   = POINTS * k.each * k.outs * k.tile.vectors * CONV2D_LANES;
    k.per_launch = SCRATCH_BYTES / ((k.x_chunk + k.dy_chunk) * (int64_t)sizeof(float));
    k.per_launch = k.per_launch < 1 ? 1 : k.per_launch > k.chunks ? k.chunks : k.per_launch;
    return k;
}

bool conv2d_winograd_dw_fits(const diffad_node *n, const diffad_caps *caps)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return conv2d_blocked_fits(n, caps) && s.kh == 3 && s.kw == 3 && s.at.stride == 1 && s.at.dilation == 1 &&
           s.i >= 2 * CONV2D_LANES && s.o >= 2 * CONV2D_LANES && s.i * s.o * POINTS <= MOST_SUMS &&
           s.n * diffad_ceil_div(s.oh, SIDE) * diffad_ceil_div(s.ow, SIDE) >= LEAST_TILES;
}

/* Operand 0 (x) or 1 (dy), some chunks of it. */
static diffad_status emit_tiles(diffad_emit *e, const walk *k, int operand, int64_t first, int64_t chunks, int32_t to)
{
    const bool    is_x = operand == 0;
    diffad_launch l = diffad_launch_make("conv2d_winograd_tiles", "conv2d_winograd_tiles", 1, 1);
    diffad_launch_items(&l, chunks * k->each / RUN, is_x ? k->in_blocks : k->outs * k->tile.vectors, 1);
    diffad_launch_def(&l, "SIDE", is_x ? SIDE + 2 : SIDE);
    diffad_launch_def(&l, "RUN", RUN);
    diffad_emit_in(&l, e, operand);
    diffad_launch_mem(&l, to, 0, DIFFAD_WRITE);
    const int64_t ints[] = { is_x ? k->s.h : k->s.oh, is_x ? k->s.w : k->s.ow, k->tiles_x, k->tiles_each, first * k->each, k->tiles,
                             k->each, is_x ? k->s.at.top : 0, is_x ? k->s.at.left : 0 };
    diffad_launch_ints(&l, ints, sizeof ints);
    return diffad_emit_queued(e, &l);
}

static diffad_launch sums_launch(const walk *k, const char *kernel, int64_t second)
{
    diffad_launch l = diffad_launch_make("conv2d_winograd_dw", kernel, 1, 1);
    diffad_launch_items(&l, k->outs, second, 1);
    diffad_launch_def(&l, "V", k->tile.vectors);
    diffad_launch_def(&l, "J", k->tile.scalars);
    return l;
}

static diffad_status emit_sums(diffad_emit *e, const walk *k, int64_t chunks, bool is_first, int32_t x, int32_t dy, int32_t sum)
{
    diffad_launch l = sums_launch(k, "conv2d_winograd_dw", POINTS);
    diffad_launch_mem(&l, x, 0, DIFFAD_READ);
    diffad_launch_mem(&l, dy, 0, DIFFAD_READ);
    diffad_launch_mem(&l, sum, 0, is_first ? DIFFAD_WRITE : DIFFAD_READ_WRITE);
    const int64_t ints[] = { k->in_blocks, k->each, chunks, is_first };
    diffad_launch_ints(&l, ints, sizeof ints);
    return diffad_emit_queued(e, &l);
}

diffad_status conv2d_winograd_dw_emit(diffad_emit *e, const diffad_node *n)
{
    const walk     k = walk_of(e->caps, n);
    const int64_t  block = CONV2D_LANES * CONV2D_LANES * k.tile.vectors * k.outs * k.in_blocks;
    conv2d_partial part = { .chunks = 1, .vectors = k.tile.vectors, .scalars = k.tile.scalars, .inner_block = CONV2D_LANES, .by_output = true };
    int32_t        x, dy, sum;
    DIFFAD_TRY(diffad_emit_scratch(e, k.per_launch * k.x_chunk, sizeof(float), &x));
    DIFFAD_TRY(diffad_emit_scratch(e, k.per_launch * k.dy_chunk, sizeof(float), &dy));
    DIFFAD_TRY(diffad_emit_scratch(e, POINTS * block, sizeof(float), &sum));
    DIFFAD_TRY(diffad_emit_scratch(e, 9 * block, sizeof(float), &part.mem));
    for (int64_t first = 0; first < k.chunks; first += k.per_launch) {
        const int64_t chunks = k.chunks - first < k.per_launch ? k.chunks - first : k.per_launch;
        DIFFAD_TRY(emit_tiles(e, &k, 0, first, chunks, x));
        DIFFAD_TRY(emit_tiles(e, &k, 1, first, chunks, dy));
        DIFFAD_TRY(emit_sums(e, &k, chunks, first == 0, x, dy, sum));
    }
    diffad_launch l = sums_launch(&k, "conv2d_winograd_dw_end", k.in_blocks);
    diffad_launch_mem(&l, sum, 0, DIFFAD_READ);
    diffad_launch_mem(&l, part.mem, 0, DIFFAD_WRITE);
    DIFFAD_TRY(diffad_emit_launch(e, &l));
    return conv2d_sum_partial(e, &k.s, &part);
}
