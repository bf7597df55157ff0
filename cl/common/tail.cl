/* tail.cl: what a convolution's launches take along (graph/fuse.c), added to its results in this order: a bias, of the channel or of
 * the sample's channel; a map. Each sum is rounded as in a launch of its own. */
#define TAIL_ARGS                                                                          \
    __global const float *tail_bias, ulong tail_bias_off, __global const float *added, ulong added_off, int has_bias_tail, \
        int bias_step, int has_added

/* For sample n from channel c on; NULL where there is none. `at`: of the same place in a map like the output. */
#define TAIL_BIAS(n, c) (has_bias_tail ? tail_bias + tail_bias_off + (size_t)(n) * bias_step + (c) : 0)
#define TAIL_ADDED(at)  (has_added ? added + added_off + (at) : 0)

static float16 with_tail(float16 y, __global const float *bias, __global const float *map, size_t pixel)
{
    if (bias)
        y += vload16(0, bias);
    if (map)
        y += vload16(pixel, map);
    return y;
}
