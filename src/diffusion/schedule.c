/* schedule.c: the tables of the forward process and its posterior. */
#include "base/sys.h"
#include "diffusion/diffusion.h"

#include <math.h>

const char *const diffad_schedule_names[DIFFUSION_TABLES] = {
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "posterior_variance",
    "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2",
};

diffad_status diffad_schedule_create(int timesteps, double start, double end, diffad_schedule *out)
{
    diffad_schedule s = { .timesteps = timesteps };
    for (int k = 0; k < DIFFUSION_TABLES; k++)
        if (!(s.table[k] = diffad_alloc_array((size_t)timesteps, sizeof(float)))) {
            diffad_schedule_release(&s);
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "schedule: no host memory");
        }
    double before = 1;
    for (int t = 0; t < timesteps; t++) {
        const double root = sqrt(start) + (sqrt(end) - sqrt(start)) * t / (timesteps - 1);
        const double beta = root * root, alpha = 1 - beta, abar = before * alpha;
        const double variance = beta * (1 - before) / (1 - abar);      /* v_posterior = 0 */
        const double row[DIFFUSION_TABLES] = {
            beta, abar, before, sqrt(abar), sqrt(1 - abar), log(1 - abar), sqrt(1 / abar), sqrt(1 / abar - 1), variance,
            log(fmax(variance, 1e-20)), beta * sqrt(before) / (1 - abar), (1 - before) * sqrt(alpha) / (1 - abar),
        };
        for (int k = 0; k < DIFFUSION_TABLES; k++)
            s.table[k][t] = (float)row[k];
        before = abar;
    }
    *out = s;
    return DIFFAD_OK;
}

void diffad_schedule_release(diffad_schedule *s)
{
    for (int k = 0; k < DIFFUSION_TABLES; k++) {
        diffad_release(s->table[k]);
        s->table[k] = NULL;
    }
}
