/* image.c: 8-bit images in memory, and reading PNG, JPEG and BMP by their content.
 *
 * EXIF orientation is not applied: an image and its mask stay in the order of pixels that their files have. */
#include "data/image_internal.h"

#include "base/file.h"
#include "base/size.h"

#include <limits.h>
#include <string.h>

typedef diffad_status (*header_fn)(const diffad_image_source *s, diffad_image_header *out);
typedef diffad_status (*decode_fn)(const diffad_image_source *s, diffad_image *out);

static const struct kind {
    const char *magic;
    size_t      bytes;
    header_fn   header;
    decode_fn   decode;
} kinds[] = {
    { "\x89PNG\r\n\x1a\n", 8, diffad_png_header, diffad_png_decode },
    { "\xff\xd8\xff", 3, diffad_jpeg_header, diffad_jpeg_decode },
    { "BM", 2, diffad_bmp_header, diffad_bmp_decode },
};

static const struct kind *kind_of(const diffad_image_source *s)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (s->bytes >= kinds[i].bytes && memcmp(s->data, kinds[i].magic, kinds[i].bytes) == 0)
            return &kinds[i];
    return NULL;
}

static diffad_status fail_kind(const diffad_image_source *s)
{
    if (s->bytes == 0)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: the file is empty; it should be a PNG, JPEG or BMP image", s->origin);
    DIFFAD_FAIL(DIFFAD_ERR_DATA,
                "%s: not a PNG, JPEG or BMP image (its first bytes say so); convert or remove it", s->origin);
}

/* Replaces *image by itself with `channels` channels. */
static diffad_status to_channels(diffad_image *image, int channels)
{
    if (image->channels == channels)
        return DIFFAD_OK;
    diffad_image out;
    DIFFAD_TRY(diffad_image_create(image->width, image->height, channels, &out));
    const size_t pixels = (size_t)image->width * (size_t)image->height;
    const uint8_t *from = image->pixels;
    if (channels == 3)
        for (size_t i = 0; i < pixels; i++)
            memset(out.pixels + 3 * i, from[i], 3);
    else
        for (size_t i = 0; i < pixels; i++)
            out.pixels[i] = diffad_grey(from[3 * i], from[3 * i + 1], from[3 * i + 2]);
    diffad_image_release(image);
    *image = out;
    return DIFFAD_OK;
}

diffad_image_limits diffad_image_limits_default(void)
{
    return (diffad_image_limits){ .max_pixels = INT64_C(64) << 20, .max_file_bytes = INT64_C(256) << 20 };
}

diffad_status diffad_image_check_size(const diffad_image_source *s, uint64_t width, uint64_t height)
{
    if (width == 0 || height == 0 || width > INT_MAX / 4 || height > INT_MAX / 4)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: the header says %llu x %llu pixels, which is no image", s->origin,
                    (unsigned long long)width, (unsigned long long)height);
    if (width * height > (uint64_t)s->limits->max_pixels)
        DIFFAD_FAIL(DIFFAD_ERR_DATA,
                    "%s: %llu x %llu pixels are more than the limit of %lld; make the image smaller", s->origin,
                    (unsigned long long)width, (unsigned long long)height, (long long)s->limits->max_pixels);
    return DIFFAD_OK;
}

diffad_status diffad_image_create(int width, int height, int channels, diffad_image *out)
{
    if (width <= 0 || height <= 0 || (channels != 1 && channels != 3))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE,
                    "image of %d x %d pixels with %d channels: sides must be positive, channels 1 or 3", width,
                    height, channels);
    uint8_t *pixels = diffad_alloc_array((size_t)width * (size_t)height, (size_t)channels);
    if (!pixels)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for an image of %d x %d x %d bytes", width, height, channels);
    *out = (diffad_image){ .width = width, .height = height, .channels = channels, .pixels = pixels };
    return DIFFAD_OK;
}

void diffad_image_release(diffad_image *image)
{
    if (!image)
        return;
    diffad_release(image->pixels);
    *image = (diffad_image){ 0 };
}

void diffad_memory_release(void *p) { diffad_release(p); }

diffad_status diffad_image_parse(const char *origin, const void *data, size_t bytes, int channels,
                                 const diffad_image_limits *limits, diffad_image *out)
{
    if (channels != 0 && channels != 1 && channels != 3)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s: %d channels asked for; 0 (as in the file), 1 and 3 exist", origin,
                    channels);
    const diffad_image_limits defaults = diffad_image_limits_default();
    const diffad_image_source s = {
        .origin = origin, .data = data, .bytes = bytes, .limits = limits ? limits : &defaults
    };
    if (bytes > (uint64_t)s.limits->max_file_bytes)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: %zu bytes are more than the limit of %lld", origin, bytes,
                    (long long)s.limits->max_file_bytes);
    const struct kind *kind = kind_of(&s);
    if (!kind)
        return fail_kind(&s);

    diffad_image image = { 0 };
    DIFFAD_TRY(kind->decode(&s, &image));
    const diffad_status st = channels ? to_channels(&image, channels) : DIFFAD_OK;
    if (st != DIFFAD_OK) {
        diffad_image_release(&image);
        return st;
    }
    *out = image;
    return DIFFAD_OK;
}

diffad_status diffad_image_load(const char *path, int channels, const diffad_image_limits *limits,
                                diffad_image *out)
{
    const diffad_image_limits defaults = diffad_image_limits_default();
    if (!limits)
        limits = &defaults;
    unsigned char *data = NULL;
    int64_t bytes = 0;
    DIFFAD_TRY(diffad_file_read(path, limits->max_file_bytes, DIFFAD_ERR_DATA, &data, &bytes));
    const diffad_status st = diffad_image_parse(path, data, (size_t)bytes, channels, limits, out);
    diffad_release(data);
    return st;
}

diffad_status diffad_image_probe(const char *path, diffad_image_header *out)
{
    const diffad_image_limits limits = diffad_image_limits_default();
    unsigned char *data = NULL;
    int64_t bytes = 0;
    DIFFAD_TRY(diffad_file_read(path, limits.max_file_bytes, DIFFAD_ERR_DATA, &data, &bytes));
    const diffad_image_source s = { .origin = path, .data = data, .bytes = (size_t)bytes, .limits = &limits };
    const struct kind *kind = kind_of(&s);
    const diffad_status st = kind ? kind->header(&s, out) : fail_kind(&s);
    diffad_release(data);
    return st;
}
