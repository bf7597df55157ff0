/* test_pictures.c: keeping pictures within a budget. */
#include "data/pictures.h"
#include "data/files.h"

static int made;

static diffad_status make(const void *user, int i, uint8_t *pixels)
{
    (void)user;
    made++;
    if (i == 7)
        return diffad_fail(DIFFAD_ERR_DATA, "picture 7 is broken");
    memset(pixels, 10 + i, 16);
    return DIFFAD_OK;
}

Test(pictures, what_fits_the_budget_is_made_once_and_the_rest_again_and_again)
{
    atomic_llong budget = 3 * 16 + 5;
    diffad_pictures *p;
    MUST(diffad_pictures_create(8, 16, make, NULL, &budget, &p));

    for (int round = 0; round < 3; round++)
        for (int i = 0; i < 6; i++) {
            uint8_t own[16];
            const uint8_t *got;
            MUST(diffad_pictures_get(p, i, own, &got));
            for (int k = 0; k < 16; k++)
                cr_assert_eq(got[k], 10 + i);
            if (round > 0)
                cr_expect_eq(got == own, i >= 3);
        }

    cr_expect_eq(made, 6 + 3 + 3);
    cr_expect_eq(atomic_load(&budget), 5);
    diffad_pictures_destroy(p);
}

Test(pictures, a_failure_is_passed_on_and_keeps_nothing)
{
    atomic_llong budget = 1000;
    diffad_pictures *p;
    uint8_t own[16];
    const uint8_t *got = NULL;
    MUST(diffad_pictures_create(8, 16, make, NULL, &budget, &p));

    cr_expect_eq(diffad_pictures_get(p, 7, own, &got), DIFFAD_ERR_DATA);

    cr_expect_null(got);
    cr_expect_eq(atomic_load(&budget), 1000);
    diffad_pictures_destroy(p);
}
