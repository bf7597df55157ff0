/* layer_norm.cl: over rows of `vectors` of VEC values: one work-group a row. Backward: dx a row at a time; dw and db as sums over
 * tiles of TILE rows (`columns`), then over the tiles (`join_columns`). */
#ifndef WG
#define WG 64
#endif
#ifndef TILE
#define TILE 64
#endif
#include "common/vec.cl"
#include "common/group_sum.cl"
#include "common/lanes.cl"

GROUP_SUM(group_sum, float)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void layer_norm_fwd(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                    __global const float *b, ulong b_off,
                    __global float *y, ulong y_off, __global float *mean, ulong mean_off, __global float *rstd, ulong rstd_off,
                    int vectors, float eps)
{
    __local float shared[WG];
    const size_t row = get_group_id(0);
    const int    lid = (int)get_local_id(0);
    const float  D = (float)vectors * VEC;
    __global const float *from = x + x_off + row * vectors * VEC;
    __global float       *to   = y + y_off + row * vectors * VEC;
    vfloat sum = 0.0f, d = 0.0f, q = 0.0f;
    for (int i = lid; i < vectors; i += WG)
        sum += vload(i, from);
    const float m = group_sum(sum_of_lanes(sum), shared) / D;
    for (int i = lid; i < vectors; i += WG) {
        const vfloat a = vload(i, from) - m;
        d += a;
        q += a * a;
    }
    const float delta = group_sum(sum_of_lanes(d), shared) / D;      /* what rounding left of the mean */
    const float r = 1.0f / sqrt(group_sum(sum_of_lanes(q), shared) / D - delta * delta + eps);
    for (int i = lid; i < vectors; i += WG)
        vstore((vload(i, from) - m - delta) * r * vload(i, w + w_off) + vload(i, b + b_off), i, to);
    if (lid == 0) {
        mean[mean_off + row] = m + delta;
        rstd[rstd_off + row] = r;
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void layer_norm_dx(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                   __global const float *mean, ulong mean_off, __global const float *rstd, ulong rstd_off,
                   __global const float *dy, ulong dy_off, __global float *dx, ulong dx_off, int vectors)
{
    __local float shared[WG];
    const size_t row = get_group_id(0), at = row * vectors * VEC;
    const float  m = mean[mean_off + row], r = rstd[rstd_off + row], D = (float)vectors * VEC;
    __global const float *from = x + x_off + at, *from_dy = dy + dy_off + at, *weight = w + w_off;
    vfloat a = 0.0f, q = 0.0f;
    for (int i = (int)get_local_id(0); i < vectors; i += WG) {
        const vfloat g = vload(i, weight) * vload(i, from_dy);
        a += g;
        q += g * (vload(i, from) - m) * r;
    }
    const float s1 = group_sum(sum_of_lanes(a), shared) / D, s2 = group_sum(sum_of_lanes(q), shared) / D;
    for (int i = (int)get_local_id(0); i < vectors; i += WG)
        vstore(r * (vload(i, weight) * vload(i, from_dy) - s1 - (vload(i, from) - m) * r * s2), i, dx + dx_off + at);
}

/* One work-item takes VEC columns. part [tiles][2][vectors] */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void columns(__global const float *x, ulong x_off, __global const float *mean, ulong mean_off,
             __global const float *rstd, ulong rstd_off, __global const float *dy, ulong dy_off,
             __global float *part, ulong part_off, int vectors, int rows)
{
    const int i = (int)get_global_id(0), tile = (int)get_global_id(1);
    if (i >= vectors)
        return;
    vfloat dw = 0.0f, db = 0.0f;
    for (int row = tile * TILE; row < min((tile + 1) * TILE, rows); row++) {
        const size_t at = (size_t)row * vectors + i;
        const vfloat g  = vload(at, dy + dy_off);
        dw += g * (vload(at, x + x_off) - mean[mean_off + row]) * rstd[rstd_off + row];
        db += g;
    }
    vstore(dw, (size_t)tile * 2 * vectors + i, part + part_off);
    vstore(db, (size_t)tile * 2 * vectors + vectors + i, part + part_off);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void join_columns(__global const float *part, ulong part_off, __global float *dw, ulong dw_off,
                  __global float *db, ulong db_off,
                  int vectors, int tiles)
{
    const int i = (int)get_global_id(0);
    if (i >= vectors)
        return;
    vfloat a = 0.0f, b = 0.0f;
    for (int t = 0; t < tiles; t++) {
        a += vload((size_t)t * 2 * vectors + i, part + part_off);
        b += vload((size_t)t * 2 * vectors + vectors + i, part + part_off);
    }
    vstore(a, i, dw + dw_off);
    vstore(b, i, db + db_off);
}
