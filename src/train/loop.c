/* loop.c: the loop that every stage shares: feed, run, read losses now and then, save, stop. */
#include "base/file.h"
#include "base/sys.h"
#include "base/text.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { READ_EVERY = 10, MAX_SKIPPED = 3 };

static const float LEAST_SCALE = 1.0f / 65536;

/* The first plan of a phase chooses ways; a continued run takes those that its state names. */
static diffad_status build_road(train_job *j, int phase, bool is_last, diffad_road *road)
{
    char **ways = &j->ways[phase][is_last];
    const diffad_plan_options options = { .node_ways = *ways, .max_bytes = j->room[phase][is_last] };
    DIFFAD_TRY(diffad_graph_create(&road->graph));
    j->stage->build(j, phase, is_last, road->graph);
    const diffad_status st = diffad_plan_create(j->run->dev, road->graph, &options, &road->plan);
    if (st != DIFFAD_OK)
        return *ways ? diffad_fail_context(st, "stage %s cannot continue with the ways it began with on this device", j->stage->name) : st;
    if (j->stage->fill)
        DIFFAD_TRY(j->stage->fill(j, road->plan));
    if (!*ways && !(*ways = diffad_plan_ways(road->plan)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "training: no host memory");
    return DIFFAD_OK;
}

void train_release_roads(train_roads *r)
{
    diffad_road_release(&r->add);
    diffad_road_release(&r->last);
}

static diffad_status change_phase(train_job *j, int phase, train_roads *r)
{
    if (r->phase == phase && r->last.plan)
        return DIFFAD_OK;
    train_release_roads(r);
    r->phase = phase;
    if (j->recipe->accumulate > 1)
        DIFFAD_TRY(build_road(j, phase, false, &r->add));
    return build_road(j, phase, true, &r->last);
}

diffad_status train_write_numbers(const train_job *j, diffad_plan *plan)
{
    const int n = j->recipe->accumulate;
    DIFFAD_TRY(train_write_hyper(plan, "", j->recipe, j->step + 1, n, j->run->desc.train.ema_decay));
    if (!diffad_plan_tensor(plan, "critic.hyper"))
        return DIFFAD_OK;      /* else: its Adam has counted from the start, over gradients of zero */
    return train_write_hyper(plan, "critic.", j->recipe, j->step + 1, n, 0);
}

diffad_status train_step(train_job *j, train_roads *r)
{
    const int n = j->recipe->accumulate;
    DIFFAD_TRY(change_phase(j, j->stage->phase(j, j->step), r));
    DIFFAD_TRY(train_write_numbers(j, r->last.plan));
    for (int i = 0; i < n; i++) {
        const diffad_road *road = i + 1 < n ? &r->add : &r->last;
        DIFFAD_TRY(train_feed(j, road, j->step * n + i));
        DIFFAD_TRY(diffad_plan_run(road->plan));
    }
    j->step++;
    return DIFFAD_OK;
}

diffad_status train_read_losses(const train_job *j, const train_roads *r, double *losses, float norm[2])
{
    float v;
    for (int i = 0; i < j->stage->n_losses; i++) {
        diffad_tensor *t = diffad_plan_tensor(r->last.plan, j->stage->losses[i]);
        losses[i] = NAN;
        if (!t)
            continue;
        DIFFAD_TRY(diffad_tensor_read(t, &v, sizeof v));
        losses[i] = v;
    }
    DIFFAD_TRY(diffad_tensor_read(diffad_plan_tensor(r->last.plan, "norm"), norm, 2 * sizeof *norm));
    norm[0] /= (float)j->recipe->accumulate;
    return DIFFAD_OK;
}

/* norm[1] 1: the step had an effect. Where losses are scaled, steps without any are how a scale is found, until it is so small that no
 * gradient could have overflowed. */
static diffad_status check_losses(train_job *j, const train_scale *scale, const double *losses, const float norm[2])
{
    const bool is_searching = train_is_scaled(j) && scale[0].scale >= LEAST_SCALE && scale[1].scale >= LEAST_SCALE;
    j->skipped = (norm[1] == 1.0f || is_searching) && isfinite(losses[0]) ? 0 : j->skipped + 1;
    if (j->skipped >= MAX_SKIPPED)
        DIFFAD_FAIL(DIFFAD_ERR_NUMERICS, "stage %s diverged: loss or gradient not finite at step %lld; lower train.%s.rate (%g) or set "
                    "train.%s.clip%s; the last saved state is whole", j->stage->name, (long long)j->step, j->stage->name, j->recipe->rate, j->stage->name,
                    train_is_scaled(j) ? ", or train in bf16 or f32" : "");
    return DIFFAD_OK;
}

static void add_number(diffad_text *t, const char *prefix, const char *name, double value, int digits)
{
    diffad_text_addf(t, ",\"%s%s\":", prefix, name);
    diffad_text_add_f64(t, value, digits);
}

/* metrics.jsonl only grows within a run; a resumed stage cuts it back to what the state knows. */
static diffad_status append_metrics(const train_job *j, const train_scale *scale, const double *losses, double norm, double rate)
{
    static const char *const prefix[TRAIN_SCALERS] = { "", "critic." };
    diffad_text t = { 0 };
    char       *path = diffad_path_join(j->run->folder, "metrics.jsonl");
    diffad_text_addf(&t, "{\"stage\":\"%s\",\"step\":%lld", j->stage->name, (long long)j->step);
    for (int i = 0; i < j->stage->n_losses; i++)
        if (!isnan(losses[i]) || i == 0)
            add_number(&t, "", j->stage->losses[i], losses[i], 7);
    add_number(&t, "", "norm", norm, 7);
    add_number(&t, "", "rate", train_rate(j->recipe, j->step), 7);
    add_number(&t, "", "images_per_second", rate, 4);
    for (int i = 0; i < TRAIN_SCALERS && train_is_scaled(j); i++)
        if (i == 0 || train_has_critic(j)) {
            add_number(&t, prefix[i], "loss_scale", scale[i].scale, 9);
            add_number(&t, prefix[i], "skipped", scale[i].skipped, 9);
        }
    diffad_text_add(&t, "}\n");
    diffad_status st = path && !t.failed ? diffad_file_append(path, t.s, (int64_t)t.length) : diffad_fail(DIFFAD_ERR_MEMORY, "metrics: no host memory");
    diffad_text_release(&t);
    diffad_release(path);
    return st;
}

static diffad_status report(train_job *j, const train_roads *roads, uint64_t start, int64_t first)
{
    double      losses[6];
    float       norm[2];
    train_scale scale[TRAIN_SCALERS];
    DIFFAD_TRY(train_read_losses(j, roads, losses, norm));
    for (int i = 0; i < TRAIN_SCALERS; i++)
        DIFFAD_TRY(train_read_scaler(j, i, &scale[i]));
    DIFFAD_TRY(check_losses(j, scale, losses, norm));
    const double seconds = (double)(diffad_sys.monotonic_ns() - start) * 1e-9;
    const double rate = (double)((j->step - first) * j->recipe->batch * j->recipe->accumulate) / (seconds + 1e-9);
    if (j->run->options.progress)
        j->run->options.progress(j->run->options.user, &(diffad_train_progress){ .stage = j->stage->name, .step = j->step,
                                 .total = j->recipe->steps, .loss = losses[0], .images_per_second = rate,
                                 .loss_scale = scale[0].scale, .skipped = (int64_t)scale[0].skipped });
    return append_metrics(j, scale, losses, norm[0], rate);
}

static bool is_stopping(const train_job *j) { return j->run->options.stop && *j->run->options.stop; }

diffad_status train_loop(train_job *j)
{
    train_roads   roads = { .phase = -1 };
    diffad_status st = DIFFAD_OK;
    const int64_t first = j->step;
    uint64_t      start = 0, saved = diffad_sys.monotonic_ns();
    while (j->step < j->recipe->steps && st == DIFFAD_OK && !is_stopping(j)) {
        DIFFAD_GOTO(done, train_step(j, &roads));
        if (!start)
            start = diffad_sys.monotonic_ns();      /* the first step builds kernels */
        if (j->step % READ_EVERY == 0 || j->step == j->recipe->steps || j->step == first + 1)
            DIFFAD_GOTO(done, report(j, &roads, start, first + 1));
        if ((double)(diffad_sys.monotonic_ns() - saved) * 1e-9 > j->run->options.save_seconds && j->step < j->recipe->steps) {
            DIFFAD_GOTO(done, train_state_save(j, false));
            saved = diffad_sys.monotonic_ns();
        }
    }
    if (j->step < j->recipe->steps) {
        DIFFAD_GOTO(done, train_state_save(j, false));
        DIFFAD_SET_GOTO(done, DIFFAD_ERR_STOPPED, "stopped in stage %s after step %lld of %lld; the state is saved: continue with --resume",
                        j->stage->name, (long long)j->step, (long long)j->recipe->steps);
    }
done:
    train_release_roads(&roads);
    return st;
}
