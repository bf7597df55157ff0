/* test_perlin.c: noise, rotation, threshold and blend of simulated anomalies. */
#include "data/anomaly.h"
#include "data/anomaly_fixture.h"
#include "data/files.h"

#include <math.h>

enum { SIDE = FIXTURE_SIDE, PIXELS = SIDE * SIDE };

Test(perlin, noise_equals_the_independent_one)
{
    float noise[PIXELS];

    diffad_perlin(fixture_angles, FIXTURE_RY, FIXTURE_RX, SIDE, SIDE, noise);

    for (int i = 0; i < PIXELS; i++)
        cr_assert_float_eq(noise[i], fixture_noise[i], 2e-6, "expected %g got %g at %d", fixture_noise[i],
                           noise[i], i);
}

Test(perlin, rotation_equals_the_independent_one)
{
    float rotated[PIXELS];

    diffad_rotate(fixture_noise, SIDE, SIDE, 1, fixture_degrees, rotated);

    for (int i = 0; i < PIXELS; i++)
        cr_assert_float_eq(rotated[i], fixture_rotated[i], 2e-6, "expected %g got %g at %d", fixture_rotated[i],
                           rotated[i], i);
}

/* One cell of 2x2 pixels: at (row 1, column 0), down = 0.5, right = 0, so that only the two left corners count. */
Test(perlin, the_axis_of_rows_goes_with_the_cosine)
{
    const float quarter = 1.57079637f;
    float noise[4];

    diffad_perlin((float[]){ 0, 0, 0, 0 }, 1, 1, 2, 2, noise);
    cr_expect_float_eq(noise[0], 0, 1e-7);
    cr_expect_float_eq(noise[2], sqrt(2) * 0.5 * (0.5 + -0.5),
                       1e-6); /* cos 0 * 0.5 above, cos 0 * -0.5 below, fade 1/2 */
    diffad_perlin((float[]){ 0, 0, quarter, quarter }, 1, 1, 2, 2, noise);
    cr_expect_float_eq(noise[2], sqrt(2) * 0.5 * 0.5, 1e-6); /* below: sin only, and the column offset is 0 */
    diffad_perlin((float[]){ quarter, 0, 0, 0 }, 1, 1, 2, 2, noise);
    cr_expect_float_eq(noise[1], sqrt(2) * 0.5 * 0.5,
                       1e-6); /* one pixel right: sin * 0.5 on the left, 0 on the right */
}

Test(perlin, quarter_turns_move_pixels_exactly)
{
    const float in[4] = { 1, 2, 3, 4 };
    float out[4];
    uint8_t small[4];

    diffad_rotate(in, 2, 2, 1, 90, out);
    for (int i = 0; i < 4; i++)
        cr_expect_float_eq(out[i], ((float[]){ 3, 1, 4, 2 })[i], 1e-6, "at %d: %g", i, out[i]);
    diffad_rotate_u8((uint8_t[]){ 1, 2, 3, 4 }, 2, 2, 1, -90, small);
    cr_expect_arr_eq(small, ((uint8_t[]){ 2, 4, 1, 3 }), 4);
    diffad_rotate(in, 2, 2, 1, 0, out);
    cr_expect_arr_eq(out, in, sizeof in);
}

Test(perlin, what_lies_outside_is_zero)
{
    float in[64], out[64];
    for (int i = 0; i < 64; i++)
        in[i] = 1;

    diffad_rotate(in, 8, 8, 1, 45, out);

    cr_expect_eq(out[0], 0);
    cr_expect_eq(out[63], 0);
    cr_expect_float_eq(out[27], 1, 1e-6);
}

Test(perlin, eight_bit_rotation_rounds_the_exact_one)
{
    uint8_t in[16 * 12 * 3], out[16 * 12 * 3];
    float exact_in[16 * 12 * 3], exact[16 * 12 * 3];
    for (int i = 0; i < 16 * 12 * 3; i++)
        exact_in[i] = in[i] = (uint8_t)(i * 2654435761u >> 24);

    diffad_rotate_u8(in, 12, 16, 3, 27.5, out);
    diffad_rotate(exact_in, 12, 16, 3, 27.5, exact);

    for (int i = 0; i < 16 * 12 * 3; i++)
        cr_expect_float_eq(out[i], exact[i], 0.5001, "at %d", i);
}

Test(perlin, the_threshold_is_exclusive)
{
    uint8_t mask[3];

    cr_expect(diffad_threshold((float[]){ 0.5f, 0.50001f, -1 }, 1, 3, mask));
    cr_expect_arr_eq(mask, ((uint8_t[]){ 0, 1, 0 }), 3);
    cr_expect_not(diffad_threshold((float[]){ 0.5f, 0, 0 }, 1, 3, mask));
}

Test(perlin, blending_mixes_only_under_the_mask)
{
    float out[4];

    diffad_blend((float[]){ 0.2f, 0.4f, 0.2f, 0.4f }, (float[]){ 1, 0, 1, 0 }, (uint8_t[]){ 0, 1 }, 1, 2, 2,
                 0.25f, out);

    cr_expect_eq(out[0], 0.2f);
    cr_expect_eq(out[1], 0.4f);
    cr_expect_float_eq(out[2], 0.75 * 1 + 0.25 * 0.2, 1e-6);
    cr_expect_float_eq(out[3], 0.25 * 0.4, 1e-6);
}

Test(perlin, cell_counts_divide_the_side_and_all_of_them_occur)
{
    static const struct {
        int side, counts;
    } cases[] = { { 256, 6 }, { 128, 6 }, { 32, 5 }, { 96, 6 }, { 100, 3 }, { 7, 1 }, { 1, 1 }, { 2, 1 } };
    diffad_rng r = diffad_rng_make(1, DIFFAD_RNG_TEST, 0, 0);
    for (int c = 0; c < 8; c++) {
        int seen = 0;
        for (int i = 0; i < 400; i++) {
            const int cells = diffad_perlin_cells(&r, cases[c].side);
            cr_assert_eq(cases[c].side % cells, 0);
            seen |= cells;
        }
        cr_expect_eq(seen, (1 << cases[c].counts) - 1, "side %d: counts %x", cases[c].side, (unsigned)seen);
    }
}
