/* reproduce_estimate.c: what the runs of a grid will take: training, and evaluation. */
#include "api/reproduce_internal.h"
#include "base/sys.h"
#include "device/device.h"

#include <math.h>
#include <string.h>

static bool has_work(const grid_cell *c) { return c->pub.is_wanted && c->pub.state != DIFFAD_CELL_DONE; }

static bool has_training(const grid_cell *c)
{
    bool all = true;
    for (int i = 0; i < c->pub.stages; i++)
        all = all && c->pub.stage[i].is_done;
    return has_work(c) && !all;
}

/* ---- training; runs of one description take the same ---- */

static bool copy_training(const diffad_reproduce *r, grid_cell *c, const bool *is_told)
{
    for (int64_t k = 0; r->cell[k] != c; k++)
        if (is_told[k] && strcmp(r->cell[k]->description, c->description) == 0) {
            for (int i = 0; i < c->pub.stages; i++)
                if (!c->pub.stage[i].is_done) {
                    c->pub.stage[i].seconds = r->cell[k]->pub.stage[i].seconds;
                    c->pub.stage[i].bytes   = r->cell[k]->pub.stage[i].bytes;
                }
            return true;
        }
    return false;
}

static diffad_status estimate_training(diffad_reproduce *r, grid_cell *c)
{
    diffad_train_estimate      e[DIFFAD_TRAIN_STAGES];
    int                        n;
    const diffad_train_options o = grid_train_options(r, c, "");
    DIFFAD_TRY(diffad_train_estimates(r->dev, &o, e, &n));
    for (int i = 0; i < n && i < c->pub.stages; i++)
        if (!c->pub.stage[i].is_done) {
            c->pub.stage[i].seconds = e[i].seconds;
            c->pub.stage[i].bytes   = e[i].bytes;
        }
    return DIFFAD_OK;
}

static diffad_status estimate_trainings(diffad_reproduce *r)
{
    bool *is_told = diffad_alloc((size_t)r->cells + 1);
    if (!is_told)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "reproduce: no host memory");
    diffad_status st = DIFFAD_OK;
    for (int64_t k = 0; st == DIFFAD_OK && k < r->cells; k++)
        if (has_training(r->cell[k]) && !copy_training(r, r->cell[k], is_told)) {
            st = estimate_training(r, r->cell[k]);
            /* Only a cell without finished stages holds the estimates of all of them. */
            is_told[k] = !r->cell[k]->pub.stage[0].is_done;
        }
    diffad_release(is_told);
    return st;
}

/* ---- evaluation ---- */

static diffad_status find_cost(diffad_reproduce *r, grid_cell *c, const train_rates *rates)
{
    diffad_desc                d;
    const diffad_train_options o = grid_train_options(r, c, "");
    for (int64_t k = 0; r->cell[k] != c; k++)
        if (r->cell[k]->cost.once > 0 && strcmp(r->cell[k]->description, c->description) == 0) {
            c->cost = r->cell[k]->cost;
            return DIFFAD_OK;
        }
    DIFFAD_TRY(train_describe(&o, &d));
    return detector_cost_of(r->dev, &d, rates, &c->cost);
}

static double picture_seconds(const grid_cell *c, int steps) { return c->cost.once + steps * c->cost.step; }

/* Each number of steps once (DRAEM, which takes none: once), and the pictures that Table 5's time takes where no evaluation
 * gives it. */
static double evaluation_seconds(const diffad_reproduce *r, const grid_cell *c)
{
    int        n, pictures = 0;
    const int *steps = grid_eval_steps(r, &n);
    bool       is_timed = isfinite(c->timed) || c->pub.train_steps == 0;
    double     seconds = 0;
    for (int64_t i = 0; i < r->classes; i++)
        if (strcmp(r->class_[i].name, c->pub.class_name) == 0)
            pictures = r->class_[i].tests;
    for (int i = 0; i < (c->pub.train_steps == 0 ? 1 : n); i++)
        if (!grid_find_eval(c, steps[i])) {
            seconds += pictures * picture_seconds(c, steps[i]);
            is_timed = is_timed || steps[i] == GRID_TIMED_STEPS;
        }
    return is_timed ? seconds : seconds + (GRID_TIMED_PICTURES + 1) * picture_seconds(c, GRID_TIMED_STEPS);
}

static diffad_status estimate_evaluations(diffad_reproduce *r)
{
    train_rates rates = { 0 };
    for (int64_t k = 0; k < r->cells; k++) {
        grid_cell *c = r->cell[k];
        if (!has_work(c))
            continue;
        if (rates.flops == 0)
            DIFFAD_TRY(train_measure_rates(r->dev, &rates));
        DIFFAD_TRY(find_cost(r, c, &rates));
        c->pub.eval_seconds = evaluation_seconds(r, c);
    }
    return DIFFAD_OK;
}

diffad_status grid_estimate(diffad_reproduce *r)
{
    const size_t  peak = r->dev->peak_bytes;
    diffad_status st = estimate_trainings(r);
    if (st == DIFFAD_OK)
        st = estimate_evaluations(r);
    r->dev->peak_bytes = peak;      /* what was tried out is not the caller's */
    return st;
}

void grid_count(diffad_reproduce *r)
{
    diffad_reproduce_plan *p = &r->plan;
    p->wanted = p->finished = 0;
    p->seconds = p->eval_seconds = 0;
    p->bytes   = 0;
    for (int64_t k = 0; k < r->cells; k++) {
        const grid_cell *c = r->cell[k];
        p->wanted += c->pub.is_wanted;
        p->finished += c->pub.is_wanted && c->pub.state == DIFFAD_CELL_DONE;
        p->eval_seconds += has_work(c) ? c->pub.eval_seconds : 0;
        for (int i = 0; has_work(c) && i < c->pub.stages; i++)
            if (!c->pub.stage[i].is_done && !c->pub.stage[i].from) {
                p->seconds += c->pub.stage[i].seconds;
                p->bytes = c->pub.stage[i].bytes > p->bytes ? c->pub.stage[i].bytes : p->bytes;
            }
    }
}
