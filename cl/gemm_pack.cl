/* gemm_pack.cl: a matrix into panels [extent/WIDTH][K][WIDTH] for gemm_cpu.cl, or transposed. WIDTH is a multiple
 * of 16. One work-item fills DEPTH rows of one panel. */
#include "common/transpose.cl"
#ifndef WIDTH
#define WIDTH 64
#endif
#ifndef DEPTH
#define DEPTH 256
#endif

/* x [K, extent] into panels; what lies beyond the extent is zero. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void pack_straight(__global const float *x, ulong x_off, __global float *y, ulong y_off, int extent, int K, int ld,
                   ulong x_stride, ulong y_stride)
{
    const int at = (int)get_global_id(0) * WIDTH, k0 = (int)get_global_id(1) * DEPTH, k1 = min(k0 + DEPTH, K);
    __global const float *from = x + x_off + get_global_id(2) * x_stride + at;
    __global float       *to   = y + y_off + get_global_id(2) * y_stride + (size_t)at * K;
    for (int k = k0; k < k1; k++)
        if (at + WIDTH <= extent)
            for (int i = 0; i < WIDTH / 16; i++)
                vstore16(vload16(i, from + (size_t)k * ld), i, to + (size_t)k * WIDTH);
        else
            for (int i = 0; i < WIDTH; i++)
                to[(size_t)k * WIDTH + i] = at + i < extent ? from[(size_t)k * ld + i] : 0.0f;
}

/* x [extent, K]: element (i, k) goes to row k, place i % WIDTH of panel i / WIDTH. Rows lie `pitch` and panels `step`
 * apart: WIDTH and WIDTH K are panels (is_padded: with zeros beyond the extent); ld of the result and WIDTH its plain
 * transpose. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void pack_turned(__global const float *x, ulong x_off, __global float *y, ulong y_off, int extent, int K, int ld,
                 ulong x_stride, ulong y_stride, ulong step, int pitch, int is_padded)
{
    const int at = (int)get_global_id(0) * WIDTH, k0 = (int)get_global_id(1) * DEPTH, k1 = min(k0 + DEPTH, K);
    const int width = is_padded ? WIDTH : min(WIDTH, extent - at);
    __global const float *from = x + x_off + get_global_id(2) * x_stride;
    __global float       *to   = y + y_off + get_global_id(2) * y_stride + get_global_id(0) * step;
    for (int i = 0; i < width; i += 16)
        for (int k = k0; k < k1; k += 16) {
            if (at + i + 16 <= extent && k + 16 <= k1) {
                float16 r[16];
                for (int j = 0; j < 16; j++)
                    r[j] = vload16(0, from + (size_t)(at + i + j) * ld + k);
                transpose16(r);
                for (int j = 0; j < 16; j++)
                    vstore16(r[j], 0, to + (size_t)(k + j) * pitch + i);
            } else {
                for (int kk = k; kk < min(k + 16, k1); kk++)
                    for (int j = i; j < min(i + 16, width); j++)
                        to[(size_t)kk * pitch + j] = at + j < extent ? from[(size_t)(at + j) * ld + kk] : 0.0f;
            }
        }
}
