/* verify.h: recorded inputs, outputs and gradients of a reference run (golden files) against this library. */
#ifndef DIFFAD_VERIFY_H
#define DIFFAD_VERIFY_H

#include "diffad/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum diffad_verify_result { DIFFAD_VERIFY_PASS, DIFFAD_VERIFY_FAIL, DIFFAD_VERIFY_UNSUPPORTED } diffad_verify_result;

typedef struct diffad_verify_row {
    const char *file;                /* name in the folder */
    diffad_verify_result result;
    const char *tensor;              /* the one nearest to (or furthest beyond) its tolerance */
    double error, tolerance;
    int    tensors;                  /* compared */
    const char *why;                 /* of a failure or of an unsupported file; "" */
} diffad_verify_row;

typedef void (*diffad_verify_fn)(void *user, const diffad_verify_row *row);
/* Called for each compared tensor when not NULL. */
typedef void (*diffad_verify_tensor_fn)(void *user, const char *file, const char *tensor, double error, double tolerance, bool pass);

typedef struct diffad_verify_options {
    const char *folder, *only;       /* only: a file's name with or without .safetensors, or NULL */
    diffad_verify_fn row;
    diffad_verify_tensor_fn tensor;
    void *user;
} diffad_verify_options;

typedef struct diffad_verify_totals { int passed, failed, unsupported; } diffad_verify_totals;

/* Every *.safetensors file in the folder whose metadata `kind` is not "weights". What a file's metadata describes is built;
 * nothing depends on the file's name. Fails when the folder cannot be read or holds no golden file. */
DIFFAD_API diffad_status diffad_verify(diffad_device *dev, const diffad_verify_options *o, diffad_verify_totals *totals);

#ifdef __cplusplus
}
#endif

#endif
