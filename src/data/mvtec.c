/* mvtec.c: a class folder in MVTec-AD layout, and ground truth.
 *
 *     train/good/000.png   test/good/000.png   test/KIND/000.png   ground_truth/KIND/000_mask.png (or 000.png) */
#include "data/dataset.h"

#include "base/file.h"
#include "base/text.h"
#include "data/image_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const mask_endings[] = { "_mask.png", ".png", "_mask.bmp", ".bmp", "_mask.jpg", ".jpg" };

/* "folder/a" in the arena. */
static char *arena_join(diffad_arena *arena, const char *folder, const char *a)
{
    const size_t bytes = strlen(folder) + strlen(a) + 2;
    char *path = diffad_arena_alloc(arena, bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", folder, a);
    return path;
}

bool diffad_mvtec_is_class(const char *folder)
{
    char good[4096];
    return (size_t)snprintf(good, sizeof good, "%s/train/good", folder) < sizeof good && diffad_path_is_dir(good);
}

char *diffad_mvtec_classes(const char *root)
{
    diffad_text list = { 0 };
    diffad_names names = { 0 };
    if (!diffad_path_is_dir(root) || diffad_dir_list(root, DIFFAD_ERR_DATA, &names) != DIFFAD_OK)
        return diffad_strdup("");
    for (int64_t i = 0; i < names.count; i++) {
        char *folder = diffad_path_join(root, names.name[i]);
        if (folder && diffad_mvtec_is_class(folder)) {
            diffad_text_add(&list, list.length ? ", " : "");
            diffad_text_add(&list, names.name[i]);
        }
        diffad_release(folder);
    }
    diffad_names_release(&names);
    char *copy = list.failed ? NULL : diffad_strdup(list.s ? list.s : "");
    diffad_text_release(&list);
    return copy;
}

diffad_status diffad_mvtec_mask(diffad_dataset *d, const char *folder, const char *defect, const char *image,
                                char **mask)
{
    const char *base = diffad_path_base(image), *dot = strrchr(base, '.');
    const int stem = (int)(dot ? dot - base : (ptrdiff_t)strlen(base));
    *mask = NULL;
    for (size_t i = 0; i < sizeof mask_endings / sizeof *mask_endings; i++) {
        const size_t bytes = strlen(folder) + strlen(defect) + strlen(base) + 32;
        char *path = diffad_arena_alloc(&d->arena, bytes);
        if (!path)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of masks", folder);
        snprintf(path, bytes, "%s/ground_truth/%s/%.*s%s", folder, defect, stem, base, mask_endings[i]);
        if (diffad_path_exists(path)) {
            *mask = path;
            break;
        }
    }
    return DIFFAD_OK;
}

static diffad_status scan_kind(diffad_dataset *d, const char *folder, const char *kind, bool need_masks)
{
    const bool anomalous = strcmp(kind, "good") != 0;
    const int64_t first = d->test.count;
    char *test = arena_join(&d->arena, folder, "test"), *path = test ? arena_join(&d->arena, test, kind) : NULL;
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
    if (!diffad_path_is_dir(path))
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_items_add_folder(d, &d->test, path, kind, anomalous));
    for (int64_t i = first; anomalous && i < d->test.count; i++) {
        char *mask = NULL;
        DIFFAD_TRY(diffad_mvtec_mask(d, folder, kind, d->test.item[i].path, &mask));
        if (!mask && need_masks)
            DIFFAD_FAIL(
                DIFFAD_ERR_DATA,
                "%s: its mask is missing in %s/ground_truth/%s (NAME_mask.png); add it, or remove ground_truth",
                d->test.item[i].path, folder, kind);
        d->test.item[i].mask = mask;
    }
    return DIFFAD_OK;
}

diffad_status diffad_mvtec_scan(diffad_dataset *d, const char *folder, bool strict)
{
    char *good = arena_join(&d->arena, folder, "train/good"), *test = arena_join(&d->arena, folder, "test");
    char *truth = arena_join(&d->arena, folder, "ground_truth");
    if (!good || !test || !truth)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
    DIFFAD_TRY(diffad_items_add_folder(d, &d->train, good, "good", false));
    if (d->train.count == 0 && strict)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: no images (PNG, JPEG, BMP); put the good training images there", good);
    if (!diffad_path_is_dir(test))
        return DIFFAD_OK;
    const bool need_masks = strict && diffad_path_is_dir(truth);
    diffad_names kinds;
    DIFFAD_TRY(diffad_dir_list(test, DIFFAD_ERR_DATA, &kinds));
    diffad_status st = DIFFAD_OK;
    for (int64_t i = 0; i < kinds.count && st == DIFFAD_OK; i++)
        if (kinds.name[i][0] != '.')
            st = scan_kind(d, folder, kinds.name[i], need_masks);
    diffad_names_release(&kinds);
    return st;
}

/* The mask at its own size, after a look at the image's header: the two must agree. */
static diffad_status load_mask(const diffad_item *item, diffad_image *mask)
{
    diffad_image_header image;
    DIFFAD_TRY(diffad_image_probe(item->path, &image));
    DIFFAD_TRY(diffad_image_load(item->mask, 1, NULL, mask));
    if (mask->width == image.width && mask->height == image.height)
        return DIFFAD_OK;
    const int w = mask->width, h = mask->height;
    diffad_image_release(mask);
    DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: mask of %d x %d pixels for an image of %d x %d (%s); make them equal",
                item->mask, w, h, image.width, image.height, item->path);
}

static void nearest_mask(const diffad_image *from, int width, int height, uint8_t *mask)
{
    for (int y = 0; y < height; y++) {
        const int64_t sy = (2 * (int64_t)y + 1) * from->height / (2 * (int64_t)height);
        for (int x = 0; x < width; x++) {
            const int64_t sx = (2 * (int64_t)x + 1) * from->width / (2 * (int64_t)width);
            *mask++ = from->pixels[sy * from->width + sx] >= 128;
        }
    }
}

diffad_status diffad_dataset_mask(const diffad_item *item, int width, int height, bool official, uint8_t *mask)
{
    const size_t pixels = (size_t)width * (size_t)height;
    if (width <= 0 || height <= 0)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "mask of %d x %d pixels: sides must be positive", width, height);
    if (item->anomalous && !item->mask)
        DIFFAD_FAIL(DIFFAD_ERR_DATA,
                    "%s: the data set has no mask of this image; pixel metrics need ground_truth", item->path);
    if (!item->anomalous) {
        memset(mask, 0, pixels);
        return DIFFAD_OK;
    }
    diffad_image truth, small;
    DIFFAD_TRY(load_mask(item, &truth));
    if (!official) {
        nearest_mask(&truth, width, height, mask);
        diffad_image_release(&truth);
        return DIFFAD_OK;
    }
    const diffad_status st = diffad_image_resize(&truth, width, height, &small);
    diffad_image_release(&truth);
    if (st != DIFFAD_OK)
        return st;
    for (size_t i = 0; i < pixels; i++)
        mask[i] = small.pixels[i] == 255;
    diffad_image_release(&small);
    return DIFFAD_OK;
}
