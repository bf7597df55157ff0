/* truth.c: ground truth of an image at a wanted size, as the two protocols make it. */
#include "data/dataset.h"

#include "base/file.h"
#include "data/image_internal.h"

#include <string.h>
#include <strings.h>

/* Lowest value that marks a pixel: lossy files have noise around 0. */
static uint8_t lowest_mark(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0) ? 128 : 1;
}

/* A pixel that any file of the folder marks is 255. */
static diffad_status load_folder(const char *folder, diffad_image *out)
{
    diffad_names  names;
    diffad_image  sum = { 0 }, one;
    diffad_status st = DIFFAD_OK;
    DIFFAD_TRY(diffad_dir_list(folder, DIFFAD_ERR_DATA, &names));
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++) {
        if (!diffad_is_image_name(names.name[i]))
            continue;
        char *path = diffad_path_join(folder, names.name[i]);
        st = path ? diffad_image_load(path, 1, NULL, &one) : diffad_fail(DIFFAD_ERR_MEMORY, "%s: no memory for a mask", folder);
        if (st == DIFFAD_OK && sum.pixels && (sum.width != one.width || sum.height != one.height)) {
            st = diffad_fail(DIFFAD_ERR_DATA, "%s: mask of %d x %d pixels beside others of %d x %d; make them equal", path, one.width,
                             one.height, sum.width, sum.height);
            diffad_image_release(&one);
        }
        if (st == DIFFAD_OK) {
            const size_t pixels = (size_t)one.width * (size_t)one.height;
            for (size_t k = 0; k < pixels; k++)
                one.pixels[k] = one.pixels[k] || (sum.pixels && sum.pixels[k]) ? 255 : 0;
            diffad_image_release(&sum);
            sum = one;
        }
        diffad_release(path);
    }
    diffad_names_release(&names);
    if (st == DIFFAD_OK && !sum.pixels)
        st = diffad_fail(DIFFAD_ERR_DATA, "%s: no mask in this folder; add one, or remove the folder", folder);
    if (st == DIFFAD_OK)
        *out = sum;
    else
        diffad_image_release(&sum);
    return st;
}

/* The mask at its own size, after a look at the image's header: the two must agree. */
static diffad_status load_mask(const diffad_item *item, diffad_image *mask)
{
    diffad_image_header image;
    DIFFAD_TRY(diffad_image_probe(item->path, &image));
    DIFFAD_TRY(diffad_path_is_dir(item->mask) ? load_folder(item->mask, mask) : diffad_image_load(item->mask, 1, NULL, mask));
    if (mask->width == image.width && mask->height == image.height)
        return DIFFAD_OK;
    const int w = mask->width, h = mask->height;
    diffad_image_release(mask);
    DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: mask of %d x %d pixels for an image of %d x %d (%s); make them equal",
                item->mask, w, h, image.width, image.height, item->path);
}

static void nearest_mask(const diffad_image *from, uint8_t mark, int width, int height, uint8_t *mask)
{
    for (int y = 0; y < height; y++) {
        const int64_t sy = (2 * (int64_t)y + 1) * from->height / (2 * (int64_t)height);
        for (int x = 0; x < width; x++) {
            const int64_t sx = (2 * (int64_t)x + 1) * from->width / (2 * (int64_t)width);
            *mask++ = from->pixels[sy * from->width + sx] >= mark;
        }
    }
}

static diffad_status official_mask(const diffad_item *item, const diffad_image *truth, int width, int height, uint8_t *mask)
{
    diffad_image small;
    const size_t from = (size_t)truth->width * (size_t)truth->height, to = (size_t)width * (size_t)height;
    if (item->mask_is_index)
        for (size_t i = 0; i < from; i++)
            truth->pixels[i] = truth->pixels[i] ? 255 : 0;
    DIFFAD_TRY(diffad_image_resize(truth, width, height, &small));
    for (size_t i = 0; i < to; i++)
        mask[i] = small.pixels[i] == 255;
    diffad_image_release(&small);
    return DIFFAD_OK;
}

diffad_status diffad_dataset_mask(const diffad_item *item, int width, int height, bool official, uint8_t *mask)
{
    diffad_image  truth;
    diffad_status st = DIFFAD_OK;
    if (width <= 0 || height <= 0)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "mask of %d x %d pixels: sides must be positive", width, height);
    if (item->anomalous && !item->mask)
        DIFFAD_FAIL(DIFFAD_ERR_DATA,
                    "%s: the data set has no mask of this image; pixel metrics need ground truth", item->path);
    if (!item->anomalous) {
        memset(mask, 0, (size_t)width * (size_t)height);
        return DIFFAD_OK;
    }
    DIFFAD_TRY(load_mask(item, &truth));
    if (official)
        st = official_mask(item, &truth, width, height, mask);
    else
        nearest_mask(&truth, lowest_mark(item->mask), width, height, mask);
    diffad_image_release(&truth);
    return st;
}

diffad_status diffad_dataset_size(const diffad_item *item, int *width, int *height)
{
    diffad_image_header h;
    DIFFAD_TRY(diffad_image_probe(item->path, &h));
    *width  = h.width;
    *height = h.height;
    return DIFFAD_OK;
}
