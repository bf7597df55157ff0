/* winograd.cl: the transforms of F(4x4,3x3) (Lavin and Gray, arXiv 1509.09308) along one axis, of vectors of channels.
 * Y = A'((G w G') * (B' x B))A for 4x4 outputs and the 6x6 inputs under them. */

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
