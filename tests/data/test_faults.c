/* test_faults.c: memory that runs out at any point is reported as such, and nothing is left behind (see the run
 * with sanitizers). */
#include "data/files.h"

#include <stdatomic.h>

static atomic_int calls_left;
static void *(*true_alloc)(size_t bytes);
static void *(*true_resize)(void *p, size_t bytes);

static bool is_out(void) { return atomic_fetch_sub(&calls_left, 1) <= 0; }
static void *failing_alloc(size_t bytes) { return is_out() ? NULL : true_alloc(bytes); }
static void *failing_resize(void *p, size_t bytes) { return is_out() ? NULL : true_resize(p, bytes); }

/* Runs `action` with 0, 1, 2, ... successful allocations until it succeeds. */
static void run_out(diffad_status (*action)(void), const char *what)
{
    true_alloc = diffad_sys.alloc;
    true_resize = diffad_sys.resize;
    diffad_status st = DIFFAD_ERR_MEMORY;
    int n = 0;
    for (; n < 2000 && st != DIFFAD_OK; n++) {
        atomic_store(&calls_left, n);
        diffad_sys.alloc = failing_alloc;
        diffad_sys.resize = failing_resize;
        st = action();
        diffad_sys.alloc = true_alloc;
        diffad_sys.resize = true_resize;
        cr_assert(st == DIFFAD_OK || st == DIFFAD_ERR_MEMORY, "%s, allocation %d: %s: %s", what, n,
                  diffad_status_name(st), diffad_error_detail());
    }
    cr_assert_eq(st, DIFFAD_OK, "%s never succeeds", what);
    cr_assert_gt(n, 1, "%s allocates nothing", what);
}

static const char *file;

static diffad_status load_and_save(void)
{
    diffad_image image, small;
    unsigned char *data;
    int64_t bytes;
    DIFFAD_TRY(diffad_image_load(file, 3, NULL, &image));
    diffad_status st = diffad_image_resize(&image, 5, 5, &small);
    if (st == DIFFAD_OK) {
        st = diffad_image_encode_png(&small, &data, &bytes);
        diffad_image_release(&small);
        if (st == DIFFAD_OK)
            diffad_memory_release(data);
    }
    diffad_image_release(&image);
    return st;
}

Test(faults, images)
{
    static const char *const files[] = { "rgb8.png", "grey8.png", "rgba16_interlaced.png", "cmyk.jpg",
                                         "rgb24.bmp" };
    for (int i = 0; i < 5; i++) {
        file = joined(test_file("images"), files[i]);
        run_out(load_and_save, files[i]);
    }
}

static const char *folder;

static diffad_status load_samples(void)
{
    diffad_dataset *d;
    diffad_loader *l = NULL;
    const diffad_batch *b;
    diffad_loader_options o = diffad_loader_options_default();
    o.width = o.height = 16;
    o.threads = 1;
    o.textures = joined(folder, "textures");
    DIFFAD_TRY(diffad_dataset_open(folder, "washer", &d));
    diffad_status st = diffad_loader_create(d, &o, &l);
    if (st == DIFFAD_OK)
        st = diffad_loader_get(l, 0, 3, &b);
    diffad_loader_destroy(l);
    diffad_dataset_close(d);
    return st;
}

static diffad_status check(void)
{
    diffad_data_report *r;
    DIFFAD_TRY(diffad_data_check(folder, &r));
    diffad_data_report_release(r);
    return DIFFAD_OK;
}

Test(faults, data_sets_and_samples)
{
    const diffad_synth_options o = { .size = 16, .train = 2, .test_good = 1, .test_bad = 3, .textures = 2 };
    folder = joined(temporary(), "set");
    MUST(diffad_data_synth(folder, &o));

    run_out(load_samples, "loader");
    run_out(check, "check");
}

static diffad_status check_visa(void)
{
    diffad_dataset *d;
    DIFFAD_TRY(diffad_dataset_open(folder, "candle", &d));
    diffad_dataset_close(d);
    return check();
}

Test(faults, a_table_of_images_and_groups)
{
    static const char split[] = "object,split,label,image,mask\n"
                                "candle,train,normal,candle/Data/Images/Normal/0.png,\n"
                                "candle,test,anomaly,candle/Data/Images/Anomaly/0.png,candle/Data/Masks/Anomaly/0.png\n"
                                "candle,test,normal,candle/Data/Images/Normal/1.png,\n";
    static const char groups[] = "Data/Images/Normal/0.png\ta\nData/Images/Normal/1.png\ta\n";
    folder = joined(temporary(), "visa");
    spill(joined(folder, "split_csv/1cls.csv"), split, sizeof split - 1);
    spill(joined(folder, "candle/groups.tsv"), groups, sizeof groups - 1);
    spill_image(joined(folder, "candle/Data/Images/Normal/0.png"), 8, 8, 3, 1);
    spill_image(joined(folder, "candle/Data/Images/Normal/1.png"), 8, 8, 3, 2);
    spill_image(joined(folder, "candle/Data/Images/Anomaly/0.png"), 8, 8, 3, 3);
    spill_image(joined(folder, "candle/Data/Masks/Anomaly/0.png"), 8, 8, 1, 1);

    run_out(check_visa, "visa");
}
