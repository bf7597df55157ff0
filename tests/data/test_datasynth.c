/* test_datasynth.c: the procedural data set. */
#include "data/files.h"

static const diffad_synth_options options = {
    .size = 64, .train = 3, .test_good = 2, .test_bad = 7, .textures = 4, .seed = 9
};

Test(datasynth, makes_two_complete_classes_and_textures)
{
    const char *folder = joined(temporary(), "set");
    diffad_names textures;

    MUST(diffad_data_synth(folder, &options));

    static const char *const classes[] = { "washer", "cloth" };
    for (int c = 0; c < 2; c++) {
        diffad_dataset *d;
        MUST(diffad_dataset_open(folder, classes[c], &d));
        cr_expect_eq(diffad_dataset_train_count(d), 3);
        cr_assert_eq(diffad_dataset_test_count(d), 9);
        for (int i = 0; i < 9; i++) {
            const diffad_item *item = diffad_dataset_test(d, i);
            uint8_t mask[64 * 64];
            int set = 0;
            MUST(diffad_dataset_mask(item, 64, 64, true, mask));
            for (int k = 0; k < 64 * 64; k++)
                set += mask[k];
            cr_expect(item->anomalous ? set > 3 && set < 64 * 64 / 4 : set == 0, "%s: %d pixels", item->path, set);
        }
        diffad_dataset_close(d);
    }
    MUST(diffad_dir_list(joined(folder, "textures"), DIFFAD_ERR_DATA, &textures));
    cr_expect_eq(textures.count, 4);
    diffad_names_release(&textures);
}

Test(datasynth, the_smallest_pictures_have_visible_defects_too)
{
    const char *folder = joined(temporary(), "tiny");
    diffad_data_report *r;
    diffad_synth_options o = options;
    o.size = 16;
    o.test_bad = 30;

    MUST(diffad_data_synth(folder, &o));
    MUST(diffad_data_check(folder, &r));

    for (int c = 0; c < 2; c++)
        cr_expect_eq(r->classes[c].masks_empty, 0, "%s: %d", r->classes[c].name, r->classes[c].masks_empty);
    diffad_data_report_release(r);
}

Test(datasynth, the_same_seed_makes_the_same_files_and_another_does_not)
{
    diffad_synth_options other = options;
    other.seed++;
    MUST(diffad_data_synth(joined(temporary(), "a"), &options));
    MUST(diffad_data_synth(joined(temporary(), "b"), &options));
    MUST(diffad_data_synth(joined(temporary(), "c"), &other));

    static const char *const files[] = { "washer/train/good/001.png", "cloth/test/hole/000.png",
                                         "cloth/ground_truth/stain/001_mask.png", "textures/003.png" };
    for (int i = 0; i < 4; i++) {
        size_t n[3];
        unsigned char *data[3];
        for (int k = 0; k < 3; k++)
            data[k] = slurp(joined(joined(temporary(), (const char *[]){ "a", "b", "c" }[k]), files[i]), &n[k]);
        cr_expect(n[0] == n[1] && memcmp(data[0], data[1], n[0]) == 0, "%s", files[i]);
        cr_expect(n[0] != n[2] || memcmp(data[0], data[2], n[0]) != 0, "%s", files[i]);
        for (int k = 0; k < 3; k++)
            diffad_release(data[k]);
    }
}

Test(datasynth, refuses_a_folder_that_is_not_empty_and_impossible_numbers)
{
    diffad_synth_options bad = options;
    spill(joined(temporary(), "full/x"), "x", 1);

    cr_expect_eq(diffad_data_synth(joined(temporary(), "full"), &options), DIFFAD_ERR_FILE);
    SAYS("not empty");
    bad.size = 8;
    cr_expect_eq(diffad_data_synth(joined(temporary(), "new"), &bad), DIFFAD_ERR_USAGE);
    bad = options;
    bad.train = 0;
    cr_expect_eq(diffad_data_synth(joined(temporary(), "new"), &bad), DIFFAD_ERR_USAGE);
    cr_expect_not(diffad_path_exists(joined(temporary(), "new")));
}
