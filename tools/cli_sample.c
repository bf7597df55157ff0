/* cli_sample.c: medians and extremes. */
#include "cli_bench.h"

#include <math.h>
#include <stdio.h>

void cli_sample_add(cli_sample *s, double value)
{
    if (s->count < CLI_MAX_SAMPLES)
        s->value[s->count++] = value;
}

double cli_sample_median(const cli_sample *s) { return diffad_median(s->value, s->count); }

double cli_sample_min(const cli_sample *s)
{
    double v = s->count ? s->value[0] : NAN;
    for (int i = 1; i < s->count; i++)
        v = fmin(v, s->value[i]);
    return v;
}

double cli_sample_max(const cli_sample *s)
{
    double v = s->count ? s->value[0] : NAN;
    for (int i = 1; i < s->count; i++)
        v = fmax(v, s->value[i]);
    return v;
}

void cli_sample_json(cli_json *j, const char *key, const cli_sample *s)
{
    char name[64];
    cli_json_real(j, key, cli_sample_median(s), 6);
    snprintf(name, sizeof name, "%s_min", key);
    cli_json_real(j, name, cli_sample_min(s), 6);
    snprintf(name, sizeof name, "%s_max", key);
    cli_json_real(j, name, cli_sample_max(s), 6);
}
