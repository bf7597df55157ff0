/* test_faults.c: whatever call fails, once or from then on, opening, planning, running and reading end with a status
 * and a reason, and leave nothing. On the stand-in driver: every OpenCL call and every call of the system is counted
 * through. */
#include "base/sys.h"
#include "graph/plan.h"
#include "op/ops.h"
#include "support/fault.h"
#include "support/folder.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

typedef struct net {
    diffad_device *dev;
    diffad_graph  *g;
    diffad_plan   *p;
    diffad_tensor *w, *gamma, *beta, *out;
} net;

static const diffad_conv_attr same = { .stride = 1, .dilation = 1, .left = 1, .right = 1, .top = 1, .bottom = 1 };

/* Convolution, norm, attention by hand, a gradient and a step: packs, reorders, aliases, state. */
static void build(net *n)
{
    diffad_graph      *g = n->g;
    const diffad_shape c = diffad_shape1(16);
    const diffad_val   x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, 16, 4, 4));
    const diffad_val   w = diffad_bound(g, "w", DIFFAD_F32, diffad_shape4(16, 16, 3, 3), &n->w);
    const diffad_val gamma = diffad_bound(g, "gamma", DIFFAD_F32, c, &n->gamma),
                     beta = diffad_bound(g, "beta", DIFFAD_F32, c, &n->beta);
    const diffad_norm_attr   norm = { .groups = 4, .eps = 1e-5, .act = DIFFAD_ACT_SILU };
    const diffad_matmul_attr left = { 0, 1, 0.25 }, right = { 0, 0, 1 };
    const diffad_val h = diffad_group_norm(g, diffad_conv2d(g, x, w, diffad_none(), &same), gamma, beta, &norm);
    const diffad_val q = diffad_reshape(g, h, diffad_shape2(16, 16));
    const diffad_val a = diffad_matmul(g, diffad_softmax(g, diffad_matmul(g, q, q, &left), -1), q, &right);
    const diffad_val y = diffad_add(g, diffad_reshape(g, a, diffad_shape4(1, 16, 4, 4)), h),
                     loss = diffad_mean(g, diffad_square(g, y));
    diffad_val       d = diffad_none();
    diffad_graph_grad(g, loss, diffad_none(), &w, 1, &d);
    diffad_assign(g, w, diffad_sub(g, w, diffad_affine(g, d, 0.1, 0)));
    diffad_output(g, "y", y);
    diffad_output(g, "loss", loss);
}

static diffad_status tensor(net *n, diffad_shape shape, diffad_tensor **out)
{
    return diffad_tensor_create(n->dev, DIFFAD_F32, &shape, out);
}

static diffad_status work(net *n, const diffad_plan_options *options)
{
    static float x[256];
    float        y[256];
    bool         ok = true;
    char         where[100];
    DIFFAD_TRY(diffad_device_open(NULL, &n->dev));
    DIFFAD_TRY(tensor(n, diffad_shape4(16, 16, 3, 3), &n->w));
    DIFFAD_TRY(tensor(n, diffad_shape1(16), &n->gamma));
    DIFFAD_TRY(tensor(n, diffad_shape1(16), &n->beta));
    DIFFAD_TRY(diffad_graph_create(&n->g));
    build(n);
    DIFFAD_TRY(diffad_plan_create(n->dev, n->g, options, &n->p));
    for (int run = 0; run < 2; run++) {
        DIFFAD_TRY(diffad_tensor_write(diffad_plan_tensor(n->p, "x"), x, sizeof x));
        DIFFAD_TRY(diffad_plan_run(n->p));
        DIFFAD_TRY(diffad_tensor_read(diffad_plan_tensor(n->p, "y"), y, sizeof y));
    }
    if (options)
        DIFFAD_TRY(diffad_plan_check_guards(n->p, &ok, where, sizeof where));
    return diffad_device_wait(n->dev);
}

/* Returns whether the device broke: its objects stay then, on purpose. */
static bool clear(net *n)
{
    const bool broke = n->dev && n->dev->is_broken;
    diffad_plan_destroy(n->p);
    diffad_graph_destroy(n->g);
    diffad_tensor_destroy(n->w);
    diffad_tensor_destroy(n->gamma);
    diffad_tensor_destroy(n->beta);
    diffad_device_close(n->dev);
    return broke;
}

static const char *cache;

static int no_fsync(int fd) { return fd < 0 ? -1 : 0; }      /* a disk's time is not what is tested */

static void set_up(void)
{
    diffad_sys.fsync = no_fsync;
    unsetenv("DIFFAD_DEVICE");
    unsetenv("DIFFAD_PROFILE");
    unsetenv("DIFFAD_CAPS");
    cache = folder_new();
    setenv("DIFFAD_CACHE_DIR", cache, 1);
    setenv("POCL_KERNEL_CACHE", "0", 1);      /* so that the stand-in's programs are kept by us */
    stub_install();
    fault_install();
}

TestSuite(faults, .init = set_up, .timeout = 600);

static int tried;

static bool is_documented(diffad_status st)
{
    return st == DIFFAD_ERR_NO_DEVICE || st == DIFFAD_ERR_MEMORY || st == DIFFAD_ERR_DEVICE || st == DIFFAD_ERR_FILE ||
           st == DIFFAD_ERR_UNSUPPORTED;
}

static void judge(diffad_status st, bool broke, int64_t objects, const char *name, int n)
{
    const char *why = diffad_error_detail();
    tried++;
    cr_assert(st == DIFFAD_OK || is_documented(st), "%s number %d: %s: %s", name, n, diffad_status_name(st), why);
    cr_assert(st == DIFFAD_OK || (*why && !strchr(why, '\n')), "%s number %d: no reason", name, n);
    cr_assert_eq(fault_live_blocks(), 0, "%s number %d: %d blocks of memory are left", name, n,
                 (int)fault_live_blocks());
    cr_assert_eq(fault_open_files(), 0, "%s number %d: files are left", name, n);
    cr_assert(broke || stub_live() == objects, "%s number %d: %d objects are left", name, n,
              (int)(stub_live() - objects));
    cr_assert_eq(stub_misuses(), 0, "%s number %d: %s", name, n, stub_misuse());
}

static void clear_cache(void)
{
    int64_t entries, bytes;
    diffad_cache_scan(true, &entries, &bytes);
}

/* Every OpenCL call fails, the nth or from the nth on. */
static void driver_loop(cl_int code, bool lasting, bool cold, const diffad_plan_options *options)
{
    bool is_done = false;
    int  n = 1;
    for (; !is_done; n++) {
        net           m       = { 0 };
        const int64_t objects = stub_live();
        if (cold)
            clear_cache();
        stub_fail(STUB_ANY, n, lasting, code);
        const diffad_status st = work(&m, options);
        is_done = !stub_met();
        if (!lasting)
            stub_fail_never();
        const bool broke = clear(&m);
        stub_fail_never();
        if (is_done)
            cr_assert_eq(st, DIFFAD_OK, "the clean run: %s", diffad_error_detail());
        judge(st, broke || (!m.dev && code == CL_OUT_OF_RESOURCES), objects,
              is_done ? "the clean run" : stub_met_name(), n);
    }
    cr_expect_gt(n, 300, "%d calls were tried", n);
}

Test(faults, every_call_to_the_driver_may_run_out_of_memory_once)
{
    driver_loop(CL_OUT_OF_HOST_MEMORY, false, true, NULL);
}
Test(faults, every_call_to_the_driver_may_run_out_of_memory_for_good)
{
    driver_loop(CL_MEM_OBJECT_ALLOCATION_FAILURE, true, false, NULL);
}
Test(faults, every_call_to_the_driver_may_lose_the_device) { driver_loop(CL_OUT_OF_RESOURCES, true, false, NULL); }
Test(faults, every_call_to_the_driver_may_lose_the_device_for_a_moment)
{
    driver_loop(CL_OUT_OF_RESOURCES, false, false, NULL);
}

Test(faults, every_call_to_the_driver_may_fail_in_a_guarded_profiled_run)
{
    setenv("DIFFAD_PROFILE", "1", 1);
    driver_loop(CL_OUT_OF_HOST_MEMORY, false, false, &(diffad_plan_options){ .guard = true });
}

Test(faults, every_call_to_the_driver_may_fail_in_a_checked_run)
{
    setenv("DIFFAD_TRACE", "1", 1);
    driver_loop(CL_INVALID_VALUE, false, false, NULL);
}

static void system_loop(fault_kind kind, bool lasting, bool cold)
{
    for (int n = 1;; n++) {
        net m = { 0 };
        if (cold)
            clear_cache();
        if (!fault_arm(kind, n, lasting))
            break;
        const diffad_status st = work(&m, NULL);
        const bool met = fault_met();
        if (!lasting)
            fault_disarm();
        clear(&m);
        fault_disarm();
        judge(st, false, 0, fault_name(kind), n);
        if (kind == FAULT_ALLOC && st != DIFFAD_OK)
            cr_assert_eq(st, DIFFAD_ERR_MEMORY, "allocation %d: %s", n, diffad_error_detail());
        if (kind != FAULT_ALLOC)
            cr_assert_eq(st, DIFFAD_OK, "%s %d: a cache that fails is no error: %s", fault_name(kind), n,
                         diffad_error_detail());
        if (!met)
            cr_assert_eq(st, DIFFAD_OK, "the clean run: %s", diffad_error_detail());
    }
}

Test(faults, every_allocation_may_fail_once)
{
    system_loop(FAULT_ALLOC, false, true);
    cr_expect_gt(tried, 250, "%d allocations", tried);
}
Test(faults, every_allocation_may_fail_for_good) { system_loop(FAULT_ALLOC, true, true); }
Test(faults, every_allocation_may_fail_with_a_warm_cache) { system_loop(FAULT_ALLOC, false, false); }

Test(faults, every_call_to_the_file_system_may_fail)
{
    for (int kind = FAULT_ALLOC + 1; kind < FAULT_KINDS; kind++)
        for (int mode = 0; mode < 4; mode++)
            system_loop((fault_kind)kind, mode & 1, mode & 2);
}
