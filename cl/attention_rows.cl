/* attention_rows.cl: forward attention in the blocked layout, a place is a tile of ROWS queries of one head. Keys
 * pass by in tiles; a running maximum keeps the exponentials in range; y holds the unnormalised sum until the end.
 * Exponentials are powers of two: scale and scores hold the factor log2(e), the maxima too; lse does not. */
#include "common/attention_rows.cl"
#include "common/queue.cl"

/* s = 2^(s - new maximum), and what the sums so far must be multiplied with. top and sum are those of the queries. */
DIFFAD_LOCAL_FN void soften(__local vfloat *s, int count, __local vfloat *factor, vfloat *top, vfloat *sum)
{
#pragma unroll
    for (int v = 0; v < LV; v++) {
        vfloat now = top[v], add = 0.0f;
        for (int j = 0; j < count; j++)
            now = max(now, s[j * LV + v]);
        for (int j = 0; j < count; j++) {
            const vfloat p = vexp2(s[j * LV + v] - now);
            s[j * LV + v] = p;
            add += p;
        }
        factor[v] = vexp2(top[v] - now);
        sum[v]    = sum[v] * factor[v] + add;
        top[v]    = now;
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void attention_rows(__global const float *qkv, ulong qkv_off, __global float *y, ulong y_off,
                    __global float *lse, ulong lse_off,
                    int T, float scale, QUEUE_ARGS)
{
    __local vfloat at[D * LV], s[PASS * LV], factor[LV];
    EACH_PLACE {
        const int    t0 = PLACE(0) * ROWS;
        const size_t head = (size_t)place / places_x;
        __global const float *q = qkv + qkv_off + head * 3 * D * T, *k = q + (size_t)D * T, *v = k + (size_t)D * T;
        __global float *out = y + y_off + head * D * T;
        vfloat top[LV], sum[LV];
        for (int l = 0; l < LV; l++) {
            top[l] = -1e30f;
            sum[l] = 0.0f;
        }
        transpose(q, T, t0, scale, (__local float *)at);
        for (int j0 = 0; j0 < T; j0 += PASS) {
            const int count = min(PASS, T - j0);
            dots(k, T, j0, count, at, s);
            soften(s, count, factor, top, sum);
            accumulate(out, T, t0, v, j0, count, (__local const float *)s, (__local const float *)factor, j0 == 0);
        }
        for (int l = 0; l < LV; l++) {
            factor[l] = 1.0f / sum[l];
            s[l]      = top[l] * LN2 + log(sum[l]);
        }
        for (int r = 0; r < min(ROWS, T - t0); r++) {
            for (int cb = 0; cb < DB; cb++) {
                const size_t i = (size_t)cb * T + t0 + r;
                gstore(gload(i, out) * ((__local const float *)factor)[r], i, out);
            }
            lse[lse_off + head * T + t0 + r] = ((__local const float *)s)[r];
        }
    }
}
