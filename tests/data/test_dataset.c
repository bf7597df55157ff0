/* test_dataset.c: layouts of data sets, and ground truth. */
#include "data/dataset.h"
#include "data/files.h"

/* A class folder with `train` good images, two good and two broken test images with masks. */
static const char *make_class(const char *name, int train)
{
    char file[64];
    const char *root = joined(temporary(), name);
    for (int i = 0; i < train; i++) {
        snprintf(file, sizeof file, "train/good/%03d.png", i);
        spill_image(joined(root, file), 8, 8, 3, i);
    }
    spill_image(joined(root, "test/good/000.png"), 8, 8, 3, 100);
    spill_image(joined(root, "test/broken/001.png"), 8, 8, 3, 102);
    spill_image(joined(root, "test/broken/000.png"), 8, 8, 3, 101);
    spill_image(joined(root, "test/cut/000.PNG"), 8, 8, 3, 103);
    spill_image(joined(root, "ground_truth/broken/000_mask.png"), 8, 8, 1, 255);
    spill_image(joined(root, "ground_truth/broken/001_mask.png"), 8, 8, 1, 255);
    spill_image(joined(root, "ground_truth/cut/000_mask.png"), 8, 8, 1, 255);
    spill(joined(root, "train/good/notes.txt"), "x", 1);
    spill(joined(root, "test/broken/._000.png"), "x", 1);
    return joined(temporary(), name);
}

static diffad_status opens(const char *root, const char *name)
{
    diffad_dataset *d = NULL;
    const diffad_status st = diffad_dataset_open(root, name, &d);
    cr_assert((st == DIFFAD_OK) == (d != NULL));
    diffad_dataset_close(d);
    return st;
}

Test(dataset, mvtec_layout_is_read_in_sorted_order)
{
    diffad_dataset *d;
    make_class("part", 3);

    MUST(diffad_dataset_open(temporary(), "part", &d));

    cr_expect_str_eq(diffad_dataset_class(d), "part");
    cr_expect_not(diffad_dataset_is_plain(d));
    cr_expect_eq(diffad_dataset_train_count(d), 3);
    cr_expect_eq(diffad_dataset_holdout_count(d), 0);
    cr_assert_eq(diffad_dataset_test_count(d), 4);
    static const char *const paths[] = { "test/broken/000.png", "test/broken/001.png", "test/cut/000.PNG",
                                         "test/good/000.png" };
    static const char *const kinds[] = { "broken", "broken", "cut", "good" };
    for (int i = 0; i < 4; i++) {
        const diffad_item *item = diffad_dataset_test(d, i);
        cr_expect_not_null(strstr(item->path, paths[i]), "%s", item->path);
        cr_expect_str_eq(item->defect, kinds[i]);
        cr_expect_eq(item->anomalous, i < 3);
        cr_expect_eq(item->mask != NULL, i < 3);
    }
    cr_expect_not_null(strstr(diffad_dataset_test(d, 1)->mask, "ground_truth/broken/001_mask.png"));
    cr_expect_null(diffad_dataset_test(d, 4));
    cr_expect_null(diffad_dataset_train(d, -1));
    diffad_dataset_close(d);
}

Test(dataset, a_class_folder_opens_without_a_name_too)
{
    diffad_dataset *d;
    make_class("part", 2);

    MUST(diffad_dataset_open(joined(temporary(), "part//"), NULL, &d));

    cr_expect_str_eq(diffad_dataset_class(d), "part");
    cr_expect_eq(diffad_dataset_test_count(d), 4);
    diffad_dataset_close(d);
}

Test(dataset, a_plain_folder_holds_every_tenth_image_back)
{
    static const int cases[][3] = {
        { 1, 1, 0 }, { 2, 1, 1 }, { 9, 8, 1 }, { 10, 9, 1 }, { 25, 23, 2 }
    }; /* images, train, held */
    for (int c = 0; c < 5; c++) {
        char folder[32], file[64];
        snprintf(folder, sizeof folder, "plain%d", c);
        for (int i = 0; i < cases[c][0]; i++) {
            snprintf(file, sizeof file, "%s/%03d.png", folder, i);
            spill_image(joined(temporary(), file), 4, 4, 1, i);
        }
        diffad_dataset *d;

        MUST(diffad_dataset_open(joined(temporary(), folder), NULL, &d));

        cr_expect(diffad_dataset_is_plain(d));
        cr_expect_eq(diffad_dataset_train_count(d), cases[c][1], "%d images", cases[c][0]);
        cr_expect_eq(diffad_dataset_holdout_count(d), cases[c][2], "%d images", cases[c][0]);
        cr_expect_eq(diffad_dataset_test_count(d), 0);
        diffad_dataset_close(d);
    }
}

Test(dataset, missing_pieces_are_named)
{
    make_class("part", 1);
    spill(joined(temporary(), "empty/train/good/notes.txt"), "x", 1);
    spill(joined(temporary(), "nothing/notes.txt"), "x", 1);

    cr_expect_eq(opens("/nowhere", NULL), DIFFAD_ERR_DATA);
    SAYS("/nowhere");
    cr_expect_eq(opens(temporary(), "prat"), DIFFAD_ERR_DATA);
    SAYS("part");
    cr_expect_eq(opens(temporary(), NULL), DIFFAD_ERR_DATA);
    SAYS("choose one of");
    cr_expect_eq(opens(temporary(), "empty"), DIFFAD_ERR_DATA);
    SAYS("train/good");
    cr_expect_eq(opens(temporary(), "nothing"), DIFFAD_ERR_DATA);
    SAYS("neither images");
    remove(joined(temporary(), "part/ground_truth/broken/001_mask.png"));
    cr_expect_eq(opens(temporary(), "part"), DIFFAD_ERR_DATA);
    SAYS("test/broken/001.png");
}

Test(dataset, a_set_without_ground_truth_opens_without_masks)
{
    diffad_dataset *d;
    uint8_t mask[64];
    spill_image(joined(temporary(), "p/train/good/0.png"), 8, 8, 3, 1);
    spill_image(joined(temporary(), "p/test/bad/0.png"), 8, 8, 3, 2);

    MUST(diffad_dataset_open(temporary(), "p", &d));

    cr_expect_null(diffad_dataset_test(d, 0)->mask);
    cr_expect_eq(diffad_dataset_mask(diffad_dataset_test(d, 0), 8, 8, true, mask), DIFFAD_ERR_DATA);
    diffad_dataset_close(d);
}

/* Left half set, 8x8, to 4x4: whole cells stay; to 3x3: the middle column is a mix, which official truncation
 * drops. */
Test(dataset, official_masks_keep_only_pixels_that_stay_full)
{
    diffad_image truth;
    const char *path = joined(temporary(), "m_mask.png"), *image = joined(temporary(), "m.png");
    uint8_t mask[16];
    MUST(diffad_image_create(8, 8, 1, &truth));
    for (int i = 0; i < 64; i++)
        truth.pixels[i] = i % 8 < 5 ? 255 : 0;
    MUST(diffad_image_save_png(path, &truth));
    spill_image(image, 8, 8, 3, 9);
    const diffad_item item = { .path = image, .mask = path, .defect = "x", .anomalous = true };

    MUST(diffad_dataset_mask(&item, 4, 4, true, mask));

    for (int i = 0; i < 16; i++)
        cr_expect_eq(mask[i], i % 4 < 2, "official at %d", i);      /* column 2 is the mean of 255 and 0 */
    MUST(diffad_dataset_mask(&item, 4, 4, false, mask));
    for (int i = 0; i < 16; i++)
        cr_expect_eq(mask[i], i % 4 < 2, "nearest at %d", i);       /* column 2 looks at source column 5 */
    MUST(diffad_dataset_mask(&item, 3, 3, false, mask));
    for (int i = 0; i < 9; i++)
        cr_expect_eq(mask[i], i % 3 < 2, "nearest of three at %d", i);
    MUST(diffad_dataset_mask(&item, 3, 3, true, mask));
    for (int i = 0; i < 9; i++)
        cr_expect_eq(mask[i], i % 3 < 2, "official of three at %d",
                     i); /* centre column: source 3.5, between 3 and 4 */
    diffad_image_release(&truth);
}

Test(dataset, a_good_image_has_an_empty_mask)
{
    const diffad_item item = { .path = "unread", .defect = "good" };
    uint8_t mask[4] = { 1, 1, 1, 1 };

    MUST(diffad_dataset_mask(&item, 2, 2, true, mask));

    cr_expect_arr_eq(mask, ((uint8_t[4]){ 0 }), 4);
}

Test(dataset, a_mask_of_another_size_than_its_image_is_refused)
{
    const char *path = joined(temporary(), "m_mask.png"), *image = joined(temporary(), "m.png");
    uint8_t mask[16];
    spill_image(path, 8, 7, 1, 255);
    spill_image(image, 8, 8, 3, 9);
    const diffad_item item = { .path = image, .mask = path, .defect = "x", .anomalous = true };

    cr_expect_eq(diffad_dataset_mask(&item, 4, 4, true, mask), DIFFAD_ERR_DATA);
    SAYS("m.png");
    SAYS("m_mask.png");
}

Test(dataset, the_photographs_are_complete)
{
    diffad_dataset *d;

    MUST(diffad_dataset_open(test_file(""), "ballscrew", &d));

    cr_expect_eq(diffad_dataset_train_count(d), 60);
    cr_expect_eq(diffad_dataset_test_count(d), 24);
    for (int i = 0; i < 24; i++) {
        static uint8_t mask[128 * 128];
        const diffad_item *item = diffad_dataset_test(d, i);
        int set = 0;
        MUST(diffad_dataset_mask(item, 128, 128, false, mask));
        for (int k = 0; k < 128 * 128; k++)
            set += mask[k];
        cr_expect_eq(set > 0, item->anomalous, "%s", item->path);
    }
    diffad_dataset_close(d);
}

static const char *fingerprint_of(const char *root)
{
    static char    hex[4][17];
    static int     turn;
    diffad_dataset *d;
    MUST(diffad_dataset_open(root, NULL, &d));
    MUST(diffad_dataset_fingerprint(d, hex[turn++ % 4]));
    diffad_dataset_close(d);
    return hex[(turn - 1) % 4];
}

Test(dataset, a_fingerprint_follows_contents_and_names_alone)
{
    const char *a = make_class("a", 3), *b = make_class("b", 3);
    const char *first = fingerprint_of(a);

    cr_expect_eq(strlen(first), 16);
    cr_expect_str_eq(first, fingerprint_of(b), "wherever it lies");
    spill_image(joined(a, "ground_truth/broken/000_mask.png"), 8, 8, 1, 7);
    const char *masked = fingerprint_of(a);
    cr_expect_str_neq(masked, first);
    cr_assert_eq(rename(joined(a, "train/good/002.png"), joined(a, "train/good/005.png")), 0);
    cr_expect_str_neq(fingerprint_of(a), masked);
}
