/* dataset.c: the images of a class folder or of a plain folder. */
#include "data/dataset.h"

#include "base/file.h"

#include <string.h>
#include <strings.h>

enum { HOLDOUT_EVERY = 10, MAX_DEPTH = 16 };

bool diffad_is_image_name(const char *name)
{
    static const char *const endings[] = { ".png", ".jpg", ".jpeg", ".bmp" };
    const char *dot = strrchr(name, '.');
    if (!dot || name[0] == '.')
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static diffad_status add_item(diffad_dataset *d, diffad_items *items, const char *path, const char *defect,
                              bool anomalous)
{
    const diffad_item item = { .path = diffad_arena_strdup(&d->arena, path),
                               .defect = diffad_arena_strdup(&d->arena, defect),
                               .anomalous = anomalous };
    if (!item.path || !item.defect ||
        !diffad_grow(&items->item, items->count, &items->capacity, sizeof *items->item))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", path);
    items->item[items->count++] = item;
    return DIFFAD_OK;
}

diffad_status diffad_items_add_folder(diffad_dataset *d, diffad_items *items, const char *folder,
                                      const char *defect, bool anomalous)
{
    diffad_names names;
    DIFFAD_TRY(diffad_dir_list(folder, DIFFAD_ERR_DATA, &names));
    diffad_status st = DIFFAD_OK;
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++) {
        if (!diffad_is_image_name(names.name[i]))
            continue;
        char *path = diffad_path_join(folder, names.name[i]);
        st = path ? add_item(d, items, path, defect, anomalous)
                  : diffad_fail(DIFFAD_ERR_MEMORY, "%s: no memory", folder);
        diffad_release(path);
    }
    diffad_names_release(&names);
    return st;
}

/* Every tenth image goes from training to the holdout; of two to nine images, the last. */
static diffad_status hold_back(diffad_dataset *d)
{
    const int64_t all = d->train.count;
    int64_t kept = 0;
    for (int64_t i = 0; i < all; i++) {
        const diffad_item item = d->train.item[i];
        const bool held = i % HOLDOUT_EVERY == HOLDOUT_EVERY - 1 ||
                          (all >= 2 && all < HOLDOUT_EVERY && i == all - 1);
        if (!held) {
            d->train.item[kept++] = item;
            continue;
        }
        if (!diffad_grow(&d->holdout.item, d->holdout.count, &d->holdout.capacity, sizeof item))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for the list of images");
        d->holdout.item[d->holdout.count++] = item;
    }
    d->train.count = kept;
    return DIFFAD_OK;
}

static diffad_status fail_no_images(const char *folder)
{
    char *classes = diffad_mvtec_classes(folder);
    if (classes && classes[0])
        diffad_fail(DIFFAD_ERR_DATA, "%s: a folder of classes; choose one of %s", folder, classes);
    else
        diffad_fail(DIFFAD_ERR_DATA,
                    "%s: neither images (PNG, JPEG, BMP) nor train/good in it; give a folder of good images or "
                    "one in MVTec-AD layout",
                    folder);
    diffad_release(classes);
    return DIFFAD_ERR_DATA;
}

static diffad_status fail_no_folder(const char *root, const char *name, const char *folder)
{
    if (!diffad_path_is_dir(root))
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: %s; give the data set's folder", root,
                    diffad_path_exists(root) ? "not a folder" : "does not exist");
    char *classes = name ? diffad_mvtec_classes(root) : NULL;
    diffad_fail(DIFFAD_ERR_DATA, "%s: no such class folder; %s has %s", folder, root,
                classes && classes[0] ? classes : "no class (a folder with train/good in it)");
    diffad_release(classes);
    return DIFFAD_ERR_DATA;
}

static diffad_status scan_folder(diffad_dataset *d, const char *folder, bool strict)
{
    if (diffad_mvtec_is_class(folder))
        return diffad_mvtec_scan(d, folder, strict);
    DIFFAD_TRY(diffad_items_add_folder(d, &d->train, folder, "good", false));
    if (d->train.count == 0)
        return fail_no_images(folder);
    d->is_plain = true;
    return hold_back(d);
}

/* The class is the last part of the folder's path. */
static char *class_of(diffad_arena *arena, const char *folder)
{
    char *copy = diffad_arena_strdup(arena, folder);
    if (!copy)
        return NULL;
    size_t n = strlen(copy);
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = 0;
    return diffad_arena_strdup(arena, diffad_path_base(copy));
}

diffad_status diffad_dataset_scan(const char *root, const char *name, bool strict, diffad_dataset **out)
{
    diffad_status st = DIFFAD_OK;
    diffad_dataset *d = diffad_alloc(sizeof *d);
    char *folder = name ? diffad_path_join(root, name) : diffad_strdup(root);
    if (!d || !folder || !(d->class_name = class_of(&d->arena, folder)))
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", root);
    if (!diffad_path_is_dir(folder)) {
        st = fail_no_folder(root, name, folder);
        goto done;
    }
    DIFFAD_GOTO(done, scan_folder(d, folder, strict));
    *out = d;
    d = NULL;
done:
    diffad_release(folder);
    diffad_dataset_close(d);
    return st;
}

static diffad_status scan_tree(diffad_dataset *d, const char *folder, int depth)
{
    diffad_names names;
    DIFFAD_TRY(diffad_dir_list(folder, DIFFAD_ERR_DATA, &names));
    diffad_status st = DIFFAD_OK;
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++) {
        if (names.name[i][0] == '.')
            continue;
        char *path = diffad_path_join(folder, names.name[i]);
        if (!path)
            st = diffad_fail(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
        else if (diffad_path_is_dir(path))
            st = depth < MAX_DEPTH ? scan_tree(d, path, depth + 1) : DIFFAD_OK;
        else if (diffad_is_image_name(names.name[i]))
            st = add_item(d, &d->train, path, "texture", false);
        diffad_release(path);
    }
    diffad_names_release(&names);
    return st;
}

diffad_status diffad_dataset_scan_tree(const char *folder, diffad_dataset **out)
{
    if (!diffad_path_is_dir(folder))
        DIFFAD_FAIL(DIFFAD_ERR_DATA,
                    "%s: no such folder of textures; give one with images, or none for procedural textures",
                    folder);
    diffad_dataset *d = diffad_alloc(sizeof *d);
    if (!d)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
    diffad_status st = scan_tree(d, folder, 1);
    if (st == DIFFAD_OK && d->train.count == 0)
        st = diffad_fail(DIFFAD_ERR_DATA, "%s: no images (PNG, JPEG, BMP) in this folder of textures", folder);
    if (st == DIFFAD_OK)
        *out = d;
    else
        diffad_dataset_close(d);
    return st;
}

diffad_status diffad_dataset_open(const char *root, const char *name, diffad_dataset **out)
{
    return diffad_dataset_scan(root, name, true, out);
}

void diffad_dataset_close(diffad_dataset *d)
{
    if (!d)
        return;
    diffad_release(d->train.item);
    diffad_release(d->test.item);
    diffad_release(d->holdout.item);
    diffad_arena_release(&d->arena);
    diffad_release(d);
}

static const diffad_item *item_at(const diffad_items *items, int i)
{
    return i >= 0 && i < items->count ? &items->item[i] : NULL;
}

const char *diffad_dataset_class(const diffad_dataset *d) { return d->class_name; }
bool diffad_dataset_is_plain(const diffad_dataset *d) { return d->is_plain; }
int diffad_dataset_train_count(const diffad_dataset *d) { return (int)d->train.count; }
const diffad_item *diffad_dataset_train(const diffad_dataset *d, int i) { return item_at(&d->train, i); }
int diffad_dataset_test_count(const diffad_dataset *d) { return (int)d->test.count; }
const diffad_item *diffad_dataset_test(const diffad_dataset *d, int i) { return item_at(&d->test, i); }
int diffad_dataset_holdout_count(const diffad_dataset *d) { return (int)d->holdout.count; }
const diffad_item *diffad_dataset_holdout(const diffad_dataset *d, int i) { return item_at(&d->holdout, i); }
