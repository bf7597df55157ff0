/* fuzz_checkpoint.c: any bytes as a file of torch.save, of either container, and as a pickle by itself, which no checksum
 * keeps from its reader. What is accepted must be whole: every tensor is found by its name and converts. */
#include "base/arena.h"
#include "diffad/tensor.h"
#include "tensor/pickle.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

static void read_pickle(const unsigned char *data, size_t bytes)
{
    diffad_arena  arena = { 0 };
    pickle        p = { .origin = "fuzz", .part = "data.pkl", .data = data, .bytes = (int64_t)bytes, .arena = &arena };
    pickle_value *root = NULL;
    if (diffad_pickle_read(&p, &root) == DIFFAD_OK && (!root || p.at > p.bytes))
        abort();
    diffad_arena_release(&arena);
}

/* Keeps what the header of the older container needs, so that the rest is reached. */
static void read_legacy(const unsigned char *data, size_t bytes)
{
    static const unsigned char front[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    unsigned char *file = malloc(sizeof front - 1 + bytes);
    diffad_file   *f;
    if (!file)
        return;
    memcpy(file, front, sizeof front - 1);
    if (bytes)
        memcpy(file + sizeof front - 1, data, bytes);
    if (diffad_file_parse("fuzz", file, sizeof front - 1 + bytes, &f) == DIFFAD_OK)
        diffad_file_close(f);
    free(file);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    diffad_file *f;
    read_pickle(data, bytes);
    read_legacy(data, bytes);
    if (diffad_file_parse("fuzz", data, bytes, &f) != DIFFAD_OK)
        return 0;
    int64_t copied = 0;
    for (int i = 0; i < diffad_file_count(f); i++) {
        const diffad_file_tensor *t     = diffad_file_at(f, i);
        const int64_t             count = diffad_shape_count(&t->shape);
        float                    *out   = malloc((size_t)count * sizeof *out + 1);
        if (!out || diffad_file_find(f, t->name) != t || diffad_file_to_f32(t, out, count) != DIFFAD_OK)
            abort();
        free(out);
        copied = copied > t->bytes ? copied : t->bytes;
    }
    if (copied > (int64_t)bytes)
        abort();
    diffad_file_close(f);
    return 0;
}
