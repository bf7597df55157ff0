/* step_bench.c: a training step of one stage on random numbers. */
#include "train/step_bench.h"
#include "base/rng.h"
#include "base/sys.h"
#include "graph/graph.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

struct train_bench {
    train_run   run;
    train_job   job;
    diffad_road road;
};

/* Weights of all stages up to this one; what its optimiser needs for its own. */
static diffad_status open_networks(train_bench *b)
{
    const train_stage *list[RUN_STAGES];
    const int          n = run_stages_of(&b->run.desc, list);
    for (int i = 0; i < n; i++) {
        train_job  j = { .run = &b->run, .stage = list[i] };
        const bool is_own = list[i] == b->job.stage;
        DIFFAD_TRY(train_open_networks(is_own ? &b->job : &j, is_own ? train_keeps(&b->job) : 0));
        if (is_own)
            return DIFFAD_OK;
    }
    DIFFAD_FAIL(DIFFAD_ERR_USAGE, "bench: %s has no stage %s", b->run.desc.name, b->job.stage->name);
}

/* Shapes of all stages' networks up to this one. */
static diffad_status shape_networks(train_bench *b)
{
    const train_stage *list[RUN_STAGES];
    const int          n = run_stages_of(&b->run.desc, list);
    for (int i = 0; i < n; i++) {
        train_job j = { .run = &b->run, .stage = list[i] };
        DIFFAD_TRY(list[i]->shape(&j));
        if (list[i] == b->job.stage)
            break;
    }
    return DIFFAD_OK;
}

/* Reals within [0,1), integers below the schedule's length, masks with one pixel in eight set. */
static diffad_status write_random(const train_bench *b, diffad_tensor *t, uint32_t which)
{
    diffad_rng    r = diffad_rng_make(1, DIFFAD_RNG_NOISE, which, 0);
    const int64_t n = diffad_shape_count(diffad_tensor_shape(t));
    const size_t  element = diffad_dtype_bytes(diffad_tensor_type(t));
    void         *data = diffad_alloc_array((size_t)n + 1, element);
    if (!data)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "bench: no host memory");
    for (int64_t i = 0; i < n; i++)
        switch (diffad_tensor_type(t)) {
        case DIFFAD_I32: ((int32_t *)data)[i] = (int32_t)diffad_rng_below(&r, (uint32_t)b->run.desc.diffusion.timesteps); break;
        case DIFFAD_U8: ((uint8_t *)data)[i] = diffad_rng_below(&r, 8) == 0; break;
        default: ((float *)data)[i] = (float)diffad_rng_below(&r, 1u << 24) / (float)(1u << 24); break;
        }
    const diffad_status st = diffad_tensor_write(t, data, (size_t)n * element);
    diffad_release(data);
    return st;
}

static diffad_status fill_inputs(train_bench *b)
{
    static const char *const prefixes[] = { "", "critic." };
    for (int64_t i = 0; i < b->road.graph->n_values; i++) {
        const diffad_value *v = b->road.graph->value[i];
        diffad_tensor      *t = v->kind == DIFFAD_VALUE_INPUT ? diffad_plan_tensor(b->road.plan, v->name) : NULL;
        if (t)
            DIFFAD_TRY(write_random(b, t, (uint32_t)i));
    }
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "%shyper", prefixes[i]);
        if (diffad_plan_tensor(b->road.plan, name))
            DIFFAD_TRY(train_write_hyper(b->road.plan, prefixes[i], b->job.recipe, 1, b->job.recipe->accumulate, b->run.desc.train.ema_decay));
    }
    return b->job.stage->fill ? b->job.stage->fill(&b->job, b->road.plan) : DIFFAD_OK;
}

static diffad_status build(train_bench *b)
{
    DIFFAD_TRY(shape_networks(b));
    DIFFAD_TRY(train_fit(&b->job, 0));
    DIFFAD_TRY(open_networks(b));
    const int64_t steps = b->job.recipe->steps;
    const int     phase = b->job.stage->phase(&b->job, steps > 0 ? steps - 1 : 0);
    DIFFAD_TRY(diffad_graph_create(&b->road.graph));
    b->job.stage->build(&b->job, phase, true, b->road.graph);
    DIFFAD_TRY(diffad_plan_create(b->run.dev, b->road.graph, &(diffad_plan_options){ .max_bytes = b->job.room[phase][1] }, &b->road.plan));
    return fill_inputs(b);
}

diffad_status train_bench_open(diffad_device *dev, const diffad_train_options *o, const train_stage *stage, train_bench **out)
{
    train_bench *b = diffad_alloc(sizeof *b);
    if (!b)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "bench: no host memory");
    b->run = (train_run){ .dev = dev, .options = *o, .latent_scale = 1 };
    diffad_status st = train_describe(o, &b->run.desc);
    b->job = (train_job){ .run = &b->run, .stage = stage, .encodes_inside = true };      /* what a training spares depends on its pictures */
    if (st == DIFFAD_OK)
        st = run_open_params(&b->run);
    if (st == DIFFAD_OK)
        st = build(b);
    if (st == DIFFAD_OK)
        *out = b;
    else
        train_bench_close(b);
    return st;
}

void train_bench_close(train_bench *b)
{
    if (!b)
        return;
    diffad_road_release(&b->road);
    run_close(&b->run);
    diffad_release(b);
}

diffad_status train_bench_step(train_bench *b, double *ms)
{
    const uint64_t start = diffad_sys.monotonic_ns();
    DIFFAD_TRY(diffad_plan_run(b->road.plan));
    DIFFAD_TRY(diffad_device_wait(b->run.dev));
    *ms = (double)(diffad_sys.monotonic_ns() - start) * 1e-6;
    return DIFFAD_OK;
}

const diffad_plan *train_bench_plan(const train_bench *b) { return b->road.plan; }
int                train_bench_batch(const train_bench *b) { return b->job.recipe->batch; }

size_t train_bench_weights(const train_bench *b)
{
    const diffad_params *const lists[] = { b->run.autoencoder, b->run.critic, b->run.lpips, b->run.unet, b->run.segmenter, b->run.draem_rec, b->run.draem_seg };
    int64_t values = 0;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (lists[i] && lists[i]->count && lists[i]->item[0]->tensor)
            values += diffad_params_elements(lists[i], false);
    return (size_t)values * sizeof(float);
}
