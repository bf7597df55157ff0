/* tensor.c: tensors in device memory. */
#include "tensor/tensor.h"
#include "base/sys.h"

diffad_status diffad_tensor_create(diffad_device *dev, diffad_dtype type, const diffad_shape *shape, diffad_tensor **out)
{
    const int64_t count = diffad_shape_count(shape);
    char          text[64];
    if (type == DIFFAD_F64 || type == DIFFAD_I64)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "tensor: type %s lives in files only", diffad_dtype_name(type));
    if (count < 0 || count > INT64_MAX / 8)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "tensor: shape %s is too large", diffad_shape_text(shape, text, sizeof text));
    diffad_tensor *t = diffad_alloc(sizeof *t);
    if (!t)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "tensor: no host memory");
    *t = (diffad_tensor){ .dev = dev, .type = type, .shape = *shape, .version = 1 };
    t->bytes = ((size_t)count * diffad_dtype_bytes(type) + 3) / 4 * 4;
    diffad_status st = diffad_buffer_create(dev, t->bytes, &t->buffer);
    if (st == DIFFAD_OK)
        st = diffad_buffer_zero(dev, t->buffer, 0, t->bytes);
    if (st != DIFFAD_OK) {
        diffad_tensor_destroy(t);
        return diffad_fail_context(st, "tensor %s", diffad_shape_text(shape, text, sizeof text));
    }
    *out = t;
    return DIFFAD_OK;
}

void diffad_tensor_destroy(diffad_tensor *t)
{
    if (!t)
        return;
    diffad_buffer_release(t->dev, t->buffer, t->bytes);
    diffad_release(t);
}

void diffad_tensor_give_up(diffad_tensor *t)
{
    diffad_buffer_release(t->dev, t->buffer, t->bytes);
    t->buffer = NULL;
}

const diffad_shape *diffad_tensor_shape(const diffad_tensor *t) { return &t->shape; }
diffad_dtype        diffad_tensor_type(const diffad_tensor *t) { return t->type; }

static diffad_status check_bytes(const diffad_tensor *t, size_t bytes, const char *what)
{
    char text[64];
    const size_t want = (size_t)diffad_shape_count(&t->shape) * diffad_dtype_bytes(t->type);
    if (bytes != want)
        DIFFAD_FAIL(DIFFAD_ERR_SHAPE, "%s tensor %s %s: %zu bytes given, %zu needed", what, diffad_dtype_name(t->type),
                    diffad_shape_text(&t->shape, text, sizeof text), bytes, want);
    return DIFFAD_OK;
}

static diffad_status check_memory(const diffad_tensor *t, const char *what)
{
    char text[64];
    if (!t->buffer)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "%s tensor %s %s: a plan holds it in packed form alone", what, diffad_dtype_name(t->type),
                    diffad_shape_text(&t->shape, text, sizeof text));
    return DIFFAD_OK;
}

static diffad_status write_bytes(diffad_tensor *t, const void *data, size_t bytes, cl_bool wait)
{
    DIFFAD_TRY(check_bytes(t, bytes, "write"));
    DIFFAD_TRY(check_memory(t, "write"));
    DIFFAD_TRY(wait ? diffad_device_settle(t->dev) : diffad_device_usable(t->dev));
    t->version++;
    if (bytes == 0)
        return DIFFAD_OK;
    return diffad_device_check(t->dev, diffad_cl.EnqueueWriteBuffer(t->dev->queue, t->buffer, wait, 0, bytes, data, 0, NULL, NULL),
                               "write");
}

diffad_status diffad_tensor_write(diffad_tensor *t, const void *data, size_t bytes) { return write_bytes(t, data, bytes, CL_TRUE); }

diffad_status diffad_tensor_write_later(diffad_tensor *t, const void *data, size_t bytes)
{
    return write_bytes(t, data, bytes, CL_FALSE);
}

diffad_status diffad_tensor_read(const diffad_tensor *t, void *data, size_t bytes)
{
    DIFFAD_TRY(check_bytes(t, bytes, "read"));
    DIFFAD_TRY(check_memory(t, "read"));
    DIFFAD_TRY(diffad_device_settle(t->dev));
    if (bytes == 0)
        return DIFFAD_OK;
    return diffad_device_check(t->dev, diffad_cl.EnqueueReadBuffer(t->dev->queue, t->buffer, CL_TRUE, 0, bytes, data, 0, NULL, NULL),
                               "read");
}
