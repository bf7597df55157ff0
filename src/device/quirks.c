/* quirks.c: one row per known fault of a platform or driver. Capabilities are asked first; a row is the last resort. */
#include "base/sys.h"
#include "device/device.h"

#include <string.h>

typedef struct quirk {
    const char *platform, *device;      /* parts of names; NULL fits all */
    void      (*apply)(diffad_caps *caps);
    const char *reason;
} quirk;

static void plain_layout(diffad_caps *caps) { caps->block = 1; }
static void no_fp16(diffad_caps *caps) { caps->has_fp16 = false; }

/* Unless the user switched PoCL's cache off. */
static void caches_programs(diffad_caps *caps)
{
    const char *cache = diffad_sys.getenv("POCL_KERNEL_CACHE");
    caps->caches_programs = !cache || strcmp(cache, "0") != 0;
}

static const quirk quirks[] = {
    { "rusticl", NULL, plain_layout,
      "Mesa 22.3 computes channel-blocked convolutions wrongly on llvmpipe (error 0.6)" },
    { "Clover", NULL, no_fp16, "clover has no complete half support" },
    { "Portable Computing Language", NULL, caches_programs,
      "PoCL keeps compiled kernels itself, and asked for a binary it compiles them all again" },
};

/* Drivers in wide use that return errors; others have crashed or hung in the first call (see probe.c). */
static const char *const trusted[] = { "Portable Computing Language", "NVIDIA CUDA",
                                       "AMD Accelerated Parallel Processing", "Intel(R) OpenCL", "Apple" };

bool diffad_quirks_is_trusted(const diffad_caps *caps)
{
    for (size_t i = 0; i < sizeof trusted / sizeof trusted[0]; i++)
        if (strncmp(caps->platform, trusted[i], strlen(trusted[i])) == 0)
            return true;
    return false;
}

const char *diffad_quirks_apply(diffad_caps *caps)
{
    const char *reason = NULL;
    for (size_t i = 0; i < sizeof quirks / sizeof quirks[0]; i++) {
        const quirk *q = &quirks[i];
        if ((q->platform && !strstr(caps->platform, q->platform)) || (q->device && !strstr(caps->name, q->device)))
            continue;
        q->apply(caps);
        reason = q->reason;
    }
    return reason;
}
