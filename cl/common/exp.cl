/* exp.cl: exp of VEC floats without a call, within 1.5 ulp from -87 to 88 and constant beyond; not-a-number stays.
 * The polynomial is that of Cephes' expf. */
#include "common/vec.cl"

#if VEC == 1
#define as_vfloat as_float
#define as_vint   as_int
#else
#define as_vfloat DIFFAD_JOIN(as_float, VEC)
#define as_vint   DIFFAD_JOIN(as_int, VEC)
#endif

static vfloat vexp(vfloat x)
{
    x = min(max(x, -87.0f), 88.0f);
    const vfloat t = x * 1.44269504f + 12582912.0f;      /* + 1.5 * 2^23: rounds, and leaves the integer in the low bits */
    const vfloat n = t - 12582912.0f;
    vfloat r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vfloat p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + (r + 1.0f);
    return as_vfloat(as_vint(p) + (as_vint(t) << 23));
}
