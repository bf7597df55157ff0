/* cmd_doctor.c: `diffad doctor`: why is there no device, or the wrong one, and the one command that mends it.
 *
 * Checks go from the driver's registration to a device that computes; the first fault gives the remedy. */
#include "base/file.h"
#include "base/sys.h"
#include "cli.h"
#include "diffad/selftest.h"
#include "kernel/program.h"
#include "kernel/tuned.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINES = 48, LIST_MS = 60000, TRY_MS = 120000 };

typedef enum verdict { OK, NOTE, FAULT } verdict;
typedef struct line { verdict verdict; char what[64], text[512]; } line;

typedef struct exam {
    const cli *c;
    line       line[MAX_LINES];
    int        count;
    char       remedy[512];          /* of the first fault */
    int        drivers;              /* files that name a driver which is there */
    bool       has_gpu_node, is_gpu_open;
} exam;

static void report(exam *e, verdict v, const char *what, const char *format, ...) __attribute__((format(printf, 4, 5)));
#include <stdarg.h>
static void report(exam *e, verdict v, const char *what, const char *format, ...)
{
    va_list args;
    if (e->count == MAX_LINES)
        return;
    line *l = &e->line[e->count++];
    l->verdict = v;
    snprintf(l->what, sizeof l->what, "%s", what);
    va_start(args, format);
    diffad_vformat(l->text, sizeof l->text, format, args);
    va_end(args);
}

static void mend(exam *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void mend(exam *e, const char *format, ...)
{
    va_list args;
    if (e->remedy[0])
        return;
    va_start(args, format);
    diffad_vformat(e->remedy, sizeof e->remedy, format, args);
    va_end(args);
}

static const char *as_root(void) { return geteuid() == 0 ? "" : "sudo "; }

/* ---- registration: .icd files and the libraries that they name ---- */

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

static const char *const library_folders[] = { "/usr/lib/x86_64-linux-gnu",
                                               "/usr/lib/aarch64-linux-gnu",
                                               "/usr/lib64",
                                               "/usr/lib",
                                               "/usr/local/lib",
                                               "/usr/local/cuda/lib64",
                                               "/opt/rocm/lib",
                                               "/opt/rocm/opencl/lib" };

static bool find_library(const char *name, char *where, size_t bytes)
{
    if (strchr(name, '/')) {
        snprintf(where, bytes, "%s", name);
        return diffad_path_exists(name);
    }
    for (size_t i = 0; i < sizeof library_folders / sizeof library_folders[0]; i++) {
        snprintf(where, bytes, "%s/%s", library_folders[i], name);
        if (diffad_path_exists(where))
            return true;
    }
    snprintf(where, bytes, "%s", name);
    return false;
}

static void check_icd_file(exam *e, const char *folder, const char *name)
{
    unsigned char *text = NULL;
    int64_t        bytes;
    char           where[512], *path = diffad_path_join(folder, name);
    if (path && diffad_file_read(path, 4096, DIFFAD_ERR_FILE, &text, &bytes) == DIFFAD_OK) {
        char *library = (char *)text;
        library[strcspn(library, "\r\n \t")] = '\0';
        if (find_library(library, where, sizeof where)) {
            report(e, OK, "driver", "%s: %s", name, where);
            e->drivers++;
        } else {
            report(e, FAULT, "driver", "%s names %s, which is in no usual library folder", path, library);
            mend(e, "%srm %s      # or install the package that %s belongs to", as_root(), path, library);
        }
    } else {
        report(e, FAULT, "driver", "%s cannot be read", path ? path : name);
    }
    diffad_release(text);
    diffad_release(path);
}

static void check_registration(exam *e)
{
    diffad_names names = { 0 };
    const char  *set    = diffad_sys.getenv("OCL_ICD_VENDORS"), *files = diffad_sys.getenv("OCL_ICD_FILENAMES");
    const char  *folder = set && *set ? set : "/etc/OpenCL/vendors";
    if (set)
        report(e, NOTE, "OCL_ICD_VENDORS", "%s: only what stands there is seen", set);
    if (files)
        report(e, NOTE, "OCL_ICD_FILENAMES", "%s", files);
    if (set && ends_with(set, ".icd")) {
        report(e, NOTE, "driver", "a single file is named");
        e->drivers++;
        return;
    }
    if (diffad_dir_list(folder, DIFFAD_ERR_FILE, &names) != DIFFAD_OK) {
        report(e, FAULT, "ICD folder", "%s is not there: no OpenCL driver is registered", folder);
        if (set)
            mend(e, "unset OCL_ICD_VENDORS");
        return;
    }
    int files_seen = 0;
    for (int64_t i = 0; i < names.count; i++)
        if (ends_with(names.name[i], ".icd")) {
            check_icd_file(e, folder, names.name[i]);
            files_seen++;
        }
    report(e, files_seen ? OK : FAULT, "ICD folder", "%s: %d driver%s registered", folder, files_seen,
           files_seen == 1 ? "" : "s");
    if (!files_seen && set)
        mend(e, "unset OCL_ICD_VENDORS");
    diffad_names_release(&names);
}

/* Libraries that are there although no .icd file names them: containers often hold the one without the other. */
static void check_vendors(exam *e)
{
    static const struct { const char *library, *icd, *vendor; } known[] = {
        { "libnvidia-opencl.so.1", "nvidia.icd", "NVIDIA" },
        { "libamdocl64.so", "amdocl64.icd", "AMD" },
        { "libpocl.so.2", "pocl.icd", "PoCL" },
        { "libigdrcl.so", "intel.icd", "Intel" },
        { "libRusticlOpenCL.so.1", "rusticl.icd", "Mesa rusticl" },
    };
    char where[512];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (find_library(known[i].library, where, sizeof where) && e->drivers == 0) {
            report(e, FAULT, "library", "%s: %s's driver is there, but no .icd file names it", where, known[i].vendor);
            mend(e, "%ssh -c 'mkdir -p /etc/OpenCL/vendors && echo %s > /etc/OpenCL/vendors/%s'", as_root(),
                 known[i].library, known[i].icd);
        }
}

/* ---- device nodes ---- */

static void check_node(exam *e, const char *path)
{
    e->has_gpu_node = true;
    if (access(path, R_OK | W_OK) == 0) {
        e->is_gpu_open = true;
        report(e, OK, "device node", "%s", path);
        return;
    }
    report(e, FAULT, "device node", "%s: no access; the user is not in the group that may use it", path);
    mend(e, "sudo usermod -a -G render,video %s      # then log in again",
         diffad_sys.getenv("USER") ? diffad_sys.getenv("USER") : "$USER");
}

static void check_nodes(exam *e)
{
    diffad_names names = { 0 };
    if (diffad_path_exists("/dev/nvidiactl"))
        check_node(e, "/dev/nvidiactl");
    if (diffad_path_exists("/dev/kfd"))
        check_node(e, "/dev/kfd");
    if (diffad_dir_list("/dev/dri", DIFFAD_ERR_FILE, &names) == DIFFAD_OK)
        for (int64_t i = 0; i < names.count; i++)
            if (strncmp(names.name[i], "renderD", 7) == 0) {
                char *path = diffad_path_join("/dev/dri", names.name[i]);
                if (path)
                    check_node(e, path);
                diffad_release(path);
            }
    diffad_names_release(&names);
    if (!e->has_gpu_node)
        report(e, NOTE, "device node", "no GPU node in /dev: only CPU devices can be there");
}

/* ---- environment, caches ---- */

static void check_environment(exam *e)
{
    static const char *const names[] = { "DIFFAD_DEVICE",          "DIFFAD_CAPS",    "DIFFAD_WAYS",    "DIFFAD_TUNED",   "DIFFAD_FUSE",
                                         "DIFFAD_CL_FLAGS",        "DIFFAD_CL_DIR",  "POCL_DEVICES",
                                         "POCL_MAX_PTHREAD_COUNT", "RUSTICL_ENABLE", "CUDA_VISIBLE_DEVICES",
                                         "ROCR_VISIBLE_DEVICES" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *v = diffad_sys.getenv(names[i]);
        if (v)
            report(e, NOTE, "environment", "%s=%s", names[i], v);
    }
    if (!diffad_sys.getenv("RUSTICL_ENABLE") && diffad_path_exists("/etc/OpenCL/vendors/rusticl.icd"))
        report(e, NOTE, "RUSTICL_ENABLE", "not set: rusticl shows no device without it (radeonsi, iris, llvmpipe)");
}

static bool is_writable(const char *folder)
{
    char probe[4096];
    if (diffad_make_dirs(folder) != DIFFAD_OK)
        return false;
    snprintf(probe, sizeof probe, "%s/.diffad-doctor-%ld", folder, (long)getpid());
    const bool ok = diffad_file_write(probe, "x", 1) == DIFFAD_OK;
    diffad_sys.unlink(probe);
    return ok;
}

static void check_caches(exam *e)
{
    char       *folder = diffad_cache_folder(), pocl[4096];
    const char *set = diffad_sys.getenv("POCL_CACHE_DIR"), *xdg = diffad_sys.getenv("XDG_CACHE_HOME"),
               *home = diffad_sys.getenv("HOME");
    if (!folder) {
        report(e, NOTE, "kernel cache", "switched off: every start compiles its kernels again");
    } else if (is_writable(folder)) {
        report(e, OK, "kernel cache", "%s", folder);
    } else {
        report(e, FAULT, "kernel cache", "%s cannot be written: every start compiles its kernels again", folder);
        mend(e, "%schown -R %ld %s", as_root(), (long)geteuid(), folder);
    }
    diffad_release(folder);
    if (set)
        snprintf(pocl, sizeof pocl, "%s", set);
    else
        snprintf(pocl, sizeof pocl, "%s%s/pocl", xdg ? xdg : home ? home : "/tmp", xdg || !home ? "" : "/.cache");
    if (!diffad_path_exists("/etc/OpenCL/vendors/pocl.icd"))
        return;
    if (is_writable(pocl)) {
        report(e, OK, "PoCL cache", "%s", pocl);
    } else {
        report(e, FAULT, "PoCL cache", "%s cannot be written: PoCL then loses its device, or ends the program", pocl);
        mend(e, "export POCL_CACHE_DIR=/tmp/pocl-%ld", (long)geteuid());
    }
}

/* ---- devices ---- */

typedef struct found { bool is_done; int count, failed; char name[300], why[512], tuned[32]; int64_t ways, shipped; } found;

static void on_row(void *user, const diffad_check_row *row)
{
    found *f = user;
    if (row->result == DIFFAD_CHECK_FAIL && !f->failed++)
        snprintf(f->why, sizeof f->why, "op %s: %s", row->op, row->why);
}

static void count_devices(void *user, void *result)
{
    found       *f = result;
    diffad_caps *list;
    (void)user;
    if (diffad_device_list(&list, &f->count) != DIFFAD_OK)
        snprintf(f->why, sizeof f->why, "%s", diffad_error_detail());
    f->is_done = true;
}

static void try_default(void *user, void *result)
{
    found         *f = result;
    diffad_device *dev;
    if (diffad_device_open(user, &dev) != DIFFAD_OK) {
        snprintf(f->why, sizeof f->why, "%s", diffad_error_detail());
        f->failed = 1;
    } else {
        const diffad_caps *c = diffad_device_caps(dev);
        snprintf(f->name, sizeof f->name, "%s %s (%s, driver %s)", c->id, c->name, c->platform, c->driver);
        const diffad_tuned *t = diffad_tuned_of(dev);
        f->ways    = diffad_tuned_count(t);
        f->shipped = diffad_tuned_shipped(t);
        snprintf(f->tuned, sizeof f->tuned, "%s", diffad_tuned_digest(t));
        if (diffad_check_ops(dev, "add", true, on_row, f) != DIFFAD_OK && !f->failed++)
            snprintf(f->why, sizeof f->why, "%s", diffad_error_detail());
        diffad_device_close(dev);
    }
    f->is_done = true;
}

static void report_tuned(exam *e, const found *f)
{
    char *path = diffad_tuned_path();
    if (f->ways)
        report(e, OK, "tuned ways", "%lld measured here (%s), %lld of this class of devices; digest %s", (long long)(f->ways - f->shipped),
               path ? path : "no file", (long long)f->shipped, f->tuned);
    else
        report(e, NOTE, "tuned ways", "none%s", path ? ": `diffad tune` measures what is fastest on this device" : ": switched off");
    diffad_release(path);
}

static bool check_devices(exam *e)
{
    found     f   = { .count = 0 };
    const int how = cli_in_child(count_devices, NULL, &f, sizeof f, LIST_MS);
    if (how != 0 || !f.is_done) {
        report(e, FAULT, "devices",
               how > 0 ? "a driver crashed while it was asked for devices" : "a driver does not answer");
        mend(e, "OCL_ICD_VENDORS=/etc/OpenCL/vendors/pocl.icd diffad devices      # one driver at a time finds the "
                "broken one");
        return false;
    }
    report(e, f.count ? OK : FAULT, "devices", "%d%s%s", f.count, f.why[0] ? ": " : "", f.why);
    if (!f.count) {
        if (e->drivers && diffad_path_exists("/etc/OpenCL/vendors/rusticl.icd") && !diffad_sys.getenv("RUSTICL_ENABLE"))
            mend(e, "export RUSTICL_ENABLE=radeonsi,iris,llvmpipe");
        mend(e, "%sapt-get install pocl-opencl-icd      # OpenCL on the CPU; a GPU's driver comes with its own package",
             as_root());
        return false;
    }
    found     t     = { .count = 0 };
    const int trial = cli_in_child(try_default, (void *)(uintptr_t)e->c->device, &t, sizeof t, TRY_MS);
    const bool works = trial == 0 && t.is_done && !t.failed;
    if (works)
        report(e, OK, "computes", "%s", t.name);
    else
        report(e, FAULT, "computes", "%s: %s", t.name[0] ? t.name : "the device",
               trial > 0   ? "its driver crashed"
               : trial < 0 ? "no answer"
                           : t.why);
    if (works)
        report_tuned(e, &t);
    if (!works)
        mend(e, "diffad devices      # and choose one that works with --device or DIFFAD_DEVICE");
    return works;
}

/* ---- the whole ---- */

static void print_json(const exam *e, bool works)
{
    static const char *const verdicts[] = { "ok", "note", "fault" };
    cli_json j = { .needs_comma = false };
    cli_json_open(&j, NULL, '{');
    cli_json_open(&j, "checks", '[');
    for (int i = 0; i < e->count; i++) {
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "check", e->line[i].what);
        cli_json_text(&j, "verdict", verdicts[e->line[i].verdict]);
        cli_json_text(&j, "text", e->line[i].text);
        cli_json_close(&j, '}');
    }
    cli_json_close(&j, ']');
    cli_json_bool(&j, "works", works);
    cli_json_text(&j, "remedy", e->remedy[0] ? e->remedy : NULL);
    cli_json_close(&j, '}');
    cli_json_print(&j);
}

static int run(cli *c)
{
    static exam e;
    e.c = c;
    check_registration(&e);
    check_vendors(&e);
    check_nodes(&e);
    check_environment(&e);
    check_caches(&e);
    const bool works = check_devices(&e);
    if (c->json) {
        print_json(&e, works);
    } else {
        static const char *const marks[] = { "ok   ", "     ", "FAULT" };
        for (int i = 0; i < e.count; i++)
            cli_out("%s %-18s %s\n", marks[e.line[i].verdict], e.line[i].what, e.line[i].text);
        if (e.remedy[0])
            cli_out("\nrun this:\n    %s\n", e.remedy);
        else
            cli_out("\nnothing to mend\n");
    }
    return works ? 0 : 5;
}

const cli_command cmd_doctor = {
    .name      = "doctor",
    .summary   = "looks for the cause when there is no device, or the wrong one",
    .arguments = "",
    .run       = run,
    .details = "From the driver's registration to a device that computes; prints the one command that mends the\n"
               "first fault. Exit code 5 when no device is usable.",
};
