/* reorder.cl: [N,C,HW] <-> [N,C/B,HW,B]. One work-item moves 16 pixels of one channel block. Lanes beyond C are zero. */
#ifndef B
#define B 16
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void to_blocked(__global const float *x, ulong x_off, __global float *y, ulong y_off, int C, int HW)
{
    const int    p0 = (int)get_global_id(0) * 16, cb = (int)get_global_id(1);
    const int    blocks = (int)get_global_size(1), p1 = min(p0 + 16, HW);
    const size_t n = get_global_id(2);
    __global const float *from = x + x_off + (n * C + (size_t)cb * B) * HW;
    __global float       *to   = y + y_off + (n * blocks + cb) * (size_t)HW * B;
    for (int b = 0; b < B; b++)
        for (int p = p0; p < p1; p++)
            to[(size_t)p * B + b] = cb * B + b < C ? from[(size_t)b * HW + p] : 0.0f;
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void to_plain(__global const float *x, ulong x_off, __global float *y, ulong y_off, int C, int HW)
{
    const int    p0 = (int)get_global_id(0) * 16, cb = (int)get_global_id(1);
    const int    blocks = (int)get_global_size(1), p1 = min(p0 + 16, HW);
    const int    lanes = min(B, C - cb * B);
    const size_t n = get_global_id(2);
    __global const float *from = x + x_off + (n * blocks + cb) * (size_t)HW * B;
    __global float       *to   = y + y_off + (n * C + (size_t)cb * B) * HW;
    for (int b = 0; b < lanes; b++)
        for (int p = p0; p < p1; p++)
            to[(size_t)b * HW + p] = from[(size_t)p * B + b];
}
