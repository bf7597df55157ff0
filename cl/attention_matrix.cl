/* attention_matrix.cl: softmax(scale q.k) v on matrix units, without a T x T buffer. qkv [N][heads][q, k, v][D][T] ->
 * y [N][heads][D][T], lse [N][heads][T]. A work-group takes TEAMS x 16 queries of a head and DV channels of its result; its
 * teams walk over tiles of keys: scores from words of channels, a running maximum and sum, then the products with v from
 * words of keys. A team's item l = 4 g + t holds rows g and g + 8 (common/matrix.cl). */
#include "common/matrix.cl"
#ifndef D
#define D 32
#define DV 32
#endif
#ifndef STEPS
#define STEPS 2      /* of channels that are fetched together */
#endif
#define TEAMS   (WG / ITEMS_MMA)
#define ROWS    (TEAMS * 16)
#define KEYS    (4 * WORDS * WORD_TERMS)          /* of a tile: four steps along the keys */
#define TILES_K (KEYS / 8)
#define TILES_C (DV / 8)
#define SPAN    (WORDS * WORD_TERMS)              /* channels of a step */
#define V_STEP  (DV * WORDS + 8)                  /* words between steps of v: 8 more keep them in banks of their own */
#define LOG2E   1.4426950408889634f

#if !PLAIN
static inline float neighbour(float v, int mask)
{
    float other;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 0x1f, 0xffffffff;" : "=f"(other) : "f"(v), "r"(mask));
    return other;
}
#define OTHER(v, mask, lane) neighbour(v, mask)
#else
static inline float exchange(float v, int mask, __local float *lane)
{
    const int l = (int)get_local_id(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    lane[l] = v;
    barrier(CLK_LOCAL_MEM_FENCE);
    return lane[l ^ mask];
}
#define OTHER(v, mask, lane) exchange(v, mask, lane)
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void attention_matrix(__global const float *qkv, ulong qkv_off, __global float *y, ulong y_off, __global float *lse,
                      ulong lse_off, int T, float scale)
{
    __local uint2 side_q[STEPS][ROWS * WORDS / 2], side_k[STEPS][KEYS * WORDS / 2];      /* [row or key][B_AT(word)] */
    __local uint2 side_v[4 * V_STEP / 2];                                  /* [step][channel][B_AT(word)] */
#if PLAIN
    __local uint  weights[ROWS * 4 * WORDS];                               /* [row][step][word] */
    __local float lane[WG];
#endif
    const int item = (int)get_local_id(0), team = item / ITEMS_MMA, l = item % ITEMS_MMA, g = l / 4, t = l % 4;
    const int chunks = (D + DV - 1) / DV, chunk = (int)get_group_id(1) % chunks, row0 = (int)get_group_id(0) * ROWS;
    const size_t head = get_group_id(2) * (get_num_groups(1) / chunks) + get_group_id(1) / chunks;
    __global const float *q = qkv + qkv_off + head * 3 * D * T, *k = q + (size_t)D * T, *v = k + (size_t)D * T + (size_t)chunk * DV * T;
    const int channels = min(DV, D - chunk * DV);
    float o[TILES_C][4], top[2] = { -INFINITY, -INFINITY }, sum[2] = { 0.0f, 0.0f };
    UNROLL for (int j = 0; j < TILES_C; j++)
        UNROLL for (int e = 0; e < 4; e++)
            o[j][e] = 0.0f;
    for (int key0 = 0; key0 < T; key0 += KEYS) {
        float s[TILES_K][4];
        UNROLL for (int j = 0; j < TILES_K; j++)
            UNROLL for (int e = 0; e < 4; e++)
                s[j][e] = 0.0f;
        for (int c0 = 0; c0 < D; c0 += SPAN * STEPS) {
            barrier(CLK_LOCAL_MEM_FENCE);
            ROLLED(unroll 4) for (int i = 0; i < (ROWS + KEYS) * WORDS * STEPS / WG; i++) {
                const int  u = item + i * WG;
                const int  w = u / (ROWS + KEYS), r = u % (ROWS + KEYS), c = c0 + w * WORD_TERMS;
                const int  at = r < ROWS ? row0 + r : key0 + r - ROWS;
                __global const float *from = (r < ROWS ? q : k) + (size_t)c * T + at;
                const float lo = at < T && c < D ? from[0] : 0.0f;
                const float hi = WORD_TERMS == 2 && at < T && c + 1 < D ? from[T] : 0.0f;
                __local uint *to = r < ROWS ? (__local uint *)side_q[w / WORDS] + r * WORDS
                                            : (__local uint *)side_k[w / WORDS] + (r - ROWS) * WORDS;
                to[B_AT(w % WORDS)] = pack_word(lo, hi);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            UNROLL for (int step = 0; step < STEPS; step++) {
#if !PLAIN
                const uint2 upper = side_q[step][(team * 16 + g) * 4 + t], lower = side_q[step][(team * 16 + g + 8) * 4 + t];
                const uint4 a = (uint4)(upper.x, lower.x, upper.y, lower.y);
                UNROLL for (int j = 0; j < TILES_K; j++)
                    mma(s[j], a, side_k[step][(j * 8 + g) * 4 + t]);
#else
                for (int e = 0; e < TILES_K * 4; e++)
                    for (int w = 0; w < WORDS; w++)
                        s[e / 4][e % 4] += word_product(((__local const uint *)side_q[step])[(team * 16 + g + e % 4 / 2 * 8) * WORDS + w],
                                                        ((__local const uint *)side_k[step])[(e / 4 * 8 + 2 * t + e % 2) * WORDS + w]);
#endif
            }
        }
        float best[2] = { top[0], top[1] };
        UNROLL for (int j = 0; j < TILES_K; j++)
            UNROLL for (int e = 0; e < 4; e++) {
                s[j][e] = key0 + j * 8 + 2 * t + e % 2 < T ? s[j][e] * (scale * LOG2E) : -INFINITY;
                best[e / 2] = fmax(best[e / 2], s[j][e]);
            }
        float part[2] = { 0.0f, 0.0f }, shrink[2];
        UNROLL for (int h = 0; h < 2; h++) {
            best[h]   = fmax(best[h], OTHER(best[h], 1, lane));
            best[h]   = fmax(best[h], OTHER(best[h], 2, lane));
            shrink[h] = exp2(top[h] - best[h]);
            top[h]    = best[h];
        }
        UNROLL for (int j = 0; j < TILES_K; j++)
            UNROLL for (int e = 0; e < 4; e++) {
                s[j][e] = exp2(s[j][e] - top[e / 2]);
                part[e / 2] += s[j][e];
            }
        UNROLL for (int h = 0; h < 2; h++)
            sum[h] = sum[h] * shrink[h] + part[h];
        UNROLL for (int j = 0; j < TILES_C; j++)
            UNROLL for (int e = 0; e < 4; e++)
                o[j][e] *= shrink[e / 2];
        ROLLED(unroll 4) for (int i = 0; i < 4 * WORDS * DV / WG; i++) {
            const int u = item + i * WG, w = u % (4 * WORDS), c = u / (4 * WORDS), at = key0 + w * WORD_TERMS;
            __global const float *from = v + (size_t)c * T + at;
            const float lo = at < T && c < channels ? from[0] : 0.0f;
            const float hi = WORD_TERMS == 2 && at + 1 < T && c < channels ? from[1] : 0.0f;
            const int   within = WORD_TERMS == 2 ? B_AT(w % WORDS) : w % WORDS;      /* tf32: t, t + 4 are keys 2t, 2t + 1 */
            ((__local uint *)side_v)[w / WORDS * V_STEP + c * WORDS + within] = pack_word(lo, hi);
        }
#if PLAIN
        for (int j = 0; j < TILES_K; j++)
            for (int h = 0; h < 2; h++) {
                __local uint *to = weights + (team * 16 + g + h * 8) * (4 * WORDS);
                if (WORD_TERMS == 2) {
                    to[j / 2 * WORDS + B_AT(t + j % 2 * 4)] = pack_word(s[j][2 * h], s[j][2 * h + 1]);
                } else {
                    to[j * WORDS + 2 * t]     = pack_word(s[j][2 * h], 0.0f);
                    to[j * WORDS + 2 * t + 1] = pack_word(s[j][2 * h + 1], 0.0f);
                }
            }
#endif
        barrier(CLK_LOCAL_MEM_FENCE);
        UNROLL for (int step = 0; step < 4; step++) {
#if !PLAIN
#if TYPE == 1
            const uint4 a = (uint4)(pack_word(s[step][0], 0.0f), pack_word(s[step][2], 0.0f), pack_word(s[step][1], 0.0f),
                                    pack_word(s[step][3], 0.0f));
#else
            const uint4 a = (uint4)(pack_word(s[2 * step][0], s[2 * step][1]), pack_word(s[2 * step][2], s[2 * step][3]),
                                    pack_word(s[2 * step + 1][0], s[2 * step + 1][1]),
                                    pack_word(s[2 * step + 1][2], s[2 * step + 1][3]));
#endif
            UNROLL for (int j = 0; j < TILES_C; j++)
                mma(o[j], a, side_v[step * (V_STEP / 2) + (j * 8 + g) * 4 + t]);
#else
            for (int e = 0; e < TILES_C * 4; e++)
                for (int w = 0; w < WORDS; w++)
                    o[e / 4][e % 4] += word_product(weights[(team * 16 + g + e % 4 / 2 * 8) * (4 * WORDS) + step * WORDS + w],
                                                    ((__local const uint *)side_v)[step * V_STEP + (e / 4 * 8 + 2 * t + e % 2) * WORDS + w]);
#endif
        }
    }
    UNROLL for (int h = 0; h < 2; h++) {
        sum[h] += OTHER(sum[h], 1, lane);
        sum[h] += OTHER(sum[h], 2, lane);
    }
    UNROLL for (int h = 0; h < 2; h++) {
        const int row = row0 + team * 16 + g + h * 8;
        UNROLL for (int j = 0; j < TILES_C; j++)
            UNROLL for (int e = 0; e < 2; e++) {
                const int c = j * 8 + 2 * t + e;
                if (row < T && c < channels)
                    y[y_off + (head * D + chunk * DV + c) * T + row] = o[j][2 * h + e] / sum[h];
            }
        if (row < T && chunk == 0 && t == 0)
            lse[lse_off + head * T + row] = (top[h] + log2(sum[h])) / LOG2E;
    }
}
