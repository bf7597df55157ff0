/* softmax.cl: over the middle of [outer][L][inner]. `rows`: inner is 1, one work-group a row. `columns`: one work-item
 * takes VEC neighbours of the inner axis. Backward: dx = y (dy - sum of y dy). */
#ifndef WG
#define WG 64
#endif
#include "common/vec.cl"
#include "common/group_sum.cl"

GROUP_SUM(group_sum, float)

DIFFAD_LOCAL_FN float group_max(float v, __local float *shared)
{
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
void rows_fwd(__global const float *x, ulong x_off, __global float *y, ulong y_off, int L)
{
    __local float shared[WG];
    const int    lid = (int)get_local_id(0);
    const size_t row = get_group_id(0);
    __global const float *from = x + x_off + row * L;
    float top = -INFINITY, sum = 0.0f;
    for (int i = lid; i < L; i += WG)
        top = max(top, from[i]);
    top = group_max(top, shared);
    for (int i = lid; i < L; i += WG)
        sum += exp(from[i] - top);
    sum = group_sum(sum, shared);
    for (int i = lid; i < L; i += WG)
        y[y_off + row * L + i] = exp(from[i] - top) / sum;
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void rows_bwd(__global const float *y, ulong y_off, __global const float *dy, ulong dy_off, __global float *dx,
              ulong dx_off, int L)
{
    __local float shared[WG];
    const int    lid = (int)get_local_id(0);
    const size_t row = get_group_id(0);
    __global const float *p = y + y_off + row * L, *g = dy + dy_off + row * L;
    float sum = 0.0f;
    for (int i = lid; i < L; i += WG)
        sum += p[i] * g[i];
    sum = group_sum(sum, shared);
    for (int i = lid; i < L; i += WG)
        dx[dx_off + row * L + i] = p[i] * (g[i] - sum);
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
    for (int i = 0; i < L; i++)
        sum += exp(vload(at + (size_t)i * vectors, x + x_off) - top);
    for (int i = 0; i < L; i++)
        vstore(exp(vload(at + (size_t)i * vectors, x + x_off) - top) / sum, at + (size_t)i * vectors, y + y_off);
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
