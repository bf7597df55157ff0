/* test_loader.c: training samples: the same ones whatever the threads, the order and the batches. */
#include "data/files.h"

#include <math.h>

enum { SIDE = 32, PIXELS = SIDE * SIDE, MAX_VALUES = 3 * PIXELS };

static const char *set_folder(void)
{
    const diffad_synth_options o = {
        .size = SIDE, .train = 6, .test_good = 1, .test_bad = 1, .textures = 5, .seed = 3
    };
    const char *folder = joined(temporary(), "set");
    if (!diffad_path_exists(folder))
        MUST(diffad_data_synth(folder, &o));
    return folder;
}

static diffad_dataset *open_set(void)
{
    diffad_dataset *d;
    MUST(diffad_dataset_open(set_folder(), "washer", &d));
    return d;
}

static diffad_loader_options small_options(void)
{
    diffad_loader_options o = diffad_loader_options_default();
    o.width = o.height = SIDE;
    o.seed = 11;
    return o;
}

typedef struct sample { float image[MAX_VALUES], augmented[MAX_VALUES]; uint8_t mask[PIXELS]; int index; bool turned; } sample;

static void copy_sample(const diffad_batch *b, const diffad_loader_options *o, int i, sample *to)
{
    const size_t values = (size_t)(o->channels * PIXELS);
    memset(to, 0, sizeof *to);
    memcpy(to->image, b->image + (size_t)i * values, values * sizeof(float));
    if (o->anomalies) {
        memcpy(to->augmented, b->augmented + (size_t)i * values, values * sizeof(float));
        memcpy(to->mask, b->mask + i * PIXELS, PIXELS);
    }
    to->index  = b->index[i];
    to->turned = b->turned[i];
}

/* Samples 0..count-1, asked for in batches of `step`. */
static sample *load_all(diffad_loader_options o, int count, int step)
{
    diffad_dataset *d = open_set();
    diffad_loader *l;
    sample *all = calloc((size_t)count, sizeof *all);
    MUST(diffad_loader_create(d, &o, &l));
    for (int at = 0; at < count; at += step) {
        const diffad_batch *b;
        const int n = count - at < step ? count - at : step;
        MUST(diffad_loader_get(l, at, n, &b));
        cr_assert_eq(b->count, n);
        for (int i = 0; i < n; i++)
            copy_sample(b, &o, i, &all[at + i]);
    }
    diffad_loader_destroy(l);
    diffad_dataset_close(d);
    return all;
}

Test(loader, thread_count_and_batch_size_change_no_sample)
{
    diffad_loader_options o = small_options();
    o.threads = 1;
    sample *want = load_all(o, 48, 8);

    static const int cases[][2] = { { 2, 8 }, { 4, 8 }, { 3, 5 }, { 1, 48 }, { 4, 1 } };
    for (int c = 0; c < 5; c++) {
        o.threads = cases[c][0];
        sample *got = load_all(o, 48, cases[c][1]);
        for (int i = 0; i < 48; i++)
            cr_assert_eq(memcmp(&got[i], &want[i], sizeof *got), 0, "sample %d with %d threads, batches of %d",
                         i, cases[c][0], cases[c][1]);
        free(got);
    }
    free(want);
}

Test(loader, random_access_equals_sequential_access)
{
    static const int64_t starts[] = { 16, 40, 0, 8, 3, 3, 44, 4294967290 };
    diffad_loader_options o = small_options();
    sample *want = load_all(o, 48, 8), got;
    diffad_dataset *d = open_set();
    diffad_loader *l;
    const diffad_batch *b;
    MUST(diffad_loader_create(d, &o, &l));

    for (int c = 0; c < 7; c++) {
        MUST(diffad_loader_get(l, starts[c], 4, &b));
        for (int i = 0; i < 4; i++) {
            copy_sample(b, &o, i, &got);
            cr_assert_eq(memcmp(&got, &want[starts[c] + i], sizeof got), 0, "sample %lld",
                         (long long)starts[c] + i);
        }
    }
    MUST(diffad_loader_get(l, starts[7], 12, &b));      /* over the end of 32 bits: sample 2^32 is not sample 0 */
    copy_sample(b, &o, 6, &got);
    cr_expect_neq(memcmp(&got, &want[0], sizeof got), 0);
    diffad_loader_destroy(l);
    diffad_dataset_close(d);
    free(want);
}

Test(loader, seed_and_stage_change_the_samples)
{
    diffad_loader_options o = small_options(), other = o, later = o;
    other.seed++;
    later.stage = 1;
    sample *a = load_all(o, 12, 12), *b = load_all(other, 12, 12), *c = load_all(later, 12, 12);
    int same = 0;

    for (int i = 0; i < 12; i++)
        same += (memcmp(&a[i], &b[i], sizeof *a) == 0) + (memcmp(&a[i], &c[i], sizeof *a) == 0);

    cr_expect_leq(same, 4);      /* unturned draws of the same of six pictures without an anomaly may agree */
    free(a);
    free(b);
    free(c);
}

Test(loader, half_of_the_samples_are_anomalous_and_change_only_under_the_mask)
{
    enum { COUNT = 400 };
    diffad_loader_options o = small_options();
    sample *all = load_all(o, COUNT, 20);
    int anomalous = 0, drawn = 0;

    for (int i = 0; i < COUNT; i++) {
        int set = 0;
        drawn |= 1 << all[i].index;
        for (int k = 0; k < PIXELS; k++) {
            cr_assert_leq(all[i].mask[k], 1);
            set += all[i].mask[k];
            for (int c = 0; c < 3; c++) {
                const float x = all[i].image[c * PIXELS + k], a = all[i].augmented[c * PIXELS + k];
                cr_assert(x >= 0 && x <= 1 && a >= 0 && a <= 1);
                if (!all[i].mask[k])
                    cr_assert_eq(x, a, "sample %d changed outside its mask", i);
            }
        }
        anomalous += set > 0;
    }

    cr_expect_eq(drawn, 63);
    cr_expect(anomalous > 120 && anomalous < 210, "%d of %d", anomalous,
              COUNT); /* some masks of the other half are empty */
    free(all);
}

Test(loader, three_in_ten_pictures_are_turned_and_the_others_are_the_files)
{
    enum { COUNT = 200 };
    diffad_loader_options o = small_options();
    diffad_dataset *d = open_set();
    sample *all = load_all(o, COUNT, 20);
    int turned = 0;

    for (int i = 0; i < COUNT; i++) {
        float picture[MAX_VALUES];
        MUST(diffad_picture_load(diffad_dataset_train(d, all[i].index)->path, &o, picture));
        turned += all[i].turned;
        cr_expect_eq(all[i].turned, memcmp(picture, all[i].image, sizeof picture) != 0, "sample %d", i);
    }
    cr_expect(turned > 35 && turned < 85, "%d of %d", turned, COUNT);
    free(all);

    o.rotate = false;
    all = load_all(o, COUNT, 20);
    for (int i = 0; i < COUNT; i++) {
        float picture[MAX_VALUES];
        MUST(diffad_picture_load(diffad_dataset_train(d, all[i].index)->path, &o, picture));
        cr_assert_arr_eq(picture, all[i].image, sizeof picture);
        cr_expect_not(all[i].turned);
    }
    free(all);
    diffad_dataset_close(d);
}

Test(loader, channel_order_and_range_are_as_asked)
{
    diffad_loader_options o = small_options(), rgb = o, wide = o, grey = o;
    const char *path = joined(set_folder(), "cloth/train/good/000.png");
    float a[MAX_VALUES], b[MAX_VALUES], c[MAX_VALUES], g[PIXELS];
    diffad_image image, back;
    rgb.bgr = false;
    wide.range_lo = -1;
    grey.channels = 1;

    MUST(diffad_image_load(path, 3, NULL, &image));
    MUST(diffad_picture_load(path, &o, a));
    MUST(diffad_picture_load(path, &rgb, b));
    MUST(diffad_picture_load(path, &wide, c));
    MUST(diffad_picture_load(path, &grey, g));

    for (int i = 0; i < PIXELS; i++) {
        cr_assert_eq(b[i], (float)image.pixels[3 * i] / 255.0f);
        cr_assert_eq(a[i], b[2 * PIXELS + i]);
        cr_assert_float_eq(c[i], 2 * a[i] - 1, 1e-6);
        cr_assert_float_eq(g[i], 0.299f * b[i] + 0.587f * b[PIXELS + i] + 0.114f * b[2 * PIXELS + i], 0.003);
    }
    MUST(diffad_picture_to_image(a, &o, &back));
    cr_expect_arr_eq(back.pixels, image.pixels, MAX_VALUES);
    diffad_image_release(&back);
    MUST(diffad_picture_to_image(c, &wide, &back));
    cr_expect_arr_eq(back.pixels, image.pixels, MAX_VALUES);
    diffad_image_release(&back);
    diffad_image_release(&image);
}

Test(loader, values_out_of_range_are_clamped_in_pictures)
{
    diffad_loader_options o = small_options();
    o.width = o.height = 2;
    o.channels = 1;
    diffad_image image;

    MUST(diffad_picture_to_image((float[]){ -3, 7, NAN, 0.5f }, &o, &image));

    static const uint8_t want[4] = { 0, 255, 0, 128 };
    for (int i = 0; i < 12; i++)
        cr_expect_eq(image.pixels[i], want[i / 3]);
    diffad_image_release(&image);
}

Test(loader, grey_samples_and_textures_from_a_folder_work)
{
    diffad_loader_options o = small_options();
    o.channels = 1;
    o.textures = joined(set_folder(), "textures");
    sample *grey = load_all(o, 40, 8);
    o.textures = NULL;
    sample *procedural = load_all(o, 40, 8);
    int differ = 0;

    for (int i = 0; i < 40; i++) {
        cr_expect_arr_eq(grey[i].image, procedural[i].image, sizeof grey[i].image);
        cr_expect_arr_eq(grey[i].mask, procedural[i].mask, sizeof grey[i].mask);
        differ += memcmp(grey[i].augmented, procedural[i].augmented, sizeof grey[i].augmented) != 0;
    }

    cr_expect_geq(differ, 8);
    free(grey);
    free(procedural);
}

Test(loader, without_anomalies_there_is_only_the_image)
{
    diffad_loader_options o = small_options();
    diffad_dataset *d = open_set();
    diffad_loader *l;
    const diffad_batch *b;
    o.anomalies = false;
    MUST(diffad_loader_create(d, &o, &l));

    MUST(diffad_loader_get(l, 0, 4, &b));

    cr_expect_null(b->augmented);
    cr_expect_null(b->mask);
    cr_expect_not_null(b->image);
    diffad_loader_destroy(l);
    diffad_dataset_close(d);
}

Test(loader, a_batch_stays_while_the_threads_work_ahead)
{
    diffad_loader_options o = small_options();
    diffad_dataset *d = open_set();
    diffad_loader *l;
    const diffad_batch *b;
    sample before, after;
    MUST(diffad_loader_create(d, &o, &l));
    MUST(diffad_loader_get(l, 0, 8, &b));
    copy_sample(b, &o, 3, &before);

    const uint64_t until = diffad_sys.monotonic_ns() + 200000000u;
    while (diffad_sys.monotonic_ns() < until)
        ;

    copy_sample(b, &o, 3, &after);
    cr_expect_eq(memcmp(&before, &after, sizeof before), 0);
    diffad_loader_destroy(l);
    diffad_dataset_close(d);
}

Test(loader, a_damaged_picture_is_reported_by_its_name_and_the_loader_goes_on)
{
    diffad_loader_options o = small_options();
    diffad_dataset *d = open_set();
    diffad_loader *l;
    const diffad_batch *b;
    const char *path = diffad_dataset_train(d, 2)->path;
    size_t bytes = 0;
    unsigned char *data = slurp(path, &bytes);
    MUST(diffad_loader_create(d, &o, &l));

    spill(path, data, bytes / 2);
    cr_expect_eq(diffad_loader_get(l, 0, 40, &b), DIFFAD_ERR_DATA);
    SAYS(path);
    spill(path, data, bytes);
    MUST(diffad_loader_get(l, 0, 40, &b));

    diffad_loader_destroy(l);
    diffad_dataset_close(d);
    diffad_release(data);
}

Test(loader, wrong_requests_are_refused)
{
    diffad_loader_options o = small_options(), bad;
    diffad_dataset *d = open_set();
    diffad_loader *l = NULL;
    const diffad_batch *b;

    bad = o;
    bad.width = 0;
    cr_expect_eq(diffad_loader_create(d, &bad, &l), DIFFAD_ERR_USAGE);
    bad = o;
    bad.channels = 2;
    cr_expect_eq(diffad_loader_create(d, &bad, &l), DIFFAD_ERR_USAGE);
    bad = o;
    bad.threads = 0;
    cr_expect_eq(diffad_loader_create(d, &bad, &l), DIFFAD_ERR_USAGE);
    bad = o;
    bad.range_hi = bad.range_lo;
    cr_expect_eq(diffad_loader_create(d, &bad, &l), DIFFAD_ERR_USAGE);
    bad = o;
    bad.textures = "/nowhere";
    cr_expect_eq(diffad_loader_create(d, &bad, &l), DIFFAD_ERR_DATA);
    SAYS("/nowhere");
    bad.textures = joined(set_folder(), "washer/ground_truth/good");
    cr_expect_eq(diffad_loader_create(d, &bad, &l), DIFFAD_ERR_DATA);
    cr_expect_null(l);

    MUST(diffad_loader_create(d, &o, &l));
    cr_expect_eq(diffad_loader_get(l, -1, 2, &b), DIFFAD_ERR_USAGE);
    cr_expect_eq(diffad_loader_get(l, 0, 0, &b), DIFFAD_ERR_USAGE);
    diffad_loader_destroy(l);
    diffad_loader_destroy(NULL);
    diffad_dataset_close(d);
}
