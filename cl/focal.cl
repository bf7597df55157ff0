/* focal.cl: p [N,2,plane], mask [N,plane] in vectors of VEC pixels. */
#include "common/exp.cl"
#include "common/part.cl"
#include "common/reduce.cl"

#define SMOOTH 1e-5f
#define KERNEL __kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void

/* true where the mask is set */
static vint is_set(size_t i, __global const uchar *mask) { return DIFFAD_NAME(convert_int)(vload(i, mask)) != 0; }

/* t1 p1 + t0 p0 + smooth */
static vfloat confidence(vfloat p0, vfloat p1, vint set)
{
    const vfloat own = select(p0, p1, set), other = select(p1, p0, set);
    return own + SMOOTH * (1.0f - own + other);
}

static vfloat focal(vfloat q) { return -(1.0f - q) * (1.0f - q) * vlog(q); }

#if HAS_PART(1)
KERNEL focal_fwd(__global const float *p, ulong p_off, __global const uchar *mask, ulong mask_off, __global float *y,
                 ulong y_off, ulong vectors, int per_item, float scale, float add)
{
    __local float tree[WG];
    const size_t row = get_global_id(1) * vectors;
    __global const float *p0 = p + p_off + 2 * row * VEC, *p1 = p0 + vectors * VEC;
    __global const uchar *m  = mask + mask_off + row * VEC;
    REDUCE(total, i, vectors, per_item, focal(confidence(vload(i, p0), vload(i, p1), is_set(i, m))))
    REDUCE_STORE(total, y + y_off, scale, add)
}
#endif

#if HAS_PART(2)
KERNEL focal_bwd(__global const float *p, ulong p_off, __global const uchar *mask, ulong mask_off,
                 __global const float *dy, ulong dy_off, __global float *dx, ulong dx_off, float scale, ulong plane,
                 ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const size_t at  = i + i / plane * plane;      /* of p0; p1 lies a plane behind */
    const vint   set = is_set(i, mask + mask_off);
    const vfloat q   = confidence(vload(at, p + p_off), vload(at + plane, p + p_off), set);
    const vfloat d   = scale * dy[dy_off] * (1.0f - q) * (2.0f * vlog(q) - (1.0f - q) / q);
    const vfloat own = (1.0f - SMOOTH) * d, other = SMOOTH * d;
    vstore(select(own, other, set), at, dx + dx_off);
    vstore(select(other, own, set), at + plane, dx + dx_off);
}
#endif
