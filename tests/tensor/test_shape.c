/* test_shape.c: shapes and types of src/tensor/shape.c. */
#include "diffad/tensor.h"

#include <criterion/criterion.h>
#include <string.h>

Test(shape, counts_are_products_and_overflow_is_seen_behind_a_zero)
{
    static const struct { diffad_shape s; int64_t count; } rows[] = {
        { { 0, { 0 } }, 1 },
        { { 4, { 2, 3, 5, 7 } }, 210 },
        { { 2, { 3, 0 } }, 0 },
        { { 2, { INT64_C(1) << 31, INT64_C(1) << 31 } }, INT64_C(1) << 62 },
        { { 2, { INT64_C(1) << 32, INT64_C(1) << 31 } }, -1 },
        { { 3, { 0, INT64_C(1) << 32, INT64_C(1) << 31 } }, -1 },
        { { 3, { INT64_C(1) << 32, INT64_C(1) << 31, 0 } }, -1 },
        { { 1, { -1 } }, -1 },
        { { 6, { 1, 1, 1, 1, 1 } }, -1 },
        { { -1, { 0 } }, -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect_eq(diffad_shape_count(&rows[i].s), rows[i].count, "row %zu", i);
}

Test(shape, equality_ignores_what_lies_behind_the_rank)
{
    const diffad_shape a = { 2, { 3, 4, 9 } }, b = { 2, { 3, 4, 8 } }, c = { 3, { 3, 4, 9 } }, d = { 2, { 3, 5 } };
    cr_expect(diffad_shape_equal(&a, &b));
    cr_expect_not(diffad_shape_equal(&a, &c));
    cr_expect_not(diffad_shape_equal(&a, &d));
}

Test(shape, texts_fit_their_room)
{
    const diffad_shape s = { 4, { 2, 3, 32, 32 } }, none = { 0, { 0 } }, wide = { 5, { INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX } };
    char               text[64], small[5];
    cr_expect_str_eq(diffad_shape_text(&s, text, sizeof text), "[2,3,32,32]");
    cr_expect_str_eq(diffad_shape_text(&none, text, sizeof text), "[]");
    cr_expect_str_eq(diffad_shape_text(&s, small, sizeof small), "[2,3");
    cr_expect_eq(strlen(diffad_shape_text(&wide, text, sizeof text)), 63);
}

Test(shape, types_have_names_and_sizes)
{
    static const struct { const char *name; size_t bytes; } want[] = {
        { "f32", 4 }, { "f16", 2 }, { "bf16", 2 }, { "i32", 4 }, { "u8", 1 }, { "f64", 8 }, { "i64", 8 },
    };
    for (int i = 0; i < 7; i++) {
        cr_expect_str_eq(diffad_dtype_name((diffad_dtype)i), want[i].name);
        cr_expect_eq(diffad_dtype_bytes((diffad_dtype)i), want[i].bytes);
    }
    cr_expect_eq(diffad_dtype_bytes((diffad_dtype)99), 0);
}
