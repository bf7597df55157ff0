/* attention_rows.cl: the two products of attention for one work-item and the blocked layout [D/VEC][T][VEC] of a head.
 * ROWS = LV * VEC rows are the lanes of a tile; the other side's rows pass by in tiles of up to PASS.
 *   transpose   at[c][lv]  = a[lv * VEC + lane][c] * scale         a row's channels become a column
 *   dots        s[j][lv]   = sum over c of b[j][c] at[c][lv]
 *   accumulate  out[row][] = out[row][] * factor[row] + sum over j of s[j][row] m[j][]      factor NULL: 1 */
#ifndef D
#define D 32
#endif
#ifndef LV
#define LV 2
#endif
#ifndef PASS
#define PASS 64
#endif
#ifndef SUMS
#define SUMS 16          /* vectors that the registers hold: 16 or 6 */
#endif
#include "common/exp.cl"
#include "common/global.cl"
#include "common/local.cl"
#define ROWS (LV * VEC)
#define LN2   0.693147181f
#define LOG2E 1.44269504f
#define DB   (D / VEC)
#define DV   (SUMS == 16 ? LV : 1)                   /* vectors of lanes dotted together */
#define DOTS (SUMS == 16 ? 8 : 6)                    /* with this many rows of b */
#define NEAR (DB < 128 / VEC ? DB : 128 / VEC)       /* channel blocks whose lanes stay in the first cache */
#define CV   (SUMS == 16 && DB % 2 == 0 ? 2 : 1)     /* channel blocks accumulated together */
#define SUMMED (SUMS == 16 ? 8 : 6)                  /* with this many rows of out, and 4 where those would be too many */

/* Rows t0 .. t0+ROWS-1; those beyond T are zero. */
DIFFAD_LOCAL_FN void transpose(__global const float *a, int T, int t0, float scale, __local float *at)
{
    for (int cb = 0; cb < DB; cb++)
        for (int l = 0; l < ROWS; l++) {
            __global const float *row = a + ((size_t)cb * T + min(t0 + l, T - 1)) * VEC;
            const float f = t0 + l < T ? scale : 0.0f;
            for (int i = 0; i < VEC; i++)
                at[(cb * VEC + i) * ROWS + l] = row[i] * f;
        }
}

/* `many` (a constant) rows of b and DV vectors of lanes, over channel blocks from .. to-1. */
DIFFAD_LOCAL_FN void dots_of(const int many, __global const float *b, int T, int from, int to, __local const vfloat *at,
                             __local vfloat *s)
{
    vfloat acc[DOTS][DV];
#pragma unroll
    for (int r = 0; r < DOTS; r++)
#pragma unroll
        for (int v = 0; v < DV; v++)
            if (r < many)
                acc[r][v] = from ? s[r * LV + v] : 0.0f;
    for (int cb = from; cb < to; cb++) {
        __global const float  *row = b + (size_t)cb * T * VEC;
        __local const vfloat  *lane = at + cb * VEC * LV;
#pragma unroll 4
        for (int i = 0; i < VEC; i++)
#pragma unroll
            for (int r = 0; r < DOTS; r++)
#pragma unroll
                for (int v = 0; v < DV; v++)
                    if (r < many)
                        acc[r][v] += lane[i * LV + v] * row[r * VEC + i];
    }
#pragma unroll
    for (int r = 0; r < DOTS; r++)
#pragma unroll
        for (int v = 0; v < DV; v++)
            if (r < many)
                s[r * LV + v] = acc[r][v];
}

/* Rows j0 .. j0+count-1 of b. */
DIFFAD_LOCAL_FN void dots(__global const float *b, int T, int j0, int count, __local const vfloat *at,
                          __local vfloat *s)
{
    for (int from = 0; from < DB; from += NEAR)
        for (int v = 0; v < LV; v += DV) {
            const int to = min(from + NEAR, DB);
            int       j = 0;
            for (; j + DOTS <= count; j += DOTS)
                dots_of(DOTS, b + (size_t)(j0 + j) * VEC, T, from, to, at + v, s + j * LV + v);
            for (; j + 4 <= count; j += 4)
                dots_of(4, b + (size_t)(j0 + j) * VEC, T, from, to, at + v, s + j * LV + v);
            for (; j < count; j++)
                dots_of(1, b + (size_t)(j0 + j) * VEC, T, from, to, at + v, s + j * LV + v);
        }
}

/* `rows` (a constant) rows of out, of which `many` exist, and CV channel blocks. */
DIFFAD_LOCAL_FN void accumulate_rows(const int rows, __global float *out, int T, int many, __global const float *m, int count,
                                     __local const float *s, __local const float *factor, int is_first)
{
    vfloat acc[SUMMED][CV];
#pragma unroll
    for (int r = 0; r < SUMMED; r++)
#pragma unroll
        for (int v = 0; v < CV; v++)
            acc[r][v] = 0.0f;
#pragma unroll 2
    for (int j = 0; j < count; j++) {
        vfloat lane[CV];
#pragma unroll
        for (int v = 0; v < CV; v++)
            lane[v] = gload((size_t)v * T + j, m);
#pragma unroll
        for (int r = 0; r < SUMMED; r++)
#pragma unroll
            for (int v = 0; v < CV; v++)
                if (r < rows)
                    acc[r][v] += lane[v] * s[j * ROWS + r];
    }
#pragma unroll
    for (int r = 0; r < SUMMED; r++)
#pragma unroll
        for (int v = 0; v < CV; v++) {
            const size_t at = (size_t)v * T + r;
            if (r < rows && r < many)
                gstore(is_first ? acc[r][v] : acc[r][v] + gload(at, out) * (factor ? factor[r] : 1.0f), at, out);
        }
}

DIFFAD_LOCAL_FN void accumulate(__global float *out, int T, int t0, __global const float *m, int j0, int count,
                                __local const float *s, __local const float *factor, int is_first)
{
    const int most = min(ROWS, T - t0);
    for (int cb = 0; cb < DB; cb += CV) {
        __global const float *from = m + ((size_t)cb * T + j0) * VEC;
        __global float       *to = out + ((size_t)cb * T + t0) * VEC;
        int                   r = 0;
        for (; r < min(most, ROWS - ROWS % (2 * SUMMED)); r += SUMMED)      /* leaves whole fours */
            accumulate_rows(SUMMED, to + r * VEC, T, most - r, from, count, s + r, factor ? factor + r : 0, is_first);
        for (; r < most; r += 4)
            accumulate_rows(4, to + r * VEC, T, most - r, from, count, s + r, factor ? factor + r : 0, is_first);
    }
}
