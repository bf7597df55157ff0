/* test_hostile.c: files that are damaged, lie about themselves, or blow up. None may crash, none may pass for
 * an image. */
#include "data/files.h"

#include <sys/resource.h>
#include <zlib.h>

static const char *const samples[] = { "rgb8.png",     "rgba16_interlaced.png", "palette8_trns.png",
                                       "baseline.jpg", "progressive.jpg",       "cmyk.jpg",
                                       "rgb24.bmp",    "palette8.bmp" };
enum { SAMPLES = sizeof samples / sizeof *samples };

static diffad_status parse(const void *data, size_t bytes)
{
    diffad_image image = { 0 };
    const diffad_status st = diffad_image_parse("hostile", data, bytes, 3, NULL, &image);
    cr_assert(st == DIFFAD_OK || !image.pixels, "a failure left an image behind");
    cr_assert(st == DIFFAD_OK || diffad_error_detail()[0], "no reason given");
    diffad_image_release(&image);
    return st;
}

static size_t put_chunk(unsigned char *to, const char *type, const void *data, size_t bytes)
{
    const unsigned char length[4] = { (unsigned char)(bytes >> 24), (unsigned char)(bytes >> 16),
                                      (unsigned char)(bytes >> 8), (unsigned char)bytes };
    memcpy(to, length, 4);
    memcpy(to + 4, type, 4);
    if (bytes)
        memcpy(to + 8, data, bytes);
    const uint32_t crc = (uint32_t)crc32_z(0, to + 4, bytes + 4);
    for (int i = 0; i < 4; i++)
        to[8 + bytes + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
    return bytes + 12;
}

/* A PNG of 8-bit grey with the given compressed data. */
static size_t make_png(unsigned char *to, uint32_t width, uint32_t height, const void *idat, size_t idat_bytes)
{
    unsigned char ihdr[13] = { 0 };
    for (int i = 0; i < 4; i++) {
        ihdr[i] = (unsigned char)(width >> (24 - 8 * i));
        ihdr[4 + i] = (unsigned char)(height >> (24 - 8 * i));
    }
    ihdr[8] = 8;
    size_t at = 8;
    memcpy(to, "\x89PNG\r\n\x1a\n", 8);
    at += put_chunk(to + at, "IHDR", ihdr, 13);
    at += put_chunk(to + at, "IDAT", idat, idat_bytes);
    return at + put_chunk(to + at, "IEND", NULL, 0);
}

/* `count` zero bytes, deflated. */
static size_t deflate_zeros(size_t count, unsigned char *to, size_t room)
{
    static unsigned char zeros[1 << 16];
    z_stream z = { .next_out = to, .avail_out = (uInt)room };
    cr_assert_eq(deflateInit(&z, 9), Z_OK);
    for (size_t left = count; left;) {
        const size_t n = left < sizeof zeros ? left : sizeof zeros;
        z.next_in = zeros;
        z.avail_in = (uInt)n;
        left -= n;
        cr_assert_neq(deflate(&z, left ? Z_NO_FLUSH : Z_FINISH), Z_STREAM_ERROR);
        cr_assert_eq(z.avail_in, 0);
    }
    const size_t bytes = room - z.avail_out;
    deflateEnd(&z);
    return bytes;
}

static long peak_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss / 1024;
}

Test(hostile, empty_files_text_and_unknown_magic_are_refused)
{
    static const char text[] = "this is no image", gif[] = "GIF89a\1\0\1\0\0\0\0", pnm[] = "P6 1 1 255 abc";

    cr_expect_eq(parse("", 0), DIFFAD_ERR_DATA);
    SAYS("empty");
    cr_expect_eq(parse(text, sizeof text), DIFFAD_ERR_DATA);
    SAYS("not a PNG, JPEG or BMP");
    cr_expect_eq(parse(gif, sizeof gif), DIFFAD_ERR_DATA);
    cr_expect_eq(parse(pnm, sizeof pnm), DIFFAD_ERR_DATA);
    cr_expect_eq(parse("\x89PNG\r\n\x1a\n", 8), DIFFAD_ERR_DATA);
    cr_expect_eq(parse("\xff\xd8\xff", 3), DIFFAD_ERR_DATA);
    cr_expect_eq(parse("BM", 2), DIFFAD_ERR_DATA);
}

Test(hostile, a_file_cut_off_at_any_byte_is_refused)
{
    for (int i = 0; i < SAMPLES; i++) {
        size_t bytes = 0;
        unsigned char *data = slurp(joined(test_file("images"), samples[i]), &bytes);
        cr_assert_eq(parse(data, bytes), DIFFAD_OK, "%s", samples[i]);
        for (size_t cut = 0; cut < bytes; cut++) {
            unsigned char *part = malloc(cut ? cut : 1);       /* its own block, so that reading past it shows */
            memcpy(part, data, cut);
            cr_assert_eq(parse(part, cut), DIFFAD_ERR_DATA, "%s cut off after %zu of %zu bytes was accepted",
                         samples[i], cut, bytes);
            free(part);
        }
        diffad_release(data);
    }
}

Test(hostile, a_photograph_cut_in_half_is_refused)
{
    size_t bytes = 0;
    unsigned char *data = slurp(test_file("ballscrew/test/pitting/000.jpg"), &bytes);

    cr_expect_eq(parse(data, bytes / 2), DIFFAD_ERR_DATA);
    SAYS("JPEG cut off");
    cr_expect_eq(parse(data, bytes - 2), DIFFAD_ERR_DATA);
    diffad_release(data);
}

Test(hostile, every_flipped_bit_of_a_png_is_found_by_its_checksums)
{
    static const char *const files[] = { "rgb8.png", "grey16.png" };
    for (int f = 0; f < 2; f++) {
        size_t bytes = 0;
        unsigned char *data = slurp(joined(test_file("images"), files[f]), &bytes);
        for (size_t i = 0; i < 8 * bytes; i++) {
            data[i / 8] ^= (unsigned char)(1u << i % 8);
            cr_assert_eq(parse(data, bytes), DIFFAD_ERR_DATA, "%s: bit %zu of byte %zu", files[f], i % 8, i / 8);
            data[i / 8] ^= (unsigned char)(1u << i % 8);
        }
        diffad_release(data);
    }
}

Test(hostile, no_changed_byte_of_any_file_does_harm)
{
    for (int f = 0; f < SAMPLES; f++) {
        size_t bytes = 0;
        unsigned char *data = slurp(joined(test_file("images"), samples[f]), &bytes);
        for (size_t i = 0; i < bytes; i++)
            for (int change = 1; change < 256; change += 50) {
                data[i] = (unsigned char)(data[i] + change);
                const diffad_status st = parse(data, bytes);
                cr_assert(st == DIFFAD_OK || st == DIFFAD_ERR_DATA, "%s: byte %zu: %s", samples[f], i,
                          diffad_error_detail());
                data[i] = (unsigned char)(data[i] - change);
            }
        diffad_release(data);
    }
}

Test(hostile, damaged_jpegs_give_the_same_answer_twice)
{
    size_t bytes = 0;
    unsigned char *data = slurp(test_file("images/progressive.jpg"), &bytes);
    for (size_t i = 100; i < bytes; i++) {
        diffad_image a = { 0 }, b = { 0 };
        data[i] ^= 0x10;
        const diffad_status first = diffad_image_parse("a", data, bytes, 3, NULL, &a);
        void *dirt = malloc(100000);
        memset(dirt, 0xa5, 100000);
        free(dirt);
        cr_assert_eq(diffad_image_parse("b", data, bytes, 3, NULL, &b), first);
        if (first == DIFFAD_OK)
            cr_assert(a.width == b.width && a.height == b.height &&
                      memcmp(a.pixels, b.pixels, (size_t)(a.width * a.height * 3)) == 0);
        diffad_image_release(&a);
        diffad_image_release(&b);
        data[i] ^= 0x10;
    }
    diffad_release(data);
}

Test(hostile, huge_sizes_are_refused_from_the_header)
{
    unsigned char png[200];
    unsigned char bmp[54] = { 'B', 'M', [10] = 54, [14] = 40, [18] = 0xa0, 0x86, 1, 0, 0xa0, 0x86, 1, 0, 1, 0, 24 };
    unsigned char jpeg[] = { 0xff, 0xd8, 0xff, 0xc0, 0, 11, 8, 0xff, 0xff, 0xff, 0xff, 1, 1, 0x11, 0, 0xff, 0xd9 };

    cr_expect_eq(parse(png, make_png(png, 100000, 100000, "x", 1)), DIFFAD_ERR_DATA);
    SAYS("more than the limit");
    cr_expect_eq(parse(png, make_png(png, 0xffffffffu, 0xffffffffu, "x", 1)), DIFFAD_ERR_DATA);
    cr_expect_eq(parse(png, make_png(png, 0, 5, "x", 1)), DIFFAD_ERR_DATA);
    cr_expect_eq(parse(bmp, sizeof bmp), DIFFAD_ERR_DATA);
    SAYS("more than the limit");
    cr_expect_eq(parse(jpeg, sizeof jpeg), DIFFAD_ERR_DATA);
    SAYS("more than the limit");
    cr_expect_lt(peak_mib(), 100);
}

Test(hostile, a_claim_that_the_data_cannot_fill_allocates_nothing)
{
    unsigned char png[200];
    unsigned char bmp[1000] = { 'B', 'M', [10] = 54, [14] = 40, [18] = 0, 0x10, 0, 0, 0, 0x10, 0, 0, 1, 0, 24 };

    cr_expect_eq(parse(png, make_png(png, 8000, 8000, "x", 1)), DIFFAD_ERR_DATA);
    cr_expect_eq(parse(bmp, sizeof bmp), DIFFAD_ERR_DATA);
    cr_expect_lt(peak_mib(), 100);
}

Test(hostile, a_picture_of_a_gigabyte_is_refused_within_little_memory)
{
    const size_t room = 1 << 20;
    unsigned char *idat = malloc(room), *png = malloc(room + 200);
    const size_t idat_bytes = deflate_zeros(16384u * 16385u, idat, room);

    cr_expect_eq(parse(png, make_png(png, 16384, 16384, idat, idat_bytes)), DIFFAD_ERR_DATA);

    cr_expect_lt(peak_mib(), 300);
    free(idat);
    free(png);
}

Test(hostile, one_pixel_that_inflates_to_200_megabytes_stays_small)
{
    const size_t room = 1 << 20;
    unsigned char *idat = malloc(room), *png = malloc(room + 200);
    const size_t idat_bytes = deflate_zeros(200u << 20, idat, room);

    (void)parse(png,
                make_png(png, 1, 1, idat, idat_bytes)); /* a picture with a tail, or an error: both are fine */

    cr_expect_lt(peak_mib(), 100);
    free(idat);
    free(png);
}

Test(hostile, the_limits_are_the_callers)
{
    const diffad_image_limits pixels = { .max_pixels = 76, .max_file_bytes = 1 << 20 },
                              bytes = { .max_pixels = 1 << 20, .max_file_bytes = 50 };
    diffad_image image;

    cr_expect_eq(diffad_image_load(test_file("images/rgb8.png"), 0, &pixels, &image),
                 DIFFAD_ERR_DATA); /* 11 x 7 = 77 */
    cr_expect_eq(diffad_image_load(test_file("images/rgb8.png"), 0, &bytes, &image), DIFFAD_ERR_DATA);
}

Test(hostile, apple_pngs_are_named_as_such)
{
    unsigned char png[64] = "\x89PNG\r\n\x1a\n";
    put_chunk(png + 8, "CgBI", "\0\0\0\0", 4);

    cr_expect_eq(parse(png, sizeof png), DIFFAD_ERR_DATA);
    SAYS("CgBI");
}
