/* verify.c: walks a folder of golden files and runs what each one's metadata describes. */
#include "api/verify_internal.h"
#include "base/file.h"

#include <stdio.h>
#include <string.h>

static const verify_kind *find_kind(const char *name)
{
    static const verify_kind *const tables[] = { verify_kinds_ops, verify_kinds_losses, verify_kinds_blocks,
                                                 verify_kinds_steps, verify_kinds_models, verify_kinds_pipeline,
                                                 verify_kinds_train, verify_kinds_curve, verify_kinds_host };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const verify_kind *k = tables[i]; k->name; k++)
            if (strcmp(k->name, name) == 0)
                return k;
    return NULL;
}

static diffad_status run_kind(verify_run *r, const verify_kind *kind)
{
    verify_net n;
    if (kind->run)
        return kind->run(r);
    DIFFAD_TRY(verify_net_begin(r, &n));
    kind->build(&n);
    const diffad_status st = verify_net_run(&n);
    verify_net_end(&n);
    return st;
}

static void report(verify_run *r, diffad_verify_result result, const char *why, diffad_verify_totals *totals)
{
    const diffad_verify_row row = { .file = r->name, .result = result, .tensor = r->worst, .error = r->worst_error,
                                    .tolerance = r->worst_tolerance, .tensors = r->compared, .why = why };
    totals->passed += result == DIFFAD_VERIFY_PASS;
    totals->failed += result == DIFFAD_VERIFY_FAIL;
    totals->unsupported += result == DIFFAD_VERIFY_UNSUPPORTED;
    if (r->options->row)
        r->options->row(r->options->user, &row);
}

static diffad_status run_file(verify_run *r, const char *path)
{
    DIFFAD_TRY(verify_open(r, path));
    const char        *name = diffad_file_metadata(r->file, "kind");
    const verify_kind *kind = name ? find_kind(name) : NULL;
    if (!name)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "no `kind` in the metadata");
    if (!kind)
        DIFFAD_FAIL(DIFFAD_ERR_UNSUPPORTED, "unknown kind \"%s\"", name);
    DIFFAD_TRY(run_kind(r, kind));
    verify_missing(r);
    if (!r->compared)
        verify_complain(r, "nothing was compared");
    return DIFFAD_OK;
}

static bool is_weights(const verify_run *r)
{
    const char *kind = r->file ? diffad_file_metadata(r->file, "kind") : NULL;
    return kind && strcmp(kind, "weights") == 0;
}

/* What goes wrong inside a file is that file's row. */
static diffad_status one_file(diffad_device *dev, const diffad_verify_options *o, const char *name,
                              diffad_verify_totals *totals)
{
    verify_run r    = { .dev = dev, .options = o, .name = name };
    char      *path = diffad_path_join(o->folder, name);
    if (!path)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "%s: no host memory", name);
    const diffad_status st = run_file(&r, path);
    if (st == DIFFAD_ERR_UNSUPPORTED && !is_weights(&r))
        report(&r, DIFFAD_VERIFY_UNSUPPORTED, diffad_error_detail(), totals);
    else if (st != DIFFAD_OK && !is_weights(&r))
        report(&r, DIFFAD_VERIFY_FAIL, diffad_error_detail(), totals);
    else if (st == DIFFAD_OK)
        report(&r, r.failed ? DIFFAD_VERIFY_FAIL : DIFFAD_VERIFY_PASS, r.why, totals);
    verify_close(&r);
    diffad_release(path);
    return DIFFAD_OK;
}

static bool wanted(const char *name, const char *only)
{
    static const char end[] = ".safetensors";
    const size_t      n = strlen(name), tail = strlen(end);
    if (n <= tail || strcmp(name + n - tail, end) != 0)
        return false;
    return !only || strcmp(name, only) == 0 || (strlen(only) == n - tail && strncmp(name, only, n - tail) == 0);
}

diffad_status diffad_verify(diffad_device *dev, const diffad_verify_options *o, diffad_verify_totals *totals)
{
    diffad_names         names;
    diffad_verify_totals t = { 0, 0, 0 };
    diffad_status        st = DIFFAD_OK;
    DIFFAD_TRY(diffad_dir_list(o->folder, DIFFAD_ERR_CHECKPOINT, &names));
    for (int64_t i = 0; i < names.count && st == DIFFAD_OK; i++)
        if (wanted(names.name[i], o->only))
            st = one_file(dev, o, names.name[i], &t);
    diffad_names_release(&names);
    DIFFAD_TRY(st);
    if (t.passed + t.failed + t.unsupported == 0)
        DIFFAD_FAIL(DIFFAD_ERR_CHECKPOINT,
                    "%s: no golden file%s%s; a golden file is a *.safetensors file with a `kind` in its metadata",
                    o->folder, o->only ? " " : "", o->only ? o->only : "");
    *totals = t;
    return DIFFAD_OK;
}
