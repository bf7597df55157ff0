/* gemm_rig.h: a sink that runs what blas/gemm.h adds, without graph or plan, between canaries. */
#ifndef GEMM_RIG_H
#define GEMM_RIG_H

#include "blas/gemm.h"

enum { RIG_MEMS = 96, RIG_LAUNCHES = 96 };

typedef struct rig {
    diffad_device *dev;
    diffad_caps    caps;                /* the device's; a test may change them */
    int64_t        count[RIG_MEMS];
    cl_mem         buffer[RIG_MEMS];
    diffad_place   place[RIG_MEMS];
    int            n_mems;
    diffad_launch  launch[RIG_LAUNCHES];
    int            n_launches;
    int            packs_asked;
    bool           packs_are_kept;      /* say "already filled" to every request after the first of its kind */
} rig;

rig             *rig_open(void);
void             rig_close(rig *r);
diffad_gemm_sink rig_sink(rig *r);
/* A memory object with `count` floats; data NULL: filled with NaN. */
int32_t rig_mem(rig *r, const float *data, int64_t count);
/* Runs all launches once. */
diffad_status rig_run(rig *r);
void          rig_read(rig *r, int32_t mem, float *data);
/* False when any launch wrote before or behind a memory object. */
bool rig_is_intact(rig *r);

#endif
