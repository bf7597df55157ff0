/* test_layouts.c: VisA, BTAD, LOCO and DTD as they are released, whole and broken; groups of photographs. */
#include "data/files.h"

#include "data/dataset.h"

static const char *in_root(const char *name) { return joined(temporary(), name); }

static diffad_status opens(const char *root, const char *name)
{
    diffad_dataset *d = NULL;
    const diffad_status st = diffad_dataset_open(root, name, &d);
    cr_assert((st == DIFFAD_OK) == (d != NULL));
    diffad_dataset_close(d);
    return st;
}

static bool finds(const diffad_data_report *r, const char *text)
{
    for (int i = 0; i < r->finding_count; i++)
        if (strstr(r->findings[i], text))
            return true;
    return false;
}

static void write_text(const char *path, const char *text) { spill(path, text, strlen(text)); }

/* A mask with `value` in its left half. */
static void spill_half(const char *path, int width, int height, int value)
{
    diffad_image image;
    unsigned char *data = NULL;
    int64_t bytes = 0;
    MUST(diffad_image_create(width, height, 1, &image));
    for (int i = 0; i < width * height; i++)
        image.pixels[i] = (uint8_t)(i % width < width / 2 ? value : 0);
    MUST(diffad_image_encode_png(&image, &data, &bytes));
    spill(path, data, (size_t)bytes);
    diffad_memory_release(data);
    diffad_image_release(&image);
}

static int set_pixels(const diffad_item *item, int side, bool official)
{
    static uint8_t mask[64 * 64];
    int set = 0;
    MUST(diffad_dataset_mask(item, side, side, official, mask));
    for (int i = 0; i < side * side; i++)
        set += mask[i];
    return set;
}

/* ---- VisA ---- */

#define VISA_HEAD "object,split,label,image,mask\r\n"
#define VISA_ROWS                                                                   \
    "candle,train,normal,candle/Data/Images/Normal/0001.png,\r\n"                   \
    "candle,test,normal,candle/Data/Images/Normal/0000.png,\r\n"                    \
    "candle,train,normal,candle/Data/Images/Normal/0002.png,\r\n"                   \
    "pcb1,train,normal,pcb1/Data/Images/Normal/0000.png,\r\n"                       \
    "candle,test,anomaly,\"candle/Data/Images/Anomaly/000.png\",candle/Data/Masks/Anomaly/000.png\r\n"

static void make_visa(const char *split)
{
    char name[80];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "visa/candle/Data/Images/Normal/%04d.png", i);
        spill_image(in_root(name), 8, 8, 3, i);
    }
    spill_image(in_root("visa/pcb1/Data/Images/Normal/0000.png"), 8, 8, 3, 9);
    spill_image(in_root("visa/candle/Data/Images/Anomaly/000.png"), 8, 8, 3, 7);
    spill_half(in_root("visa/candle/Data/Masks/Anomaly/000.png"), 8, 8, 2);
    write_text(in_root("visa/candle/image_anno.csv"), "image,label,mask\ncandle/Data/Images/Normal/0000.png,normal,\n"
                                                      "candle/Data/Images/Anomaly/000.png,\"chunk of wax, bent wick\","
                                                      "candle/Data/Masks/Anomaly/000.png\n");
    if (split)
        write_text(in_root("visa/split_csv/1cls.csv"), split);
}

Test(visa, is_read_as_its_split_says)
{
    diffad_dataset *d;
    make_visa(VISA_HEAD VISA_ROWS);

    MUST(diffad_dataset_open(in_root("visa"), "candle", &d));

    cr_expect_eq(diffad_dataset_layout(d), DIFFAD_DATA_VISA);
    cr_expect_not(diffad_dataset_is_plain(d));
    cr_assert_eq(diffad_dataset_train_count(d), 2);
    cr_expect(strstr(diffad_dataset_train(d, 0)->path, "Normal/0001.png") && strstr(diffad_dataset_train(d, 1)->path, "Normal/0002.png"));
    cr_assert_eq(diffad_dataset_test_count(d), 2);
    const diffad_item *bad = diffad_dataset_test(d, 0), *good = diffad_dataset_test(d, 1);
    cr_expect(bad->anomalous && !good->anomalous && strstr(good->path, "Normal/0000.png"));
    cr_expect_str_eq(bad->defect, "bad");
    cr_expect_str_eq(good->defect, "good");
    diffad_dataset_close(d);

    MUST(diffad_dataset_open(in_root("visa/candle/"), NULL, &d));
    cr_expect_eq(diffad_dataset_train_count(d), 2);
    diffad_dataset_close(d);
}

Test(visa, mask_values_from_one_on_mark_in_both_protocols)
{
    diffad_dataset *d;
    make_visa(VISA_HEAD VISA_ROWS);

    MUST(diffad_dataset_open(in_root("visa"), "candle", &d));

    cr_expect_eq(set_pixels(diffad_dataset_test(d, 0), 8, false), 32);
    cr_expect_eq(set_pixels(diffad_dataset_test(d, 0), 8, true), 32);
    cr_expect_eq(set_pixels(diffad_dataset_test(d, 0), 4, true), 8);
    diffad_dataset_close(d);
}

Test(visa, columns_may_come_in_another_order)
{
    make_visa("\xef\xbb\xbfmask,image,label,split,object\n,candle/Data/Images/Normal/0001.png,normal,train,candle\n");

    MUST(opens(in_root("visa"), "candle"));
}

Test(visa, a_broken_split_is_refused_with_its_line)
{
    static const struct { const char *split, *says; } cases[] = {
        { NULL, "split_csv/1cls.csv: missing" },
        { "", "empty" },
        { "object,split,label,image\n", "no column \"mask\"" },
        { VISA_HEAD "pcb1,train,normal,pcb1/Data/Images/Normal/0000.png,\n", "no line about \"candle\"" },
        { VISA_HEAD "candle,train,normal,candle/Data/Images/Normal/0009.png,\n", "line 2 names \"candle/Data/Images/Normal/0009.png\"" },
        { VISA_HEAD "candle,train,normal,candle/../../etc/passwd,\n", "which is not there" },
        { VISA_HEAD "candle,train,normal,/etc/passwd,\n", "which is not there" },
        { VISA_HEAD "candle,train,anomaly,candle/Data/Images/Anomaly/000.png,\n", "an anomaly for training" },
        { VISA_HEAD "candle,validate,normal,candle/Data/Images/Normal/0001.png,\n", "split \"validate\"" },
        { VISA_HEAD "candle,test,anomaly,candle/Data/Images/Anomaly/000.png,candle/Data/Masks/Anomaly/9.png\n", "its mask is missing" },
        { VISA_HEAD "candle,test,normal,candle/Data/Images/Normal/0001.png,\n", "no training image" },
        { VISA_HEAD "candle,\"train", "split \"train\"" },
    };
    make_visa(NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].split)
            write_text(in_root("visa/split_csv/1cls.csv"), cases[i].split);
        cr_expect_eq(opens(in_root("visa"), "candle"), DIFFAD_ERR_DATA, "case %d", (int)i);
        SAYS(cases[i].says);
        cr_expect_null(strchr(diffad_error_detail(), '\n'));
    }
}

Test(visa, check_tells_layout_counts_and_what_is_missing)
{
    diffad_data_report *r;
    make_visa(VISA_HEAD VISA_ROWS);
    MUST(diffad_data_check(in_root("visa"), &r));
    cr_assert_eq(r->class_count, 2);
    const diffad_data_class *c = &r->classes[0];
    cr_expect(c->layout == DIFFAD_DATA_VISA && c->train == 2 && c->test_good == 1 && c->test_bad == 1 && c->masks == 1);
    cr_expect(c->faults == 0 && c->unused == 0 && c->masks_not_binary == 0 && c->masks_missing == 0);
    cr_expect(finds(r, "pcb1/image_anno.csv: missing"));
    diffad_data_report_release(r);

    make_visa(VISA_HEAD "candle,train,normal,candle/Data/Images/Normal/0001.png,\n"
                        "candle,train,normal,candle/Data/Images/Normal/0009.png,\n"
                        "candle,test,anomaly,candle/Data/Images/Anomaly/000.png,candle/Data/Masks/Anomaly/1.png\n");
    write_text(in_root("visa/candle/image_anno.csv"), "image,label,mask\ncandle/Data/Images/Normal/0077.png,normal,\n");
    MUST(diffad_data_check(in_root("visa/candle"), &r));
    c = &r->classes[0];
    cr_expect(c->train == 1 && c->faults == 2 && c->unused == 2 && c->masks_missing == 1, "%d %d %d %d", c->train, c->faults,
              c->unused, c->masks_missing);
    cr_expect(finds(r, "0009.png") && finds(r, "0077.png") && finds(r, "no mask in"));
    diffad_data_report_release(r);

    remove(in_root("visa/split_csv/1cls.csv"));
    MUST(diffad_data_check(in_root("visa/candle"), &r));
    cr_expect(r->classes[0].train == 0 && finds(r, "1cls.csv: missing"));
    diffad_data_report_release(r);
}

/* ---- BTAD ---- */

static void write_bmp(const char *path, int width, int height, int value)
{
    unsigned char file[4096] = "BM";
    const int stride = (3 * width + 3) / 4 * 4, bytes = 54 + stride * height;
    cr_assert_leq(bytes, 4096);
    file[2] = (unsigned char)bytes, file[3] = (unsigned char)(bytes >> 8), file[10] = 54, file[14] = 40;
    file[18] = (unsigned char)width, file[22] = (unsigned char)height, file[26] = 1, file[28] = 24;
    memset(file + 54, value, (size_t)(stride * height));
    spill(path, file, (size_t)bytes);
}

Test(btad, is_read_with_its_names_and_bmp_files)
{
    diffad_dataset *d;
    diffad_data_report *r;
    write_bmp(in_root("btad/01/train/ok/0000.bmp"), 8, 8, 10);
    write_bmp(in_root("btad/01/test/ok/0001.bmp"), 8, 8, 20);
    write_bmp(in_root("btad/01/test/ko/0002.bmp"), 8, 8, 30);
    spill_image(in_root("btad/01/test/ko/0003.png"), 8, 8, 3, 40);
    write_bmp(in_root("btad/01/ground_truth/ko/0002.bmp"), 8, 8, 255);
    spill_half(in_root("btad/01/ground_truth/ko/0003.png"), 8, 8, 255);

    MUST(diffad_dataset_open(in_root("btad"), "01", &d));

    cr_expect_eq(diffad_dataset_layout(d), DIFFAD_DATA_BTAD);
    cr_expect_eq(diffad_dataset_train_count(d), 1);
    cr_assert_eq(diffad_dataset_test_count(d), 3);
    const diffad_item *ko = diffad_dataset_test(d, 0), *ok = diffad_dataset_test(d, 2);
    cr_expect(ko->anomalous && !ok->anomalous && !ok->mask);
    cr_expect_str_eq(ok->defect, "ok");
    cr_expect_eq(set_pixels(ko, 8, true), 64);
    cr_expect_eq(set_pixels(diffad_dataset_test(d, 1), 8, false), 32);
    diffad_dataset_close(d);
    MUST(diffad_data_check(in_root("btad"), &r));
    const diffad_data_class *c = &r->classes[0];
    cr_expect(c->layout == DIFFAD_DATA_BTAD && c->train == 1 && c->test_good == 1 && c->test_bad == 2 && c->masks == 2);
    cr_expect_eq(r->finding_count, 0, "%s", r->finding_count ? r->findings[0] : "");
    diffad_data_report_release(r);

    remove(in_root("btad/01/ground_truth/ko/0002.bmp"));
    cr_expect_eq(opens(in_root("btad"), "01"), DIFFAD_ERR_DATA);
    SAYS("test/ko/0002.bmp: its mask is missing");
    MUST(diffad_data_check(in_root("btad/01"), &r));
    cr_expect(r->classes[0].masks_missing == 1 && finds(r, "test/ko/0002.bmp"));
    diffad_data_report_release(r);
    cr_expect_eq(opens(in_root("btad"), NULL), DIFFAD_ERR_DATA);
    SAYS("choose one of 01");
}

/* ---- LOCO ---- */

Test(loco, masks_are_folders_that_add_up)
{
    diffad_dataset *d;
    diffad_data_report *r;
    spill_image(in_root("loco/box/train/good/000.png"), 8, 8, 3, 1);
    spill_image(in_root("loco/box/validation/good/000.png"), 8, 8, 3, 4);
    spill_image(in_root("loco/box/test/good/000.png"), 8, 8, 3, 2);
    spill_image(in_root("loco/box/test/logical_anomalies/000.png"), 8, 8, 3, 3);
    spill_half(in_root("loco/box/ground_truth/logical_anomalies/000/000.png"), 8, 8, 254);
    spill_image(in_root("loco/box/ground_truth/logical_anomalies/000/001.png"), 8, 8, 1, 0);

    MUST(diffad_dataset_open(in_root("loco"), "box", &d));

    cr_expect_eq(diffad_dataset_layout(d), DIFFAD_DATA_LOCO);
    cr_expect_eq(set_pixels(diffad_dataset_test(d, 1), 8, true), 32);
    cr_expect_eq(set_pixels(diffad_dataset_test(d, 1), 8, false), 32);
    diffad_dataset_close(d);
    MUST(diffad_data_check(in_root("loco"), &r));
    cr_expect(r->classes[0].unused == 1 && r->classes[0].masks == 1 && r->classes[0].masks_missing == 0);
    diffad_data_report_release(r);
    spill_image(in_root("loco/box/ground_truth/logical_anomalies/000/002.png"), 9, 8, 1, 0);
    MUST(diffad_dataset_open(in_root("loco"), "box", &d));
    uint8_t mask[64];
    cr_expect_eq(diffad_dataset_mask(diffad_dataset_test(d, 1), 8, 8, true, mask), DIFFAD_ERR_DATA);
    diffad_dataset_close(d);
}

/* ---- DTD ---- */

Test(dtd, only_the_images_are_textures)
{
    static const char *const places[] = { "dtd", "dtd/images", "dtd/images/banded" };
    static const int counts[] = { 3, 3, 2 };
    spill_image(in_root("dtd/images/banded/banded_0002.png"), 8, 8, 3, 1);
    spill_image(in_root("dtd/images/banded/banded_0004.png"), 8, 8, 3, 2);
    spill_image(in_root("dtd/images/woven/woven_0001.png"), 8, 8, 3, 3);
    spill_image(in_root("dtd/labels/preview.png"), 8, 8, 3, 4);
    spill_image(in_root("dtd/imdb/preview.png"), 8, 8, 3, 5);
    write_text(in_root("dtd/labels/test1.txt"), "banded/banded_0002.png\n");
    for (int i = 0; i < 3; i++) {
        diffad_dataset *d;
        MUST(diffad_dataset_scan_tree(in_root(places[i]), &d));
        cr_expect_eq(diffad_dataset_train_count(d), counts[i], "%s", places[i]);
        diffad_dataset_close(d);
    }
}

/* ---- groups ---- */

Test(groups, are_told_by_names_without_their_view)
{
    static const char *const rows[][2] = {
        { "part12_cam1.png", "part12" },   { "part12_cam_2.jpg", "part12" },  { "part12-left.JPG", "part12" },
        { "part12 view 3.bmp", "part12" }, { "part12.sideA.png", "part12" },  { "part12_r.png", "part12" },
        { "000.png", "000" },              { "bolt_001.png", "bolt_001" },    { "camera1.png", "camera1" },
        { "cam_1.png", "cam_1" },          { "_left.png", "_left" },          { "a_camera12345.png", "a_camera12345" },
        { "wood_rightmost.png", "wood_rightmost" }, { "x_crop_2.jpg r", "x_crop_2.jpg" },
        { "data/01_225_crop_2.jpg", "data/01_225" }, { "a/left.png", "a/left" }, { "", "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char group[64];
        diffad_group_of(rows[i][0], group, sizeof group);
        cr_expect_str_eq(group, rows[i][1], "of \"%s\": expected \"%s\" got \"%s\"", rows[i][0], rows[i][1], group);
    }
}

/* No group on both sides, and as many held back as asked. */
static void expect_whole_groups(const char *folder, int train, int held)
{
    diffad_dataset *d;
    MUST(diffad_dataset_open(folder, NULL, &d));
    cr_expect_eq(diffad_dataset_train_count(d), train, "%s: %d", folder, diffad_dataset_train_count(d));
    cr_expect_eq(diffad_dataset_holdout_count(d), held, "%s: %d", folder, diffad_dataset_holdout_count(d));
    for (int i = 0; i < diffad_dataset_train_count(d); i++)
        for (int k = 0; k < diffad_dataset_holdout_count(d); k++)
            cr_expect_str_neq(diffad_dataset_train(d, i)->group, diffad_dataset_holdout(d, k)->group);
    diffad_dataset_close(d);
}

Test(groups, views_of_a_part_stay_on_one_side_of_the_holdout)
{
    char name[64];
    for (int i = 0; i < 20; i++)
        for (int view = 0; view < 3; view++) {
            snprintf(name, sizeof name, "views/part%02d_cam%d.png", i, view);
            spill_image(in_root(name), 4, 4, 3, 3 * i + view);
            snprintf(name, sizeof name, "parts/part%02d/%d.png", i, view);
            spill_image(in_root(name), 4, 4, 3, 3 * i + view);
        }
    expect_whole_groups(in_root("views"), 54, 6);
    expect_whole_groups(in_root("parts"), 54, 6);
}

Test(groups, a_file_overrules_names)
{
    char name[64], text[4096] = "";
    diffad_data_report *r;
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "set/%02d.png", i);
        spill_image(in_root(name), 4, 4, 3, i);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%02d.png\tday%d\n", i, i % 3);
    }
    expect_whole_groups(in_root("set"), 11, 1);
    write_text(in_root("set/groups.tsv"), text);
    expect_whole_groups(in_root("set"), 8, 4);
    MUST(diffad_data_check(in_root("set"), &r));
    cr_expect(r->classes[0].groups == 3 && r->classes[0].holdout == 4 && r->classes[0].train == 12);
    diffad_data_report_release(r);

    write_text(in_root("set/groups.tsv"), "00.png day1\n");
    cr_expect_eq(opens(in_root("set"), NULL), DIFFAD_ERR_DATA);
    SAYS("line 1 is not a path, a tab and a group");
    remove(in_root("set/groups.tsv"));

    write_text(in_root("set/origin.tsv"), "00.png\tphotos/a.jpg l\n01.png\tphotos/a.jpg r\n11.png\tphotos/b.jpg\n10.png\tphotos/b_left.jpg\n");
    expect_whole_groups(in_root("set"), 10, 2);          /* ten groups: a, eight of one image, b */
}

Test(groups, one_part_alone_is_not_torn_apart)
{
    diffad_data_report *r;
    spill_image(in_root("one/part_cam1.png"), 4, 4, 3, 1);
    spill_image(in_root("one/part_cam2.png"), 4, 4, 3, 2);
    expect_whole_groups(in_root("one"), 2, 0);
    MUST(diffad_data_check(in_root("one"), &r));
    cr_expect(finds(r, "none can be held back"));
    diffad_data_report_release(r);
}

Test(groups, of_a_test_that_training_shows_are_found)
{
    diffad_data_report *r;
    spill_image(in_root("c/train/good/0.png"), 4, 4, 3, 1);
    spill_image(in_root("c/test/good/0.png"), 4, 4, 3, 2);
    spill_image(in_root("c/test/good/1.png"), 4, 4, 3, 3);
    write_text(in_root("c/origin.tsv"), "train/good/0.png\tday1.jpg l\ntest/good/0.png\tday1.jpg r\ntest/good/1.png\tday2.jpg r\n");
    MUST(diffad_data_check(in_root("c"), &r));
    cr_expect_eq(r->classes[0].straddling, 1);
    cr_expect(finds(r, "test/good/0.png: of the same part (\"day1.jpg\")"));
    diffad_data_report_release(r);
}

Test(groups, a_folder_that_names_defects_is_not_trained_on)
{
    spill_image(in_root("mixed/good/0.png"), 4, 4, 3, 1);
    spill_image(in_root("mixed/defects/0.png"), 4, 4, 3, 2);

    cr_expect_eq(opens(in_root("mixed"), NULL), DIFFAD_ERR_DATA);
    SAYS("mixed/defects");
    MUST(opens(in_root("mixed/good"), NULL));
}
