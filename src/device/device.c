/* device.c: choosing, opening and closing a device; error translation. */
#include "device/device.h"
#include "base/sys.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- choosing ---- */

static bool contains(const char *text, const char *part)
{
    const size_t n = strlen(part);
    for (; *text; text++)
        if (strncasecmp(text, part, n) == 0)
            return true;
    return false;
}

static bool fits(const diffad_caps *c, const char *which)
{
    if (strcasecmp(which, "gpu") == 0)
        return c->kind == DIFFAD_DEVICE_GPU || c->kind == DIFFAD_DEVICE_INTEGRATED;
    if (strcasecmp(which, "cpu") == 0)
        return c->kind == DIFFAD_DEVICE_CPU;
    return contains(c->vendor, which) || contains(c->name, which) || contains(c->platform, which);
}

/* An id, or a name in full, beats parts of names; -1: neither, or several of that name. */
static int exact(const diffad_caps *list, int count, const char *which)
{
    int found = -1;
    for (int i = 0; i < count; i++)
        if (strcmp(which, list[i].id) == 0)
            return i;
    for (int i = 0; i < count; i++)
        if (strcasecmp(which, list[i].name) == 0) {
            if (found >= 0)
                return -1;
            found = i;
        }
    return found;
}

static void describe(const diffad_caps *list, int count, const char *which, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < count && used < bytes; i++)
        if (!which || fits(&list[i], which)) {
            const int n = snprintf(out + used, bytes - used, "%s%s %s (%s)", used ? ", " : "", list[i].id, list[i].name,
                                   list[i].platform);
            if (n < 0)
                return;
            used += (size_t)n;
        }
}

static diffad_status choose_named(const diffad_caps *list, int count, const char *which, int *out)
{
    char names[512];
    int  found = exact(list, count, which), matches = 0;
    for (int i = 0; found < 0 && i < count; i++)
        matches += fits(&list[i], which);
    for (int i = 0; found < 0 && matches == 1 && i < count; i++)
        if (fits(&list[i], which))
            found = i;
    if (found >= 0) {
        *out = found;
        return DIFFAD_OK;
    }
    describe(list, count, matches ? which : NULL, names, sizeof names);
    DIFFAD_FAIL(DIFFAD_ERR_USAGE, "device \"%.100s\" fits %s: choose by id from %s", which,
                matches ? "several" : "none", names);
}

static diffad_status choose(const diffad_caps *list, int count, const char *which, int *out)
{
    static const diffad_device_kind order[] = { DIFFAD_DEVICE_GPU, DIFFAD_DEVICE_INTEGRATED, DIFFAD_DEVICE_CPU,
                                                DIFFAD_DEVICE_OTHER };
    if (count == 0)
        DIFFAD_FAIL(DIFFAD_ERR_NO_DEVICE, "no OpenCL device: install a driver (on Debian pocl-opencl-icd runs on the "
                    "CPU) and look with `diffad doctor`");
    if (which && *which)
        return choose_named(list, count, which, out);
    for (size_t k = 0; k < sizeof order / sizeof order[0]; k++)
        for (int i = 0; i < count; i++)
            if (list[i].kind == order[k]) {
                *out = i;
                return DIFFAD_OK;
            }
    DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "a device of no kind");
}

/* ---- errors ---- */

diffad_status diffad_device_check(diffad_device *dev, cl_int code, const char *what)
{
    if (code == CL_SUCCESS)
        return DIFFAD_OK;
    diffad_status s = DIFFAD_ERR_DEVICE;
    if (code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY || code == CL_INVALID_BUFFER_SIZE)
        s = DIFFAD_ERR_MEMORY;
    else if (code == CL_OUT_OF_RESOURCES || code == CL_INVALID_COMMAND_QUEUE || code == CL_DEVICE_NOT_AVAILABLE ||
             code <= -9999)
        dev->is_broken = true;
    return diffad_fail(s, "%s on %s: %s (%d): %s", what, dev->caps.name, diffad_cl_error_name(code), (int)code,
                       diffad_cl_error_hint(code));
}

diffad_status diffad_device_usable(const diffad_device *dev)
{
    if (dev->is_broken)
        DIFFAD_FAIL(DIFFAD_ERR_DEVICE, "%s failed earlier: start again", dev->caps.name);
    return DIFFAD_OK;
}

/* ---- opening ---- */

static diffad_status open_queue(diffad_device *dev)
{
    cl_int code;
    const cl_context_properties properties[] = { CL_CONTEXT_PLATFORM, (cl_context_properties)dev->platform, 0 };
    const cl_context context = diffad_cl.CreateContext(properties, 1, &dev->id, NULL, NULL, &code);
    DIFFAD_TRY(diffad_device_check(dev, code, "open context"));
    dev->context = context;
    const char *profile = diffad_sys.getenv("DIFFAD_PROFILE");
    dev->has_profiling = profile && *profile && strcmp(profile, "0") != 0;
    const cl_command_queue queue =
        diffad_cl.CreateCommandQueue(dev->context, dev->id, dev->has_profiling ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    DIFFAD_TRY(diffad_device_check(dev, code, "open queue"));
    dev->queue = queue;
    return DIFFAD_OK;
}

diffad_status diffad_device_open_unprobed(const char *which, diffad_device **out)
{
    diffad_caps    *list;
    cl_platform_id *platforms;
    cl_device_id   *ids;
    int             count, i = 0;
    if (!which || !*which)
        which = diffad_sys.getenv("DIFFAD_DEVICE");
    DIFFAD_TRY(diffad_platform_scan(&list, &platforms, &ids, &count));
    diffad_status  st  = choose(list, count, which, &i);
    diffad_device *dev = NULL;
    if (st == DIFFAD_OK && !(dev = diffad_alloc(sizeof *dev)))
        st = diffad_fail(DIFFAD_ERR_MEMORY, "device: no host memory");
    if (st == DIFFAD_OK) {
        dev->caps     = list[i];
        dev->platform = platforms[i];
        dev->id       = ids[i];
        st = diffad_caps_mask(diffad_sys.getenv("DIFFAD_CAPS"), &dev->caps);
    }
    if (st == DIFFAD_OK)
        st = diffad_wait_limit(dev);
    if (st == DIFFAD_OK)
        st = open_queue(dev);
    diffad_release(list);
    diffad_release(platforms);
    diffad_release(ids);
    if (st != DIFFAD_OK)
        diffad_device_close(dev);
    else
        *out = dev;
    return st;
}

diffad_status diffad_device_open(const char *which, diffad_device **out)
{
    DIFFAD_TRY(diffad_probe(which));
    return diffad_device_open_unprobed(which, out);
}

void diffad_device_close(diffad_device *dev)
{
    if (!dev)
        return;
    if (dev->release_programs)
        dev->release_programs(dev);
    if (dev->release_tuned)
        dev->release_tuned(dev);
    if (!dev->is_broken) {          /* after a fatal error a driver may hang in any call */
        if (dev->queue)
            diffad_cl.ReleaseCommandQueue(dev->queue);
        if (dev->context)
            diffad_cl.ReleaseContext(dev->context);
    }
    if (dev->live != 0)
        diffad_log(DIFFAD_LOG_WARNING, "device %s: %lld OpenCL objects still alive at close", dev->caps.name,
                   (long long)dev->live);
    diffad_release(dev->scratch);
    diffad_release(dev);
}

const diffad_caps *diffad_device_caps(const diffad_device *dev) { return &dev->caps; }
size_t  diffad_device_bytes(const diffad_device *dev) { return dev->bytes; }
size_t  diffad_device_peak_bytes(const diffad_device *dev) { return dev->peak_bytes; }
int64_t diffad_device_live_objects(const diffad_device *dev) { return dev->live; }

/* ---- precision ---- */

static const char *const precisions[] = { "f32", "tf32", "bf16", "f16" };

const char *diffad_precision_name(diffad_precision precision) { return precisions[precision]; }

const char *diffad_device_kind_name(diffad_device_kind kind)
{
    static const char *const names[] = { "cpu", "integrated gpu", "gpu", "other" };
    return names[kind];
}

bool diffad_precision_named(const char *name, diffad_precision *out)
{
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++)
        if (strcmp(name, precisions[i]) == 0) {
            *out = (diffad_precision)i;
            return true;
        }
    return false;
}

bool diffad_precision_fits(const diffad_caps *caps, diffad_precision precision)
{
    enum { TF32 = 1 << DIFFAD_PRECISION_TF32, BF16 = 1 << DIFFAD_PRECISION_BF16, F16 = 1 << DIFFAD_PRECISION_F16 };
    static const int takes[DIFFAD_MATRICES] = {
        [DIFFAD_MATRIX_NVIDIA_80] = TF32 | BF16 | F16, [DIFFAD_MATRIX_NVIDIA_75] = F16,      [DIFFAD_MATRIX_NVIDIA_70] = F16,
        [DIFFAD_MATRIX_AMD_MFMA] = BF16 | F16,         [DIFFAD_MATRIX_AMD_WMMA] = BF16 | F16, [DIFFAD_MATRIX_INTEL_16] = BF16 | F16,
        [DIFFAD_MATRIX_INTEL_8] = BF16 | F16,          [DIFFAD_MATRIX_INTEL_AMX] = BF16,
    };
    return precision == DIFFAD_PRECISION_F32 || (takes[caps->matrix] >> precision & 1);
}

diffad_status diffad_device_set_precision(diffad_device *dev, diffad_precision precision)
{
    if (!diffad_precision_fits(&dev->caps, precision))
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "precision %s: %s has no matrix unit for it that this build knows: use f32",
                    diffad_precision_name(precision), dev->caps.name);
    dev->caps.precision = precision;
    return DIFFAD_OK;
}
