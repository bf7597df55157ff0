/* test_text.c: numbers and strings of src/base/text.c. */
#include "base/text.h"
#include "support/fault.h"
#include "support/folder.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_f64(const char *s, double want)
{
    double v = -77;
    cr_expect(diffad_parse_f64(s, &v), "\"%s\" must be a number", s);
    cr_expect(v == want, "\"%s\": expected %a got %a", s, want, v);
}

static const char *const no_numbers[] = { "", " ", ".", "-", "+", "e5", "1,5", "1.5,", "1..5", "1.5.2", "0x10", "inf", "nan", "-inf",
                                          "1e", "1e+", " 1", "1 ", "1e999", "1e99999999999999999999", "1_000", "--1", "1f" };

Test(text, whole_numbers_are_read_to_the_last_one_that_fits)
{
    int64_t v = 0;

    cr_expect(diffad_parse_i64("9223372036854775807", &v) && v == INT64_MAX);
    cr_expect(diffad_parse_i64("-9223372036854775808", &v) && v == INT64_MIN);
    cr_expect(diffad_parse_i64("+12", &v) && v == 12);
    cr_expect(diffad_parse_i64("-0", &v) && v == 0);

    v = 5;
    static const char *const wrong[] = { "9223372036854775808", "-9223372036854775809", "", "-", "1.0", "1e3", " 1", "1 ", "0x1" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect(!diffad_parse_i64(wrong[i], &v), "\"%s\" must be refused", wrong[i]);
    cr_expect_eq(v, 5);
}

Test(text, reals_are_rounded_as_strtod_does)
{
    expect_f64("1.5", 1.5);
    expect_f64("-.5", -0.5);
    expect_f64("5.", 5);
    expect_f64("+1e-4", 1e-4);
    expect_f64("0.1", 0.1);
    expect_f64("123456789012345678901234567890.5E-10", 123456789012345678901234567890.5E-10);
    expect_f64("1.7976931348623157e308", 1.7976931348623157e308);
    expect_f64("5e-324", 5e-324);
    expect_f64("1e-999", 0);
    expect_f64("0.00000000000000000000000000000000000000000001e44", 1);

    srand(7);
    for (int i = 0; i < 20000; i++) {
        char   s[64];
        double v;
        snprintf(s, sizeof s, "%d.%d%de%d", rand() % 100000, rand(), rand(), rand() % 600 - 300);
        cr_assert(diffad_parse_f64(s, &v) && v == strtod(s, NULL), "%s", s);
    }
}

Test(text, what_is_not_a_finite_decimal_number_is_refused)
{
    double v = 3;
    for (size_t i = 0; i < sizeof no_numbers / sizeof *no_numbers; i++)
        cr_expect(!diffad_parse_f64(no_numbers[i], &v), "\"%s\" must be refused", no_numbers[i]);
    char *line = malloc(1 << 20);
    memset(line, '1', (1 << 20) - 1);
    line[(1 << 20) - 1] = '\0';
    cr_expect(!diffad_parse_f64(line, &v));
    cr_expect_eq(v, 3);
    free(line);
}

Test(text, a_locale_with_a_decimal_comma_changes_nothing)
{
    if (!comma_locale())
        cr_skip_test("no locale with a decimal comma here, and localedef cannot make one");
    char comma[16];
    snprintf(comma, sizeof comma, "%.1f", 1.5);
    cr_assert_str_eq(comma, "1,5");
    double      v = 0;
    diffad_text t = { 0 };

    expect_f64("1.5", 1.5);
    expect_f64("-12345.678e-3", -12.345678);
    cr_expect(!diffad_parse_f64("1,5", &v));
    diffad_text_add_f64(&t, 1.5, 17);
    diffad_text_addf(&t, " %.2f,%g", 2.25, 1234567.0);

    cr_expect_str_eq(t.s, "1.5 2.25,1.23457e+06");
    snprintf(comma, sizeof comma, "%.1f", 1.5);
    cr_expect_str_eq(comma, "1,5", "the program's locale stays as it was");
    diffad_text_release(&t);
}

Test(text, sizes_have_binary_units)
{
    static const struct { const char *s; int64_t bytes; } good[] = {
        { "1000", 1000 }, { "512M", 512ll << 20 }, { "4GiB", 4ll << 30 }, { "4GB", 4ll << 30 }, { "1.5k", 1536 }, { "2T", 2ll << 40 },
        { "7B", 7 }, { "0", 0 },
    };
    static const char *const wrong[] = { "", "M", "-1", "4X", "4GiBs", "4 G", "9999999999T", "1.2.3M", "4iB", "99999999999.5T" };
    int64_t v = 0;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect(diffad_parse_bytes(good[i].s, &v) && v == good[i].bytes, "%s got %lld", good[i].s, (long long)v);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect(!diffad_parse_bytes(wrong[i], &v), "\"%s\" must be refused", wrong[i]);
}

static void expect_printed(double v, int digits, const char *want)
{
    diffad_text t = { 0 };
    diffad_text_add_f64(&t, v, digits);
    cr_expect_str_eq(t.s, want, "%a in %d digits: expected %s got %s", v, digits, want, t.s);
    diffad_text_release(&t);
}

Test(text, reals_are_printed_in_their_shortest_form)
{
    expect_printed(0.1, 17, "0.1");
    expect_printed(1.0 / 3, 17, "0.3333333333333333");
    expect_printed(1.0 / 3, 4, "0.3333");
    expect_printed(100, 17, "100");
    expect_printed(1e-5, 17, "1e-05");
    expect_printed(0.0015, 17, "0.0015");
    expect_printed(NAN, 6, "null");
    expect_printed(-INFINITY, 6, "null");
    srand(3);
    for (int i = 0; i < 5000; i++) {
        double      v = ldexp((double)rand() / 3, rand() % 200 - 100), back;
        diffad_text t = { 0 };
        diffad_text_add_f64(&t, v, 17);
        cr_assert(diffad_parse_f64(t.s, &back) && back == v, "%a printed as %s", v, t.s);
        diffad_text_release(&t);
    }
}

Test(text, json_texts_are_valid_whatever_the_bytes)
{
    diffad_text t = { 0 };
    diffad_text_json(&t, "a\"b\\c\n\x01\x7f\xc3\xa4\xff\xed\xa0\x80\xc0\xaf\xf0\x9f\x98\x80\xe2\x80\xa8");
    cr_expect_str_eq(t.s, "\"a\\\"b\\\\c\\n\\u0001\\u007f\xc3\xa4\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                          "\xf0\x9f\x98\x80\\u2028\"");
    cr_expect(diffad_is_utf8(t.s));
    diffad_text_release(&t);
    cr_expect(!diffad_is_utf8("\xc3"));
    cr_expect(!diffad_is_utf8("\xf4\x90\x80\x80"));
    cr_expect(!diffad_is_utf8("\xe0\x80\x80"));
}

Test(text, html_is_escaped)
{
    diffad_text t = { 0 };
    diffad_text_html(&t, "<a href=\"x\">R&D's</a>");
    diffad_text_html(&t, "");
    cr_expect_str_eq(t.s, "&lt;a href=&quot;x&quot;&gt;R&amp;D&#39;s&lt;/a&gt;");
    diffad_text_release(&t);
}

Test(text, growth_keeps_every_character_and_failure_is_sticky)
{
    fault_install();
    diffad_text t = { 0 };
    for (int i = 0; i < 5000; i++)
        diffad_text_addf(&t, "%d,", i % 10);
    cr_expect_eq(t.length, 10000);
    cr_expect_eq(strlen(t.s), 10000);
    cr_expect_eq(memcmp(t.s + 9980, "0,1,2,3,4,5,6,7,8,9,", 20), 0);

    fault_arm(FAULT_ALLOC, 1, false);
    for (int i = 0; i < 5000; i++)
        diffad_text_add(&t, "0123456789");
    cr_expect(t.failed);
    cr_expect_lt(t.length, 60000);

    diffad_text_release(&t);
    cr_expect_eq(fault_live_blocks(), 0);
}

Test(text, the_nearest_name_is_found_and_a_far_one_is_not)
{
    static const char *const names[] = { "channels", "mult", "head_channels", "dropout" };
    cr_expect_str_eq(diffad_nearest("chanels", names, 4), "channels");
    cr_expect_str_eq(diffad_nearest("Mutl", names, 4), "mult");
    cr_expect_str_eq(diffad_nearest("headchannels", names, 4), "head_channels");
    cr_expect_null(diffad_nearest("zzzzzz", names, 4));
    cr_expect_null(diffad_nearest("x", names, 0));
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    cr_expect_null(diffad_nearest(longest, names, 4));
}
