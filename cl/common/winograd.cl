/* winograd.cl: the transforms of F(4x4,3x3) (Lavin and Gray, arXiv 1509.09308) along one axis, of vectors of channels.
 * Y = A'((G w G') * (B' x B))A for 4x4 outputs and the 6x6 inputs under them. */
#define UNROLL __attribute__((opencl_unroll_hint))
#define ONCE   __attribute__((opencl_unroll_hint(1)))      /* unrolled it takes long to compile */

/* o = B' d along one axis. */
#define INPUT(o, d)                                                                        \
    {                                                                                      \
        const float16 even = d[4] - 4.0f * d[2], odd = d[3] - 4.0f * d[1];                 \
        const float16 far = d[4] - d[2], near = 2.0f * (d[3] - d[1]);                      \
        o[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];                                           \
        o[1] = even + odd;                                                                 \
        o[2] = even - odd;                                                                 \
        o[3] = far + near;                                                                 \
        o[4] = far - near;                                                                 \
        o[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];                                           \
    }

/* o = A' m along one axis. */
#define OUTPUT(o, m)                                                                       \
    {                                                                                      \
        const float16 s12 = m[1] + m[2], d12 = m[1] - m[2];                                \
        const float16 s34 = m[3] + m[4], d34 = m[3] - m[4];                                \
        o[0] = m[0] + s12 + s34;                                                           \
        o[1] = d12 + 2.0f * d34;                                                           \
        o[2] = s12 + 4.0f * s34;                                                           \
        o[3] = d12 + 8.0f * d34 + m[5];                                                    \
    }

/* o = A d along one axis: the gradient of 4 outputs becomes that of 6 products. */
#define OUTPUT_GRAD(o, d)                                                                  \
    {                                                                                      \
        const float16 even = d[0] + d[2], odd = d[1] + d[3];                               \
        const float16 far = d[0] + 4.0f * d[2], near = 2.0f * d[1] + 8.0f * d[3];          \
        o[0] = d[0];                                                                       \
        o[1] = even + odd;                                                                 \
        o[2] = even - odd;                                                                 \
        o[3] = far + near;                                                                 \
        o[4] = far - near;                                                                 \
        o[5] = d[3];                                                                       \
    }

/* o = G' d along one axis: the gradient of 6 transformed weights becomes that of 3. */
#define WEIGHT_GRAD(o, d)                                                                  \
    {                                                                                      \
        const float16 s12 = d[1] + d[2], s34 = d[3] + d[4];                                \
        o[0] = 0.25f * d[0] - (1.0f / 6) * s12 + (1.0f / 24) * s34;                        \
        o[1] = (1.0f / 6) * (d[2] - d[1]) + (1.0f / 12) * (d[3] - d[4]);                   \
        o[2] = (1.0f / 6) * (s34 - s12) + d[5];                                            \
    }

/* static void name(map, y0, x0, H, W, to, step): SIDE x SIDE pixels of a map [H,W,16] from (y0, x0) on, zeros around it, become 36 values
 * by TRANSFORM along both axes; value k goes to to[k step]. */
#define TRANSFORM_TILE(name, SIDE, TRANSFORM)                                                          \
    static void name(__global const float *map, int y0, int x0, int H, int W, __global float *to, size_t step) \
    {                                                                                                  \
        const int is_whole = y0 >= 0 && y0 + SIDE <= H && x0 >= 0 && x0 + SIDE <= W;                   \
        float16   rows[SIDE][6];                                                                       \
        ONCE for (int i = 0; i < SIDE; i++) {                                                          \
            float16 d[SIDE];                                                                           \
            UNROLL for (int j = 0; j < SIDE; j++) {                                                    \
                const int iy = y0 + i, ix = x0 + j;                                                    \
                d[j] = is_whole || (iy >= 0 && iy < H && ix >= 0 && ix < W)                            \
                     ? vload16(0, map + ((long)iy * W + ix) * 16) : (float16)(0.0f);                   \
            }                                                                                          \
            TRANSFORM(rows[i], d)                                                                      \
        }                                                                                              \
        ONCE for (int j = 0; j < 6; j++) {                                                             \
            float16 d[SIDE], o[6];                                                                     \
            UNROLL for (int i = 0; i < SIDE; i++)                                                      \
                d[i] = rows[i][j];                                                                     \
            TRANSFORM(o, d)                                                                            \
            UNROLL for (int i = 0; i < 6; i++)                                                         \
                vstore16(o[i], 0, to + (i * 6 + j) * step);                                            \
        }                                                                                              \
    }
