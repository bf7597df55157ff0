/* time_embedding.cl: cos and sin of t r^i. A number is a pair of floats whose sum it is, so that angles of 999 rad keep
 * seven digits behind the point. r1 .. r512 are the powers of r: the larger float's bits above, the smaller's below. */
#pragma OPENCL FP_CONTRACT OFF

static float2 pair_of(ulong bits) { return (float2)(as_float((uint)(bits >> 32)), as_float((uint)bits)); }

static float2 multiply(float2 a, float2 b)
{
    const float high = a.x * b.x, low = fma(a.x, b.x, -high) + (a.x * b.y + a.y * b.x), sum = high + low;
    return (float2)(sum, low - (sum - high));
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void time_embedding(__global const int *t, ulong t_off,
                                                                             __global float *y, ulong y_off, int dim,
                                                                             ulong count, ulong r1, ulong r2, ulong r4,
                                                                             ulong r8, ulong r16, ulong r32, ulong r64,
                                                                             ulong r128, ulong r256, ulong r512)
{
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    const ulong power[10] = { r1, r2, r4, r8, r16, r32, r64, r128, r256, r512 };
    const int   half_dim = dim / 2, column = at % dim, i = column % half_dim;
    float2      frequency = (float2)(1.0f, 0.0f);
    for (int k = 0; k < 10; k++)
        if (i >> k & 1)
            frequency = multiply(frequency, pair_of(power[k]));
    const float2 angle = multiply((float2)((float)t[t_off + at / dim], 0.0f), frequency);
    const float  s = sin(angle.x), c = cos(angle.x);
    const float  v = column < half_dim ? c - angle.y * s : s + angle.y * c;
    y[y_off + at] = column < 2 * half_dim ? v : 0.0f;
}
