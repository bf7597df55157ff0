/* fuzz_safetensors.c: any bytes as a safetensors file. What is accepted must be whole: each byte of data belongs to one
 * tensor, and every tensor is found by its name and converts. */
#include "diffad/tensor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t bytes)
{
    diffad_file *f;
    if (diffad_file_parse("fuzz", data, bytes, &f) != DIFFAD_OK)
        return 0;
    int64_t total = 0;
    for (int i = 0; i < diffad_file_count(f); i++) {
        const diffad_file_tensor *t     = diffad_file_at(f, i);
        const int64_t             count = diffad_shape_count(&t->shape);
        float                    *out   = malloc((size_t)count * sizeof *out + 1);
        if (!out || diffad_file_find(f, t->name) != t || diffad_file_to_f32(t, out, count) != DIFFAD_OK)
            abort();
        free(out);
        total += t->bytes;
    }
    diffad_file_has_nonfinite(f, NULL);
    diffad_file_metadata(f, "format");
    if (total > (int64_t)bytes)
        abort();
    diffad_file_close(f);
    return 0;
}
