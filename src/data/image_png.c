/* image_png.c: PNG through libspng, behind our own walk over the chunks.
 *
 * The walk runs before anything is decompressed: it checks every length and CRC up to IEND and refuses pictures
 * that their compressed bytes cannot hold. The decoder then sees IHDR, PLTE, IDAT and IEND alone: text,
 * profiles and animations are never unpacked. Bytes behind IEND are ignored. */
#include "data/image_internal.h"

#include "base/sys.h"

#include <string.h>
#include <zlib.h>

#ifdef DIFFAD_HAVE_SPNG
#include <spng.h>
#endif

enum { SIGNATURE = 8, FRAME = 12 /* length, type, CRC */, IHDR_BYTES = 13 };
enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };
enum { DEFLATE_RATIO = 1032 /* most bytes that one byte of deflate can stand for */ };

typedef struct png_walk {
    size_t   end;             /* behind IEND */
    size_t   kept;            /* signature and critical chunks */
    uint64_t idat_bytes;
    bool     has_palette;
} png_walk;

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool is_critical(const unsigned char *type) { return (type[0] & 0x20) == 0; }
static bool is_type(const unsigned char *chunk, const char *type) { return memcmp(chunk + 4, type, 4) == 0; }

static int samples_of(int colour)
{
    switch (colour) {
    case GREY: case PALETTE: return 1;
    case GREY_ALPHA: return 2;
    case RGB: return 3;
    case RGB_ALPHA: return 4;
    default: return 0;
    }
}

diffad_status diffad_png_header(const diffad_image_source *s, diffad_image_header *out)
{
    const unsigned char *chunk = s->data + SIGNATURE;
    if (s->bytes < SIGNATURE + FRAME + IHDR_BYTES)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: PNG cut off in its header after %zu bytes; copy the file again",
                    s->origin, s->bytes);
    if (is_type(chunk, "CgBI"))
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: PNG in Apple's CgBI form is not supported; convert it to plain PNG",
                    s->origin);
    if (!is_type(chunk, "IHDR") || be32(chunk) != IHDR_BYTES ||
        (uint32_t)crc32(0, chunk + 4, 4 + IHDR_BYTES) != be32(chunk + 8 + IHDR_BYTES))
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: PNG with a damaged header (IHDR); copy the file again", s->origin);
    const int colour = chunk[17];
    if (samples_of(colour) == 0)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: PNG with unknown colour type %d", s->origin, colour);
    DIFFAD_TRY(diffad_image_check_size(s, be32(chunk + 8), be32(chunk + 12)));
    *out = (diffad_image_header){ .width = (int)be32(chunk + 8), .height = (int)be32(chunk + 12),
                                  .channels = colour == GREY || colour == GREY_ALPHA ? 1 : 3 };
    return DIFFAD_OK;
}

static diffad_status walk_chunks(const diffad_image_source *s, png_walk *out)
{
    png_walk w = { .kept = SIGNATURE };
    size_t at = SIGNATURE;
    for (;;) {
        const unsigned char *chunk = s->data + at;
        if (s->bytes - at < FRAME || be32(chunk) > s->bytes - at - FRAME)
            DIFFAD_FAIL(
                DIFFAD_ERR_DATA,
                "%s: PNG cut off: the chunk at offset %zu ends past the file's %zu bytes; copy the file again",
                s->origin, at, s->bytes);
        const size_t length = be32(chunk);
        if (crc32_z(0, chunk + 4, length + 4) != be32(chunk + 8 + length))
            DIFFAD_FAIL(DIFFAD_ERR_DATA,
                        "%s: PNG damaged: wrong checksum (CRC) of the chunk at offset %zu; copy the file again",
                        s->origin, at);
        at += FRAME + length;
        if (is_critical(chunk + 4))
            w.kept += FRAME + length;
        if (is_type(chunk, "IDAT"))
            w.idat_bytes += length;
        w.has_palette |= is_type(chunk, "PLTE");
        if (is_type(chunk, "IEND"))
            break;
    }
    w.end = at;
    *out = w;
    return DIFFAD_OK;
}

/* Bits per line of the whole picture say how much must come out of IDAT; interlacing only adds to it. */
static diffad_status check_content(const diffad_image_source *s, const diffad_image_header *h, const png_walk *w)
{
    const int depth = s->data[SIGNATURE + 16], colour = s->data[SIGNATURE + 17];
    const uint64_t line = ((uint64_t)h->width * (uint64_t)samples_of(colour) * (uint64_t)depth + 7) / 8;
    if (line * (uint64_t)h->height > (w->idat_bytes + 64) * DEFLATE_RATIO)
        DIFFAD_FAIL(DIFFAD_ERR_DATA,
                    "%s: PNG of %d x %d pixels with only %llu bytes of image data; copy the file again",
                    s->origin, h->width, h->height, (unsigned long long)w->idat_bytes);
    if (colour == PALETTE && !w->has_palette)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: PNG with palette colours but no palette", s->origin);
    return DIFFAD_OK;
}

/* The file without its ancillary chunks, in new memory. */
static unsigned char *keep_critical(const diffad_image_source *s, const png_walk *w)
{
    unsigned char *kept = diffad_alloc(w->kept);
    if (!kept)
        return NULL;
    memcpy(kept, s->data, SIGNATURE);
    size_t used = SIGNATURE;
    for (size_t at = SIGNATURE; at < w->end;) {
        const size_t length = FRAME + be32(s->data + at);
        if (is_critical(s->data + at + 4)) {
            memcpy(kept + used, s->data + at, length);
            used += length;
        }
        at += length;
    }
    return kept;
}

#ifdef DIFFAD_HAVE_SPNG

/* Formats that the decoder does not bring to one byte a sample, and how many samples a pixel has there. */
typedef struct png_form {
    int  format;
    int  samples;
    bool wide;                /* 16 bits a sample */
    bool direct;              /* lines may go straight into the image */
} png_form;

static png_form form_of(const struct spng_ihdr *h)
{
    if (h->bit_depth == 16)
        return (png_form){ SPNG_FMT_PNG, samples_of(h->color_type), true, false };
    if (h->color_type == GREY)
        return (png_form){ SPNG_FMT_G8, 1, false, true };
    if (h->color_type == GREY_ALPHA)
        return (png_form){ SPNG_FMT_PNG, 2, false, false };
    return (png_form){ SPNG_FMT_RGB8, 3, false, true };
}

/* 16 bits are rounded: (v * 255 + 32767) / 65535. Alpha, the last of 2 or 4 samples, is dropped. */
static void narrow_line(const png_form *f, const unsigned char *line, int width, int channels, uint8_t *to)
{
    for (int x = 0; x < width; x++)
        for (int c = 0; c < channels; c++) {
            const size_t i = (size_t)x * (size_t)f->samples + (size_t)c;
            uint16_t v = line[f->wide ? 0 : i];
            if (f->wide) {
                memcpy(&v, line + 2 * i, 2);
                v = (uint16_t)((v * 255u + 32767u) / 65535u);
            }
            to[(size_t)x * (size_t)channels + (size_t)c] = (uint8_t)v;
        }
}

static diffad_status fail_spng(const diffad_image_source *s, int error)
{
    if (error == SPNG_EMEM)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for decoding the PNG", s->origin);
    DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: PNG cannot be decoded: %s; copy the file again", s->origin,
                spng_strerror(error));
}

/* Lines of an interlaced picture come several times, each time with more pixels, so that each needs its own
 * place. */
static int decode_lines(spng_ctx *ctx, const png_form *f, bool interlaced, unsigned char *lines, size_t stride,
                        diffad_image *image)
{
    int error = spng_decode_image(ctx, NULL, 0, f->format, SPNG_DECODE_PROGRESSIVE);
    const size_t out_stride = (size_t)image->width * (size_t)image->channels;
    while (error == 0) {
        struct spng_row_info row;
        error = spng_get_row_info(ctx, &row);
        if (error || row.row_num >= (uint32_t)image->height)
            break;
        uint8_t *to = image->pixels + row.row_num * out_stride;
        unsigned char *line = f->direct ? to : lines + (interlaced ? row.row_num * stride : 0);
        error = spng_decode_row(ctx, line, f->direct ? out_stride : stride);
        if (!f->direct && (error == 0 || error == SPNG_EOI))
            narrow_line(f, line, image->width, image->channels, to);
    }
    return error == SPNG_EOI ? 0 : error;
}

static diffad_status decode_kept(const diffad_image_source *s, const unsigned char *kept, size_t bytes,
                                 const diffad_image_header *h, diffad_image *out)
{
    diffad_status st = DIFFAD_OK;
    diffad_image image = { 0 };
    unsigned char *lines = NULL;
    spng_ctx *ctx = spng_ctx_new(0);
    if (!ctx)
        return fail_spng(s, SPNG_EMEM);
    struct spng_ihdr ihdr;
    int error = spng_set_crc_action(ctx, SPNG_CRC_ERROR, SPNG_CRC_ERROR);
    if (!error)
        error = spng_set_image_limits(ctx, (uint32_t)h->width, (uint32_t)h->height);
    if (!error)
        error = spng_set_png_buffer(ctx, kept, bytes);
    if (!error)
        error = spng_get_ihdr(ctx, &ihdr);
    if (error) {
        st = fail_spng(s, error);
        goto done;
    }
    const png_form f = form_of(&ihdr);
    const size_t stride = (size_t)h->width * (size_t)f.samples * (f.wide ? 2 : 1);
    DIFFAD_GOTO(done, diffad_image_create(h->width, h->height, h->channels, &image));
    if (!f.direct && !(lines = diffad_alloc_array(ihdr.interlace_method ? (size_t)h->height : 1, stride)))
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_MEMORY, "%s: no memory for decoding the PNG", s->origin);
    error = decode_lines(ctx, &f, ihdr.interlace_method != 0, lines, stride, &image);
    if (error) {
        st = fail_spng(s, error);
        goto done;
    }
    *out = image;
    image = (diffad_image){ 0 };
done:
    diffad_release(lines);
    diffad_image_release(&image);
    spng_ctx_free(ctx);
    return st;
}

#else

static diffad_status decode_kept(const diffad_image_source *s, const unsigned char *kept, size_t bytes,
                                 const diffad_image_header *h, diffad_image *out)
{
    diffad_image_source critical = *s;
    critical.data = kept;
    critical.bytes = bytes;
    return diffad_stb_decode(&critical, h, out);
}

#endif

diffad_status diffad_png_decode(const diffad_image_source *s, diffad_image *out)
{
    diffad_image_header h = { 0 };
    png_walk w = { 0 };
    DIFFAD_TRY(diffad_png_header(s, &h));
    DIFFAD_TRY(walk_chunks(s, &w));
    DIFFAD_TRY(check_content(s, &h, &w));
    if (w.kept == w.end)
        return decode_kept(s, s->data, w.end, &h, out);
    unsigned char *kept = keep_critical(s, &w);
    if (!kept)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for %zu bytes of PNG", s->origin, w.kept);
    const diffad_status st = decode_kept(s, kept, w.kept, &h, out);
    diffad_release(kept);
    return st;
}
