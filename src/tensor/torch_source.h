/* torch_source.h: what the two containers of torch.save share: values of a pickle, storages beside it, tensors from both. */
#ifndef DIFFAD_TORCH_SOURCE_H
#define DIFFAD_TORCH_SOURCE_H

#include "base/fail.h"
#include "tensor/pickle.h"
#include "tensor/torch_file.h"

enum { TORCH_NAME_BYTES = 512 };

typedef struct torch_source torch_source;

struct torch_source {
    const char       *origin;
    diffad_file      *f;
    diffad_file_wants wants;
    diffad_arena      scratch;       /* values of the pickle */
    int64_t           bytes;         /* of the file */
    int64_t           copied;        /* bytes of tensors that are not contiguous */
    bool              is_on_disk;    /* storages are read when wanted */
    int64_t           entry;         /* of the storage that was asked for last */
    /* The data of a storage, which must have `bytes`; name: the tensor that asks. NULL: on disk, in `entry`. */
    diffad_status   (*storage)(torch_source *s, const char *name, const pickle_storage *of, int64_t bytes, const unsigned char **out);
    void             *container;     /* what it works on */
};

/* Tensors and metadata of a root into s->f. */
diffad_status torch_read_state(torch_source *s, const pickle_value *root);
diffad_status torch_fail_memory(const torch_source *s);
diffad_status torch_fail_tensor(const torch_source *s, const char *name, const char *why);

#endif
