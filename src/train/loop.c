/* loop.c: the loop that every stage shares: feed, run, read losses now and then, save, stop. */
#include "base/file.h"
#include "base/sys.h"
#include "base/text.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { READ_EVERY = 10, MAX_SKIPPED = 3 };

/* Plans of a phase: one that only adds gradients (with accumulation), one that completes a step. */
typedef struct phase_roads { int phase; diffad_road add, last; } phase_roads;

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

static diffad_status change_phase(train_job *j, int phase, phase_roads *r)
{
    if (r->phase == phase && r->last.plan)
        return DIFFAD_OK;
    diffad_road_release(&r->add);
    diffad_road_release(&r->last);
    r->phase = phase;
    if (j->recipe->accumulate > 1)
        DIFFAD_TRY(build_road(j, phase, false, &r->add));
    return build_road(j, phase, true, &r->last);
}

static diffad_status run_step(train_job *j, phase_roads *r)
{
    const int n = j->recipe->accumulate;
    for (int i = 0; i < n; i++) {
        diffad_plan *plan = i + 1 < n ? r->add.plan : r->last.plan;
        if (i + 1 == n)
            DIFFAD_TRY(train_write_hyper(plan, "", j->recipe, j->step + 1, n, j->run->desc.train.ema_decay));
        DIFFAD_TRY(j->stage->feed(j, plan, j->step, j->step * n + i));
        DIFFAD_TRY(diffad_plan_run(plan));
    }
    j->step++;
    return DIFFAD_OK;
}

static diffad_status read_losses(train_job *j, diffad_plan *plan, double *losses, double *norm)
{
    float v[2];
    for (int i = 0; i < j->stage->n_losses; i++) {
        diffad_tensor *t = diffad_plan_tensor(plan, j->stage->losses[i]);
        losses[i] = NAN;
        if (!t)
            continue;
        DIFFAD_TRY(diffad_tensor_read(t, v, sizeof v[0]));
        losses[i] = v[0];
    }
    DIFFAD_TRY(diffad_tensor_read(diffad_plan_tensor(plan, "norm"), v, sizeof v));
    *norm = v[0];
    j->skipped = v[1] == 1.0f && isfinite(losses[0]) ? 0 : j->skipped + 1;
    if (j->skipped >= MAX_SKIPPED)
        DIFFAD_FAIL(DIFFAD_ERR_NUMERICS, "stage %s diverged: loss or gradient not finite at step %lld; lower train.%s.rate (%g) or set "
                    "train.%s.clip; the last saved state is whole", j->stage->name, (long long)j->step, j->stage->name, j->recipe->rate, j->stage->name);
    return DIFFAD_OK;
}

/* metrics.jsonl only grows within a run; a resumed stage cuts it back to what the state knows. */
static diffad_status append_metrics(const train_job *j, const double *losses, double norm, double rate)
{
    diffad_text t = { 0 };
    char       *path = diffad_path_join(j->run->folder, "metrics.jsonl");
    diffad_text_addf(&t, "{\"stage\":\"%s\",\"step\":%lld", j->stage->name, (long long)j->step);
    for (int i = 0; i < j->stage->n_losses; i++)
        if (!isnan(losses[i]) || i == 0) {
            diffad_text_addf(&t, ",\"%s\":", j->stage->losses[i]);
            diffad_text_add_f64(&t, losses[i], 7);
        }
    diffad_text_add(&t, ",\"norm\":");
    diffad_text_add_f64(&t, norm, 7);
    diffad_text_add(&t, ",\"rate\":");
    diffad_text_add_f64(&t, train_rate(j->recipe, j->step), 7);
    diffad_text_add(&t, ",\"images_per_second\":");
    diffad_text_add_f64(&t, rate, 4);
    diffad_text_add(&t, "}\n");
    diffad_status st = path && !t.failed ? diffad_file_append(path, t.s, (int64_t)t.length) : diffad_fail(DIFFAD_ERR_MEMORY, "metrics: no host memory");
    diffad_text_release(&t);
    diffad_release(path);
    return st;
}

static diffad_status report(train_job *j, diffad_plan *plan, uint64_t start, int64_t first)
{
    double losses[6], norm;
    DIFFAD_TRY(read_losses(j, plan, losses, &norm));
    const double seconds = (double)(diffad_sys.monotonic_ns() - start) * 1e-9;
    const double rate = (double)((j->step - first) * j->recipe->batch * j->recipe->accumulate) / (seconds + 1e-9);
    if (j->run->options.progress)
        j->run->options.progress(j->run->options.user, &(diffad_train_progress){ .stage = j->stage->name, .step = j->step,
                                 .total = j->recipe->steps, .loss = losses[0], .images_per_second = rate });
    return append_metrics(j, losses, norm, rate);
}

static bool is_stopping(const train_job *j) { return j->run->options.stop && *j->run->options.stop; }

diffad_status train_loop(train_job *j)
{
    phase_roads   roads = { .phase = -1 };
    diffad_status st = DIFFAD_OK;
    const int64_t first = j->step;
    uint64_t      start = 0, saved = diffad_sys.monotonic_ns();
    while (j->step < j->recipe->steps && st == DIFFAD_OK && !is_stopping(j)) {
        DIFFAD_GOTO(done, change_phase(j, j->stage->phase(j, j->step), &roads));
        DIFFAD_GOTO(done, run_step(j, &roads));
        if (!start)
            start = diffad_sys.monotonic_ns();      /* the first step builds kernels */
        if (j->step % READ_EVERY == 0 || j->step == j->recipe->steps || j->step == first + 1)
            DIFFAD_GOTO(done, report(j, roads.last.plan, start, first + 1));
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
    diffad_road_release(&roads.add);
    diffad_road_release(&roads.last);
    return st;
}
