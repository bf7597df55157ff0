/* stretch.h: a map at another size, line by line. */
#ifndef DIFFAD_EVAL_STRETCH_H
#define DIFFAD_EVAL_STRETCH_H

#include "base/fail.h"

typedef struct diffad_stretch {
    int    h, w, to_h, to_w;
    int   *left;                /* [to_w] column; the next one is its neighbour, or itself at the edge */
    float *share;               /* [to_w] of the neighbour */
    float *line;                /* [w] between two lines of the map */
} diffad_stretch;

/* Ready for this pair of sizes; may be called again for another one. Zero before the first call. */
diffad_status diffad_stretch_set(diffad_stretch *s, int h, int w, int to_h, int to_w);
void          diffad_stretch_release(diffad_stretch *s);
/* Line y of the map at to_h x to_w; points into the map where the sizes are equal, else into `space` [to_w]. */
const float  *diffad_stretch_line(const diffad_stretch *s, const float *map, int y, float *space);

#endif
