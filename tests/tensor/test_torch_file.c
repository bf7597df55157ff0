/* test_torch_file.c: files of torch.save: what torch wrote (tests/data/checkpoints), and what is written here. */
#define _GNU_SOURCE      /* memmem */
#include "base/sys.h"
#include "support/fault.h"
#include "support/folder.h"
#include "tensor/torch_file.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA DIFFAD_TEST_DIR "/data/checkpoints/"

/* As tools/pytorch/checkpoint_fixtures.py. */
static float value_of(const char *name, int64_t i)
{
    uint32_t h = 2166136261u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 16777619u;
    return (float)((h + (uint32_t)i * 2654435761u) >> 16) / 65536.0f - 0.5f;
}

static diffad_file *open_or_die(const char *path)
{
    diffad_file *f = NULL;
    cr_assert_eq(diffad_file_open(path, &f), DIFFAD_OK, "%s", diffad_error_detail());
    return f;
}

/* values[k] are the elements in row-major order. */
static void expect_values(const diffad_file *f, const char *name, diffad_dtype type, diffad_shape shape, const float *values)
{
    const diffad_file_tensor *t = diffad_file_find(f, name);
    float                     got[256];
    const int64_t             n = diffad_shape_count(&shape);
    cr_assert(t, "no %s", name);
    cr_expect_eq(t->type, type, "%s is %s", name, diffad_dtype_name(t->type));
    cr_assert(diffad_shape_equal(&t->shape, &shape), "%s", name);
    cr_assert_eq(diffad_file_to_f32(t, got, n), DIFFAD_OK, "%s", diffad_error_detail());
    for (int64_t i = 0; i < n; i++)
        cr_expect_eq(got[i], values[i], "%s[%lld]: expected %g got %g", name, (long long)i, (double)values[i], (double)got[i]);
}

/* 11 significant bits, to even. */
static float half_of(float v)
{
    int exponent;
    frexpf(v, &exponent);
    const float unit = ldexpf(1, (exponent > -13 ? exponent : -13) - 11);
    return nearbyintf(v / unit) * unit;
}

static float bfloat_of(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void expect_odd(const char *path)
{
    diffad_file *f = open_or_die(path);
    float        v[256];
    cr_expect_eq(diffad_file_count(f), 16);
    for (int i = 0; i < 24; i++)
        v[i] = value_of("base", i % 4 * 6 + i / 4);
    expect_values(f, "transposed", DIFFAD_F32, (diffad_shape){ 2, { 6, 4 } }, v);
    for (int i = 0; i < 8; i++)
        v[i] = value_of("cube", i / 4 * 12 + (i / 2 % 2 + 1) * 4 + i % 2 * 2);
    expect_values(f, "slices", DIFFAD_F32, (diffad_shape){ 3, { 2, 2, 2 } }, v);
    for (int i = 0; i < 120; i++)
        v[i] = value_of("last", i);
    expect_values(f, "last", DIFFAD_F32, (diffad_shape){ 4, { 2, 3, 4, 5 } }, v);
    for (int i = 0; i < 12; i++)
        v[i] = value_of("shared", i);
    expect_values(f, "front", DIFFAD_F32, (diffad_shape){ 1, { 10 } }, v);
    for (int i = 0; i < 12; i++)
        v[i] = value_of("shared", i + 20);
    expect_values(f, "back", DIFFAD_F32, (diffad_shape){ 1, { 12 } }, v);
    for (int i = 0; i < 6; i++)
        v[i] = value_of("base", 6 + i);
    expect_values(f, "row", DIFFAD_F32, (diffad_shape){ 1, { 6 } }, v);
    for (int i = 0; i < 15; i++)
        v[i] = half_of(value_of("half", i));
    expect_values(f, "half", DIFFAD_F16, (diffad_shape){ 2, { 5, 3 } }, v);
    for (int i = 0; i < 7; i++)
        v[i] = bfloat_of(value_of("bfloat", i));
    expect_values(f, "bfloat", DIFFAD_BF16, (diffad_shape){ 1, { 7 } }, v);
    for (int i = 0; i < 6; i++)
        v[i] = value_of("double", i);
    expect_values(f, "double", DIFFAD_F64, (diffad_shape){ 2, { 3, 2 } }, v);
    for (int i = 0; i < 4; i++)
        v[i] = value_of("parameter", i);
    expect_values(f, "parameter", DIFFAD_F32, (diffad_shape){ 2, { 2, 2 } }, v);
    expect_values(f, "long", DIFFAD_I64, (diffad_shape){ 1, { 2 } }, (const float[]){ -1, 0x1p40f });
    expect_values(f, "int", DIFFAD_I32, (diffad_shape){ 0, { 0 } }, (const float[]){ -7 });
    expect_values(f, "byte", DIFFAD_U8, (diffad_shape){ 1, { 2 } }, (const float[]){ 0, 255 });
    expect_values(f, "bool", DIFFAD_U8, (diffad_shape){ 1, { 2 } }, (const float[]){ 1, 0 });
    expect_values(f, "empty", DIFFAD_F32, (diffad_shape){ 2, { 0, 3 } }, v);
    expect_values(f, "scalar", DIFFAD_F32, (diffad_shape){ 0, { 0 } }, (const float[]){ 1.5f });
    diffad_file_close(f);
}

Test(torch_file, views_and_types_have_their_values_in_every_container)
{
    expect_odd(DATA "odd/odd.pth");
    expect_odd(DATA "odd/odd_legacy.pth");
    expect_odd(DATA "odd/odd_protocol5.pth");
}

/* What is not wanted is not there. */
static bool wants_half(const char *name) { return strcmp(name, "half") == 0; }

Test(torch_file, tensors_that_are_not_wanted_are_left_out)
{
    diffad_file *f = NULL;
    cr_assert_eq(diffad_file_open_wanted(DATA "odd/odd.pth", wants_half, &f), DIFFAD_OK, "%s", diffad_error_detail());
    cr_expect_eq(diffad_file_count(f), 1);
    cr_expect_str_eq(diffad_file_at(f, 0)->name, "half");
    diffad_file_close(f);
}

/* The published checkpoint's data stay on disk, and are the same as in memory; a damaged storage shows when it is read. */
Test(torch_file, data_on_disk_are_the_same_as_in_memory)
{
    diffad_file *disk = NULL, *memory = NULL;
    bool         is_same;
    int          on_disk = 0;
    cr_assert_eq(diffad_file_open_wanted(DATA "ldm.ckpt", NULL, &disk), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_file_open(DATA "ldm.ckpt", &memory), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_file_count(disk), diffad_file_count(memory));
    for (int i = 0; i < diffad_file_count(disk); i++) {
        const diffad_file_tensor *x = diffad_file_at(disk, i), *y = diffad_file_at(memory, i);
        const int64_t             n = diffad_shape_count(&x->shape);
        float                    *a = calloc((size_t)n + 1, sizeof *a), *b = calloc((size_t)n + 1, sizeof *b);
        on_disk += !x->data;
        cr_expect(y->data && diffad_file_to_f32(x, a, n) == DIFFAD_OK && diffad_file_to_f32(y, b, n) == DIFFAD_OK, "%s", x->name);
        cr_expect_arr_eq(a, b, (size_t)n * sizeof *a, "%s", x->name);
        cr_expect(diffad_file_same_bytes(x, y, &is_same) == DIFFAD_OK && is_same, "%s", x->name);
        free(a);
        free(b);
    }
    cr_expect_gt(on_disk, 100, "%d tensors on disk", on_disk);
    diffad_file_close(disk);
    diffad_file_close(memory);
}

Test(torch_file, the_older_container_is_refused_where_it_is_cut)
{
    FILE         *in = fopen(DATA "odd/odd_legacy.pth", "rb");
    unsigned char bytes[8192];
    const size_t  n = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    for (size_t cut = 64; cut < n; cut++) {
        diffad_file   *f = NULL;
        unsigned char *copy = malloc(cut);
        memcpy(copy, bytes, cut);
        cr_expect_eq(diffad_file_parse("f", copy, cut, &f), DIFFAD_ERR_CHECKPOINT, "cut at %zu of %zu", cut, n);
        free(copy);
    }
}

static const float numbers[6] = { 1, -2, 3.5f, 0, 1e-30f, 6 };

/* Four tensors, of which two share their data. */
static int make_tensors(diffad_file_tensor *t)
{
    static const int64_t counter = 1LL << 40;
    const unsigned char *data = (const unsigned char *)numbers;
    t[0] = (diffad_file_tensor){ .name = "a.weight", .type = DIFFAD_F32, .shape = { 2, { 2, 3 } }, .data = data, .bytes = 24 };
    t[1] = (diffad_file_tensor){ .name = "b.weight", .type = DIFFAD_F32, .shape = { 1, { 6 } }, .data = data, .bytes = 24 };
    t[2] = (diffad_file_tensor){ .name = "n", .type = DIFFAD_I64, .data = (const unsigned char *)&counter, .bytes = 8 };
    t[3] = (diffad_file_tensor){ .name = "none", .type = DIFFAD_F32, .shape = { 2, { 0, 3 } }, .data = data, .bytes = 0 };
    return 4;
}

Test(torch_file, what_is_written_is_read_with_the_same_bits_and_storages)
{
    static const diffad_torch_field fields[] = { { "epoch", NULL, 7 }, { "global_step", NULL, 1LL << 40 }, { "note", "text", 0 } };
    diffad_file_tensor t[4];
    const int          count = make_tensors(t);
    const char        *path = folder_path(folder_new(), "out.ckpt");
    cr_assert_eq(diffad_torch_save(path, t, count, fields, 3), DIFFAD_OK, "%s", diffad_error_detail());

    diffad_file *f = open_or_die(path);

    cr_expect_eq(diffad_file_count(f), count);
    for (int i = 0; i < count; i++) {
        const diffad_file_tensor *have = diffad_file_at(f, i);
        cr_expect_str_eq(have->name, t[i].name);
        cr_expect(have->type == t[i].type && diffad_shape_equal(&have->shape, &t[i].shape) && have->bytes == t[i].bytes);
        cr_expect_eq(memcmp(have->data, t[i].data, (size_t)t[i].bytes), 0, "%s", t[i].name);
    }
    cr_expect_eq(diffad_file_at(f, 0)->data, diffad_file_at(f, 1)->data, "one storage");
    cr_expect_str_eq(diffad_file_metadata(f, "global_step"), "1099511627776");
    cr_expect_str_eq(diffad_file_metadata(f, "note"), "text");
    diffad_file_close(f);
}

Test(torch_file, the_same_tensors_give_the_same_file_with_aligned_data)
{
    diffad_file_tensor t[4];
    const int          count = make_tensors(t);
    static unsigned char one[4096], two[4096];
    const char        *folder = folder_new();
    mkdir(folder_path(folder, "other"), 0777);
    const char *a = folder_path(folder, "out.pckl"), *b = folder_path(folder, "other/out.pckl");
    cr_assert_eq(diffad_torch_save(a, t, count, NULL, 0), DIFFAD_OK);
    cr_assert_eq(diffad_torch_save(b, t, count, NULL, 0), DIFFAD_OK);
    FILE        *x = fopen(a, "rb"), *y = fopen(b, "rb");
    const size_t n = fread(one, 1, sizeof one, x), m = fread(two, 1, sizeof two, y);
    fclose(x);
    fclose(y);

    cr_expect(n == m && memcmp(one, two, n) == 0);
    const unsigned char *data = memmem(one, n, numbers, sizeof numbers);
    cr_assert(data);
    cr_expect_eq((data - one) % 64, 0);
}

Test(torch_file, names_and_sizes_that_torch_would_not_take_are_refused)
{
    diffad_file_tensor t[4];
    const int          count = make_tensors(t);
    const char        *path = folder_path(folder_new(), "out.ckpt");
    t[2].bytes = 4;
    cr_expect_eq(diffad_torch_save(path, t, count, NULL, 0), DIFFAD_ERR_USAGE);
    make_tensors(t);
    t[1].name = "a/b";
    cr_expect_eq(diffad_torch_save(path, t, count, NULL, 0), DIFFAD_ERR_USAGE);
    cr_expect_eq(access(path, F_OK), -1);
}

/* Whatever call fails: one reason, no half file, nothing kept. */
Test(torch_file, a_fault_while_writing_leaves_no_file, .timeout = 120)
{
    static const fault_kind kinds[] = { FAULT_ALLOC, FAULT_OPEN, FAULT_WRITE, FAULT_FSYNC, FAULT_RENAME, FAULT_CLOSE };
    diffad_file_tensor t[4];
    const int          count = make_tensors(t);
    const char        *folder = folder_new(), *path = folder_path(folder, "out.ckpt");
    fault_install();
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (int n = 1; fault_arm(kinds[k], n, false); n++) {
            const int64_t       blocks = fault_live_blocks(), files = fault_open_files();
            const diffad_status st = diffad_torch_save(path, t, count, NULL, 0);
            const bool          met = fault_met();
            fault_disarm();
            cr_expect_eq(fault_live_blocks(), blocks, "%s %d", fault_name(kinds[k]), n);
            cr_expect_eq(fault_open_files(), files, "%s %d", fault_name(kinds[k]), n);
            if (st == DIFFAD_OK) {
                diffad_file_close(open_or_die(path));
                cr_expect_eq(remove(path), 0);
            } else {
                cr_expect(met && *diffad_error_detail(), "%s %d", fault_name(kinds[k]), n);
                cr_expect_eq(folder_count(folder), 0, "%s %d: %s", fault_name(kinds[k]), n, diffad_error_detail());
            }
        }
}

Test(torch_file, a_fault_while_reading_is_told_and_leaves_nothing, .timeout = 120)
{
    static const fault_kind  kinds[] = { FAULT_ALLOC, FAULT_OPEN, FAULT_READ, FAULT_STAT };
    static const char *const paths[] = { DATA "odd/odd.pth", DATA "odd_legacy.pth" };
    fault_install();
    for (size_t p = 0; p < 2; p++)
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
            for (int n = 1; fault_arm(kinds[k], n, true); n++) {
                diffad_file        *f = NULL;
                const int64_t       blocks = fault_live_blocks(), files = fault_open_files();
                const diffad_status st = diffad_file_open(paths[p], &f);
                fault_disarm();
                if (st == DIFFAD_OK)
                    diffad_file_close(f);
                else
                    cr_expect(*diffad_error_detail() && (st == DIFFAD_ERR_CHECKPOINT || st == DIFFAD_ERR_MEMORY), "%s %d", fault_name(kinds[k]), n);
                cr_expect_eq(fault_live_blocks(), blocks, "%s %d", fault_name(kinds[k]), n);
                cr_expect_eq(fault_open_files(), files, "%s %d", fault_name(kinds[k]), n);
            }
}

Test(torch_file, slow_reads_and_writes_change_nothing)
{
    diffad_file_tensor t[4];
    const int          count = make_tensors(t);
    const char        *path = folder_path(folder_new(), "out.ckpt");
    fault_install();
    fault_slow(7);
    expect_odd(DATA "odd/odd.pth");
    expect_odd(DATA "odd/odd_legacy.pth");
    cr_assert_eq(diffad_torch_save(path, t, count, NULL, 0), DIFFAD_OK, "%s", diffad_error_detail());
    diffad_file_close(open_or_die(path));
}
