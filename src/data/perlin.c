/* perlin.c: Perlin noise and its rotation. */
#include "data/anomaly.h"

#include <math.h>

typedef struct gradient { double down, right; } gradient;

static gradient gradient_of(float angle) { return (gradient){ cos((double)angle), sin((double)angle) }; }
static double along(gradient g, double y, double x) { return g.down * y + g.right * x; }
static double fade(double t) { return t * t * t * (t * (t * 6.0 - 15.0) + 10.0); }
static double lerp(double a, double b, double t) { return a + t * (b - a); }

/* g: the cell's corners, above left, above right, below left, below right. */
static void fill_cell(const gradient g[4], int cell_h, int cell_w, int w, float *noise)
{
    const double root2 = 1.4142135623730951;
    for (int i = 0; i < cell_h; i++) {
        const double y = (double)i / cell_h, ty = fade(y);
        for (int j = 0; j < cell_w; j++) {
            const double x = (double)j / cell_w;
            const double left = lerp(along(g[0], y, x), along(g[2], y - 1, x), ty);
            const double right = lerp(along(g[1], y, x - 1), along(g[3], y - 1, x - 1), ty);
            noise[(int64_t)i * w + j] = (float)(root2 * lerp(left, right, fade(x)));
        }
    }
}

void diffad_perlin(const float *angles, int ry, int rx, int h, int w, float *noise)
{
    const int cell_h = h / ry, cell_w = w / rx;
    for (int i = 0; i < ry; i++) {
        const float *above = angles + (int64_t)i * (rx + 1), *below = above + rx + 1;
        gradient g[4] = { { 0, 0 }, gradient_of(above[0]), { 0, 0 }, gradient_of(below[0]) };
        for (int j = 0; j < rx; j++) {
            g[0] = g[1];
            g[2] = g[3];
            g[1] = gradient_of(above[j + 1]);
            g[3] = gradient_of(below[j + 1]);
            fill_cell(g, cell_h, cell_w, w, noise + ((int64_t)i * cell_h) * w + (int64_t)j * cell_w);
        }
    }
}

int diffad_perlin_cells(diffad_rng *r, int side)
{
    uint32_t choices = 1;
    while (choices < 6 && side % (1 << choices) == 0 && side >> choices >= 2)
        choices++;
    return 1 << diffad_rng_below(r, choices);
}

void diffad_perlin_draw(diffad_rng *r, int h, int w, float *angles, float *noise)
{
    const int ry = diffad_perlin_cells(r, h), rx = diffad_perlin_cells(r, w);
    for (int i = 0; i < (ry + 1) * (rx + 1); i++)
        angles[i] = 6.28318530717958648f * diffad_rng_uniform(r);
    diffad_perlin(angles, ry, rx, h, w, noise);
}

/* Where an output pixel takes its value from: the upper left of four taps and the weights of the lower right
 * ones. */
typedef struct spot { int x, y; float fx, fy; } spot;
typedef struct turn { double c, s, cx, cy; } turn;

static turn turn_of(int h, int w, double degrees)
{
    const double rad = degrees * (3.14159265358979323846 / 180.0);
    return (turn){ cos(rad), sin(rad), (w - 1) / 2.0, (h - 1) / 2.0 };
}

static spot source_of(const turn *t, int x, int y)
{
    const double dx = x - t->cx, dy = y - t->cy;
    const double sx = t->cx + t->c * dx + t->s * dy, sy = t->cy - t->s * dx + t->c * dy;
    const double bx = floor(sx), by = floor(sy);
    return (spot){ (int)bx, (int)by, (float)(sx - bx), (float)(sy - by) };
}

static bool inside(spot p, int h, int w) { return p.x >= 0 && p.y >= 0 && p.x + 1 < w && p.y + 1 < h; }
static bool outside(spot p, int h, int w) { return p.x < -1 || p.y < -1 || p.x >= w || p.y >= h; }

#define TAP(dy, dx) (p.y + (dy) >= 0 && p.y + (dy) < h && p.x + (dx) >= 0 && p.x + (dx) < w \
                     ? (float)in[((int64_t)(p.y + (dy)) * w + p.x + (dx)) * channels + k] : 0.0f)

void diffad_rotate(const float *in, int h, int w, int channels, double degrees, float *out)
{
    const turn t = turn_of(h, w, degrees);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const spot p = source_of(&t, x, y);
            for (int k = 0; k < channels; k++) {
                const float top = TAP(0, 0) + p.fx * (TAP(0, 1) - TAP(0, 0));
                const float bottom = TAP(1, 0) + p.fx * (TAP(1, 1) - TAP(1, 0));
                *out++ = top + p.fy * (bottom - top);
            }
        }
}

void diffad_rotate_u8(const uint8_t *in, int h, int w, int channels, double degrees, uint8_t *out)
{
    const turn t = turn_of(h, w, degrees);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++, out += channels) {
            const spot p = source_of(&t, x, y);
            const uint8_t *a = in + ((int64_t)p.y * w + p.x) * channels;
            for (int k = 0; k < channels; k++) {
                if (outside(p, h, w)) {
                    out[k] = 0;
                    continue;
                }
                const bool all = inside(p, h, w);
                const float v00 = all ? a[k] : TAP(0, 0), v01 = all ? a[channels + k] : TAP(0, 1);
                const float v10 = all ? a[w * channels + k] : TAP(1, 0),
                            v11 = all ? a[(w + 1) * channels + k] : TAP(1, 1);
                const float top = v00 + p.fx * (v01 - v00), bottom = v10 + p.fx * (v11 - v10);
                out[k] = (uint8_t)(top + p.fy * (bottom - top) + 0.5f);
            }
        }
}

bool diffad_threshold(const float *noise, int h, int w, uint8_t *mask)
{
    bool any = false;
    for (int64_t i = 0; i < (int64_t)h * w; i++) {
        mask[i] = noise[i] > 0.5f;
        any |= mask[i] != 0;
    }
    return any;
}

void diffad_blend(const float *image, const float *source, const uint8_t *mask, int h, int w, int channels,
                  float beta, float *out)
{
    for (int64_t i = 0; i < (int64_t)h * w; i++)
        for (int64_t k = i * channels; k < (i + 1) * channels; k++)
            out[k] = mask[i] ? (1.0f - beta) * source[k] + beta * image[k] : image[k];
}
