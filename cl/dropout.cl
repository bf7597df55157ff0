/* dropout.cl: one work-item draws four numbers for four channels (4 id 1 ..) of pixel id 0 of sample id 2. With DIFFAD_WIDE it draws
 * 32: in blocks of 16 channels those of block id 1 of pixels 2 id 0 and the next, in plain maps four channels of 8 pixels. */
#include "common/random.cl"

#ifndef B
#define B 16
#endif

#define ARGUMENTS                                                                                                         \
    __global const float *x, ulong x_off, __global const int *key, ulong key_off, __global float *y, ulong y_off, int C, \
    int HW, float p, float keep, int purpose, int salt

#ifdef DIFFAD_WIDE
static float8 factors(uint8 bits, float p, float keep)
{
    return select((float8)(keep), (float8)(0.0f), diffad_random_uniform_wide(bits) < (float8)(p));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void dropout(ARGUMENTS)
{
    const uint2 k = (uint2)((uint)key[key_off], 0u);
    const uint  step = (uint)key[key_off + 1], fours = (uint)((C + 3) / 4);
    const int   row = (int)get_global_id(1), n = (int)get_global_id(2);
    uint8       c[4];
#if B == 16
    const int pixel = 2 * (int)get_global_id(0);
    if (pixel >= HW)
        return;
    const uint8 four = ((uint)n * HW + pixel + (uint8)(0, 0, 0, 0, 1, 1, 1, 1)) * fours + 4 * row + (uint8)(0, 1, 2, 3, 0, 1, 2, 3);
    const size_t at = ((size_t)n * get_global_size(1) + row) * HW + pixel;
    diffad_random_u32_wide(k, (uint)purpose, step, (uint)salt, four, c);
    diffad_random_in_order(c);
    for (int j = 0; j < 4 && pixel + j / 2 < HW; j++)
        vstore8(vload8(2 * at + j, x + x_off) * factors(c[j], p, keep), 2 * at + j, y + y_off);
#else
    const int pixel = 8 * (int)get_global_id(0), many = min(8, HW - pixel);
    if (many <= 0)
        return;
    const uint8 four = ((uint)n * HW + pixel + (uint8)(0, 1, 2, 3, 4, 5, 6, 7)) * fours + row;
    diffad_random_u32_wide(k, (uint)purpose, step, (uint)salt, four, c);
    for (int j = 0; j < 4 && 4 * row + j < C; j++) {
        const size_t at = ((size_t)n * C + 4 * row + j) * HW + pixel;
        const float8 f  = factors(c[j], p, keep);
        if (many == 8) {
            vstore8(vload8(0, x + x_off + at) * f, 0, y + y_off + at);
            continue;
        }
        float lane[8];
        vstore8(f, 0, lane);
        for (int i = 0; i < many; i++)
            y[y_off + at + i] = x[x_off + at + i] * lane[i];
    }
#endif
}
#else

/* keep, or 0 where the element is dropped */
static float4 factors(__global const int *key, float p, float keep, uint purpose, uint salt, uint four)
{
    const float4 u = diffad_random_uniform4((uint2)((uint)key[0], 0u), purpose, (uint)key[1], salt, four);
    return select((float4)(keep), (float4)(0.0f), u < (float4)(p));
}

#if B > 1
/* [N,C/B,HW,B]. Lanes beyond C are zero in x and stay so. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void dropout(ARGUMENTS)
{
    const size_t pixel = get_global_id(0), four = get_global_id(1), n = get_global_id(2);
    if (pixel >= (size_t)HW)
        return;
    const float4 f  = factors(key + key_off, p, keep, (uint)purpose, (uint)salt,
                              (uint)((n * HW + pixel) * ((C + 3) / 4) + four));
    const size_t cb = n * (get_global_size(1) / (B / 4)) + four / (B / 4);
    const size_t at = (cb * HW + pixel) * (B / 4) + four % (B / 4);
    vstore4(vload4(at, x + x_off) * f, at, y + y_off);
}
#else
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void dropout(ARGUMENTS)
{
    const size_t pixel = get_global_id(0), four = get_global_id(1), n = get_global_id(2);
    if (pixel >= (size_t)HW)
        return;
    const float4 f = factors(key + key_off, p, keep, (uint)purpose, (uint)salt,
                             (uint)((n * HW + pixel) * ((C + 3) / 4) + four));
    const size_t at   = (n * C + 4 * four) * HW + pixel;
    const int    left = C - 4 * (int)four;
    x += x_off + at;
    y += y_off + at;
    y[0] = x[0] * f.x;
    if (left > 1)
        y[HW] = x[HW] * f.y;
    if (left > 2)
        y[2 * (size_t)HW] = x[2 * (size_t)HW] * f.z;
    if (left > 3)
        y[3 * (size_t)HW] = x[3 * (size_t)HW] * f.w;
}
#endif
#endif
