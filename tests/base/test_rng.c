/* test_rng.c: the counter-based random numbers of src/base/rng.c, cl/common/philox.h and cl/common/normal.h. */
#include "base/rng.h"

#include <Random123/philox.h>
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

Test(rng, philox_is_the_one_of_random123)
{
    uint32_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        uint32_t v[6], out[4];
        for (int k = 0; k < 6; k++)
            v[k] = i == 0 ? 0 : i == 1 ? 0xFFFFFFFFu : (seed = seed * 1664525u + 1013904223u);
        const philox4x32_ctr_t c = { { v[0], v[1], v[2], v[3] } };
        const philox4x32_key_t k = { { v[4], v[5] } };

        diffad_philox(v, v + 4, out);

        const philox4x32_ctr_t want = philox4x32_R(10, c, k);
        cr_assert_eq(memcmp(out, want.v, sizeof out), 0, "case %d: expected %08x got %08x", i, want.v[0], out[0]);
    }
}

/* Known answers that Random123 ships (kat_vectors, philox4x32 10). */
Test(rng, philox_gives_the_published_answers)
{
    const uint32_t c[4] = { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, k[2] = { 0xa4093822, 0x299f31d0 };
    uint32_t       out[4];
    diffad_philox(c, k, out);
    cr_expect(out[0] == 0xd16cfe09 && out[1] == 0x94fdcceb && out[2] == 0x5001e420 && out[3] == 0x24126ea1);
}

Test(rng, a_number_depends_on_its_position_alone)
{
    diffad_rng a = diffad_rng_make(0x123456789abcdefu, DIFFAD_RNG_TEST, 5, 6);
    uint32_t   first[64];
    for (int i = 0; i < 64; i++)
        first[i] = diffad_rng_u32(&a);

    for (int i = 63; i >= 0; i--) {
        a.position = (uint64_t)i;
        cr_expect_eq(diffad_rng_u32(&a), first[i], "position %d", i);
    }

    const uint32_t counter[4] = { 3, 6, 5, DIFFAD_RNG_TEST }, key[2] = { 0x89abcdefu, 0x01234567u };
    uint32_t       block[4];
    diffad_philox(counter, key, block);
    cr_expect_eq(memcmp(first + 12, block, sizeof block), 0, "the counter's layout is a promise");
}

Test(rng, streams_differ_in_each_part_of_their_key)
{
    const diffad_rng streams[] = { diffad_rng_make(1, DIFFAD_RNG_TEST, 0, 0), diffad_rng_make(2, DIFFAD_RNG_TEST, 0, 0),
                                   diffad_rng_make(1ull << 32 | 1, DIFFAD_RNG_TEST, 0, 0), diffad_rng_make(1, DIFFAD_RNG_NOISE, 0, 0),
                                   diffad_rng_make(1, DIFFAD_RNG_TEST, 1, 0), diffad_rng_make(1, DIFFAD_RNG_TEST, 0, 1) };
    uint32_t first[6];
    for (int i = 0; i < 6; i++) {
        diffad_rng r = streams[i];
        first[i] = diffad_rng_u32(&r);
        for (int k = 0; k < i; k++)
            cr_expect_neq(first[i], first[k], "streams %d and %d", i, k);
    }
}

Test(rng, numbers_below_a_bound_are_even)
{
    diffad_rng r = diffad_rng_make(3, DIFFAD_RNG_TEST, 0, 0);
    int        count[7] = { 0 };
    double     chi = 0;
    for (int i = 0; i < 70000; i++) {
        const uint32_t v = diffad_rng_below(&r, 7);
        cr_assert_lt(v, 7);
        count[v]++;
    }
    for (int i = 0; i < 7; i++)
        chi += (count[i] - 10000.0) * (count[i] - 10000.0) / 10000;
    cr_expect_lt(chi, 22.5, "chi square %g with 6 degrees of freedom", chi);      /* 0.1 % */
    cr_expect_eq(diffad_rng_below(&r, 1), 0);
    cr_expect_eq(diffad_rng_below(&r, 0), 0);

    int high = 0;          /* 2^31 + 1 throws nearly half of the draws away: half of those kept lie in the upper half */
    for (int i = 0; i < 10000; i++)
        high += diffad_rng_below(&r, 0x80000001u) > 0x40000000u;
    cr_expect(high > 4800 && high < 5200, "%d", high);
}

Test(rng, uniforms_fill_the_interval_without_its_end)
{
    diffad_rng r = diffad_rng_make(4, DIFFAD_RNG_TEST, 0, 0);
    double     sum = 0, squares = 0;
    for (int i = 0; i < 200000; i++) {
        const float u = diffad_rng_uniform(&r);
        cr_assert(u >= 0 && u < 1);
        sum += u;
        squares += (double)u * u;
    }
    cr_expect_float_eq(sum / 200000, 0.5, 0.003);
    cr_expect_float_eq(squares / 200000, 1.0 / 3, 0.003);
    for (int i = 0; i < 1000; i++) {
        const float v = diffad_rng_between(&r, -2, 3);
        cr_assert(v >= -2 && v <= 3);
    }
}

/* -z with P(X < -z) = u, by bisection in double. */
static double inverse(double u)
{
    double lo = 0, hi = 8;
    for (int i = 0; i < 70; i++) {
        const double mid = 0.5 * (lo + hi);
        if (0.5 * erfc(mid * 0.70710678118654752440) > u)
            lo = mid;
        else
            hi = mid;
    }
    return 0.5 * (lo + hi);
}

static double error_of(uint32_t m) { return fabs(diffad_normal_from_bits(m) - inverse((m + 0.5) * 0x1p-32)); }

Test(normal, every_piece_is_within_a_millionth_of_the_inverse_distribution)
{
    double   worst = 0;
    uint32_t where = 0, seed = 9;
    for (uint32_t zeros = 0; zeros < 32; zeros++)
        for (uint32_t i = 0; i < 400; i++) {
            const uint32_t v = (0x80000000u | (seed = seed * 1664525u + 1013904223u) >> 1) >> zeros;     /* 2 m + 1, about */
            const uint32_t m = v >> 1;
            const double   e = error_of(m);
            if (e > worst) {
                worst = e;
                where = m;
            }
        }
    for (uint32_t m = 0; m < 4096; m++) {
        worst = fmax(worst, error_of(m));
        worst = fmax(worst, error_of(0x7FFFFFFFu - m));
    }
    cr_expect_lt(worst, 6e-7, "off by %.3g at %08x", worst, where);
}

Test(normal, it_falls_with_the_bits_and_its_sign_is_one_bit)
{
    float before = INFINITY;
    for (uint32_t m = 0; m < 0x7FF00000u; m += 0x3FFF) {
        const float z = diffad_normal_from_bits(m);
        cr_assert(z <= before + 1e-6f, "%08x: %.9g after %.9g", m, z, before);
        cr_assert_eq(diffad_normal_from_bits(m | 0x80000000u), -z);
        before = z;
    }
    cr_expect_float_eq(diffad_normal_from_bits(0), inverse(0x1p-33), 6e-7);
    cr_expect_float_eq(diffad_normal_from_bits(0x7FFFFFFFu), 0, 6e-7);
}

Test(normal, moments_and_tails_are_those_of_a_normal)
{
    enum { N = 1000000 };
    diffad_rng r = diffad_rng_make(11, DIFFAD_RNG_TEST, 0, 0);
    double     m[5] = { 0 };
    int        beyond[5] = { 0 };
    for (int i = 0; i < N; i++) {
        const double z = diffad_rng_normal(&r);
        for (int k = 1; k < 5; k++)
            m[k] += pow(z, k) / N;
        for (int k = 1; k < 5; k++)
            beyond[k] += fabs(z) > k;
    }
    cr_expect_float_eq(m[1], 0, 5e-3);
    cr_expect_float_eq(m[2], 1, 7e-3);
    cr_expect_float_eq(m[3], 0, 2e-2);
    cr_expect_float_eq(m[4], 3, 5e-2);
    for (int k = 1; k < 5; k++) {
        const double want = N * erfc(k * 0.70710678118654752440);
        cr_expect_float_eq(beyond[k], want, 5 * sqrt(want), "beyond %d: expected %.0f got %d", k, want, beyond[k]);
    }
}

/* The bits are a promise: stored runs depend on them. */
Test(normal, recorded_bits_do_not_change)
{
    diffad_rng r   = diffad_rng_make(2024, DIFFAD_RNG_NOISE, 3, 4);
    uint32_t   sum = 0;
    for (int i = 0; i < 100000; i++) {
        const float z = diffad_rng_normal(&r);
        uint32_t    bits;
        memcpy(&bits, &z, sizeof bits);
        sum = (sum << 1 | sum >> 31) ^ bits;
    }
    cr_expect_eq(sum, 0x18ff8116u, "got 0x%08xu", sum);
}
