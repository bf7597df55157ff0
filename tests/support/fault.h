/* fault.h: makes the nth call of a kind through diffad_sys fail, and counts memory and files that stay.
 *
 *     fault_install();
 *     for (int n = 1; fault_arm(FAULT_WRITE, n, false); n++) {      false: the run before this one met no fault
 *         status = ...;
 *         fault_disarm();
 *     } */
#ifndef DIFFAD_TEST_FAULT_H
#define DIFFAD_TEST_FAULT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum fault_kind { FAULT_ALLOC, FAULT_OPEN, FAULT_CLOSE, FAULT_READ, FAULT_WRITE, FAULT_FSYNC, FAULT_RENAME, FAULT_STAT,
                          FAULT_MKDIR, FAULT_LIST, FAULT_KINDS } fault_kind;

const char *fault_name(fault_kind kind);
void        fault_install(void);
/* The nth call of `kind` from now fails, and those after it if `lasting`. False when the last armed run ended without
 * meeting its fault: all calls have had their turn. */
bool        fault_arm(fault_kind kind, int n, bool lasting);
void        fault_disarm(void);
bool        fault_met(void);
int64_t     fault_live_blocks(void);
int64_t     fault_open_files(void);
/* Reads and writes give at most `bytes` at a time (0: no limit), and every second one is interrupted first. */
void        fault_slow(long bytes);

#endif
