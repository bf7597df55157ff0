/* plain.c: a folder of pictures of good parts, or of sub-folders of them, one for each part. */
#include "data/dataset.h"

#include "base/file.h"

#include <string.h>
#include <strings.h>

/* Sub-folders with such names say that this is something else than good parts. */
static bool is_suspicious(const char *name)
{
    static const char *const starts[] = { "bad", "defect", "anomal", "abnormal", "broken", "damage", "faulty", "mask", "texture" };
    static const char *const names[] = { "ko", "ng", "nok", "test", "ground_truth", "val", "validation", "dtd" };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strncasecmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

static diffad_status add_part(diffad_dataset *d, const char *folder, const char *name, const char **suspicious)
{
    const int64_t before = d->train.count;
    const char   *path = diffad_dataset_join(d, folder, name);
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", folder);
    if (name[0] == '.' || !diffad_path_is_dir(path))
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_items_add_folder(d, &d->train, path, &(diffad_item){ .defect = "good", .group = name }));
    if (d->train.count > before && is_suspicious(name))
        *suspicious = path;
    return DIFFAD_OK;
}

static diffad_status add_parts(diffad_dataset *d, const char *folder)
{
    diffad_names  names;
    const char   *suspicious = NULL;
    diffad_status st = DIFFAD_OK;
    DIFFAD_TRY(diffad_dir_list(folder, DIFFAD_ERR_DATA, &names));
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++)
        st = add_part(d, folder, names.name[i], &suspicious);
    diffad_names_release(&names);
    if (st == DIFFAD_OK && suspicious)
        st = diffad_fail(DIFFAD_ERR_DATA,
                         "%s: does not sound like pictures of good parts; give the folder of good ones, or make the layout of "
                         "MVTec AD (train/good, test/KIND, ground_truth/KIND)",
                         suspicious);
    return st;
}

static diffad_status group_by_name(diffad_dataset *d)
{
    char group[1024];
    for (int64_t i = 0; i < d->train.count; i++) {
        diffad_group_of(diffad_path_base(d->train.item[i].path), group, sizeof group);
        if (!(d->train.item[i].group = diffad_arena_strdup(&d->arena, group)))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for the groups of images");
    }
    return DIFFAD_OK;
}

diffad_status diffad_plain_scan(diffad_dataset *d, const char *folder)
{
    DIFFAD_TRY(diffad_items_add_folder(d, &d->train, folder, &(diffad_item){ .defect = "good" }));
    if (d->train.count)
        DIFFAD_TRY(group_by_name(d));
    else
        DIFFAD_TRY(add_parts(d, folder));
    return DIFFAD_OK;
}
