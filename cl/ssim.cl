/* ssim.cl: SSIM from m = G a, n = G b, q = G(a^2 + b^2), p = G(a b); VEC pixels a work-item. */
#include "common/part.cl"
#include "common/reduce.cl"

#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void
#define FIELDS __global const float *m, ulong m_off, __global const float *n, ulong n_off,  \
               __global const float *q, ulong q_off, __global const float *p, ulong p_off, \
               __global const float *range, ulong range_off
#define FACTORS(above_l, above_s, below_l, below_s, m, n, q, p, range)                                      \
    const float  c1 = (0.01f * (range)) * (0.01f * (range)), c2 = (0.03f * (range)) * (0.03f * (range));    \
    const vfloat above_l = 2.0f * (m) * (n) + c1, below_l = (m) * (m) + (n) * (n) + c1;                     \
    const vfloat above_s = 2.0f * ((p) - (m) * (n)) + c2, below_s = (q) - ((m) * (m) + (n) * (n)) + c2;

static vfloat ssim(vfloat m, vfloat n, vfloat q, vfloat p, float range)
{
    FACTORS(above_l, above_s, below_l, below_s, m, n, q, p, range)
    return above_l * above_s / (below_l * below_s);
}

#if HAS_PART(1)
KERNEL ssim_fwd(FIELDS, __global float *y, ulong y_off, ulong vectors, int per_item, float scale, float add)
{
    __local float tree[WG];
    REDUCE(total, i, vectors, per_item,
           ssim(vload(i, m + m_off), vload(i, n + n_off), vload(i, q + q_off), vload(i, p + p_off), range[range_off]))
    REDUCE_STORE(total, y + y_off, scale, add)
}
#endif

#if HAS_PART(2)
KERNEL ssim_bwd(FIELDS, __global const float *dy, ulong dy_off, __global float *dm, ulong dm_off, __global float *dn,
                ulong dn_off, __global float *dq, ulong dq_off, __global float *dp, ulong dp_off, float scale,
                ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const vfloat u = vload(i, m + m_off), v = vload(i, n + n_off);
    FACTORS(above_l, above_s, below_l, below_s, u, v, vload(i, q + q_off), vload(i, p + p_off), range[range_off])
    const float  k     = scale * dy[dy_off];
    const vfloat below = below_l * below_s, s = above_l * above_s / below;
    const vfloat cross_part = 2.0f * (above_s - above_l) / below, own = 2.0f * s * (1.0f / below_s - 1.0f / below_l);
    vstore(k * (v * cross_part + u * own), i, dm + dm_off);
    vstore(k * (u * cross_part + v * own), i, dn + dn_off);
    vstore(-k * s / below_s, i, dq + dq_off);
    vstore(k * 2.0f * above_l / below, i, dp + dp_off);
}
#endif
