/* test_run.c: running, tracing, profiling and printing plans (src/graph/exec.c, dump.c). */
#include "base/fail.h"
#include "base/sys.h"
#include "graph/rig.h"
#include "op/ops.h"
#include "support/fault.h"
#include "support/folder.h"
#include "support/stub_cl.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_stub(void)
{
    unsetenv("DIFFAD_DEVICE");
    unsetenv("DIFFAD_PROFILE");
    unsetenv("DIFFAD_TRACE");
    setenv("DIFFAD_CACHE_DIR", "", 1);
    stub_install();
}

static diffad_graph *some_graph(void)
{
    diffad_graph *g = graph_new();
    const diffad_val x = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, 3, 8, 8));
    const diffad_val y = diffad_silu(g, diffad_scale_by(g, x, diffad_fill(g, diffad_shape0(), 2)));
    diffad_name(g, y, "a \"quoted\" name");
    diffad_output(g, "y", diffad_sum(g, diffad_reshape(g, y, diffad_shape1(192))));
    return g;
}

Test(run, the_dump_has_a_line_for_every_node)
{
    on_stub();
    diffad_device *dev = dev_new();
    diffad_graph  *g   = some_graph();
    diffad_plan   *p   = plan_new(dev, g, NULL);
    char          *t   = diffad_plan_dump(p);
    int            lines = 0;
    for (const char *at = t; *at; at++)
        lines += *at == '\n';

    cr_expect_eq(lines, 6, "%s", t);
    cr_expect(strstr(t, "scale_by") && strstr(t, "silu") && strstr(t, "reshape") && strstr(t, "alias") &&
                  strstr(t, "sum"),
              "%s", t);
    cr_expect(strstr(t, "5 nodes, 4 launches"), "%s", t);
    cr_expect(!strstr(t, "us="), "%s", t);
    free(t);
    t = diffad_plan_ways(p);
    cr_expect_eq(strncmp(t, "fill:", 5), 0, "%s", t);
    free(t);
    plan_done(p, g);
    diffad_device_close(dev);
}

Test(run, a_profile_is_well_formed_json_with_an_event_for_every_launch)
{
    on_stub();
    setenv("DIFFAD_PROFILE", "1", 1);
    diffad_device *dev  = dev_new();
    diffad_graph  *g    = some_graph();
    diffad_plan   *p    = plan_new(dev, g, NULL);
    const char    *path = folder_path(folder_new(), "trace.json");
    cr_expect_eq(diffad_plan_trace(p, path), DIFFAD_ERR_USAGE, "nothing ran yet");
    for (int run = 0; run < 3; run++)
        plan_must_run(p);

    cr_assert_eq(diffad_plan_trace(p, path), DIFFAD_OK, "%s", diffad_error_detail());

    json_error_t error;
    json_t      *j = json_load_file(path, 0, &error);
    cr_assert(json_is_array(j), "%s", error.text);
    cr_expect_eq((int)json_array_size(j), diffad_plan_launches(p));
    for (size_t i = 0; i < json_array_size(j); i++) {
        const json_t *e = json_array_get(j, i);
        cr_expect(json_is_string(json_object_get(e, "name")) && json_is_number(json_object_get(e, "ts")) &&
                  json_number_value(json_object_get(e, "dur")) == 2);
    }
    json_decref(j);
    char *t = diffad_plan_dump(p);
    cr_expect(strstr(t, "us=2.0 (25.0 %)"), "%s", t);
    free(t);
    cr_expect_eq(stub_live_events(), diffad_plan_launches(p), "events of earlier runs are released");
    plan_done(p, g);
    diffad_device_close(dev);
    cr_expect_eq(stub_live(), 0);
    cr_expect_eq(stub_misuses(), 0, "%s", stub_misuse());
}

Test(run, a_real_profile_has_times)
{
    setenv("DIFFAD_PROFILE", "1", 1);
    diffad_device *dev = dev_new();
    diffad_graph  *g   = some_graph();
    diffad_plan   *p   = plan_new(dev, g, NULL);
    plan_must_run(p);
    cr_assert_eq(diffad_device_wait(dev), DIFFAD_OK);
    char *t = diffad_plan_dump(p);
    cr_expect(strstr(t, " us=") && strstr(t, " %)"), "%s", t);
    free(t);
    plan_done(p, g);
    dev_done(dev);
}

static char log_text[4000];
static void keep(void *user, diffad_log_level level, const char *line)
{
    (void)user, (void)level;
    strncat(log_text, line, sizeof log_text - strlen(log_text) - 2);
    strcat(log_text, "\n");
}

Test(run, a_trace_names_each_launch_and_waits_for_it)
{
    on_stub();
    setenv("DIFFAD_TRACE", "1", 1);
    diffad_log_to(keep, NULL);
    diffad_device *dev = dev_new();
    diffad_graph  *g   = some_graph();
    diffad_plan   *p   = plan_new(dev, g, NULL);
    const int64_t  waits = stub_count(STUB_Finish);

    plan_must_run(p);

    cr_expect(strstr(log_text, "trace: launch 0: ") && strstr(log_text, "trace: launch 2: unary_fwd of unary") &&
              strstr(log_text, "trace: launch 3: "), "%s", log_text);
    cr_expect_geq(stub_count(STUB_Finish) - waits, 4);
    stub_fail(STUB_Finish, 3, false, CL_OUT_OF_RESOURCES);
    cr_expect_eq(diffad_plan_run(p), DIFFAD_ERR_DEVICE);
    cr_expect(strstr(diffad_error_detail(), "launch 2, kernel unary_fwd of unary"), "%s", diffad_error_detail());
    cr_expect_eq(diffad_plan_run(p), DIFFAD_ERR_DEVICE, "a broken device stays broken");
    plan_done(p, g);
    diffad_device_close(dev);
}

Test(run, failing_memory_while_printing_leaves_nothing)
{
    on_stub();
    setenv("DIFFAD_PROFILE", "1", 1);
    diffad_device *dev = dev_new();
    diffad_graph  *g   = some_graph();
    diffad_plan   *p   = plan_new(dev, g, NULL);
    const char    *path = folder_path(folder_new(), "trace.json");
    plan_must_run(p);
    fault_install();
    for (int kind = 0; kind < FAULT_KINDS; kind++)
        for (int n = 1; fault_arm(kind, n, false); n++) {
            char *dump = diffad_plan_dump(p), *ways = diffad_plan_ways(p);
            const diffad_status st = diffad_plan_trace(p, path);
            fault_disarm();
            cr_expect(st == DIFFAD_OK || *diffad_error_detail());
            cr_expect(fault_met() || (dump && ways));
            diffad_release(dump);
            diffad_release(ways);
            cr_expect_eq(fault_live_blocks(), 0, "%s %d", fault_name(kind), n);
            cr_expect_eq(fault_open_files(), 0, "%s %d", fault_name(kind), n);
        }
    plan_done(p, g);
    diffad_device_close(dev);
}

/* ---- bundles of programs ---- */

static __typeof__(clBuildProgram) *driver_build;
static int builds, refused;

static cl_int CL_API_CALL count_build(cl_program p, cl_uint n, const cl_device_id *ids, const char *options,
                                      void (CL_CALLBACK *done)(cl_program, void *), void *user)
{
    return builds++ < refused ? CL_BUILD_PROGRAM_FAILURE : driver_build(p, n, ids, options, done, user);
}

/* A few unlike ops; returns how many programs their plan built where the driver refuses the first n. */
static int run_bundled(int n, float *y)
{
    diffad_device   *dev = dev_new();
    diffad_graph    *g   = graph_new();
    const diffad_val x   = diffad_input(g, "x", DIFFAD_F32, diffad_shape4(1, 32, 8, 8));
    const diffad_val w   = diffad_input(g, "w", DIFFAD_F32, diffad_shape1(32)), t = diffad_input(g, "t", DIFFAD_I32, diffad_shape1(1));
    diffad_val       v   = diffad_group_norm(g, x, w, w, &(diffad_norm_attr){ .groups = 8, .eps = 1e-5, .act = DIFFAD_ACT_SILU });
    v = diffad_softmax(g, diffad_upsample_nearest2(g, diffad_max_pool(g, v, &(diffad_pool_attr){ 2, 2, 0 })), 1);
    diffad_output(g, "y", diffad_mul(g, v, diffad_exp(g, v)));
    diffad_output(g, "e", diffad_time_embedding(g, t, 32));
    float numbers_of_x[32 * 64];
    const int32_t time = 7;
    builds  = 0;
    refused = n;
    diffad_plan *p = plan_new(dev, g, NULL);
    const int    built = builds;
    numbers(numbers_of_x, 32 * 64, 5);
    tensor_put(diffad_plan_tensor(p, "x"), numbers_of_x, 32 * 64);
    tensor_put(diffad_plan_tensor(p, "w"), numbers_of_x, 32);
    cr_assert_eq(diffad_tensor_write(diffad_plan_tensor(p, "t"), &time, sizeof time), DIFFAD_OK);
    plan_must_run(p);
    tensor_get(diffad_plan_tensor(p, "y"), y, 32 * 64);
    tensor_get(diffad_plan_tensor(p, "e"), y + 32 * 64, 32);
    plan_done(p, g);
    dev_done(dev);
    return built;
}

Test(run, programs_built_as_one_compute_what_each_does_alone)
{
    static float together[33 * 64], apart[33 * 64];
    unsetenv("DIFFAD_WAYS");
    setenv("DIFFAD_CACHE_DIR", "", 1);
    driver_build = diffad_cl.BuildProgram;
    diffad_cl.BuildProgram = count_build;

    const int one = run_bundled(0, together), many = run_bundled(1, apart);

    diffad_device *dev = dev_new();
    if (diffad_device_caps(dev)->kind == DIFFAD_DEVICE_CPU)
        cr_expect(one == 1 && many > 4, "%d and %d programs", one, many);
    dev_done(dev);
    cr_expect_eq(memcmp(together, apart, sizeof together), 0);
}
