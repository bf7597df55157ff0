/* heatmap.c: the image score, and anomaly maps as pictures. */
#include "diffad/evaluate.h"
#include "diffad/heatmap.h"

#include "base/size.h"
#include "base/sys.h"
#include "eval/keys.h"

#include <math.h>

enum { SCORE_WINDOW = 21, SCORE_REACH = SCORE_WINDOW / 2, COLOURS = 256 };

static diffad_status check_map(const char *what, const float *map, int h, int w)
{
    int64_t size;
    if (h < 1 || w < 1 || !diffad_mul_i64(h, w, &size))
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: a map of %d x %d; both sides must be at least 1", what, h, w);
    return diffad_scores_check(what, map, size);
}

/* ---- image score ---- */

/* rows [w]: sums over the window along one row of the map. */
static void sum_along_row(const float *row, int w, double *sums)
{
    for (int x = 0; x < w; x++) {
        const int from = x < SCORE_REACH ? 0 : x - SCORE_REACH, to = x > w - 1 - SCORE_REACH ? w - 1 : x + SCORE_REACH;
        double    sum = 0;
        for (int i = from; i <= to; i++)
            sum += row[i];
        sums[x] = sum;
    }
}

/* Sums afresh for each window, rows first: no running sum whose rounding could drift along the map. */
diffad_status diffad_score_map(const float *map, int h, int w, double *score)
{
    DIFFAD_TRY(check_map("image score", map, h, w));
    double *ring = diffad_alloc_array((size_t)w * SCORE_WINDOW, sizeof *ring);      /* row sums of the last 21 rows */
    if (!ring)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "image score: no host memory for %d columns", w);
    double best = -INFINITY;
    for (int y = 0, summed = 0; y < h; y++) {
        const int from = y < SCORE_REACH ? 0 : y - SCORE_REACH, to = y > h - 1 - SCORE_REACH ? h - 1 : y + SCORE_REACH;
        for (; summed <= to; summed++)
            sum_along_row(map + (int64_t)summed * w, w, ring + (size_t)(summed % SCORE_WINDOW) * (size_t)w);
        for (int x = 0; x < w; x++) {
            double sum = 0;
            for (int i = from; i <= to; i++)
                sum += ring[(size_t)(i % SCORE_WINDOW) * (size_t)w + (size_t)x];
            if (sum > best)
                best = sum;
        }
    }
    diffad_release(ring);
    *score = best / (SCORE_WINDOW * SCORE_WINDOW);
    return DIFFAD_OK;
}

/* ---- colours ---- */

/* Stations of the colour map in sRGB; their places on the scale follow from their lightness. */
static const uint8_t stations[][3] = {
    { 0x0d, 0x0b, 0x2a }, { 0x3b, 0x14, 0x6e }, { 0x86, 0x1e, 0x75 }, { 0xc8, 0x35, 0x5a },
    { 0xee, 0x6a, 0x2f }, { 0xf8, 0xae, 0x2c }, { 0xfb, 0xf0, 0xa0 },
};
enum { STATIONS = sizeof stations / sizeof stations[0] };

static double linear_from_srgb(double v) { return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4); }
static double srgb_from_linear(double v) { return v <= 0.0031308 ? v * 12.92 : 1.055 * pow(v, 1 / 2.4) - 0.055; }

/* OKLab: B. Ottosson, "A perceptual color space for image processing", 2020. */
static void oklab_from_srgb(const uint8_t rgb[3], double lab[3])
{
    const double r = linear_from_srgb(rgb[0] / 255.0), g = linear_from_srgb(rgb[1] / 255.0),
                 b = linear_from_srgb(rgb[2] / 255.0);
    const double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    const double m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    const double s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    lab[0] = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
    lab[1] = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    lab[2] = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
}

static void srgb_from_oklab(const double lab[3], uint8_t rgb[3])
{
    const double l = pow(lab[0] + 0.3963377774 * lab[1] + 0.2158037573 * lab[2], 3);
    const double m = pow(lab[0] - 0.1055613458 * lab[1] - 0.0638541728 * lab[2], 3);
    const double s = pow(lab[0] - 0.0894841775 * lab[1] - 1.2914855480 * lab[2], 3);
    const double linear[3] = { 4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
                               -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
                               -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s };
    for (int c = 0; c < 3; c++) {
        const double v = srgb_from_linear(fmin(fmax(linear[c], 0), 1));
        rgb[c] = (uint8_t)lround(255 * v);
    }
}

void diffad_colour_map(double v, uint8_t rgb[3])
{
    double lab[STATIONS][3];
    for (int i = 0; i < STATIONS; i++)
        oklab_from_srgb(stations[i], lab[i]);
    const double lightness = lab[0][0] + fmin(fmax(v, 0), 1) * (lab[STATIONS - 1][0] - lab[0][0]);
    int          i = 0;
    while (i < STATIONS - 2 && lightness > lab[i + 1][0])
        i++;
    const double share = (lightness - lab[i][0]) / (lab[i + 1][0] - lab[i][0]);
    double       between[3];
    for (int c = 0; c < 3; c++)
        between[c] = lab[i][c] + share * (lab[i + 1][c] - lab[i][c]);
    srgb_from_oklab(between, rgb);
}

/* ---- pictures ---- */

static diffad_status check_range(double lo, double hi)
{
    if (!(lo < hi))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "heat map: the range %g to %g is empty; the first must be below the second", lo,
                    hi);
    return DIFFAD_OK;
}

static diffad_status check_picture(const diffad_image *picture, int h, int w)
{
    if (picture->width != w || picture->height != h)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE,
                    "heat map: the picture is %d x %d but the map %d x %d (width x height); resize one of them",
                    picture->width, picture->height, w, h);
    return DIFFAD_OK;
}

static double share_of(float v, double lo, double hi) { return fmin(fmax(((double)v - lo) / (hi - lo), 0), 1); }

static void fill_colours(uint8_t table[COLOURS][3])
{
    for (int i = 0; i < COLOURS; i++)
        diffad_colour_map(i / (COLOURS - 1.0), table[i]);
}

diffad_status diffad_heatmap_render(const float *map, int h, int w, double lo, double hi, diffad_image *out)
{
    diffad_image image;
    uint8_t      table[COLOURS][3];
    DIFFAD_TRY(check_map("heat map", map, h, w));
    DIFFAD_TRY(check_range(lo, hi));
    DIFFAD_TRY(diffad_image_create(w, h, 3, &image));
    fill_colours(table);
    for (int64_t i = 0; i < (int64_t)h * w; i++)
        memcpy(image.pixels + 3 * i, table[lround((COLOURS - 1) * share_of(map[i], lo, hi))], 3);
    *out = image;
    return DIFFAD_OK;
}

diffad_status diffad_heatmap_overlay(const float *map, int h, int w, double lo, double hi, const diffad_image *picture,
                                     double strength, diffad_image *out)
{
    diffad_image image;
    uint8_t      table[COLOURS][3];
    DIFFAD_TRY(check_map("heat map", map, h, w));
    DIFFAD_TRY(check_range(lo, hi));
    DIFFAD_TRY(check_picture(picture, h, w));
    if (!(strength >= 0 && strength <= 1))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "heat map: strength %g; it must be within 0 and 1", strength);
    DIFFAD_TRY(diffad_image_create(w, h, 3, &image));
    fill_colours(table);
    for (int64_t i = 0; i < (int64_t)h * w; i++) {
        const double   value = share_of(map[i], lo, hi), cover = strength * value;
        const uint8_t *colour = table[lround((COLOURS - 1) * value)];
        for (int c = 0; c < 3; c++) {
            const uint8_t below = picture->pixels[picture->channels == 3 ? 3 * i + c : i];
            image.pixels[3 * i + c] = (uint8_t)lround((1 - cover) * below + cover * colour[c]);
        }
    }
    *out = image;
    return DIFFAD_OK;
}

diffad_status diffad_mask_render(const uint8_t *mask, int h, int w, diffad_image *out)
{
    diffad_image image;
    if (h < 1 || w < 1)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "mask: %d x %d; both sides must be at least 1", h, w);
    DIFFAD_TRY(diffad_image_create(w, h, 1, &image));
    for (int64_t i = 0; i < (int64_t)h * w; i++)
        image.pixels[i] = mask[i] ? 255 : 0;
    *out = image;
    return DIFFAD_OK;
}

/* Within `thickness` steps (of a king) of a pixel outside the mask or of the picture's edge. */
static bool is_border(const uint8_t *mask, int h, int w, int y, int x, int thickness)
{
    for (int dy = -thickness; dy <= thickness; dy++)
        for (int dx = -thickness; dx <= thickness; dx++) {
            const int yy = y + dy, xx = x + dx;
            if (yy < 0 || yy >= h || xx < 0 || xx >= w || !mask[(int64_t)yy * w + xx])
                return true;
        }
    return false;
}

diffad_status diffad_mask_outline(const uint8_t *mask, int h, int w, int thickness, const uint8_t rgb[3],
                                  diffad_image *picture)
{
    DIFFAD_TRY(check_picture(picture, h, w));
    if (picture->channels != 3)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "outline: the picture has %d channel(s); 3 are needed", picture->channels);
    if (thickness < 1 || thickness > 16)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "outline: thickness %d; it must be within 1 and 16 pixels", thickness);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const int64_t i = (int64_t)y * w + x;
            if (mask[i] && is_border(mask, h, w, y, x, thickness))
                memcpy(picture->pixels + 3 * i, rgb, 3);
        }
    return DIFFAD_OK;
}

diffad_status diffad_picture_row(const diffad_image *const *pictures, int n, int gap, diffad_image *out)
{
    diffad_image row;
    int64_t      width = 0, left = 0;
    for (int i = 0; i < n; i++) {
        if (pictures[i]->height != pictures[0]->height)
            DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "row: picture %d is %d pixels high, the first %d", i, pictures[i]->height,
                        pictures[0]->height);
        width += pictures[i]->width + (i > 0 ? gap : 0);
    }
    if (n < 1 || gap < 0 || width > INT32_MAX)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "row: %d pictures with gaps of %d make no picture", n, gap);
    DIFFAD_TRY(diffad_image_create((int)width, pictures[0]->height, 3, &row));
    memset(row.pixels, 255, (size_t)(width * row.height * 3));
    for (int i = 0; i < n; i++) {
        const diffad_image *p = pictures[i];
        for (int64_t k = 0; k < (int64_t)p->width * p->height; k++)
            for (int c = 0; c < 3; c++)
                row.pixels[(k / p->width * width + left + k % p->width) * 3 + c] =
                    p->pixels[k * p->channels + (p->channels == 3 ? c : 0)];
        left += p->width + gap;
    }
    *out = row;
    return DIFFAD_OK;
}
