/* softmax.cl: over the middle of [outer][L][inner]. `rows`: inner is 1, one work-group a row, VEC neighbours at a time. `columns`: one work-item
 * takes VEC neighbours of the inner axis. Backward: dx = y (dy - sum of y dy). */
#ifndef WG
#define WG 64
#endif
#include "common/exp.cl"
#include "common/group_sum.cl"
#include "common/lanes.cl"

GROUP_SUM(group_sum, float)

DIFFAD_LOCAL_FN float group_max(float v, __local float *shared)
{
    if (WG == 1)
        return v;
    const int i = (int)get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    shared[i] = v;
    for (int step = WG / 2; step > 0; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (i < step)
            shared[i] = max(shared[i], shared[i + step]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    return shared[0];
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void rows_fwd(__global const float *x, ulong x_off, __global float *y, ulong y_off, int vectors)
{
    __local float shared[WG];
    const int    lid = (int)get_local_id(0);
    const size_t row = get_group_id(0);
    __global const float *from = x + x_off + row * vectors * VEC;
    __global float       *to   = y + y_off + row * vectors * VEC;
    vfloat most = -INFINITY, all = 0.0f;
    for (int i = lid; i < vectors; i += WG)
        most = max(most, vload(i, from));
    const float top = group_max(max_of_lanes(most), shared);
    for (int i = lid; i < vectors; i += WG) {
        const vfloat e = vexp(vload(i, from) - top);
        vstore(e, i, to);
        all += e;
    }
    const float sum = group_sum(sum_of_lanes(all), shared);
    for (int i = lid; i < vectors; i += WG)
        vstore(vload(i, to) / sum, i, to);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void rows_bwd(__global const float *y, ulong y_off, __global const float *dy, ulong dy_off, __global float *dx,
              ulong dx_off, int vectors)
{
    __local float shared[WG];
    const int    lid = (int)get_local_id(0);
    const size_t row = get_group_id(0);
    __global const float *p = y + y_off + row * vectors * VEC, *g = dy + dy_off + row * vectors * VEC;
    __global float       *to = dx + dx_off + row * vectors * VEC;
    vfloat all = 0.0f;
    for (int i = lid; i < vectors; i += WG)
        all += vload(i, p) * vload(i, g);
    const float sum = group_sum(sum_of_lanes(all), shared);
    for (int i = lid; i < vectors; i += WG)
        vstore(vload(i, p) * (vload(i, g) - sum), i, to);
}

/* vectors: of one outer index */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void columns_fwd(__global const float *x, ulong x_off, __global float *y, ulong y_off, int L, int vectors)
{
    const int v = (int)get_global_id(0);
    if (v >= vectors)
        return;
    const size_t at = (size_t)get_global_id(1) * L * vectors + v;
    vfloat top = vload(at, x + x_off), sum = 0.0f;
    for (int i = 1; i < L; i++)
        top = max(top, vload(at + (size_t)i * vectors, x + x_off));
    for (int i = 0; i < L; i++) {
        const vfloat e = vexp(vload(at + (size_t)i * vectors, x + x_off) - top);
        vstore(e, at + (size_t)i * vectors, y + y_off);
        sum += e;
    }
    for (int i = 0; i < L; i++)
        vstore(vload(at + (size_t)i * vectors, y + y_off) / sum, at + (size_t)i * vectors, y + y_off);
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void columns_bwd(__global const float *y, ulong y_off, __global const float *dy, ulong dy_off,
                 __global float *dx, ulong dx_off,
                 int L, int vectors)
{
    const int v = (int)get_global_id(0);
    if (v >= vectors)
        return;
    const size_t at = (size_t)get_global_id(1) * L * vectors + v;
    vfloat sum = 0.0f;
    for (int i = 0; i < L; i++)
        sum += vload(at + (size_t)i * vectors, y + y_off) * vload(at + (size_t)i * vectors, dy + dy_off);
    for (int i = 0; i < L; i++) {
        const size_t k = at + (size_t)i * vectors;
        vstore(vload(k, y + y_off) * (vload(k, dy + dy_off) - sum), k, dx + dx_off);
    }
}
