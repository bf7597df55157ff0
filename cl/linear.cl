/* linear.cl: the gradient of a linear layer's bias, db[n] = sum over rows of dy [M,N]. One work-item a column; rows
 * are summed by 32, then those sums, which keeps the rounding error of long columns short. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void column_sums(__global const float *dy, ulong dy_off, __global float *db, ulong db_off, int M, int N)
{
    const int n = (int)get_global_id(0);
    if (n >= N)
        return;
    float sum = 0.0f;
    for (int m0 = 0; m0 < M; m0 += 32) {
        float part = 0.0f;
        for (int m = m0; m < min(m0 + 32, M); m++)
            part += dy[dy_off + (size_t)m * N + n];
        sum += part;
    }
    db[db_off + n] = sum;
}
