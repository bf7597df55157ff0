/* layout.c: which layout a class folder has. */
#include "data/dataset.h"

#include "base/file.h"
#include "base/text.h"

#include <stdio.h>

static const struct {
    diffad_data_layout layout;
    const char   *sign, *name, *masks;
} layouts[] = {
    { DIFFAD_DATA_PLAIN, NULL, "plain folder", "" },
    { DIFFAD_DATA_LOCO, "test/logical_anomalies", "MVTec LOCO AD", "ground_truth/KIND/NAME/000.png" },
    { DIFFAD_DATA_LOCO, "test/structural_anomalies", "MVTec LOCO AD", "ground_truth/KIND/NAME/000.png" },
    { DIFFAD_DATA_MVTEC, "train/good", "MVTec AD", "ground_truth/KIND/NAME_mask.png" },
    { DIFFAD_DATA_BTAD, "train/ok", "BTAD", "ground_truth/ko/NAME.png" },
    { DIFFAD_DATA_VISA, "Data/Images/Normal", "VisA", "Data/Masks/Anomaly/NAME.png" },
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

static bool has_folder(const char *folder, const char *name)
{
    char path[4096];
    return (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path && diffad_path_is_dir(path);
}

diffad_data_layout diffad_layout_of(const char *folder)
{
    for (int i = 0; i < LAYOUTS; i++)
        if (layouts[i].sign && has_folder(folder, layouts[i].sign) &&
            (layouts[i].layout != DIFFAD_DATA_LOCO || has_folder(folder, "train/good")))
            return layouts[i].layout;
    return DIFFAD_DATA_PLAIN;
}

const char *diffad_data_layout_name(diffad_data_layout l)
{
    for (int i = 0; i < LAYOUTS; i++)
        if (layouts[i].layout == l)
            return layouts[i].name;
    return "";
}

const char *diffad_layout_mask_place(diffad_data_layout l)
{
    for (int i = 0; i < LAYOUTS; i++)
        if (layouts[i].layout == l)
            return layouts[i].masks;
    return "";
}

char *diffad_layout_classes(const char *root)
{
    diffad_text list = { 0 };
    diffad_names names = { 0 };
    if (!diffad_path_is_dir(root) || diffad_dir_list(root, DIFFAD_ERR_DATA, &names) != DIFFAD_OK)
        return diffad_strdup("");
    for (int64_t i = 0; i < names.count; i++) {
        char *folder = diffad_path_join(root, names.name[i]);
        if (folder && diffad_layout_of(folder) != DIFFAD_DATA_PLAIN) {
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
