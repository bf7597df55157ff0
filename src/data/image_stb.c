/* image_stb.c: BMP through stb_image, which also stands in for libspng and libjpeg where a build has none of them.
 *
 * Its allocator zeroes and is capped per decoding: stb_image reads memory that it never wrote, and believes sizes.
 * Releases before 2.30 have memory errors in JPEG: build with libjpeg wherever files come from strangers. */
#include "data/image_internal.h"

#include "base/sys.h"

#include <limits.h>
#include <string.h>

#pragma GCC diagnostic ignored                                                                                 \
    "-Wunused-function" /* what stb_image declares and ONLY_... leaves out, or does not call */

/* What one decoding may still take, and whether the machine had less; each thread decodes one image at a time. */
static _Thread_local size_t budget;
static _Thread_local bool   memory_out;

static void *stb_take(size_t bytes)
{
    if (bytes > budget)
        return NULL;
    budget -= bytes;
    void *p = diffad_alloc(bytes);
    memory_out |= p == NULL;
    return p;
}

static void *stb_grow(void *p, size_t old_bytes, size_t bytes)
{
    void *grown = stb_take(bytes);
    if (!grown)
        return NULL;
    if (p)
        memcpy(grown, p, old_bytes < bytes ? old_bytes : bytes);
    diffad_release(p);
    return grown;
}

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_ASSERT(x)               ((void)0)
#define STBI_MALLOC(n)               stb_take(n)
#define STBI_REALLOC_SIZED(p, o, n)  stb_grow(p, o, n)
#define STBI_FREE(p)                 diffad_release(p)
#define STBI_ONLY_BMP
#ifndef DIFFAD_HAVE_SPNG
#define STBI_ONLY_PNG
#endif
#ifndef DIFFAD_HAVE_JPEG
#define STBI_ONLY_JPEG
#endif
#include <stb_image.h>

enum { FILE_HEADER = 14 };

static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint32_t le16(const unsigned char *p) { return (uint32_t)p[1] << 8 | p[0]; }

diffad_status diffad_bmp_header(const diffad_image_source *s, diffad_image_header *out)
{
    const unsigned char *d = s->data;
    if (s->bytes < FILE_HEADER + 12)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: BMP cut off in its header after %zu bytes; copy the file again",
                    s->origin, s->bytes);
    const uint32_t header = le32(d + 14), offset = le32(d + 10);
    const bool old = header == 12;
    if (!old && (header < 40 || header > 124 || s->bytes < FILE_HEADER + (uint64_t)header))
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: BMP with an unknown or cut off header of %u bytes", s->origin, header);
    const int64_t tall = old ? (int64_t)le16(d + 20) : (int64_t)(int32_t)le32(d + 22);
    const uint64_t width = old ? le16(d + 18) : le32(d + 18), height = (uint64_t)(tall < 0 ? -tall : tall);
    const uint32_t bits = le16(d + (old ? 24 : 28)), packing = old ? 0 : le32(d + 30);
    if (packing != 0 && packing != 3)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: packed BMP (method %u) is not supported; convert it to PNG",
                    s->origin, packing);
    DIFFAD_TRY(diffad_image_check_size(s, width, height));
    const uint64_t line = (width * bits + 31) / 32 * 4;
    if (offset > s->bytes || line * height > s->bytes - offset)
        DIFFAD_FAIL(DIFFAD_ERR_DATA,
                    "%s: BMP cut off: %llu lines of %llu bytes from offset %u do not fit into %zu bytes; copy "
                    "the file again",
                    s->origin, (unsigned long long)height, (unsigned long long)line, offset, s->bytes);
    *out = (diffad_image_header){ .width = (int)width, .height = (int)height, .channels = 3 };
    return DIFFAD_OK;
}

#ifndef DIFFAD_HAVE_SPNG
/* The nearest 8-bit value, where stbi_load would cut the lower byte off. */
static diffad_status decode_wide(const diffad_image_source *s, const diffad_image_header *h, diffad_image *out)
{
    int w = 0, t = 0, n = 0;
    stbi_us *wide = stbi_load_16_from_memory(s->data, (int)s->bytes, &w, &t, &n, 0);
    if (!wide || w != h->width || t != h->height) {
        stbi_image_free(wide);
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: 16-bit PNG cannot be decoded: %s", s->origin, stbi_failure_reason());
    }
    diffad_image image = { 0 };
    const diffad_status st = diffad_image_create(w, t, h->channels, &image);
    if (st == DIFFAD_OK) {
        for (size_t i = 0; i < (size_t)w * (size_t)t; i++)
            for (int c = 0; c < h->channels; c++)
                image.pixels[i * (size_t)h->channels + (size_t)c] =
                    (uint8_t)((wide[i * (size_t)n + (size_t)c] * 255u + 32767u) / 65535u);
        *out = image;
    }
    stbi_image_free(wide);
    return st;
}
#endif

diffad_status diffad_stb_decode(const diffad_image_source *s, const diffad_image_header *expected,
                                diffad_image *out)
{
    if (s->bytes > INT_MAX)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: file too large", s->origin);
    memory_out = false;
    budget = (size_t)expected->width * (size_t)expected->height * 4 * 8 + s->bytes + (4u << 20);
#ifndef DIFFAD_HAVE_SPNG
    if (stbi_is_16_bit_from_memory(s->data, (int)s->bytes))
        return decode_wide(s, expected, out);
#endif
    int w = 0, h = 0, n = 0;
    /* The pixels come from diffad_alloc through STBI_MALLOC, so the image may own them. */
    uint8_t *pixels = stbi_load_from_memory(s->data, (int)s->bytes, &w, &h, &n, expected->channels);
    if (memory_out)
        stbi_image_free(pixels);
    if (memory_out)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for decoding the image", s->origin);
    if (!pixels)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: image cannot be decoded: %s; copy or convert the file", s->origin,
                    stbi_failure_reason());
    if (w != expected->width || h != expected->height) {
        stbi_image_free(pixels);
        DIFFAD_FAIL(DIFFAD_ERR_DATA,
                    "%s: the header contradicts itself about the size; copy or convert the file", s->origin);
    }
    *out = (diffad_image){ .width = w, .height = h, .channels = expected->channels, .pixels = pixels };
    return DIFFAD_OK;
}

diffad_status diffad_bmp_decode(const diffad_image_source *s, diffad_image *out)
{
    diffad_image_header h = { 0 };
    DIFFAD_TRY(diffad_bmp_header(s, &h));
    return diffad_stb_decode(s, &h, out);
}
