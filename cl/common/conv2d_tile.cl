/* conv2d_tile.cl: a work-group of 64 computes a tile of 8 MM x 8 NN results, a work-item MM x NN of them; a step
 * takes DEPTH terms through local memory. After FLUSH steps the sums are added up in memory: two levels keep long
 * sums accurate. Loops over the sums are unrolled by order: a compiler that keeps one indexes memory, not registers.
 */
#include "common/local.cl"
#ifndef MM
#define MM 8
#endif
#ifndef NN
#define NN 8
#endif
#define SIDE   8
#define ITEMS  (SIDE * SIDE)
#define TM     (SIDE * MM)
#define TN     (SIDE * NN)
#define DEPTH  16
#define FLUSH  32
#define APART  (ITEMS / TN)      /* work-items that load the same column */
#define COPIES (TM * DEPTH / ITEMS)

/* acc[i][j] += a[k][row of i] b[k][column of j] over one step */
DIFFAD_LOCAL_FN void multiply(float acc[MM][NN], __local const float a[DEPTH][TM + 1], __local const float b[DEPTH][TN],
                     int row, int column)
{
    for (int k = 0; k < DEPTH; k++) {
        float av[MM];
#pragma unroll
        for (int i = 0; i < MM; i++)
            av[i] = a[k][row + i * SIDE];
#pragma unroll
        for (int j = 0; j < NN; j++) {
            const float bv = b[k][column + j * SIDE];
#pragma unroll
            for (int i = 0; i < MM; i++)
                acc[i][j] += av[i] * bv;
        }
    }
}

static void clear(float acc[MM][NN])
{
#pragma unroll
    for (int i = 0; i < MM; i++)
#pragma unroll
        for (int j = 0; j < NN; j++)
            acc[i][j] = 0.0f;
}
