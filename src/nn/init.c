/* init.c: fresh parameter values, the same on every device. */
#include "base/fail.h"
#include "base/rng.h"
#include "base/sys.h"
#include "nn/param.h"

#include <string.h>

static void fill(const diffad_param *q, diffad_rng *r, float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        switch (q->init.kind) {
        case DIFFAD_INIT_CONSTANT: x[i] = (float)q->init.a; break;
        case DIFFAD_INIT_UNIFORM: x[i] = diffad_rng_between(r, (float)-q->init.a, (float)q->init.a); break;
        case DIFFAD_INIT_NORMAL: x[i] = (float)(q->init.a + q->init.b * diffad_rng_normal(r)); break;
        }
}

diffad_status diffad_params_init(diffad_params *p, uint64_t seed, uint32_t network)
{
    for (int64_t i = 0; i < p->count; i++) {
        diffad_param *q = p->item[i];
        const int64_t n = diffad_shape_count(&q->shape);
        float        *x = diffad_alloc_array((size_t)n, sizeof *x);
        if (!x)
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "parameter %s: no host memory for its initial values", q->name);
        diffad_rng r = diffad_rng_make(seed, DIFFAD_RNG_INIT, network, (uint32_t)i);
        fill(q, &r, x, n);
        diffad_status st = diffad_tensor_write(q->tensor, x, (size_t)n * sizeof *x);
        if (st == DIFFAD_OK && q->shadow)
            st = diffad_tensor_write(q->shadow, x, (size_t)n * sizeof *x);
        diffad_release(x);
        DIFFAD_TRY(st);
    }
    return DIFFAD_OK;
}
