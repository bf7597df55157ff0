/* tensor.h: types, shapes, tensors on a device, and files of tensors.
 *
 * Shapes are logical and row-major, at most 5 sides, N first; a scalar has rank 0. Sizes are counts of elements. */
#ifndef DIFFAD_TENSOR_H
#define DIFFAD_TENSOR_H

#include "diffad/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { DIFFAD_MAX_RANK = 5 };

typedef enum diffad_dtype { DIFFAD_F32, DIFFAD_F16, DIFFAD_BF16, DIFFAD_I32, DIFFAD_U8, DIFFAD_F64, DIFFAD_I64 } diffad_dtype;
/* F64 and I64 occur in files only. */

typedef struct diffad_shape {
    int     rank;
    int64_t side[DIFFAD_MAX_RANK];
} diffad_shape;

DIFFAD_API int64_t      diffad_shape_count(const diffad_shape *s);        /* product; 1 for rank 0; -1 on overflow */
DIFFAD_API int          diffad_shape_equal(const diffad_shape *a, const diffad_shape *b);
DIFFAD_API const char  *diffad_dtype_name(diffad_dtype t);                /* "f32" */
DIFFAD_API size_t       diffad_dtype_bytes(diffad_dtype t);
/* "[2,3,32,32]" into out (64 bytes suffice); returns out. */
DIFFAD_API char        *diffad_shape_text(const diffad_shape *s, char *out, size_t bytes);

/* ---- tensors on a device ---- */

typedef struct diffad_device diffad_device;
typedef struct diffad_tensor diffad_tensor;

/* Zero-filled. The tensor borrows the device. Errors: MEMORY (larger than the device's largest allocation, or none left). */
DIFFAD_API diffad_status diffad_tensor_create(diffad_device *dev, diffad_dtype type, const diffad_shape *shape, diffad_tensor **out);
DIFFAD_API void          diffad_tensor_destroy(diffad_tensor *t);
DIFFAD_API const diffad_shape *diffad_tensor_shape(const diffad_tensor *t);
DIFFAD_API diffad_dtype  diffad_tensor_type(const diffad_tensor *t);
/* Whole tensors, plain row-major, in the tensor's type. Writing takes a copy before it returns; reading waits. */
DIFFAD_API diffad_status diffad_tensor_write(diffad_tensor *t, const void *data, size_t bytes);
DIFFAD_API diffad_status diffad_tensor_read(const diffad_tensor *t, void *data, size_t bytes);

/* ---- files of tensors: safetensors, and torch.save's (.ckpt, .pckl, .pth) ---- */

typedef struct diffad_file_tensor {
    const char          *name;
    diffad_dtype         type;
    diffad_shape         shape;
    const unsigned char *data;     /* little-endian, may be unaligned */
    int64_t              bytes;
    struct diffad_file  *file;     /* used inside the library, where `data` are still on disk (NULL): in this file, from byte */
    int64_t              at;       /* `at` on; of entry number `entry` where the file is an archive */
    int64_t              entry;
} diffad_file_tensor;

/* A file in memory, checked in full (notes of src/tensor/safetensors.c, torch_file.c and torch_state.c list every check).
 * What is inside decides how it is read. Of torch.save's files: the tensors of "state_dict", or of the file itself; nothing in
 * them is ever run. Tensors are in file order. */
typedef struct diffad_file diffad_file;
DIFFAD_API diffad_status diffad_file_open(const char *path, diffad_file **out);
DIFFAD_API diffad_status diffad_file_parse(const char *origin, const void *data, size_t bytes, diffad_file **out); /* copies */
DIFFAD_API void          diffad_file_close(diffad_file *f);
DIFFAD_API int           diffad_file_count(const diffad_file *f);
DIFFAD_API const diffad_file_tensor *diffad_file_at(const diffad_file *f, int i);
DIFFAD_API const diffad_file_tensor *diffad_file_find(const diffad_file *f, const char *name);     /* NULL: absent */
DIFFAD_API const char   *diffad_file_metadata(const diffad_file *f, const char *key);              /* NULL: absent */
DIFFAD_API int           diffad_file_has_nonfinite(const diffad_file *f, const char **name);       /* names the first */
/* All elements converted to float (F32, F16, BF16, I32, U8, F64, I64). */
DIFFAD_API diffad_status diffad_file_to_f32(const diffad_file_tensor *t, float *out, int64_t count);

typedef struct diffad_file_text { const char *key, *value; } diffad_file_text;
/* Atomic; tensors are written in the given order, their data 8-byte aligned, row-major. */
DIFFAD_API diffad_status diffad_file_save(const char *path, const diffad_file_tensor *t, int count, const diffad_file_text *metadata, int n_metadata);

#ifdef __cplusplus
}
#endif

#endif
