/* grad_norm.cl: from sums of squares to the norm of all of them; the factor that clips. */
#include "common/part.cl"
#ifndef WG
#define WG 64
#endif
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

#if HAS_PART(1)
#ifndef EACH
#define EACH 24      /* values of an input; the last may have fewer */
#endif
#ifndef INPUTS
#define INPUTS 50
#endif
#define CHAIN 12     /* values that are added in a row; then their sums, and so on */
#define TEN(X, k) X(k##0) X(k##1) X(k##2) X(k##3) X(k##4) X(k##5) X(k##6) X(k##7) X(k##8) X(k##9)
#define EVERY(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) TEN(X, 1) TEN(X, 2) TEN(X, 3) TEN(X, 4)
#define IN(k)   __global const float *x##k, ulong x##k##_off,
#define COPY(k) if (l < EACH && (k) * EACH + l < count) value[(k) * EACH + l] = x##k[x##k##_off + l];
KERNEL norm_of_squares(EVERY(IN) __global float *y, ulong y_off, int count)
{
    __local float value[INPUTS * EACH], sum[(INPUTS * EACH + CHAIN - 1) / CHAIN];
    __local float *from = value, *to = sum;
    const int l = get_local_id(0);
    EVERY(COPY)
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int left = count, n = 0; n != 1; left = n) {
        n = (left + CHAIN - 1) / CHAIN;
        for (int i = l; i < n; i += WG) {
            float s = 0.0f;
            for (int k = i * CHAIN; k < min((i + 1) * CHAIN, left); k++)
                s += from[k];
            to[i] = s;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        __local float *other = from;
        from = to;
        to   = other;
    }
    if (l == 0) {
        const float norm = sqrt(from[0]);
        y[y_off]     = norm;
        y[y_off + 1] = isfinite(norm) ? 1.0f : 0.0f;
    }
}
#endif

#if HAS_PART(2)
KERNEL clip_scale(__global const float *norm, ulong norm_off, __global float *y, ulong y_off, float limit)
{
    y[y_off] = norm[norm_off + 1] >= 0.5f ? fmin(1.0f, limit / (norm[norm_off] + 1e-6f)) : 0.0f;
}
#endif
