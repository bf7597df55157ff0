/* optimiser.cl: PER vectors of VEC parameters a work-item, up to SETS sets of parameters a launch. Where `ok` is 0 nothing
 * is written. Set k is of n##k vectors. */
#include "common/part.cl"
#include "common/sets.cl"
#include "common/vec.cl"
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

#if HAS_PART(1)
#define SET(k) , __global float *param##k, ulong param##k##_off, __global float *mean##k, ulong mean##k##_off, \
               __global float *var##k, ulong var##k##_off, __global const float *grad##k, ulong grad##k##_off, ulong n##k
#define TAKE(k)                                         \
    if (SET_BEGINS) {                                   \
        p    = param##k + param##k##_off;               \
        m    = mean##k + mean##k##_off;                 \
        v    = var##k + var##k##_off;                   \
        grad = grad##k + grad##k##_off;                 \
        vectors = n##k;                                 \
        SET_ENTER                                       \
    }                                                   \
    SET_LEAVE(SET_GROUPS(n##k))
/* hyper: lr, 1-beta1, 1-beta2, eps, decay, 1-beta1^k, 1-beta2^k, scale of the gradient */
KERNEL adam(__global const float *hyper, ulong hyper_off, __global const float *ok, ulong ok_off SETS_12(SET))
{
    __global float       *p = 0, *m = 0, *v = 0;
    __global const float *grad = 0;
    ulong vectors = 0;
    SET_VARIABLES
    SETS_12(TAKE)
    if (!(ok[ok_off] >= 0.5f))
        return;
    __global const float *h = hyper + hyper_off;
    const float rate = h[0], a1 = h[1], a2 = h[2], eps = h[3], decay = h[4], scale = h[7];
    const float step = rate / h[5], root = sqrt(h[6]);
    SET_EACH (i, vectors) {
        const vfloat g = scale * vload(i, grad), p0 = vload(i, p), m0 = vload(i, m), v0 = vload(i, v);
        const vfloat m1 = m0 + a1 * (g - m0), v1 = v0 + a2 * (g * g - v0);
        const vfloat decayed = p0 - rate * decay * p0;
        vstore(decayed - step * m1 / (sqrt(v1) / root + eps), i, p);
        vstore(m1, i, m);
        vstore(v1, i, v);
    }
}
#undef SET
#undef TAKE
#endif

#if HAS_PART(2)
#define SET(k) , __global float *s##k, ulong s##k##_off, __global const float *p##k, ulong p##k##_off, ulong n##k
#define TAKE(k)                                         \
    if (SET_BEGINS) {                                   \
        shadow = s##k + s##k##_off;                     \
        p      = p##k + p##k##_off;                     \
        vectors = n##k;                                 \
        SET_ENTER                                       \
    }                                                   \
    SET_LEAVE(SET_GROUPS(n##k))
KERNEL ema(__global const float *decay, ulong decay_off, __global const float *ok, ulong ok_off SETS_24(SET))
{
    __global float       *shadow = 0;
    __global const float *p = 0;
    ulong vectors = 0;
    SET_VARIABLES
    SETS_24(TAKE)
    if (!(ok[ok_off] >= 0.5f))
        return;
    const float share = 1.0f - decay[decay_off];
    SET_EACH (i, vectors) {
        const vfloat s = vload(i, shadow);
        vstore(s + share * (vload(i, p) - s), i, shadow);
    }
}
#undef SET
#undef TAKE
#endif
