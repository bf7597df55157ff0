/* check_ops.c: runs the cases of every op on a device and compares with the reference. */
#include "api/check_common.h"
#include "base/sys.h"
#include "device/device.h"
#include "diffad/data.h"
#include "diffad/plan.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One case on one way: the graph, its data, and two runs' results. */
typedef struct run {
    const diffad_op      *op;
    const diffad_op_case *c;
    diffad_graph         *g;
    diffad_plan          *plan;
    diffad_val            x[DIFFAD_MAX_IN], y[DIFFAD_MAX_OUT];
    diffad_tensor        *bound[DIFFAD_MAX_IN];
    double               *data[DIFFAD_MAX_IN];
    diffad_ref            ref;
    diffad_node           node;
} run;

static diffad_status build_graph(run *r, diffad_device *dev, bool blocked)
{
    DIFFAD_TRY(diffad_graph_create(&r->g));
    DIFFAD_TRY(check_bound(dev, r->op, r->c, r->bound));
    return check_graph(r->g, r->op, r->c, blocked, r->bound, r->x, r->y);
}

static diffad_status write_inputs(run *r)
{
    diffad_status st = DIFFAD_OK;
    char          name[16];
    for (int i = 0; i < r->op->n_in && st == DIFFAD_OK; i++) {
        if (check_is_absent(r->op, r->c, i))
            continue;
        snprintf(name, sizeof name, "x%d", i);
        diffad_tensor *t     = r->bound[i] ? r->bound[i] : diffad_plan_tensor(r->plan, name);
        const diffad_dtype type = check_type(r->op, r->c, i);
        const int64_t  count = diffad_shape_count(diffad_val_shape(r->g, r->x[i]));
        const size_t   bytes = (size_t)count * diffad_dtype_bytes(type);
        void          *raw   = diffad_alloc(bytes);
        if (!raw)
            return diffad_fail(DIFFAD_ERR_MEMORY, "selftest: no host memory");
        check_to_type(r->data[i], count, type, raw);
        check_from_type(raw, count, type, r->data[i]);      /* what the device gets is what the reference gets */
        if (t)
            st = diffad_tensor_write(t, raw, bytes);
        diffad_release(raw);
    }
    return st;
}

/* Result k of the run: outputs first, then written inputs. NULL when there is none. */
static diffad_tensor *result(const run *r, int k)
{
    char name[16];
    if (k < r->op->n_out) {
        snprintf(name, sizeof name, "y%d", k);
        return diffad_plan_tensor(r->plan, name);
    }
    return k - r->op->n_out < DIFFAD_MAX_IN ? r->bound[k - r->op->n_out] : NULL;
}

static void *read_raw(const diffad_tensor *t, size_t *bytes)
{
    *bytes    = (size_t)diffad_shape_count(diffad_tensor_shape(t)) * diffad_dtype_bytes(diffad_tensor_type(t));
    void *raw = diffad_alloc(*bytes);
    if (raw && diffad_tensor_read(t, raw, *bytes) != DIFFAD_OK) {
        diffad_release(raw);
        raw = NULL;
    }
    return raw;
}

static void fail_row(diffad_check_row *row, const char *format, ...) DIFFAD_PRINTF(2, 3);
#include <stdarg.h>
static void fail_row(diffad_check_row *row, const char *format, ...)
{
    va_list args;
    if (row->result == DIFFAD_CHECK_FAIL)
        return;
    va_start(args, format);
    vsnprintf(row->why, sizeof row->why, format, args);
    va_end(args);
    row->result = DIFFAD_CHECK_FAIL;
}

static void compare(diffad_check_row *row, const double *want, const void *raw, const diffad_tensor *t, int k)
{
    const int64_t count = diffad_shape_count(diffad_tensor_shape(t));
    double       *got   = diffad_alloc_array((size_t)count, sizeof *got);
    double        scale = 0, worst = 0, square = 0, error = 0, ulp = 0;
    int64_t       at = 0;
    if (!got) {
        fail_row(row, "no host memory");
        return;
    }
    check_from_type(raw, count, diffad_tensor_type(t), got);
    for (int64_t i = 0; i < count; i++)
        scale = isfinite(want[i]) ? fmax(scale, fabs(want[i])) : scale;
    for (int64_t i = 0; i < count; i++) {
        const bool   equal = got[i] == want[i] || (isnan(got[i]) && isnan(want[i]));      /* infinities too */
        const double d = equal ? 0 : fabs(got[i] - want[i]);
        if (!(d <= worst)) {
            worst = isnan(d) ? INFINITY : d;
            at    = i;
        }
        square += isfinite(want[i]) ? want[i] * want[i] : 0;
        error += d * d;
        if (isfinite(want[i]) && fabs(want[i]) > 1e-30)
            ulp = fmax(ulp, d / ldexp(1.0, (int)floor(log2(fabs(want[i]))) - 23));
    }
    const double relative = scale > 0 ? worst / scale : worst;
    row->error = fmax(row->error, relative);
    row->nmse  = fmax(row->nmse, square > 0 ? error / square : error);
    row->ulp   = fmax(row->ulp, ulp);
    if (!(relative <= row->tol))
        fail_row(row, "result %d: expected %.9g got %.9g at %lld, error %.2e of the largest value, allowed %.2e", k, want[at], got[at],
                 (long long)at, relative, row->tol);
    diffad_release(got);
}

static diffad_status run_reference(run *r)
{
    r->ref.n = &r->node;
    r->node  = (diffad_node){ .op = r->op, .attr = r->c->attr, .n_in = r->op->n_in };
    static const char zeros[1024];
    if (r->op->attr_size && !r->node.attr && r->op->attr_size <= sizeof zeros)
        r->node.attr = zeros;
    static _Thread_local diffad_value values[DIFFAD_MAX_IN + DIFFAD_MAX_OUT];
    for (int i = 0; i < r->op->n_in; i++)
        if (!check_is_absent(r->op, r->c, i)) {
            values[i]     = (diffad_value){ .type = check_type(r->op, r->c, i), .shape = check_shape(r->op, r->c, i) };
            r->node.in[i] = &values[i];
            r->ref.in[i]  = r->data[i];
        }
    for (int k = 0; k < r->op->n_out; k++) {
        diffad_value *v = &values[DIFFAD_MAX_IN + k];
        *v = (diffad_value){ .type = diffad_val_type(r->g, r->y[k]), .shape = *diffad_val_shape(r->g, r->y[k]) };
        r->node.out[k] = v;
        if (!(r->ref.out[k] = diffad_alloc_array((size_t)diffad_numel(v), sizeof(double))))
            return diffad_fail(DIFFAD_ERR_MEMORY, "selftest: no host memory");
    }
    r->op->ref(&r->ref);
    return DIFFAD_OK;
}

static bool used_way(const run *r, const char *way)
{
    char *ways = diffad_plan_ways(r->plan), want[128];
    snprintf(want, sizeof want, "%s:%s", r->op->name, way);
    const char *found = ways ? strstr(ways, want) : NULL;
    const bool  ok    = r->op->is_alias || (found && (found[strlen(want)] == '\0' || found[strlen(want)] == ','));
    diffad_memory_release(ways);
    return ok;
}

/* Two runs from the same inputs must agree in every bit; the first is compared with the reference. */
static diffad_status run_twice(run *r, diffad_check_row *row)
{
    void  *first[DIFFAD_MAX_IN + DIFFAD_MAX_OUT] = { 0 };
    size_t bytes = 0;
    bool   ok = true;
    diffad_status st = DIFFAD_OK;
    const int n = r->op->n_out + DIFFAD_MAX_IN;
    for (int pass = 0; pass < 2 && st == DIFFAD_OK; pass++) {
        DIFFAD_GOTO(done, write_inputs(r));
        DIFFAD_GOTO(done, diffad_plan_run(r->plan));
        DIFFAD_GOTO(done, diffad_device_wait(diffad_plan_device(r->plan)));
        for (int k = 0; k < n; k++) {
            const diffad_tensor *t = result(r, k);
            void *raw = t ? read_raw(t, &bytes) : NULL;
            if (t && !raw)
                fail_row(row, "result %d cannot be read: %s", k, diffad_error_detail());
            if (pass == 0) {
                first[k] = raw;
                continue;
            }
            if (raw && first[k] && memcmp(raw, first[k], bytes) != 0)
                fail_row(row, "result %d: two runs differ", k);
            diffad_release(raw);
        }
    }
    DIFFAD_GOTO(done, run_reference(r));       /* after the runs: it changes written inputs in place */
    for (int k = 0; k < n; k++)
        if (first[k])
            compare(row, k < r->op->n_out ? r->ref.out[k] : r->data[k - r->op->n_out], first[k], result(r, k), k);
    DIFFAD_GOTO(done, diffad_plan_check_guards(r->plan, &ok, row->why, sizeof row->why));
    if (!ok)
        row->result = DIFFAD_CHECK_FAIL;
    char where[128] = "";
    DIFFAD_GOTO(done, diffad_plan_check_lanes(r->plan, &ok, where, sizeof where));
    if (!ok)
        fail_row(row, "padding lanes are not zero: %s", where);
done:
    for (int k = 0; k < n; k++)
        diffad_release(first[k]);
    return st;
}

static void check_case(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, const char *way, bool blocked, diffad_check_row *row)
{
    run  r = { .op = op, .c = c };
    char forced[128];
    snprintf(forced, sizeof forced, "%s=%s", op->name, way);
    const diffad_plan_options options = { .ways = forced, .guard = true };
    diffad_status st = build_graph(&r, dev, blocked);
    for (int i = 0; i < op->n_in && st == DIFFAD_OK; i++)
        if (!check_is_absent(op, c, i) && !(r.data[i] = check_data(op, c, i, 0)))
            st = diffad_fail(DIFFAD_ERR_MEMORY, "selftest: no host memory");
    if (st == DIFFAD_OK)
        st = diffad_plan_create(dev, r.g, &options, &r.plan);
    if (st == DIFFAD_OK && !used_way(&r, way)) {
        row->result = DIFFAD_CHECK_SKIP;
        snprintf(row->why, sizeof row->why, "the way does not fit this case");
    } else if (st == DIFFAD_OK) {
        st = run_twice(&r, row);
    }
    if (st != DIFFAD_OK)
        fail_row(row, "%s", diffad_error_detail());
    diffad_plan_destroy(r.plan);
    diffad_graph_destroy(r.g);
    for (int i = 0; i < DIFFAD_MAX_IN; i++) {
        diffad_tensor_destroy(r.bound[i]);
        diffad_release(r.data[i]);
    }
    for (int k = 0; k < DIFFAD_MAX_OUT; k++)
        diffad_release(r.ref.out[k]);
}

static bool has_maps(const diffad_op *op, const diffad_op_case *c)
{
    for (int i = 0; i < op->n_in; i++)
        if (diffad_in_mask(op, op->maps_in, i) && !check_is_absent(op, c, i) && check_shape(op, c, i).rank == 4)
            return true;
    return false;
}

/* A way that rounds its operands is as much looser in a case as the case is than the op. */
static double tolerance(const diffad_op *op, const diffad_op_case *c, const diffad_way *way)
{
    return (c->tol > 0 ? c->tol : op->tol) * (way->tol > 0 ? way->tol / op->tol : 1);
}

static void check_ways(diffad_device *dev, const diffad_op *op, const diffad_op_case *c, diffad_check_fn fn, void *user)
{
    static const diffad_way alias = { .name = "alias" };
    const int n_ways = op->is_alias ? 1 : op->n_ways;
    for (int w = 0; w < n_ways; w++) {
        const diffad_way *way = op->is_alias ? &alias : &op->ways[w];
        for (int blocked = 0; blocked < 2; blocked++) {
            if (blocked && (diffad_device_caps(dev)->block <= 1 || !has_maps(op, c)))
                continue;
            diffad_check_row row = { .op = op->name, .way = way->name, .name = c->name, .layout = blocked ? "blocked" : "plain",
                                     .tol = tolerance(op, c, way) };
            check_case(dev, op, c, way->name, blocked, &row);
            fn(user, &row);
        }
    }
}

/* ---- the first use of a precision ---- */

enum { TRIALS = 2, LEAST_VALUES = 500 };      /* cases of an op that are tried, values of the input of each at least */

static void try_way(diffad_device *dev, const diffad_op *op, const diffad_way *way, diffad_check_row *bad)
{
    int tried = 0;
    for (int k = 0; k < op->n_cases && tried < TRIALS && bad->result != DIFFAD_CHECK_FAIL; k++) {
        const diffad_op_case *c = &op->cases[k];
        if (c->bench || diffad_shape_count(&c->in[0]) < LEAST_VALUES)
            continue;
        *bad = (diffad_check_row){ .op = op->name, .way = way->name, .name = c->name, .tol = tolerance(op, c, way) };
        check_case(dev, op, c, way->name, false, bad);
        tried += bad->result == DIFFAD_CHECK_PASS;
    }
}

diffad_status diffad_precision_allow(diffad_device *dev, diffad_precision precision)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    DIFFAD_TRY(diffad_device_set_precision(dev, precision));
    for (int i = 0; i < count && precision != DIFFAD_PRECISION_F32; i++)
        for (int w = 0; w < table[i]->n_ways; w++) {
            diffad_check_row bad = { .result = DIFFAD_CHECK_SKIP };
            if (table[i]->ways[w].precision == precision)
                try_way(dev, table[i], &table[i]->ways[w], &bad);
            if (bad.result != DIFFAD_CHECK_FAIL)
                continue;
            dev->caps.precision = DIFFAD_PRECISION_F32;
            DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "precision %s: %s fails its first comparison on %s, case %s: %s: use f32",
                        diffad_precision_name(precision), bad.op, dev->caps.name, bad.name, bad.why);
        }
    return diffad_device_wait(dev);
}

diffad_status diffad_check_ops(diffad_device *dev, const char *only, bool quick, diffad_check_fn fn, void *user)
{
    int count;
    const diffad_op *const *table = diffad_op_table(&count);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < table[i]->n_cases; k++)
            if ((!only || strcmp(only, table[i]->name) == 0) && !(quick && table[i]->cases[k].bench))
                check_ways(dev, table[i], &table[i]->cases[k], fn, user);
    return diffad_device_wait(dev);
}
