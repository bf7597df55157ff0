/* conv2d_winograd.c: 3x3 convolutions without stride, and their gradient with respect to the input, by Winograd's
 * F(4x4,3x3) on channel-blocked maps, for CPUs: a quarter of the products of the direct way. Kernels:
 * cl/conv2d_winograd.cl, cl/conv2d_winograd_input.cl. Tiles are taken one after the other through all samples, in
 * chunks: a chunk's transformed inputs are made by one launch and multiplied by the next while they are in the cache
 * that the cores share. */
#include "device/registers.h"
#include "op/conv2d.h"

enum {
    SIDE          = 4,          /* outputs of a tile along an axis */
    POINTS        = 36,         /* products per tile and pair of channels */
    CHUNK         = 96,         /* most tiles in a chunk: its sums stay in the second-level cache */
    DEPTH         = 4,          /* blocks of input channels that are summed at a time: transformed weights stay there, too */
    SCRATCH_BYTES = 12 << 20    /* transformed inputs made at a time */
};

/* Tiles that are multiplied at once: as many sums as there are vector registers, but for a few; two thirds of that where so many
 * would stay empty (maps of 8x8 are 4 tiles, of 16x16 are 16). No bit depends on it: a tile's sums are its own. */
static int64_t tiles_at_once(const diffad_caps *caps, int64_t tiles)
{
    const int64_t most = diffad_has_wide_vectors(caps) ? 12 : 6, fewer = most * 2 / 3;
    return 10 * diffad_round_up(tiles, most) > 11 * diffad_round_up(tiles, fewer) ? fewer : most;
}

/* Of the kernel: a row of transformed weights, and the sums of a chunk. */
enum { LOCAL_BYTES = 4 * CONV2D_LANES * (6 * DEPTH * CONV2D_LANES + POINTS * CHUNK) };

bool conv2d_winograd_fits(const diffad_node *n, const diffad_caps *caps)
{
    const conv2d_shape s = conv2d_shape_of(n);
    return conv2d_blocked_fits(n, caps) && (int64_t)caps->local_mem >= LOCAL_BYTES && s.kh == 3 && s.kw == 3 &&
           s.at.stride == 1 && s.at.dilation == 1 && s.i >= 2 * CONV2D_LANES && s.o >= 2 * CONV2D_LANES &&
           s.oh * s.ow >= SIDE * SIDE;
}

typedef struct walk {
    conv2d_phase p;
    int64_t      at_once, in_blocks, out_blocks, vectors;
    int64_t      tiles_x, tiles_each, tiles, groups, chunk;      /* tiles of a row, a sample, all; of a chunk */
    int64_t      per_launch, chunks;                             /* chunks */
} walk;

static walk walk_of(const diffad_emit *e, const conv2d_phase *p)
{
    walk k = { .p = *p, .in_blocks = diffad_ceil_div(p->in_c, CONV2D_LANES),
               .out_blocks = diffad_ceil_div(p->out_c, CONV2D_LANES), .tiles_x = diffad_ceil_div(p->cols, SIDE) };
    k.vectors    = conv2d_tile_of(e->caps, p->out_c).vectors;
    k.tiles_each = k.tiles_x * diffad_ceil_div(p->rows, SIDE);
    k.tiles      = k.tiles_each * p->n;
    k.at_once    = tiles_at_once(e->caps, k.tiles);
    k.groups     = diffad_ceil_div(k.tiles, k.at_once);
    k.groups     = k.groups < CHUNK / k.at_once ? k.groups : CHUNK / k.at_once;
    k.chunk      = k.groups * k.at_once;
    k.chunks     = diffad_ceil_div(k.tiles, k.chunk);
    k.per_launch = SCRATCH_BYTES / (k.chunk * k.in_blocks * CONV2D_LANES * POINTS * 4);
    k.per_launch = k.per_launch < 1 ? 1 : k.per_launch > k.chunks ? k.chunks : k.per_launch;
    return k;
}

static diffad_status emit_input(diffad_emit *e, const walk *k, int64_t first, int64_t chunks, int32_t v)
{
    const conv2d_phase *p = &k->p;
    diffad_launch       l = diffad_launch_make("conv2d_winograd_input", "conv2d_winograd_input", 1, 1);
    diffad_launch_def(&l, "DEPTH", DEPTH);
    diffad_launch_items(&l, chunks * k->groups, 1, 1);
    diffad_emit_in(&l, e, p->input);
    diffad_launch_mem(&l, v, 0, DIFFAD_WRITE);
    const int64_t ints[] = { k->in_blocks, p->in_h, p->in_w, k->tiles_x, k->tiles_each, first * k->chunk, k->tiles,
                             k->groups, k->at_once, p->top, p->left };
    diffad_launch_ints(&l, ints, sizeof ints);
    return diffad_emit_queued(e, &l);
}

static diffad_status emit_products(diffad_emit *e, const walk *k, int64_t first, int64_t chunks, int32_t v,
                                   int32_t packed)
{
    const conv2d_phase *p = &k->p;
    diffad_launch       l = diffad_launch_make("conv2d_winograd", "conv2d_winograd", 1, 1);
    diffad_launch_def(&l, "P", k->at_once);
    diffad_launch_def(&l, "W_LANES", CONV2D_LANES * k->vectors);
    diffad_launch_def(&l, "DEPTH", DEPTH);
    diffad_launch_def(&l, "GROUPS", CHUNK / k->at_once);
    diffad_launch_items(&l, k->out_blocks, chunks, 1);
    diffad_launch_local(&l, LOCAL_BYTES);
    diffad_launch_mem(&l, v, 0, DIFFAD_READ);
    diffad_launch_mem(&l, packed, 0, DIFFAD_READ);
    if (p->bias >= 0)
        diffad_emit_in(&l, e, p->bias);
    else
        diffad_launch_mem(&l, packed, 0, DIFFAD_READ);      /* in its place, not read */
    diffad_emit_out_updated(&l, e, 0);
    const int64_t ints[] = { k->in_blocks, k->out_blocks, p->out_c, p->out_h, p->out_w, k->tiles_x, k->tiles_each,
                             first * k->chunk, k->tiles, k->groups, p->bias >= 0 };
    diffad_launch_ints(&l, ints, sizeof ints);
    conv2d_add_tail(&l, e, p, packed);
    return diffad_emit_queued(e, &l);
}

diffad_status conv2d_winograd_emit(diffad_emit *e, const diffad_node *n)
{
    conv2d_phase p;
    int32_t      packed, v;
    conv2d_phase_at(n, 0, &p);
    const walk k = walk_of(e, &p);
    DIFFAD_TRY(conv2d_pack(e, n, &p, true, k.vectors, CONV2D_LANES, &packed));
    DIFFAD_TRY(diffad_emit_scratch(e, k.per_launch * k.chunk * k.in_blocks * CONV2D_LANES * POINTS, 4, &v));
    for (int64_t first = 0; first < k.chunks; first += k.per_launch) {
        const int64_t chunks = k.chunks - first < k.per_launch ? k.chunks - first : k.per_launch;
        DIFFAD_TRY(emit_input(e, &k, first, chunks, v));
        DIFFAD_TRY(emit_products(e, &k, first, chunks, v, packed));
    }
    return DIFFAD_OK;
}
