/* loss_scale.cl: takes the loss's scale off again, and moves it. One work-item; scaler: scale, steps since it changed, steps
 * skipped. */
#include "common/part.cl"

#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

#if HAS_PART(1)
/* hyper as in cl/optimiser.cl; what follows from the number of steps is that of the steps with effect, `step` with this one
 * less those skipped. */
KERNEL unscale(__global const float *hyper, ulong hyper_off, __global const float *scaler, ulong scaler_off,
               __global const float *norm, ulong norm_off, __global const float *step, ulong step_off,
               __global const float *decay, ulong decay_off, __global float *y, ulong y_off,
               __global float *plain, ulong plain_off, __global float *average, ulong average_off, int has_decay)
{
    __global const float *h = hyper + hyper_off;
    const float scale = scaler[scaler_off], k = step[step_off] - scaler[scaler_off + 2];
    for (int i = 0; i < 5; i++)
        y[y_off + i] = h[i];
    y[y_off + 5] = -expm1(k * log1p(-h[1]));
    y[y_off + 6] = -expm1(k * log1p(-h[2]));
    y[y_off + 7] = h[7] / scale;
    plain[plain_off]     = norm[norm_off] / scale;
    plain[plain_off + 1] = norm[norm_off + 1];
    average[average_off] = has_decay ? fmin(decay[decay_off], (1.0f + k) / (10.0f + k)) : 0.0f;
}
#endif

#if HAS_PART(2)
KERNEL update_scale(__global float *scaler, ulong scaler_off, __global const float *norm, ulong norm_off, float interval)
{
    __global float *s = scaler + scaler_off;
    if (!(norm[norm_off + 1] >= 0.5f)) {
        s[0] *= 0.5f;
        s[1] = 0.0f;
        s[2] += 1.0f;
    } else if (s[1] + 1.0f < interval) {
        s[1] += 1.0f;
    } else {
        s[0] = fmin(2.0f * s[0], 0x1p127f);      /* never infinite */
        s[1] = 0.0f;
    }
}
#endif
