/* diffusion.h: the noise schedule and the walk of the samplers (reference section 6; Song et al., DDIM). */
#ifndef DIFFAD_DIFFUSION_INTERNAL_H
#define DIFFAD_DIFFUSION_INTERNAL_H

#include "base/fail.h"
#include "diffad/ops.h"

enum { DIFFUSION_TABLES = 12 };

/* Tables over t, formed in double and rounded once to float. */
typedef struct diffad_schedule {
    int    timesteps;
    float *table[DIFFUSION_TABLES];      /* in the order of diffad_schedule_names */
} diffad_schedule;

/* betas, alphas_cumprod, alphas_cumprod_prev, sqrt_alphas_cumprod, sqrt_one_minus_alphas_cumprod,
 * log_one_minus_alphas_cumprod, sqrt_recip_alphas_cumprod, sqrt_recipm1_alphas_cumprod, posterior_variance,
 * posterior_log_variance_clipped, posterior_mean_coef1, posterior_mean_coef2: the buffers of a published checkpoint. */
extern const char *const diffad_schedule_names[DIFFUSION_TABLES];
enum { SCHEDULE_BETA, SCHEDULE_ABAR, SCHEDULE_ABAR_PREV, SCHEDULE_SQRT_ABAR, SCHEDULE_SQRT_1M_ABAR, SCHEDULE_LOG_1M_ABAR,
       SCHEDULE_SQRT_RECIP, SCHEDULE_SQRT_RECIPM1, SCHEDULE_POST_VAR, SCHEDULE_POST_LOGVAR, SCHEDULE_COEF1, SCHEDULE_COEF2 };

/* "linear" in LDM's sense: beta = linspace(sqrt start, sqrt end)^2. */
diffad_status diffad_schedule_create(int timesteps, double start, double end, diffad_schedule *out);
void          diffad_schedule_release(diffad_schedule *s);

typedef struct diffad_ddim_row {
    int   t;
    float abar, abar_prev, sigma;
    float coef[5];               /* of op ddim_step */
} diffad_ddim_row;

/* The walk from the last time down: times range(0, T, T/steps)+1 not above `from` (-1: all), the last row going to abar[0].
 * *rows are released with diffad_release. Errors: USAGE when steps does not divide T, listing the divisors near it. */
diffad_status diffad_ddim_rows(const diffad_schedule *s, int steps, double eta, int from, diffad_ddim_row **rows, int *count);

/* The table of op ddpm_step: [T,5]. */
void diffad_ddpm_table(const diffad_schedule *s, float *table);

#endif
