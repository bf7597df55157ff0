/* visa.c: a class folder of VisA as it was released (Zou et al., ECCV 2022).
 *
 *     ROOT/split_csv/1cls.csv      object,split,label,image,mask; paths below ROOT; what is for training and for the test
 *     ROOT/CLASS/image_anno.csv    image,label,mask
 *     ROOT/CLASS/Data/Images/{Normal,Anomaly}/0000.JPG    ROOT/CLASS/Data/Masks/Anomaly/0000.png, values 1, 2, ...
 *
 * Items are called good and bad, as in the tree that VisA's published preparation makes. */
#include "data/dataset.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECT, SPLIT, LABEL, IMAGE, MASK, COLUMNS };

typedef struct visa {
    diffad_dataset *d;
    const char     *folder, *root;      /* root "": the current folder */
    bool            has_masks;
} visa;

static diffad_status fail_memory(const visa *v)
{
    return diffad_fail(DIFFAD_ERR_MEMORY, "%s: no memory for the list of images", v->folder);
}

/* ROOT/name; the names come from a file. */
static char *below_root(const visa *v, const char *name)
{
    return *v->root ? diffad_dataset_join(v->d, v->root, name) : diffad_arena_strdup(&v->d->arena, name);
}

static bool is_inside(const char *path)
{
    if (path[0] == '/' || path[0] == 0)
        return false;
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == 0))
            return false;
    return true;
}

static diffad_status add_bad_mask(const visa *v, const char *table, int line, const char *name, diffad_item *item)
{
    if (!v->has_masks)
        return DIFFAD_OK;
    item->mask = is_inside(name) ? below_root(v, name) : NULL;
    if (item->mask && diffad_path_exists(item->mask))
        return DIFFAD_OK;
    item->mask = NULL;
    if (!v->d->strict)
        return DIFFAD_OK;                /* `data check` counts it */
    DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: its mask is missing (line %d of %s names \"%s\"); add it, or remove Data/Masks",
                item->path, line, table, name);
}

/* A row of 1cls.csv that is about this class. */
static diffad_status add_row(const visa *v, const char *table, int line, char *const *field)
{
    const bool is_train = strcmp(field[SPLIT], "train") == 0, is_bad = strcmp(field[LABEL], "anomaly") == 0;
    diffad_item item = { .path = is_inside(field[IMAGE]) ? below_root(v, field[IMAGE]) : NULL,
                         .defect = is_bad ? "bad" : "good", .anomalous = is_bad, .mask_is_index = is_bad };
    if ((!is_train && strcmp(field[SPLIT], "test") != 0) || (!is_bad && strcmp(field[LABEL], "normal") != 0))
        return diffad_dataset_fault(v->d, "%s: line %d says split \"%s\" and label \"%s\"; train or test, normal or anomaly are known",
                                    table, line, field[SPLIT], field[LABEL]);
    if (is_train && is_bad)
        return diffad_dataset_fault(v->d, "%s: line %d has an anomaly for training (%s); only normal images may be", table, line,
                                    field[IMAGE]);
    if (!item.path || !diffad_path_exists(item.path))
        return diffad_dataset_fault(v->d, "%s: line %d names \"%s\", which is not there; add the file, or remove the line", table,
                                    line, field[IMAGE]);
    if (is_bad)
        DIFFAD_TRY(add_bad_mask(v, table, line, field[MASK], &item));
    return diffad_items_add(v->d, is_train ? &v->d->train : &v->d->test, &item);
}

static diffad_status find_columns(diffad_dataset *d, const char *table, char *const *head, int column[COLUMNS], bool *ok)
{
    static const char *const names[COLUMNS] = { "object", "split", "label", "image", "mask" };
    *ok = false;
    for (int k = 0; k < COLUMNS; k++) {
        column[k] = -1;
        for (int i = 0; i < COLUMNS; i++)
            if (strcmp(head[i], names[k]) == 0)
                column[k] = i;
        if (column[k] < 0)
            return diffad_dataset_fault(d, "%s: no column \"%s\" in its first line; object,split,label,image,mask are needed", table,
                                        names[k]);
    }
    *ok = true;
    return DIFFAD_OK;
}

static diffad_status read_split(const visa *v, const char *table, diffad_rows *rows)
{
    char *field[COLUMNS], *sorted[COLUMNS];
    int   column[COLUMNS], found = 0;
    bool  ok = diffad_rows_next(rows, field, COLUMNS);
    if (!ok)
        return diffad_dataset_fault(v->d, "%s: the file is empty; take the one that VisA comes with", table);
    DIFFAD_TRY(find_columns(v->d, table, field, column, &ok));
    while (ok && diffad_rows_next(rows, field, COLUMNS)) {
        for (int k = 0; k < COLUMNS; k++)
            sorted[k] = field[column[k]];
        if (strcmp(sorted[OBJECT], v->d->class_name) != 0)
            continue;
        found++;
        DIFFAD_TRY(add_row(v, table, rows->line, sorted));
    }
    if (ok && !found)
        return diffad_dataset_fault(v->d, "%s: no line about \"%s\"", table, v->d->class_name);
    return DIFFAD_OK;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const diffad_item *)a)->path, ((const diffad_item *)b)->path);
}

static void sort_items(diffad_items *items)
{
    if (items->count)
        qsort(items->item, (size_t)items->count, sizeof *items->item, by_path);
}

static diffad_status count_folder(const visa *v, const char *name, int64_t *count)
{
    diffad_items found = { 0 };
    const char *path = diffad_dataset_join(v->d, v->folder, name);
    if (!path)
        return fail_memory(v);
    if (!diffad_path_is_dir(path))
        return DIFFAD_OK;
    const diffad_status st = diffad_items_add_folder(v->d, &found, path, &(diffad_item){ .defect = "" });
    *count += found.count;
    diffad_release(found.item);
    return st;
}

/* What nothing but `data check` asks for: the annotations, and images that no line of the split names. */
static diffad_status look_around(const visa *v)
{
    int64_t all = 0;
    diffad_rows rows;
    char *field[3];
    const char *anno = diffad_dataset_join(v->d, v->folder, "image_anno.csv");
    if (!anno)
        return fail_memory(v);
    DIFFAD_TRY(count_folder(v, "Data/Images/Normal", &all));
    DIFFAD_TRY(count_folder(v, "Data/Images/Anomaly", &all));
    const int64_t used = v->d->train.count + v->d->test.count;
    v->d->unused = all > used ? all - used : 0;
    if (!diffad_path_exists(anno))
        return diffad_dataset_fault(v->d, "%s: missing; it comes with VisA and names each image's defect", anno);
    DIFFAD_TRY(diffad_rows_open(anno, ',', &rows));
    diffad_status st = DIFFAD_OK;
    while (st == DIFFAD_OK && diffad_rows_next(&rows, field, 3)) {
        if (rows.line == 1)
            continue;
        const char *path = is_inside(field[0]) ? below_root(v, field[0]) : NULL;
        if (!path || !diffad_path_exists(path))
            st = diffad_dataset_fault(v->d, "%s: line %d names \"%s\", which is not there; add the file, or remove the line", anno,
                                      rows.line, field[0]);
    }
    diffad_rows_close(&rows);
    return st;
}

diffad_status diffad_visa_scan(diffad_dataset *d, const char *folder)
{
    visa v = { .d = d, .folder = folder };
    const char *base = diffad_path_base(folder), *masks = diffad_dataset_join(d, folder, "Data/Masks");
    char *root = diffad_arena_strdup(&d->arena, folder);
    if (!root || !masks)
        return fail_memory(&v);
    root[base > folder ? base - folder - 1 : 0] = 0;
    v.root = base == folder + 1 ? "/" : root;
    v.has_masks = diffad_path_is_dir(masks);
    const char *table = below_root(&v, "split_csv/1cls.csv");
    diffad_rows rows;
    if (!table)
        return fail_memory(&v);
    if (!diffad_path_exists(table)) {
        DIFFAD_TRY(diffad_dataset_fault(d, "%s: missing; it says which images of %s are for training: take the one that VisA comes with",
                                        table, d->class_name));
    } else {
        DIFFAD_TRY(diffad_rows_open(table, ',', &rows));
        const diffad_status st = read_split(&v, table, &rows);
        diffad_rows_close(&rows);
        DIFFAD_TRY(st);
    }
    sort_items(&d->train);
    sort_items(&d->test);
    if (!d->strict)
        DIFFAD_TRY(look_around(&v));
    else if (d->train.count == 0)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: no training image of \"%s\" in it", table, d->class_name);
    return DIFFAD_OK;
}
