/* test_texture.c: procedural textures. */
#include "data/texture.h"
#include "data/files.h"

Test(texture, textures_have_structure_and_differ)
{
    static uint8_t all[32][64 * 64 * 3];
    for (uint32_t i = 0; i < 32; i++) {
        diffad_rng r = diffad_rng_make(4, DIFFAD_RNG_DATASET, 0, i);
        diffad_texture_draw(&r, 64, 64, all[i]);
        double sum = 0, square = 0;
        for (int k = 0; k < 64 * 64 * 3; k++) {
            sum += all[i][k];
            square += (double)all[i][k] * all[i][k];
        }
        const double n = 64 * 64 * 3, variance = square / n - sum / n * (sum / n);
        cr_expect_gt(variance, 25, "texture %u is flat", i);
        for (uint32_t j = 0; j < i; j++)
            cr_expect_neq(memcmp(all[i], all[j], sizeof all[i]), 0, "textures %u and %u are equal", i, j);
    }
}

Test(texture, noise_is_smooth_and_stays_within_bounds)
{
    for (int i = 0; i < 2000; i++) {
        const float x = (float)i * 0.037f - 30, a = diffad_smooth_noise(8, x, 0.3f),
                    b = diffad_smooth_noise(8, x + 0.001f, 0.3f);
        const float f = diffad_fractal_noise(8, x, 0.3f, 4);
        cr_assert(a >= 0 && a <= 1 && f >= 0 && f <= 1);
        cr_assert_float_eq(a, b, 0.003);
    }
}
