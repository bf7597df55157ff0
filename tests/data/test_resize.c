/* test_resize.c: the fixed-point bilinear resize. */
#include "data/files.h"
#include "data/images/expected.h"

Test(resize, equals_opencv_bit_for_bit)
{
    diffad_image image, small;
    MUST(diffad_image_load(test_file("images/rgb8.png"), 3, NULL, &image));

    for (size_t i = 0; i < sizeof resized / sizeof *resized; i++) {
        uint8_t want[22 * 16 * 3];
        from_hex(resized[i].hex, want);
        MUST(diffad_image_resize(&image, resized[i].width, resized[i].height, &small));
        for (int k = 0; k < resized[i].width * resized[i].height * 3; k++)
            cr_assert_eq(small.pixels[k], want[k], "%d x %d: expected %d got %d at %d", resized[i].width,
                         resized[i].height, want[k], small.pixels[k], k);
        diffad_image_release(&small);
    }
    diffad_image_release(&image);
}

Test(resize, one_channel_equals_each_of_three_equal_ones)
{
    diffad_image grey, rgb, small_grey, small_rgb;
    MUST(diffad_image_load(test_file("images/grey8.png"), 1, NULL, &grey));
    MUST(diffad_image_load(test_file("images/grey8.png"), 3, NULL, &rgb));

    MUST(diffad_image_resize(&grey, 17, 5, &small_grey));
    MUST(diffad_image_resize(&rgb, 17, 5, &small_rgb));

    for (int i = 0; i < 17 * 5; i++)
        cr_assert_eq(small_rgb.pixels[3 * i + 1], small_grey.pixels[i]);
    diffad_image_release(&grey);
    diffad_image_release(&rgb);
    diffad_image_release(&small_grey);
    diffad_image_release(&small_rgb);
}

Test(resize, halving_is_the_mean_of_four)
{
    diffad_image image, half;
    MUST(diffad_image_create(4, 2, 1, &image));
    memcpy(image.pixels, (uint8_t[]){ 0, 10, 200, 201, 20, 30, 202, 255 }, 8);

    MUST(diffad_image_resize(&image, 2, 1, &half));

    cr_expect_eq(half.pixels[0], 15);
    cr_expect_eq(half.pixels[1], 215);      /* 858 / 4 = 214.5 */
    diffad_image_release(&image);
    diffad_image_release(&half);
}
