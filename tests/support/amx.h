/* amx.h: Intel's AMX on a processor without it: a handler of SIGILL decodes the tile instructions and does what the Software
 * Developer's Manual says of them, register for register and row for row, so that kernels run as they are on any x86-64 Linux.
 *
 *     if (!amx_emulate(false))              false: not here
 *         cr_skip_test("...");
 *     ...                                   until the process ends
 *     amx_products();                       how many tile products there were; 0 where the processor has the unit itself */
#ifndef DIFFAD_TEST_AMX_H
#define DIFFAD_TEST_AMX_H

#include <stdbool.h>
#include <stdint.h>

/* `is_faulty`: one that takes the words of the last row of its second operand for zero. */
bool    amx_emulate(bool is_faulty);
int64_t amx_products(void);

#endif
