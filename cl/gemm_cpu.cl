/* gemm_cpu.cl: C = alpha A B + beta C + bias for CPUs. One work-item owns some panels of P rows and one panel of 16 V
 * columns, and keeps P x V vectors of sums in registers. K is cut into blocks of KB: B's block stays in the cache
 * while the rows pass over it, and each block's sum is added to C on its own, which also keeps rounding errors short.
 * B: panels [N/(16V)][K][16V] (gemm_pack.cl). */
#ifndef P
#define P 6
#endif
#ifndef V
#define V 4
#endif
#ifndef KB
#define KB 256
#endif
#define WIDTH  (16 * V)
#define UNROLL __attribute__((opencl_unroll_hint))

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void gemm_cpu(__global const float *restrict a, ulong a_off, __global const float *restrict b, ulong b_off,
              __global float *restrict c, ulong c_off, __global const float *restrict bias, ulong bias_off,
              int M, int N, int K, int lda, int ldc, ulong a_stride, ulong b_stride, ulong c_stride,
              int per_group, float alpha, int beta, int bias_kind)
{
    const int    n0 = (int)get_global_id(0) * WIDTH, first = (int)get_global_id(1) * per_group;
    const int    last = min(first + per_group, (M + P - 1) / P), lanes = min(WIDTH, N - n0);
    const size_t batch = get_global_id(2);
    a += a_off + batch * a_stride;
    b += b_off + batch * b_stride + (size_t)n0 * K;
    c += c_off + batch * c_stride + n0;
    bias += bias_off;
    for (int k0 = 0; k0 < K; k0 += KB) {
        const int depth = min(KB, K - k0);
        for (int i = first; i < last; i++) {
            const int m0 = i * P;
            float16   sum[V][P];
            UNROLL for (int v = 0; v < V; v++)
                UNROLL for (int p = 0; p < P; p++)
                    sum[v][p] = (float16)(0.0f);
            __global const float *bk = b + (size_t)k0 * WIDTH;
            __global const float *row[P];
            UNROLL for (int p = 0; p < P; p++)
                row[p] = a + (size_t)min(m0 + p, M - 1) * lda + k0;
            __attribute__((opencl_unroll_hint(2)))
            for (int k = 0; k < depth; k++) {
                float16 w[V];
                UNROLL for (int v = 0; v < V; v++)
                    w[v] = vload16(v, bk + (size_t)k * WIDTH);
                UNROLL for (int p = 0; p < P; p++) {
                    const float16 s = (float16)(row[p][k]);
                    UNROLL for (int v = 0; v < V; v++)
                        sum[v][p] = w[v] * s + sum[v][p];
                }
            }
            const int reads = k0 > 0 || beta, adds = k0 == 0 ? bias_kind : 0;
            float     part[P * WIDTH];      /* so that what follows is a loop: unrolled it takes long to compile */
            UNROLL for (int p = 0; p < P; p++)
                UNROLL for (int v = 0; v < V; v++)
                    vstore16(sum[v][p] * alpha, v, part + p * WIDTH);
            for (int p = 0; p < min(P, M - m0); p++) {
                __global float *to = c + (size_t)(m0 + p) * ldc;
                int j = 0;
                for (; j + 16 <= lanes; j += 16) {
                    float16 r = vload16(0, part + p * WIDTH + j);
                    if (reads)
                        r += vload16(0, to + j);
                    if (adds)
                        r += adds == 1 ? (float16)(bias[m0 + p]) : vload16(0, bias + n0 + j);
                    vstore16(r, 0, to + j);
                }
                for (; j < lanes; j++) {
                    float r = part[p * WIDTH + j] + (reads ? to[j] : 0.0f);
                    if (adds)
                        r += adds == 1 ? bias[m0 + p] : bias[n0 + j];
                    to[j] = r;
                }
            }
        }
    }
}
