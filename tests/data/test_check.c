/* test_check.c: what `data check` finds. */
#include "data/files.h"

static bool finds(const diffad_data_report *r, const char *text)
{
    for (int i = 0; i < r->finding_count; i++)
        if (strstr(r->findings[i], text))
            return true;
    return false;
}

Test(check, a_clean_set_has_no_findings)
{
    diffad_data_report *r;

    MUST(diffad_data_check(test_file("ballscrew"), &r));

    cr_assert_eq(r->class_count, 1);
    const diffad_data_class *c = &r->classes[0];
    cr_expect_str_eq(c->name, "ballscrew");
    cr_expect(c->train == 60 && c->test_good == 12 && c->test_bad == 12 && c->masks == 12);
    cr_expect(c->masks_missing == 0 && c->masks_not_binary == 0 && c->masks_wrong_size == 0 && c->masks_empty == 0);
    cr_assert_eq(c->size_count, 1);
    cr_expect(c->sizes[0].width == 256 && c->sizes[0].channels == 3 && c->sizes[0].count == 84);
    cr_expect_eq(r->finding_count, 0, "%s", r->finding_count ? r->findings[0] : "");
    diffad_data_report_release(r);
}

Test(check, every_fault_is_counted_and_named)
{
    const char *root = joined(temporary(), "set");
    diffad_image mask;
    diffad_data_report *r;
    char name[64];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "part/train/good/%d.png", i);
        spill_image(joined(root, name), 8, 8, 3, i);
    }
    spill_image(joined(root, "part/test/good/0.png"), 8, 8, 3, 1);                   /* equals train 1 */
    spill_image(joined(root, "part/ground_truth/good/0_mask.png"), 8, 8, 1, 255);    /* a mask on a good image */
    spill(joined(root, "part/test/good/1.png"), "no image", 8);
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "part/test/bad/%d.png", i);
        spill_image(joined(root, name), 9, 8, 3, 50 + i);
    }
    spill_image(joined(root, "part/ground_truth/bad/0_mask.png"), 9, 8, 1, 255);
    spill_image(joined(root, "part/ground_truth/bad/1_mask.png"), 9, 9, 1, 255);     /* size */
    spill_image(joined(root, "part/ground_truth/bad/2_mask.png"), 9, 8, 1, 0);       /* empty */
    MUST(diffad_image_create(9, 8, 1, &mask));
    mask.pixels[5] = 77;
    mask.pixels[6] = 255;
    MUST(diffad_image_save_png(joined(root, "part/ground_truth/bad/3_mask.png"), &mask));
    diffad_image_release(&mask);                                                      /* and none for 4 */

    MUST(diffad_data_check(root, &r));

    cr_assert_eq(r->class_count, 1);
    const diffad_data_class *c = &r->classes[0];
    cr_expect_eq(c->train, 3);
    cr_expect_eq(c->test_good, 2);
    cr_expect_eq(c->test_bad, 5);
    cr_expect_eq(c->unreadable, 1);
    cr_expect_eq(c->masks, 4);
    cr_expect_eq(c->masks_missing, 1);
    cr_expect_eq(c->masks_on_good, 1);
    cr_expect_eq(c->masks_not_binary, 1);
    cr_expect_eq(c->masks_wrong_size, 1);
    cr_expect_eq(c->masks_empty, 1);
    cr_expect_eq(c->duplicates, 1);
    cr_assert_eq(c->size_count, 2);
    cr_expect(c->sizes[0].width == 9 && c->sizes[0].count == 5 && c->sizes[1].count == 4);
    cr_expect_eq(r->finding_count, 7);
    cr_expect(finds(r, "test/good/1.png") && finds(r, "bad/1_mask.png") && finds(r, "test/bad/4.png") &&
              finds(r, "train/good/1.png"));
    diffad_data_report_release(r);
}

Test(check, classes_are_all_visited_and_plain_folders_too)
{
    diffad_data_report *r;
    const diffad_synth_options o = { .size = 16, .train = 1, .test_good = 1, .test_bad = 3, .textures = 2 };
    MUST(diffad_data_synth(joined(temporary(), "set"), &o));

    MUST(diffad_data_check(joined(temporary(), "set"), &r));
    cr_expect_eq(r->class_count, 2);
    diffad_data_report_release(r);

    MUST(diffad_data_check(joined(temporary(), "set/textures"), &r));
    cr_expect_eq(r->classes[0].train, 2);
    diffad_data_report_release(r);

    cr_expect_eq(diffad_data_check("/nowhere", &r), DIFFAD_ERR_DATA);
}
