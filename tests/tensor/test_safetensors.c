/* test_safetensors.c: reading and writing safetensors files of src/tensor. */
#include "base/sys.h"
#include "base/file.h"
#include "support/fault.h"
#include "support/folder.h"
#include "tensor/safetensors.h"
#include "tensor/tensor_file.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file of header and data bytes in `out`; the length says `length` when that is not negative. */
static size_t build(unsigned char *out, const char *header, int64_t length, size_t data)
{
    const size_t   n = strlen(header);
    const uint64_t l = length < 0 ? n : (uint64_t)length;
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(l >> (8 * i));
    memcpy(out + 8, header, n);
    for (size_t i = 0; i < data; i++)
        out[8 + n + i] = (unsigned char)i;
    return 8 + n + data;
}

static diffad_file *parse(const char *header, size_t data)
{
    unsigned char bytes[4096];
    diffad_file  *f = NULL;
    cr_assert_eq(diffad_file_parse("f", bytes, build(bytes, header, -1, data), &f), DIFFAD_OK, "%s: %s", header, diffad_error_detail());
    return f;
}

/* From a copy of the exact size, so that a sanitizer sees a read behind its end. */
static void expect_refused(const unsigned char *bytes, size_t n, const char *what, const char *part)
{
    diffad_file   *f    = NULL;
    unsigned char *copy = malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    cr_expect_eq(diffad_file_parse("some.file", copy, n, &f), DIFFAD_ERR_CHECKPOINT, "%s must be refused", what);
    cr_expect(strstr(diffad_error_detail(), "some.file") && strstr(diffad_error_detail(), part), "%s: \"%s\" lacks \"%s\"", what,
              diffad_error_detail(), part);
    cr_expect_null(f);
    free(copy);
}

#define T(dtype, shape, from, to) "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" from "," to "]}"

typedef struct bad { const char *header; size_t data; const char *part; } bad;

static const bad bad_headers[] = {
    /* JSON and text */
    { "", 0, "does not begin with" },
    { " {}", 0, "does not begin with" },
    { "[]", 0, "does not begin with" },
    { "{", 0, "header, byte" },
    { "{}}", 0, "header, byte" },
    { "{}x", 0, "header, byte" },
    { "{\"a\":}", 0, "header, byte" },
    { "{'a':1}", 0, "header, byte" },
    { "{\"a\" 1}", 0, "header, byte" },
    { "{\"a\":" T("F32", "1", "0", "4") ",}", 4, "header, byte" },
    { "{\"\xff\":" T("F32", "1", "0", "4") "}", 4, "unable to decode" },
    { "{\"\xed\xa0\x80\":" T("F32", "1", "0", "4") "}", 4, "unable to decode" },
    { "{\"\xc0\xaf\":" T("F32", "1", "0", "4") "}", 4, "unable to decode" },
    { "{\"\\ud800\":" T("F32", "1", "0", "4") "}", 4, "header, byte" },
    { "{\"a\\u0000b\":" T("F32", "1", "0", "4") "}", 4, "header, byte" },
    { "{\"a\nb\":" T("F32", "1", "0", "4") "}", 4, "header, byte" },
    { "{\"a\":NaN}", 0, "header, byte" },
    { "{\"a\":" T("F32", "1", "0", "4") "} \x01", 4, "header, byte" },
    /* metadata */
    { "{\"__metadata__\":1}", 0, "not an object" },
    { "{\"__metadata__\":[]}", 0, "not an object" },
    { "{\"__metadata__\":{\"k\":1}}", 0, "\"k\" is not a text" },
    { "{\"__metadata__\":{\"k\":null}}", 0, "\"k\" is not a text" },
    { "{\"__metadata__\":{\"k\":{\"x\":\"y\"}}}", 0, "\"k\" is not a text" },
    { "{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "duplicate" },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate" },
    { "{\"__metadata__\":{\"k\":\"a\\u0000b\"}}", 0, "header, byte" },
    /* names */
    { "{\"a\":" T("F32", "1", "0", "4") ",\"a\":" T("F32", "1", "0", "4") "}", 4, "duplicate" },
    { "{\"a\":" T("F32", "1", "0", "4") ",\"a\":" T("F32", "1", "4", "8") "}", 8, "duplicate" },
    { "{\"\":" T("F32", "1", "0", "4") "}", 4, "name" },
    { "{\"a\\nb\":" T("F32", "1", "0", "4") "}", 4, "control characters" },
    { "{\"a\\u001b[2J\":" T("F32", "1", "0", "4") "}", 4, "control characters" },
    { "{\"a\\u007f\":" T("F32", "1", "0", "4") "}", 4, "control characters" },
    { "{\"../../x\":" T("F32", "1", "0", "4") "}", 4, "slashes" },
    { "{\"/etc/x\":" T("F32", "1", "0", "4") "}", 4, "slashes" },
    { "{\"a\\\\b\":" T("F32", "1", "0", "4") "}", 4, "slashes" },
    /* entries */
    { "{\"a\":1}", 0, "not an object" },
    { "{\"a\":null}", 0, "not an object" },
    { "{\"a\":[]}", 0, "not an object" },
    { "{\"a\":{}}", 0, "no dtype" },
    { "{\"a\":{\"shape\":[],\"data_offsets\":[0,4]}}", 4, "no dtype" },
    { "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "no shape" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets" },
    { "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate" },
    { "{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "no dtype" },
    { "{\"a\":" T("F33", "1", "0", "4") "}", 4, "unknown dtype \"F33\"" },
    { "{\"a\":" T("f32", "1", "0", "4") "}", 4, "unknown dtype" },
    { "{\"a\":" T("BOOL", "4", "0", "4") "}", 4, "unknown dtype" },
    { "{\"a\":" T("", "1", "0", "4") "}", 4, "unknown dtype" },
    /* shapes */
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, "no shape" },
    { "{\"a\":" T("F32", "1,1,1,1,1,1", "0", "4") "}", 4, "more than 5 sides" },
    { "{\"a\":" T("F32", "-1", "0", "4") "}", 4, "a side" },
    { "{\"a\":" T("F32", "-1,-1", "0", "4") "}", 4, "a side" },
    { "{\"a\":" T("F32", "1.0", "0", "4") "}", 4, "a side" },
    { "{\"a\":" T("F32", "true", "0", "4") "}", 4, "a side" },
    { "{\"a\":" T("F32", "\"1\"", "0", "4") "}", 4, "a side" },
    { "{\"a\":" T("F32", "[1]", "0", "4") "}", 4, "a side" },
    { "{\"a\":" T("F32", "9223372036854775808", "0", "4") "}", 4, "header, byte" },
    { "{\"a\":" T("F32", "4294967296,4294967296", "0", "0") "}", 0, "more elements than can be counted" },
    { "{\"a\":" T("F32", "4294967296,4294967296,0", "0", "0") "}", 0, "more elements than can be counted" },
    { "{\"a\":" T("F32", "0,4294967296,4294967296", "0", "0") "}", 0, "more elements than can be counted" },
    { "{\"a\":" T("F64", "4611686018427387904", "0", "0") "}", 0, "more elements than can be counted" },
    { "{\"a\":" T("F64", "0,4611686018427387904", "0", "0") "}", 0, "more elements than can be counted" },
    { "{\"a\":" T("F32", "4611686018427387905", "0", "4") "}", 4, "more elements than can be counted" },
    /* offsets */
    { "{\"a\":" T("F32", "1", "4", "0") "}", 4, "not in order" },
    { "{\"a\":" T("F32", "1", "-4", "0") "}", 4, "negative" },
    { "{\"a\":" T("F32", "1", "-8", "-4") "}", 4, "negative" },
    { "{\"a\":" T("F32", "1", "-0", "4") "}", 4, "-0 is not a size" },
    { "{\"a\":" T("F32", "-0", "0", "0") "}", 0, "-0 is not a size" },
    { "{\"a\":" T("F32", "1", "0", "8") "}", 4, "past the end" },
    { "{\"a\":" T("F32", "1", "0", "4") "}", 3, "past the end" },
    { "{\"a\":" T("F32", "1", "0", "4") "}", 0, "past the end" },
    { "{\"a\":" T("F32", "0", "9223372036854775807", "9223372036854775807") "}", 0, "past the end" },
    { "{\"a\":" T("F32", "1", "0.0", "4") "}", 4, "two whole numbers" },
    { "{\"a\":" T("F32", "1", "0", "null") "}", 4, "two whole numbers" },
    { "{\"a\":" T("F32", "1", "0", "4,4") "}", 4, "two whole numbers" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4]}}", 4, "two whole numbers" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{\"0\":0,\"1\":4}}}", 4, "two whole numbers" },
    { "{\"a\":" T("F32", "1", "0", "18446744073709551616") "}", 4, "header, byte" },
    { "{\"a\":" T("F32", "2", "0", "4") "}", 4, "do not fit" },
    { "{\"a\":" T("F16", "1", "0", "4") "}", 4, "do not fit" },
    { "{\"a\":" T("F32", "", "0", "8") "}", 8, "do not fit" },
    { "{\"a\":" T("F32", "0", "0", "4") "}", 4, "do not fit" },
    /* tiling */
    { "{}", 1, "1 bytes behind the last tensor" },
    { "{\"a\":" T("F32", "1", "0", "4") "}", 5, "1 bytes behind the last tensor" },
    { "{\"a\":" T("F32", "1", "4", "8") "}", 8, "a hole" },
    { "{\"a\":" T("F32", "1", "0", "4") ",\"b\":" T("F32", "1", "8", "12") "}", 12, "\"b\": a hole" },
    { "{\"a\":" T("F32", "1", "0", "4") ",\"b\":" T("F32", "1", "0", "4") "}", 4, "overlap" },
    { "{\"a\":" T("F32", "2", "0", "8") ",\"b\":" T("F32", "1", "4", "8") "}", 8, "\"b\": its data overlap" },
    { "{\"a\":" T("F32", "2", "0", "8") ",\"b\":" T("F32", "2", "4", "12") "}", 12, "overlap" },
    { "{\"a\":" T("F32", "2", "0", "8") ",\"b\":" T("F32", "0", "4", "4") "}", 8, "overlap" },
    { "{\"a\":" T("F32", "0", "4", "4") "}", 4, "a hole" },
};

Test(safetensors, malformed_headers_are_refused_with_their_reason)
{
    unsigned char bytes[4096];
    for (size_t i = 0; i < sizeof bad_headers / sizeof *bad_headers; i++) {
        const bad *b = &bad_headers[i];
        expect_refused(bytes, build(bytes, b->header, -1, b->data), b->header, b->part);
    }
}

Test(safetensors, malformed_lengths_are_refused_before_anything_is_allocated)
{
    static const struct { int64_t length; const char *part; } rows[] = {
        { 0, "does not begin with" }, { 3, "past the end" }, { 100, "past the end" }, { 16 << 20, "past the end" },
        { (16 << 20) + 1, "more than 16 MiB" }, { 100000001, "more than 16 MiB" }, { INT64_MAX, "more than 16 MiB" },
    };
    unsigned char bytes[64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_refused(bytes, build(bytes, "{}", rows[i].length, 0), "a length", rows[i].part);
    memset(bytes, 0xFF, 8);
    expect_refused(bytes, 10, "length 2^64-1", "more than 16 MiB");
    for (size_t n = 0; n < 8; n++)
        expect_refused(bytes, n, "a short file", "too short");
}

Test(safetensors, nesting_deeper_than_8_is_refused)
{
    char          header[512];
    unsigned char bytes[1024];
    for (int depth = 1; depth <= 9; depth++) {
        char inner[64] = "";
        for (int i = 0; i < depth - 2; i++)
            strcat(inner, "[");
        for (int i = 0; i < depth - 2; i++)
            strcat(inner, "]");
        snprintf(header, sizeof header, "{\"a\":{\"extra\":%s,\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", depth > 2 ? inner : "0");
        if (depth <= 8)
            diffad_file_close(parse(header, 4));
        else
            expect_refused(bytes, build(bytes, header, -1, 4), header, "deeper than 8");
    }
}

/* Every file of 16 MiB of header must be refused within bounded memory and time. */
Test(safetensors, bombs_are_refused)
{
    static const char *const units[] = { "[", "{\"a\":", "[],", "{},", "1,", "\"\",", "{\"a\":{}},", "\\", "\"" };
    const size_t   n   = 16 << 20;
    unsigned char *big = malloc(n + 8);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        const size_t width = strlen(units[u]);
        for (int i = 0; i < 8; i++)
            big[i] = (unsigned char)(n >> (8 * i));
        memcpy(big + 8, "{\"a\":[", 6);
        for (size_t at = 14; at + width <= n + 8; at += width)
            memcpy(big + at, units[u], width);
        expect_refused(big, n + 8, units[u], "header");
    }
    free(big);
}

Test(safetensors, more_than_65536_tensors_are_refused)
{
    for (int n = DIFFAD_FILE_MAX_TENSORS; n <= DIFFAD_FILE_MAX_TENSORS + 1; n++) {
        unsigned char *bytes = malloc(16 << 20);
        char          *h     = (char *)bytes + 8;
        size_t         at    = (size_t)sprintf(h, "{");
        for (int i = 0; i < n; i++)
            at += (size_t)sprintf(h + at, "%s\"t%d\":" T("U8", "0", "0", "0"), i ? "," : "", i);
        at += (size_t)sprintf(h + at, "}");
        for (int i = 0; i < 8; i++)
            bytes[i] = (unsigned char)(at >> (8 * i));
        diffad_file *f = NULL;
        if (n == DIFFAD_FILE_MAX_TENSORS) {
            cr_assert_eq(diffad_file_parse("f", bytes, at + 8, &f), DIFFAD_OK, "%s", diffad_error_detail());
            cr_expect_eq(diffad_file_count(f), n);
            cr_expect_str_eq(diffad_file_find(f, "t65535")->name, "t65535");
            diffad_file_close(f);
        } else {
            expect_refused(bytes, at + 8, "65,537 tensors", "65537 tensors");
        }
        free(bytes);
    }
}

static const char good_header[] = "{\"__metadata__\":{\"k\":\"v\",\"model\":\"{\\\"a\\\": [1]}\"},\"b\":" T("F32", "2,1", "1", "9")
                                  ",\"a\":" T("U8", "", "0", "1") ",\"c\":" T("F32", "3,0", "9", "9") ",\"d\":" T("I32", "1,1,1,1,1", "9", "13") "}";

Test(safetensors, truncation_at_every_byte_is_refused)
{
    unsigned char bytes[1024];
    const size_t  n = build(bytes, good_header, -1, 13);
    for (size_t cut = 0; cut < n; cut++)
        expect_refused(bytes, cut, "a truncated file", "");
    bytes[n] = 0;
    expect_refused(bytes, n + 1, "a byte too many", "behind the last tensor");
}

Test(safetensors, any_changed_byte_is_safe)
{
    unsigned char bytes[1024];
    const size_t  n = build(bytes, good_header, -1, 13);
    for (size_t i = 0; i < n - 13; i++)
        for (int bit = 0; bit < 8; bit++) {
            diffad_file *f = NULL;
            bytes[i] ^= (unsigned char)(1 << bit);
            const diffad_status st = diffad_file_parse("f", bytes, n, &f);
            cr_expect(st == DIFFAD_ERR_CHECKPOINT || (st == DIFFAD_OK && diffad_file_count(f) >= 3), "byte %zu bit %d: %d", i, bit, st);
            if (st == DIFFAD_OK)
                diffad_file_close(f);
            bytes[i] ^= (unsigned char)(1 << bit);
        }
}

Test(safetensors, tensors_come_in_the_order_of_their_data)
{
    diffad_file *f = parse(good_header, 13);

    cr_assert_eq(diffad_file_count(f), 4);
    cr_expect_str_eq(diffad_file_at(f, 0)->name, "a");
    cr_expect_str_eq(diffad_file_at(f, 1)->name, "b");
    cr_expect_eq(diffad_file_at(f, 0)->shape.rank, 0);
    cr_expect_eq(diffad_file_find(f, "c")->bytes, 0);
    cr_expect_eq(diffad_file_find(f, "d")->shape.rank, 5);
    cr_expect_null(diffad_file_find(f, "e"));
    cr_expect_null(diffad_file_at(f, 4));
    cr_expect_null(diffad_file_at(f, -1));
    cr_expect_str_eq(diffad_file_metadata(f, "model"), "{\"a\": [1]}");
    cr_expect_null(diffad_file_metadata(f, "none"));
    diffad_file_close(f);
    diffad_file_close(NULL);
}

Test(safetensors, an_empty_file_padding_and_unknown_fields_are_legal)
{
    diffad_file *f = parse("{}      ", 0);
    cr_expect_eq(diffad_file_count(f), 0);
    cr_expect_null(diffad_file_find(f, "a"));
    cr_expect_null(diffad_file_metadata(f, "a"));
    cr_expect_not(diffad_file_has_nonfinite(f, NULL));
    diffad_file_close(f);
    f = parse("{\"a\":{\"extra\":{\"x\":[1.5,null]},\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    cr_expect_eq(diffad_file_count(f), 1);
    diffad_file_close(f);
}

/* ---- values ---- */

static float one(diffad_dtype type, const void *data)
{
    const diffad_file_tensor t = { "x", type, { 0 }, data, (int64_t)diffad_dtype_bytes(type) };
    float                    out = -99;
    cr_assert_eq(diffad_file_to_f32(&t, &out, 1), DIFFAD_OK);
    return out;
}

static float half(unsigned bits)
{
    const unsigned char b[2] = { (unsigned char)bits, (unsigned char)(bits >> 8) };
    return one(DIFFAD_F16, b);
}

Test(safetensors, every_type_becomes_float)
{
    cr_expect_eq(one(DIFFAD_F32, "\x00\x00\xc0\xbf"), -1.5f);
    cr_expect_eq(one(DIFFAD_BF16, "\xc0\xbf"), -1.5f);
    cr_expect_eq(one(DIFFAD_I32, "\xfe\xff\xff\xff"), -2.0f);
    cr_expect_eq(one(DIFFAD_U8, "\xfe"), 254.0f);
    cr_expect_eq(one(DIFFAD_F64, "\x00\x00\x00\x00\x00\x00\xf8\xbf"), -1.5f);
    cr_expect_eq(one(DIFFAD_I64, "\xfd\xff\xff\xff\xff\xff\xff\xff"), -3.0f);
    cr_expect_eq(half(0x3C00), 1.0f);
    cr_expect_eq(half(0xC100), -2.5f);
    cr_expect_eq(half(0x7BFF), 65504.0f);
    cr_expect_eq(half(0x0001), 0x1p-24f);
    cr_expect_eq(half(0x83FF), -1023 * 0x1p-24f);
    cr_expect_eq(half(0x0400), 0x1p-14f);
    cr_expect(half(0xFC00) < -FLT_MAX);
    cr_expect(isnan(half(0x7E00)));
    cr_expect(signbit(half(0x8000)) && half(0x8000) == 0);
}

Test(safetensors, unaligned_data_are_read)
{
    diffad_file *f = parse(good_header, 13);
    float        got[2];
    cr_assert_eq(diffad_file_to_f32(diffad_file_find(f, "b"), got, 2), DIFFAD_OK);
    unsigned char want[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    cr_expect_eq(memcmp(got, want, 8), 0);
    cr_expect_eq(diffad_file_to_f32(diffad_file_find(f, "b"), got, 1), DIFFAD_ERR_SHAPE);
    cr_expect_eq(diffad_file_to_f32(diffad_file_find(f, "c"), got, 0), DIFFAD_OK);
    diffad_file_close(f);
}

Test(safetensors, the_first_tensor_that_is_not_finite_is_named)
{
    static const struct { diffad_dtype type; const char *bytes; int nonfinite; } rows[] = {
        { DIFFAD_F32, "\x00\x00\x80\x7f", 1 },  { DIFFAD_F32, "\x00\x00\xc0\xff", 1 }, { DIFFAD_F32, "\xff\xff\x7f\x7f", 0 },
        { DIFFAD_F16, "\x00\x7c", 1 },          { DIFFAD_F16, "\xff\x7b", 0 },         { DIFFAD_BF16, "\x80\xff", 1 },
        { DIFFAD_BF16, "\x7f\x7f", 0 },         { DIFFAD_I32, "\xff\xff\xff\xff", 0 }, { DIFFAD_U8, "\xff", 0 },
        { DIFFAD_F64, "\0\0\0\0\0\0\xf0\x7f", 1 }, { DIFFAD_F64, "\xff\xff\xff\xff\xff\xff\xef\x7f", 0 },
    };
    const char *path = folder_path(folder_new(), "f");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char              *name = NULL;
        diffad_file             *f;
        const diffad_file_tensor t[2] = {
            { "fine", DIFFAD_F32, { 1, { 1 } }, (const unsigned char *)"\0\0\0\0", 4 },
            { "row", rows[i].type, { 0 }, (const unsigned char *)rows[i].bytes, (int64_t)diffad_dtype_bytes(rows[i].type) },
        };
        cr_assert_eq(diffad_file_save(path, t, 2, NULL, 0), DIFFAD_OK, "%s", diffad_error_detail());
        cr_assert_eq(diffad_file_open(path, &f), DIFFAD_OK, "%s", diffad_error_detail());
        cr_expect_eq(diffad_file_has_nonfinite(f, &name), rows[i].nonfinite, "row %zu", i);
        if (rows[i].nonfinite)
            cr_expect_str_eq(name, "row");
        diffad_file_close(f);
    }
}

/* ---- files ---- */

Test(safetensors, a_missing_file_is_named_with_what_to_do)
{
    diffad_file *f = NULL;
    cr_expect_eq(diffad_file_open("/no/such.safetensors", &f), DIFFAD_ERR_CHECKPOINT);
    cr_expect(strstr(diffad_error_detail(), "/no/such.safetensors") && strstr(diffad_error_detail(), "check the path"));
    cr_expect_eq(diffad_file_open("/", &f), DIFFAD_ERR_CHECKPOINT);
}

static float          values[] = { 1.5f, -2.0f, 3.25f, 0.0f, 1e-30f, 7.0f };
static unsigned char  masks[]  = { 1, 0, 255 };
static const int32_t  scalar   = -7;

static int sample(diffad_file_tensor t[4])
{
    t[0] = (diffad_file_tensor){ "z.weight", DIFFAD_F32, { 2, { 2, 3 } }, (unsigned char *)values, sizeof values };
    t[1] = (diffad_file_tensor){ "mask", DIFFAD_U8, { 1, { 3 } }, masks, sizeof masks };
    t[2] = (diffad_file_tensor){ "a \"q\" \xc3\xa4", DIFFAD_I32, { 0 }, (const unsigned char *)&scalar, sizeof scalar };
    t[3] = (diffad_file_tensor){ "none", DIFFAD_F16, { 3, { 2, 0, 5 } }, NULL, 0 };
    return 4;
}

static const diffad_file_text texts[] = { { "model", "{\"a\": [1, 2]}" }, { "lines", "a\nb\tc \xe2\x82\xac\x7f" } };

Test(safetensors, what_was_saved_is_read)
{
    diffad_file_tensor t[4];
    const int          n    = sample(t);
    const char        *path = folder_path(folder_new(), "f");
    diffad_file       *f;

    cr_assert_eq(diffad_file_save(path, t, n, texts, 2), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_file_open(path, &f), DIFFAD_OK, "%s", diffad_error_detail());

    cr_expect_eq(diffad_file_count(f), n);
    for (int i = 0; i < n; i++) {
        const diffad_file_tensor *got = diffad_file_at(f, i);
        cr_expect_str_eq(got->name, t[i].name);
        cr_expect(got->type == t[i].type && got->bytes == t[i].bytes && diffad_shape_equal(&got->shape, &t[i].shape));
        cr_expect(got->bytes == 0 || memcmp(got->data, t[i].data, (size_t)got->bytes) == 0);
    }
    for (int i = 0; i < 2; i++)
        cr_expect_str_eq(diffad_file_metadata(f, texts[i].key), texts[i].value);
    diffad_file_close(f);
}

Test(safetensors, saved_data_begin_at_a_multiple_of_8)
{
    const char *path = folder_path(folder_new(), "f");
    char        name[32];
    for (int i = 1; i < 17; i++) {
        unsigned char *bytes;
        int64_t        size;
        snprintf(name, sizeof name, "%0*d", i, 1);
        const diffad_file_tensor t = { name, DIFFAD_F32, { 1, { 6 } }, (unsigned char *)values, sizeof values };
        cr_assert_eq(diffad_file_save(path, &t, 1, NULL, 0), DIFFAD_OK);
        diffad_file_read(path, 10000, DIFFAD_OK, &bytes, &size);
        cr_expect_eq((size - (int64_t)sizeof values) % 8, 0);
        cr_expect_eq(memcmp(bytes + size - sizeof values, values, sizeof values), 0);
        diffad_release(bytes);
    }
}

Test(safetensors, what_could_not_be_read_is_not_saved)
{
    const unsigned char zero[8] = { 0 };
    const char         *dir = folder_new(), *path = folder_path(dir, "f");
    const diffad_file_tensor bad_tensors[] = {
        { "", DIFFAD_F32, { 0 }, zero, 4 },                 { NULL, DIFFAD_F32, { 0 }, zero, 4 },
        { "a/b", DIFFAD_F32, { 0 }, zero, 4 },              { "a\nb", DIFFAD_F32, { 0 }, zero, 4 },
        { "__metadata__", DIFFAD_F32, { 0 }, zero, 4 },     { "a\xff", DIFFAD_F32, { 0 }, zero, 4 },
        { "a", (diffad_dtype)77, { 0 }, zero, 4 },          { "a", DIFFAD_F32, { 1, { 2 } }, zero, 4 },
        { "a", DIFFAD_F32, { 1, { -1 } }, zero, -4 },       { "a", DIFFAD_F32, { 6, { 1 } }, zero, 4 },
        { "a", DIFFAD_F32, { 3, { 0, INT64_C(1) << 40, INT64_C(1) << 40 } }, zero, 0 },
    };
    for (size_t i = 0; i < sizeof bad_tensors / sizeof *bad_tensors; i++) {
        const diffad_status st = diffad_file_save(path, &bad_tensors[i], 1, NULL, 0);
        cr_expect(st == DIFFAD_ERR_USAGE || st == DIFFAD_ERR_SHAPE, "row %zu: %d", i, st);
        cr_expect(strstr(diffad_error_detail(), path));
    }
    const diffad_file_tensor twice[2] = { { "a", DIFFAD_F32, { 0 }, zero, 4 }, { "a", DIFFAD_U8, { 0 }, zero, 1 } };
    cr_expect_eq(diffad_file_save(path, twice, 2, NULL, 0), DIFFAD_ERR_USAGE);
    const diffad_file_text keys[2] = { { "k", "1" }, { "k", "2" } }, broken = { "k", "\xff" };
    cr_expect_eq(diffad_file_save(path, twice, 1, keys, 2), DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_file_save(path, twice, 1, &broken, 1), DIFFAD_ERR_USAGE);
    cr_expect_eq(folder_count(dir), 0);
}

Test(safetensors, any_failing_call_of_a_save_leaves_the_old_file_and_nothing_else)
{
    static float       large[50000];
    diffad_file_tensor t[5];
    const int          n   = sample(t);
    const char        *dir = folder_new(), *path = folder_path(dir, "f");
    int                met = 0;
    t[n] = (diffad_file_tensor){ "large", DIFFAD_F32, { 1, { 50000 } }, (unsigned char *)large, sizeof large };
    fault_install();
    cr_assert_eq(diffad_file_save(path, t, 1, NULL, 0), DIFFAD_OK);
    for (int lasting = 0; lasting < 2; lasting++)
        for (fault_kind kind = 0; kind < FAULT_KINDS; kind++)
            for (int k = 1; fault_arm(kind, k, lasting); k++) {
                const diffad_status st = diffad_file_save(path, t, n + 1, texts, 2);

                fault_disarm();
                met += fault_met();
                diffad_file *f = NULL;
                cr_assert_eq(diffad_file_open(path, &f), DIFFAD_OK, "%s %d: %s", fault_name(kind), k, diffad_error_detail());
                cr_expect_eq(diffad_file_count(f), st == DIFFAD_OK ? n + 1 : 1, "%s %d", fault_name(kind), k);
                diffad_file_close(f);
                cr_expect(st == DIFFAD_OK || st == (kind == FAULT_ALLOC ? DIFFAD_ERR_MEMORY : DIFFAD_ERR_FILE), "%s %d: %d", fault_name(kind), k, st);
                cr_expect_eq(folder_count(dir), 1, "%s %d leaves a file", fault_name(kind), k);
                cr_expect(fault_live_blocks() == 0 && fault_open_files() == 0, "%s %d leaks", fault_name(kind), k);
                cr_assert_eq(diffad_file_save(path, t, 1, NULL, 0), DIFFAD_OK);
            }
    cr_expect_geq(met, 30, "only %d faults met", met);
}

Test(safetensors, any_failing_call_of_an_open_is_an_error_without_a_leak)
{
    diffad_file_tensor t[4];
    const char        *path = folder_path(folder_new(), "f");
    fault_install();
    diffad_file_save(path, t, sample(t), texts, 2);
    for (fault_kind kind = 0; kind < FAULT_KINDS; kind++)
        for (int k = 1; fault_arm(kind, k, false); k++) {
            diffad_file        *f  = NULL;
            const diffad_status st = diffad_file_open(path, &f);
            fault_disarm();
            cr_expect_eq(st == DIFFAD_OK, !fault_met() || kind == FAULT_CLOSE, "%s %d: %d", fault_name(kind), k, st);
            diffad_file_close(f);
            cr_expect(fault_live_blocks() == 0 && fault_open_files() == 0, "%s %d leaks", fault_name(kind), k);
        }
}

/* ---- data that stay on disk ---- */

enum { LARGE = 300001 };      /* no multiple of a piece */
static float  large[LARGE];
static size_t largest_alloc;
static void *(*real_alloc)(size_t);

static void *measured_alloc(size_t bytes)
{
    largest_alloc = bytes > largest_alloc ? bytes : largest_alloc;
    return real_alloc(bytes);
}

static const char *large_file(void)
{
    const char        *path = folder_path(folder_new(), "f");
    diffad_file_tensor t[6];
    const int          n = sample(t);
    for (int i = 0; i < LARGE; i++)
        large[i] = (float)(i * 7 % 1001) / 3;
    t[n]     = (diffad_file_tensor){ "large", DIFFAD_F32, { 1, { LARGE } }, (unsigned char *)large, sizeof large };
    t[n + 1] = (diffad_file_tensor){ "same", DIFFAD_F32, { 1, { LARGE } }, (unsigned char *)large, sizeof large };
    cr_assert_eq(diffad_file_save(path, t, n + 2, texts, 2), DIFFAD_OK, "%s", diffad_error_detail());
    return path;
}

Test(safetensors, data_on_disk_are_the_same_and_take_no_memory)
{
    const char   *path = large_file();
    diffad_file  *disk, *memory;
    float         a[6], b[6];
    static float  all[LARGE];
    bool          is_same = false;
    real_alloc       = diffad_sys.alloc;
    diffad_sys.alloc = measured_alloc;
    cr_assert_eq(diffad_file_open_wanted(path, NULL, &disk), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_file_to_f32(diffad_file_find(disk, "large"), all, LARGE), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(diffad_file_same_bytes(diffad_file_find(disk, "large"), diffad_file_find(disk, "same"), &is_same), DIFFAD_OK);
    cr_expect(is_same);
    cr_expect_eq(diffad_file_same_bytes(diffad_file_find(disk, "large"), diffad_file_find(disk, "mask"), &is_same), DIFFAD_OK);
    cr_expect_not(is_same);
    cr_expect_lt(largest_alloc, 1 << 17, "%zu bytes at once", largest_alloc);

    cr_expect_arr_eq(all, large, sizeof all);
    cr_assert_eq(diffad_file_open(path, &memory), DIFFAD_OK);
    for (int i = 0; i < diffad_file_count(memory); i++) {
        const diffad_file_tensor *x = diffad_file_at(disk, i), *y = diffad_file_at(memory, i);
        const int64_t             n = diffad_shape_count(&x->shape);
        cr_expect(strcmp(x->name, y->name) == 0 && !x->data && (y->data || y->bytes == 0));
        if (n <= 6) {
            cr_expect(diffad_file_to_f32(x, a, n) == DIFFAD_OK && diffad_file_to_f32(y, b, n) == DIFFAD_OK);
            cr_expect_arr_eq(a, b, (size_t)n * sizeof *a);
        }
    }
    cr_assert_eq(diffad_file_hold(disk), DIFFAD_OK);
    cr_expect_arr_eq(diffad_file_find(disk, "same")->data, large, sizeof large);
    diffad_file_close(disk);
    diffad_file_close(memory);
}

Test(safetensors, a_file_that_shrinks_while_it_is_open_is_an_error)
{
    const char  *path = large_file();
    diffad_file *f;
    static float all[LARGE];
    cr_assert_eq(diffad_file_open_wanted(path, NULL, &f), DIFFAD_OK);
    cr_assert_eq(truncate(path, 500000), 0);

    cr_expect_eq(diffad_file_to_f32(diffad_file_find(f, "same"), all, LARGE), DIFFAD_ERR_CHECKPOINT);
    cr_expect(strstr(diffad_error_detail(), path) && strstr(diffad_error_detail(), "shorter"), "%s", diffad_error_detail());
    cr_expect_eq(diffad_file_hold(f), DIFFAD_ERR_CHECKPOINT);
    diffad_file_close(f);
}

Test(safetensors, any_failing_call_of_a_read_from_disk_is_an_error_without_a_leak)
{
    const char  *path = large_file();
    static float all[LARGE];
    fault_install();
    fault_slow(1000);
    for (fault_kind kind = 0; kind < FAULT_KINDS; kind++)
        for (int k = 1; fault_arm(kind, k, false) && k < 400; k++) {
            diffad_file  *f  = NULL;
            diffad_status st = diffad_file_open_wanted(path, NULL, &f);
            if (st == DIFFAD_OK)
                st = diffad_file_to_f32(diffad_file_find(f, "large"), all, LARGE);
            fault_disarm();
            cr_expect_eq(st == DIFFAD_OK, !fault_met() || kind == FAULT_CLOSE, "%s %d: %d", fault_name(kind), k, st);
            diffad_file_close(f);
            cr_expect(fault_live_blocks() == 0 && fault_open_files() == 0, "%s %d leaks", fault_name(kind), k);
        }
}
