/* tape.c: where a step's pictures, times and noise come from: drawn as training does, or recorded elsewhere. */
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

/* Inputs that follow from the description and the step: they are never recorded. */
static bool is_of_recipe(const char *name)
{
    static const char *const names[] = { "hyper", "critic.hyper", "count", "critic.count", "decay", "a", "b" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
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
    return DIFFAD_OK;
}
