/* selftest.h: every op on a device against its double reference; and every gradient against differences of the
 * reference. What `diffad selftest` prints and what the tests walk. */
#ifndef DIFFAD_SELFTEST_H
#define DIFFAD_SELFTEST_H

#include "diffad/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum diffad_check_result { DIFFAD_CHECK_PASS, DIFFAD_CHECK_FAIL, DIFFAD_CHECK_SKIP } diffad_check_result;

typedef struct diffad_check_row {
    const char *op, *way, *name;      /* name of the case */
    const char *layout;               /* "plain" or "blocked": how maps came in */
    diffad_check_result result;
    double error;                     /* largest |error| / largest |reference| */
    double nmse, ulp;
    double tol;
    char   why[256];                  /* of a failure or skip */
} diffad_check_row;

typedef void (*diffad_check_fn)(void *user, const diffad_check_row *row);

/* Ops whose name is `only` (NULL: all), each case, each way that fits, maps plain and blocked: result within tolerance,
 * canaries intact, padding lanes zero, two runs bit-equal. `quick` leaves out the cases of real size.
 * Fails only when the device does; results arrive through `fn`. */
DIFFAD_API diffad_status diffad_check_ops(diffad_device *dev, const char *only, bool quick, diffad_check_fn fn, void *user);
/* Sets the device's precision after a comparison: small cases of every way of that precision against the reference. Errors:
 * UNSUPPORTED (no unit for it, or one that computes something else: the device stays at float32), MEMORY, DEVICE. */
DIFFAD_API diffad_status diffad_precision_allow(diffad_device *dev, diffad_precision precision);
/* Host only: gradients against central differences of the references, in double. way is "gradient". */
DIFFAD_API diffad_status diffad_check_gradients(const char *only, diffad_check_fn fn, void *user);

#ifdef __cplusplus
}
#endif

#endif
