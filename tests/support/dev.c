/* dev.c: the device tests run on, and small things around plans. */
#include "support/dev.h"

#include <criterion/criterion.h>

#define MUST(call) cr_assert_eq((call), DIFFAD_OK, "%s", diffad_error_detail())

diffad_device *dev_new(void)
{
    diffad_device *dev = NULL;
    MUST(diffad_device_open(NULL, &dev));
    return dev;
}

/* Programs stay until the device is closed, so what is left of plans is judged by bytes. */
void dev_done(diffad_device *dev)
{
    cr_expect_eq(diffad_device_bytes(dev), 0, "%zu bytes of device memory are left", diffad_device_bytes(dev));
    diffad_device_close(dev);
}

diffad_graph *graph_new(void)
{
    diffad_graph *g = NULL;
    MUST(diffad_graph_create(&g));
    return g;
}

diffad_plan *plan_new(diffad_device *dev, const diffad_graph *g, const diffad_plan_options *options)
{
    diffad_plan *p = NULL;
    MUST(diffad_plan_create(dev, g, options, &p));
    return p;
}

void plan_done(diffad_plan *p, diffad_graph *g)
{
    diffad_plan_destroy(p);
    diffad_graph_destroy(g);
}

void plan_must_run(diffad_plan *p) { MUST(diffad_plan_run(p)); }

void tensor_put(diffad_tensor *t, const float *x, int64_t count)
{
    cr_assert_not_null(t);
    MUST(diffad_tensor_write(t, x, (size_t)count * sizeof *x));
}

void tensor_get(const diffad_tensor *t, float *x, int64_t count)
{
    cr_assert_not_null(t);
    MUST(diffad_tensor_read(t, x, (size_t)count * sizeof *x));
}

diffad_tensor *tensor_new(diffad_device *dev, diffad_shape shape)
{
    diffad_tensor *t = NULL;
    MUST(diffad_tensor_create(dev, DIFFAD_F32, &shape, &t));
    return t;
}

void numbers(float *x, int64_t count, unsigned seed)
{
    unsigned state = 2654435761u * (seed + 1);
    for (int64_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        x[i]  = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
}
