/* sys_amx.c: whether this process may use AMX, the matrix unit of Intel's processors. */
#include "base/sys.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };      /* asm/prctl.h; the number in XCR0 */

/* The permission is the process's: it counts for all its threads, those of the driver that started before too, and for children;
 * each thread gets its room for tiles where it first uses one (Linux, Documentation/arch/x86/xstate.rst). The system refuses where
 * it does not save tiles, or where a thread's alternate signal stack could not hold them. */
bool diffad_sys_amx(void)
{
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILE))
        return false;
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#else
bool diffad_sys_amx(void) { return false; }
#endif
