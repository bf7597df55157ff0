/* regions.h: the 8-connected regions of a mask as runs of pixels. */
#ifndef DIFFAD_EVAL_REGIONS_H
#define DIFFAD_EVAL_REGIONS_H

#include "base/fail.h"

#include <stdint.h>

typedef struct diffad_run {
    int32_t  y, from, to;       /* columns from .. to - 1 */
    uint32_t region;
} diffad_run;

/* Runs of mask [h][w], by line and column, in new memory (NULL: none); regions are numbered from `first`. */
diffad_status diffad_regions_find(const uint8_t *mask, int h, int w, uint32_t first, diffad_run **run, int64_t *runs,
                                  uint32_t *regions);

#endif
