/* safetensors.h: what reading and writing a safetensors file share. */
#ifndef DIFFAD_SAFETENSORS_H
#define DIFFAD_SAFETENSORS_H

#include "diffad/tensor.h"

#include <stdbool.h>

enum { DIFFAD_FILE_MAX_HEADER = 16 << 20, DIFFAD_FILE_MAX_TENSORS = 65536 };

/* "F32" for DIFFAD_F32; NULL past the last type. */
const char *diffad_file_dtype(diffad_dtype t);
/* No control character, no slash or backslash, not "__metadata__", not empty. */
bool diffad_file_name_ok(const char *name);
/* Bytes of a tensor; false on overflow, also one that a side of 0 would hide. */
bool diffad_file_tensor_bytes(diffad_dtype type, const diffad_shape *shape, int64_t *bytes);
/* Reads a whole file's bytes, which are taken, also on failure. */
diffad_status diffad_safetensors_take(const char *origin, unsigned char *data, size_t bytes, diffad_file **out);
/* Reads a file's header; the data stay on disk (diffad_file_piece). */
diffad_status diffad_safetensors_open(const char *path, diffad_file **out);

#endif
