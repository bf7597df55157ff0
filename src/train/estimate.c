/* estimate.c: what a training will take, before it starts: steps, memory, time. Memory is that of the very plans that the
 * training makes; time comes from their costs and from two probes of the device. */
#include "base/sys.h"
#include "device/device.h"
#include "diffad/ops.h"
#include "graph/op.h"
#include "train/run.h"

#include <math.h>
#include <string.h>

/* ---- probes: what the device reaches in the ways that plans choose ---- */

static diffad_status time_plan(diffad_device *dev, diffad_plan *p, double *seconds)
{
    enum { RUNS = 3 };
    *seconds = INFINITY;
    for (int i = 0; i <= RUNS; i++) {      /* the first run builds */
        DIFFAD_TRY(diffad_device_wait(dev));
        const uint64_t start = diffad_sys.monotonic_ns();
        DIFFAD_TRY(diffad_plan_run(p));
        DIFFAD_TRY(diffad_device_wait(dev));
        if (i > 0)
            *seconds = fmin(*seconds, (double)(diffad_sys.monotonic_ns() - start) * 1e-9);
    }
    return DIFFAD_OK;
}

static void probe_convolution(diffad_graph *g)
{
    const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(4, 64, 64, 64));
    const diffad_val w = diffad_input(g, "w", DIFFAD_F32, diffad_shape4(64, 64, 3, 3));
    diffad_val       y = x;
    for (int i = 0; i < 4; i++)
        y = diffad_conv2d(g, y, w, diffad_none(), &same);
    diffad_output(g, "y", y);
}

static void probe_addition(diffad_graph *g)
{
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(8, 64, 128, 128));
    diffad_output(g, "y", diffad_add(g, x, x));
}

static diffad_status probe(diffad_device *dev, void (*build)(diffad_graph *g), double *flops, double *bytes)
{
    diffad_road   r = { NULL, NULL };
    double        seconds = 0;
    diffad_status st = diffad_graph_create(&r.graph);
    if (st == DIFFAD_OK) {
        build(r.graph);
        st = diffad_plan_create(dev, r.graph, NULL, &r.plan);
    }
    if (st == DIFFAD_OK)
        st = time_plan(dev, r.plan, &seconds);
    if (st == DIFFAD_OK) {
        seconds = fmax(seconds, 1e-9);
        *flops  = diffad_plan_flops(r.plan) / seconds;
        *bytes  = diffad_plan_seconds(r.plan, INFINITY, 1) / seconds;
    }
    diffad_road_release(&r);
    return st;
}

diffad_status train_measure_rates(diffad_device *dev, train_rates *r)
{
    double unused;
    DIFFAD_TRY(probe(dev, probe_convolution, &r->flops, &unused));
    return probe(dev, probe_addition, &unused, &r->bytes);
}

/* ---- memory and time of one stage ---- */

static const diffad_plan_options sizes = { .sizes_only = true };

static diffad_status add_road(train_job *j, int phase, bool is_last, const train_rates *r, train_holding *h, double *seconds)
{
    diffad_road         road = { NULL, NULL };
    diffad_plan_options o = sizes;
    o.max_bytes = j->room[phase][is_last];
    diffad_status st = diffad_graph_create(&road.graph);
    if (st == DIFFAD_OK) {
        j->stage->build(j, phase, is_last, road.graph);
        st = diffad_plan_create(j->run->dev, road.graph, &o, &road.plan);
    }
    if (st == DIFFAD_OK) {
        train_hold(h, road.plan);
        *seconds += diffad_plan_seconds(road.plan, r->flops, r->bytes) * (is_last ? 1 : j->recipe->accumulate - 1);
    }
    diffad_road_release(&road);
    return st;
}

/* The pictures that the segmenter learns from, made by the frozen networks. */
static diffad_status add_pictures(train_job *j, const train_rates *r, train_holding *h, double *seconds)
{
    train_run     *run = j->run;
    const int      batch = j->pictures;
    const double   drawn = (double)j->recipe->steps * j->recipe->batch * j->recipe->accumulate;
    const double   pictures = run->desc.cache_samples > 0 && !run->desc.cache_fresh ? run->desc.cache_samples : drawn;
    diffad_latent *l = NULL;
    DIFFAD_TRY(diffad_latent_create(run->dev, &run->desc, 1, run->autoencoder, run->unet, batch, &sizes, &l));
    const diffad_plan *plans[] = { l->encode.plan, l->denoise.plan, l->decode.plan };
    double             each = 0;
    for (int i = 0; i < 3; i++) {
        train_hold(h, plans[i]);
        each += diffad_plan_seconds(plans[i], r->flops, r->bytes) * (i == 1 ? run->desc.train_sampler_steps : 1);
    }
    *seconds += each * ceil(pictures / batch);
    diffad_latent_destroy(l);
    return DIFFAD_OK;
}

/* What the latent stage's steps take, made by the frozen encoder: each training picture's once. */
static diffad_status add_posteriors(train_job *j, const train_rates *r, train_holding *h, double *seconds)
{
    const double      samples = (double)j->recipe->steps * j->recipe->batch * j->recipe->accumulate;
    const double      pictures = j->run->dataset ? diffad_dataset_train_count(j->run->dataset) : 0;
    train_posteriors *p = NULL;
    DIFFAD_TRY(train_posteriors_create(j, &sizes, &p));
    train_hold(h, train_posteriors_plan(p));
    *seconds += diffad_plan_seconds(train_posteriors_plan(p), r->flops, r->bytes) * train_posteriors_made(&j->run->desc, samples, pictures);
    train_posteriors_destroy(p);
    return DIFFAD_OK;
}

static diffad_status estimate_stage(train_run *r, const train_stage *s, const train_rates *rate, diffad_train_estimate *out)
{
    train_job j = { .run = r, .stage = s };
    DIFFAD_TRY(s->shape(&j));
    DIFFAD_TRY(train_fit(&j, 0));
    const int64_t steps = j.recipe->steps;
    *out = (diffad_train_estimate){ .stage = s->name, .steps = steps, .batch = j.recipe->batch, .accumulate = j.recipe->accumulate,
                                    .parts = j.parts, .rate = j.recipe->rate };
    const size_t kept = train_kept_bytes(&j, &out->parameters);
    if (steps == 0)
        return DIFFAD_OK;
    train_holding pictures = { 0, 0 };
    if (s == &train_stage_seg)
        DIFFAD_TRY(add_pictures(&j, rate, &pictures, &out->seconds));
    if (s == &train_stage_ldm)
        DIFFAD_TRY(add_posteriors(&j, rate, &pictures, &out->seconds));
    const int first = s->phase(&j, 0), last = s->phase(&j, steps - 1);
    for (int phase = first; phase <= last; phase++) {
        train_holding h = pictures;
        double  each = 0;
        int64_t from = 0, to = steps;
        if (j.recipe->accumulate > 1)
            DIFFAD_TRY(add_road(&j, phase, false, rate, &h, &each));
        DIFFAD_TRY(add_road(&j, phase, true, rate, &h, &each));
        if (first != last) {
            from = phase == first ? 0 : r->desc.train.critic_start;
            to   = phase == first ? r->desc.train.critic_start : steps;
        }
        out->seconds += each * (double)(to - from);
        out->bytes = kept + h.shared + h.fixed > out->bytes ? kept + h.shared + h.fixed : out->bytes;
    }
    return DIFFAD_OK;
}

static diffad_status estimate_with_and_without(train_run *r, const train_stage *s, const train_rates *rate, diffad_train_estimate *out)
{
    const size_t          limit = r->options.max_memory;
    diffad_train_estimate whole;
    r->options.max_memory = 0;
    diffad_status st = estimate_stage(r, s, rate, &whole);
    r->options.max_memory = limit;
    *out = whole;
    if (st == DIFFAD_OK && limit > 0)
        st = estimate_stage(r, s, rate, out);
    out->whole_bytes   = whole.bytes;
    out->whole_seconds = whole.seconds;
    return st;
}

/* Steps that follow from epochs need the number of pictures. */
static diffad_status count_steps(train_run *r)
{
    const train_stage *list[RUN_STAGES];
    bool               by_epochs = false;
    for (int i = 0, n = run_stages_of(&r->desc, list); i < n; i++)
        by_epochs = by_epochs || train_recipe(&r->desc, list[i])->steps < 0;
    if (!by_epochs)
        return DIFFAD_OK;
    DIFFAD_TRY(diffad_dataset_open(r->options.data, r->options.class_name, &r->dataset));
    diffad_desc_count_steps(&r->desc, diffad_dataset_train_count(r->dataset));
    return DIFFAD_OK;
}

diffad_status diffad_train_estimates(diffad_device *dev, const diffad_train_options *o, diffad_train_estimate *out, int *count)
{
    const train_stage *list[RUN_STAGES];
    train_run          r = { .dev = dev, .options = *o, .latent_scale = 1 };
    train_rates        rate;
    diffad_status      st;
    const size_t       peak = dev->peak_bytes;
    *count = 0;
    r.options.note = NULL;      /* diffad_train's to say */
    DIFFAD_GOTO(done, train_describe(&r.options, &r.desc));
    DIFFAD_GOTO(done, count_steps(&r));
    DIFFAD_GOTO(done, run_open_params(&r));
    if (o->lpips)
        DIFFAD_GOTO(done, train_shape_lpips(&r));
    DIFFAD_GOTO(done, train_measure_rates(dev, &rate));
    const int n = run_stages_of(&r.desc, list);
    for (int i = 0; i < n; i++)
        if (strcmp(o->stages, "all") == 0 || strcmp(o->stages, list[i]->name) == 0) {
            DIFFAD_GOTO(done, estimate_with_and_without(&r, list[i], &rate, &out[*count]));
            ++*count;
        } else {
            DIFFAD_GOTO(done, list[i]->shape(&(train_job){ .run = &r, .stage = list[i] }));
        }
done:
    run_close(&r);
    dev->peak_bytes = peak;      /* the probes' memory is not the caller's */
    return st;
}
