/* gemm.h: C = alpha op(A) op(B) + beta C (+ bias), batched: the one seam for matrix products.
 *
 *     diffad_gemm g = diffad_gemm_make(m, n, k);                dense, batch 1, alpha 1, beta 0, no bias
 *     g.a = (diffad_gemm_operand){ mem, offset, k, m * k };     row-major [m,k]; [k,m] with transpose_a
 *     g.b = (diffad_gemm_operand){ mem, offset, n, k * n };     row-major [k,n]; [n,k] with transpose_b
 *     g.c = (diffad_gemm_operand){ mem, offset, n, m * n };
 *     DIFFAD_TRY(diffad_gemm_add(&sink, caps, &g));             ops: diffad_emit_gemm (graph/emit.h)
 *
 * Nothing runs here: launches go to a sink. A description is checked in full before anything is added.
 *
 * Convolution by columns, per group of samples: A = weights [O, I kh kw] with stride 0 (shared by the batch),
 * B = columns [I kh kw, H'W'], C = y, bias over rows. Its weight gradient: A = dy [O, H'W'], B = columns with
 * transpose_b, C = dw with stride 0, which sums over the batch in order (beta 1 adds to what C holds). */
#ifndef DIFFAD_GEMM_H
#define DIFFAD_GEMM_H

#include "kernel/launch.h"

/* Offsets, leading dimension and the step from one matrix of the batch to the next, in elements (float32). */
typedef struct diffad_gemm_operand {
    int32_t mem;
    int64_t offset, ld, stride;
} diffad_gemm_operand;

typedef enum diffad_gemm_bias { DIFFAD_GEMM_NO_BIAS, DIFFAD_GEMM_BIAS_ROWS, DIFFAD_GEMM_BIAS_COLUMNS } diffad_gemm_bias;

typedef struct diffad_gemm {
    int64_t             m, n, k, batch;
    double              alpha;
    int                 beta;                    /* 0: C is not read; 1: added to */
    bool                transpose_a, transpose_b;
    diffad_gemm_operand a, b, c;                 /* a, b: stride 0 shares one matrix; c: stride 0 sums over the batch */
    diffad_gemm_bias    bias_kind;               /* [m] to each row, or [n] to each column; added once */
    int32_t             bias_mem;
    int64_t             bias_offset;
    const char         *way;                     /* "cpu", "tile", "clblast"; NULL: by caps and shape */
    int                 variant;                 /* of the way: below diffad_gemm_variants; -1: by caps and shape */
} diffad_gemm;

diffad_gemm diffad_gemm_make(int64_t m, int64_t n, int64_t k);

/* Where launches and work space go. */
typedef struct diffad_gemm_sink {
    void *user;
    diffad_status (*add)(void *user, const diffad_launch *l);
    diffad_status (*scratch)(void *user, int64_t count, int32_t *mem);          /* count floats */
    /* Work space for the packed form of operand 'a' or 'b', told apart by `key`. When *fresh, the launches added until
     * pack_end fill it; else it is filled already. Both NULL: plain scratch. */
    diffad_status (*pack)(void *user, char operand, const char *key, int64_t count, int32_t *mem, bool *fresh);
    void          (*pack_end)(void *user);
} diffad_gemm_sink;

diffad_status diffad_gemm_add(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g);

/* Whether this build and device have a way of that name. */
bool diffad_gemm_has_way(const char *way, const diffad_caps *caps);
/* Register blocks or tiles that it may be computed with. */
int  diffad_gemm_variants(const char *way, const diffad_caps *caps);

#endif
