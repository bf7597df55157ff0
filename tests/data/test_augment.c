/* test_augment.c: each augmenter against values derived by hand from its definition. */
#include "data/augment.h"
#include "data/files.h"

static uint8_t front[16 * 16 * 3], back[16 * 16 * 3];

/* A canvas whose three channels all hold `values`. */
static diffad_canvas grey_canvas(int w, int h, const uint8_t *values)
{
    for (int i = 0; i < w * h; i++)
        memset(front + 3 * i, values[i], 3);
    return (diffad_canvas){ .w = w, .h = h, .pixels = front, .spare = back };
}

static void expect_grey(const diffad_canvas *c, const uint8_t *want)
{
    for (int i = 0; i < c->w * c->h; i++)
        for (int k = 0; k < 3; k++)
            cr_expect_eq(c->pixels[3 * i + k], want[i], "expected %d got %d at pixel %d channel %d", want[i],
                         c->pixels[3 * i + k], i, k);
}

Test(augment, gamma_is_a_power_of_each_channel_cut_to_an_integer)
{
    diffad_canvas c = grey_canvas(4, 1, (uint8_t[]){ 0, 64, 128, 255 });

    diffad_augment_gamma(&c, (float[]){ 2, 1, 0.5f });

    /* 255 (64/255)^2 = 16.06, (128/255)^2 = 64.25; roots 127.75 and 180.67 */
    static const uint8_t want[4][3] = { { 0, 0, 0 }, { 16, 64, 127 }, { 64, 128, 180 }, { 255, 255, 255 } };
    cr_expect_arr_eq(c.pixels, want, sizeof want);
}

Test(augment, brightness_of_grey_is_scaled_and_shifted_in_the_given_order)
{
    static const diffad_space exact[] = { DIFFAD_SPACE_YCRCB, DIFFAD_SPACE_HSV, DIFFAD_SPACE_HLS,
                                          DIFFAD_SPACE_YUV };
    for (int s = 0; s < 4; s++) {
        diffad_canvas c = grey_canvas(4, 1, (uint8_t[]){ 0, 100, 200, 250 });
        diffad_augment_brightness(&c, exact[s], 1.2f, 10, false);
        expect_grey(&c, (uint8_t[]){ 10, 130, 250, 255 });          /* 120 + 10, 240 + 10, 255 + 10 */

        c = grey_canvas(4, 1, (uint8_t[]){ 0, 100, 200, 250 });
        diffad_augment_brightness(&c, exact[s], 0.5f, -30, true);
        expect_grey(&c, (uint8_t[]){ 0, 35, 85, 110 });
    }
}

Test(augment, brightness_in_lab_and_luv_keeps_grey_grey)
{
    for (int s = DIFFAD_SPACE_LAB; s <= DIFFAD_SPACE_LUV; s++) {
        diffad_canvas c = grey_canvas(3, 1, (uint8_t[]){ 40, 128, 220 });
        diffad_augment_brightness(&c, (diffad_space)s, 1, 0, false);
        for (int i = 0; i < 9; i++)
            cr_expect_float_eq(c.pixels[i], ((int[]){ 40, 128, 220 })[i / 3], 2.01, "space %d at %d: %d", s, i,
                               c.pixels[i]);
    }
}

Test(augment, sharpness_goes_from_smooth_over_the_same_to_sharper)
{
    static const uint8_t dot[9] = { 10, 10, 10, 10, 140, 10, 10, 10, 10 };      /* smooth: (80 + 700) / 13 = 60 */
    diffad_canvas c = grey_canvas(3, 3, dot);
    diffad_augment_sharpness(&c, 0);
    cr_expect_eq(c.pixels[12], 60);
    cr_expect_eq(c.pixels[0], 10);

    c = grey_canvas(3, 3, dot);
    diffad_augment_sharpness(&c, 1);
    expect_grey(&c, dot);

    c = grey_canvas(3, 3, dot);
    diffad_augment_sharpness(&c, 2);
    cr_expect_eq(c.pixels[12], 220);
}

Test(augment, hue_turns_on_a_circle_and_saturation_is_clipped)
{
    diffad_canvas c = grey_canvas(1, 1, (uint8_t[]){ 0 });
    memcpy(c.pixels, (uint8_t[]){ 255, 0, 0 }, 3);

    diffad_augment_hue_saturation(&c, 43,
                                  50); /* 43 / 255 * 180 = 30.35: 30 steps of 2 degrees, red to yellow */
    cr_expect_arr_eq(c.pixels, ((uint8_t[]){ 255, 255, 0 }), 3);
    diffad_augment_hue_saturation(&c, -43, -50);    /* back, and saturation 205: 255 (1 - 205/255) = 50 */
    cr_expect_arr_eq(c.pixels, ((uint8_t[]){ 255, 50, 50 }), 3);
    memcpy(c.pixels, (uint8_t[]){ 255, 0, 0 }, 3);
    diffad_augment_hue_saturation(&c, -43, 0);      /* below 0: 180 - 30, magenta */
    cr_expect_arr_eq(c.pixels, ((uint8_t[]){ 255, 0, 255 }), 3);
}

Test(augment, solarise_posterise_and_invert_are_tables)
{
    static const uint8_t in[4] = { 0, 99, 100, 255 };
    diffad_canvas c = grey_canvas(4, 1, in);
    diffad_augment_solarize(&c, 100);
    expect_grey(&c, (uint8_t[]){ 0, 99, 155, 0 });

    c = grey_canvas(4, 1, in);
    diffad_augment_posterize(&c, 3);
    expect_grey(&c, (uint8_t[]){ 0, 96, 96, 224 });
    c = grey_canvas(4, 1, in);
    diffad_augment_posterize(&c, 8);
    expect_grey(&c, in);

    c = grey_canvas(4, 1, in);
    diffad_augment_invert(&c);
    expect_grey(&c, (uint8_t[]){ 255, 156, 155, 0 });
}

Test(augment, autocontrast_stretches_what_the_cutoff_leaves)
{
    static const uint8_t in[10] = { 50, 100, 100, 100, 100, 150, 150, 150, 150, 250 };
    diffad_canvas c = grey_canvas(10, 1, in);
    diffad_augment_autocontrast(&c, 0); /* 50..250: (100 - 50) 255/200 = 63.75, (150 - 50) 255/200 = 127.5 */
    expect_grey(&c, (uint8_t[]){ 0, 63, 63, 63, 63, 127, 127, 127, 127, 255 });

    c = grey_canvas(10, 1, in);
    diffad_augment_autocontrast(&c, 10);            /* one sample at each end goes: 100..150 */
    expect_grey(&c, (uint8_t[]){ 0, 0, 0, 0, 0, 255, 255, 255, 255, 255 });

    c = grey_canvas(2, 1, (uint8_t[]){ 7, 7 });
    diffad_augment_autocontrast(&c, 0);
    expect_grey(&c, (uint8_t[]){ 7, 7 });
}

/* 16x16: 255 samples of 10, one of 20: step 256/255 = 1, so that 20 becomes min(255, 0 + 255) and 10 becomes 0. */
Test(augment, equalize_spreads_by_the_count_of_darker_samples)
{
    uint8_t in[256];
    memset(in, 10, sizeof in);
    in[77] = 20;
    diffad_canvas c = grey_canvas(16, 16, in);

    diffad_augment_equalize(&c);

    for (int i = 0; i < 256; i++)
        cr_assert_eq(c.pixels[3 * i], i == 77 ? 255 : 0, "at %d: %d", i, c.pixels[3 * i]);
    c = grey_canvas(4, 1, (uint8_t[]){ 1, 2, 3, 4 });      /* too few samples for a step: unchanged */
    diffad_augment_equalize(&c);
    expect_grey(&c, (uint8_t[]){ 1, 2, 3, 4 });
}

Test(augment, rotation_brings_black_corners)
{
    uint8_t in[64];
    memset(in, 200, sizeof in);
    diffad_canvas c = grey_canvas(8, 8, in);

    diffad_augment_rotate(&c, 45);

    cr_expect_eq(c.pixels[0], 0);
    cr_expect_eq(c.pixels[3 * 27], 200);
}

Test(augment, a_draw_depends_on_its_stream_alone)
{
    uint8_t first[8 * 8 * 3], in[64];
    for (int i = 0; i < 64; i++)
        in[i] = (uint8_t)(i * 4);
    int different = 0;
    for (uint32_t s = 0; s < 20; s++)
        for (int again = 0; again < 2; again++) {
            diffad_rng r = diffad_rng_make(5, DIFFAD_RNG_AUGMENT, 0, s);
            diffad_canvas c = grey_canvas(8, 8, in);
            diffad_augment_draw(&c, &r);
            if (again)
                cr_assert_arr_eq(c.pixels, first, sizeof first);
            else {
                different += s > 0 && memcmp(first, c.pixels, sizeof first) != 0;
                memcpy(first, c.pixels, sizeof first);
            }
        }
    cr_expect_geq(different, 17);
}
