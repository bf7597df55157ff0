/* cl.c: OpenCL's side of the seam, through the ICD loader. */
#include "device/cl.h"

#define ENTRY(name) .name = cl##name,
diffad_cl_table diffad_cl = { DIFFAD_CL_FUNCTIONS(ENTRY) };
#undef ENTRY
