/* test_heatmap.c: src/eval/heatmap.c and src/eval/tiff.c. */
#include "diffad/evaluate.h"
#include "diffad/heatmap.h"

#include "base/file.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST = 67 };

static void fill(float *map, int n, uint32_t number, float lo, float hi)
{
    diffad_rng r = diffad_rng_make(31, DIFFAD_RNG_TEST, 1, number);
    for (int i = 0; i < n; i++)
        map[i] = diffad_rng_between(&r, lo, hi);
}

static double brute_score(const float *map, int h, int w)
{
    double best = -INFINITY;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            double sum = 0;
            for (int yy = y - 10; yy <= y + 10; yy++)
                for (int xx = x - 10; xx <= x + 10; xx++)
                    sum += yy >= 0 && yy < h && xx >= 0 && xx < w ? map[yy * w + xx] : 0;
            best = fmax(best, sum / 441);
        }
    return best;
}

Test(score_map, equals_direct_loops_at_odd_sizes_and_below_the_window)
{
    static const int sides[][2] = { { 1, 1 },   { 1, 67 },  { 67, 1 },  { 5, 9 },   { 10, 11 }, { 20, 20 },
                                    { 21, 21 }, { 22, 21 }, { 31, 33 }, { 32, 29 }, { 41, 40 }, { 67, 53 } };
    float map[LONGEST * LONGEST];
    for (int k = 0; k < 12; k++)
        for (int sign = 0; sign < 2; sign++) {
            const int h = sides[k][0], w = sides[k][1];
            double    got;
            fill(map, h * w, (uint32_t)k, sign ? -2.0f : 0.0f, sign ? -0.5f : 1.0f);
            cr_assert_eq(diffad_score_map(map, h, w, &got), DIFFAD_OK);

            cr_assert_lt(fabs(got - brute_score(map, h, w)), 1e-13, "%d x %d: expected %.17g got %.17g", h, w,
                         brute_score(map, h, w), got);
        }
}

Test(score_map, divides_by_441_whatever_lies_outside)
{
    const float one = 1;
    double      score;
    cr_assert_eq(diffad_score_map(&one, 1, 1, &score), DIFFAD_OK);

    cr_expect_eq(score, 1.0 / 441);
}

Test(score_map, refuses_no_map_and_what_is_not_a_number)
{
    const float map[] = { 0, NAN };
    double      score = 3;
    cr_expect_eq(diffad_score_map(map, 1, 2, &score), DIFFAD_ERR_NUMERICS);
    cr_expect_eq(diffad_score_map(map, 0, 2, &score), DIFFAD_ERR_SHAPE);
    cr_expect_eq(score, 3);
}

/* CIE lightness of an sRGB colour: another measure than the one the map is built with. */
static double lightness(const uint8_t rgb[3])
{
    static const double weight[] = { 0.2126, 0.7152, 0.0722 };
    double              y = 0;
    for (int c = 0; c < 3; c++)
        y += weight[c] * (rgb[c] <= 10 ? rgb[c] / 255.0 / 12.92 : pow((rgb[c] / 255.0 + 0.055) / 1.055, 2.4));
    return y > 0.008856 ? 116 * cbrt(y) - 16 : 903.3 * y;
}

Test(colour_map, grows_lighter_from_end_to_end_in_even_steps)
{
    uint8_t before[3], rgb[3];
    diffad_colour_map(0, before);
    cr_expect_lt(lightness(before), 10);
    for (int i = 1; i <= 32; i++) {
        diffad_colour_map(i / 32.0, rgb);
        const double step = lightness(rgb) - lightness(before);
        cr_expect(step > 1 && step < 6, "step %d: %.2f", i, step);
        memcpy(before, rgb, 3);
    }
    cr_expect_gt(lightness(before), 90);
    diffad_colour_map(7, rgb);
    cr_expect_arr_eq(rgb, before, 3);
}

Test(heatmap, takes_its_colours_from_the_range_and_clamps)
{
    const float  map[] = { -1, 0.5f, 1, 9 };
    uint8_t      low[3], high[3];
    diffad_image image;
    diffad_colour_map(0, low);
    diffad_colour_map(1, high);
    cr_assert_eq(diffad_heatmap_render(map, 2, 2, 0.5, 1, &image), DIFFAD_OK);

    cr_expect_arr_eq(image.pixels, low, 3);
    cr_expect_arr_eq(image.pixels + 3, low, 3);
    cr_expect_arr_eq(image.pixels + 6, high, 3);
    cr_expect_arr_eq(image.pixels + 9, high, 3);
    diffad_image_release(&image);
    cr_expect_eq(diffad_heatmap_render(map, 2, 2, 1, 1, &image), DIFFAD_ERR_USAGE);
}

Test(overlay, leaves_the_picture_where_nothing_is_and_covers_it_where_something_is)
{
    const float  map[] = { 0, 1 };
    uint8_t      high[3];
    diffad_image grey, over;
    diffad_colour_map(1, high);
    cr_assert_eq(diffad_image_create(2, 1, 1, &grey), DIFFAD_OK);
    grey.pixels[0] = grey.pixels[1] = 77;
    cr_assert_eq(diffad_heatmap_overlay(map, 1, 2, 0, 1, &grey, 1, &over), DIFFAD_OK);

    cr_expect(over.pixels[0] == 77 && over.pixels[1] == 77 && over.pixels[2] == 77);
    cr_expect_arr_eq(over.pixels + 3, high, 3);
    cr_expect_eq(diffad_heatmap_overlay(map, 2, 1, 0, 1, &grey, 1, &over), DIFFAD_ERR_SHAPE);
    diffad_image_release(&grey);
    diffad_image_release(&over);
}

Test(outline, marks_the_inner_border_alone)
{
    const uint8_t red[] = { 255, 0, 0 };
    uint8_t       mask[49] = { 0 };
    diffad_image  image, shown;
    for (int y = 1; y < 6; y++)
        memset(mask + 7 * y + 1, 1, 5);
    cr_assert_eq(diffad_image_create(7, 7, 3, &image), DIFFAD_OK);
    memset(image.pixels, 9, 147);
    cr_assert_eq(diffad_mask_outline(mask, 7, 7, 1, red, &image), DIFFAD_OK);

    for (int i = 0; i < 49; i++) {
        const int  y = i / 7, x = i % 7;
        const bool is_inside = y > 1 && y < 5 && x > 1 && x < 5;
        cr_expect_eq(image.pixels[3 * i], mask[i] && !is_inside ? 255 : 9, "at %d,%d", y, x);
    }
    cr_assert_eq(diffad_mask_render(mask, 7, 7, &shown), DIFFAD_OK);
    for (int i = 0; i < 49; i++)
        cr_expect_eq(shown.pixels[i], mask[i] ? 255 : 0);
    diffad_image_release(&image);
    diffad_image_release(&shown);
}

/* ---- TIFF ---- */

static uint32_t le(const unsigned char *p, int bytes)
{
    uint32_t v = 0;
    for (int i = bytes; i-- > 0;)
        v = v << 8 | p[i];
    return v;
}

/* The value of a tag of the first directory, ~0 where it is missing. */
static uint32_t tag_of(const unsigned char *file, uint32_t tag)
{
    const unsigned char *directory = file + le(file + 4, 4);
    uint32_t             before = 0;
    for (uint32_t i = 0; i < le(directory, 2); i++) {
        const unsigned char *entry = directory + 2 + 12 * i;
        cr_assert_gt(le(entry, 2), before, "tags must rise");
        before = le(entry, 2);
        if (before == tag)
            return le(entry + 8, le(entry + 2, 2) == 3 ? 2 : 4);
    }
    return ~0u;
}

Test(tiff, holds_the_floats_bit_for_bit_as_one_strip)
{
    char           path[64];
    float          map[37 * 41];
    unsigned char *file;
    int64_t        bytes;
    snprintf(path, sizeof path, "/tmp/diffad-tiff-%d.tiff", (int)getpid());
    fill(map, 37 * 41, 5, -1, 1);
    map[3] = -0.0f, map[4] = INFINITY;
    cr_assert_eq(diffad_map_save_tiff(path, map, 37, 41), DIFFAD_OK);
    cr_assert_eq(diffad_file_read(path, 1 << 20, DIFFAD_ERR_DATA, &file, &bytes), DIFFAD_OK);

    cr_expect_eq(memcmp(file, "II*\0", 4), 0);
    cr_expect(tag_of(file, 256) == 41 && tag_of(file, 257) == 37 && tag_of(file, 278) == 37);
    cr_expect(tag_of(file, 258) == 32 && tag_of(file, 339) == 3 && tag_of(file, 277) == 1 && tag_of(file, 259) == 1);
    cr_assert_eq(tag_of(file, 279), sizeof map);
    cr_assert_eq(tag_of(file, 273) + sizeof map, (size_t)bytes);
    cr_expect_eq(memcmp(file + tag_of(file, 273), map, sizeof map), 0);
    diffad_release(file);
    unlink(path);
}

static long full_disk(int fd, const void *from, size_t bytes) { (void)fd; (void)from; (void)bytes; return -1; }

Test(tiff, leaves_the_old_file_when_the_disk_is_full)
{
    char           path[64];
    const float    old = 1, new = 2;
    unsigned char *file;
    int64_t        bytes;
    snprintf(path, sizeof path, "/tmp/diffad-tiff-full-%d.tiff", (int)getpid());
    cr_assert_eq(diffad_map_save_tiff(path, &old, 1, 1), DIFFAD_OK);
    const diffad_sys_table kept = diffad_sys;
    diffad_sys.write = full_disk;
    cr_expect_eq(diffad_map_save_tiff(path, &new, 1, 1), DIFFAD_ERR_FILE);
    diffad_sys = kept;
    cr_assert_eq(diffad_file_read(path, 1 << 20, DIFFAD_ERR_DATA, &file, &bytes), DIFFAD_OK);

    cr_expect_eq(memcmp(file + tag_of(file, 273), &old, sizeof old), 0);
    diffad_release(file);
    unlink(path);
}

Test(row, pictures_stand_side_by_side_with_white_between)
{
    uint8_t            grey[] = { 10, 20 }, colour[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13 };
    const diffad_image a = { 1, 2, 1, grey }, b = { 2, 2, 3, colour };
    const diffad_image *const both[] = { &a, &b };
    const uint8_t      want[] = { 10, 10, 10, 255, 255, 255, 1, 2, 3, 4,  5,  6,
                                  20, 20, 20, 255, 255, 255, 7, 8, 9, 11, 12, 13 };
    diffad_image       row;

    cr_assert_eq(diffad_picture_row(both, 2, 1, &row), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect(row.width == 4 && row.height == 2 && row.channels == 3);
    cr_expect_arr_eq(row.pixels, want, sizeof want);
    diffad_image_release(&row);
}

Test(row, refuses_pictures_of_different_heights)
{
    uint8_t            grey[] = { 10, 20 };
    const diffad_image a = { 1, 2, 1, grey }, b = { 2, 1, 1, grey };
    const diffad_image *const both[] = { &a, &b };
    diffad_image       row = { 0 };

    cr_expect_eq(diffad_picture_row(both, 2, 1, &row), DIFFAD_ERR_SHAPE);
    cr_expect_eq(diffad_picture_row(both, 0, 1, &row), DIFFAD_ERR_SHAPE);
    cr_expect_null(row.pixels);
}
