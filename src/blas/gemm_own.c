/* gemm_own.c: the own matrix products. Kernels: cl/gemm_cpu.cl, gemm_pack.cl (cpu), gemm_tile.cl,
 * gemm_epilogue.cl (tile). */
#include "blas/gemm_ways.h"
#include "device/registers.h"
#include "base/size.h"

#include <stdio.h>

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

void diffad_gemm_bias_arg(diffad_launch *l, const diffad_gemm *g)
{
    if (g->bias_kind == DIFFAD_GEMM_NO_BIAS)
        diffad_launch_mem(l, g->a.mem, g->a.offset, DIFFAD_READ);
    else
        diffad_launch_mem(l, g->bias_mem, g->bias_offset, DIFFAD_READ);
}

diffad_status diffad_gemm_add_bias(const diffad_gemm_sink *sink, const diffad_gemm *g)
{
    diffad_launch l = diffad_launch_make("gemm_epilogue", "gemm_bias", g->n, 64);
    diffad_launch_items(&l, g->n, g->m, g->batch);
    diffad_launch_mem(&l, g->c.mem, g->c.offset, DIFFAD_READ_WRITE);
    diffad_gemm_bias_arg(&l, g);
    diffad_launch_int(&l, g->n);
    diffad_launch_int(&l, g->c.ld);
    diffad_launch_count(&l, g->c.stride);
    diffad_launch_int(&l, g->bias_kind);
    return sink->add(sink->user, &l);
}

/* ---- cpu ---- */

/* The register block: rows x vecs accumulators of 16 floats. On 512-bit machines 24 of 32 registers hold sums; a
 * float16 takes two 256-bit or four 128-bit registers, of which there are 16. */
typedef struct block { int64_t rows, vecs; } block;

static const block blocks[] = { { 6, 4 }, { 12, 2 }, { 12, 1 }, { 6, 2 }, { 6, 1 }, { 3, 1 } };

int diffad_gemm_cpu_variants(void) { return (int)(sizeof blocks / sizeof blocks[0]); }

static block pick_block(const diffad_caps *caps, int variant, int64_t n)
{
    if (variant >= 0)
        return blocks[variant];
    if (diffad_has_wide_vectors(caps))
        return n > 32 ? (block){ 6, 4 } : n > 16 ? (block){ 12, 2 } : (block){ 12, 1 };
    return caps->native_float >= 8 ? (block){ 6, 1 } : (block){ 3, 1 };
}

/* An operand in the form the kernel reads: B in panels [ceil(N/width)][K][width] with zeros in the last, A as rows
 * [M,K]. */
typedef struct packing {
    char                       operand;
    const diffad_gemm_operand *o;
    int64_t                    rows, columns, count;      /* as stored; elements of one packed matrix */
    bool                       is_turned;
} packing;

enum { PACK_DEPTH = 256 };      /* rows of a panel per work-item */

static void pack_args(diffad_launch *l, const packing *p, int32_t mem, int64_t extent, int64_t k)
{
    diffad_launch_mem(l, p->o->mem, p->o->offset, DIFFAD_READ);
    diffad_launch_mem(l, mem, 0, DIFFAD_WRITE);
    diffad_launch_int(l, extent);
    diffad_launch_int(l, k);
    diffad_launch_int(l, p->o->ld);
    diffad_launch_count(l, p->o->stride);
    diffad_launch_count(l, p->count);
}

static diffad_status pack(const diffad_gemm_sink *sink, const packing *p, int64_t width, int64_t batch, int32_t *mem)
{
    const bool    is_kept = sink->pack && p->o->offset == 0, is_b = p->operand == 'b';
    const int64_t extent = p->is_turned ? p->rows : p->columns, k = p->is_turned ? p->columns : p->rows;
    bool          fresh = true;
    char          key[96];
    batch = p->o->stride > 0 ? batch : 1;
    snprintf(key, sizeof key, "gemm %c%lld %lldx%lld*%lld ld%lld s%lld t%d", p->operand, (long long)width,
             (long long)p->rows, (long long)p->columns, (long long)batch, (long long)p->o->ld,
             (long long)p->o->stride, p->is_turned);
    DIFFAD_TRY(is_kept ? sink->pack(sink->user, p->operand, key, batch * p->count, mem, &fresh)
                       : sink->scratch(sink->user, batch * p->count, mem));
    if (!fresh)
        return DIFFAD_OK;
    diffad_launch l = diffad_launch_make("gemm_pack", p->is_turned ? "pack_turned" : "pack_straight", 1, 1);
    diffad_launch_items(&l, diffad_ceil_div(extent, width), diffad_ceil_div(k, PACK_DEPTH), batch);
    diffad_launch_def(&l, "WIDTH", width);
    diffad_launch_def(&l, "DEPTH", PACK_DEPTH);
    pack_args(&l, p, *mem, extent, k);
    if (p->is_turned) {
        diffad_launch_count(&l, is_b ? width * k : width);
        diffad_launch_int(&l, is_b ? width : extent);
        diffad_launch_int(&l, is_b);
    }
    const diffad_status st = sink->add(sink->user, &l);
    if (is_kept)
        sink->pack_end(sink->user);
    return st;
}

/* Panels of rows that one work-group handles: at least 8 groups a core, so that cores finish together. */
static int64_t rows_per_group(const diffad_caps *caps, int64_t row_panels, int64_t others)
{
    const int64_t want   = 8 * (int64_t)most(caps->plan_units, 1);
    const int64_t chunks = least(diffad_ceil_div(want, others), diffad_ceil_div(row_panels, 4));
    return diffad_ceil_div(row_panels, most(chunks, 1));
}

diffad_status diffad_gemm_cpu(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g)
{
    const block   blk   = pick_block(caps, g->variant, g->n);
    const int64_t width = blk.vecs * 16, columns = diffad_ceil_div(g->n, width), rows = diffad_ceil_div(g->m, blk.rows);
    const bool    ta = g->transpose_a, tb = g->transpose_b;
    const packing pa = { 'a', &g->a, g->k, g->m, g->m * g->k, true };
    const packing pb = { 'b', &g->b, tb ? g->n : g->k, tb ? g->k : g->n, columns * width * g->k, tb };
    const int64_t per_group = rows_per_group(caps, rows, columns * g->batch);
    int32_t       a = g->a.mem, b;
    DIFFAD_TRY(pack(sink, &pb, width, g->batch, &b));
    if (ta)
        DIFFAD_TRY(pack(sink, &pa, width, g->batch, &a));
    diffad_launch l = diffad_launch_make("gemm_cpu", "gemm_cpu", columns, 1);
    diffad_launch_items(&l, columns, diffad_ceil_div(rows, per_group), g->batch);
    diffad_launch_def(&l, "P", blk.rows);
    diffad_launch_def(&l, "V", blk.vecs);
    diffad_launch_def(&l, "KB", blk.vecs == 4 ? 256 : 512);
    diffad_launch_mem(&l, a, ta ? 0 : g->a.offset, DIFFAD_READ);
    diffad_launch_mem(&l, b, 0, DIFFAD_READ);
    diffad_launch_mem(&l, g->c.mem, g->c.offset, g->beta ? DIFFAD_READ_WRITE : DIFFAD_WRITE);
    diffad_gemm_bias_arg(&l, g);
    diffad_launch_int(&l, g->m);
    diffad_launch_int(&l, g->n);
    diffad_launch_int(&l, g->k);
    diffad_launch_int(&l, ta ? g->k : g->a.ld);
    diffad_launch_int(&l, g->c.ld);
    diffad_launch_count(&l, g->a.stride > 0 && ta ? pa.count : g->a.stride);
    diffad_launch_count(&l, g->b.stride > 0 ? pb.count : 0);
    diffad_launch_count(&l, g->c.stride);
    diffad_launch_int(&l, per_group);
    diffad_launch_float(&l, g->alpha);
    diffad_launch_int(&l, g->beta);
    diffad_launch_int(&l, g->bias_kind);
    return sink->add(sink->user, &l);
}

/* ---- tile ---- */

enum { TILE_DEPTH = 8, TILE_CHAIN = 2048 };      /* terms of a slab, as in common/product.cl; longest sum in one float */

/* SIDE x SIDE work-items, each with R x R elements. */
typedef struct tile { int64_t side, r, tile, slices, chain; } tile;

static int64_t groups_of(const diffad_gemm *g, int64_t t)
{
    return diffad_ceil_div(g->m, t) * diffad_ceil_div(g->n, t) * g->batch;
}
static int64_t local_bytes(const tile *t) { return 4 * TILE_DEPTH * (t->tile + 4) * (int64_t)sizeof(float); }

static const tile tiles[] = { { 8, 4, 32, 1, 0 }, { 8, 8, 64, 1, 0 }, { 16, 8, 128, 1, 0 } };

int diffad_gemm_tile_variants(const diffad_caps *caps)
{
    return caps->max_group >= 256 && (uint64_t)local_bytes(&tiles[2]) <= caps->local_mem ? 3 : 2;
}

/* The largest tile that still gives each compute unit two work-groups; where even the smallest does not, and K is long,
 * K is cut into slices whose partial sums are added in order afterwards. */
static tile pick_tile(const diffad_caps *caps, const diffad_gemm *g)
{
    const int64_t busy = 2 * (int64_t)most(caps->plan_units, 1);
    tile t = tiles[0];
    if (g->variant >= 0)
        t = tiles[g->variant];
    else if (tiles[1].r * tiles[1].r > diffad_most_sums(caps))
        t = tiles[0];
    else if (caps->max_group >= 256 && caps->local_mem > 17 << 10 && groups_of(g, 128) >= busy)
        t = tiles[2];
    else if (groups_of(g, 64) >= busy)
        t = tiles[1];
    const int64_t groups = groups_of(g, t.tile);
    if (groups < busy && g->k >= 512)
        t.slices = least(diffad_ceil_div(busy, groups), g->k / 256);
    if (g->k > TILE_CHAIN && groups < 4 * busy)
        t.slices = most(t.slices, diffad_ceil_div(g->k, TILE_CHAIN));
    if ((double)t.slices * (double)g->m * (double)g->n * (double)g->batch > (double)(64 << 20))
        t.slices = 1;
    t.chain  = diffad_round_up(diffad_ceil_div(g->k, t.slices), TILE_DEPTH);
    t.slices = diffad_ceil_div(g->k, t.chain);
    return t;
}

static diffad_status add_tile(const diffad_gemm_sink *sink, const tile *t, const diffad_gemm *g,
                              const diffad_gemm_operand *to)
{
    const bool    whole = t->slices == 1;
    diffad_launch l     = diffad_launch_make("gemm_tile", "gemm_tile", 0, 0);
    diffad_launch_items(&l, diffad_ceil_div(g->n, t->tile) * t->side, diffad_ceil_div(g->m, t->tile) * t->side,
                        g->batch * t->slices);
    diffad_launch_group(&l, t->side, t->side, 1);
    diffad_launch_def(&l, "RM", t->r);
    diffad_launch_def(&l, "RN", t->r);
    diffad_launch_def(&l, "TA", g->transpose_a);
    diffad_launch_def(&l, "TB", g->transpose_b);
    diffad_launch_local(&l, local_bytes(t));
    diffad_launch_mem(&l, g->a.mem, g->a.offset, DIFFAD_READ);
    diffad_launch_mem(&l, g->b.mem, g->b.offset, DIFFAD_READ);
    diffad_launch_mem(&l, to->mem, to->offset, whole && g->beta ? DIFFAD_READ_WRITE : DIFFAD_WRITE);
    diffad_gemm_bias_arg(&l, g);
    diffad_launch_int(&l, g->m);
    diffad_launch_int(&l, g->n);
    diffad_launch_int(&l, g->k);
    diffad_launch_int(&l, g->a.ld);
    diffad_launch_int(&l, g->b.ld);
    diffad_launch_int(&l, to->ld);
    diffad_launch_count(&l, g->a.stride);
    diffad_launch_count(&l, g->b.stride);
    diffad_launch_count(&l, to->stride);
    diffad_launch_int(&l, t->slices);
    diffad_launch_int(&l, t->chain);
    diffad_launch_float(&l, whole ? g->alpha : 1.0);
    diffad_launch_int(&l, whole ? g->beta : 0);
    diffad_launch_int(&l, whole ? g->bias_kind : DIFFAD_GEMM_NO_BIAS);
    return sink->add(sink->user, &l);
}

static diffad_status add_slices(const diffad_gemm_sink *sink, const tile *t, const diffad_gemm *g)
{
    diffad_gemm_operand parts = { .mem = -1, .offset = 0, .ld = g->n, .stride = g->m * g->n };
    DIFFAD_TRY(sink->scratch(sink->user, g->batch * t->slices * parts.stride, &parts.mem));
    DIFFAD_TRY(add_tile(sink, t, g, &parts));
    diffad_launch l = diffad_launch_make("gemm_epilogue", "gemm_slices", g->n, 64);
    diffad_launch_items(&l, g->n, g->m, g->batch);
    diffad_launch_mem(&l, parts.mem, 0, DIFFAD_READ);
    diffad_launch_mem(&l, g->c.mem, g->c.offset, g->beta ? DIFFAD_READ_WRITE : DIFFAD_WRITE);
    diffad_gemm_bias_arg(&l, g);
    diffad_launch_int(&l, g->n);
    diffad_launch_int(&l, g->c.ld);
    diffad_launch_count(&l, g->c.stride);
    diffad_launch_int(&l, t->slices);
    diffad_launch_float(&l, g->alpha);
    diffad_launch_int(&l, g->beta);
    diffad_launch_int(&l, g->bias_kind);
    return sink->add(sink->user, &l);
}

diffad_status diffad_gemm_tile(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g)
{
    const tile t = pick_tile(caps, g);
    if (t.slices > 1)
        return add_slices(sink, &t, g);
    for (int64_t k = 0; k < g->k; k += TILE_CHAIN) {      /* a long sum in several launches, each adding to C */
        diffad_gemm p = *g;
        p.k = least(g->k - k, TILE_CHAIN);
        p.a.offset += g->transpose_a ? k * g->a.ld : k;
        p.b.offset += g->transpose_b ? k : k * g->b.ld;
        if (k > 0) {
            p.beta      = 1;
            p.bias_kind = DIFFAD_GEMM_NO_BIAS;
        }
        tile each = t;
        each.chain = diffad_round_up(p.k, TILE_DEPTH);
        DIFFAD_TRY(add_tile(sink, &each, &p, &g->c));
    }
    return DIFFAD_OK;
}
