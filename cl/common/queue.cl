/* queue.cl: kernels of one work-item a group whose few groups take the places of a larger range one after another, as each gets done
 * with its last. Runtimes on CPUs hand out groups in advance (PoCL 3.1 half of what is left), so that all wait for the thread
 * that is disturbed. Which group computes a place never changes its result.
 *
 *     __kernel void f(..., QUEUE_ARGS)
 *     {
 *         __local float shared[N];
 *         EACH_PLACE {
 *             const int x = PLACE(0), y = PLACE(1), z = PLACE(2);      as get_group_id would tell
 *
 * queue: { next place, groups that found none left }, zero between launches: the last group to leave sees to that. */
#define QUEUE_ARGS volatile __global int *queue, ulong queue_off, int places_x, int places_y, int places_z
#define EACH_PLACE for (int place; (place = next_place(queue + queue_off, places_x * places_y * places_z)) >= 0;)
#define PLACE(d)   ((d) == 0 ? place % places_x : (d) == 1 ? place / places_x % places_y : place / places_x / places_y)

static int next_place(volatile __global int *queue, int places)
{
    const int place = atomic_inc(queue);
    if (place < places)
        return place;
    mem_fence(CLK_GLOBAL_MEM_FENCE);
    if (atomic_inc(queue + 1) == (int)get_num_groups(0) - 1) {
        atomic_xchg(queue, 0);
        atomic_xchg(queue + 1, 0);
    }
    return -1;
}
