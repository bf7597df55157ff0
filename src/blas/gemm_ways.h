/* gemm_ways.h: the algorithms behind gemm.h. Their descriptions are checked already; c.stride is 0 only with batch 1.
 */
#ifndef DIFFAD_GEMM_WAYS_H
#define DIFFAD_GEMM_WAYS_H

#include "blas/gemm.h"

/* Tiles in local memory: 16 KiB and work-groups of 64 suffice. */
diffad_status diffad_gemm_tile(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g);
/* Packed panels and a register block per work-item: for CPUs. */
int           diffad_gemm_cpu_variants(void);
int           diffad_gemm_tile_variants(const diffad_caps *caps);
diffad_status diffad_gemm_cpu(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g);
/* The CLBlast library; UNSUPPORTED where the build lacks it. */
diffad_status diffad_gemm_clblast(const diffad_gemm_sink *sink, const diffad_caps *caps, const diffad_gemm *g);
bool          diffad_gemm_has_clblast(void);

/* C += bias, as a launch of its own. */
diffad_status diffad_gemm_add_bias(const diffad_gemm_sink *sink, const diffad_gemm *g);
/* The arguments `bias`, or operand a in its place where there is none. */
void          diffad_gemm_bias_arg(diffad_launch *l, const diffad_gemm *g);

#endif
