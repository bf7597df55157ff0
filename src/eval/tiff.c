/* tiff.c: float32 maps as baseline TIFF 6.0: little-endian, one strip, no compression. */
#include "diffad/heatmap.h"

#include "base/file.h"
#include "base/size.h"

#include <string.h>

enum { HEADER = 8, TAGS = 13, ENTRY = 12, DIRECTORY = 2 + TAGS * ENTRY + 4, RATIONAL = 8 };
enum { PIXELS_AT = HEADER + DIRECTORY + 2 * RATIONAL };
enum { SHORT = 3, LONG = 4, RATIO = 5 };

static void put16(unsigned char *to, uint32_t v)
{
    to[0] = (unsigned char)v;
    to[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *to, uint32_t v)
{
    put16(to, v);
    put16(to + 2, v >> 16);
}

/* Header, the one directory with its tags in rising order, and the two resolutions. */
static void fill_head(unsigned char head[PIXELS_AT], uint32_t h, uint32_t w, uint32_t bytes)
{
    const struct { uint32_t tag, type, value; } rows[TAGS] = {
        { 256, LONG, w },                       /* ImageWidth */
        { 257, LONG, h },                       /* ImageLength */
        { 258, SHORT, 32 },                     /* BitsPerSample */
        { 259, SHORT, 1 },                      /* Compression: none */
        { 262, SHORT, 1 },                      /* Photometric: black is zero */
        { 273, LONG, PIXELS_AT },               /* StripOffsets */
        { 277, SHORT, 1 },                      /* SamplesPerPixel */
        { 278, LONG, h },                       /* RowsPerStrip */
        { 279, LONG, bytes },                   /* StripByteCounts */
        { 282, RATIO, HEADER + DIRECTORY },     /* XResolution */
        { 283, RATIO, HEADER + DIRECTORY + RATIONAL },
        { 296, SHORT, 1 },                      /* ResolutionUnit: none */
        { 339, SHORT, 3 },                      /* SampleFormat: IEEE float */
    };
    memset(head, 0, PIXELS_AT);
    memcpy(head, "II*", 4);
    put32(head + 4, HEADER);
    put16(head + HEADER, TAGS);
    for (int i = 0; i < TAGS; i++) {
        unsigned char *entry = head + HEADER + 2 + i * ENTRY;
        put16(entry, rows[i].tag);
        put16(entry + 2, rows[i].type);
        put32(entry + 4, 1);
        put32(entry + 8, rows[i].value);        /* a SHORT stands in the low half: the same bytes */
    }
    for (int i = 0; i < 4; i++)
        put32(head + HEADER + DIRECTORY + 4 * i, 1);
}

diffad_status diffad_map_save_tiff(const char *path, const float *map, int h, int w)
{
    int64_t       size;
    diffad_status st;
    unsigned char head[PIXELS_AT], piece[4096];
    if (h < 1 || w < 1 || !diffad_mul_i64(h, w, &size) || size > (UINT32_MAX - PIXELS_AT) / 4)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s: a map of %d x %d does not fit into a TIFF file (4 GiB)", path, h, w);
    diffad_writer out;
    DIFFAD_TRY(diffad_writer_begin(&out, path));
    fill_head(head, (uint32_t)h, (uint32_t)w, (uint32_t)(4 * size));
    DIFFAD_GOTO(done, diffad_writer_append(&out, head, sizeof head));
    for (int64_t i = 0; i < size;) {
        int64_t used = 0;
        for (; i < size && used < (int64_t)sizeof piece; i++, used += 4) {
            uint32_t bits;
            memcpy(&bits, map + i, sizeof bits);
            put32(piece + used, bits);
        }
        DIFFAD_GOTO(done, diffad_writer_append(&out, piece, used));
    }
    st = diffad_writer_commit(&out);
done:
    diffad_writer_abandon(&out);
    return st;
}
