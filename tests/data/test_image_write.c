/* test_image_write.c: PNG out and in again. */
#include "data/files.h"

Test(image_write, what_is_written_is_read_again)
{
    for (int channels = 1; channels <= 3; channels += 2) {
        diffad_image image, again;
        const char *path = joined(temporary(), channels == 1 ? "grey.png" : "rgb.png");
        MUST(diffad_image_create(37, 21, channels, &image));
        for (int i = 0; i < 37 * 21 * channels; i++)
            image.pixels[i] = (uint8_t)(i * 7919 >> 3);

        MUST(diffad_image_save_png(path, &image));
        MUST(diffad_image_load(path, 0, NULL, &again));

        cr_assert(again.width == 37 && again.height == 21 && again.channels == channels);
        cr_expect_eq(memcmp(image.pixels, again.pixels, (size_t)(37 * 21 * channels)), 0);
        diffad_image_release(&image);
        diffad_image_release(&again);
    }
}

Test(image_write, a_folder_that_does_not_exist_is_an_error_of_the_file_system)
{
    diffad_image image;
    MUST(diffad_image_create(2, 2, 1, &image));

    cr_expect_eq(diffad_image_save_png("/nowhere/at/all.png", &image), DIFFAD_ERR_FILE);

    diffad_image_release(&image);
}
