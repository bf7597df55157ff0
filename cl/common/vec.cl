/* vec.cl: VEC floats at a time, VEC of 1, 2, 4, 8 or 16. */
#ifndef VEC
#define VEC 4
#endif

#define DIFFAD_JOIN_(a, b) a##b
#define DIFFAD_JOIN(a, b)  DIFFAD_JOIN_(a, b)

/* DIFFAD_NAME(convert_int) is the function for VEC elements, as DIFFAD_NAME(int) is the type. */
#if VEC == 1
#define DIFFAD_NAME(name) name
#else
#define DIFFAD_NAME(name) DIFFAD_JOIN(name, VEC)
#endif
typedef DIFFAD_NAME(float) vfloat;
typedef DIFFAD_NAME(int)   vint;

#if VEC == 1
#define vload(i, p)     ((p)[i])
#define vstore(v, i, p) ((p)[i] = (v))
#else
#define vload(i, p)     DIFFAD_NAME(vload)((i), (p))
#define vstore(v, i, p) DIFFAD_NAME(vstore)((v), (i), (p))
#endif
