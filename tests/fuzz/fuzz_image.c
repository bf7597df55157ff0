/* fuzz_image.c: any bytes as a PNG, JPEG or BMP; within small limits, so that memory and time stay small too. */
#include "diffad/data.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const diffad_image_limits limits = { .max_pixels = 1 << 20, .max_file_bytes = 1 << 20 };
    diffad_image image = { 0 };
    if (diffad_image_parse("fuzz", data, size, size % 2 ? 3 : 0, &limits, &image) != DIFFAD_OK) {
        if (image.pixels || !diffad_error_detail()[0])
            abort();
        return 0;
    }
    volatile unsigned sum = 0;
    for (int64_t i = 0; i < (int64_t)image.width * image.height * image.channels; i++)
        sum += image.pixels[i];
    diffad_image_release(&image);
    return 0;
}
