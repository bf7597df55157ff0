/* image_internal.h: what the decoders share. Each takes a whole file in memory and trusts none of it. */
#ifndef DIFFAD_IMAGE_INTERNAL_H
#define DIFFAD_IMAGE_INTERNAL_H

#include "base/fail.h"
#include "diffad/data.h"

#include <stddef.h>

typedef struct diffad_image_source {
    const char                *origin;     /* for messages */
    const unsigned char       *data;
    size_t                     bytes;
    const diffad_image_limits *limits;
} diffad_image_source;

typedef struct diffad_image_header {
    int width, height, channels;           /* channels: 1 or 3 */
} diffad_image_header;

/* A sane size within the pixel limit, or DATA. Sizes come from a file, hence unsigned and wide. */
diffad_status diffad_image_check_size(const diffad_image_source *s, uint64_t width, uint64_t height);

/* From the first bytes alone, without decoding; the size is within the limits afterwards. */
diffad_status diffad_png_header(const diffad_image_source *s, diffad_image_header *out);
diffad_status diffad_jpeg_header(const diffad_image_source *s, diffad_image_header *out);
diffad_status diffad_bmp_header(const diffad_image_source *s, diffad_image_header *out);

diffad_status diffad_png_decode(const diffad_image_source *s, diffad_image *out);
diffad_status diffad_jpeg_decode(const diffad_image_source *s, diffad_image *out);
diffad_status diffad_bmp_decode(const diffad_image_source *s, diffad_image *out);
/* stb_image with a zeroing allocator that may hold `expected` pixels four times over. */
diffad_status diffad_stb_decode(const diffad_image_source *s, const diffad_image_header *expected,
                                diffad_image *out);

/* The size of an image file from its header. */
diffad_status diffad_image_probe(const char *path, diffad_image_header *out);

/* Grey as OpenCV computes it: (9798 R + 19235 G + 3735 B + 2^14) >> 15. */
static inline uint8_t diffad_grey(unsigned r, unsigned g, unsigned b)
{
    return (uint8_t)((9798u * r + 19235u * g + 3735u * b + 16384u) >> 15);
}

#endif
