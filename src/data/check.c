/* check.c: a look at every file of a data set, for `diffad data check`. */
#include "data/dataset.h"

#include "base/file.h"
#include "base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FINDINGS = 1000 };

/* Content of a training image, for finding it again among the test images. */
typedef struct print { uint64_t hash; const char *path; } print;

typedef struct check {
    diffad_data_report *report;
    int64_t             class_capacity, finding_capacity;
    diffad_data_class  *now;
    int64_t             size_capacity;
    print              *prints;
    int64_t             print_count;
} check;

static diffad_status fail_memory(void)
{
    return diffad_fail(DIFFAD_ERR_MEMORY, "no memory for the report on the data set");
}

/* Findings beyond the thousandth are left out: the counts still tell. */
static diffad_status find(check *c, const char *format, ...) DIFFAD_PRINTF(2, 3);
static diffad_status find(check *c, const char *format, ...)
{
    diffad_data_report *r = c->report;
    char line[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (r->finding_count >= MAX_FINDINGS)
        return DIFFAD_OK;
    char *copy = diffad_strdup(line);
    if (!copy || !diffad_grow(&r->findings, r->finding_count, &c->finding_capacity, sizeof *r->findings)) {
        diffad_release(copy);
        return fail_memory();
    }
    r->findings[r->finding_count++] = copy;
    return DIFFAD_OK;
}

static diffad_status count_size(check *c, const diffad_image *image)
{
    diffad_data_class *k = c->now;
    for (int i = 0; i < k->size_count; i++) {
        diffad_data_size *s = &k->sizes[i];
        if (s->width == image->width && s->height == image->height && s->channels == image->channels) {
            s->count++;
            return DIFFAD_OK;
        }
    }
    if (!diffad_grow(&k->sizes, k->size_count, &c->size_capacity, sizeof *k->sizes))
        return fail_memory();
    k->sizes[k->size_count++] = (diffad_data_size){ image->width, image->height, image->channels, 1 };
    return DIFFAD_OK;
}

/* A fault of the file is a finding and leaves *out empty; only memory is a failure. */
static diffad_status load(check *c, const char *path, int channels, diffad_image *out)
{
    *out = (diffad_image){ 0 };
    const diffad_status st = diffad_image_load(path, channels, NULL, out);
    if (st == DIFFAD_OK || st == DIFFAD_ERR_MEMORY)
        return st;
    c->now->unreadable++;
    return find(c, "%s", diffad_error_detail());
}

static uint64_t print_of(const diffad_image *image)
{
    const size_t bytes = (size_t)image->width * (size_t)image->height * (size_t)image->channels;
    const uint64_t shape = (uint64_t)image->width << 34 ^ (uint64_t)image->height << 4 ^ (uint64_t)image->channels;
    return diffad_hash64(image->pixels, bytes) ^ shape;
}

static int by_hash(const void *a, const void *b)
{
    const print *p = a, *q = b;
    return p->hash < q->hash ? -1 : p->hash > q->hash;
}

static diffad_status check_train(check *c, const diffad_items *items)
{
    for (int64_t i = 0; i < items->count; i++) {
        diffad_image image;
        DIFFAD_TRY(load(c, items->item[i].path, 0, &image));
        if (!image.pixels)
            continue;
        c->prints[c->print_count++] = (print){ print_of(&image), items->item[i].path };
        const diffad_status st = count_size(c, &image);
        diffad_image_release(&image);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}

static diffad_status check_mask_pixels(check *c, const diffad_item *item, const char *path,
                                       const diffad_image *mask)
{
    int64_t set = 0, between = 0;
    for (int64_t i = 0; i < (int64_t)mask->width * mask->height; i++) {
        set += mask->pixels[i] != 0;
        between += mask->pixels[i] != 0 && mask->pixels[i] != 255;
    }
    if (between && !item->mask_is_index) {
        c->now->masks_not_binary++;
        DIFFAD_TRY(find(c, "%s: %lld pixels of the mask are neither 0 nor 255; protocol official drops them, mvtec counts them "
                           "as anomalous (in a JPEG, 128 and above)",
                        path, (long long)between));
    }
    if (!item->anomalous && set) {
        c->now->masks_on_good++;
        return find(c, "%s: marks %lld pixels of the good image %s; remove it, or move the image to its defect",
                    path, (long long)set, item->path);
    }
    if (item->anomalous && !set) {
        c->now->masks_empty++;
        return find(c, "%s: an empty mask for the anomalous image %s; draw it, or move the image to the good ones",
                    path, item->path);
    }
    return DIFFAD_OK;
}

static diffad_status check_mask_file(check *c, const diffad_item *item, const char *path, const diffad_image *image)
{
    diffad_image mask;
    DIFFAD_TRY(load(c, path, 1, &mask));
    if (!mask.pixels)
        return DIFFAD_OK;
    diffad_status st = check_mask_pixels(c, item, path, &mask);
    if (st == DIFFAD_OK && image->pixels && (mask.width != image->width || mask.height != image->height)) {
        c->now->masks_wrong_size++;
        st = find(c, "%s: mask of %d x %d pixels for an image of %d x %d (%s); make them equal", path,
                  mask.width, mask.height, image->width, image->height, item->path);
    }
    diffad_image_release(&mask);
    return st;
}

/* A mask may be a folder of files. */
static diffad_status check_mask(check *c, const diffad_item *item, const diffad_image *image)
{
    diffad_names names;
    c->now->masks += item->anomalous;
    if (!diffad_path_is_dir(item->mask))
        return check_mask_file(c, item, item->mask, image);
    DIFFAD_TRY(diffad_dir_list(item->mask, DIFFAD_ERR_DATA, &names));
    diffad_status st = DIFFAD_OK;
    int64_t       seen = 0;
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++) {
        if (!diffad_is_image_name(names.name[i]))
            continue;
        char *path = diffad_path_join(item->mask, names.name[i]);
        st = path ? check_mask_file(c, item, path, image) : fail_memory();
        diffad_release(path);
        seen++;
    }
    diffad_names_release(&names);
    if (st == DIFFAD_OK && seen == 0) {
        c->now->masks_empty++;
        st = find(c, "%s: no mask in this folder, for the image %s", item->mask, item->path);
    }
    return st;
}

static diffad_status check_duplicate(check *c, const diffad_item *item, const diffad_image *image)
{
    const print wanted = { print_of(image), NULL };
    const print *found = c->print_count
                             ? bsearch(&wanted, c->prints, (size_t)c->print_count, sizeof wanted, by_hash)
                             : NULL;
    if (!found)
        return DIFFAD_OK;
    c->now->duplicates++;
    return find(c, "%s: the same pixels as the training image %s; remove one of them", item->path, found->path);
}

static diffad_status check_test(check *c, const diffad_dataset *d, const char *folder, const diffad_item *item)
{
    diffad_image image;
    item->anomalous ? c->now->test_bad++ : c->now->test_good++;
    DIFFAD_TRY(load(c, item->path, 0, &image));
    diffad_status st = DIFFAD_OK;
    if (image.pixels) {
        DIFFAD_GOTO(done, count_size(c, &image));
        DIFFAD_GOTO(done, check_duplicate(c, item, &image));
    }
    if (item->mask)
        DIFFAD_GOTO(done, check_mask(c, item, &image));
    else if (item->anomalous) {
        c->now->masks_missing++;
        st = find(c, "%s: no mask in %s (%s); pixel metrics need it", item->path, folder,
                  diffad_layout_mask_place(d->layout));
    }
done:
    diffad_image_release(&image);
    return st;
}

/* Groups are known here only where groups.tsv or origin.tsv tells them: a name such as 000.png says nothing across
 * folders. */
static diffad_status check_groups(check *c, const diffad_dataset *d)
{
    int64_t known = 0, groups = 0;
    for (int64_t i = 0; i < d->train.count; i++)
        known += d->train.item[i].group != NULL;
    DIFFAD_TRY(diffad_groups_count(&d->train, &groups));
    if (known) {
        int64_t held = 0;
        DIFFAD_TRY(diffad_groups_count(&d->holdout, &held));
        c->now->groups = (int)(groups + held);
    }
    if (d->layout == DIFFAD_DATA_PLAIN && d->train.count > 1 && d->holdout.count == 0)
        DIFFAD_TRY(find(c, "all %lld images are of one part (\"%s\"): none can be held back for the threshold; add a groups.tsv if "
                           "that is wrong",
                        (long long)d->train.count, d->train.item[0].group));
    for (int64_t i = 0; i < d->test.count; i++) {
        const diffad_item *t = &d->test.item[i];
        for (int64_t k = 0; t->group && k < d->train.count; k++)
            if (d->train.item[k].group && strcmp(d->train.item[k].group, t->group) == 0) {
                c->now->straddling++;
                DIFFAD_TRY(find(c, "%s: of the same part (\"%s\") as the training image %s; the test is easier than it should be",
                                t->path, t->group, d->train.item[k].path));
                break;
            }
    }
    return DIFFAD_OK;
}

static int by_count(const void *a, const void *b)
{
    const diffad_data_size *p = a, *q = b;
    return q->count - p->count;
}

static diffad_status begin_class(check *c, const diffad_dataset *d)
{
    diffad_data_report *r = c->report;
    if (!diffad_grow(&r->classes, r->class_count, &c->class_capacity, sizeof *r->classes))
        return fail_memory();
    c->now = &r->classes[r->class_count++];
    *c->now = (diffad_data_class){ .name = diffad_strdup(d->class_name), .layout = d->layout,
                                   .train = (int)(d->train.count + d->holdout.count), .holdout = (int)d->holdout.count,
                                   .faults = (int)d->fault_count, .unused = (int)d->unused };
    c->size_capacity = c->print_count = 0;
    c->prints = diffad_alloc_array((size_t)(c->now->train + 1), sizeof *c->prints);
    return c->now->name && c->prints ? DIFFAD_OK : fail_memory();
}

static diffad_status find_layout_faults(check *c, const diffad_dataset *d, const char *folder)
{
    for (int64_t i = 0; i < d->fault_count; i++)
        DIFFAD_TRY(find(c, "%s", d->fault[i]));
    if (d->unused)
        DIFFAD_TRY(find(c, "%s: %lld images are neither for training nor for the test%s", folder, (long long)d->unused,
                        d->layout == DIFFAD_DATA_VISA ? ": no line of the split names them" : " (validation)"));
    if (d->layout != DIFFAD_DATA_PLAIN && d->test.count == 0)
        return find(c, "%s: no test images; nothing can be evaluated", folder);
    return DIFFAD_OK;
}

static diffad_status check_class(check *c, const char *folder)
{
    diffad_dataset *d = NULL;
    diffad_status   st;
    DIFFAD_TRY(diffad_dataset_scan(folder, NULL, false, &d));
    DIFFAD_GOTO(done, begin_class(c, d));
    DIFFAD_GOTO(done, find_layout_faults(c, d, folder));
    DIFFAD_GOTO(done, check_train(c, &d->train));
    DIFFAD_GOTO(done, check_train(c, &d->holdout));
    DIFFAD_GOTO(done, check_groups(c, d));
    if (c->print_count)
        qsort(c->prints, (size_t)c->print_count, sizeof *c->prints, by_hash);
    for (int64_t i = 0; i < d->test.count; i++)
        DIFFAD_GOTO(done, check_test(c, d, folder, &d->test.item[i]));
    if (c->now->size_count)
        qsort(c->now->sizes, (size_t)c->now->size_count, sizeof *c->now->sizes, by_count);
done:
    diffad_release(c->prints);
    c->prints = NULL;
    diffad_dataset_close(d);
    return st;
}

/* All class folders in `root`; *any says whether there was one. */
static diffad_status check_classes(check *c, const char *root, bool *any)
{
    diffad_names names;
    DIFFAD_TRY(diffad_dir_list(root, DIFFAD_ERR_DATA, &names));
    diffad_status st = DIFFAD_OK;
    *any = false;
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++) {
        char *folder = diffad_path_join(root, names.name[i]);
        if (!folder)
            st = fail_memory();
        else if (diffad_layout_of(folder) != DIFFAD_DATA_PLAIN) {
            *any = true;
            st = check_class(c, folder);
        }
        diffad_release(folder);
    }
    diffad_names_release(&names);
    return st;
}

diffad_status diffad_data_check(const char *root, diffad_data_report **out)
{
    check c = { .report = diffad_alloc(sizeof *c.report) };
    if (!c.report)
        return fail_memory();
    bool any = false;
    diffad_status st = DIFFAD_OK;
    if (diffad_path_is_dir(root) && diffad_layout_of(root) == DIFFAD_DATA_PLAIN)
        st = check_classes(&c, root, &any);
    if (st == DIFFAD_OK && !any)
        st = check_class(&c, root);
    if (st == DIFFAD_OK)
        *out = c.report;
    else
        diffad_data_report_release(c.report);
    return st;
}

void diffad_data_report_release(diffad_data_report *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->class_count; i++) {
        diffad_release(r->classes[i].name);
        diffad_release(r->classes[i].sizes);
    }
    for (int i = 0; i < r->finding_count; i++)
        diffad_release(r->findings[i]);
    diffad_release(r->classes);
    diffad_release(r->findings);
    diffad_release(r);
}
