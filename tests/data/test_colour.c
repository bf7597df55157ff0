/* test_colour.c: colour spaces in OpenCV's scaling. */
#include "data/augment.h"
#include "data/files.h"

static const struct {
    diffad_space space;
    const char *name;
    uint8_t red[3], green[3], white[3], dusk[3];
} known[] = {
    /* As cv2.cvtColor gives them for (255,0,0), (0,255,0), (255,255,255), (90,60,120). */
    { DIFFAD_SPACE_YCRCB, "YCrCb", { 76, 255, 85 }, { 150, 21, 43 }, { 255, 128, 128 }, { 76, 138, 153 } },
    { DIFFAD_SPACE_HSV, "HSV", { 0, 255, 255 }, { 60, 255, 255 }, { 0, 0, 255 }, { 135, 128, 120 } },
    { DIFFAD_SPACE_HLS, "HLS", { 0, 128, 255 }, { 60, 128, 255 }, { 0, 255, 0 }, { 135, 90, 85 } },
    { DIFFAD_SPACE_LAB, "Lab", { 136, 208, 195 }, { 224, 42, 211 }, { 255, 128, 128 }, { 80, 154, 99 } },
    { DIFFAD_SPACE_LUV, "Luv", { 135, 222, 173 }, { 223, 37, 241 }, { 255, 96, 136 }, { 79, 103, 96 } },
    { DIFFAD_SPACE_YUV, "YUV", { 76, 91, 255 }, { 150, 54, 0 }, { 255, 128, 128 }, { 76, 150, 140 } },
};

Test(colour, known_colours_have_their_known_values)
{
    for (int s = 0; s < 6; s++) {
        uint8_t p[12] = { 255, 0, 0, 0, 255, 0, 255, 255, 255, 90, 60, 120 };
        diffad_colour_to(known[s].space, p, 4);
        const uint8_t *want[4] = { known[s].red, known[s].green, known[s].white, known[s].dusk };
        for (int i = 0; i < 12; i++)
            cr_expect_float_eq(p[i], want[i / 3][i % 3], 1.01, "%s: expected %d got %d at %d", known[s].name,
                               want[i / 3][i % 3], p[i], i);
    }
}

Test(colour, there_and_back_stays_near)
{
    static const int bound[] = {
        3, 4, 5, 6, 9, 3
    }; /* chroma has few levels; strong colours would be clipped */
    for (int s = 0; s < 6; s++) {
        uint8_t in[512 * 3], p[512 * 3];
        long sum = 0;
        for (int i = 0; i < 512; i++) {
            in[3 * i] = (uint8_t)(60 + (i & 7) * 18);
            in[3 * i + 1] = (uint8_t)(60 + (i >> 3 & 7) * 18);
            in[3 * i + 2] = (uint8_t)(60 + (i >> 6) * 18);
        }
        memcpy(p, in, sizeof in);
        diffad_colour_to(known[s].space, p, 512);
        diffad_colour_from(known[s].space, p, 512);
        for (int i = 0; i < 512 * 3; i++) {
            cr_expect_leq(abs(p[i] - in[i]), bound[s], "%s: %d became %d at %d", known[s].name, in[i], p[i], i);
            sum += abs(p[i] - in[i]);
        }
        cr_expect_leq(sum, 2 * 512 * 3, "%s: mean difference %g", known[s].name, (double)sum / (512 * 3));
    }
}
