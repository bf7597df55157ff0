/* torch_file.h: files of torch.save: the zip container (since torch 1.6) and the older one. */
#ifndef DIFFAD_TORCH_FILE_H
#define DIFFAD_TORCH_FILE_H

#include "tensor/tensor_file.h"

/* Tensors of the file's "state_dict", or of the file itself where that is the state dict; numbers and texts beside it are
 * metadata. Tensors that are not wanted (wants NULL: all are) are neither read nor listed. */
diffad_status diffad_torch_open(const char *path, diffad_file_wants wants, diffad_file **out);
diffad_status diffad_torch_parse(const char *origin, const void *data, size_t bytes, diffad_file **out);
/* The older container; `data` are taken, also on failure. */
bool          diffad_torch_is_legacy(const unsigned char *head, size_t bytes);
diffad_status diffad_torch_legacy_take(const char *origin, unsigned char *data, int64_t bytes, diffad_file_wants wants, diffad_file **out);

/* What stands beside a "state_dict". */
typedef struct diffad_torch_field {
    const char *key, *text;      /* text NULL: the number */
    int64_t     number;
} diffad_torch_field;
/* torch.save of an OrderedDict of tensors or, with fields, of a dict of those and "state_dict". Tensors with the same data
 * and size share a storage. Atomic; the same tensors give the same bytes. */
diffad_status diffad_torch_save(const char *path, const diffad_file_tensor *t, int count, const diffad_torch_field *fields, int n_fields);

/* Of a file whose archive is open: entry number `entry`, valid until two others were asked for, or as long as the file; bytes of a
 * tensor's data. Errors: CHECKPOINT (damaged), MEMORY. */
diffad_status diffad_torch_entry(diffad_file *f, int64_t entry, const unsigned char **out);
diffad_status diffad_torch_hold(diffad_file *f, int64_t entry, const unsigned char **out);
diffad_status diffad_torch_piece(const diffad_file_tensor *t, int64_t from, void *to, int64_t bytes);

#endif
