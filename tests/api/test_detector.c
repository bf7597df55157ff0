/* test_detector.c: detectors of several pictures at a time (src/api/detector.c). */
#include "diffad/detect.h"
#include "support/dev.h"

#include <criterion/criterion.h>

enum { PICTURES = 3, PIXELS = 64 * 32, VALUES = 3 * PIXELS };

static diffad_detector *open_detector(diffad_device *dev, const char *model, int batch)
{
    static const char *const      sets[] = { "image_size=[64, 32]", NULL };
    const diffad_detector_options o = { .batch = batch, .sets = sets };
    diffad_detector              *d = NULL;
    cr_assert_eq(diffad_detector_random(dev, model, "tiny", &o, &d), DIFFAD_OK, "%s", diffad_error_detail());
    return d;
}

static void expect_equal(const char *model)
{
    static float     planes[PICTURES * VALUES];
    diffad_device   *dev = dev_new();
    diffad_detector *one = open_detector(dev, model, 0), *all = open_detector(dev, model, PICTURES);
    diffad_detection alone, together[PICTURES];
    for (int i = 0; i < PICTURES * VALUES; i++)
        planes[i] = (float)(i * 7919 % 1009) / 1009;
    cr_expect_eq(diffad_detector_info_of(all)->batch, PICTURES);
    cr_assert_eq(diffad_detector_planes(all, planes, together), DIFFAD_OK, "%s", diffad_error_detail());
    for (int i = 0; i < PICTURES; i++) {
        cr_assert_eq(diffad_detector_planes(one, planes + i * VALUES, &alone), DIFFAD_OK, "%s", diffad_error_detail());

        cr_expect_eq(together[i].score, alone.score, "%s, picture %d: expected %.9g got %.9g", model, i, alone.score, together[i].score);
        cr_expect_arr_eq(together[i].map, alone.map, PIXELS * sizeof(float), "%s, picture %d", model, i);
        cr_expect_arr_eq(together[i].reconstruction, alone.reconstruction, VALUES * sizeof(float), "%s, picture %d", model, i);
        cr_expect_arr_eq(together[i].input, planes + i * VALUES, VALUES * sizeof(float));
    }
    cr_expect_eq(diffad_detector_picture(all, "any.png", &alone), DIFFAD_ERR_USAGE);
    diffad_detector_close(one);
    diffad_detector_close(all);
    dev_done(dev);
}

Test(detector, a_picture_gets_the_same_bits_in_a_batch_as_alone, .timeout = 300)
{
    expect_equal("diffad");
    expect_equal("draem");
}
