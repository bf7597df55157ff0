/* caps.c: capability masks for tests and for working around a driver (DIFFAD_CAPS). */
#include "base/text.h"
#include "device/device.h"

#include <stdio.h>
#include <string.h>

static diffad_status set_one(const char *name, int64_t v, diffad_caps *caps)
{
    const struct { const char *name; uint64_t *limit; } limits[] = {
        { "local_mem", &caps->local_mem }, { "max_alloc", &caps->max_alloc },
        { "global_mem", &caps->global_mem }, { "max_wg", &caps->max_group },
    };
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        if (strcmp(name, limits[i].name) == 0) {
            if (v <= 0)
                DIFFAD_FAIL(DIFFAD_ERR_USAGE, "DIFFAD_CAPS: %s=%lld must be above 0", name, (long long)v);
            if ((uint64_t)v < *limits[i].limit)      /* a mask takes away, it never adds */
                *limits[i].limit = (uint64_t)v;
            for (int d = 0; d < 3 && limits[i].limit == &caps->max_group; d++)
                if (caps->max_group_side[d] > caps->max_group)
                    caps->max_group_side[d] = caps->max_group;
            return DIFFAD_OK;
        }
    if (strcmp(name, "fp16") == 0)
        caps->has_fp16 = caps->has_fp16 && v;
    else if (strcmp(name, "fp64") == 0)
        caps->has_fp64 = caps->has_fp64 && v;
    else if (strcmp(name, "subgroups") == 0)
        caps->has_subgroups = caps->has_subgroups && v;
    else if (strcmp(name, "cpu") == 0)
        caps->local_mem_is_cheap = v != 0;
    else if (strcmp(name, "matrix") == 0 && v >= 0 && v < DIFFAD_MATRICES) {
        caps->matrix          = (diffad_matrix)v;
        caps->matrix_is_plain = v > 0;
    } else if (strcmp(name, "block") == 0 && (v == 1 || v == 4 || v == 8 || v == 16))
        caps->block = (uint32_t)v;
    else
        DIFFAD_FAIL(DIFFAD_ERR_USAGE,
                    "DIFFAD_CAPS: \"%s=%lld\" is not a mask; known: local_mem, max_alloc, global_mem, max_wg, "
                    "fp16, fp64, subgroups, cpu, matrix (0; 1 to 8: a unit's layout, computed without it), block (1, 4, 8, 16)",
                    name, (long long)v);
    return DIFFAD_OK;
}

diffad_status diffad_caps_mask(const char *text, diffad_caps *caps)
{
    while (text && *text) {
        char         part[64];
        const size_t n = strcspn(text, ",");
        if (n >= sizeof part)
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "DIFFAD_CAPS: \"%.40s...\" is too long", text);
        memcpy(part, text, n);
        part[n] = '\0';
        char   *equals = strchr(part, '=');
        int64_t v;
        if (!equals || !diffad_parse_i64(equals + 1, &v))
            DIFFAD_FAIL(DIFFAD_ERR_USAGE, "DIFFAD_CAPS: \"%s\" must be name=integer", part);
        *equals = '\0';
        DIFFAD_TRY(set_one(part, v, caps));
        text += n + (text[n] == ',');
    }
    return DIFFAD_OK;
}
