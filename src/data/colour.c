/* colour.c: 8-bit colour spaces in OpenCV's scaling. YCrCb and YUV use its integer arithmetic, and so does the
 * way to HSV; the rest is computed from definitions (sRGB, D65) and rounded, a level or two away from its
 * tables at most. */
#include "data/augment.h"

#include <math.h>

static uint8_t round_u8(float v) { return (uint8_t)(v <= 0.0f ? 0 : v >= 255.0f ? 255 : (int)lrintf(v)); }
static uint8_t clip_u8(int v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* ---- YCrCb and YUV: 14-bit fixed point ---- */

typedef struct luma {
    int first_red, a, b, a_red, a_green, b_green, b_blue;
} luma; /* a belongs to R - Y, b to B - Y */
static const luma ycrcb = { 1, 11682, 9241, 22987, -11698, -5636, 29049 };
static const luma yuv = { 0, 14369, 8061, 18678, -9519, -6472, 33292 };

static int descale(int v) { return (v + 8192) >> 14; }

static void luma_to(const luma *m, uint8_t *p, int64_t count)
{
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        const int r = p[0], g = p[1], b = p[2];
        const int y = descale(r * 4899 + g * 9617 + b * 1868);
        const uint8_t red = clip_u8(descale((r - y) * m->a + (128 << 14))),
                      blue = clip_u8(descale((b - y) * m->b + (128 << 14)));
        p[0] = (uint8_t)y;
        p[1] = m->first_red ? red : blue;
        p[2] = m->first_red ? blue : red;
    }
}

static void luma_from(const luma *m, uint8_t *p, int64_t count)
{
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        const int y = p[0], red = (m->first_red ? p[1] : p[2]) - 128, blue = (m->first_red ? p[2] : p[1]) - 128;
        p[0] = clip_u8(y + descale(red * m->a_red));
        p[1] = clip_u8(y + descale(red * m->a_green + blue * m->b_green));
        p[2] = clip_u8(y + descale(blue * m->b_blue));
    }
}

/* ---- HSV and HLS ---- */

static void hsv_to(uint8_t *p, int64_t count)
{
    int saturation[256] = { 0 }, hue[256] = { 0 };         /* 12-bit reciprocals */
    for (int i = 1; i < 256; i++) {
        saturation[i] = (int)lrint((255 << 12) / (1.0 * i));
        hue[i] = (int)lrint((180 << 12) / (6.0 * i));
    }
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        const int r = p[0], g = p[1], b = p[2];
        const int top = r > g ? (r > b ? r : b) : (g > b ? g : b), low = r < g ? (r < b ? r : b) : (g < b ? g : b);
        const int d = top - low;
        const int sector = top == r ? g - b : top == g ? b - r + 2 * d : r - g + 4 * d;
        const int h = (sector * hue[d] + 2048) >> 12;
        p[0] = (uint8_t)(h < 0 ? h + 180 : h);
        p[1] = (uint8_t)((d * saturation[top] + 2048) >> 12);
        p[2] = (uint8_t)top;
    }
}

/* Red, green, blue of the sector: indices into { high, low, falling, rising }. */
static const uint8_t sectors[6][3] = { { 0, 3, 1 }, { 2, 0, 1 }, { 1, 0, 3 },
                                       { 1, 2, 0 }, { 3, 1, 0 }, { 0, 1, 2 } };

static void put_sector(uint8_t *p, float hue, float high, float low, float falling, float rising)
{
    const float level[4] = { high, low, falling, rising };
    const int sector = (int)hue % 6;
    for (int k = 0; k < 3; k++)
        p[k] = round_u8(level[sectors[sector][k]] * 255.0f);
}

static void hsv_from(uint8_t *p, int64_t count)
{
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        const float hue = (float)p[0] * (6.0f / 180.0f), s = (float)p[1] / 255.0f, v = (float)p[2] / 255.0f;
        const float f = hue - floorf(hue);
        put_sector(p, hue, v, v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f)));
    }
}

static void hls_to(uint8_t *p, int64_t count)
{
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        const float r = (float)p[0] / 255.0f, g = (float)p[1] / 255.0f, b = (float)p[2] / 255.0f;
        const float top = fmaxf(r, fmaxf(g, b)), low = fminf(r, fminf(g, b)), d = top - low, sum = top + low;
        float h = 0, s = 0;
        if (d > 1.19e-7f) {
            s = sum < 1.0f ? d / sum : d / (2.0f - sum);
            h = top == r ? (g - b) * 60 / d : top == g ? (b - r) * 60 / d + 120 : (r - g) * 60 / d + 240;
            h = h < 0 ? h + 360 : h;
        }
        const int hue = (int)lrintf(h / 2);
        p[0] = (uint8_t)hue;                               /* 180 stands for 0, as in OpenCV */
        p[1] = round_u8(sum / 2 * 255.0f);
        p[2] = round_u8(s * 255.0f);
    }
}

static void hls_from(uint8_t *p, int64_t count)
{
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        const float hue = (float)p[0] * (6.0f / 180.0f), l = (float)p[1] / 255.0f, s = (float)p[2] / 255.0f;
        const float high = l <= 0.5f ? l * (1 + s) : l + s - l * s, low = 2 * l - high;
        const float f = hue - floorf(hue);
        put_sector(p, hue, high, low, low + (high - low) * (1 - f), low + (high - low) * f);
    }
}

/* ---- Lab and Luv ---- */

enum { CURVE = 4096 };

static float to_linear(float v) { return v <= 0.04045f ? v / 12.92f : powf((v + 0.055f) / 1.055f, 2.4f); }
static float to_srgb(float v) { return v <= 0.0031308f ? v * 12.92f : 1.055f * powf(v, 1.0f / 2.4f) - 0.055f; }

static void make_linear(float table[256])
{
    for (int v = 0; v < 256; v++)
        table[v] = to_linear((float)v / 255.0f);
}

static void make_curve(float table[CURVE + 1])
{
    for (int i = 0; i <= CURVE; i++)
        table[i] = to_srgb((float)i / CURVE) * 255.0f;
}

static void xyz_of(const float linear[256], const uint8_t *p, float xyz[3])
{
    const float r = linear[p[0]], g = linear[p[1]], b = linear[p[2]];
    xyz[0] = 0.412453f * r + 0.357580f * g + 0.180423f * b;
    xyz[1] = 0.212671f * r + 0.715160f * g + 0.072169f * b;
    xyz[2] = 0.019334f * r + 0.119193f * g + 0.950227f * b;
}

static uint8_t encode(const float curve[CURVE + 1], float v)
{
    const float at = fminf(fmaxf(v, 0.0f), 1.0f) * CURVE;
    const int i = (int)at < CURVE ? (int)at : CURVE - 1;
    return round_u8(curve[i] + (at - (float)i) * (curve[i + 1] - curve[i]));
}

static void put_xyz(const float curve[CURVE + 1], uint8_t *p, float x, float y, float z)
{
    p[0] = encode(curve, 3.240479f * x - 1.537150f * y - 0.498535f * z);
    p[1] = encode(curve, -0.969256f * x + 1.875991f * y + 0.041556f * z);
    p[2] = encode(curve, 0.055648f * x - 0.204043f * y + 1.057311f * z);
}

static const float white_x = 0.950456f, white_z = 1.088754f;
static const float knee = 0.008856f, white_u = 0.19793943f, white_v = 0.46831096f;

static float lightness(float y) { return y > knee ? 116 * cbrtf(y) - 16 : 903.3f * y; }
static float from_lightness(float l) { return l > 8 ? powf((l + 16) / 116, 3.0f) : l / 903.3f; }
static float lab_root(float t) { return t > knee ? cbrtf(t) : 7.787f * t + 16.0f / 116; }
static float lab_cube(float f) { return f > 0.206893f ? f * f * f : (f - 16.0f / 116) / 7.787f; }

static void lab_to(uint8_t *p, int64_t count)
{
    float linear[256], xyz[3];
    make_linear(linear);
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        xyz_of(linear, p, xyz);
        const float fy = lab_root(xyz[1]);
        p[0] = round_u8(lightness(xyz[1]) * 2.55f);
        p[1] = round_u8(500 * (lab_root(xyz[0] / white_x) - fy) + 128);
        p[2] = round_u8(200 * (fy - lab_root(xyz[2] / white_z)) + 128);
    }
}

static void lab_from(uint8_t *p, int64_t count)
{
    float curve[CURVE + 1];
    make_curve(curve);
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        const float l = (float)p[0] / 2.55f, y = from_lightness(l),
                    fy = l > 8 ? (l + 16) / 116 : 7.787f * y + 16.0f / 116;
        const float fx = fy + ((float)p[1] - 128) / 500, fz = fy - ((float)p[2] - 128) / 200;
        put_xyz(curve, p, lab_cube(fx) * white_x, y, lab_cube(fz) * white_z);
    }
}

static void luv_to(uint8_t *p, int64_t count)
{
    float linear[256], xyz[3];
    make_linear(linear);
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        xyz_of(linear, p, xyz);
        const float l = lightness(xyz[1]), sum = fmaxf(xyz[0] + 15 * xyz[1] + 3 * xyz[2], 1.19e-7f);
        const float u = 13 * l * (4 * xyz[0] / sum - white_u), v = 13 * l * (9 * xyz[1] / sum - white_v);
        p[0] = round_u8(l * 2.55f);
        p[1] = round_u8((u + 134) * (255.0f / 354));
        p[2] = round_u8((v + 140) * (255.0f / 262));
    }
}

static void luv_from(uint8_t *p, int64_t count)
{
    float curve[CURVE + 1];
    make_curve(curve);
    for (uint8_t *end = p + 3 * count; p < end; p += 3) {
        const float l = (float)p[0] / 2.55f, y = from_lightness(l);
        const float u = (float)p[1] * (354.0f / 255) - 134, v = (float)p[2] * (262.0f / 255) - 140;
        /* Colours that no screen has can bring d near 0; OpenCV bounds its reciprocal in this way. */
        const float d = v + 13 * l * white_v, r = fminf(fmaxf(0.25f / d, -0.25f), 0.25f),
                    three_u = 3 * (u + 13 * l * white_u);
        const float x = 3 * three_u * r * y, z = y * ((12 * 13 * l - three_u) * r - 5);
        put_xyz(curve, p, x, y, z);
    }
}

void diffad_colour_to(diffad_space space, uint8_t *pixels, int64_t count)
{
    switch (space) {
    case DIFFAD_SPACE_YCRCB: luma_to(&ycrcb, pixels, count); break;
    case DIFFAD_SPACE_HSV: hsv_to(pixels, count); break;
    case DIFFAD_SPACE_HLS: hls_to(pixels, count); break;
    case DIFFAD_SPACE_LAB: lab_to(pixels, count); break;
    case DIFFAD_SPACE_LUV: luv_to(pixels, count); break;
    default: luma_to(&yuv, pixels, count); break;
    }
}

void diffad_colour_from(diffad_space space, uint8_t *pixels, int64_t count)
{
    switch (space) {
    case DIFFAD_SPACE_YCRCB: luma_from(&ycrcb, pixels, count); break;
    case DIFFAD_SPACE_HSV: hsv_from(pixels, count); break;
    case DIFFAD_SPACE_HLS: hls_from(pixels, count); break;
    case DIFFAD_SPACE_LAB: lab_from(pixels, count); break;
    case DIFFAD_SPACE_LUV: luv_from(pixels, count); break;
    default: luma_from(&yuv, pixels, count); break;
    }
}
