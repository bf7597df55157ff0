/* loader.c: batches of training samples, made ahead by threads.
 *
 * Two batches exist: the one that the caller holds and the one behind it, which the threads fill meanwhile.
 * Threads take single samples; a sample depends on its number alone, so that who makes it, and when, does not
 * matter. */
#include "data/dataset.h"
#include "data/synth.h"
#include "data/texture.h"

#include "base/sys.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { PROCEDURAL_TEXTURES = 256 };
#define KEEP_BYTES (512LL << 20)          /* of decoded pictures, training images and textures together */

typedef struct job {
    diffad_batch  batch;
    int64_t       first;
    int           count, capacity;        /* count 0: nothing asked for */
    int           taken, finished;        /* samples */
    diffad_status status;
    int           failed;                 /* the first sample that failed */
    char          detail[512];
} job;

typedef struct worker {
    struct diffad_loader *loader;
    diffad_synth_space   *space;
    pthread_t             thread;
    bool                  started;
} worker;

struct diffad_loader {
    diffad_synth          synth;
    const diffad_dataset *dataset;
    diffad_dataset       *texture_files;  /* NULL: procedural */
    atomic_llong          budget;
    pthread_mutex_t       lock;
    pthread_cond_t        work, done;     /* a sample to take; a job's last sample finished */
    job                   jobs[2];
    job                  *queue[2];       /* in the order of their urgency */
    bool                  stop;
    worker               *workers;
};

/* ---- the pictures that samples are made of ---- */

static diffad_status make_train(const void *user, int i, uint8_t *pixels)
{
    const diffad_loader *l = user;
    const diffad_loader_options *o = &l->synth.options;
    return diffad_picture_read(diffad_dataset_train(l->dataset, i)->path, o, o->channels, pixels);
}

static diffad_status make_texture(const void *user, int i, uint8_t *pixels)
{
    const diffad_loader *l = user;
    const diffad_loader_options *o = &l->synth.options;
    if (l->texture_files)
        return diffad_picture_read(diffad_dataset_train(l->texture_files, i)->path, o, 3, pixels);
    diffad_rng r = diffad_rng_make(o->seed, DIFFAD_RNG_DATASET, 0, (uint32_t)i);
    diffad_texture_draw(&r, o->width, o->height, pixels);
    return DIFFAD_OK;
}

/* ---- threads ---- */

static diffad_status fill_sample(worker *w, job *j, int i)
{
    const diffad_loader_options *o = &w->loader->synth.options;
    const size_t pixels = (size_t)o->width * (size_t)o->height, values = pixels * (size_t)o->channels,
                 n = (size_t)i;
    return diffad_synth_sample(&w->loader->synth, w->space, j->first + i, j->batch.image + n * values,
                               o->anomalies ? j->batch.augmented + n * values : NULL,
                               o->anomalies ? j->batch.mask + n * pixels : NULL, j->batch.index + i, j->batch.turned + i);
}

static job *next_job(diffad_loader *l)
{
    for (int i = 0; i < 2; i++)
        if (l->queue[i] && l->queue[i]->taken < l->queue[i]->count)
            return l->queue[i];
    return NULL;
}

static void *work(void *user)
{
    worker *w = user;
    diffad_loader *l = w->loader;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        job *j = next_job(l);
        if (!j) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        const int i = j->taken++;
        pthread_mutex_unlock(&l->lock);
        const diffad_status st = fill_sample(w, j, i);
        pthread_mutex_lock(&l->lock);
        if (st != DIFFAD_OK && (j->status == DIFFAD_OK || i < j->failed)) {
            j->status = st;
            j->failed = i;
            snprintf(j->detail, sizeof j->detail, "%s", diffad_error_detail());
        }
        if (++j->finished == j->taken)
            pthread_cond_signal(&l->done);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static diffad_status start_workers(diffad_loader *l)
{
    const int count = l->synth.options.threads;
    l->workers = diffad_alloc_array((size_t)count, sizeof *l->workers);
    if (!l->workers)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for %d loader threads", count);
    for (int i = 0; i < count; i++) {
        worker *w = &l->workers[i];
        w->loader = l;
        DIFFAD_TRY(diffad_synth_space_create(&l->synth.options, &w->space));
        if (pthread_create(&w->thread, NULL, work, w) != 0)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY,
                        "the system gives no more than %d of %d loader threads; ask for fewer", i, count);
        w->started = true;
    }
    return DIFFAD_OK;
}

/* ---- jobs; the lock is held ---- */

static void release_batch(job *j)
{
    diffad_release(j->batch.image);
    diffad_release(j->batch.augmented);
    diffad_release(j->batch.mask);
    diffad_release(j->batch.index);
    diffad_release(j->batch.turned);
    *j = (job){ 0 };
}

static diffad_status reserve(const diffad_loader_options *o, job *j, int count)
{
    if (count <= j->capacity)
        return DIFFAD_OK;
    release_batch(j);
    const size_t n = (size_t)count, pixels = (size_t)o->width * (size_t)o->height,
                 values = pixels * (size_t)o->channels;
    j->batch.image = diffad_alloc_array(n, values * sizeof(float));
    j->batch.augmented = o->anomalies ? diffad_alloc_array(n, values * sizeof(float)) : NULL;
    j->batch.mask = o->anomalies ? diffad_alloc_array(n, pixels) : NULL;
    j->batch.index = diffad_alloc_array(n, sizeof(int));
    j->batch.turned = diffad_alloc_array(n, sizeof(bool));
    if (!j->batch.image || !j->batch.index || !j->batch.turned || (o->anomalies && (!j->batch.augmented || !j->batch.mask))) {
        release_batch(j);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for a batch of %d pictures of %d x %d pixels", count,
                    o->width, o->height);
    }
    j->capacity = count;
    return DIFFAD_OK;
}

/* No further sample of it is begun; waits for those that are. */
static void cancel(diffad_loader *l, job *j)
{
    j->count = j->taken;
    while (j->finished < j->taken)
        pthread_cond_wait(&l->done, &l->lock);
    j->count = j->taken = j->finished = 0;
}

static diffad_status begin(diffad_loader *l, job *j, int64_t first, int count)
{
    DIFFAD_TRY(reserve(&l->synth.options, j, count));
    j->first = first;
    j->count = j->batch.count = count;
    j->taken = j->finished = 0;
    j->status = DIFFAD_OK;
    pthread_cond_broadcast(&l->work);
    return DIFFAD_OK;
}

static bool holds(const job *j, int64_t first, int count) { return j->count == count && j->first == first; }

/* The job with these samples, begun now if it is not yet. */
static diffad_status job_for(diffad_loader *l, int64_t first, int count, job **out)
{
    for (int i = 0; i < 2; i++)
        if (holds(&l->jobs[i], first, count)) {
            *out = &l->jobs[i];
            return DIFFAD_OK;
        }
    cancel(l, &l->jobs[0]);
    cancel(l, &l->jobs[1]);
    *out = &l->jobs[0];
    l->queue[0] = *out;
    return begin(l, *out, first, count);
}

/* Asks for what most likely comes next. When that fails the next call simply finds nothing prepared. */
static void look_ahead(diffad_loader *l, const job *now, int64_t first, int count)
{
    job *next = now == &l->jobs[0] ? &l->jobs[1] : &l->jobs[0];
    if (holds(next, first, count))
        return;
    cancel(l, next);
    l->queue[0] = next;
    l->queue[1] = NULL;
    (void)begin(l, next, first, count);
}

/* ---- public ---- */

diffad_loader_options diffad_loader_options_default(void)
{
    return (diffad_loader_options){ .width = 256,
                                    .height = 256,
                                    .channels = 3,
                                    .bgr = true,
                                    .range_lo = 0.0f,
                                    .range_hi = 1.0f,
                                    .threads = 2,
                                    .rotate = true,
                                    .anomalies = true };
}

static diffad_status open_pictures(diffad_loader *l)
{
    const diffad_loader_options *o = &l->synth.options;
    const size_t pixels = (size_t)o->width * (size_t)o->height;
    atomic_init(&l->budget, KEEP_BYTES);
    DIFFAD_TRY(diffad_pictures_create(diffad_dataset_train_count(l->dataset), pixels * (size_t)o->channels,
                                      make_train, l, &l->budget, &l->synth.train));
    if (!o->anomalies)
        return DIFFAD_OK;
    if (o->textures)
        DIFFAD_TRY(diffad_dataset_scan_tree(o->textures, &l->texture_files));
    const int count = l->texture_files ? diffad_dataset_train_count(l->texture_files) : PROCEDURAL_TEXTURES;
    return diffad_pictures_create(count, pixels * 3, make_texture, l, &l->budget, &l->synth.textures);
}

diffad_status diffad_loader_create(const diffad_dataset *d, const diffad_loader_options *o, diffad_loader **out)
{
    DIFFAD_TRY(diffad_loader_options_check(o));
    if (diffad_dataset_train_count(d) == 0)
        DIFFAD_FAIL(DIFFAD_ERR_DATA, "%s: no training images", diffad_dataset_class(d));
    diffad_loader *l = diffad_alloc(sizeof *l);
    if (!l)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "no memory for the loader");
    l->dataset = d;
    l->synth.options = *o;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->done, NULL);
    diffad_status st = open_pictures(l);
    l->synth.options.textures = NULL;      /* the caller's string is not kept */
    if (st == DIFFAD_OK)
        st = start_workers(l);
    if (st == DIFFAD_OK)
        *out = l;
    else
        diffad_loader_destroy(l);
    return st;
}

void diffad_loader_destroy(diffad_loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; l->workers && i < l->synth.options.threads; i++) {
        if (l->workers[i].started)
            pthread_join(l->workers[i].thread, NULL);
        diffad_synth_space_destroy(l->workers[i].space);
    }
    release_batch(&l->jobs[0]);
    release_batch(&l->jobs[1]);
    diffad_release(l->workers);
    diffad_pictures_destroy(l->synth.train);
    diffad_pictures_destroy(l->synth.textures);
    diffad_dataset_close(l->texture_files);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    pthread_mutex_destroy(&l->lock);
    diffad_release(l);
}

diffad_status diffad_loader_get(diffad_loader *l, int64_t first, int count, const diffad_batch **out)
{
    if (first < 0 || count < 1 || first > INT64_MAX - 2 * (int64_t)count)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "samples %lld and %d following: numbers count from 0", (long long)first,
                    count);
    job *j = NULL;
    pthread_mutex_lock(&l->lock);
    diffad_status st = job_for(l, first, count, &j);
    while (st == DIFFAD_OK && j->finished < j->count)
        pthread_cond_wait(&l->done, &l->lock);
    if (st == DIFFAD_OK && j->status != DIFFAD_OK) {
        st = diffad_fail(j->status, "%s", j->detail);
        j->count = j->taken = j->finished = 0;     /* asked again, it is tried again */
    }
    if (st == DIFFAD_OK) {
        look_ahead(l, j, first + count, count);
        *out = &j->batch;
    }
    pthread_mutex_unlock(&l->lock);
    return st;
}
