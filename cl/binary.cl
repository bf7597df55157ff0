/* binary.cl: y = a + b, a - b, a b; one work-item handles VEC elements. */
#include "common/vec.cl"

#define BINARY(name, operator)                                                                              \
    __kernel __attribute__((reqd_work_group_size(WG, 1, 1)))                                                \
    void name(__global const float *a, ulong a_off, __global const float *b, ulong b_off,                   \
              __global float *y, ulong y_off, ulong vectors)                                                \
    {                                                                                                       \
        const size_t i = get_global_id(0);                                                                  \
        if (i < vectors)                                                                                    \
            vstore(vload(i, a + a_off) operator vload(i, b + b_off), i, y + y_off);                         \
    }

BINARY(add, +)
BINARY(sub, -)
BINARY(mul, *)
