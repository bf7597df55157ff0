/* registers.h: what a work-item can keep in registers. */
#ifndef DIFFAD_REGISTERS_H
#define DIFFAD_REGISTERS_H

#include "diffad/device.h"

enum { DIFFAD_VENDOR_INTEL = 0x8086 };

/* Sums of a tile that a work-item may have. A thread of an Intel GPU has 4 KiB of registers (8 KiB from Xe-HPC on) for at least 8
 * (16) work-items: with 64 sums, what feeds them spills (tests/bench/compile_lab.tsv). */
static inline int64_t diffad_most_sums(const diffad_caps *caps)
{
    return caps->vendor_id == DIFFAD_VENDOR_INTEL && caps->kind != DIFFAD_DEVICE_CPU ? 32 : 64;
}

/* Vectors of 16 floats, and 32 of them: AVX-512. Else a CPU has 16 of 8 lanes or fewer. */
static inline bool diffad_has_wide_vectors(const diffad_caps *caps) { return caps->native_float >= 16; }

#endif
