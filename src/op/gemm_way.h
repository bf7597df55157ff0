/* gemm_way.h: the ways of ops that are one matrix product. DIFFAD_GEMM_WAYS(ways, emit) defines the array `ways` from
 * `emit(e, n, way)`; they differ in the algorithm behind blas/gemm.h. */
#ifndef DIFFAD_GEMM_WAY_H
#define DIFFAD_GEMM_WAY_H

#include "graph/emit.h"

#define DIFFAD_GEMM_WAY_(way)                                                                                       \
    static bool way##_fits(const diffad_node *n, const diffad_caps *caps)                                           \
    {                                                                                                               \
        (void)n;                                                                                                    \
        return diffad_gemm_has_way(#way, caps);                                                                     \
    }                                                                                                               \
    static int way##_variants(const diffad_node *n, const diffad_caps *caps)                                        \
    {                                                                                                               \
        (void)n;                                                                                                    \
        return diffad_gemm_variants(#way, caps);                                                                    \
    }
#define DIFFAD_GEMM_WAYS(array, emit)                                                                               \
    DIFFAD_GEMM_WAY_(cpu)                                                                                           \
    DIFFAD_GEMM_WAY_(tile)                                                                                          \
    DIFFAD_GEMM_WAY_(clblast)                                                                                       \
    static diffad_status emit_cpu(diffad_emit *e, const diffad_node *n) { return emit(e, n, "cpu"); }               \
    static diffad_status emit_tile(diffad_emit *e, const diffad_node *n) { return emit(e, n, "tile"); }             \
    static diffad_status emit_clblast(diffad_emit *e, const diffad_node *n) { return emit(e, n, "clblast"); }       \
    static const diffad_way array[] = {                                                                             \
        { .name = "cpu", .fits = cpu_fits, .variants = cpu_variants, .emit = emit_cpu },                            \
        { .name = "tile", .fits = tile_fits, .variants = tile_variants, .emit = emit_tile, .is_portable = true },   \
        { .name = "clblast", .fits = clblast_fits, .variants = clblast_variants, .emit = emit_clblast },            \
    };

#endif
