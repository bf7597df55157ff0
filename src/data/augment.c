/* augment.c: ten augmenters on 8-bit pictures. Values that leave a table of floats are cut, not rounded, as in
 * imgaug. */
#include "data/augment.h"

#include "data/anomaly.h"

#include <math.h>
#include <string.h>

static int64_t pixel_count(const diffad_canvas *c) { return (int64_t)c->w * c->h; }
static int clip_255(int v) { return v < 0 ? 0 : v > 255 ? 255 : v; }

static void swap_buffers(diffad_canvas *c)
{
    uint8_t *p = c->pixels;
    c->pixels = c->spare;
    c->spare = p;
}

/* channel < 0: all three. */
static void apply_table(diffad_canvas *c, const uint8_t table[256], int channel)
{
    const int64_t count = pixel_count(c) * 3;
    const int64_t step = channel < 0 ? 1 : 3;
    for (int64_t i = channel < 0 ? 0 : channel; i < count; i += step)
        c->pixels[i] = table[c->pixels[i]];
}

static void histogram(const diffad_canvas *c, int channel, int64_t bins[256])
{
    memset(bins, 0, 256 * sizeof *bins);
    for (int64_t i = channel; i < pixel_count(c) * 3; i += 3)
        bins[c->pixels[i]]++;
}

/* 255 (v / 255)^gamma */
void diffad_augment_gamma(diffad_canvas *c, const float gamma[3])
{
    for (int k = 0; k < 3; k++) {
        uint8_t table[256];
        for (int v = 0; v < 256; v++)
            table[v] = (uint8_t)(powf((float)(v / 255.0), gamma[k]) * 255.0f);
        apply_table(c, table, k);
    }
}

void diffad_augment_brightness(diffad_canvas *c, diffad_space space, float mul, int add, bool add_first)
{
    static const int brightness[DIFFAD_SPACE_COUNT] = {
        [DIFFAD_SPACE_YCRCB] = 0, [DIFFAD_SPACE_HSV] = 2, [DIFFAD_SPACE_HLS] = 1,
        [DIFFAD_SPACE_LAB] = 0,   [DIFFAD_SPACE_LUV] = 0, [DIFFAD_SPACE_YUV] = 0,
    };
    uint8_t table[256];
    for (int v = 0; v < 256; v++) {
        const int first = add_first ? clip_255(v + add) : v;
        const float scaled = (float)first * mul;
        const int product = scaled > 255.0f ? 255 : (int)scaled;
        table[v] = (uint8_t)(add_first ? product : clip_255(product + add));
    }
    diffad_colour_to(space, c->pixels, pixel_count(c));
    apply_table(c, table, brightness[space]);
    diffad_colour_from(space, c->pixels, pixel_count(c));
}

/* factor 0: smoothed by (1 1 1, 1 5 1, 1 1 1)/13, edge pixels kept; 1: unchanged; 2: as far on the other side. */
void diffad_augment_sharpness(diffad_canvas *c, float factor)
{
    const int64_t line = (int64_t)c->w * 3;
    const uint8_t *p = c->pixels;
    for (int64_t y = 0; y < c->h; y++)
        for (int64_t i = y * line; i < (y + 1) * line; i++) {
            const int64_t x = i - y * line;
            int smooth = p[i];
            if (y > 0 && y + 1 < c->h && x >= 3 && x + 3 < line) {
                const int sum = p[i - line - 3] + p[i - line] + p[i - line + 3] + p[i - 3] + 5 * p[i] + p[i + 3]
                              + p[i + line - 3] + p[i + line] + p[i + line + 3];
                smooth = (2 * sum + 13) / 26;
            }
            const float v = (float)smooth + factor * (float)(p[i] - smooth);
            c->spare[i] = (uint8_t)(v <= 0.0f ? 0 : v >= 255.0f ? 255 : (int)v);
        }
    swap_buffers(c);
}

/* Both numbers on the scale of 0..255; hue goes round a circle of 180 steps. */
void diffad_augment_hue_saturation(diffad_canvas *c, int hue, int saturation)
{
    const int turn = (int)((float)hue / 255.0f * 180.0f);
    uint8_t hues[256], saturations[256];
    for (int v = 0; v < 256; v++) {
        hues[v] = (uint8_t)(((v + turn) % 180 + 180) % 180);
        saturations[v] = (uint8_t)clip_255(v + saturation);
    }
    diffad_colour_to(DIFFAD_SPACE_HSV, c->pixels, pixel_count(c));
    apply_table(c, hues, 0);
    apply_table(c, saturations, 1);
    diffad_colour_from(DIFFAD_SPACE_HSV, c->pixels, pixel_count(c));
}

void diffad_augment_solarize(diffad_canvas *c, int threshold)
{
    uint8_t table[256];
    for (int v = 0; v < 256; v++)
        table[v] = (uint8_t)(v >= threshold ? 255 - v : v);
    apply_table(c, table, -1);
}

void diffad_augment_posterize(diffad_canvas *c, int bits)
{
    uint8_t table[256];
    for (int v = 0; v < 256; v++)
        table[v] = (uint8_t)(v >> (8 - bits) << (8 - bits));
    apply_table(c, table, -1);
}

void diffad_augment_invert(diffad_canvas *c) { diffad_augment_solarize(c, 0); }

/* Takes `cut` samples out of the histogram from one end. */
static void cut_samples(int64_t bins[256], int64_t cut, int from, int step)
{
    for (int i = from; i >= 0 && i < 256; i += step) {
        const int64_t taken = cut > bins[i] ? bins[i] : cut;
        bins[i] -= taken;
        cut -= taken;
        if (cut <= 0)
            break;
    }
}

/* Each channel stretched to 0..255 after leaving out `cutoff` percent of its samples at both ends. */
void diffad_augment_autocontrast(diffad_canvas *c, int cutoff_percent)
{
    for (int k = 0; k < 3; k++) {
        int64_t bins[256];
        histogram(c, k, bins);
        const int64_t cut = pixel_count(c) * cutoff_percent / 100;
        cut_samples(bins, cut, 0, 1);
        cut_samples(bins, cut, 255, -1);
        int lo = 0, hi = 255;
        while (lo < 255 && bins[lo] == 0)
            lo++;
        while (hi > 0 && bins[hi] == 0)
            hi--;
        if (hi <= lo)
            continue;
        const double scale = 255.0 / (hi - lo), offset = -lo * scale;
        uint8_t table[256];
        for (int v = 0; v < 256; v++)
            table[v] = (uint8_t)clip_255((int)(v * scale + offset));
        apply_table(c, table, k);
    }
}

/* Each channel: v becomes (step/2 + number of samples below v) / step, step = (samples but those of 255) / 255. */
void diffad_augment_equalize(diffad_canvas *c)
{
    for (int k = 0; k < 3; k++) {
        int64_t bins[256];
        histogram(c, k, bins);
        int used = 0;
        for (int v = 0; v < 256; v++)
            used += bins[v] != 0;
        const int64_t step = (pixel_count(c) - bins[255]) / 255;
        if (used <= 1 || step == 0)
            continue;
        uint8_t table[256];
        int64_t below = step / 2;
        for (int v = 0; v < 256; v++) {
            const int64_t level = below / step;
            table[v] = (uint8_t)(level > 255 ? 255 : level);
            below += bins[v];
        }
        apply_table(c, table, k);
    }
}

void diffad_augment_rotate(diffad_canvas *c, double degrees)
{
    diffad_rotate_u8(c->pixels, c->h, c->w, 3, degrees, c->spare);
    swap_buffers(c);
}

static int draw_int(diffad_rng *r, int lo, int hi)
{
    return lo + (int)diffad_rng_below(r, (uint32_t)(hi - lo + 1));
}

static void draw_brightness(diffad_canvas *c, diffad_rng *r)
{
    const diffad_space space = (diffad_space)diffad_rng_below(r, DIFFAD_SPACE_COUNT);
    const float mul = diffad_rng_between(r, 0.8f, 1.2f);
    const int add = draw_int(r, -30, 30);
    diffad_augment_brightness(c, space, mul, add, diffad_rng_below(r, 2) != 0);
}

void diffad_augment_one(diffad_canvas *c, int which, diffad_rng *r)
{
    switch (which) {
    case 0: {
        float gamma[3];
        for (int k = 0; k < 3; k++)
            gamma[k] = diffad_rng_between(r, 0.5f, 2.0f);
        diffad_augment_gamma(c, gamma);
        break;
    }
    case 1: draw_brightness(c, r); break;
    case 2: diffad_augment_sharpness(c, diffad_rng_between(r, 0.0f, 2.0f)); break;
    case 3: {
        const int hue = draw_int(r, -50, 50);
        diffad_augment_hue_saturation(c, hue, draw_int(r, -50, 50));
        break;
    }
    case 4:
        if (diffad_rng_below(r, 2))
            diffad_augment_solarize(c, (int)diffad_rng_between(r, 32.0f, 128.0f));
        break;
    case 5: diffad_augment_posterize(c, draw_int(r, 1, 8)); break;
    case 6: diffad_augment_invert(c); break;
    case 7: diffad_augment_autocontrast(c, draw_int(r, 0, 20)); break;
    case 8: diffad_augment_equalize(c); break;
    default: diffad_augment_rotate(c, (double)diffad_rng_between(r, -45.0f, 45.0f)); break;
    }
}

void diffad_augment_draw(diffad_canvas *c, diffad_rng *r)
{
    int left[DIFFAD_AUGMENTERS];
    for (int i = 0; i < DIFFAD_AUGMENTERS; i++)
        left[i] = i;
    for (int i = 0; i < 3; i++) {
        const uint32_t pick = diffad_rng_below(r, (uint32_t)(DIFFAD_AUGMENTERS - i));
        diffad_augment_one(c, left[pick], r);
        left[pick] = left[DIFFAD_AUGMENTERS - 1 - i];
    }
}
