/* slab.cl: how the normalisations walk over a map. A slab is one sample's channel block, [HW,B], or with B = 1 one
 * channel, [HW]. It is read as `units` vectors of VEC floats (VEC = B, or VEC pixels of one channel when B = 1) in
 * chunks of `per` units; a work-group takes one chunk. What it finds, F numbers a lane, lies at
 * part[sample][block][chunk][F][VEC]. */
#ifndef B
#define B 1
#endif
#ifndef WG
#define WG 64
#endif
#include "common/global.cl"
#include "common/group_sum.cl"
#define LANES (B > 1 ? 1 : VEC)      /* of a vector, that belong to one channel */

typedef struct sizes { int C, groups, units, chunks, per; } sizes;

/* First unit of this work-group's slab, in vectors. */
static size_t slab_at(int units) { return ((size_t)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * units; }
static int chunk_from(int per) { return (int)get_group_id(0) * per; }
static int chunk_to(int per, int units) { return min(((int)get_group_id(0) + 1) * per, units); }

/* Where this work-group puts its numbers. */
static size_t chunk_at(int fields)
{
    return (((size_t)get_group_id(2) * get_num_groups(1) + get_group_id(1)) * get_num_groups(0) + get_group_id(0)) * fields * VEC;
}

/* Entry e of channel c, of s.chunks * LANES: field f lies f * VEC further on. It stands for entry_count elements. */
static size_t entry_at(int n, int c, int e, int fields, sizes s)
{
    const size_t slab = (size_t)n * ((s.C + B - 1) / B) + c / B;
    return (slab * s.chunks + e / LANES) * fields * VEC + (B > 1 ? c % B : e % LANES);
}
static int entry_count(int e, sizes s) { return min(s.per, s.units - e / LANES * s.per); }

/* Per-channel parameters p[c / divide] of this work-group's lanes; 0 beyond C. */
static vfloat gather(__global const float *p, int C, int divide)
{
#if B == 1
    return (vfloat)(p[get_group_id(1) / divide]);
#else
    float lane[B];
    for (int i = 0; i < B; i++) {
        const int c = (int)get_group_id(1) * B + i;
        lane[i] = c < C ? p[c / divide] : 0.0f;
    }
    return vload(0, lane);
#endif
}
