/* median.h: the middle of repeated measurements. */
#ifndef DIFFAD_MEDIAN_H
#define DIFFAD_MEDIAN_H

enum { DIFFAD_MEDIAN_MOST = 256 };
/* Of n values, at most DIFFAD_MEDIAN_MOST, in any order; of an even number the mean of the two in the middle. NaN: none. */
double diffad_median(const double *value, int n);

#endif
