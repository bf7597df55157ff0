/* mvtec.c: class folders that are trees of kinds: MVTec AD, MVTec LOCO AD and BTAD.
 *
 *     train/good/000.png   test/good/000.png   test/KIND/000.png   ground_truth/KIND/000_mask.png (or 000.png)
 *
 * In LOCO a mask is a folder, ground_truth/KIND/000/000.png, ...; in BTAD good is called ok and the one KIND ko. */
#include "data/dataset.h"

#include "base/file.h"

#include <stdio.h>
#include <string.h>

/* The last one is a folder of masks. */
static const char *const mask_endings[] = { "_mask.png", ".png", "_mask.bmp", ".bmp", "_mask.jpg", ".jpg", "" };

static const char *good_of(const diffad_dataset *d) { return d->layout == DIFFAD_DATA_BTAD ? "ok" : "good"; }

/* Mask of the item's image, NULL if there is none; lives in the arena. */
static diffad_status find_mask(diffad_dataset *d, const char *folder, diffad_item *item)
{
    const char *base = diffad_path_base(item->path), *dot = strrchr(base, '.');
    const int stem = (int)(dot ? dot - base : (ptrdiff_t)strlen(base));
    const size_t bytes = strlen(folder) + strlen(item->defect) + strlen(base) + 32;
    char *path = diffad_arena_alloc(&d->arena, bytes);
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of masks", folder);
    for (size_t i = 0; i < sizeof mask_endings / sizeof *mask_endings; i++) {
        snprintf(path, bytes, "%s/ground_truth/%s/%.*s%s", folder, item->defect, stem, base, mask_endings[i]);
        if (diffad_path_exists(path) && diffad_path_is_dir(path) == !mask_endings[i][0]) {
            item->mask = path;
            item->mask_is_index = d->layout == DIFFAD_DATA_LOCO;
            return DIFFAD_OK;
        }
    }
    return DIFFAD_OK;
}

static diffad_status scan_kind(diffad_dataset *d, const char *folder, const char *test, const char *kind, bool has_masks)
{
    const diffad_item like = { .defect = kind, .anomalous = strcmp(kind, good_of(d)) != 0 };
    const int64_t first = d->test.count;
    const char *path = diffad_dataset_join(d, test, kind);
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
    if (!diffad_path_is_dir(path))
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_items_add_folder(d, &d->test, path, &like));
    for (int64_t i = first; (like.anomalous || !d->strict) && i < d->test.count; i++) {
        diffad_item *item = &d->test.item[i];
        DIFFAD_TRY(find_mask(d, folder, item));
        if (d->strict && !item->mask && has_masks)
            DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: its mask is missing in %s (%s); add it, or remove ground_truth", item->path,
                        folder, diffad_layout_mask_place(d->layout));
    }
    return DIFFAD_OK;
}

/* LOCO's validation images: this program neither trains nor tests with them. */
static diffad_status count_validation(diffad_dataset *d, const char *folder)
{
    diffad_items none = { 0 };
    const char *path = diffad_dataset_join(d, folder, "validation/good");
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
    if (!diffad_path_is_dir(path))
        return DIFFAD_OK;
    const diffad_status st = diffad_items_add_folder(d, &none, path, &(diffad_item){ .defect = "good" });
    d->unused += none.count;
    diffad_release(none.item);
    return st;
}

diffad_status diffad_mvtec_scan(diffad_dataset *d, const char *folder)
{
    const char *train = diffad_dataset_join(d, folder, "train"), *test = diffad_dataset_join(d, folder, "test");
    const char *good = train ? diffad_dataset_join(d, train, good_of(d)) : NULL;
    const char *truth = diffad_dataset_join(d, folder, "ground_truth");
    if (!good || !test || !truth)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
    DIFFAD_TRY(diffad_items_add_folder(d, &d->train, good, &(diffad_item){ .defect = good_of(d) }));
    if (d->train.count == 0)
        DIFFAD_TRY(diffad_dataset_fault(d, "%s: no images (PNG, JPEG, BMP); put the good training images there", good));
    DIFFAD_TRY(count_validation(d, folder));
    if (!diffad_path_is_dir(test))
        return DIFFAD_OK;
    const bool has_masks = diffad_path_is_dir(truth);
    diffad_names kinds;
    DIFFAD_TRY(diffad_dir_list(test, DIFFAD_ERR_DATA, &kinds));
    diffad_status st = DIFFAD_OK;
    for (int64_t i = 0; i < kinds.count && st == DIFFAD_OK; i++)
        if (kinds.name[i][0] != '.')
            st = scan_kind(d, folder, test, kinds.name[i], has_masks);
    diffad_names_release(&kinds);
    return st;
}
