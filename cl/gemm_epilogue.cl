/* gemm_epilogue.cl: what follows a matrix product. One work-item an element of C [batch][M][N].
 * bias_kind 1: bias [M], 2: bias [N]. */

/* C += bias */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void gemm_bias(__global float *c, ulong c_off, __global const float *bias, ulong bias_off, int N, int ldc,
               ulong c_stride, int bias_kind)
{
    const size_t n = get_global_id(0), m = get_global_id(1);
    if (n < (size_t)N)
        c[c_off + get_global_id(2) * c_stride + m * ldc + n] += bias[bias_off + (bias_kind == 1 ? m : n)];
}

/* C = alpha (sum over slices of x [batch][slices][M][N], in order) + beta C + bias */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void gemm_slices(__global const float *x, ulong x_off, __global float *c, ulong c_off, __global const float *bias,
                 ulong bias_off, int N, int ldc, ulong c_stride, int slices, float alpha, int beta, int bias_kind)
{
    const size_t n = get_global_id(0), m = get_global_id(1), batch = get_global_id(2);
    const size_t each = get_global_size(1) * (size_t)N;
    if (n >= (size_t)N)
        return;
    __global const float *from = x + x_off + batch * slices * each + m * N + n;
    __global float       *to   = c + c_off + batch * c_stride + m * ldc + n;
    float sum = 0.0f;
    for (int s = 0; s < slices; s++)
        sum += from[s * each];
    float v = sum * alpha + (beta ? *to : 0.0f);
    if (bias_kind)
        v += bias[bias_off + (bias_kind == 1 ? m : n)];
    *to = v;
}
