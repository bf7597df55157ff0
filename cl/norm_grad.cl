/* norm_grad.cl: backward of group and batch norm. With xh = (x - mean) rstd and dz = dy act'(xh w + b):
 * db = sum dz, dw = sum dz xh (`sums` of chunks, `channel_sums`), and
 * dx = rstd (w dz - mean of w dz - xh mean of w dz xh), means over what shares statistics (`spread`). */
#include "common/exp.cl"
#include "common/slab.cl"
#ifndef ACT
#define ACT 0
#endif

GROUP_SUM(group_sum, vfloat)
GROUP_SUM(group_sum1, float)

typedef struct lanes { vfloat mean, rstd, w, b; } lanes;

/* divide: channels that share statistics; stride: of the statistics, per sample; is_var: rstd holds a variance. */
static lanes lanes_of(__global const float *mean, __global const float *rstd, __global const float *w,
                      __global const float *b,
                      int C, int divide, int stride, int is_var, float eps)
{
    const size_t at = (size_t)get_group_id(2) * stride;
    lanes l = { gather(mean + at, C, divide), gather(rstd + at, C, divide), gather(w, C, 1), gather(b, C, 1) };
    if (is_var)
        l.rstd = 1.0f / sqrt(l.rstd + eps);
    return l;
}

static vfloat act_grad(vfloat dy, vfloat h)
{
#if ACT == 1
    const vfloat s = 1.0f / (1.0f + vexp(-h));
    return dy * s * (1.0f + h * (1.0f - s));
#elif ACT == 2
    return h > 0.0f ? dy : (vfloat)(0.0f);
#else
    return dy;
#endif
}

#define STATISTICS                                                                                                        \
    __global const float *x, ulong x_off, __global const float *w, ulong w_off, __global const float *b, ulong b_off,    \
    __global const float *mean, ulong mean_off, __global const float *rstd, ulong rstd_off,                              \
    __global const float *dy, ulong dy_off
#define GEOMETRY int C, int divide, int stride, int is_var, float eps, int units, int per
#define LANES_OF lanes_of(mean + mean_off, rstd + rstd_off, w + w_off, b + b_off, C, divide, stride, is_var, eps)

/* Sums of dz and dz xh over units from .. to - 1. */
DIFFAD_LOCAL_FN void chunk_sums(__global const float *x, __global const float *dy, lanes l, int from, int to, __local vfloat *shared,
                                __global float *part)
{
    vfloat a = 0.0f, q = 0.0f;
    for (int u = from + (int)get_local_id(0); u < to; u += WG) {
        const vfloat xh = (gload(u, x) - l.mean) * l.rstd;
        const vfloat dz = act_grad(gload(u, dy), xh * l.w + l.b);
        a += dz;
        q += dz * xh;
    }
    a = group_sum(a, shared);
    q = group_sum(q, shared);
    if (get_local_id(0) == 0) {
        gstore(a, 0, part);
        gstore(q, 1, part);
    }
}

/* dx of units from .. to - 1; k1, k2: the means of w dz and w dz xh. */
static void chunk_spread(__global const float *x, __global const float *dy, lanes l, vfloat k1, vfloat k2, int from, int to,
                         __global float *dx)
{
    for (int u = from + (int)get_local_id(0); u < to; u += WG) {
        const vfloat xh = (gload(u, x) - l.mean) * l.rstd;
        const vfloat dz = act_grad(gload(u, dy), xh * l.w + l.b);
        gstore(l.rstd * (l.w * dz - k1 - xh * k2), u, dx);
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void sums(STATISTICS, __global float *part, ulong part_off, GEOMETRY)
{
    __local vfloat shared[WG];
    const size_t at = slab_at(units) * VEC;
    chunk_sums(x + x_off + at, dy + dy_off + at, LANES_OF, chunk_from(per), chunk_to(per, units), shared, part + part_off + chunk_at(2));
}

/* One work-group a channel: dw and db. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void channel_sums(__global const float *part, ulong part_off, __global float *dw, ulong dw_off,
                  __global float *db, ulong db_off,
                  int C, int N, int units, int chunks, int per)
{
    __local float shared[WG];
    const sizes s = { C, 1, units, chunks, per };
    const int   c = (int)get_group_id(0), each = chunks * LANES;
    float a = 0.0f, q = 0.0f;
    for (int k = (int)get_local_id(0); k < N * each; k += WG) {
        __global const float *p = part + part_off + entry_at(k / each, c, k % each, 2, s);
        a += p[0];
        q += p[VEC];
    }
    a = group_sum1(a, shared);
    q = group_sum1(q, shared);
    if (get_local_id(0) == 0) {
        db[db_off + c] = a;
        dw[dw_off + c] = q;
    }
}

/* Means of w dz (x) and w dz xh (y) over the channels from c0 on that share them. */
DIFFAD_LOCAL_FN float2 group_means(__global const float *part, __global const float *w, int n, int c0, int many, sizes s,
                                   __local float *shared)
{
    const int   each = s.chunks * LANES;
    const float count = (float)many * s.units * LANES;
    float a = 0.0f, q = 0.0f;
    for (int k = (int)get_local_id(0); k < many * each; k += WG) {
        const int c = c0 + k / each;
        __global const float *p = part + entry_at(n, c, k % each, 2, s);
        a += w[c] * p[0];
        q += w[c] * p[VEC];
    }
    a = group_sum1(a, shared);
    q = group_sum1(q, shared);
    return (float2)(a / count, q / count);
}

/* One work-group a group of channels: s1[n][g] and s2[n][g]. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void group_sums(__global const float *part, ulong part_off, __global const float *w, ulong w_off,
                __global float *s1, ulong s1_off,
                __global float *s2, ulong s2_off, int C, int groups, int units, int chunks, int per)
{
    __local float shared[WG];
    const sizes s = { C, groups, units, chunks, per };
    const int   g = (int)get_group_id(0), n = (int)get_group_id(1), many = C / groups;
    const float2 means = group_means(part + part_off, w + w_off, n, g * many, many, s, shared);
    if (get_local_id(0) == 0) {
        s1[s1_off + (size_t)n * groups + g] = means.x;
        s2[s2_off + (size_t)n * groups + g] = means.y;
    }
}

/* s1, s2: group_sums' (by_w 0), or db and dw with by_w = 1 / count (batch statistics) or 0 (given statistics). */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void spread(STATISTICS, __global const float *s1, ulong s1_off, __global const float *s2, ulong s2_off,
            __global float *dx, ulong dx_off, GEOMETRY, float by_one, float by_w)
{
    const lanes  l  = LANES_OF;
    const size_t at = (size_t)get_group_id(2) * stride;
    const vfloat f  = by_one + by_w * l.w;
    const vfloat k1 = f * gather(s1 + s1_off + at, C, divide), k2 = f * gather(s2 + s2_off + at, C, divide);
    const size_t slab = slab_at(units) * VEC;
    chunk_spread(x + x_off + slab, dy + dy_off + slab, l, k1, k2, chunk_from(per), chunk_to(per, units), dx + dx_off + slab);
}

#if B > 1
/* dx of one channel block by one work-item (WG is 1), where groups do not straddle blocks: the block stays in the cache between the
 * walks. `part` as from sums, for channel_sums; all sums are those of sums and group_sums. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void group_block_grad(STATISTICS, __global float *part, ulong part_off, __global float *dx, ulong dx_off, GEOMETRY, int chunks)
{
    __local vfloat shared[WG];
    __local float  shared1[WG];
    float k1[B], k2[B];
    const lanes  l = LANES_OF;
    const sizes  s = { C, stride, units, chunks, per };
    const size_t slab = slab_at(units) * VEC;
    const int    c0 = (int)get_group_id(1) * B;
    for (int k = 0; k < chunks; k++)
        chunk_sums(x + x_off + slab, dy + dy_off + slab, l, k * per, min((k + 1) * per, units), shared,
                   part + part_off + (chunk_at(1) * chunks + k * VEC) * 2);
    for (int c = 0; c < B; c += divide) {
        const float2 means = group_means(part + part_off, w + w_off, (int)get_group_id(2), c0 + c, divide, s, shared1);
        for (int i = c; i < c + divide; i++) {
            k1[i] = means.x;
            k2[i] = means.y;
        }
    }
    chunk_spread(x + x_off + slab, dy + dy_off + slab, l, vload(0, k1), vload(0, k2), 0, units, dx + dx_off + slab);
}
#endif
