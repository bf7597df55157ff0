/* exp.cl: exp, exp - 1, 2^x and log of VEC floats without a call. exp: within 1.5 ulp from -87 to 88 and constant beyond;
 * not-a-number stays. 2^x: likewise from -125 to 127 and constant below, in two thirds of the time: its argument needs no
 * reduction by a rounded constant. log: of normal numbers, zero and below. Polynomials of 2^x and log: Cephes' exp2f, logf. */
#include "common/vec.cl"

#define as_vfloat DIFFAD_NAME(as_float)
#define as_vint   DIFFAD_NAME(as_int)

/* exp(r) = 1 + r + r^2 p, where exp(x) = 2^n exp(r): n in the low bits of *t, others above them. p: minimax of the
 * relative error of exp(r), 4e-9. */
static vfloat exp_reduced(vfloat x, vfloat *t, vfloat *r)
{
    x = min(max(x, -87.0f), 88.0f);
    *t = x * 1.44269504f + 12582912.0f;      /* + 1.5 * 2^23: rounds, and leaves the integer in the low bits */
    const vfloat n = *t - 12582912.0f, a = x - n * 0.693359375f, b = a + n * 2.12194440e-4f;
    vfloat p = b * 1.386378077e-3f + 8.367482573e-3f;
    p = p * b + 4.166723788e-2f;
    p = p * b + 1.666653454e-1f;
    *r = b;
    return p * b + 0.5f;
}

static vfloat vexp(vfloat x)
{
    vfloat t, r, p = exp_reduced(x, &t, &r);
    p = (p * r + 1.0f) * r + 1.0f;
    return as_vfloat(as_vint(p) + (as_vint(t) << 23));
}

static vfloat vexp2(vfloat x)
{
    x = max(x, -125.0f);
    const vfloat t = x + 12582912.0f, f = x - (t - 12582912.0f);
    vfloat p = f * 1.535336188319500e-4f + 1.339887440266574e-3f;
    p = p * f + 9.618437357674640e-3f;
    p = p * f + 5.550332471162809e-2f;
    p = p * f + 2.402264791363012e-1f;
    p = p * f + 6.931472028550421e-1f;
    p = p * f + 1.0f;
    return as_vfloat(as_vint(p) + (as_vint(t) << 23));
}

static vfloat vexpm1(vfloat x)
{
    vfloat t, r, p = exp_reduced(x, &t, &r);
    const vfloat scale = as_vfloat((as_vint(t) << 23) + 0x3F800000);
    return scale * (p * (r * r) + r) + (scale - 1.0f);
}

static vfloat vlog(vfloat x)
{
    const vint   above = as_vint(x) - 0x3F3504F3;      /* of sqrt(1/2) */
    const vfloat e     = DIFFAD_NAME(convert_float)(above >> 23);
    const vfloat f     = as_vfloat((above & 0x7FFFFF) + 0x3F3504F3) - 1.0f;
    vfloat p = f * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    p = p * f * (f * f) - e * 2.12194440e-4f - 0.5f * (f * f);
    const vfloat y = f + p + e * 0.693359375f;
    return select(select((vfloat)(NAN), (vfloat)(-INFINITY), x == 0.0f), y, x > 0.0f);
}
