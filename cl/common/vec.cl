/* vec.cl: VEC floats at a time, VEC of 1, 2, 4, 8 or 16. */
#ifndef VEC
#define VEC 4
#endif

#define DIFFAD_JOIN_(a, b) a##b
#define DIFFAD_JOIN(a, b)  DIFFAD_JOIN_(a, b)

#if VEC == 1
typedef float vfloat;
typedef int   vint;
#define vload(i, p)     ((p)[i])
#define vstore(v, i, p) ((p)[i] = (v))
#else
typedef DIFFAD_JOIN(float, VEC) vfloat;
typedef DIFFAD_JOIN(int, VEC)   vint;
#define vload(i, p)     DIFFAD_JOIN(vload, VEC)((i), (p))
#define vstore(v, i, p) DIFFAD_JOIN(vstore, VEC)((v), (i), (p))
#endif
