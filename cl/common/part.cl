/* part.cl: PART builds one kernel of a file, counted from 1; 0 builds all, for editors and offline compilers. */
#ifndef PART
#define PART 0
#endif
#define HAS_PART(k) (PART == 0 || PART == (k))
