/* binary.cl: y = a + b (F 0), a - b (1), a b (2); one work-item handles VEC elements. */
#ifndef F
#define F 0
#endif
#include "common/vec.cl"

#if F == 0
#define VALUE(a, b) ((a) + (b))
#elif F == 1
#define VALUE(a, b) ((a) - (b))
#else
#define VALUE(a, b) ((a) * (b))
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void binary(__global const float *a, ulong a_off, __global const float *b, ulong b_off,
            __global float *y, ulong y_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i < vectors)
        vstore(VALUE(vload(i, a + a_off), vload(i, b + b_off)), i, y + y_off);
}
