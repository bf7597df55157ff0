/* gemm_tile.cl: C = alpha op(A) op(B) + beta C + bias. A work-group computes a tile of TM x TN elements from slabs of
 * DEPTH in local memory (common/product.cl). The next slab is fetched to registers while the present one is used. TA: A
 * is [K,M]; TB: B is [N,K]. K may be cut into `slices` of `chain`: then C is [batch][slices][M][N] of partial sums
 * (gemm_epilogue.cl adds them). */
#ifndef TA
#define TA 0
#endif
#ifndef TB
#define TB 0
#endif
#define PITCH_A (TM + 4)
#define PITCH_B (TN + 4)
#include "common/product.cl"
#define LOADS_A (TM * DEPTH / ITEMS)
#define LOADS_B (TN * DEPTH / ITEMS)

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

__kernel ASKS_SUB_GROUP __attribute__((reqd_work_group_size(WG, WG1, 1)))
void gemm_tile(__global const float *a, ulong a_off, __global const float *b, ulong b_off, __global float *c,
               ulong c_off, __global const float *bias, ulong bias_off, int M, int N, int K, int lda, int ldb, int ldc,
               ulong a_stride, ulong b_stride, ulong c_stride, int slices, int chain, float alpha, int beta,
               int bias_kind)
{
    __local float4 slab_a[2][DEPTH * PITCH_A / 4], slab_b[2][DEPTH * PITCH_B / 4];
    const int tx = (int)get_local_id(0), ty = (int)get_local_id(1), item = ty * WG + tx;
    const int n0 = (int)get_group_id(0) * TN, m0 = (int)get_group_id(1) * TM;
    const size_t z = get_global_id(2), batch = z / slices;
    const int k0 = (int)(z % slices) * chain, k1 = min(k0 + chain, K);
    a += a_off + batch * a_stride;
    b += b_off + batch * b_stride;
    c += c_off + z * c_stride;
    float4 sum[RM][STRIPS_N];
    float  next_a[LOADS_A], next_b[LOADS_B];
    clear(sum);
#define STORE(half)                                                                                           \
    do {                                                                                                      \
        __local float *la = (__local float *)slab_a[half], *lb = (__local float *)slab_b[half];               \
        UNROLL for (int i = 0; i < LOADS_A; i++)                                                              \
            la[A_K(item + i * ITEMS) * PITCH_A + A_ROW(item + i * ITEMS)] = next_a[i];                        \
        UNROLL for (int i = 0; i < LOADS_B; i++)                                                              \
            lb[B_K(item + i * ITEMS) * PITCH_B + B_COL(item + i * ITEMS)] = next_b[i];                        \
    } while (0)
    fetch_a(next_a, a, lda, m0, M, k0, k1, item);
    fetch_b(next_b, b, ldb, n0, N, k0, k1, item);
    STORE(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int k = k0, slab = 0; k < k1; k += DEPTH, slab++) {
        const bool is_last = k + DEPTH >= k1;
        if (!is_last) {
            fetch_a(next_a, a, lda, m0, M, k + DEPTH, k1, item);
            fetch_b(next_b, b, ldb, n0, N, k + DEPTH, k1, item);
        }
        multiply(sum, slab_a[slab & 1], slab_b[slab & 1], tx, ty);
        if (!is_last)
            STORE((slab + 1) & 1);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    UNROLL for (int r = 0; r < RM; r++) {
        const int m = m0 + ROW(r, ty);
        UNROLL for (int s = 0; s < STRIPS_N; s++) {
            const float part[4] = { sum[r][s].x, sum[r][s].y, sum[r][s].z, sum[r][s].w };
            UNROLL for (int i = 0; i < 4; i++) {
                const int n = n0 + COLUMN(s, tx) + i;
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
