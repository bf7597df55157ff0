/* global.cl: loads and stores of VEC floats in global memory at any float's address. Clang compilers take a vector type of
 * lower alignment: PoCL's vload16 is put together from pieces, which the optimiser does not always join again. (Do not cast
 * a result to vfloat: clang 15 crashes.) */
#include "common/vec.cl"

#if defined(__clang__) && VEC > 1
typedef __attribute__((aligned(4))) vfloat loose_vfloat;
#define gload(i, p)     (((__global const loose_vfloat *)((p) + (size_t)(i) * VEC))[0])
#define gstore(v, i, p) (((__global loose_vfloat *)((p) + (size_t)(i) * VEC))[0] = (v))
#else
#define gload(i, p)     vload((i), (p))
#define gstore(v, i, p) vstore((v), (i), (p))
#endif
