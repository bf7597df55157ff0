/* gemm_tile.cl: C = alpha op(A) op(B) + beta C + bias. A work-group of WG x WG1 items computes a tile of TM x TN
 * elements from slabs of DEPTH in local memory; each item holds R x R sums: strips of four, WG x 4 elements apart, so
 * that neighbours read neighbouring words. The next slab is fetched to registers while the present one is used. TA: A
 * is [K,M]; TB: B is [N,K]. K may be cut into `slices` of `chain`: then C is [batch][slices][M][N] of partial sums
 * (gemm_epilogue.cl adds them). */
#ifndef R
#define R 8
#endif
#ifndef DEPTH
#define DEPTH 16
#endif
#ifndef TA
#define TA 0
#endif
#ifndef TB
#define TB 0
#endif
#define TM     (WG1 * R)
#define TN     (WG * R)
#define PITCH_A (TM + 4)
#define PITCH_B (TN + 4)
#define ITEMS  (WG * WG1)
#define LOADS_A (TM * DEPTH / ITEMS)
#define LOADS_B (TN * DEPTH / ITEMS)
#define STRIPS (R / 4)
#define UNROLL __attribute__((opencl_unroll_hint))

/* Consecutive items read consecutive words: along the side that is contiguous in memory. */
#define A_ROW(i) (TA ? (i) % TM : (i) / DEPTH)
#define A_K(i)   (TA ? (i) / TM : (i) % DEPTH)
#define B_COL(i) (TB ? (i) / DEPTH : (i) % TN)
#define B_K(i)   (TB ? (i) % DEPTH : (i) / TN)

static void fetch_a(float *next, __global const float *a, int lda, int m0, int M, int k, int k1, int item)
{
    UNROLL for (int i = 0; i < LOADS_A; i++) {
        const int m = m0 + A_ROW(item + i * ITEMS), kk = k + A_K(item + i * ITEMS);
        next[i] = m < M && kk < k1 ? a[TA ? (size_t)kk * lda + m : (size_t)m * lda + kk] : 0.0f;
    }
}

static void fetch_b(float *next, __global const float *b, int ldb, int n0, int N, int k, int k1, int item)
{
    UNROLL for (int i = 0; i < LOADS_B; i++) {
        const int n = n0 + B_COL(item + i * ITEMS), kk = k + B_K(item + i * ITEMS);
        next[i] = n < N && kk < k1 ? b[TB ? (size_t)n * ldb + kk : (size_t)kk * ldb + n] : 0.0f;
    }
}

__kernel __attribute__((reqd_work_group_size(WG, WG1, 1)))
void gemm_tile(__global const float *a, ulong a_off, __global const float *b, ulong b_off, __global float *c,
               ulong c_off, __global const float *bias, ulong bias_off, int M, int N, int K, int lda, int ldb, int ldc,
               ulong a_stride, ulong b_stride, ulong c_stride, int slices, int chain, float alpha, int beta,
               int bias_kind)
{
    __local float4 slab_a[DEPTH * PITCH_A / 4], slab_b[DEPTH * PITCH_B / 4];
    __local float *la = (__local float *)slab_a, *lb = (__local float *)slab_b;
    const int tx = (int)get_local_id(0), ty = (int)get_local_id(1), item = ty * WG + tx;
    const int n0 = (int)get_group_id(0) * TN, m0 = (int)get_group_id(1) * TM;
    const size_t z = get_global_id(2), batch = z / slices;
    const int k0 = (int)(z % slices) * chain, k1 = min(k0 + chain, K);
    a += a_off + batch * a_stride;
    b += b_off + batch * b_stride;
    c += c_off + z * c_stride;
    float4 sum[R][STRIPS];
    float  next_a[LOADS_A], next_b[LOADS_B];
    UNROLL for (int r = 0; r < R; r++)
        UNROLL for (int s = 0; s < STRIPS; s++)
            sum[r][s] = (float4)(0.0f);
    fetch_a(next_a, a, lda, m0, M, k0, k1, item);
    fetch_b(next_b, b, ldb, n0, N, k0, k1, item);
    for (int k = k0; k < k1; k += DEPTH) {
        barrier(CLK_LOCAL_MEM_FENCE);
        UNROLL for (int i = 0; i < LOADS_A; i++)
            la[A_K(item + i * ITEMS) * PITCH_A + A_ROW(item + i * ITEMS)] = next_a[i];
        UNROLL for (int i = 0; i < LOADS_B; i++)
            lb[B_K(item + i * ITEMS) * PITCH_B + B_COL(item + i * ITEMS)] = next_b[i];
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k + DEPTH < k1) {
            fetch_a(next_a, a, lda, m0, M, k + DEPTH, k1, item);
            fetch_b(next_b, b, ldb, n0, N, k + DEPTH, k1, item);
        }
        for (int j = 0; j < DEPTH; j++) {
            float4 va[STRIPS], vb[STRIPS];
            UNROLL for (int s = 0; s < STRIPS; s++) {
                va[s] = slab_a[j * (PITCH_A / 4) + s * WG1 + ty];
                vb[s] = slab_b[j * (PITCH_B / 4) + s * WG + tx];
            }
            UNROLL for (int s = 0; s < STRIPS; s++)
                UNROLL for (int t = 0; t < STRIPS; t++) {
                    sum[s * 4 + 0][t] = va[s].x * vb[t] + sum[s * 4 + 0][t];
                    sum[s * 4 + 1][t] = va[s].y * vb[t] + sum[s * 4 + 1][t];
                    sum[s * 4 + 2][t] = va[s].z * vb[t] + sum[s * 4 + 2][t];
                    sum[s * 4 + 3][t] = va[s].w * vb[t] + sum[s * 4 + 3][t];
                }
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        const int m = m0 + r / 4 * WG1 * 4 + ty * 4 + r % 4;
        UNROLL for (int s = 0; s < STRIPS; s++) {
            const float part[4] = { sum[r][s].x, sum[r][s].y, sum[r][s].z, sum[r][s].w };
            UNROLL for (int i = 0; i < 4; i++) {
                const int n = n0 + s * WG * 4 + tx * 4 + i;
                if (m < M && n < N) {
                    __global float *to = c + (size_t)m * ldc + n;
                    float v = part[i] * alpha + (beta ? *to : 0.0f);
                    if (bias_kind)
                        v += bias[bias_off + (bias_kind == 1 ? m : n)];
                    *to = v;
                }
            }
        }
    }
}
