/* pictures.c: pictures at the size of the samples, kept in memory while the budget lasts. */
#include "data/pictures.h"

#include "base/sys.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { MAX_SIDE = 8192, MAX_THREADS = 256 };

struct diffad_pictures {
    pthread_mutex_t   lock;
    int               count;
    size_t            bytes_each;
    diffad_picture_fn make;
    const void       *user;
    atomic_llong     *budget;
    uint8_t         **kept;
};

diffad_status diffad_pictures_create(int count, size_t bytes_each, diffad_picture_fn make, const void *user,
                                     atomic_llong *budget, diffad_pictures **out)
{
    diffad_pictures *p = diffad_alloc(sizeof *p);
    uint8_t **kept = diffad_alloc_array((size_t)count, sizeof *kept);
    if (!p || !kept) {
        diffad_release(p);
        diffad_release(kept);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for a list of %d pictures", count);
    }
    *p = (diffad_pictures){
        .count = count, .bytes_each = bytes_each, .make = make, .user = user, .budget = budget, .kept = kept
    };
    pthread_mutex_init(&p->lock, NULL);
    *out = p;
    return DIFFAD_OK;
}

void diffad_pictures_destroy(diffad_pictures *p)
{
    if (!p)
        return;
    for (int i = 0; i < p->count; i++)
        diffad_release(p->kept[i]);
    diffad_release(p->kept);
    pthread_mutex_destroy(&p->lock);
    diffad_release(p);
}

int diffad_pictures_count(const diffad_pictures *p) { return p->count; }

static uint8_t *kept_at(diffad_pictures *p, int i)
{
    pthread_mutex_lock(&p->lock);
    uint8_t *kept = p->kept[i];
    pthread_mutex_unlock(&p->lock);
    return kept;
}

/* A copy to keep, unless the budget or memory is out or another thread was faster. */
static void keep(diffad_pictures *p, int i, const uint8_t *pixels)
{
    const long long bytes = (long long)p->bytes_each;
    if (atomic_fetch_sub(p->budget, bytes) < bytes) {
        atomic_fetch_add(p->budget, bytes);
        return;
    }
    uint8_t *copy = diffad_alloc(p->bytes_each);
    if (copy)
        memcpy(copy, pixels, p->bytes_each);
    pthread_mutex_lock(&p->lock);
    const bool taken = copy && !p->kept[i];
    if (taken)
        p->kept[i] = copy;
    pthread_mutex_unlock(&p->lock);
    if (!taken) {
        diffad_release(copy);
        atomic_fetch_add(p->budget, bytes);
    }
}

diffad_status diffad_pictures_get(diffad_pictures *p, int i, uint8_t *own, const uint8_t **pixels)
{
    const uint8_t *kept = kept_at(p, i);
    if (!kept) {
        DIFFAD_TRY(p->make(p->user, i, own));
        keep(p, i, own);
        kept = own;
    }
    *pixels = kept;
    return DIFFAD_OK;
}

diffad_status diffad_picture_read(const char *path, const diffad_loader_options *o, int channels, uint8_t *pixels)
{
    diffad_image image, small;
    DIFFAD_TRY(diffad_image_load(path, channels, NULL, &image));
    const diffad_status st = diffad_image_resize(&image, o->width, o->height, &small);
    diffad_image_release(&image);
    if (st != DIFFAD_OK)
        return st;
    const size_t count = (size_t)o->width * (size_t)o->height;
    if (channels == 3 && o->bgr && o->channels == 3)
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < 3; k++)
                pixels[3 * i + k] = small.pixels[3 * i + 2 - k];
    else
        memcpy(pixels, small.pixels, count * (size_t)channels);
    diffad_image_release(&small);
    return DIFFAD_OK;
}

void diffad_picture_planes(const uint8_t *pixels, const diffad_loader_options *o, float *planes)
{
    float table[256];
    for (int v = 0; v < 256; v++)
        table[v] = o->range_lo + (o->range_hi - o->range_lo) * ((float)v / 255.0f);
    const size_t count = (size_t)o->width * (size_t)o->height, channels = (size_t)o->channels;
    for (size_t k = 0; k < channels; k++)
        for (size_t i = 0; i < count; i++)
            planes[k * count + i] = table[pixels[i * channels + k]];
}

diffad_status diffad_loader_options_check(const diffad_loader_options *o)
{
    if (o->width <= 0 || o->height <= 0 || o->width > MAX_SIDE || o->height > MAX_SIDE)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "pictures of %d x %d pixels: sides must be 1..%d", o->width, o->height,
                    MAX_SIDE);
    if (o->channels != 1 && o->channels != 3)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "pictures with %d channels: 1 and 3 exist", o->channels);
    if (!(o->range_lo < o->range_hi) || !isfinite(o->range_lo) || !isfinite(o->range_hi))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "range of pictures: the lower end must be below the upper one, both finite");
    if (o->threads < 1 || o->threads > MAX_THREADS)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%d loader threads: give 1..%d", o->threads, MAX_THREADS);
    return DIFFAD_OK;
}

diffad_status diffad_picture_load(const char *path, const diffad_loader_options *o, float *planes)
{
    DIFFAD_TRY(diffad_loader_options_check(o));
    uint8_t *pixels = diffad_alloc_array((size_t)o->width * (size_t)o->height, (size_t)o->channels);
    if (!pixels)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no memory for the picture", path);
    const diffad_status st = diffad_picture_read(path, o, o->channels, pixels);
    if (st == DIFFAD_OK)
        diffad_picture_planes(pixels, o, planes);
    diffad_release(pixels);
    return st;
}

diffad_status diffad_picture_to_image(const float *planes, const diffad_loader_options *o, diffad_image *out)
{
    DIFFAD_TRY(diffad_loader_options_check(o));
    DIFFAD_TRY(diffad_image_create(o->width, o->height, 3, out));
    const size_t count = (size_t)o->width * (size_t)o->height;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < 3; k++) {
            const size_t plane = o->channels == 1 ? 0 : o->bgr ? 2 - k : k;
            const float v = (planes[plane * count + i] - o->range_lo) / (o->range_hi - o->range_lo) * 255.0f;
            out->pixels[3 * i + k] = (uint8_t)(v >= 255.0f ? 255
                                               : v > 0.0f  ? (int)(v + 0.5f)
                                                           : 0); /* not a number: 0 */
        }
    return DIFFAD_OK;
}
