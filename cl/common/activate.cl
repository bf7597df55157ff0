/* activate.cl: the activation behind a normalisation: ACT 0 none, 1 SiLU, 2 ReLU. */
#include "common/exp.cl"
#ifndef ACT
#define ACT 0
#endif

static vfloat activate(vfloat h)
{
#if ACT == 1
    return h / (1.0f + vexp(-h));
#elif ACT == 2
    return max(h, (vfloat)(0.0f));
#else
    return h;
#endif
}
