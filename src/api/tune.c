/* tune.c: measures the ways of a model's nodes within a budget of seconds and keeps the fastest. */
#include "diffad/tune.h"
#include "api/tune_internal.h"
#include "base/median.h"
#include "base/sys.h"
#include "device/device.h"
#include "kernel/tuned.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 9, LEAST_WON = 8, FIRST_LOOK = 3 };      /* rounds that a winner must win; after which losers are dropped */
static const double GAIN = 0.95, HOPELESS = 1.15;

typedef struct tuning {
    diffad_device             *dev;
    const diffad_tune_options *o;
    diffad_tune_result        *r;
    char                      *path;
    tune_nodes                 nodes;
    bool                      *is_known;
    uint64_t                   start, longest;      /* ns; longest: that a plan took to be built and run once */
} tuning;

typedef struct best { char choice[TUNE_CHOICE_BYTES]; double ratio, usual_us, us; int candidates, refused; } best;

diffad_tune_options diffad_tune_options_default(void)
{
    return (diffad_tune_options){ .model = "diffad", .scale = "fast", .detects = true, .trains = true, .seconds = 60 };
}

/* ---- the budget ---- */

static double seconds_since(uint64_t start) { return (double)(diffad_sys.monotonic_ns() - start) * 1e-9; }

/* Whether something that may take `ns` would be done in time. */
static bool has_time(const tuning *t, uint64_t ns) { return seconds_since(t->start) + (double)ns * 1e-9 < t->o->seconds; }

static diffad_status go_on(const tuning *t)
{
    return t->o->stop && *t->o->stop ? diffad_fail(DIFFAD_ERR_STOPPED, "tune: stopped; what was measured is kept") : DIFFAD_OK;
}

/* ---- one candidate ---- */

/* Builds, and runs once: that compiles, and is no measure. */
static diffad_status open_timed(tuning *t, const tune_node *n, const char *choice, uint64_t blocked, const tune_trial *usual,
                                tune_trial *out)
{
    tune_time      us;
    const uint64_t from = diffad_sys.monotonic_ns();
    diffad_status  st = tune_trial_open(t->dev, n, choice, blocked, usual, out);
    if (st == DIFFAD_OK)
        st = tune_trial_run(out, &us);
    const uint64_t took = diffad_sys.monotonic_ns() - from;
    t->longest = took > t->longest ? took : t->longest;
    return st;
}

/* By the driver's clock where it times both, else by the wall's. */
static bool is_timed(const tune_time *a, const tune_time *b) { return a->device > 0 && b->device > 0; }

/* Rounds in turn; *done false: the budget ended. */
static diffad_status race(tuning *t, tune_trial *usual, tune_trial *other, best *b, bool *done)
{
    double own[ROUNDS], theirs[ROUNDS], ratio[ROUNDS];
    int    won = 0, n = 0;
    *done = false;
    for (; n < ROUNDS; n++) {
        const uint64_t from = diffad_sys.monotonic_ns();
        tune_time      a, b_time;
        DIFFAD_TRY(tune_trial_run(usual, &a));
        DIFFAD_TRY(tune_trial_run(other, &b_time));
        theirs[n] = is_timed(&a, &b_time) ? a.device : a.wall;
        own[n]    = is_timed(&a, &b_time) ? b_time.device : b_time.wall;
        ratio[n]  = own[n] / fmax(theirs[n], 1e-3);
        won += ratio[n] < 1;
        if (n + 1 >= FIRST_LOOK && diffad_median(ratio, n + 1) > HOPELESS)
            break;
        if (n + 1 < ROUNDS && !has_time(t, diffad_sys.monotonic_ns() - from))
            return DIFFAD_OK;
    }
    *done = true;
    b->usual_us = n == ROUNDS ? diffad_median(theirs, ROUNDS) : b->usual_us;
    const double r = n == ROUNDS ? diffad_median(ratio, ROUNDS) : HOPELESS;
    if (n == ROUNDS && won >= LEAST_WON && r < GAIN && r < b->ratio) {
        b->ratio = r;
        b->us    = diffad_median(own, ROUNDS);
        snprintf(b->choice, sizeof b->choice, "%s", other->choice);
    }
    return DIFFAD_OK;
}

/* What does not fit is none; what a driver cannot compile is one that is refused. After that all goes on unless the device is lost. */
static diffad_status without(const tuning *t, diffad_status st, best *b)
{
    if (st != DIFFAD_ERR_UNSUPPORTED && st != DIFFAD_ERR_MEMORY && st != DIFFAD_ERR_USAGE) {
        b->candidates++;
        b->refused++;
    }
    return diffad_device_usable(t->dev) == DIFFAD_OK ? DIFFAD_OK : st;
}

static diffad_status try_choice(tuning *t, const tune_node *n, const char *choice, uint64_t blocked, tune_trial *usual, best *b, bool *done)
{
    tune_trial    other;
    bool          agrees = false;
    diffad_status st = open_timed(t, n, choice, blocked, usual, &other);
    *done = true;
    if (st == DIFFAD_OK) {
        b->candidates++;
        st = tune_trial_agrees(usual, &other, &agrees);
        b->refused += !agrees;
        if (st == DIFFAD_OK && agrees)
            st = race(t, usual, &other, b, done);
    } else {
        st = without(t, st, b);
    }
    tune_trial_close(&other);
    return st;
}

/* ---- one node ---- */

/* The usual way, with inputs that come in the layout that it wants. */
static diffad_status open_usual(tuning *t, const tune_node *n, uint64_t *blocked, tune_trial *usual)
{
    DIFFAD_TRY(open_timed(t, n, NULL, 0, NULL, usual));
    *blocked = usual->step->in_blocked;
    for (int i = 0; i < DIFFAD_CASE_IN; i++)
        if (n->in[i].stays)
            *blocked &= ~((uint64_t)1 << i);
    if (!*blocked)
        return DIFFAD_OK;
    tune_trial_close(usual);
    return open_timed(t, n, NULL, *blocked, NULL, usual);
}

static bool is_variant(const char *choice, const tune_trial *usual)
{
    const size_t name = strlen(usual->step->way->name);
    return strncmp(choice, usual->step->way->name, name) == 0 && (choice[name] == '/' || choice[name] == '\0');
}

static diffad_status race_all(tuning *t, const tune_node *n, tune_trial *usual, uint64_t blocked, best *b, bool *done)
{
    char      choice[TUNE_CHOICES][TUNE_CHOICE_BYTES];
    const int count = tune_choices(usual->g->node[usual->step->node], &t->dev->caps, choice);
    *done = true;
    for (int i = 0; i < 2 * count && *done; i++) {      /* first other variants of the same way, then other ways */
        const char *c = choice[i % count];
        if (strcmp(c, usual->choice) == 0 || is_variant(c, usual) != (i < count))
            continue;
        DIFFAD_TRY(go_on(t));
        *done = has_time(t, t->longest);
        if (*done)
            DIFFAD_TRY(try_choice(t, n, c, blocked, usual, b, done));
    }
    return DIFFAD_OK;
}

/* The winner must win once more: among many candidates some are lucky. */
static diffad_status confirm(tuning *t, const tune_node *n, tune_trial *usual, uint64_t blocked, best *b)
{
    best again = { .ratio = 1 };
    bool done  = has_time(t, t->longest);
    if (b->choice[0] && done)
        DIFFAD_TRY(try_choice(t, n, b->choice, blocked, usual, &again, &done));
    if (!done || !again.choice[0])
        b->choice[0] = '\0';
    b->ratio = fmax(b->ratio, again.ratio < 1 ? again.ratio : 0);
    return DIFFAD_OK;
}

static diffad_status keep(tuning *t, const tune_node *n, const char *usual, const best *b)
{
    const bool                 wins = b->choice[0] != '\0';
    const diffad_tune_row      row = { n->op->name, n->key, usual, wins ? b->choice : usual, n->uses, b->usual_us,
                                       wins ? b->us : b->usual_us, b->candidates, b->refused };
    const diffad_tuned_measure m = { n->key, usual, b->choice, row.usual_us, row.best_us };
    t->r->measured++;
    t->r->won += wins;
    t->r->usual_us += (double)n->uses * row.usual_us;
    t->r->best_us += (double)n->uses * row.usual_us * (wins ? b->ratio : 1);
    if (t->path)
        DIFFAD_TRY(diffad_tuned_save(t->path, &t->dev->caps, &m, 1));
    if (t->o->row)
        t->o->row(t->o->user, &row);
    return DIFFAD_OK;
}

/* A node is done when all its candidates were tried; where the budget ends before, a winner is kept all the same. */
static diffad_status tune_one(tuning *t, const tune_node *n)
{
    tune_trial    usual = { .dev = NULL };
    uint64_t      blocked;
    best          b    = { .ratio = 1 };
    tune_time     us;
    bool          done = false;
    diffad_status st   = open_usual(t, n, &blocked, &usual);
    if (st == DIFFAD_OK)
        st = tune_trial_run(&usual, &us);
    if (st == DIFFAD_OK)
        b.usual_us = us.device > 0 ? us.device : us.wall;
    if (st == DIFFAD_OK)
        st = race_all(t, n, &usual, blocked, &b, &done);
    if (st == DIFFAD_OK)
        st = confirm(t, n, &usual, blocked, &b);
    if (st == DIFFAD_OK && (done || b.choice[0]))
        st = keep(t, n, usual.choice, &b);
    tune_trial_close(&usual);
    return st == DIFFAD_ERR_MEMORY ? DIFFAD_OK : st;      /* too large to be measured alone */
}

/* ---- the whole ---- */

static void mark_known(void *user, const diffad_tuned_measure *m)
{
    tuning *t = user;
    for (int64_t i = 0; i < t->nodes.count; i++)
        if (strcmp(t->nodes.node[i].key, m->key) == 0 && !t->is_known[i]) {
            t->is_known[i] = true;
            t->r->known++;
        }
}

static diffad_status tune_all(tuning *t)
{
    diffad_status st = DIFFAD_OK;
    if (!(t->is_known = diffad_alloc_array((size_t)t->nodes.count + 1, sizeof *t->is_known)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "tune: no host memory");
    if (t->path)
        DIFFAD_TRY(diffad_tuned_load(t->path, &t->dev->caps, mark_known, t));
    diffad_tuned_suspend(t->dev);
    for (int64_t i = 0; i < t->nodes.count && st == DIFFAD_OK && has_time(t, t->longest); i++) {
        st = go_on(t);
        if (st == DIFFAD_OK && (!t->is_known[i] || t->o->again))
            st = tune_one(t, &t->nodes.node[i]);
    }
    diffad_tuned_forget(t->dev);
    return st;
}

diffad_status diffad_tune(diffad_device *dev, const diffad_tune_options *o, diffad_tune_result *result)
{
    tuning t = { .dev = dev, .o = o, .r = result, .start = diffad_sys.monotonic_ns() };
    *result = (diffad_tune_result){ .nodes = 0 };
    t.path = diffad_tuned_path();
    result->is_kept = t.path != NULL;
    diffad_status st = tune_gather(dev, o, &t.nodes);
    result->nodes = (int)t.nodes.count;
    if (st == DIFFAD_OK)
        st = tune_all(&t);
    result->seconds = seconds_since(t.start);
    tune_nodes_release(&t.nodes);
    diffad_release(t.is_known);
    diffad_release(t.path);
    return st;
}

const char *diffad_tune_digest(diffad_device *dev, int64_t *rows)
{
    const diffad_tuned *t = diffad_tuned_of(dev);
    *rows = diffad_tuned_count(t);
    return diffad_tuned_digest(t);
}

void diffad_tune_class(const diffad_device *dev, char out[64]) { diffad_tuned_class(&dev->caps, out, 64); }
