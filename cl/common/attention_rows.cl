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
#define DB   (D / VEC)
#define DOTS (SUMS == 16 ? 8 : 3)                    /* rows of b dotted together with LV vectors */
#define SUMMED (SUMS == 16 ? 8 : 4)                  /* rows of out and channel blocks accumulated together */
#define CV   (SUMS == 16 && DB % 2 == 0 ? 2 : 1)

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

/* `many` (a constant) rows of b. */
DIFFAD_LOCAL_FN void dots_of(const int many, __global const float *b, int T, __local const vfloat *at,
                             __local vfloat *s)
{
    vfloat acc[DOTS][LV];
#pragma unroll
    for (int r = 0; r < many; r++)
#pragma unroll
        for (int v = 0; v < LV; v++)
            acc[r][v] = 0.0f;
    for (int cb = 0; cb < DB; cb++) {
        __global const float  *row = b + (size_t)cb * T * VEC;
        __local const vfloat  *lane = at + cb * VEC * LV;
#pragma unroll 4
        for (int i = 0; i < VEC; i++)
#pragma unroll
            for (int r = 0; r < many; r++)
#pragma unroll
                for (int v = 0; v < LV; v++)
                    acc[r][v] += lane[i * LV + v] * row[r * VEC + i];
    }
#pragma unroll
    for (int r = 0; r < many; r++)
#pragma unroll
        for (int v = 0; v < LV; v++)
            s[r * LV + v] = acc[r][v];
}

/* Rows j0 .. j0+count-1 of b. */
DIFFAD_LOCAL_FN void dots(__global const float *b, int T, int j0, int count, __local const vfloat *at,
                          __local vfloat *s)
{
    int j = 0;
    for (; j + DOTS <= count; j += DOTS)
        dots_of(DOTS, b + (size_t)(j0 + j) * VEC, T, at, s + j * LV);
    for (; j < count; j++)
        dots_of(1, b + (size_t)(j0 + j) * VEC, T, at, s + j * LV);
}

/* SUMMED rows of out, of which `many` exist, and CV channel blocks. */
DIFFAD_LOCAL_FN void accumulate_rows(__global float *out, int T, int many, __global const float *m, int count,
                                 __local const float *s, __local const float *factor, int is_first)
{
    vfloat acc[SUMMED][CV];
#pragma unroll
    for (int r = 0; r < SUMMED; r++)
#pragma unroll
        for (int v = 0; v < CV; v++)
            acc[r][v] = 0.0f;
    for (int j = 0; j < count; j++) {
        vfloat lane[CV];
#pragma unroll
        for (int v = 0; v < CV; v++)
            lane[v] = gload((size_t)v * T + j, m);
#pragma unroll
        for (int r = 0; r < SUMMED; r++)
#pragma unroll
            for (int v = 0; v < CV; v++)
                acc[r][v] += lane[v] * s[j * ROWS + r];
    }
#pragma unroll
    for (int r = 0; r < SUMMED; r++)
#pragma unroll
        for (int v = 0; v < CV; v++) {
            const size_t at = (size_t)v * T + r;
            if (r < many)
                gstore(is_first ? acc[r][v] : acc[r][v] + gload(at, out) * (factor ? factor[r] : 1.0f), at, out);
        }
}

DIFFAD_LOCAL_FN void accumulate(__global float *out, int T, int t0, __global const float *m, int j0, int count,
                                __local const float *s, __local const float *factor, int is_first)
{
    for (int cb = 0; cb < DB; cb += CV)
        for (int r = 0; r < min(ROWS, T - t0); r += SUMMED)
            accumulate_rows(out + ((size_t)cb * T + t0 + r) * VEC, T, T - t0 - r, m + ((size_t)cb * T + j0) * VEC, count,
                        s + r, factor ? factor + r : 0, is_first);
}
