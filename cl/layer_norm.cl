/* layer_norm.cl: over rows of D values: one work-group a row. Backward: dx a row at a time; dw and db as sums over tiles
 * of TILE rows (`columns`), then over the tiles (`join_columns`). */
#ifndef WG
#define WG 64
#endif
#ifndef TILE
#define TILE 64
#endif
#include "common/group_sum.cl"

GROUP_SUM(group_sum, float)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void layer_norm_fwd(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                    __global const float *b, ulong b_off,
                    __global float *y, ulong y_off, __global float *mean, ulong mean_off, __global float *rstd, ulong rstd_off,
                    int D, float eps)
{
    __local float shared[WG];
    const size_t row = get_group_id(0);
    const int    lid = (int)get_local_id(0);
    __global const float *from = x + x_off + row * D;
    float sum = 0.0f, d = 0.0f, q = 0.0f;
    for (int i = lid; i < D; i += WG)
        sum += from[i];
    const float m = group_sum(sum, shared) / D;
    for (int i = lid; i < D; i += WG) {
        d += from[i] - m;
        q += (from[i] - m) * (from[i] - m);
    }
    d = group_sum(d, shared) / D;      /* what rounding left of the mean */
    const float r = 1.0f / sqrt(group_sum(q, shared) / D - d * d + eps);
    for (int i = lid; i < D; i += WG)
        y[y_off + row * D + i] = (from[i] - m - d) * r * w[w_off + i] + b[b_off + i];
    if (lid == 0) {
        mean[mean_off + row] = m + d;
        rstd[rstd_off + row] = r;
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void layer_norm_dx(__global const float *x, ulong x_off, __global const float *w, ulong w_off,
                   __global const float *mean, ulong mean_off, __global const float *rstd, ulong rstd_off,
                   __global const float *dy, ulong dy_off, __global float *dx, ulong dx_off, int D)
{
    __local float shared[WG];
    const size_t row = get_group_id(0);
    const float  m = mean[mean_off + row], r = rstd[rstd_off + row];
    __global const float *from = x + x_off + row * D, *from_dy = dy + dy_off + row * D, *weight = w + w_off;
    float s1 = 0.0f, s2 = 0.0f;
    for (int i = (int)get_local_id(0); i < D; i += WG) {
        const float g = weight[i] * from_dy[i];
        s1 += g;
        s2 += g * (from[i] - m) * r;
    }
    s1 = group_sum(s1, shared) / D;
    s2 = group_sum(s2, shared) / D;
    for (int i = (int)get_local_id(0); i < D; i += WG)
        dx[dx_off + row * D + i] = r * (weight[i] * from_dy[i] - s1 - (from[i] - m) * r * s2);
}

/* part [tiles][2][D] */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void columns(__global const float *x, ulong x_off, __global const float *mean, ulong mean_off,
             __global const float *rstd, ulong rstd_off, __global const float *dy, ulong dy_off,
             __global float *part, ulong part_off, int D, int rows)
{
    const int i = (int)get_global_id(0), tile = (int)get_global_id(1);
    if (i >= D)
        return;
    float dw = 0.0f, db = 0.0f;
    for (int row = tile * TILE; row < min((tile + 1) * TILE, rows); row++) {
        const float g = dy[dy_off + (size_t)row * D + i];
        dw += g * (x[x_off + (size_t)row * D + i] - mean[mean_off + row]) * rstd[rstd_off + row];
        db += g;
    }
    part[part_off + (size_t)tile * 2 * D + i]     = dw;
    part[part_off + (size_t)tile * 2 * D + D + i] = db;
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void join_columns(__global const float *part, ulong part_off, __global float *dw, ulong dw_off,
                  __global float *db, ulong db_off,
                  int D, int tiles)
{
    const int i = (int)get_global_id(0);
    if (i >= D)
        return;
    float a = 0.0f, b = 0.0f;
    for (int t = 0; t < tiles; t++) {
        a += part[part_off + (size_t)t * 2 * D + i];
        b += part[part_off + (size_t)t * 2 * D + D + i];
    }
    dw[dw_off + i] = a;
    db[db_off + i] = b;
}
