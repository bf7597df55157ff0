/* dataset.c: the images of a class folder or of a plain folder; textures. */
#include "data/dataset.h"

#include "base/file.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_DEPTH = 16 };

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

char *diffad_dataset_join(diffad_dataset *d, const char *folder, const char *name)
{
    const size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = diffad_arena_alloc(&d->arena, bytes);
    if (path)
        snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

diffad_status diffad_dataset_fault(diffad_dataset *d, const char *format, ...)
{
    char    line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (d->strict)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s", line);
    const char *kept = diffad_arena_strdup(&d->arena, line);
    if (!kept || !diffad_grow(&d->fault, d->fault_count, &d->fault_capacity, sizeof *d->fault))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for the report on the data set");
    d->fault[d->fault_count++] = kept;
    return DIFFAD_OK;
}

static char *copy_of(diffad_dataset *d, const char *s) { return s ? diffad_arena_strdup(&d->arena, s) : NULL; }

diffad_status diffad_items_add(diffad_dataset *d, diffad_items *items, const diffad_item *item)
{
    diffad_item copy = *item;
    copy.path   = copy_of(d, item->path);
    copy.mask   = copy_of(d, item->mask);
    copy.defect = copy_of(d, item->defect);
    copy.group  = copy_of(d, item->group);
    if (!copy.path || !copy.defect || !copy.mask != !item->mask || !copy.group != !item->group ||
        !diffad_grow(&items->item, items->count, &items->capacity, sizeof *items->item))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", item->path);
    items->item[items->count++] = copy;
    return DIFFAD_OK;
}

diffad_status diffad_items_add_folder(diffad_dataset *d, diffad_items *items, const char *folder, const diffad_item *item)
{
    diffad_names names;
    DIFFAD_TRY(diffad_dir_list(folder, DIFFAD_ERR_DATA, &names));
    diffad_status st = DIFFAD_OK;
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++) {
        if (!diffad_is_image_name(names.name[i]))
            continue;
        diffad_item one = *item;
        char *path = diffad_path_join(folder, names.name[i]);
        one.path = path;
        st = path ? diffad_items_add(d, items, &one) : diffad_fail(DIFFAD_ERR_MEMORY, "%s: no memory", folder);
        diffad_release(path);
    }
    diffad_names_release(&names);
    return st;
}

static diffad_status fail_no_images(const char *folder)
{
    char *classes = diffad_layout_classes(folder);
    if (classes && classes[0])
        diffad_fail(DIFFAD_ERR_DATA, "%s: a folder of classes; choose one of %s", folder, classes);
    else
        diffad_fail(DIFFAD_ERR_DATA,
                    "%s: neither images (PNG, JPEG, BMP) nor train/good in it; give a folder of good images or "
                    "one in the layout of MVTec AD, VisA or BTAD",
                    folder);
    diffad_release(classes);
    return DIFFAD_ERR_DATA;
}

static diffad_status fail_no_folder(const char *root, const char *name, const char *folder)
{
    if (!diffad_path_is_dir(root))
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: %s; give the data set's folder", root,
                    diffad_path_exists(root) ? "not a folder" : "does not exist");
    char *classes = name ? diffad_layout_classes(root) : NULL;
    diffad_fail(DIFFAD_ERR_DATA, "%s: no such class folder; %s has %s", folder, root,
                classes && classes[0] ? classes : "no class (a folder with train/good, train/ok or Data/Images in it)");
    diffad_release(classes);
    return DIFFAD_ERR_DATA;
}

static diffad_status scan_folder(diffad_dataset *d, const char *folder)
{
    d->layout = diffad_layout_of(folder);
    if (d->layout == DIFFAD_DATA_VISA)
        DIFFAD_TRY(diffad_visa_scan(d, folder));
    else if (d->layout != DIFFAD_DATA_PLAIN)
        DIFFAD_TRY(diffad_mvtec_scan(d, folder));
    else {
        char *classes = diffad_layout_classes(folder);
        const bool is_root = classes && classes[0];
        diffad_release(classes);
        if (!is_root)
            DIFFAD_TRY(diffad_plain_scan(d, folder));
        if (d->train.count == 0)
            return fail_no_images(folder);
    }
    DIFFAD_TRY(diffad_groups_read(d, folder));
    return d->layout == DIFFAD_DATA_PLAIN ? diffad_groups_hold_back(d) : DIFFAD_OK;
}

diffad_status diffad_dataset_scan(const char *root, const char *name, bool strict, diffad_dataset **out)
{
    diffad_status st = DIFFAD_OK;
    diffad_dataset *d = diffad_alloc(sizeof *d);
    char *folder = name ? diffad_path_join(root, name) : diffad_strdup(root);
    for (size_t n = folder ? strlen(folder) : 0; n > 1 && folder[n - 1] == '/'; n--)
        folder[n - 1] = 0;
    if (!d || !folder || !(d->class_name = diffad_arena_strdup(&d->arena, diffad_path_base(folder))))
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", root);
    d->strict = strict;
    if (!diffad_path_is_dir(folder)) {
        st = fail_no_folder(root, name, folder);
        goto done;
    }
    DIFFAD_GOTO(done, scan_folder(d, folder));
    *out = d;
    d = NULL;
done:
    diffad_release(folder);
    diffad_dataset_close(d);
    return st;
}

/* ---- textures ---- */

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
            st = diffad_items_add(d, &d->train, &(diffad_item){ .path = path, .defect = "texture" });
        diffad_release(path);
    }
    diffad_names_release(&names);
    return st;
}

/* The root of the Describable Textures Dataset: images/KIND, and beside it labels/ and imdb/, which hold no textures. */
static bool is_dtd(const char *folder)
{
    static const char *const names[] = { "images", "labels", "imdb" };
    bool has[3];
    for (int i = 0; i < 3; i++) {
        char *path = diffad_path_join(folder, names[i]);
        has[i] = path && diffad_path_is_dir(path);
        diffad_release(path);
    }
    return has[0] && (has[1] || has[2]);
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
    const char *top = is_dtd(folder) ? diffad_dataset_join(d, folder, "images") : folder;
    diffad_status st = top ? scan_tree(d, top, 1) : diffad_fail(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
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
    diffad_release(d->fault);
    diffad_arena_release(&d->arena);
    diffad_release(d);
}

static const diffad_item *item_at(const diffad_items *items, int i)
{
    return i >= 0 && i < items->count ? &items->item[i] : NULL;
}

const char *diffad_dataset_class(const diffad_dataset *d) { return d->class_name; }
diffad_data_layout diffad_dataset_layout(const diffad_dataset *d) { return d->layout; }
bool diffad_dataset_is_plain(const diffad_dataset *d) { return d->layout == DIFFAD_DATA_PLAIN; }
int diffad_dataset_train_count(const diffad_dataset *d) { return (int)d->train.count; }
const diffad_item *diffad_dataset_train(const diffad_dataset *d, int i) { return item_at(&d->train, i); }
int diffad_dataset_test_count(const diffad_dataset *d) { return (int)d->test.count; }
const diffad_item *diffad_dataset_test(const diffad_dataset *d, int i) { return item_at(&d->test, i); }
int diffad_dataset_holdout_count(const diffad_dataset *d) { return (int)d->holdout.count; }
const diffad_item *diffad_dataset_holdout(const diffad_dataset *d, int i) { return item_at(&d->holdout, i); }
