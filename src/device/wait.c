/* wait.c: waiting for a device, no longer than a limit: a driver that hangs must not hold the process for ever. */
#include "base/sys.h"
#include "base/text.h"
#include "device/device.h"

#include <math.h>

enum { GPU_SECONDS = 600, SPIN_NS = 200000, NAP_NS = 50000 };

/* A CPU may compute for hours between two waits, and its drivers do not hang. */
diffad_status diffad_wait_limit(diffad_device *dev)
{
    const char *given = diffad_sys.getenv("DIFFAD_WAIT_SECONDS");
    dev->wait_seconds = dev->caps.kind == DIFFAD_DEVICE_CPU ? 0 : GPU_SECONDS;
    if (given && *given && (!diffad_parse_f64(given, &dev->wait_seconds) || !(dev->wait_seconds >= 0) || !isfinite(dev->wait_seconds)))
        DIFFAD_FAIL(DIFFAD_ERR_USAGE, "DIFFAD_WAIT_SECONDS \"%.40s\": give a number of seconds, or 0 for no limit", given);
    return DIFFAD_OK;
}

/* Polls: at once for short work, then with naps that add little to long work. */
static diffad_status poll_marker(diffad_device *dev, cl_event marker)
{
    const uint64_t start = diffad_sys.monotonic_ns();
    for (;;) {
        cl_int       state = CL_QUEUED;
        const cl_int code = diffad_cl.GetEventInfo(marker, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
        if (code != CL_SUCCESS || state <= CL_COMPLETE)
            return diffad_device_check(dev, code != CL_SUCCESS ? code : state, "wait");
        const uint64_t passed = diffad_sys.monotonic_ns() - start;
        if ((double)passed > dev->wait_seconds * 1e9)
            break;
        if (passed > SPIN_NS)
            diffad_sys.nap(NAP_NS);
    }
    dev->is_broken = true;
    DIFFAD_FAIL(DIFFAD_ERR_DEVICE, "wait on %s: its work is not done after %g s: the device or its driver hangs, start again (training: with "
                "--resume); where it is only slow, DIFFAD_WAIT_SECONDS sets the limit, 0 none", dev->caps.name, dev->wait_seconds);
}

diffad_status diffad_device_wait(diffad_device *dev)
{
    cl_event marker = NULL;
    DIFFAD_TRY(diffad_device_usable(dev));
    if (dev->wait_seconds == 0)
        return diffad_device_check(dev, diffad_cl.Finish(dev->queue), "wait");
    DIFFAD_TRY(diffad_device_check(dev, diffad_cl.EnqueueMarkerWithWaitList(dev->queue, 0, NULL, &marker), "wait"));
    diffad_status st = diffad_device_check(dev, diffad_cl.Flush(dev->queue), "wait");
    if (st == DIFFAD_OK)
        st = poll_marker(dev, marker);
    if (!dev->is_broken)
        diffad_cl.ReleaseEvent(marker);
    return st;
}

diffad_status diffad_device_settle(diffad_device *dev) { return dev->wait_seconds > 0 ? diffad_device_wait(dev) : diffad_device_usable(dev); }
