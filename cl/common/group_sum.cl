/* group_sum.cl: sums over the work-items of a group, in a fixed order; every item gets the sum. */
#include "common/local.cl"

#define GROUP_SUM(name, type)                                   \
    DIFFAD_LOCAL_FN type name(type v, __local type *shared)     \
    {                                                           \
        if (WG == 1)                                            \
            return v;                                           \
        const int i = (int)get_local_id(0);                     \
        barrier(CLK_LOCAL_MEM_FENCE);                           \
        shared[i] = v;                                          \
        for (int step = WG / 2; step > 0; step /= 2) {          \
            barrier(CLK_LOCAL_MEM_FENCE);                       \
            if (i < step)                                       \
                shared[i] += shared[i + step];                  \
        }                                                       \
        barrier(CLK_LOCAL_MEM_FENCE);                           \
        return shared[0];                                       \
    }
