/* tape.c: where a step's pictures, times and noise come from: drawn as training does, or recorded elsewhere. */
#include "base/sys.h"
#include "graph/graph.h"
#include "op/ops.h"
#include "train/train.h"

#include <string.h>

diffad_val train_keys(const train_job *j, diffad_graph *g)
{
    return j->tape ? diffad_none() : diffad_input(g, "keys", DIFFAD_I32, diffad_shape2(j->recipe->batch, TRAIN_SEED_ROWS));
}

diffad_val train_noise(const train_job *j, diffad_graph *g, const char *name, diffad_val keys, diffad_shape shape, uint32_t purpose)
{
    return j->tape ? diffad_input(g, name, DIFFAD_F32, shape) : diffad_randn(g, keys, shape, purpose);
}

/* Inputs that follow from the description and the step, or are made of others: they are never recorded. */
static bool is_of_recipe(const char *name)
{
    static const char *const names[] = { "hyper", "critic.hyper", "count", "critic.count", "decay", "a", "b", "moments", "augmented_moments" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Pictures [batch,C,H,W]; *to [batch*C*H*W] is the caller's to release. */
static diffad_status read_pictures(const train_job *j, const char *name, int64_t batch, float **to)
{
    const diffad_desc *d = &j->run->desc;
    const diffad_shape s = diffad_shape4(j->recipe->batch, d->image_channels, d->image_size.v[0], d->image_size.v[1]);
    const size_t       bytes = (size_t)diffad_shape_count(&s) * sizeof **to;
    diffad_tensor     *t;
    DIFFAD_TRY(diffad_tensor_create(j->run->dev, DIFFAD_F32, &s, &t));
    diffad_status st = j->tape->read(j->tape->user, name, batch, t);
    if (st == DIFFAD_OK && !(*to = diffad_alloc(bytes)))
        st = diffad_fail(DIFFAD_ERR_MEMORY, "training: no host memory");
    if (st == DIFFAD_OK)
        st = diffad_tensor_read(t, *to, bytes);
    diffad_tensor_destroy(t);
    return st;
}

static diffad_status feed_posteriors(train_job *j, diffad_plan *plan, int64_t batch)
{
    diffad_batch  b = { .count = j->recipe->batch };
    diffad_status st = read_pictures(j, "x", batch, &b.image);
    if (st == DIFFAD_OK && diffad_plan_tensor(plan, "augmented_moments"))
        st = read_pictures(j, "augmented", batch, &b.augmented);
    if (st == DIFFAD_OK)
        st = train_posteriors_write(j, &b, plan);
    diffad_release(b.image);
    diffad_release(b.augmented);
    return st;
}

diffad_status train_feed(train_job *j, const diffad_road *road, int64_t batch)
{
    if (!j->tape)
        return j->stage->feed(j, road->plan, j->step, batch);
    for (int64_t i = 0; i < road->graph->n_values; i++) {
        const diffad_value *v = road->graph->value[i];
        diffad_tensor      *t = v->kind == DIFFAD_VALUE_INPUT ? diffad_plan_tensor(road->plan, v->name) : NULL;
        if (t && !is_of_recipe(v->name))
            DIFFAD_TRY(j->tape->read(j->tape->user, v->name, batch, t));
    }
    return diffad_plan_tensor(road->plan, "moments") ? feed_posteriors(j, road->plan, batch) : DIFFAD_OK;
}
