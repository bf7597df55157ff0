/* fingerprint.c: whether two data sets are the same: names and contents of their images and masks. */
#include "data/dataset.h"

#include "base/file.h"
#include "base/hash.h"

#include <stdio.h>
#include <string.h>

static void add_text(diffad_hasher *h, const char *text) { diffad_hasher_add(h, text, strlen(text) + 1); }

static diffad_status add_file(diffad_hasher *h, const char *path);

/* A mask may be a folder of files. */
static diffad_status add_folder(diffad_hasher *h, const char *path)
{
    diffad_names  names;
    diffad_status st = DIFFAD_OK;
    add_text(h, diffad_path_base(path));
    DIFFAD_TRY(diffad_dir_list(path, DIFFAD_ERR_DATA, &names));
    for (int64_t i = 0; st == DIFFAD_OK && i < names.count; i++) {
        char *file = diffad_path_join(path, names.name[i]);
        st = file ? add_file(h, file) : diffad_fail(DIFFAD_ERR_MEMORY, "%s: no host memory for a fingerprint", path);
        diffad_release(file);
    }
    diffad_names_release(&names);
    return st;
}

static diffad_status add_file(diffad_hasher *h, const char *path)
{
    unsigned char *data;
    int64_t        bytes;
    if (diffad_path_is_dir(path))
        return add_folder(h, path);
    DIFFAD_TRY(diffad_file_read(path, diffad_image_limits_default().max_file_bytes, DIFFAD_ERR_DATA, &data, &bytes));
    add_text(h, diffad_path_base(path));
    diffad_hasher_add(h, data, (size_t)bytes);
    diffad_release(data);
    return DIFFAD_OK;
}

static diffad_status add_items(diffad_hasher *h, const char *part, const diffad_items *items)
{
    add_text(h, part);
    for (int64_t i = 0; i < items->count; i++) {
        add_text(h, items->item[i].defect);
        DIFFAD_TRY(add_file(h, items->item[i].path));
        if (items->item[i].mask)
            DIFFAD_TRY(add_file(h, items->item[i].mask));
    }
    return DIFFAD_OK;
}

diffad_status diffad_dataset_fingerprint(const diffad_dataset *d, char hex[17])
{
    diffad_hasher *h = diffad_hasher_new();
    if (!h)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory for a fingerprint", d->class_name);
    diffad_status st = add_items(h, "train", &d->train);
    if (st == DIFFAD_OK)
        st = add_items(h, "test", &d->test);
    if (st == DIFFAD_OK)
        st = add_items(h, "holdout", &d->holdout);
    if (st == DIFFAD_OK)
        snprintf(hex, 17, "%016llx", (unsigned long long)diffad_hasher_take64(h));
    diffad_hasher_release(h);
    return st;
}
