/* gemm_rig.c: see gemm_rig.h. */
#include "gemm_rig.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };      /* floats on each side */
static const float CANARY = 12345.5f;

rig *rig_open(void)
{
    rig *r = calloc(1, sizeof *r);
    cr_assert(r);
    cr_assert_eq(diffad_device_open(NULL, &r->dev), DIFFAD_OK, "%s", diffad_error_detail());
    r->caps = *diffad_device_caps(r->dev);
    return r;
}

void rig_close(rig *r)
{
    diffad_device_wait(r->dev);
    for (int i = 0; i < r->n_mems; i++)
        diffad_buffer_release(r->dev, r->buffer[i], (size_t)(r->count[i] + 2 * GUARD) * sizeof(float));
    cr_expect_eq(diffad_device_bytes(r->dev), 0, "buffers are left");
    diffad_device_close(r->dev);
    free(r);
}

int32_t rig_mem(rig *r, const float *data, int64_t count)
{
    const int    i     = r->n_mems++;
    const size_t bytes = (size_t)(count + 2 * GUARD) * sizeof(float);
    float       *all   = malloc(bytes);
    cr_assert(all && i < RIG_MEMS);
    for (int64_t k = 0; k < count + 2 * GUARD; k++)
        all[k] = k < GUARD || k >= count + GUARD ? CANARY : data ? data[k - GUARD] : NAN;
    r->count[i] = count;
    cr_assert_eq(diffad_buffer_create(r->dev, bytes, &r->buffer[i]), DIFFAD_OK, "%s", diffad_error_detail());
    cr_assert_eq(diffad_cl.EnqueueWriteBuffer(r->dev->queue, r->buffer[i], CL_TRUE, 0, bytes, all, 0, NULL, NULL),
                 CL_SUCCESS);
    r->place[i] = (diffad_place){ r->buffer[i], GUARD * sizeof(float) };
    free(all);
    return i;
}

static diffad_status add(void *user, const diffad_launch *l)
{
    rig *r = user;
    cr_assert_lt(r->n_launches, RIG_LAUNCHES);
    r->launch[r->n_launches++] = *l;
    return DIFFAD_OK;
}

static diffad_status scratch(void *user, int64_t count, int32_t *mem)
{
    *mem = rig_mem(user, NULL, count);
    return DIFFAD_OK;
}

static diffad_status pack(void *user, char operand, const char *key, int64_t count, int32_t *mem, bool *fresh)
{
    static _Thread_local struct { char name[100]; int32_t mem; } kept[8];
    static _Thread_local int n;
    rig *r = user;
    r->packs_asked++;
    for (int i = 0; r->packs_are_kept && i < n; i++)
        if (kept[i].name[0] == operand && strcmp(kept[i].name + 1, key) == 0) {
            *mem   = kept[i].mem;
            *fresh = false;
            return DIFFAD_OK;
        }
    *fresh = true;
    *mem   = rig_mem(r, NULL, count);
    if (r->packs_are_kept && n < 8) {
        kept[n].name[0] = operand;
        strcpy(kept[n].name + 1, key);
        kept[n++].mem = *mem;
    }
    return DIFFAD_OK;
}

static void pack_end(void *user) { (void)user; }

diffad_gemm_sink rig_sink(rig *r) { return (diffad_gemm_sink){ r, add, scratch, pack, pack_end }; }

diffad_status rig_run(rig *r)
{
    uint8_t element[RIG_MEMS];
    memset(element, sizeof(float), sizeof element);
    diffad_status st = DIFFAD_OK;
    for (int i = 0; i < r->n_launches && st == DIFFAD_OK; i++) {
        diffad_frozen f = { 0 };
        st = diffad_freeze(r->dev, &r->launch[i], r->place, element, &f);
        if (st == DIFFAD_OK)
            st = diffad_frozen_enqueue(r->dev, &f, r->place, NULL);
        if (st == DIFFAD_OK)
            st = diffad_device_wait(r->dev);
        diffad_frozen_release(r->dev, &f);
    }
    return st;
}

void rig_read(rig *r, int32_t mem, float *data)
{
    cr_assert_eq(diffad_cl.EnqueueReadBuffer(r->dev->queue, r->buffer[mem], CL_TRUE, GUARD * sizeof(float),
                                             (size_t)r->count[mem] * sizeof(float), data, 0, NULL, NULL), CL_SUCCESS);
}

bool rig_is_intact(rig *r)
{
    for (int i = 0; i < r->n_mems; i++)
        for (int side = 0; side < 2; side++) {
            float guard[GUARD];
            const size_t at = side ? (size_t)(r->count[i] + GUARD) * sizeof(float) : 0;
            if (diffad_cl.EnqueueReadBuffer(r->dev->queue, r->buffer[i], CL_TRUE, at, sizeof guard, guard, 0, NULL,
                                            NULL) != CL_SUCCESS)
                return false;
            for (int k = 0; k < GUARD; k++)
                if (guard[k] != CANARY)
                    return false;
        }
    return true;
}
