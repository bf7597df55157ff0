/* local.cl: how to declare functions that take __local pointers. They must be inlined: when all calls pass the same
 * array, the compiler may name it inside the function, and PoCL 3.1 then shares it between its threads. */
#define DIFFAD_LOCAL_FN static inline __attribute__((always_inline))
