/* cast.cl: VEC values a work-item. FROM and TO are types: 0 float, 1 half, 2 bfloat16, 3 int, 4 byte. Half is touched
 * through vload_half and vstore_half only, which every device has. */
#include "common/global.cl"
#ifndef FROM
#define FROM 0
#endif
#ifndef TO
#define TO 1
#endif

typedef DIFFAD_NAME(uint)   vuint;
typedef DIFFAD_NAME(ushort) vushort;
typedef DIFFAD_NAME(uchar)  vuchar;
LOOSE(vushort, 2)
LOOSE(vuchar, 1)
#define ROUNDED(name, how) DIFFAD_JOIN(DIFFAD_NAME(name), how)

#if FROM == 0
#define FROM_T float
#define LOAD(i, p) vload(i, p)
#elif FROM == 1
#define FROM_T half
#define LOAD(i, p) DIFFAD_NAME(vload_half)(i, p)
#elif FROM == 2
#define FROM_T ushort
#define LOAD(i, p) DIFFAD_NAME(as_float)(DIFFAD_NAME(convert_uint)(vload(i, p)) << 16)
#elif FROM == 3
#define FROM_T int
#define LOAD(i, p) ROUNDED(convert_float, _rte)(vload(i, p))
#else
#define FROM_T uchar
#define LOAD(i, p) DIFFAD_NAME(convert_float)(vload(i, p))
#endif

#if TO == 0
#define TO_T float
#define STORE(v, i, p) vstore(v, i, p)
#elif TO == 1
#define TO_T half
#define STORE(v, i, p) ROUNDED(vstore_half, _rte)(v, i, p)
#elif TO == 2
#define TO_T ushort
#define STORE(v, i, p) gstore_as(vushort, to_bfloat16(v), i, p)
static vushort to_bfloat16(vfloat v)
{
    const vuint u = DIFFAD_NAME(as_uint)(v), rounded = u + 0x7fffu + (u >> 16 & 1u);
    return DIFFAD_NAME(convert_ushort)(select(rounded >> 16, u >> 16 | 0x40u, DIFFAD_NAME(as_uint)(isnan(v))));
}
#elif TO == 3
#define TO_T int
#define STORE(v, i, p) vstore(select(ROUNDED(convert_int, _sat_rte)(v), (vint)(0), isnan(v)), i, p)
#else
#define TO_T uchar
#define STORE(v, i, p) gstore_as(vuchar, to_byte(v), i, p)
static vuchar to_byte(vfloat v)
{
    const vfloat byte = select((vfloat)(0.0f), min(v, 255.0f), v > 0.0f);
    return DIFFAD_NAME(convert_uchar)(byte + 8388608.0f - 8388608.0f);      /* 2^23: ties to even, without a call */
}
#endif

__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
void cast(__global const FROM_T *x, ulong x_off, __global TO_T *y, ulong y_off, ulong vectors)
{
    const size_t i = get_global_id(0);
    if (i >= vectors)
        return;
    const vfloat v = LOAD(i, x + x_off);
    STORE(v, i, y + y_off);
}
