/* norm.cl: group and batch norm, forward: `moments` of chunks, `group_stats` or `batch_stats` that join them, `apply`.
 * Chunks give mean m, a correction d and M2 = sum (x - m - d)^2; joining shifts all by one chunk's mean, so that a large
 * mean costs no digits. coef [samples][4][Cp] holds shift, delta, scale, bias: y = act((x - shift - delta) scale + bias). */
#include "common/activate.cl"
#include "common/slab.cl"

GROUP_SUM(group_sum, vfloat)
GROUP_SUM(group_sum1, float)

/* The three numbers of units from .. to - 1 of the slab at `at`. */
DIFFAD_LOCAL_FN void chunk_moments(__global const float *at, int from, int to, __local vfloat *shared, __global float *part)
{
    const int   first = from + (int)get_local_id(0);
    const float count = (float)(to - from);
    vfloat s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
    int u = first;
    for (; u + 3 * WG < to; u += 4 * WG) {
        s0 += gload(u, at);
        s1 += gload(u + WG, at);
        s2 += gload(u + 2 * WG, at);
        s3 += gload(u + 3 * WG, at);
    }
    for (; u < to; u += WG)
        s0 += gload(u, at);
    const vfloat m = group_sum((s0 + s1) + (s2 + s3), shared) / count;
    vfloat d0 = 0.0f, d1 = 0.0f, q0 = 0.0f, q1 = 0.0f;
    for (u = first; u + WG < to; u += 2 * WG) {
        const vfloat a = gload(u, at) - m, b = gload(u + WG, at) - m;
        d0 += a;
        d1 += b;
        q0 += a * a;
        q1 += b * b;
    }
    if (u < to) {
        const vfloat a = gload(u, at) - m;
        d0 += a;
        q0 += a * a;
    }
    const vfloat d = group_sum(d0 + d1, shared) / count;
    const vfloat q = group_sum(q0 + q1, shared) - count * d * d;
    if (get_local_id(0) == 0) {
        gstore(m, 0, part);
        gstore(d, 1, part);
        gstore(q, 2, part);
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void moments(__global const float *x, ulong x_off, __global float *part, ulong part_off, int units, int per)
{
    __local vfloat shared[WG];
    chunk_moments(x + x_off + slab_at(units) * VEC, chunk_from(per), chunk_to(per, units), shared, part + part_off + chunk_at(3));
}

typedef struct joined { float shift, delta, m2, count; } joined;

/* Joins the entries of `many` slabs' lanes: sample n + i dn, channel c + i dc. */
DIFFAD_LOCAL_FN joined join(__global const float *part, int n, int c, int dn, int dc, int many, sizes s,
                            __local float *shared)
{
    const int each = s.chunks * LANES;
    joined    j    = { part[entry_at(n, c, 0, 3, s)], 0.0f, 0.0f, (float)many * s.units * LANES };
    float     sum  = 0.0f, m2 = 0.0f;
    for (int k = (int)get_local_id(0); k < many * each; k += WG) {
        __global const float *p = part + entry_at(n + k / each * dn, c + k / each * dc, k % each, 3, s);
        sum += (float)entry_count(k % each, s) * ((p[0] - j.shift) + p[VEC]);
    }
    j.delta = group_sum1(sum, shared) / j.count;
    for (int k = (int)get_local_id(0); k < many * each; k += WG) {
        __global const float *p = part + entry_at(n + k / each * dn, c + k / each * dc, k % each, 3, s);
        const float d = (p[0] - j.shift) + p[VEC] - j.delta;
        m2 += p[2 * VEC] + (float)entry_count(k % each, s) * d * d;
    }
    j.m2 = group_sum1(m2, shared);
    return j;
}

static void put_coef(__global float *coef, int c, int Cp, float shift, float delta, float scale, float bias)
{
    coef[c] = shift;
    coef[Cp + c] = delta;
    coef[2 * Cp + c] = scale;
    coef[3 * Cp + c] = bias;
}

/* One work-group a group of channels; the last one also clears the lanes beyond C. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void group_stats(__global const float *part, ulong part_off, __global const float *w, ulong w_off,
                 __global const float *b, ulong b_off,
                 __global float *mean, ulong mean_off, __global float *rstd, ulong rstd_off, __global float *coef, ulong coef_off,
                 int C, int groups, int units, int chunks, int per, float eps)
{
    __local float shared[WG];
    const sizes s = { C, groups, units, chunks, per };
    const int   g = (int)get_group_id(0), n = (int)get_group_id(1), lid = (int)get_local_id(0);
    const int   many = C / groups, Cp = (C + B - 1) / B * B;
    const joined j = join(part + part_off, n, g * many, 0, 1, many, s, shared);
    const float  r = 1.0f / sqrt(j.m2 / j.count + eps);
    __global float *to = coef + coef_off + (size_t)n * 4 * Cp;
    for (int c = g * many + lid; c < (g + 1) * many; c += WG)
        put_coef(to, c, Cp, j.shift, j.delta, r * w[w_off + c], b[b_off + c]);
    for (int c = C + lid; g == groups - 1 && c < Cp; c += WG)
        put_coef(to, c, Cp, 0.0f, 0.0f, 0.0f, 0.0f);
    if (lid == 0) {
        mean[mean_off + (size_t)n * groups + g] = j.shift + j.delta;
        rstd[rstd_off + (size_t)n * groups + g] = r;
    }
}

/* One work-group a channel of Cp, over all N samples. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void batch_stats(__global const float *part, ulong part_off, __global const float *w, ulong w_off,
                 __global const float *b, ulong b_off,
                 __global float *running_mean, ulong rm_off, __global float *running_var, ulong rv_off,
                 __global float *mean, ulong mean_off, __global float *rstd, ulong rstd_off, __global float *coef, ulong coef_off,
                 int C, int N, int units, int chunks, int per, float eps, float momentum)
{
    __local float shared[WG];
    const sizes s = { C, 1, units, chunks, per };
    const int   c = (int)get_group_id(0), Cp = (int)get_num_groups(0);
    const joined j = join(part + part_off, 0, min(c, C - 1), 1, 0, N, s, shared);
    const float  r = 1.0f / sqrt(j.m2 / j.count + eps), m = j.shift + j.delta;
    if (get_local_id(0) != 0)
        return;
    if (c >= C) {
        put_coef(coef + coef_off, c, Cp, 0.0f, 0.0f, 0.0f, 0.0f);
        return;
    }
    put_coef(coef + coef_off, c, Cp, j.shift, j.delta, r * w[w_off + c], b[b_off + c]);
    mean[mean_off + c] = m;
    rstd[rstd_off + c] = r;
    running_mean[rm_off + c] += momentum * (m - running_mean[rm_off + c]);
    running_var[rv_off + c]  += momentum * (j.m2 / max(j.count - 1.0f, 1.0f) - running_var[rv_off + c]);
}

/* Batch norm with given statistics. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void batch_given(__global const float *w, ulong w_off, __global const float *b, ulong b_off,
                 __global const float *mean, ulong mean_off,
                 __global const float *var, ulong var_off, __global float *coef, ulong coef_off, int C, int Cp, float eps)
{
    const int c = (int)get_global_id(0);
    if (c < C)
        put_coef(coef + coef_off, c, Cp, mean[mean_off + c], 0.0f, w[w_off + c] / sqrt(var[var_off + c] + eps),
                 b[b_off + c]);
    else if (c < Cp)
        put_coef(coef + coef_off, c, Cp, 0.0f, 0.0f, 0.0f, 0.0f);
}

static vfloat coef_of(__global const float *coef, int field, int Cp)
{
#if B == 1
    return (vfloat)(coef[field * Cp + get_group_id(1)]);
#else
    return gload(0, coef + field * Cp + get_group_id(1) * B);
#endif
}

/* stride: of coef from sample to sample, 0 when all samples share one. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void apply(__global const float *x, ulong x_off, __global const float *coef, ulong coef_off, __global float *y,
           ulong y_off,
           int Cp, int stride, int units, int per)
{
    __global const float *k = coef + coef_off + (size_t)get_group_id(2) * stride;
    const vfloat shift = coef_of(k, 0, Cp), delta = coef_of(k, 1, Cp);
    const vfloat scale = coef_of(k, 2, Cp), bias = coef_of(k, 3, Cp);
    __global const float *from = x + x_off + slab_at(units) * VEC;
    __global float       *to   = y + y_off + slab_at(units) * VEC;
    for (int u = chunk_from(per) + (int)get_local_id(0); u < chunk_to(per, units); u += WG)
        gstore(activate((gload(u, from) - shift - delta) * scale + bias), u, to);
}

#if B > 1
/* Group norm of one channel block by one work-item (WG is 1), where groups do not straddle blocks: the block stays in the cache between
 * the walks. `part` as for moments; all sums are those of moments and group_stats. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void group_block(__global const float *x, ulong x_off, __global const float *w, ulong w_off, __global const float *b, ulong b_off,
                 __global float *y, ulong y_off, __global float *mean, ulong mean_off, __global float *rstd, ulong rstd_off,
                 __global float *part, ulong part_off, int C, int groups, int units, int chunks, int per, float eps)
{
    __local vfloat shared[WG];
    __local float  shared1[WG];
    float shift[B], delta[B], scale[B];
    const sizes s = { C, groups, units, chunks, per };
    const int   n = (int)get_group_id(2), c0 = (int)get_group_id(1) * B, many = C / groups;
    __global const float *from = x + x_off + slab_at(units) * VEC;
    __global float       *to   = y + y_off + slab_at(units) * VEC;
    for (int k = 0; k < chunks; k++)
        chunk_moments(from, k * per, min((k + 1) * per, units), shared, part + part_off + (chunk_at(1) * chunks + k * VEC) * 3);
    for (int c = 0; c < B; c += many) {
        const joined j = join(part + part_off, n, c0 + c, 0, 1, many, s, shared1);
        const float  r = 1.0f / sqrt(j.m2 / j.count + eps);
        const size_t g = (size_t)n * groups + (c0 + c) / many;
        for (int i = c; i < c + many; i++) {
            shift[i] = j.shift;
            delta[i] = j.delta;
            scale[i] = r * w[w_off + c0 + i];
        }
        mean[mean_off + g] = j.shift + j.delta;
        rstd[rstd_off + g] = r;
    }
    const vfloat vshift = vload(0, shift), vdelta = vload(0, delta), vscale = vload(0, scale), bias = vload(0, b + b_off + c0);
    for (int u = 0; u < units; u++)
        gstore(activate((gload(u, from) - vshift - vdelta) * vscale + bias), u, to);
}
#endif
