/* adaptive_weight.cl: one work-item, one value. SCALED: the norms are of gradients times the first value of `scaler`. */
#ifndef SCALED
#define SCALED 0
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void adaptive_weight(__global const float *a, ulong a_off, __global const float *b, ulong b_off,
#if SCALED
                     __global const float *scaler, ulong scaler_off,
#endif
                     __global float *y, ulong y_off, float weight)
{
#if SCALED
    const float least = 1e-4f * scaler[scaler_off];
#else
    const float least = 1e-4f;
#endif
    const bool is_number = isfinite(a[a_off]) && isfinite(b[b_off]);
    y[y_off] = is_number ? weight * fmin(sqrt(a[a_off]) / (sqrt(b[b_off]) + least), 1e4f) : NAN;
}
