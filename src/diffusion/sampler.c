/* sampler.c: the rows a DDIM walk and an ancestral walk take from the schedule. */
#include "base/sys.h"
#include "diffusion/diffusion.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void divisors_near(int total, int steps, char *out, size_t bytes)
{
    int below = 0, above = 0;
    for (int d = 1; d <= total; d++)
        if (total % d == 0) {
            below = d < steps ? d : below;
            above = d > steps && !above ? d : above;
        }
    snprintf(out, bytes, above ? "%d or %d" : "%d", below ? below : 1, above);
}

diffad_status diffad_ddim_rows(const diffad_schedule *s, int steps, double eta, int from, diffad_ddim_row **rows, int *count)
{
    char near[48];
    if (steps < 1 || steps > s->timesteps || s->timesteps % steps) {
        divisors_near(s->timesteps, steps, near, sizeof near);
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "sampler steps %d: must divide %d; take %s", steps, s->timesteps, near);
    }
    const int        stride = s->timesteps / steps;
    const float     *abar = s->table[SCHEDULE_ABAR];
    diffad_ddim_row *r    = diffad_alloc_array((size_t)steps, sizeof *r);
    if (!r)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "sampler: no host memory");
    int n = 0;
    for (int i = steps - 1; i >= 0; i--) {
        const int t = i * stride + 1 < s->timesteps ? i * stride + 1 : s->timesteps - 1;
        if (from >= 0 && t > from + 1)
            continue;
        /* the published code rounds abar to float first; sigma, and what follows, from those floats */
        const double a = abar[t], prev = i ? abar[(i - 1) * stride + 1] : abar[0];
        const double sigma = eta * sqrt((1 - prev) / (1 - a) * (1 - a / prev));
        r[n] = (diffad_ddim_row){ .t = t, .abar = (float)a, .abar_prev = (float)prev, .sigma = (float)sigma,
                                  .coef = { (float)sqrt(a), (float)sqrt(1 - a), (float)sqrt(prev), (float)sqrt(1 - prev - sigma * sigma), (float)sigma } };
        n++;
    }
    *rows  = r;
    *count = n;
    return DIFFAD_OK;
}

void diffad_ddpm_table(const diffad_schedule *s, float *table)
{
    for (int t = 0; t < s->timesteps; t++) {
        const float row[5] = { s->table[SCHEDULE_SQRT_RECIP][t], s->table[SCHEDULE_SQRT_RECIPM1][t], s->table[SCHEDULE_COEF1][t],
                               s->table[SCHEDULE_COEF2][t], t ? (float)exp(0.5 * (double)s->table[SCHEDULE_POST_LOGVAR][t]) : 0 };
        memcpy(table + (size_t)t * 5, row, sizeof row);
    }
}
