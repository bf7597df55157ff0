/* tensor_file.h: named tensors in memory, whatever kind of file they came from. */
#ifndef DIFFAD_TENSOR_FILE_H
#define DIFFAD_TENSOR_FILE_H

#include "base/arena.h"
#include "diffad/tensor.h"

#include <stdbool.h>

struct diffad_file {
    unsigned char       *bytes;           /* of the whole file; NULL where data lie in the arena, on disk, or with somebody else */
    int                  fd;              /* of a file whose data are read when wanted; -1 */
    const char          *path;            /* of it */
    struct diffad_zip   *archive;         /* of torch.save, likewise; NULL */
    struct { unsigned char *bytes; int64_t entry; } kept[2];      /* its entries that were read last */
    int                  oldest;          /* of these */
    const unsigned char **held;           /* entries that are in the arena; NULL: none */
    diffad_arena         arena;           /* all below */
    diffad_file_tensor  *tensor;          /* in the order of the file */
    diffad_file_tensor **by_name;
    int                  count;
    diffad_file_text    *metadata;
    int                  n_metadata;
};

/* Whether tensors of this name are wanted; those that are not need not be read. */
typedef bool (*diffad_file_wants)(const char *name);

/* An empty one over `bytes` (taken, also on failure; NULL: none). */
diffad_status diffad_file_new(const char *origin, unsigned char *bytes, diffad_file **out);
/* Once tensor and metadata are filled: makes them findable. Errors: CHECKPOINT (a name twice), MEMORY. */
diffad_status diffad_file_index(diffad_file *f, const char *origin);
/* As diffad_file_open, but data stay on disk: of a safetensors file only the header is read, of torch.save's archive only the
 * pickle (and what is not contiguous). `data` of such tensors are NULL, diffad_file_to_f32 and the functions below read them. The
 * file stays open. */
diffad_status diffad_file_open_wanted(const char *path, diffad_file_wants wants, diffad_file **out);
/* Bytes [from, from + bytes) of a tensor's data, wherever they are. Errors: CHECKPOINT (the file shrank, cannot be read). */
diffad_status diffad_file_piece(const diffad_file_tensor *t, int64_t from, void *to, int64_t bytes);
/* Whether two tensors hold the same bytes. */
diffad_status diffad_file_same_bytes(const diffad_file_tensor *a, const diffad_file_tensor *b, bool *same);
/* Brings into memory, for users of `data`, what is still on disk. */
diffad_status diffad_file_hold(diffad_file *f);

#endif
