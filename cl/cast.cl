/* cast.cl: VEC values a work-item. FROM and TO are types: 0 float, 1 half, 2 bfloat16, 3 int, 4 byte. Half is touched
 * through vload_half and vstore_half only, which every device has. */
#include "common/global.cl"
#ifndef FROM
#define FROM 0
#endif
#ifndef TO
#define TO 1
#endif

#if VEC == 1
typedef uint   vuint;
typedef ushort vushort;
typedef uchar  vuchar;
#define NAME(name)         name
#define SUFFIXED(name, of) name##of
#else
typedef DIFFAD_JOIN(uint, VEC)   vuint;
typedef DIFFAD_JOIN(ushort, VEC) vushort;
typedef DIFFAD_JOIN(uchar, VEC)  vuchar;
#define NAME(name)         DIFFAD_JOIN(name, VEC)
#define SUFFIXED(name, of) DIFFAD_JOIN(DIFFAD_JOIN(name, VEC), of)
#endif

/* As gstore, of other types. */
#if defined(__clang__) && VEC > 1
typedef __attribute__((aligned(2))) vushort loose_vushort;
typedef __attribute__((aligned(1))) vuchar  loose_vuchar;
#define STORE_AS(type, v, i, p) (((__global loose_##type *)((p) + (size_t)(i) * VEC))[0] = (v))
#else
#define STORE_AS(type, v, i, p) vstore(v, i, p)
#endif

#if FROM == 0
#define FROM_T float
#define LOAD(i, p) vload(i, p)
#elif FROM == 1
#define FROM_T half
#define LOAD(i, p) NAME(vload_half)(i, p)
#elif FROM == 2
#define FROM_T ushort
#define LOAD(i, p) NAME(as_float)(NAME(convert_uint)(vload(i, p)) << 16)
#elif FROM == 3
#define FROM_T int
#define LOAD(i, p) SUFFIXED(convert_float, _rte)(vload(i, p))
#else
#define FROM_T uchar
#define LOAD(i, p) NAME(convert_float)(vload(i, p))
#endif

#if TO == 0
#define TO_T float
#define STORE(v, i, p) vstore(v, i, p)
#elif TO == 1
#define TO_T half
#define STORE(v, i, p) SUFFIXED(vstore_half, _rte)(v, i, p)
#elif TO == 2
#define TO_T ushort
#define STORE(v, i, p) STORE_AS(vushort, to_bfloat16(v), i, p)
static vushort to_bfloat16(vfloat v)
{
    const vuint u = NAME(as_uint)(v), rounded = u + 0x7fffu + (u >> 16 & 1u);
    return NAME(convert_ushort)(select(rounded >> 16, u >> 16 | 0x40u, NAME(as_uint)(isnan(v))));
}
#elif TO == 3
#define TO_T int
#define STORE(v, i, p) vstore(select(SUFFIXED(convert_int, _sat_rte)(v), (vint)(0), isnan(v)), i, p)
#else
#define TO_T uchar
#define STORE(v, i, p) STORE_AS(vuchar, to_byte(v), i, p)
static vuchar to_byte(vfloat v)
{
    const vfloat byte = select((vfloat)(0.0f), min(v, 255.0f), v > 0.0f);
    return NAME(convert_uchar)(byte + 8388608.0f - 8388608.0f);      /* 2^23: ties to even, without a call */
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
