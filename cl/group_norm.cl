/* group_norm.cl: group norm of a plain map in one launch: a work-group takes a whole group of channels, `units` vectors of a
 * channel, `many` channels. Statistics as in norm.cl: the mean, a correction, squares about both. */
#include "common/vec.cl"
#include "common/activate.cl"
#include "common/global.cl"
#include "common/group_sum.cl"

GROUP_SUM(group_sum, float)

static float lanes_of(vfloat v)
{
#if VEC == 4
    return (v.x + v.y) + (v.z + v.w);
#else
    return v;
#endif
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void group_norm(__global const float *x, ulong x_off, __global const float *w, ulong w_off, __global const float *b, ulong b_off,
                __global float *y, ulong y_off, __global float *mean, ulong mean_off, __global float *rstd, ulong rstd_off,
                int many, int units, float eps)
{
    __local float shared[WG];
    const int    g = (int)get_group_id(0), groups = (int)get_num_groups(0), all = many * units;
    const size_t at = ((size_t)get_group_id(1) * groups + g) * all * VEC, row = get_group_id(1) * groups + g;
    const float  count = (float)all * VEC;
    __global const float *from = x + x_off + at;
    __global float       *to = y + y_off + at;
    vfloat s0 = 0.0f, s1 = 0.0f, d = 0.0f, q = 0.0f;
    int u = (int)get_local_id(0);
    for (; u + WG < all; u += 2 * WG) {
        s0 += gload(u, from);
        s1 += gload(u + WG, from);
    }
    if (u < all)
        s0 += gload(u, from);
    const float m = group_sum(lanes_of(s0 + s1), shared) / count;
    for (u = (int)get_local_id(0); u < all; u += WG) {
        const vfloat a = gload(u, from) - m;
        d += a;
        q += a * a;
    }
    const float delta = group_sum(lanes_of(d), shared) / count;
    const float m2 = group_sum(lanes_of(q), shared) - count * delta * delta;
    const float r = 1.0f / sqrt(m2 / count + eps);
    for (u = (int)get_local_id(0); u < all; u += WG) {
        const int c = g * many + u / units;
        gstore(activate((gload(u, from) - m - delta) * (r * w[w_off + c]) + b[b_off + c]), u, to);
    }
    if (get_local_id(0) == 0) {
        mean[mean_off + row] = m + delta;
        rstd[rstd_off + row] = r;
    }
}
