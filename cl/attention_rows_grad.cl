/* attention_rows_grad.cl: backward of attention in the blocked layout. With P = exp(scale q.k - lse), G = P (dy.v - delta) scale
 * and delta = y.dy: dq = sum over keys of G k (lanes are queries); dk, dv = sums over queries of G q, P dy (lanes are keys).
 * P is a power of two: `power` is scale log2(e). */
#include "common/attention_rows.cl"
#include "common/queue.cl"

static float row_dot(__global const float *a, __global const float *b, int T)
{
    vfloat sum = 0.0f;
    float  lane[VEC], all = 0.0f;
    for (int cb = 0; cb < DB; cb++)
        sum += gload((size_t)cb * T, a) * gload((size_t)cb * T, b);
    vstore(sum, 0, lane);
    for (int i = 0; i < VEC; i++)
        all += lane[i];
    return all;
}

/* Also leaves scale delta [N,heads,T] for the kernel of the keys. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void attention_rows_dq(__global const float *qkv, ulong qkv_off, __global const float *y, ulong y_off,
                       __global const float *lse, ulong lse_off, __global const float *dy, ulong dy_off,
                       __global float *delta, ulong delta_off, __global float *dqkv, ulong dqkv_off, int T, float scale,
                       float power, QUEUE_ARGS)
{
    __local vfloat qt[D * LV], dt[D * LV], s[PASS * LV], g[PASS * LV];
    __local float  row_lse[ROWS], row_delta[ROWS];
    EACH_PLACE {
        const int    t0 = PLACE(0) * ROWS;
        const size_t head = (size_t)place / places_x;
        __global const float *q = qkv + qkv_off + head * 3 * D * T, *k = q + (size_t)D * T, *v = k + (size_t)D * T;
        __global const float *from = y + y_off + head * D * T, *grad = dy + dy_off + head * D * T;
        for (int r = 0; r < ROWS; r++) {
            const int t = min(t0 + r, T - 1);
            row_lse[r]   = lse[lse_off + head * T + t] * LOG2E;
            row_delta[r] = row_dot(from + (size_t)t * VEC, grad + (size_t)t * VEC, T) * scale;
            delta[delta_off + head * T + t] = row_delta[r];
        }
        transpose(q, T, t0, power, (__local float *)qt);
        transpose(grad, T, t0, scale, (__local float *)dt);
        for (int j0 = 0; j0 < T; j0 += PASS) {
            const int count = min(PASS, T - j0);
            dots(k, T, j0, count, qt, s);
            dots(v, T, j0, count, dt, g);
            for (int j = 0; j < count; j++)
                for (int l = 0; l < LV; l++) {
                    const vfloat p = vexp2(s[j * LV + l] - vload(l, row_lse));
                    g[j * LV + l] = p * (g[j * LV + l] - vload(l, row_delta));
                }
            accumulate(dqkv + dqkv_off + head * 3 * D * T, T, t0, k, j0, count, (__local const float *)g, 0, j0 == 0);
        }
    }
}

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void attention_rows_dkv(__global const float *qkv, ulong qkv_off, __global const float *lse, ulong lse_off,
                        __global const float *dy, ulong dy_off, __global const float *delta, ulong delta_off,
                        __global float *dqkv, ulong dqkv_off, int T, float scale, float power, QUEUE_ARGS)
{
    __local vfloat kt[D * LV], vt[D * LV], s[PASS * LV], g[PASS * LV];
    EACH_PLACE {
        const int    t0 = PLACE(0) * ROWS;
        const size_t head = (size_t)place / places_x;
        __global const float *q = qkv + qkv_off + head * 3 * D * T, *grad = dy + dy_off + head * D * T;
        __global float       *dk = dqkv + dqkv_off + (head * 3 + 1) * D * T, *dv = dk + (size_t)D * T;
        transpose(q + (size_t)D * T, T, t0, power, (__local float *)kt);
        transpose(q + (size_t)2 * D * T, T, t0, scale, (__local float *)vt);
        for (int i0 = 0; i0 < T; i0 += PASS) {
            const int count = min(PASS, T - i0);
            dots(q, T, i0, count, kt, s);
            dots(grad, T, i0, count, vt, g);
            for (int i = 0; i < count; i++) {
                const float row_lse = lse[lse_off + head * T + i0 + i] * LOG2E, row_delta = delta[delta_off + head * T + i0 + i];
                for (int l = 0; l < LV; l++) {
                    const vfloat p = vexp2(s[i * LV + l] - row_lse);
                    s[i * LV + l] = p;
                    g[i * LV + l] = p * (g[i * LV + l] - row_delta);
                }
            }
            accumulate(dk, T, t0, q, i0, count, (__local const float *)g, 0, i0 == 0);
            accumulate(dv, T, t0, grad, i0, count, (__local const float *)s, 0, i0 == 0);
        }
    }
}
