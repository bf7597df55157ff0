/* prefetch.cl: PREFETCH(p) asks for the cache line of a global address, in or beyond a buffer, that is read soon. PoCL's prefetch()
 * does nothing (3.1: no instruction in its code), its compiler's own does; to go when PoCL's does it. */
#if defined(__x86_64__) || defined(__aarch64__)
#define PREFETCH(p) __builtin_prefetch((const void *)(size_t)(p))
#else
#define PREFETCH(p) prefetch(p, 1)
#endif
