/* gemm_clblast.c: matrix products by the CLBlast library, called while a plan runs. CLBlast accepts bad layouts,
 * aliased results and absurd sizes: gemm.c has refused those before. */
#include "blas/gemm_ways.h"

#ifdef DIFFAD_HAVE_CLBLAST
#include <clblast_c.h>

#include <stdio.h>

/* Order of the launch's arguments. */
enum {
    ARG_A, ARG_B, ARG_C, ARG_M, ARG_N, ARG_K, ARG_LDA, ARG_LDB, ARG_LDC, ARG_STRIDE_A, ARG_STRIDE_B, ARG_STRIDE_C,
    ARG_BATCH, ARG_TA, ARG_TB, ARG_ALPHA, ARG_BETA
};

static const char *code_name(CLBlastStatusCode code)
{
    static const struct { int code; const char *name; } names[] = {
        { CLBlastNotImplemented, "not implemented" },
        { CLBlastInvalidMatrixA, "matrix A is no valid memory object" },
        { CLBlastInvalidMatrixB, "matrix B is no valid memory object" },
        { CLBlastInvalidMatrixC, "matrix C is no valid memory object" },
        { CLBlastInvalidDimension, "invalid dimension" },
        { CLBlastInvalidLeadDimA, "invalid leading dimension of A" },
        { CLBlastInvalidLeadDimB, "invalid leading dimension of B" },
        { CLBlastInvalidLeadDimC, "invalid leading dimension of C" },
        { CLBlastInsufficientMemoryA, "buffer of A is too small" },
        { CLBlastInsufficientMemoryB, "buffer of B is too small" },
        { CLBlastInsufficientMemoryC, "buffer of C is too small" },
        { CLBlastInvalidBatchCount, "invalid batch count" },
        { CLBlastInvalidLocalMemUsage, "the device has too little local memory" },
        { CLBlastDatabaseError, "no parameters for this device" },
        { CLBlastUnknownError, "unknown error" },
        { CLBlastUnexpectedError, "unexpected error" },
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == (int)code)
            return names[i].name;
    return "error in the library";
}

static diffad_status run(diffad_device *dev, const diffad_launch *l, const diffad_place *place)
{
    cl_mem buffer[3];
    size_t offset[3], v[ARG_ALPHA];
    for (int i = 0; i < 3; i++) {
        const diffad_place *p = &place[l->arg[i].mem];
        buffer[i] = p->buffer;
        offset[i] = p->offset / sizeof(float) + (size_t)l->arg[i].i;
    }
    for (int i = ARG_M; i < ARG_ALPHA; i++)
        v[i] = (size_t)l->arg[i].i;
    const CLBlastTranspose ta = v[ARG_TA] ? CLBlastTransposeYes : CLBlastTransposeNo;
    const CLBlastTranspose tb = v[ARG_TB] ? CLBlastTransposeYes : CLBlastTransposeNo;
    const float            alpha = l->arg[ARG_ALPHA].f, beta = l->arg[ARG_BETA].f;
    if (dev->is_broken)
        DIFFAD_FAIL(DIFFAD_ERR_DEVICE, "%s failed earlier: start again", dev->caps.name);
    CLBlastStatusCode code;
    if (v[ARG_BATCH] == 1)
        code = CLBlastSgemm(CLBlastLayoutRowMajor, ta, tb, v[ARG_M], v[ARG_N], v[ARG_K], alpha, buffer[0], offset[0],
                            v[ARG_LDA], buffer[1], offset[1], v[ARG_LDB], beta, buffer[2], offset[2], v[ARG_LDC],
                            &dev->queue, NULL);
    else
        code = CLBlastSgemmStridedBatched(CLBlastLayoutRowMajor, ta, tb, v[ARG_M], v[ARG_N], v[ARG_K], alpha, buffer[0],
                                          offset[0], v[ARG_LDA], v[ARG_STRIDE_A], buffer[1], offset[1], v[ARG_LDB],
                                          v[ARG_STRIDE_B], beta, buffer[2], offset[2], v[ARG_LDC], v[ARG_STRIDE_C],
                                          v[ARG_BATCH], &dev->queue, NULL);
    if (code == CLBlastSuccess)
        return DIFFAD_OK;
    char what[128];
    snprintf(what, sizeof what, "CLBlast gemm M=%zu N=%zu K=%zu batch %zu", v[ARG_M], v[ARG_N], v[ARG_K], v[ARG_BATCH]);
    if ((int)code > -1000)      /* OpenCL's own codes are passed through */
        return diffad_device_check(dev, (cl_int)code, what);
    DIFFAD_FAIL(DIFFAD_ERR_DEVICE, "%s: %s (code %d); DIFFAD_WAYS=gemm=tile avoids it", what, code_name(code),
                (int)code);
}

bool diffad_gemm_has_clblast(void) { return true; }

diffad_status diffad_gemm_clblast(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g)
{
    (void)caps;
    diffad_launch l = diffad_launch_call("clblast_gemm", run);
    const int64_t counts[] = { g->m,        g->n,        g->k,        g->a.ld,  g->b.ld,        g->c.ld,
                               g->a.stride, g->b.stride, g->c.stride, g->batch, g->transpose_a, g->transpose_b };
    diffad_launch_mem(&l, g->a.mem, g->a.offset, DIFFAD_READ);
    diffad_launch_mem(&l, g->b.mem, g->b.offset, DIFFAD_READ);
    diffad_launch_mem(&l, g->c.mem, g->c.offset, g->beta ? DIFFAD_READ_WRITE : DIFFAD_WRITE);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        diffad_launch_count(&l, counts[i]);
    diffad_launch_float(&l, g->alpha);
    diffad_launch_float(&l, g->beta);
    DIFFAD_TRY(sink->add(sink->user, &l));
    return g->bias_kind == DIFFAD_GEMM_NO_BIAS ? DIFFAD_OK : diffad_gemm_add_bias(sink, g);
}

#else

bool diffad_gemm_has_clblast(void) { return false; }

diffad_status diffad_gemm_clblast(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g)
{
    (void)sink;
    (void)caps;
    DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "gemm %lldx%lldx%lld: this build has no CLBlast", (long long)g->m,
                (long long)g->n, (long long)g->k);
}

#endif
