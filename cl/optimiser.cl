/* optimiser.cl: VEC parameters a work-item. Where `ok` is 0 nothing is written. */
#include "common/part.cl"
#include "common/vec.cl"

#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

#if HAS_PART(1)
/* hyper: lr, 1-beta1, 1-beta2, eps, decay, 1-beta1^k, 1-beta2^k, scale of the gradient */
KERNEL adam(__global float *p, ulong p_off, __global float *m, ulong m_off, __global float *v, ulong v_off,
            __global const float *grad, ulong grad_off, __global const float *hyper, ulong hyper_off,
            __global const float *ok, ulong ok_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors || !(ok[ok_off] >= 0.5f))
        return;
    __global const float *h = hyper + hyper_off;
    const vfloat g = h[7] * vload(i, grad + grad_off), p0 = vload(i, p + p_off), m0 = vload(i, m + m_off),
                 v0 = vload(i, v + v_off);
    const vfloat m1 = m0 + h[1] * (g - m0), v1 = v0 + h[2] * (g * g - v0);
    const vfloat decayed = p0 - h[0] * h[4] * p0;
    vstore(decayed - h[0] / h[5] * m1 / (sqrt(v1) / sqrt(h[6]) + h[3]), i, p + p_off);
    vstore(m1, i, m + m_off);
    vstore(v1, i, v + v_off);
}
#endif

#if HAS_PART(2)
KERNEL ema(__global float *shadow, ulong shadow_off, __global const float *p, ulong p_off, __global const float *decay,
           ulong decay_off, __global const float *ok, ulong ok_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors || !(ok[ok_off] >= 0.5f))
        return;
    const vfloat s = vload(i, shadow + shadow_off);
    vstore(s + (1.0f - decay[decay_off]) * (vload(i, p + p_off) - s), i, shadow + shadow_off);
}
#endif
