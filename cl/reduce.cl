/* reduce.cl: sums, maxima and sums of squares of rows of VEC * vectors elements; means of blocked planes. */
#include "common/part.cl"
#include "common/reduce.cl"
#include "common/sets.cl"

#if HAS_PART(1)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void reduce_values(__global const float *x, ulong x_off, __global float *y, ulong y_off,
                   ulong vectors, int per_item, float scale, float add)
{
    __local float tree[WG];
    __global const float *row = x + x_off + get_global_id(1) * vectors * VEC;
    REDUCE(total, i, vectors, per_item, vload(i, row))
    REDUCE_STORE(total, y + y_off, scale, add)
}
#endif

#if HAS_PART(2)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void reduce_squares(__global const float *x, ulong x_off, __global float *y, ulong y_off,
                    ulong vectors, int per_item, float scale, float add)
{
    __local float tree[WG];
    __global const float *row = x + x_off + get_global_id(1) * vectors * VEC;
    REDUCE(total, i, vectors, per_item, vload(i, row) * vload(i, row))
    REDUCE_STORE(total, y + y_off, scale, add)
}
#endif

#if HAS_PART(3)
/* x [N,C/VEC,pixels,VEC] -> y [N,C]; a work-group takes one plane. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void reduce_lanes(__global const float *x, ulong x_off,
                                                                           __global float *y, ulong y_off, int C,
                                                                           ulong pixels, float scale)
{
    __local vfloat tree[WG];
    const int l = get_local_id(0), blocks = (C + VEC - 1) / VEC, n = get_group_id(0) / blocks,
              cb = get_group_id(0) % blocks;
    vfloat       total = 0.0f;
    __global const float *plane = x + x_off + get_group_id(0) * pixels * VEC;
    for (ulong from = l; from < pixels; from += REDUCE_BLOCK * WG) {
        const ulong to = min(from + REDUCE_BLOCK * WG, pixels);
        vfloat block = 0.0f;
        for (ulong i = from; i < to; i += WG)
            block += vload(i, plane);
        total += block;
    }
    tree[l] = total;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (l != 0)
        return;
    for (int i = 1; i < WG; i++)
        total += tree[i];
    float lane[VEC];
    vstore(scale * total, 0, lane);
    for (int i = 0; i < min(VEC, C - cb * VEC); i++)
        y[y_off + (ulong)n * C + cb * VEC + i] = lane[i];
}
#endif

#if HAS_PART(4)
/* Squares of several tensors: the pieces of all of them, one after the other. Set k: n##k vectors, per##k of a work-item. */
#define SET(k) __global const float *x##k, ulong x##k##_off, ulong n##k, int per##k,
#define TAKE(k)                          \
    if (SET_BEGINS) {                    \
        x        = x##k + x##k##_off;    \
        vectors  = n##k;                 \
        per_item = per##k;               \
        SET_ENTER                        \
    }                                    \
    SET_LEAVE((n##k + (ulong)per##k * WG - 1) / ((ulong)per##k * WG))
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void reduce_squares_sets(SETS_24(SET) __global float *y, ulong y_off)
{
    __local float tree[WG];
    __global const float *x = 0;
    ulong vectors = 0;
    int   per_item = 1;
    SET_VARIABLES
    SETS_24(TAKE)
    REDUCE_PIECE(total, SET_GROUP, i, vectors, per_item, vload(i, x) * vload(i, x))
    REDUCE_STORE(total, y + y_off, 1.0f, 0.0f)
}
#undef SET
#undef TAKE
#endif

#if HAS_PART(5)
/* y[k] is the sum of the count##k pieces from first##k on; a work-group for each. */
#define SET(k) , int first##k, int count##k
#define TAKE(k)                          \
    if (get_group_id(0) == (k)) {        \
        first = first##k;                \
        count = count##k;                \
    }
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void reduce_pieces(__global const float *x, ulong x_off, __global float *y, ulong y_off SETS_24(SET))
{
    __local float tree[WG];
    int first = 0, count = 0;
    SETS_24(TAKE)
    __global const float *row = x + x_off + first;
    REDUCE_PIECE(total, 0, i, (ulong)count, (count + WG - 1) / WG, vload(i, row))
    REDUCE_STORE(total, y + y_off, 1.0f, 0.0f)
}
#undef SET
#undef TAKE
#endif
