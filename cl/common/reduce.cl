/* reduce.cl: sums, or maxima with MAXIMUM=1, in an order that depends on the sizes alone. A not-a-number wins.
 *
 * A kernel's group of WG work-items takes piece get_group_id(0) of row get_global_id(1): WG * per_item vectors.
 * (REDUCE_PIECE: another piece of what `vectors` counts.) Chains of additions are short: 32 in a block, then the blocks, then lanes and work-items as a tree. */
#include "common/local.cl"
#include "common/vec.cl"

#ifndef WG
#define WG 64
#endif
#ifndef MAXIMUM
#define MAXIMUM 0
#endif
#define REDUCE_BLOCK 32

#if MAXIMUM
#define REDUCE_NEUTRAL (-INFINITY)
static vfloat join(vfloat a, vfloat b) { return select(b, a, (a > b) | isnan(a)); }
static float  join_one(float a, float b) { return a > b || isnan(a) ? a : b; }
#else
#define REDUCE_NEUTRAL 0.0f
static vfloat join(vfloat a, vfloat b) { return a + b; }
static float  join_one(float a, float b) { return a + b; }
#endif

static float join_lanes(vfloat v)
{
    float lane[VEC];
    vstore(v, 0, lane);
    for (int w = VEC / 2; w > 0; w /= 2)
        for (int i = 0; i < w; i++)
            lane[i] = join_one(lane[i], lane[i + w]);
    return lane[0];
}

DIFFAD_LOCAL_FN float join_group(float v, __local float *tree)
{
#if WG > 1
    const int l = get_local_id(0);
    tree[l] = v;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int w = WG / 2; w > 0; w /= 2) {
        if (l < w)
            tree[l] = join_one(tree[l], tree[l + w]);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    return tree[0];
#else
    return v;
#endif
}

/* `total`: this work-item's share of a row of `vectors`, where vector i of the row gives TERM. */
#define REDUCE(total, i, vectors, per_item, TERM) REDUCE_PIECE(total, get_group_id(0), i, vectors, per_item, TERM)
#define REDUCE_PIECE(total, piece, i, vectors, per_item, TERM)                                          \
    vfloat total = REDUCE_NEUTRAL;                                                                      \
    {                                                                                                   \
        const ulong first_ = (piece) * (ulong)(per_item) * WG + get_local_id(0);                        \
        const int   todo_  = first_ < (vectors) ? (int)min((ulong)(per_item), ((vectors) - first_ + WG - 1) / WG) : 0; \
        for (int from_ = 0; from_ < todo_; from_ += REDUCE_BLOCK) {                                     \
            const int to_    = min(from_ + REDUCE_BLOCK, todo_);                                        \
            vfloat    block_ = REDUCE_NEUTRAL;                                                          \
            for (int k_ = from_; k_ < to_; k_++) {                                                      \
                const ulong i = first_ + (ulong)k_ * WG;                                                \
                block_ = join(block_, TERM);                                                            \
            }                                                                                           \
            total = join(total, block_);                                                                \
        }                                                                                               \
    }

/* Piece `get_group_id(0)` of row `get_global_id(1)` is finished. */
#define REDUCE_STORE(total, out, scale, add)                                                            \
    {                                                                                                   \
        const float sum_ = join_group(join_lanes(total), tree);                                         \
        if (get_local_id(0) == 0)                                                                       \
            (out)[get_global_id(1) * get_num_groups(0) + get_group_id(0)] = (add) + (scale) * sum_;      \
    }
