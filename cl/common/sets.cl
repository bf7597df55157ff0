/* sets.cl: one launch for several sets of operands. SETS is 1, or the most that the kernel takes. The work-groups belong to
 * the sets in turn, to each as many as it needs; a set that is not there needs none.
 *
 *     #define TAKE(k) if (SET_BEGINS) { x = x##k + x##k##_off; vectors = n##k; SET_ENTER } SET_LEAVE(SET_GROUPS(n##k))
 *     SETS_12(TAKE)                        of the sets that begin at or before this work-group the last stays
 *     SET_EACH (i, vectors) y[i] = ...     this work-item's, PER of them, neighbours beside each other */
#ifndef SETS
#define SETS 1
#endif
#ifndef WG
#define WG 64
#endif
#ifndef PER
#define PER 1
#endif

#define SET_VARIABLES     size_t begin_ = 0, next_ = 0;
#define SET_BEGINS        (get_group_id(0) >= next_)
#define SET_ENTER         begin_ = next_;
#define SET_LEAVE(groups) next_ += (groups);
#define SET_GROUP         (get_group_id(0) - begin_)
#define SET_GROUPS(count) (((count) + PER * WG - 1) / (PER * WG))
#define SET_EACH(i, count)                                                                              \
    for (size_t i = SET_GROUP * PER * WG + get_local_id(0), end_ = min((size_t)(count), (SET_GROUP + 1) * PER * WG); \
         i < end_; i += WG)

#if SETS == 1
#define SETS_12(X) X(0)
#define SETS_24(X) X(0)
#else
#define SETS_12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define SETS_24(X) SETS_12(X) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
#endif
