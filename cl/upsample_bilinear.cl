/* upsample_bilinear.cl: x [planes, n, n', VEC] -> y [planes, m, m', VEC]. Output i of a side lies at source
 * (i a + b) / d within 0 .. n-1. `vn vm va vb vd` are the vertical axis, `hn ...` the horizontal one. A
 * work-item makes up to RUN pixels of a row; `runs` are all there are. */
#include "common/part.cl"
#include "common/vec.cl"
#include "common/global.cl"
#ifndef RUN
#define RUN 1
#endif

/* d times the source position of output i. */
static int place(int i, int a, int b, int d, int n) { return clamp(i * a + b, 0, (n - 1) * d); }

#if HAS_PART(1)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void upsample_bilinear_fwd(__global const float *x,
                                                                                    ulong x_off, __global float *y,
                                                                                    ulong y_off, int vn, int vm, int va,
                                                                                    int vb, int vd, int hn, int hm,
                                                                                    int ha, int hb, int hd, int runs)
{
    const int i = get_global_id(0), across = (hm + RUN - 1) / RUN;
    if (i >= runs)
        return;
    const int   row = i / across, from = i % across * RUN, py = place(row % vm, va, vb, vd, vn), y0 = py / vd;
    const float fy = (float)(py - y0 * vd) / (float)vd;
    __global const float *top = x + x_off + ((size_t)(row / vm) * vn + y0) * hn * VEC;
    __global const float *bottom = top + (y0 + 1 < vn ? hn * VEC : 0);
    for (int k = from; k < min(from + RUN, hm); k++) {
        const int    px = place(k, ha, hb, hd, hn), x0 = px / hd, x1 = min(x0 + 1, hn - 1);
        const float  fx = (float)(px - x0 * hd) / (float)hd;
        const vfloat above = (1.0f - fx) * gload(x0, top) + fx * gload(x1, top);
        const vfloat below = (1.0f - fx) * gload(x0, bottom) + fx * gload(x1, bottom);
        gstore((1.0f - fy) * above + fy * below, (size_t)row * hm + k, y + y_off);
    }
}
#endif

/* The first and last output whose source position is less than 1 from s; with a = 0 all outputs lie at 0. */
static int first_near(int s, int a, int b, int d)
{
    const int p = (s - 1) * d - b;
    return a == 0 || p < 0 ? 0 : p / a + 1;
}
static int last_near(int s, int a, int b, int d, int n, int m)
{
    return a == 0 || s == n - 1 ? m - 1 : min(m - 1, ((s + 1) * d - b - 1) / a);
}
/* d times the weight of source s for an output at place_d / d: a whole number */
static float weight(int place_d, int s, int d) { return (float)max(0, d - (int)abs(place_d - s * d)); }

#if HAS_PART(2)
/* dy is the large map, dx the small one. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void upsample_bilinear_bwd(
    __global const float *dy, ulong dy_off, __global float *dx, ulong dx_off, int vn, int vm, int va, int vb, int vd,
    int hn, int hm, int ha, int hb, int hd, int runs)
{
    const int i = get_global_id(0), across = (hn + RUN - 1) / RUN;
    if (i >= runs)
        return;
    const int row = i / across, from = i % across * RUN, sy = row % vn;
    const int y0 = first_near(sy, va, vb, vd), y1 = last_near(sy, va, vb, vd, vn, vm);
    __global const float *plane = dy + dy_off + (size_t)(row / vn) * vm * hm * VEC;
    for (int sx = from; sx < min(from + RUN, hn); sx++) {
        const int x0 = first_near(sx, ha, hb, hd), x1 = last_near(sx, ha, hb, hd, hn, hm);
        vfloat sum = 0.0f;
        for (int y = y0; y <= y1; y++) {
            const float wy   = weight(place(y, va, vb, vd, vn), sy, vd);
            vfloat      line = 0.0f;
            for (int x = x0; x <= x1; x++)
                line += weight(place(x, ha, hb, hd, hn), sx, hd) * gload(y * hm + x, plane);
            sum += wy * line;
        }
        gstore(sum / ((float)vd * (float)hd), (size_t)row * hn + sx, dx + dx_off);
    }
}
#endif
