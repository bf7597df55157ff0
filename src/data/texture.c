/* texture.c: procedural textures, for anomaly sources where no folder of pictures is given. */
#include "data/texture.h"

#include <math.h>

enum { POINTS = 48, COLOURS = 4, KINDS = 6 };

typedef struct field {
    uint32_t seed;
    float    c, s;                          /* direction */
    float    rate, warp;                    /* features per picture; share of noise that bends them */
    int      octaves, points;
    float    px[POINTS], py[POINTS], pr[POINTS];
} field;

typedef float (*field_fn)(const field *f, float x, float y);     /* x, y in [0,1); about [0,1] */

static float lattice(uint32_t seed, int32_t x, int32_t y)
{
    uint32_t h = seed ^ ((uint32_t)x * 0x8da6b343u) ^ ((uint32_t)y * 0xd8163841u);
    h = (h ^ h >> 16) * 0x7feb352du;
    h = (h ^ h >> 15) * 0x846ca68bu;
    return (float)((h ^ h >> 16) >> 8) * 0x1p-24f;
}

float diffad_smooth_noise(uint32_t seed, float x, float y)
{
    const float bx = floorf(x), by = floorf(y);
    const int32_t i = (int32_t)bx, j = (int32_t)by;
    const float fx = x - bx, fy = y - by, tx = fx * fx * (3 - 2 * fx), ty = fy * fy * (3 - 2 * fy);
    const float a = lattice(seed, i, j), b = lattice(seed, i + 1, j), c = lattice(seed, i, j + 1),
                d = lattice(seed, i + 1, j + 1);
    const float top = a + tx * (b - a), bottom = c + tx * (d - c);
    return top + ty * (bottom - top);
}

float diffad_fractal_noise(uint32_t seed, float x, float y, int octaves)
{
    float sum = 0, weight = 1, all = 0;
    for (int i = 0; i < octaves; i++) {
        sum += weight * diffad_smooth_noise(seed + (uint32_t)i * 0x9e3779b9u, x, y);
        all += weight;
        weight *= 0.5f;
        x *= 2;
        y *= 2;
    }
    return sum / all;
}

static float clouds(const field *f, float x, float y)
{
    return (diffad_fractal_noise(f->seed, x * f->rate, y * f->rate, f->octaves) - 0.5f) * 1.8f + 0.5f;
}

static float marble(const field *f, float x, float y)
{
    const float bend = diffad_fractal_noise(f->seed, x * 4, y * 4, f->octaves) * f->warp * 6;
    return 0.5f + 0.5f * sinf((x * f->c + y * f->s) * f->rate * 6.2832f + bend * 3);
}

/* Distance to the nearest of some points against the second nearest: 0 on a border between two cells. */
static float cells(const field *f, float x, float y)
{
    float first = 4, second = 4;
    for (int i = 0; i < f->points; i++) {
        const float dx = x - f->px[i], dy = y - f->py[i], d = dx * dx + dy * dy;
        second = fminf(second, fmaxf(first, d));
        first = fminf(first, d);
    }
    return fminf(1, (sqrtf(second) - sqrtf(first)) * f->rate);
}

static float stripes(const field *f, float x, float y)
{
    const float bend = (diffad_smooth_noise(f->seed, x * 5, y * 5) - 0.5f) * f->warp;
    const float at = (x * f->c + y * f->s) * f->rate + bend;
    return 0.5f + 0.5f * tanhf(4 * sinf(at * 6.2832f));
}

static float weave(const field *f, float x, float y)
{
    const float u = (x * f->c + y * f->s) * f->rate, v = (y * f->c - x * f->s) * f->rate;
    const int over = ((int)floorf(u) + (int)floorf(v)) & 1;
    const float across = over ? u - floorf(u) : v - floorf(v);
    const float fibre = diffad_smooth_noise(f->seed, over ? u * 7 : u * 2, over ? v * 2 : v * 7);
    return 0.15f + 0.6f * sinf(across * 3.1416f) + 0.25f * fibre;
}

static float spots(const field *f, float x, float y)
{
    float level = 0;
    for (int i = 0; i < f->points; i++) {
        const float dx = x - f->px[i], dy = y - f->py[i], edge = (f->pr[i] - sqrtf(dx * dx + dy * dy)) * 60;
        level = fmaxf(level, edge < 0 ? 0 : edge > 1 ? 1 : edge);
    }
    return 0.8f * level + 0.2f * diffad_fractal_noise(f->seed, x * 9, y * 9, 3);
}

static field draw_field(diffad_rng *r)
{
    field f = { .seed = diffad_rng_u32(r),
                .rate = diffad_rng_between(r, 3, 16),
                .warp = diffad_rng_between(r, 0, 1),
                .octaves = 2 + (int)diffad_rng_below(r, 4),
                .points = 10 + (int)diffad_rng_below(r, POINTS - 9) };
    const float angle = diffad_rng_between(r, 0, 6.2832f);
    f.c = cosf(angle);
    f.s = sinf(angle);
    for (int i = 0; i < f.points; i++) {
        f.px[i] = diffad_rng_between(r, -0.1f, 1.1f);
        f.py[i] = diffad_rng_between(r, -0.1f, 1.1f);
        f.pr[i] = diffad_rng_between(r, 0.015f, 0.07f);
    }
    return f;
}

static uint8_t to_u8(float v) { return (uint8_t)(v <= 0 ? 0 : v >= 1 ? 255 : v * 255 + 0.5f); }

void diffad_texture_draw(diffad_rng *r, int w, int h, uint8_t *pixels)
{
    static const field_fn kinds[KINDS] = { clouds, marble, cells, stripes, weave, spots };
    const field_fn kind = kinds[diffad_rng_below(r, KINDS)];
    const field f = draw_field(r);
    const float grain = diffad_rng_between(r, 0, 0.12f);
    float colour[COLOURS][3];
    for (int i = 0; i < COLOURS; i++)
        for (int k = 0; k < 3; k++)
            colour[i][k] = diffad_rng_uniform(r);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const float v = kind(&f, ((float)x + 0.5f) / (float)w, ((float)y + 0.5f) / (float)h);
            const float at = (v <= 0 ? 0 : v >= 1 ? 1 : v) * (COLOURS - 1);
            const int i = (int)at < COLOURS - 1 ? (int)at : COLOURS - 2;
            const float noise = (lattice(f.seed ^ 0x51ed270bu, x, y) - 0.5f) * grain;
            for (int k = 0; k < 3; k++)
                *pixels++ = to_u8(colour[i][k] + (at - (float)i) * (colour[i + 1][k] - colour[i][k]) + noise);
        }
}
