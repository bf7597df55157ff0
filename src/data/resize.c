/* resize.c: bilinear resize of 8-bit images with the fixed-point arithmetic of OpenCV's cv::resize
 * (INTER_LINEAR).
 *
 * Pixel centres are half-integers; weights have 11 bits. A line is first interpolated across into 32-bit sums,
 * two such lines then down: ((b0 (S0 >> 4)) >> 16) + ((b1 (S1 >> 4)) >> 16) + 2) >> 2. */
#include "data/image_internal.h"

#include "base/sys.h"

#include <math.h>

enum { WEIGHT = 2048 };

typedef struct tap {
    int     at;               /* first source position; may lie outside for lines, never for columns */
    int16_t w0, w1;
} tap;

static int clamp(int v, int count) { return v < 0 ? 0 : v >= count ? count - 1 : v; }

/* Columns outside take the edge with full weight; lines keep their weights and clamp both positions. */
static void make_taps(tap *t, int to, int from, bool is_column)
{
    const double scale = 1.0 / ((double)to / (double)from);
    for (int i = 0; i < to; i++) {
        float f = (float)((i + 0.5) * scale - 0.5);
        int at = (int)floorf(f);
        f -= (float)at;
        if (is_column && at < 0) {
            at = 0;
            f = 0;
        }
        if (is_column && at >= from - 1) {
            at = from - 1;
            f = 0;
        }
        t[i] = (tap){ at, (int16_t)lrintf((1.0f - f) * WEIGHT), (int16_t)lrintf(f * WEIGHT) };
    }
}

static void across(const diffad_image *from, int line, const tap *columns, int width, int32_t *sums)
{
    const int c = from->channels;
    const uint8_t *p = from->pixels + (size_t)line * (size_t)from->width * (size_t)c;
    for (int x = 0; x < width; x++) {
        const tap t = columns[x];
        const uint8_t *left = p + (ptrdiff_t)t.at * c;
        const uint8_t *right = t.w1 ? left + c : left;
        for (int k = 0; k < c; k++)
            *sums++ = left[k] * t.w0 + right[k] * t.w1;
    }
}

static void down(const int32_t *s0, const int32_t *s1, tap t, size_t count, uint8_t *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (uint8_t)((((t.w0 * (s0[i] >> 4)) >> 16) + ((t.w1 * (s1[i] >> 4)) >> 16) + 2) >> 2);
}

diffad_status diffad_image_resize(const diffad_image *from, int width, int height, diffad_image *out)
{
    diffad_image image;
    DIFFAD_TRY(diffad_image_create(width, height, from->channels, &image));
    const size_t count = (size_t)width * (size_t)from->channels;
    tap *columns = diffad_alloc_array((size_t)width + (size_t)height, sizeof *columns);
    int32_t *sums = diffad_alloc_array(2 * count, sizeof *sums);
    if (!columns || !sums) {
        diffad_release(columns);
        diffad_release(sums);
        diffad_image_release(&image);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for resizing an image to %d x %d", width, height);
    }
    tap *lines = columns + width;
    make_taps(columns, width, from->width, true);
    make_taps(lines, height, from->height, false);

    int32_t *row[2] = { sums, sums + count };
    int held[2] = { -1, -1 };              /* which source line each row holds */
    for (int y = 0; y < height; y++) {
        const int want[2] = { clamp(lines[y].at, from->height), clamp(lines[y].at + 1, from->height) };
        if (held[0] != want[0] && held[1] == want[0]) {
            int32_t *other = row[0];
            row[0] = row[1];
            row[1] = other;
            held[1] = held[0];
            held[0] = want[0];
        }
        for (int k = 0; k < 2; k++)
            if (held[k] != want[k]) {
                across(from, want[k], columns, width, row[k]);
                held[k] = want[k];
            }
        down(row[0], row[1], lines[y], count, image.pixels + (size_t)y * count);
    }
    diffad_release(columns);
    diffad_release(sums);
    *out = image;
    return DIFFAD_OK;
}
