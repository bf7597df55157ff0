/* cast.cl: FROM and TO are types: 0 float, 1 half, 2 bfloat16, 3 int, 4 byte. Half is touched through vload_half and
 * vstore_half only, which every device has. */
#ifndef FROM
#define FROM 0
#endif
#ifndef TO
#define TO 1
#endif

#if FROM == 0
#define FROM_T float
#define LOAD(i, p) ((p)[i])
#elif FROM == 1
#define FROM_T half
#define LOAD(i, p) vload_half((i), (p))
#elif FROM == 2
#define FROM_T ushort
#define LOAD(i, p) as_float((uint)(p)[i] << 16)
#elif FROM == 3
#define FROM_T int
#define LOAD(i, p) convert_float_rte((p)[i])
#else
#define FROM_T uchar
#define LOAD(i, p) convert_float((p)[i])
#endif

#if TO == 0
#define TO_T float
#define STORE(v, i, p) ((p)[i] = (v))
#elif TO == 1
#define TO_T half
#define STORE(v, i, p) vstore_half_rte((v), (i), (p))
#elif TO == 2
#define TO_T ushort
#define STORE(v, i, p) ((p)[i] = to_bfloat16(v))
static ushort to_bfloat16(float v)
{
    const uint u = as_uint(v);
    return (ushort)(isnan(v) ? u >> 16 | 0x40u : (u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
#elif TO == 3
#define TO_T int
#define STORE(v, i, p) ((p)[i] = isnan(v) ? 0 : convert_int_sat_rte(v))
#else
#define TO_T uchar
#define STORE(v, i, p) ((p)[i] = isnan(v) ? (uchar)0 : convert_uchar_sat_rte(v))
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void cast(__global const FROM_T *x, ulong x_off, __global TO_T *y, ulong y_off, ulong count)
{
    const size_t i = get_global_id(0);
    if (i >= count)
        return;
    const float v = LOAD(i, x + x_off);
    STORE(v, i, y + y_off);
}
