/* tensor.h (internal): a device tensor's inside. Plain row-major, in its own buffer. */
#ifndef DIFFAD_TENSOR_INTERNAL_H
#define DIFFAD_TENSOR_INTERNAL_H

#include "device/device.h"
#include "diffad/tensor.h"

struct diffad_tensor {
    diffad_device *dev;
    diffad_dtype   type;
    diffad_shape   shape;
    cl_mem         buffer;
    size_t         bytes;
    uint64_t       version;      /* counts writes: packed copies made from an older version are stale */
};

/* Lets go of the memory: the tensor can no longer be read, written or bound. Nothing enqueued may still use it. */
void diffad_tensor_give_up(diffad_tensor *t);

/* Writes without waiting: `data` must stay as it is until the queue has passed it. */
diffad_status diffad_tensor_write_later(diffad_tensor *t, const void *data, size_t bytes);

#endif
