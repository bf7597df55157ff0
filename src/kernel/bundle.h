/* bundle.h (internal): several programs compiled as one. */
#ifndef DIFFAD_BUNDLE_H
#define DIFFAD_BUNDLE_H

#include "kernel/program.h"

/* Adds the program of cl/<file>.cl with `defines` to a text of several. Its kernels are named <kernel>_<number> there. */
diffad_status diffad_bundle_add(const char *file, const char *defines, int number, diffad_text *out);

#endif
