/* part.h: pictures of made-up parts, good or with a defect. */
#ifndef DIFFAD_PART_H
#define DIFFAD_PART_H

#include "base/rng.h"
#include "diffad/data.h"

enum { DIFFAD_PARTS = 2, DIFFAD_PART_DEFECTS = 3 };

typedef struct diffad_part {
    const char *name;
    const char *defect[DIFFAD_PART_DEFECTS];
} diffad_part;
extern const diffad_part diffad_parts[DIFFAD_PARTS];

/* A square image [s*s*3] and its mask [s*s] of 0 and 255; defect -1: none, and an empty mask. */
void diffad_part_draw(const diffad_part *part, int defect, diffad_rng *r, diffad_image *image, diffad_image *mask);

#endif
