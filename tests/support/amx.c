/* amx.c: executes AMX instructions that the processor does not know. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE      /* REG_RIP and its like */
#endif
#include "support/amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

/* palette 0: not configured, or released. */
typedef struct unit {
    uint8_t  palette, rows[TILES];
    uint16_t row_bytes[TILES];
    uint8_t  tile[TILES][ROWS][ROW_BYTES];
} unit;

static _Thread_local unit    u;
static _Atomic int64_t       products;
static bool                  is_wrong;

/* ---- an instruction ---- */

/* VEX.128 of map 0F38; r, m, v: the numbers of its registers. */
typedef struct instruction {
    int      opcode, prefix, r, m, v;      /* prefix: 0 none, 1 66, 2 F3, 3 F2 */
    bool     is_memory, has_index;
    uint64_t address, index;               /* index: scaled */
    int      bytes;
} instruction;

static uint64_t greg(const ucontext_t *c, int n)
{
    static const int at[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
    return (uint64_t)c->uc_mcontext.gregs[at[n]];
}

static int64_t displacement(const uint8_t *p, int bytes)
{
    int32_t wide = 0;
    if (bytes == 1)
        return (int8_t)*p;
    if (bytes == 4)
        memcpy(&wide, p, 4);
    return wide;
}

/* The operand in memory after the ModRM byte at p[4]; x, b: the prefix's fourth bits of index and base. */
static void decode_memory(const ucontext_t *c, const uint8_t *p, int x, int b, instruction *i)
{
    const int mod = p[4] >> 6, rm = p[4] & 7;
    int       base = rm | b << 3, at = 5, shift = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    if (rm == 4) {
        const int index = (p[5] >> 3 & 7) | x << 3;
        i->has_index    = index != 4;
        i->index        = i->has_index ? greg(c, index) << (p[5] >> 6) : 0;
        base            = (p[5] & 7) | b << 3;
        at              = 6;
    }
    const bool is_bare = mod == 0 && (base & 7) == 5;      /* no base: absolute, or with no SIB byte from the next instruction */
    shift    = is_bare ? 4 : shift;
    i->bytes = at + shift;
    i->address = (is_bare ? rm == 4 ? 0 : (uint64_t)(uintptr_t)(p + i->bytes) : greg(c, base)) + (uint64_t)displacement(p + at, shift);
}

static bool decode(const ucontext_t *c, instruction *i)
{
    const uint8_t *p = (const uint8_t *)(uintptr_t)c->uc_mcontext.gregs[REG_RIP];
    if (p[0] != 0xc4 || (p[1] & 0x1f) != 2 || p[2] & 0x84)      /* three bytes of VEX, 0F38, W0, 128 */
        return false;
    const int r = !(p[1] & 0x80), x = !(p[1] & 0x40), b = !(p[1] & 0x20);
    *i = (instruction){ .opcode = p[3], .prefix = p[2] & 3, .r = (p[4] >> 3 & 7) | r << 3, .m = (p[4] & 7) | b << 3,
                        .v = ~(p[2] >> 3) & 15, .is_memory = p[4] >> 6 != 3, .bytes = 5 };
    if (i->is_memory)
        decode_memory(c, p, x, b, i);
    return true;
}

/* ---- what it does; false: an exception ---- */

static bool is_set(int t) { return u.palette == 1 && t < TILES && u.rows[t] > 0 && u.row_bytes[t] > 0; }

static bool configure(const uint8_t *from)
{
    unit n = { .palette = from[0] };
    for (int i = 1; i < 16; i++)
        if (from[i])
            return false;
    for (int t = 0; t < TILES; t++) {
        memcpy(&n.row_bytes[t], from + 16 + 2 * t, 2);
        n.rows[t] = from[48 + t];
        if (n.rows[t] > ROWS || n.row_bytes[t] > ROW_BYTES || !n.rows[t] != !n.row_bytes[t])
            return false;
    }
    for (int i = 32; i < ROW_BYTES; i++)
        if ((i < 48 || i >= 56) && from[i])
            return false;
    u = n;
    return n.palette <= 1;
}

static bool load(const instruction *i)
{
    if (!is_set(i->r))
        return false;
    memset(u.tile[i->r], 0, sizeof u.tile[i->r]);
    for (int k = 0; k < u.rows[i->r]; k++)
        memcpy(u.tile[i->r][k], (const void *)(uintptr_t)(i->address + (uint64_t)k * i->index), u.row_bytes[i->r]);
    return true;
}

static bool store(const instruction *i)
{
    if (!is_set(i->r))
        return false;
    for (int k = 0; k < u.rows[i->r]; k++)
        memcpy((void *)(uintptr_t)(i->address + (uint64_t)k * i->index), u.tile[i->r][k], u.row_bytes[i->r]);
    return true;
}

static float flushed(float v) { return fabsf(v) < FLT_MIN ? copysignf(0, v) : v; }

/* A tile's bf16 as floats, row by row. */
static void widen(uint8_t tile[ROWS][ROW_BYTES], float to[ROWS][ROW_BYTES / 2])
{
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < ROW_BYTES / 2; k++) {
            const uint32_t bits = (uint32_t)(tile[r][2 * k] | tile[r][2 * k + 1] << 8) << 16;
            float          v;
            memcpy(&v, &bits, 4);
            to[r][k] = flushed(v);
        }
}

static bool multiply(int c, int a, int b)
{
    float x[ROWS][ROW_BYTES / 2], y[ROWS][ROW_BYTES / 2], sum;
    if (c == a || c == b || a == b || !is_set(c) || !is_set(a) || !is_set(b) || u.rows[c] != u.rows[a] ||
        u.row_bytes[c] != u.row_bytes[b] || u.row_bytes[a] != 4 * u.rows[b])
        return false;
    widen(u.tile[a], x);
    widen(u.tile[b], y);
    for (int m = 0; m < u.rows[c]; m++)
        for (int n = 0; n < u.row_bytes[c] / 4; n++) {
            float even = 0, odd = 0;
            for (int k = 0; k < u.rows[b] - is_wrong; k++) {
                even = flushed(fmaf(x[m][2 * k], y[k][2 * n], even));
                odd  = flushed(fmaf(x[m][2 * k + 1], y[k][2 * n + 1], odd));
            }
            memcpy(&sum, &u.tile[c][m][4 * n], 4);
            sum = flushed(flushed(sum) + flushed(even + odd));
            memcpy(&u.tile[c][m][4 * n], &sum, 4);
        }
    atomic_fetch_add(&products, 1);
    return true;
}

static bool execute(const instruction *i)
{
    if (i->opcode == 0x49 && i->prefix == 0 && i->is_memory && i->r == 0)
        return configure((const uint8_t *)(uintptr_t)i->address);
    if (i->opcode == 0x49 && i->prefix == 0 && i->r == 0 && i->m == 0) {
        memset(&u, 0, sizeof u);
        return true;
    }
    if (i->opcode == 0x49 && i->prefix == 3 && !i->is_memory && is_set(i->r)) {
        memset(u.tile[i->r], 0, sizeof u.tile[i->r]);
        return true;
    }
    if (i->opcode == 0x4b && i->is_memory && i->has_index && i->prefix)
        return i->prefix == 2 ? store(i) : load(i);
    return i->opcode == 0x5c && i->prefix == 2 && !i->is_memory && multiply(i->r, i->m, i->v);
}

/* What it does not know ends the process, as it would without the handler. */
static void on_illegal(int number, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    instruction i;
    (void)info;
    if (decode(c, &i) && execute(&i))
        c->uc_mcontext.gregs[REG_RIP] += i.bytes;
    else
        signal(number, SIG_DFL);
}

bool amx_emulate(bool is_faulty)
{
    struct sigaction a = { .sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO };
    is_wrong = is_faulty;
    return sigaction(SIGILL, &a, NULL) == 0;
}
#else
#include <stddef.h>

bool amx_emulate(bool is_faulty)
{
    (void)is_faulty;
    return false;
}

static int64_t products;
#endif

int64_t amx_products(void) { return products; }
