/* median.c: medians. */
#include "base/median.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double diffad_median(const double *value, int n)
{
    double sorted[DIFFAD_MEDIAN_MOST];
    if (n < 1 || n > DIFFAD_MEDIAN_MOST)
        return NAN;
    memcpy(sorted, value, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}
