/* attention.cl: attention on plain [D][T] heads for any device: 64 work-items hold a tile of 32 rows and 32 columns; item
 * (i, j) = (id / 8, id % 8) holds rows 4i..4i+3 and columns 4j..4j+3. Rows are queries, or keys in dk and dv. A work-group
 * makes DV of the D channels of its rows' results. */
#ifndef D
#define D 32
#endif
#ifndef DV
#define DV 32
#endif
#include "common/local.cl"
#include "common/sub_group.cl"
/* Arrays stay in registers only where every loop over them is unrolled; the long loops are not, or sums fill all registers. */
#define UNROLL _Pragma("unroll")
#define FOUR   _Pragma("unroll 4")
#define TILE   32
#define SLICE  16
#define SLICES ((D + DV - 1) / DV)

/* SLICE channels of TILE positions from t0 on; zeros outside of D and T. */
DIFFAD_LOCAL_FN void fetch(__global const float *a, int T, int c0, int t0, __local float *to)
{
    for (int k = (int)get_local_id(0); k < SLICE * TILE; k += WG) {
        const int c = c0 + k / TILE, t = t0 + k % TILE;
        to[k] = c < D && t < T ? a[(size_t)c * T + t] : 0.0f;
    }
}

/* acc[r][c] = sum over the first `depth` channels of a[][row] b[][column] */
DIFFAD_LOCAL_FN void product(__global const float *a, int a0, __global const float *b, int b0, int T, int depth,
                    __local float *sa, __local float *sb, float acc[4][4])
{
    const int i = (int)get_local_id(0) / 8, j = (int)get_local_id(0) % 8;
    UNROLL for (int r = 0; r < 4; r++)
        UNROLL for (int c = 0; c < 4; c++)
            acc[r][c] = 0.0f;
    for (int c0 = 0; c0 < depth; c0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        fetch(a, T, c0, a0, sa);
        fetch(b, T, c0, b0, sb);
        barrier(CLK_LOCAL_MEM_FENCE);
        FOUR for (int d = 0; d < SLICE; d++) {
            const float4 u = vload4(i, sa + d * TILE), w = vload4(j, sb + d * TILE);
            const float  row[4] = { u.x, u.y, u.z, u.w }, column[4] = { w.x, w.y, w.z, w.w };
            UNROLL for (int r = 0; r < 4; r++)
                UNROLL for (int c = 0; c < 4; c++)
                    acc[r][c] += row[r] * column[c];
        }
    }
}

/* Puts the item's 4x4 weights where all can read them: weight[column][row]. */
DIFFAD_LOCAL_FN void share(float acc[4][4], __local float *weight)
{
    const int i = (int)get_local_id(0) / 8, j = (int)get_local_id(0) % 8;
    UNROLL for (int c = 0; c < 4; c++)
        UNROLL for (int r = 0; r < 4; r++)
            weight[(4 * j + c) * TILE + 4 * i + r] = acc[r][c];
}

/* sum[m][r] += sum over columns of weight[column][row] x[channel][column]; item (i, j) has channels first + 8 m + j. */
DIFFAD_LOCAL_FN void gather(__global const float *x, int x0, int T, int first, __local const float *weight,
                            __local float *sx, float sum[DV / 8][4])
{
    const int i = (int)get_local_id(0) / 8, j = (int)get_local_id(0) % 8;
    UNROLL for (int m = 0; m < DV / 8; m += SLICE / 8) {
        barrier(CLK_LOCAL_MEM_FENCE);
        fetch(x, T, first + 8 * m, x0, sx);
        barrier(CLK_LOCAL_MEM_FENCE);
        FOUR for (int k = 0; k < TILE; k++) {
            const float4 w = vload4(i, weight + k * TILE);
            const float  row[4] = { w.x, w.y, w.z, w.w };
            UNROLL for (int h = 0; h < SLICE / 8; h++)
                UNROLL for (int r = 0; r < 4; r++)
                    sum[m + h][r] += row[r] * sx[(8 * h + j) * TILE + k];
        }
    }
}

DIFFAD_LOCAL_FN void put(float sum[DV / 8][4], const float factor[4], __global float *to, int T, int t0, int first)
{
    const int i = (int)get_local_id(0) / 8, j = (int)get_local_id(0) % 8;
    UNROLL for (int m = 0; m < DV / 8; m++)
        UNROLL for (int r = 0; r < 4; r++)
            if (first + 8 * m + j < D && t0 + 4 * i + r < T)
                to[(size_t)(first + 8 * m + j) * T + t0 + 4 * i + r] = sum[m][r] * factor[r];
}

/* Joins, for each of the item's rows, what the eight items of the row hold: the largest, or the sum. */
DIFFAD_LOCAL_FN void join(float v[4], int is_max, __local float *red)
{
    const int i = (int)get_local_id(0) / 8, j = (int)get_local_id(0) % 8;
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int r = 0; r < 4; r++)
        red[j * TILE + 4 * i + r] = v[r];
    barrier(CLK_LOCAL_MEM_FENCE);
    UNROLL for (int r = 0; r < 4; r++) {
        float all = red[4 * i + r];
        UNROLL for (int k = 1; k < 8; k++)
            all = is_max ? max(all, red[k * TILE + 4 * i + r]) : all + red[k * TILE + 4 * i + r];
        v[r] = all;
    }
}

__kernel ASKS_SUB_GROUP __attribute__((reqd_work_group_size(WG, 1, 1)))
void attention_fwd(__global const float *qkv, ulong qkv_off, __global float *y, ulong y_off, __global float *lse,
                   ulong lse_off,
                   int T, float scale)
{
    __local float sa[SLICE * TILE], sb[SLICE * TILE], weight[TILE * TILE], red[8 * TILE];
    const int    i = (int)get_local_id(0) / 8, j = (int)get_local_id(0) % 8, t0 = (int)get_group_id(0) * TILE;
    const int    first = (int)get_group_id(1) % SLICES * DV;
    const size_t head = get_group_id(2) * (get_num_groups(1) / SLICES) + get_group_id(1) / SLICES;
    __global const float *q = qkv + qkv_off + head * 3 * D * T, *k = q + (size_t)D * T, *v = k + (size_t)D * T;
    float acc[4][4], sum[DV / 8][4], top[4], total[4], best[4], part[4];
    UNROLL for (int r = 0; r < 4; r++) {
        top[r]   = -INFINITY;
        total[r] = 0.0f;
        UNROLL for (int m = 0; m < DV / 8; m++)
            sum[m][r] = 0.0f;
    }
    for (int j0 = 0; j0 < T; j0 += TILE) {
        product(q, t0, k, j0, T, D, sa, sb, acc);
        UNROLL for (int r = 0; r < 4; r++) {
            best[r] = top[r];
            UNROLL for (int c = 0; c < 4; c++) {
                acc[r][c] = j0 + 4 * j + c < T ? acc[r][c] * scale : -INFINITY;
                best[r]   = max(best[r], acc[r][c]);
            }
        }
        join(best, 1, red);
        UNROLL for (int r = 0; r < 4; r++) {
            part[r] = 0.0f;
            UNROLL for (int c = 0; c < 4; c++)
                part[r] += acc[r][c] = exp(acc[r][c] - best[r]);
            const float factor = exp(top[r] - best[r]);
            total[r] *= factor;
            UNROLL for (int m = 0; m < DV / 8; m++)
                sum[m][r] *= factor;
            top[r] = best[r];
        }
        share(acc, weight);
        join(part, 0, red);
        UNROLL for (int r = 0; r < 4; r++)
            total[r] += part[r];
        gather(v, j0, T, first, weight, sa, sum);
    }
    UNROLL for (int r = 0; r < 4; r++) {
        part[r] = 1.0f / total[r];
        if (first == 0 && j == 0 && t0 + 4 * i + r < T)
            lse[lse_off + head * T + t0 + 4 * i + r] = top[r] + log(total[r]);
    }
    put(sum, part, y + y_off + head * D * T, T, t0, first);
}

/* delta[n][head][t] = sum over channels of y dy */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void attention_delta(__global const float *y, ulong y_off, __global const float *dy, ulong dy_off,
                     __global float *delta, ulong delta_off, int T)
{
    const int    t = (int)get_global_id(0);
    const size_t head = get_global_id(1);
    if (t >= T)
        return;
    float sum = 0.0f;
    for (int c = 0; c < D; c++)
        sum += y[y_off + (head * D + c) * T + t] * dy[dy_off + (head * D + c) * T + t];
    delta[delta_off + head * T + t] = sum;
}

/* One of dq, dk, dv (which = 0, 1, 2) for a tile of rows: with P = exp(scale q.k - lse), G = scale P (dy.v - delta),
 * dq = sum over keys of G k, dk = sum over queries of G q, dv = sum over queries of P dy. */
__kernel ASKS_SUB_GROUP __attribute__((reqd_work_group_size(WG, 1, 1)))
void attention_bwd(__global const float *qkv, ulong qkv_off, __global const float *lse, ulong lse_off,
                   __global const float *dy, ulong dy_off, __global const float *delta, ulong delta_off,
                   __global float *dqkv, ulong dqkv_off, int T, float scale)
{
    __local float sa[SLICE * TILE], sb[SLICE * TILE], weight[TILE * TILE];
    const int    i = (int)get_local_id(0) / 8, j = (int)get_local_id(0) % 8, t0 = (int)get_group_id(0) * TILE;
    const int    first = (int)get_group_id(1) % SLICES * DV, which = (int)get_group_id(1) / SLICES % 3;
    const size_t head = get_group_id(2) * (get_num_groups(1) / SLICES / 3) + get_group_id(1) / SLICES / 3;
    __global const float *q = qkv + qkv_off + head * 3 * D * T, *k = q + (size_t)D * T, *v = k + (size_t)D * T;
    __global const float *grad = dy + dy_off + head * D * T, *x = which == 0 ? k : which == 1 ? q : grad;
    float acc[4][4], dot[4][4], sum[DV / 8][4];
    const float one[4] = { 1.0f, 1.0f, 1.0f, 1.0f };
    UNROLL for (int m = 0; m < DV / 8; m++)
        UNROLL for (int r = 0; r < 4; r++)
            sum[m][r] = 0.0f;
    for (int j0 = 0; j0 < T; j0 += TILE) {
        product(which == 0 ? q : k, t0, which == 0 ? k : q, j0, T, D, sa, sb, acc);
        product(which == 0 ? grad : v, t0, which == 0 ? v : grad, j0, T, which == 2 ? 0 : D, sa, sb, dot);
        UNROLL for (int r = 0; r < 4; r++)
            UNROLL for (int c = 0; c < 4; c++) {
                const size_t query = head * T + min(which == 0 ? t0 + 4 * i + r : j0 + 4 * j + c, T - 1);
                const float  p = exp(acc[r][c] * scale - lse[lse_off + query]);
                acc[r][c] = which == 2 ? p : p * (dot[r][c] - delta[delta_off + query]) * scale;
            }
        share(acc, weight);
        gather(x, j0, T, first, weight, sa, sum);
    }
    put(sum, one, dqkv + dqkv_off + (head * 3 + which) * D * T, T, t0, first);
}
