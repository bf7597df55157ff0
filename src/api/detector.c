/* detector.c: a trained run as a detector: pictures through encode, sample, decode, segment. */
#include "api/evaluate_internal.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/sys.h"
#include "diffad/detect.h"
#include "tensor/tensor.h"
#include "train/run.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct diffad_detector {
    train_run             run;
    run_record            record;
    diffad_detector_info  info;
    diffad_latent        *latent;        /* diffad */
    diffad_road           segment;       /* inputs bound or "x"; output "map" (and "rec" for draem) */
    float                *noise, *input, *reconstruction, *map;
};

/* A detector's weights stay as they are. */
static const diffad_plan_options plan_options = { .keeps_packed_only = true };

static diffad_shape picture_shape(const diffad_desc *d, int batch)
{
    return diffad_shape4(batch, d->image_channels, d->image_size.v[0], d->image_size.v[1]);
}

/* softmax(logits)[:,1] */
static void add_map(diffad_graph *g, diffad_val logits) { diffad_output(g, "map", diffad_slice(g, diffad_softmax(g, logits, 1), 1, 1)); }

static diffad_status build_segment(diffad_detector *d, const diffad_plan_options *options)
{
    const diffad_desc *desc = &d->run.desc;
    const diffad_shape picture = picture_shape(desc, d->info.batch);
    DIFFAD_TRY(diffad_graph_create(&d->segment.graph));
    diffad_graph *g  = d->segment.graph;
    diffad_nn     nn = nn_make(g, desc->kind == DESC_KIND_DRAEM ? d->run.draem_seg : d->run.segmenter, false);
    if (desc->kind == DESC_KIND_DRAEM) {
        diffad_nn        r = nn_make(g, d->run.draem_rec, false);
        const diffad_val x = diffad_input(g, "x", DIFFAD_F32, picture), rec = diffad_draem_reconstruct(&r, x, desc->draem.rec_base);
        diffad_output(g, "rec", rec);
        add_map(g, diffad_discriminator(&nn, diffad_concat(g, 2, (diffad_val[]){ rec, x }), desc->draem.seg_base));
    } else {
        diffad_latent   *l = d->latent;
        const diffad_val x = diffad_bound(g, "x", DIFFAD_F32, picture, &l->x), rec = diffad_bound(g, "rec", DIFFAD_F32, picture, &l->rec);
        const diffad_val in[] = { rec, l->mix ? diffad_bound(g, "mix", DIFFAD_F32, picture, &l->mix) : x, x };
        add_map(g, diffad_discriminator(&nn, diffad_concat(g, l->mix ? 3 : 2, in), desc->segmenter.base_channels));
    }
    return diffad_plan_create(d->run.dev, g, options, &d->segment.plan);
}

static diffad_status allocate_host(diffad_detector *d)
{
    const int64_t pixels = (int64_t)d->info.width * d->info.height * d->info.batch;
    d->input          = diffad_alloc_array((size_t)(pixels * d->info.channels), sizeof(float));
    d->reconstruction = diffad_alloc_array((size_t)(pixels * d->info.channels), sizeof(float));
    d->map            = diffad_alloc_array((size_t)pixels, sizeof(float));
    if (d->latent)
        d->noise = diffad_alloc_array((size_t)diffad_latent_count(d->latent) * 2, sizeof(float));
    if (!d->input || !d->reconstruction || !d->map || (d->latent && !d->noise))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "detector: no host memory");
    return DIFFAD_OK;
}

/* Everything after the weights are there. */
static diffad_status finish(diffad_detector *d, const diffad_detector_options *o)
{
    const diffad_desc *desc = &d->run.desc;
    d->info = (diffad_detector_info){
        .model = d->record.model, .scale = d->record.scale, .class_name = d->record.class_name, .fingerprint = d->record.fingerprint,
        .folder = d->run.folder, .device = diffad_device_caps(d->run.dev)->name, .driver = diffad_device_caps(d->run.dev)->driver,
        .width = desc->image_size.v[1], .height = desc->image_size.v[0], .channels = desc->image_channels,
        .batch = o->batch > 0 ? o->batch : 1, .steps = desc->kind == DESC_KIND_DRAEM ? 0 : o->steps > 0 ? o->steps : desc->sampler_steps, .train_seed = d->record.seed,
        .threshold = d->record.threshold, .threshold_rule = d->record.threshold_rule, .parameters = d->record.parameters,
        .pictures = train_loader_options(&d->run, 0, false),
    };
    if (desc->kind == DESC_KIND_DIFFAD) {
        diffad_ddim_row *rows;
        int              n;
        DIFFAD_TRY(diffad_latent_create(d->run.dev, desc, d->run.latent_scale, d->run.autoencoder, d->run.unet, d->info.batch, &plan_options,
                                        &d->latent));
        DIFFAD_TRY(diffad_ddim_rows(&d->latent->schedule, d->info.steps, 0, desc->start_time, &rows, &n));      /* refuses early */
        diffad_release(rows);
    }
    DIFFAD_TRY(build_segment(d, &plan_options));
    DIFFAD_TRY(allocate_host(d));
    for (int i = 0; d->latent && i < d->info.batch; i++) {      /* the same for every picture */
        const int64_t all = diffad_latent_count(d->latent), at = i * (all / d->info.batch);
        diffad_latent_noise(d->latent, o->seed, DIFFAD_RNG_SAMPLER, 0, 0, 1, d->noise + at);
        diffad_latent_noise(d->latent, o->seed, DIFFAD_RNG_COND_NOISE, 0, 0, 1, d->noise + all + at);
    }
    return DIFFAD_OK;
}

static diffad_detector *make(diffad_device *dev)
{
    diffad_detector *d = diffad_alloc(sizeof *d);
    if (d)
        d->run.dev = dev;
    else
        diffad_fail(DIFFAD_ERR_MEMORY, "detector: no host memory");
    return d;
}

static diffad_status open_run(diffad_detector *d, const char *run)
{
    DIFFAD_TRY(run_record_read(run, &d->record, &d->run.desc));
    DIFFAD_TRY(diffad_desc_check(&d->run.desc));
    DIFFAD_TRY(run_open_params(&d->run));
    d->run.latent_scale = d->record.latent_scale > 0 ? d->record.latent_scale : d->run.desc.scale_factor;
    d->run.options.seed = d->record.seed;
    if (!(d->run.folder = diffad_strdup(run)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "detector: no host memory");
    return run_load_weights(&d->run, run);
}

static diffad_status use_checkpoint(diffad_detector *d, const diffad_checkpoint *c, const diffad_detector_options *o)
{
    const run_wish wish = { .model = o->model, .scale = o->scale, .configs = o->configs, .sets = o->sets };
    d->record.threshold = NAN;
    DIFFAD_TRY(run_describe_weights(c, &wish, &d->run.desc, d->record.scale));
    snprintf(d->record.model, sizeof d->record.model, "%s", d->run.desc.name);
    DIFFAD_TRY(run_open_params(&d->run));
    DIFFAD_TRY(run_load_checkpoint(&d->run, c));
    DIFFAD_TRY(run_check_tables(c, &d->run.desc, &d->run.latent_scale));
    return run_fingerprint(&d->run, d->record.fingerprint, &d->record.parameters);
}

/* DRAEM's scripts save NAME.pckl and NAME_seg.pckl: the second in new memory, or NULL. */
static char *companion_of(const char *path)
{
    static const char ending[] = ".pckl", seg[] = "_seg.pckl";
    const size_t      n = strlen(path), e = sizeof ending - 1;
    char             *other = n > e && strcmp(path + n - e, ending) == 0 ? diffad_alloc(n + sizeof seg) : NULL;
    if (other) {
        memcpy(other, path, n - e);
        memcpy(other + n - e, seg, sizeof seg);
    }
    if (other && !diffad_path_exists(other)) {
        diffad_release(other);
        other = NULL;
    }
    return other;
}

static diffad_status open_files(diffad_detector *d, const char *first, const diffad_detector_options *o)
{
    int n = 0;
    while (o->weights && o->weights[n])
        n++;
    diffad_checkpoint c = { .files = 0 };
    const char      **paths = diffad_alloc_array((size_t)n + 3, sizeof *paths);
    char             *beside = n == 0 ? companion_of(first) : NULL;
    diffad_status     st = paths ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "detector: no host memory");
    if (st == DIFFAD_OK) {
        paths[0] = first;
        for (int i = 0; i < n; i++)
            paths[i + 1] = o->weights[i];
        paths[n + 1] = beside;
        st = diffad_checkpoint_open(paths, &c);
    }
    if (st == DIFFAD_OK)
        st = use_checkpoint(d, &c, o);
    diffad_checkpoint_close(&c);
    diffad_release(beside);
    diffad_release(paths);
    return st;
}

diffad_status diffad_detector_open(diffad_device *dev, const char *run, const diffad_detector_options *options, diffad_detector **out)
{
    static const diffad_detector_options defaults = { 0 };
    const diffad_detector_options       *o = options ? options : &defaults;
    diffad_detector *d = make(dev);
    if (!d)
        return DIFFAD_ERR_MEMORY;
    const bool    is_described = o->model || o->scale || (o->configs && *o->configs) || (o->sets && *o->sets) || (o->weights && *o->weights);
    diffad_status st = run_is_folder(run) && is_described
                           ? diffad_fail(DIFFAD_ERR_USAGE, "%s is a run folder, which has its description and weights; leave model, scale, config, set and "
                                                           "weights away", run)
                       : run_is_folder(run) ? open_run(d, run)
                                            : open_files(d, run, o);
    if (st == DIFFAD_OK)
        st = finish(d, o);
    if (st == DIFFAD_OK)
        *out = d;
    else
        diffad_detector_close(d);
    return st;
}

/* Layers that a training starts from zero would hide all that stands before them. */
static void wake_zero_layers(diffad_params *p)
{
    for (int64_t i = 0; i < p->count; i++) {
        diffad_param *q = p->item[i];
        if (q->shape.rank > 1 && q->init.kind == DIFFAD_INIT_CONSTANT && q->init.a == 0)
            q->init = (diffad_init){ DIFFAD_INIT_UNIFORM, 1 / sqrt((double)(diffad_shape_count(&q->shape) / q->shape.side[0])), 0 };
    }
}

static diffad_status random_weights(train_run *r)
{
    diffad_params *const lists[] = { r->autoencoder, r->unet, r->segmenter, r->draem_rec, r->draem_seg };
    DIFFAD_TRY(run_shape_weights(r));
    for (uint32_t i = 0; i < 5; i++) {
        wake_zero_layers(lists[i]);
        DIFFAD_TRY(diffad_params_init(lists[i], 1, i + 1));
    }
    return DIFFAD_OK;
}

diffad_status diffad_detector_random(diffad_device *dev, const char *model, const char *scale, const diffad_detector_options *options,
                                     diffad_detector **out)
{
    static const diffad_detector_options defaults = { 0 };
    diffad_detector *d = make(dev);
    if (!d)
        return DIFFAD_ERR_MEMORY;
    d->record.threshold = NAN;
    snprintf(d->record.scale, sizeof d->record.scale, "%s", scale);
    diffad_status st = diffad_desc_layers(model, scale, options ? options->configs : NULL, options ? options->sets : NULL, &d->run.desc, NULL);
    snprintf(d->record.model, sizeof d->record.model, "%s", d->run.desc.name);
    if (st == DIFFAD_OK)
        st = diffad_desc_check(&d->run.desc);
    if (st == DIFFAD_OK)
        st = run_open_params(&d->run);
    d->run.latent_scale = d->run.desc.scale_factor;
    if (st == DIFFAD_OK)
        st = random_weights(&d->run);
    if (st == DIFFAD_OK)
        st = run_fingerprint(&d->run, d->record.fingerprint, &d->record.parameters);
    if (st == DIFFAD_OK)
        st = finish(d, options ? options : &defaults);
    if (st == DIFFAD_OK)
        *out = d;
    else
        diffad_detector_close(d);
    return st;
}

void diffad_detector_close(diffad_detector *d)
{
    if (!d)
        return;
    diffad_road_release(&d->segment);
    diffad_latent_destroy(d->latent);
    run_close(&d->run);
    diffad_release(d->noise);
    diffad_release(d->input);
    diffad_release(d->reconstruction);
    diffad_release(d->map);
    diffad_release(d);
}

static diffad_status add_cost(diffad_detector *d, const train_rates *r, detector_cost *out)
{
    static const diffad_plan_options sizes = { .keeps_packed_only = true, .sizes_only = true };
    DIFFAD_TRY(run_open_params(&d->run));
    DIFFAD_TRY(run_shape_lists(&d->run));
    if (d->run.desc.kind == DESC_KIND_DIFFAD) {
        DIFFAD_TRY(diffad_latent_create(d->run.dev, &d->run.desc, 1, d->run.autoencoder, d->run.unet, 1, &sizes, &d->latent));
        out->once += diffad_plan_seconds(d->latent->encode.plan, r->flops, r->bytes) + diffad_plan_seconds(d->latent->decode.plan, r->flops, r->bytes);
        out->step += diffad_plan_seconds(d->latent->denoise.plan, r->flops, r->bytes);
    }
    DIFFAD_TRY(build_segment(d, &sizes));
    out->once += diffad_plan_seconds(d->segment.plan, r->flops, r->bytes);
    return DIFFAD_OK;
}

diffad_status detector_cost_of(diffad_device *dev, const diffad_desc *desc, const train_rates *rates, detector_cost *out)
{
    detector_cost    cost = { 0 };
    diffad_detector *d = make(dev);
    if (!d)
        return DIFFAD_ERR_MEMORY;
    d->run.desc = *desc;
    d->info.batch = 1;
    const diffad_status st = add_cost(d, rates, &cost);
    diffad_detector_close(d);
    if (st == DIFFAD_OK)
        *out = cost;
    return st;
}

const char *diffad_detector_folder(const diffad_detector *d) { return d->run.folder; }

const diffad_detector_info *diffad_detector_info_of(const diffad_detector *d) { return &d->info; }

diffad_status diffad_detector_keep_threshold(diffad_detector *d, double threshold, const char *rule)
{
    if (!d->run.folder)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "there is no run folder to keep it in: give detect --threshold %.9g", threshold);
    d->record.threshold = d->info.threshold = threshold;
    snprintf(d->record.threshold_rule, sizeof d->record.threshold_rule, "%s", rule);
    return run_record_write(d->run.folder, &d->record, &d->run.desc);
}

/* ---- detecting ---- */

/* Of a batch. */
static int64_t values(const diffad_detector *d) { return (int64_t)d->info.width * d->info.height * d->info.channels * d->info.batch; }

enum { STAGE_ENCODE, STAGE_SAMPLE, STAGE_DECODE, STAGE_SEGMENT };

static diffad_status run_stage(diffad_detector *d, int stage)
{
    switch (stage) {
    case STAGE_ENCODE: return diffad_latent_encode(d->latent);
    case STAGE_SAMPLE: return diffad_latent_sample(d->latent, d->info.steps, 0, d->noise, d->noise + diffad_latent_count(d->latent), NULL);
    case STAGE_DECODE: return diffad_latent_decode(d->latent);
    default: return diffad_plan_run(d->segment.plan);
    }
}

diffad_status diffad_detector_planes(diffad_detector *d, const float *planes, diffad_detection *out)
{
    const uint64_t start = diffad_sys.monotonic_ns();
    const size_t   bytes = (size_t)values(d) * sizeof(float);
    if (planes != d->input)
        memcpy(d->input, planes, bytes);
    DIFFAD_TRY(diffad_tensor_write(d->latent ? d->latent->x : diffad_plan_tensor(d->segment.plan, "x"), d->input, bytes));
    for (int s = d->latent ? STAGE_ENCODE : STAGE_SEGMENT; s <= STAGE_SEGMENT; s++)
        DIFFAD_TRY(run_stage(d, s));
    DIFFAD_TRY(diffad_tensor_read(diffad_plan_tensor(d->segment.plan, "map"), d->map, bytes / (size_t)d->info.channels));
    DIFFAD_TRY(diffad_tensor_read(d->latent ? d->latent->rec : diffad_plan_tensor(d->segment.plan, "rec"), d->reconstruction, bytes));
    const int64_t pixels = (int64_t)d->info.width * d->info.height;
    for (int i = 0; i < d->info.batch; i++) {
        const int64_t at = i * pixels * d->info.channels;
        out[i] = (diffad_detection){ .map = d->map + i * pixels, .input = d->input + at, .reconstruction = d->reconstruction + at };
        DIFFAD_TRY(diffad_score_map(out[i].map, d->info.height, d->info.width, &out[i].score));
        if (!isfinite(out[i].score))
            DIFFAD_FAIL(DIFFAD_ERR_NUMERICS, "the networks returned values that are not finite; check the weights with `diffad verify` or train again");
    }
    const double seconds = (double)(diffad_sys.monotonic_ns() - start) * 1e-9 / d->info.batch;
    for (int i = 0; i < d->info.batch; i++)
        out[i].seconds = seconds;
    return DIFFAD_OK;
}

diffad_status diffad_detector_picture(diffad_detector *d, const char *path, diffad_detection *out)
{
    if (d->info.batch != 1)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "detector: opened for %d pictures at a time: give diffad_detector_planes all of them", d->info.batch);
    DIFFAD_TRY(diffad_picture_load(path, &d->info.pictures, d->input));
    return diffad_detector_planes(d, d->input, out);
}

static const char *const stage_names[] = { "encode", "sample", "decode", "segment" };

/* NULL: no such stage. */
static const diffad_tensor *stage_result(const diffad_detector *d, const char *stage)
{
    const diffad_latent *l = d->latent;
    if (strcmp(stage, stage_names[STAGE_SEGMENT]) == 0)
        return diffad_plan_tensor(d->segment.plan, "map");
    for (int s = STAGE_ENCODE; l && s < STAGE_SEGMENT; s++)
        if (strcmp(stage, stage_names[s]) == 0)
            return s == STAGE_ENCODE ? l->c : s == STAGE_SAMPLE ? l->z : l->rec;
    return NULL;
}

diffad_status diffad_detector_measure(diffad_detector *d, const float *planes, diffad_stage_time *stages, int *count)
{
    const int  first = d->latent ? STAGE_ENCODE : STAGE_SEGMENT;
    const size_t bytes = (size_t)values(d) * sizeof(float);
    *count = 0;
    DIFFAD_TRY(diffad_tensor_write(d->latent ? d->latent->x : diffad_plan_tensor(d->segment.plan, "x"), planes, bytes));
    for (int s = first; s <= STAGE_SEGMENT; s++) {
        DIFFAD_TRY(diffad_device_wait(d->run.dev));
        const uint64_t start = diffad_sys.monotonic_ns();
        DIFFAD_TRY(run_stage(d, s));
        DIFFAD_TRY(diffad_device_wait(d->run.dev));
        const diffad_plan *plan = s == STAGE_ENCODE   ? d->latent->encode.plan
                                  : s == STAGE_SAMPLE ? d->latent->denoise.plan
                                  : s == STAGE_DECODE ? d->latent->decode.plan
                                                      : d->segment.plan;
        const int times = s == STAGE_SAMPLE ? d->latent->n_rows : 1;
        stages[(*count)++] = (diffad_stage_time){ .name = stage_names[s], .ms = (double)(diffad_sys.monotonic_ns() - start) * 1e-6,
                                                  .gflop = diffad_plan_flops(plan) * 1e-9 * times, .launches = diffad_plan_launches(plan) * times, .plan = plan };
    }
    return DIFFAD_OK;
}

int64_t diffad_detector_stage_values(const diffad_detector *d, const char *stage)
{
    const diffad_tensor *t = stage_result(d, stage);
    return t ? diffad_shape_count(diffad_tensor_shape(t)) : 0;
}

diffad_status diffad_detector_stage_read(const diffad_detector *d, const char *stage, float *out, int64_t count)
{
    const diffad_tensor *t = stage_result(d, stage);
    if (!t || diffad_shape_count(diffad_tensor_shape(t)) != count)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "detector: no stage \"%s\" with %lld values", stage, (long long)count);
    return diffad_tensor_read(t, out, (size_t)count * sizeof *out);
}
