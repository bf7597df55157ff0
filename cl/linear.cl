/* linear.cl: the gradient of a linear layer's bias, db[n] = sum over rows of dy [M,N]. One work-item takes VEC columns of
 * `vectors`; rows are summed by 32, then those sums, which keeps the rounding error of long columns short. */
#include "common/vec.cl"

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void column_sums(__global const float *dy, ulong dy_off, __global float *db, ulong db_off, int M, int vectors)
{
    const int i = (int)get_global_id(0);
    if (i >= vectors)
        return;
    vfloat sum = 0.0f;
    for (int m0 = 0; m0 < M; m0 += 32) {
        vfloat part = 0.0f;
        for (int m = m0; m < min(m0 + 32, M); m++)
            part += vload((size_t)m * vectors + i, dy + dy_off);
        sum += part;
    }
    vstore(sum, i, db + db_off);
}
