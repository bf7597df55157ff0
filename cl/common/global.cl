/* global.cl: loads and stores of VEC floats, or of a type that LOOSE was told of, in global memory at any address of its elements.
 * Clang compilers take a vector type of lower alignment: PoCL's vload16 and vstore16 are put together from pieces, which the
 * optimiser does not always join again. (Do not cast a result to vfloat: clang 15 crashes.) */
#include "common/vec.cl"

#if defined(__clang__) && VEC > 1
#define LOOSE(type, bytes) typedef __attribute__((aligned(bytes))) type loose_##type;
#define gload_as(type, i, p)     (((__global const loose_##type *)((p) + (size_t)(i) * VEC))[0])
#define gstore_as(type, v, i, p) (((__global loose_##type *)((p) + (size_t)(i) * VEC))[0] = (v))
#else
#define LOOSE(type, bytes)
#define gload_as(type, i, p)     vload((i), (p))
#define gstore_as(type, v, i, p) vstore((v), (i), (p))
#endif
LOOSE(vfloat, 4)
#define gload(i, p)     gload_as(vfloat, i, p)
#define gstore(v, i, p) gstore_as(vfloat, v, i, p)
