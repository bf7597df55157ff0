/* scaler.c: the dynamic scales of a stage's losses (src/op/loss_scale.c): where they are kept, and how they start. */
#include "graph/graph.h"
#include "nn/param.h"
#include "tensor/tensor.h"
#include "train/train.h"

static const char *const names[TRAIN_SCALERS] = { "loss_scale", "critic.loss_scale" };
static const train_scale fresh = { 65536, 0, 0 };      /* GradScaler's default */

static diffad_shape shape_of(void) { return diffad_shape1(sizeof(train_scale) / sizeof(float)); }

static diffad_param *scaler_of(const train_job *j, int which)
{
    const diffad_shape shape = shape_of();
    return diffad_params_get(j->run->scalers, names[which], &shape, (diffad_init){ DIFFAD_INIT_CONSTANT, 0, 0 }, false);
}

bool train_is_scaled(const train_job *j) { return diffad_device_caps(j->run->dev)->precision == DIFFAD_PRECISION_F16; }

diffad_status train_open_scalers(train_job *j)
{
    if (!train_is_scaled(j))
        return DIFFAD_OK;
    for (int i = 0; i < TRAIN_SCALERS; i++)
        if (!scaler_of(j, i))
            return DIFFAD_ERR_MEMORY;
    DIFFAD_TRY(diffad_params_allocate(j->run->scalers, j->run->dev, 0));
    for (int i = 0; i < TRAIN_SCALERS; i++)
        DIFFAD_TRY(diffad_tensor_write(scaler_of(j, i)->tensor, &fresh, sizeof fresh));
    return DIFFAD_OK;
}

diffad_val train_bound_scaler(const train_job *j, diffad_graph *g, int which)
{
    if (!train_is_scaled(j))
        return diffad_none();
    diffad_param *q = scaler_of(j, which);
    return q ? diffad_bound(g, q->name, DIFFAD_F32, q->shape, &q->tensor) : diffad_graph_fail(g, DIFFAD_ERR_MEMORY, "loss scale: no host memory");
}

diffad_val train_loss_seed(diffad_graph *g, diffad_val scaler)
{
    if (!diffad_is_valid(scaler))
        return diffad_none();
    return diffad_reshape(g, diffad_slice(g, diffad_reshape(g, scaler, diffad_shape2(1, shape_of().side[0])), 0, 1), diffad_shape0());
}

bool train_has_critic(const train_job *j) { return j->step > 0 && j->stage == &train_stage_vae && j->stage->phase(j, j->step - 1) > 0; }

diffad_status train_read_scaler(const train_job *j, int which, train_scale *out)
{
    *out = (train_scale){ 0, 0, 0 };
    return train_is_scaled(j) ? diffad_tensor_read(scaler_of(j, which)->tensor, out, sizeof *out) : DIFFAD_OK;
}
