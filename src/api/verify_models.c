/* verify_models.c: whole networks from their description, with the values between their modules. */
#include "api/verify_internal.h"
#include "diffad/evaluate.h"
#include "graph/op.h"
#include "tensor/tensor.h"

#include <string.h>

diffad_status verify_scores(verify_run *r, const diffad_tensor *map)
{
    const diffad_shape *s = diffad_tensor_shape(map);
    const int64_t       n = s->side[0], plane = s->side[2] * s->side[3];
    float *x = diffad_arena_alloc(&r->arena, (size_t)(n * plane) * sizeof *x);
    float *scores = diffad_arena_alloc(&r->arena, (size_t)n * sizeof *scores);
    if (!x || !scores)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "score: no host memory");
    DIFFAD_TRY(diffad_tensor_read(map, x, (size_t)(n * plane) * sizeof *x));
    for (int64_t i = 0; i < n; i++) {
        double score;
        DIFFAD_TRY(diffad_score_map(x + i * plane, (int)s->side[2], (int)s->side[3], &score));
        scores[i] = (float)score;
    }
    return verify_compare(r, "score", scores, n, false);
}

static diffad_nn network(verify_net *n, const char *name, const char *sub, bool *ok)
{
    diffad_params *p = verify_params(n->run, name, sub, NULL);
    if (!p)
        diffad_graph_fail(n->g, DIFFAD_ERR_MEMORY, "no host memory for parameters");
    *ok = *ok && p;
    return nn_make(n->g, p, false);
}

static diffad_status build_autoencoder(verify_net *n)
{
    diffad_desc d;
    bool        ok = true;
    diffad_val  mean, logvar;
    DIFFAD_TRY(verify_desc(n->run, &d));
    diffad_nn nn = network(n, "autoencoder", "", &ok);
    if (!ok)
        return DIFFAD_ERR_MEMORY;
    nn.has_stages = true;
    const diffad_val x = verify_in(n, "x", DIFFAD_F32), eps = verify_in(n, "eps", DIFFAD_F32);
    diffad_moments(n->g, diffad_encoder(&nn, &d, x), &mean, &logvar);
    const diffad_val z = diffad_gaussian_sample(n->g, mean, logvar, eps);
    const diffad_val y = diffad_decoder(&nn, &d, z);
    verify_out(n, "mean", mean);
    verify_out(n, "logvar", logvar);
    verify_out(n, "z", z);
    verify_out(n, "decoded", y);
    verify_stages(n);
    return verify_net_run(n);
}

diffad_status verify_tables(verify_net *n, diffad_val *a, diffad_val *b)
{
    diffad_schedule s;
    DIFFAD_TRY(verify_schedule(n->run, &s));
    const size_t bytes = (size_t)s.timesteps * sizeof(float);
    const float *root  = diffad_arena_copy(&n->run->arena, s.table[SCHEDULE_SQRT_ABAR], bytes);
    const float *rest  = diffad_arena_copy(&n->run->arena, s.table[SCHEDULE_SQRT_1M_ABAR], bytes);
    const diffad_shape shape = diffad_shape1(s.timesteps);
    diffad_schedule_release(&s);
    if (!root || !rest)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "schedule: no host memory");
    *a = verify_constant(n, "sqrt_abar", root, shape);
    *b = verify_constant(n, "sqrt_1m_abar", rest, shape);
    return DIFFAD_OK;
}

static void input_gradients(verify_net *n, diffad_val of, diffad_val x, diffad_val c)
{
    diffad_val d[2];
    if (!verify_has(n->run, "gin.x") && !verify_has(n->run, "gin.c"))
        return;
    diffad_graph_grad(n->g, of, verify_in(n, "gout_clean", DIFFAD_F32), (diffad_val[]){ x, c }, 2, d);
    verify_out(n, "gin.x", d[0]);
    verify_out(n, "gin.c", d[1]);
}

static diffad_status build_unet(verify_net *n)
{
    diffad_desc d;
    bool        ok = true;
    diffad_val  a, b;
    DIFFAD_TRY(verify_desc(n->run, &d));
    DIFFAD_TRY(verify_tables(n, &a, &b));
    diffad_nn nn = network(n, "unet", "", &ok);
    if (!ok)
        return DIFFAD_ERR_MEMORY;
    const diffad_val x = verify_in(n, "x", DIFFAD_F32), c = verify_in(n, "c", DIFFAD_F32);
    const diffad_val t = verify_in(n, "t", DIFFAD_I32);
    const diffad_val noisy = diffad_q_sample(n->g, c, verify_in(n, "eps_c", DIFFAD_F32),
                                             verify_in(n, "tc", DIFFAD_I32), a, b);
    nn.has_stages = true;
    const diffad_val first = diffad_unet(&nn, &d, diffad_concat(n->g, 2, (diffad_val[]){ x, noisy }), t);
    verify_stages(n);                /* before the second network takes over the names */
    diffad_nn        again  = nn_make(n->g, nn.params, false);
    const diffad_val second = diffad_unet(&again, &d, diffad_concat(n->g, 2, (diffad_val[]){ x, c }), t);
    verify_out(n, "c_noisy", noisy);
    verify_out(n, "eps_noisy_condition", first);
    verify_out(n, "eps_clean_condition", second);
    input_gradients(n, second, x, c);
    return verify_net_run(n);
}

static diffad_status build_draem(verify_net *n)
{
    diffad_desc d;
    bool        ok = true;
    DIFFAD_TRY(verify_desc(n->run, &d));
    diffad_nn rec = network(n, "draem", "rec.", &ok), seg = network(n, "draem", "seg.", &ok);
    if (!ok)
        return DIFFAD_ERR_MEMORY;
    const diffad_val x = verify_in(n, "image", DIFFAD_F32), y = diffad_draem_reconstruct(&rec, x, d.draem.rec_base);
    const diffad_val logits = diffad_discriminator(&seg, diffad_concat(n->g, 2, (diffad_val[]){ y, x }),
                                                   d.draem.seg_base);
    verify_out(n, "rec", y);
    verify_out(n, "map", diffad_slice(n->g, diffad_softmax(n->g, logits, 1), 1, 1));
    DIFFAD_TRY(verify_net_run(n));
    const diffad_tensor *map = diffad_plan_tensor(n->plan, "map");
    return map ? verify_scores(n->run, map) : DIFFAD_OK;
}

static diffad_status with_net(verify_run *r, diffad_status (*build)(verify_net *n))
{
    verify_net    n;
    DIFFAD_TRY(verify_net_begin(r, &n));
    const diffad_status st = build(&n);
    verify_net_end(&n);
    return st;
}

static diffad_status autoencoder(verify_run *r) { return with_net(r, build_autoencoder); }
static diffad_status unet(verify_run *r) { return with_net(r, build_unet); }
static diffad_status draem(verify_run *r) { return with_net(r, build_draem); }

const verify_kind verify_kinds_models[] = {
    { "model_autoencoder", NULL, autoencoder }, { "model_unet", NULL, unet }, { "model_draem", NULL, draem },
    { NULL, NULL, NULL },
};
