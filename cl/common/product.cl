/* product.cl: the inner loop of tiled products. A work-group of WG x WG1 items computes TM x TN sums, each item RM x RN
 * of them: strips of four, WG1 x 4 rows and WG x 4 columns apart, so that neighbours read neighbouring words. Slabs
 * hold DEPTH terms: a[DEPTH][PITCH_A / 4], b[DEPTH][PITCH_B / 4] vectors of four rows or columns. */
#include "common/local.cl"
#include "common/sub_group.cl"
#ifndef RM
#define RM 8
#endif
#ifndef RN
#define RN 8
#endif
#ifndef DEPTH
#define DEPTH 8
#endif
#define TM       (WG1 * RM)
#define TN       (WG * RN)
#define ITEMS    (WG * WG1)
#define STRIPS_M (RM / 4)
#define STRIPS_N (RN / 4)
#define UNROLL   __attribute__((opencl_unroll_hint))

/* Row of strip element r of item ty, column of element 0 of strip s of item tx: within the tile. */
#define ROW(r, ty)    ((r) / 4 * WG1 * 4 + (ty) * 4 + (r) % 4)
#define COLUMN(s, tx) ((s) * WG * 4 + (tx) * 4)

DIFFAD_LOCAL_FN void clear(float4 sum[RM][STRIPS_N])
{
    UNROLL for (int r = 0; r < RM; r++)
        UNROLL for (int s = 0; s < STRIPS_N; s++)
            sum[r][s] = (float4)(0.0f);
}

DIFFAD_LOCAL_FN void multiply(float4 sum[RM][STRIPS_N], __local const float4 *a, __local const float4 *b, int tx, int ty)
{
    for (int k = 0; k < DEPTH; k++) {
        float4 va[STRIPS_M], vb[STRIPS_N];
        UNROLL for (int s = 0; s < STRIPS_M; s++)
            va[s] = a[k * (PITCH_A / 4) + s * WG1 + ty];
        UNROLL for (int s = 0; s < STRIPS_N; s++)
            vb[s] = b[k * (PITCH_B / 4) + s * WG + tx];
        UNROLL for (int s = 0; s < STRIPS_M; s++)
            UNROLL for (int t = 0; t < STRIPS_N; t++) {
                sum[s * 4 + 0][t] = va[s].x * vb[t] + sum[s * 4 + 0][t];
                sum[s * 4 + 1][t] = va[s].y * vb[t] + sum[s * 4 + 1][t];
                sum[s * 4 + 2][t] = va[s].z * vb[t] + sum[s * 4 + 2][t];
                sum[s * 4 + 3][t] = va[s].w * vb[t] + sum[s * 4 + 3][t];
            }
    }
}
