/* image_write.c: PNG out, through libspng, or with zlib alone where a build has no libspng. */
#include "data/image_internal.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#ifdef DIFFAD_HAVE_SPNG

#include <spng.h>

diffad_status diffad_image_encode_png(const diffad_image *image, unsigned char **data, int64_t *bytes)
{
    const size_t raw = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
    struct spng_ihdr ihdr = { .width = (uint32_t)image->width,
                              .height = (uint32_t)image->height,
                              .bit_depth = 8,
                              .color_type = image->channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE
                                                                 : SPNG_COLOR_TYPE_TRUECOLOR };
    size_t size = 0;
    void *png = NULL;
    unsigned char *copy = NULL;
    spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
    int error = ctx ? spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1) : SPNG_EMEM;
    if (!error)
        error = spng_set_ihdr(ctx, &ihdr);
    if (!error)
        error = spng_encode_image(ctx, image->pixels, raw, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (!error)
        png = spng_get_png_buffer(ctx, &size, &error);
    if (!error && !(copy = diffad_alloc(size)))
        error = SPNG_EMEM;
    if (!error)
        memcpy(copy, png, size);
    free(png);                             /* libspng's own allocation */
    spng_ctx_free(ctx);
    if (error)
        DIFFAD_FAIL(error == SPNG_EMEM ? DIFFAD_ERR_MEMORY : DIFFAD_ERR_INTERNAL,
                    "a PNG of %d x %d pixels cannot be encoded: %s", image->width, image->height,
                    spng_strerror(error));
    *data = copy;
    *bytes = (int64_t)size;
    return DIFFAD_OK;
}

#else

static void put32(unsigned char *p, uint64_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* The chunk's data is already in place, 8 bytes behind `chunk`; returns where the next one begins. */
static unsigned char *seal_chunk(unsigned char *chunk, const char *type, size_t length)
{
    put32(chunk, length);
    memcpy(chunk + 4, type, 4);
    put32(chunk + 8 + length, crc32_z(0, chunk + 4, length + 4));
    return chunk + 12 + length;
}

/* Lines with filter 2 (difference to the line above), which suits photographs and masks alike. */
static void filter_lines(const diffad_image *image, unsigned char *to)
{
    const size_t line = (size_t)image->width * (size_t)image->channels;
    for (size_t y = 0; y < (size_t)image->height; y++) {
        const uint8_t *p = image->pixels + y * line;
        *to++ = 2;
        for (size_t i = 0; i < line; i++)
            *to++ = (unsigned char)(p[i] - (y ? p[i - line] : 0));
    }
}

diffad_status diffad_image_encode_png(const diffad_image *image, unsigned char **data, int64_t *bytes)
{
    const size_t raw = ((size_t)image->width * (size_t)image->channels + 1) * (size_t)image->height;
    uLongf packed = compressBound((uLong)raw);
    unsigned char *lines = diffad_alloc(raw);
    unsigned char *png = diffad_alloc(8 + 25 + 12 + packed + 12);
    if (!lines || !png) {
        diffad_release(lines);
        diffad_release(png);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for a PNG of %d x %d pixels", image->width, image->height);
    }
    filter_lines(image, lines);
    memcpy(png, "\x89PNG\r\n\x1a\n", 8);
    unsigned char *at = png + 8;
    put32(at + 8, (uint64_t)image->width);
    put32(at + 12, (uint64_t)image->height);
    memcpy(at + 16, image->channels == 1 ? "\x08\0\0\0" : "\x08\2\0\0", 5);
    at = seal_chunk(at, "IHDR", 13);
    const int error = compress2(at + 8, &packed, lines, (uLong)raw, 6);
    diffad_release(lines);
    if (error != Z_OK) {
        diffad_release(png);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for compressing a PNG of %d x %d pixels", image->width,
                    image->height);
    }
    at = seal_chunk(at, "IDAT", packed);
    at = seal_chunk(at, "IEND", 0);
    *data = png;
    *bytes = at - png;
    return DIFFAD_OK;
}

#endif

diffad_status diffad_image_save_png(const char *path, const diffad_image *image)
{
    unsigned char *data = NULL;
    int64_t bytes = 0;
    DIFFAD_TRY(diffad_image_encode_png(image, &data, &bytes));
    const diffad_status st = diffad_file_write(path, data, bytes);
    diffad_release(data);
    return st;
}
