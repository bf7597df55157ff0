/* lanes.cl: vectors lane by lane: sums over them, and vectors of which only the first count, as in the last channel block of a map. Needs vec.cl. */
#if VEC == 1
#define DIFFAD_LANES 0
#elif VEC == 2
#define DIFFAD_LANES ((int2)(0, 1))
#elif VEC == 4
#define DIFFAD_LANES ((int4)(0, 1, 2, 3))
#elif VEC == 8
#define DIFFAD_LANES ((int8)(0, 1, 2, 3, 4, 5, 6, 7))
#else
#define DIFFAD_LANES ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#endif

/* Over the lanes, as a tree. */
#define DIFFAD_OF_LANES(name, JOIN)              \
    static inline float name(vfloat v)           \
    {                                            \
        float lane[VEC];                         \
        vstore(v, 0, lane);                      \
        for (int w = VEC / 2; w > 0; w /= 2)     \
            for (int i = 0; i < w; i++)          \
                lane[i] = JOIN;                  \
        return lane[0];                          \
    }
DIFFAD_OF_LANES(sum_of_lanes, lane[i] + lane[i + w])
DIFFAD_OF_LANES(max_of_lanes, max(lane[i], lane[i + w]))

/* v with zeros behind the first `count` lanes. */
static inline vfloat first_lanes(vfloat v, int count)
{
    return select((vfloat)(0.0f), v, DIFFAD_LANES < (vint)(count));
}

/* The first `count` floats at p, zeros behind them; reads nothing beyond. */
static inline vfloat load_lanes(__global const float *p, int count)
{
    if (count >= VEC)
        return vload(0, p);
    float lane[VEC];
    for (int i = 0; i < VEC; i++)
        lane[i] = i < count ? p[i] : 0.0f;
    return vload(0, lane);
}
