/* buffer.c: device memory, checked and counted before a driver is asked. */
#include "device/device.h"
#include "base/sys.h"

diffad_status diffad_buffer_create(diffad_device *dev, size_t bytes, cl_mem *out)
{
    const double mib = 1.0 / (1024 * 1024);
    if (bytes == 0)
        bytes = 4;
    DIFFAD_TRY(diffad_device_usable(dev));
    if (bytes > dev->caps.max_alloc)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY,
                    "%s allows buffers up to %.0f MiB, %.0f MiB are needed: use a smaller batch or picture",
                    dev->caps.name, (double)dev->caps.max_alloc * mib, (double)bytes * mib);
    if (dev->bytes > dev->caps.global_mem || bytes > dev->caps.global_mem - dev->bytes)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY,
                    "%s has %.0f MiB, %.0f MiB are held and %.0f MiB more are needed: use a smaller batch",
                    dev->caps.name, (double)dev->caps.global_mem * mib, (double)dev->bytes * mib, (double)bytes * mib);
    cl_int code;
    cl_mem m = diffad_cl.CreateBuffer(dev->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    DIFFAD_TRY(diffad_device_check(dev, code, "allocate"));
    dev->bytes += bytes;
    if (dev->bytes > dev->peak_bytes)
        dev->peak_bytes = dev->bytes;
    dev->live++;
    *out = m;
    return DIFFAD_OK;
}

void diffad_buffer_release(diffad_device *dev, cl_mem buffer, size_t bytes)
{
    if (!buffer)
        return;
    if (!dev->is_broken)
        diffad_cl.ReleaseMemObject(buffer);
    dev->bytes -= bytes ? bytes : 4;
    dev->live--;
}

diffad_status diffad_buffer_zero(diffad_device *dev, cl_mem buffer, size_t offset, size_t bytes)
{
    const cl_uint zero = 0;
    DIFFAD_TRY(diffad_device_usable(dev));
    if (bytes == 0)
        return DIFFAD_OK;
    return diffad_device_check(dev, diffad_cl.EnqueueFillBuffer(dev->queue, buffer, &zero, sizeof zero, offset,
                                                               (bytes + 3) / 4 * 4, 0, NULL, NULL), "fill");
}

static bool is_among(cl_mem buffer, const cl_mem *list, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (list[i] == buffer)
            return true;
    return false;
}

diffad_status diffad_scratch_take(diffad_device *dev, size_t bytes, const cl_mem *mine, int64_t n, cl_mem *out)
{
    diffad_scratch *best = NULL;
    for (int64_t i = 0; i < dev->n_scratch; i++) {
        diffad_scratch *s = &dev->scratch[i];
        if (s->bytes >= bytes && (!best || s->bytes < best->bytes) && !is_among(s->buffer, mine, n))
            best = s;
    }
    if (!best) {
        if (!diffad_grow(&dev->scratch, dev->n_scratch, &dev->cap_scratch, sizeof *dev->scratch))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "work space: no host memory");
        best = &dev->scratch[dev->n_scratch];
        *best = (diffad_scratch){ .bytes = bytes };
        DIFFAD_TRY(diffad_buffer_create(dev, bytes, &best->buffer));
        dev->n_scratch++;
    }
    best->users++;
    *out = best->buffer;
    return DIFFAD_OK;
}

void diffad_scratch_give(diffad_device *dev, cl_mem buffer)
{
    for (int64_t i = 0; i < dev->n_scratch; i++) {
        diffad_scratch *s = &dev->scratch[i];
        if (s->buffer != buffer)
            continue;
        if (--s->users == 0) {
            diffad_buffer_release(dev, s->buffer, s->bytes);
            *s = dev->scratch[--dev->n_scratch];
        }
        return;
    }
}
