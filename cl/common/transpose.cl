/* transpose.cl: a 16 x 16 block of floats in 16 vectors, rows and columns exchanged in place. Each of the four rounds
 * zips the first half of the 256 values with the second: their index, row and column, turns left by one bit. The rounds
 * stay a loop: unrolled they take long to compile. */
#define DIFFAD_UNROLL __attribute__((opencl_unroll_hint))

static void transpose16(float16 r[16])
{
    __attribute__((opencl_unroll_hint(1)))
    for (int round = 0; round < 4; round++) {
        float16 t[16];
        DIFFAD_UNROLL for (int i = 0; i < 8; i++) {
            t[2 * i].even     = r[i].lo;
            t[2 * i].odd      = r[i + 8].lo;
            t[2 * i + 1].even = r[i].hi;
            t[2 * i + 1].odd  = r[i + 8].hi;
        }
        DIFFAD_UNROLL for (int i = 0; i < 16; i++)
            r[i] = t[i];
    }
}
