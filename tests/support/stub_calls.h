/* stub_calls.h: what the files of the stand-in OpenCL share. */
#ifndef DIFFAD_TEST_STUB_CALLS_H
#define DIFFAD_TEST_STUB_CALLS_H

#include "support/stub_cl.h"

/* What every entry does first: counts the call; the code of a fault whose turn it is. */
cl_int stub_enter(stub_call call);
/* Answers of queries. */
cl_int stub_give(const void *value, size_t have, size_t room, void *out, size_t *size);
cl_int stub_give_text(const char *text, size_t room, void *out, size_t *size);
cl_int stub_number(uint64_t v, size_t bytes, size_t room, void *out, size_t *size);

__typeof__(clGetPlatformIDs)  stub_GetPlatformIDs;
__typeof__(clGetPlatformInfo) stub_GetPlatformInfo;
__typeof__(clGetDeviceIDs)    stub_GetDeviceIDs;
__typeof__(clGetDeviceInfo)   stub_GetDeviceInfo;

#endif
