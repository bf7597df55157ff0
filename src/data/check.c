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
    if (between) {
        c->now->masks_not_binary++;
        DIFFAD_TRY(
            find(c, "%s: %lld pixels of the mask are neither 0 nor 255; 128 and above will count as anomalous",
                 path, (long long)between));
    }
    if (!item->anomalous && set) {
        c->now->masks_on_good++;
        return find(c, "%s: marks %lld pixels of the good image %s; remove it, or move the image to its defect",
                    path, (long long)set, item->path);
    }
    if (item->anomalous && !set) {
        c->now->masks_empty++;
        return find(c, "%s: an empty mask for the anomalous image %s; draw it, or move the image to test/good",
                    path, item->path);
    }
    return DIFFAD_OK;
}

static diffad_status check_mask(check *c, const diffad_item *item, const char *path, const diffad_image *image)
{
    diffad_image mask;
    if (item->anomalous)
        c->now->masks++;
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

static diffad_status check_test(check *c, diffad_dataset *d, const char *folder, const diffad_item *item)
{
    diffad_image image;
    char *mask = NULL;
    item->anomalous ? c->now->test_bad++ : c->now->test_good++;
    DIFFAD_TRY(load(c, item->path, 0, &image));
    diffad_status st = DIFFAD_OK;
    if (image.pixels) {
        DIFFAD_GOTO(done, count_size(c, &image));
        DIFFAD_GOTO(done, check_duplicate(c, item, &image));
    }
    DIFFAD_GOTO(done, diffad_mvtec_mask(d, folder, item->defect, item->path, &mask));
    if (mask)
        DIFFAD_GOTO(done, check_mask(c, item, mask, &image));
    else if (item->anomalous) {
        c->now->masks_missing++;
        st = find(c, "%s: no mask in %s/ground_truth/%s (NAME_mask.png); pixel metrics need it", item->path,
                  folder, item->defect);
    }
done:
    diffad_image_release(&image);
    return st;
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
    *c->now = (diffad_data_class){ .name = diffad_strdup(d->class_name),
                                   .train = (int)(d->train.count + d->holdout.count) };
    c->size_capacity = c->print_count = 0;
    c->prints = diffad_alloc_array((size_t)(c->now->train + 1), sizeof *c->prints);
    return c->now->name && c->prints ? DIFFAD_OK : fail_memory();
}

static diffad_status check_class(check *c, const char *folder)
{
    diffad_dataset *d = NULL;
    DIFFAD_TRY(diffad_dataset_scan(folder, NULL, false, &d));
    diffad_status st = begin_class(c, d);
    if (st == DIFFAD_OK)
        st = check_train(c, &d->train);
    if (st == DIFFAD_OK)
        st = check_train(c, &d->holdout);
    if (st == DIFFAD_OK && c->now->train == 0)
        st = find(c, "%s/train/good: no images; nothing can be trained", folder);
    if (st == DIFFAD_OK && !d->is_plain && d->test.count == 0)
        st = find(c, "%s/test: no images; nothing can be evaluated", folder);
    if (c->print_count)
        qsort(c->prints, (size_t)c->print_count, sizeof *c->prints, by_hash);
    for (int64_t i = 0; i < d->test.count && st == DIFFAD_OK; i++)
        st = check_test(c, d, folder, &d->test.item[i]);
    if (st == DIFFAD_OK && c->now->size_count)
        qsort(c->now->sizes, (size_t)c->now->size_count, sizeof *c->now->sizes, by_count);
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
        else if (diffad_mvtec_is_class(folder)) {
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
    if (diffad_path_is_dir(root) && !diffad_mvtec_is_class(root))
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
