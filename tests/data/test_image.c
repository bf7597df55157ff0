/* test_image.c: reading PNG, JPEG and BMP of every kind. */
#include "data/files.h"
#include "data/images/expected.h"

#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

/* Decoders of JPEG may round differently. */
static int tolerance(const char *name) { return strstr(name, ".jpg") ? 3 : 0; }

Test(image, every_kind_of_file_gives_the_expected_pixels)
{
    for (int i = 0; i < COUNT(expected); i++) {
        const struct expected *e = &expected[i];
        uint8_t want[24 * 24 * 3];
        diffad_image image;

        MUST(diffad_image_load(joined(test_file("images"), e->name), 0, NULL, &image));

        from_hex(e->hex, want);
        cr_assert(image.width == e->width && image.height == e->height && image.channels == e->channels,
                  "%s: %d x %d x %d", e->name, image.width, image.height, image.channels);
        for (int k = 0; k < e->width * e->height * e->channels; k++)
            cr_assert_leq(abs(image.pixels[k] - want[k]), tolerance(e->name), "%s: expected %d got %d at %d",
                          e->name, want[k], image.pixels[k], k);
        diffad_image_release(&image);
    }
}

Test(image, grey_becomes_three_equal_channels_on_request)
{
    diffad_image grey, rgb;

    MUST(diffad_image_load(test_file("images/grey8.png"), 0, NULL, &grey));
    MUST(diffad_image_load(test_file("images/grey8.png"), 3, NULL, &rgb));

    cr_assert_eq(rgb.channels, 3);
    for (int i = 0; i < grey.width * grey.height; i++)
        for (int k = 0; k < 3; k++)
            cr_assert_eq(rgb.pixels[3 * i + k], grey.pixels[i]);
    diffad_image_release(&grey);
    diffad_image_release(&rgb);
}

Test(image, colour_becomes_luma_on_request)
{
    diffad_image rgb, grey;

    MUST(diffad_image_load(test_file("images/rgb8.png"), 3, NULL, &rgb));
    MUST(diffad_image_load(test_file("images/rgb8.png"), 1, NULL, &grey));

    cr_assert_eq(grey.channels, 1);
    for (int i = 0; i < grey.width * grey.height; i++) {
        const uint8_t *p = rgb.pixels + 3 * i;
        const double luma = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
        cr_assert_float_eq(grey.pixels[i], luma, 0.51, "expected %g got %d at %d", luma, grey.pixels[i], i);
    }
    diffad_image_release(&rgb);
    diffad_image_release(&grey);
}

Test(image, type_is_read_from_the_content_not_from_the_name)
{
    size_t bytes = 0;
    unsigned char *data = slurp(test_file("images/baseline.jpg"), &bytes);
    const char *path = joined(temporary(), "lies.png");
    diffad_image image;

    spill(path, data, bytes);
    MUST(diffad_image_load(path, 0, NULL, &image));

    cr_expect_eq(image.width, 24);
    diffad_image_release(&image);
    diffad_release(data);
}

Test(image, bytes_behind_the_end_of_a_png_are_ignored)
{
    size_t bytes = 0;
    unsigned char *data = slurp(test_file("images/rgb8.png"), &bytes);
    unsigned char *longer = calloc(1, bytes + 100);
    diffad_image image;

    memcpy(longer, data, bytes);
    MUST(diffad_image_parse("longer", longer, bytes + 100, 0, NULL, &image));

    diffad_image_release(&image);
    free(longer);
    diffad_release(data);
}

Test(image, photographs_load)
{
    diffad_image photo, texture;

    MUST(diffad_image_load(test_file("ballscrew/train/good/000.jpg"), 3, NULL, &photo));
    MUST(diffad_image_load(test_file("textures/015_skimage_brick.jpg"), 0, NULL, &texture));

    cr_expect(photo.width == 256 && photo.height == 256 && photo.channels == 3);
    cr_expect_eq(texture.channels, 1);
    diffad_image_release(&photo);
    diffad_image_release(&texture);
}

Test(image, missing_files_and_wrong_requests_are_refused)
{
    diffad_image image = { 0 };

    cr_expect_neq(diffad_image_load("/nowhere/x.png", 0, NULL, &image), DIFFAD_OK);
    SAYS("/nowhere/x.png");
    cr_expect_eq(diffad_image_load(test_file("images/rgb8.png"), 2, NULL, &image), DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_image_create(0, 4, 3, &image), DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_image_create(4, 4, 2, &image), DIFFAD_ERR_USAGE);
    cr_expect_null(image.pixels);
}
