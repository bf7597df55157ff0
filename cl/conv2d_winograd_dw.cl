/* conv2d_winograd_dw.cl: the gradient of a 3x3 weight by Winograd's F(4x4,3x3), for CPUs: dw = G'((A dy A') * (B' x B))G,
 * where * is 36 sums over tiles of products [out, in], from tiles as conv2d_winograd_tiles.cl makes them. */
#include "common/conv2d_sums.cl"
#include "common/queue.cl"
#include "common/winograd.cl"

/* x, dy [chunks][36][C/16 or O/16][each][16] (+)-> sum [36][O/16V][C/16][16][16V]. A place is one of the 36 for 16V
 * outputs: over a chunk in registers, over chunks in memory. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_winograd_dw(__global const float *x, ulong x_off, __global const float *dy, ulong dy_off, __global float *sum,
                        ulong sum_off, int in_blocks, int each, int chunks, int is_first, QUEUE_ARGS)
{
    EACH_PLACE {
        const int    ob = PLACE(0), outs = places_x, point = PLACE(1);
        const size_t row = (size_t)each * LANES;
        for (int ib = 0; ib < in_blocks; ib++) {
            __global float *to = sum + sum_off + (((size_t)point * outs + ob) * in_blocks + ib) * LANES * LANES * V;
            for (int chunk = 0; chunk < chunks; chunk++)
                for (int i0 = 0; i0 < LANES; i0 += J) {
                    __global const float *xr = x + x_off + (((size_t)chunk * 36 + point) * in_blocks + ib) * row + i0;
                    __global const float *yr = dy + dy_off + (((size_t)chunk * 36 + point) * outs + ob) * V * row;
                    float16 acc[V][J];
                    UNROLL for (int v = 0; v < V; v++)
                        UNROLL for (int j = 0; j < J; j++)
                            acc[v][j] = (float16)(0.0f);
                    __attribute__((opencl_unroll_hint(2))) for (int t = 0; t < each; t++, xr += LANES, yr += LANES) {
                        float16 yv[V];
                        UNROLL for (int v = 0; v < V; v++)
                            yv[v] = vload16(0, yr + v * row);
                        UNROLL for (int j = 0; j < J; j++) {
                            const float16 xv = (float16)(xr[j]);
                            UNROLL for (int v = 0; v < V; v++)
                                acc[v][j] = yv[v] * xv + acc[v][j];
                        }
                    }
                    ADD_UP(to + i0 * LANES * V, is_first && chunk == 0)
                }
        }
    }
}

/* sum -> part [O/16V][C/16][9][16][16V]. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void conv2d_winograd_dw_end(__global const float *sum, ulong sum_off, __global float *part, ulong part_off)
{
    const size_t block = (size_t)get_global_id(0) * get_global_size(1) + get_global_id(1);
    const size_t point = (size_t)get_global_size(0) * get_global_size(1) * LANES * LANES * V;
    for (int k = 0; k < LANES * V; k++) {
        __global const float *from = sum + sum_off + (block * LANES * V + k) * LANES;
        float16 columns[6][3];
        for (int j = 0; j < 6; j++) {
            float16 d[6];
            UNROLL for (int i = 0; i < 6; i++)
                d[i] = vload16(0, from + (i * 6 + j) * point);
            WEIGHT_GRAD(columns[j], d)
        }
        for (int r = 0; r < 3; r++) {
            float16 d[6], o[3];
            UNROLL for (int j = 0; j < 6; j++)
                d[j] = columns[j][r];
            WEIGHT_GRAD(o, d)
            UNROLL for (int c = 0; c < 3; c++)
                vstore16(o[c], 0, part + part_off + ((block * 9 + r * 3 + c) * LANES * V + k) * LANES);
        }
    }
}
