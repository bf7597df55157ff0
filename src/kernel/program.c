/* program.c: builds programs through the memory cache and the disk cache. */
#include "kernel/program.h"
#include "base/hash.h"
#include "base/sys.h"
#include "kernel/bundle.h"

#include <stdio.h>
#include <string.h>

/* So many programs are compiled as one from that number on. */
enum { BUNDLE_FROM = 4, KEY_BYTES = 1280 };

struct diffad_program {
    diffad_device  *dev;
    diffad_program *next;
    char           *key;           /* "file defines" */
    diffad_program *owner;         /* of the bundle that this is a part of; NULL: it is its own */
    int             part;          /* number in the bundle */
    char            digest[33];
    cl_program      program;
    bool            is_stored;
};

struct diffad_program_cache {
    diffad_program      *first;
    diffad_program_stats stats;
};

static void release_all(diffad_device *dev)
{
    diffad_program *p = dev->programs ? dev->programs->first : NULL;
    while (p) {
        diffad_program *next = p->next;
        if (!p->owner) {
            if (!dev->is_broken)
                diffad_cl.ReleaseProgram(p->program);
            dev->live--;
        }
        diffad_release(p->key);
        diffad_release(p);
        p = next;
    }
    diffad_release(dev->programs);
    dev->programs = NULL;
}

static diffad_status digest_of(const diffad_device *dev, const char *source, const char *options, char hex[33])
{
    diffad_hasher *h = diffad_hasher_new();
    if (!h)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "kernel cache: no host memory");
    const char *parts[] = {
        source, options, dev->caps.name, dev->caps.driver, dev->caps.platform, dev->caps.version, DIFFAD_VERSION
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        diffad_hasher_add(h, parts[i], strlen(parts[i]) + 1);
    diffad_hasher_take128(h, hex);
    diffad_hasher_release(h);
    return DIFFAD_OK;
}

static diffad_status fail_build(diffad_program *p, cl_program program, cl_int code, const char *file)
{
    size_t n = 0;
    char  *log = NULL;
    const diffad_status st = diffad_device_check(p->dev, code, "build");
    if (!p->dev->is_broken &&
        diffad_cl.GetProgramBuildInfo(program, p->dev->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) == CL_SUCCESS && n &&
        n < (1u << 24) && (log = diffad_alloc(n + 1)) &&
        diffad_cl.GetProgramBuildInfo(program, p->dev->id, CL_PROGRAM_BUILD_LOG, n, log, NULL) != CL_SUCCESS)
        log[0] = '\0';
    diffad_fail_context(st, "kernel file %s.cl, constants %s", file, p->key + strlen(file) + 1);
    diffad_fail_log(log ? log : "");
    diffad_release(log);
    return st;
}

static bool build_from_disk(diffad_program *p, const char *options)
{
    size_t         bytes = 0;
    cl_int         code, each = 0;
    unsigned char *binary = diffad_cache_read(p->digest, &bytes);
    if (!binary)
        return false;
    const unsigned char *const_binary = binary;
    cl_program program =
        diffad_cl.CreateProgramWithBinary(p->dev->context, 1, &p->dev->id, &bytes, &const_binary, &each, &code);
    diffad_release(binary);
    if (code != CL_SUCCESS || each != CL_SUCCESS) {
        if (code == CL_SUCCESS)
            diffad_cl.ReleaseProgram(program);
        return false;
    }
    if (diffad_cl.BuildProgram(program, 1, &p->dev->id, options, NULL, NULL) != CL_SUCCESS) {
        diffad_cl.ReleaseProgram(program);
        return false;
    }
    p->program   = program;
    p->is_stored = true;
    return true;
}

/* Builds `text`, or takes it from the disk. */
static diffad_status build(diffad_program *p, const char *file, const char *text, const char *defines)
{
    char        options[2048];
    cl_int      code;
    const char *extra = diffad_sys.getenv("DIFFAD_CL_FLAGS");
    if (snprintf(options, sizeof options, "-cl-std=CL1.2 -w%s%s%s%s", *defines ? " " : "", defines, extra ? " " : "",
                 extra ? extra : "") >= (int)sizeof options)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE,
                    "kernel file %s.cl: the options are longer than %zu bytes: shorten DIFFAD_CL_FLAGS", file,
                    sizeof options);
    DIFFAD_TRY(digest_of(p->dev, text, options, p->digest));
    if (build_from_disk(p, options)) {
        p->dev->programs->stats.from_disk++;
        return DIFFAD_OK;
    }
    cl_program program = diffad_cl.CreateProgramWithSource(p->dev->context, 1, &text, NULL, &code);
    DIFFAD_TRY(diffad_device_check(p->dev, code, "create program"));
    code = diffad_cl.BuildProgram(program, 1, &p->dev->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        const diffad_status st = fail_build(p, program, code, file);
        if (!p->dev->is_broken)
            diffad_cl.ReleaseProgram(program);
        return st;
    }
    p->program = program;
    p->dev->programs->stats.built++;
    return DIFFAD_OK;
}

/* Builds with time and log. */
static diffad_status build_timed(diffad_program *p, const char *file, const char *text, const char *defines)
{
    const uint64_t      start = diffad_sys.monotonic_ns();
    const diffad_status st = build(p, file, text, defines);
    const uint64_t      ns = diffad_sys.monotonic_ns() - start;
    p->dev->programs->stats.build_ns += ns;
    diffad_log(DIFFAD_LOG_DEBUG, "program %s: %s in %.1f ms", p->key,
               st != DIFFAD_OK ? "failed" : p->is_stored ? "from the disk" : "built", (double)ns * 1e-6);
    return st;
}

static diffad_status open_cache(diffad_device *dev)
{
    if (!dev->programs) {
        if (!(dev->programs = diffad_alloc(sizeof *dev->programs)))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "kernel cache: no host memory");
        dev->release_programs = release_all;
    }
    return DIFFAD_OK;
}

static diffad_program *find(const diffad_device *dev, const char *key)
{
    for (diffad_program *p = dev->programs ? dev->programs->first : NULL; p; p = p->next)
        if (strcmp(p->key, key) == 0)
            return p;
    return NULL;
}

static diffad_program *new_program(diffad_device *dev, const char *key)
{
    diffad_program *p = diffad_alloc(sizeof *p);
    if (p && !(p->key = diffad_strdup(key))) {
        diffad_release(p);
        p = NULL;
    }
    if (p)
        p->dev = dev;
    return p;
}

static void forget(diffad_program *p)
{
    diffad_release(p->key);
    diffad_release(p);
}

static void keep(diffad_program *p)
{
    p->dev->live += !p->owner;
    p->next = p->dev->programs->first;
    p->dev->programs->first = p;
}

static diffad_status make_key(const char *file, const char *defines, char *key, size_t bytes)
{
    if (snprintf(key, bytes, "%s %s", file, defines) >= (int)bytes)
        DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "kernel %s: too many constants", file);
    return DIFFAD_OK;
}

diffad_status diffad_program_get(diffad_device *dev, const char *file, const char *defines, diffad_program **out)
{
    char        key[KEY_BYTES];
    diffad_text source = { 0 };
    DIFFAD_TRY(open_cache(dev));
    DIFFAD_TRY(make_key(file, defines, key, sizeof key));
    diffad_program *p = find(dev, key);
    if (p) {
        *out = p;
        return DIFFAD_OK;
    }
    if (!(p = new_program(dev, key)))
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "kernel %s: no host memory", file);
    diffad_status st = diffad_source_get(file, &source);
    if (st == DIFFAD_OK)
        st = build_timed(p, file, source.s, defines);
    diffad_text_release(&source);
    if (st != DIFFAD_OK) {
        forget(p);
        return st;
    }
    keep(p);
    *out = p;
    return DIFFAD_OK;
}

/* ---- bundles ---- */

void diffad_program_wish(diffad_device *dev, diffad_program_list *list, const char *file, const char *defines)
{
    char key[KEY_BYTES];
    if (dev->caps.kind != DIFFAD_DEVICE_CPU || make_key(file, defines, key, sizeof key) != DIFFAD_OK ||
        find(dev, key))
        return;
    for (int64_t i = 0; i < list->count; i++)
        if (strcmp(list->key[i], key) == 0)
            return;
    if (diffad_grow(&list->key, list->count, &list->cap, sizeof *list->key) &&
        (list->key[list->count] = diffad_strdup(key)))
        list->count++;
}

static diffad_status add_parts(const diffad_program_list *list, diffad_text *text)
{
    for (int64_t i = 0; i < list->count; i++) {
        char        file[KEY_BYTES];
        const char *key = list->key[i];
        snprintf(file, sizeof file, "%.*s", (int)strcspn(key, " "), key);
        DIFFAD_TRY(diffad_bundle_add(file, key + strlen(file) + 1, (int)i, text));
    }
    return DIFFAD_OK;
}

static void keep_parts(diffad_program *owner, const diffad_program_list *list)
{
    keep(owner);
    for (int64_t i = 0; i < list->count; i++) {
        diffad_program *p = new_program(owner->dev, list->key[i]);
        if (!p)
            return;
        p->owner = owner;
        p->part  = (int)i;
        keep(p);
    }
}

static diffad_status build_bundle(diffad_device *dev, const diffad_program_list *list, diffad_text *text)
{
    char key[KEY_BYTES];
    snprintf(key, sizeof key, "bundle of %lld from %s", (long long)list->count, list->key[0]);
    DIFFAD_TRY(open_cache(dev));
    DIFFAD_TRY(add_parts(list, text));
    diffad_program *owner = new_program(dev, key);
    if (!owner)
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "kernel cache: no host memory");
    const diffad_status st = build_timed(owner, "bundle", text->s, "");
    if (st == DIFFAD_OK)
        keep_parts(owner, list);
    else
        forget(owner);
    return st;
}

diffad_status diffad_program_bundle(diffad_device *dev, diffad_program_list *list)
{
    diffad_text         text = { 0 };
    const diffad_status st = list->count < BUNDLE_FROM ? DIFFAD_OK : build_bundle(dev, list, &text);
    diffad_text_release(&text);
    for (int64_t i = 0; i < list->count; i++)
        diffad_release(list->key[i]);
    diffad_release(list->key);
    *list = (diffad_program_list){ .count = 0 };
    return dev->is_broken ? st : DIFFAD_OK;
}

diffad_status diffad_program_kernel(diffad_program *p, const char *kernel, cl_kernel *out)
{
    cl_int code;
    char   name[128];
    snprintf(name, sizeof name, p->owner ? "%s_%d" : "%s", kernel, p->part);
    cl_kernel k = diffad_cl.CreateKernel(p->owner ? p->owner->program : p->program, name, &code);
    if (code != CL_SUCCESS) {
        const diffad_status st = diffad_device_check(p->dev, code, "create kernel");
        return diffad_fail_context(st, "kernel %s of %s", kernel, p->key);
    }
    p->dev->live++;
    *out = k;
    return DIFFAD_OK;
}

void diffad_program_store(diffad_program *p)
{
    p = p->owner ? p->owner : p;
    if (p->is_stored || p->dev->is_broken || p->dev->caps.caches_programs)
        return;
    p->is_stored = true;
    const uint64_t start = diffad_sys.monotonic_ns();
    char *folder = diffad_cache_folder();
    if (!folder)
        return;
    diffad_release(folder);
    size_t bytes = 0;
    if (diffad_cl.GetProgramInfo(p->program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) != CL_SUCCESS ||
        bytes == 0 || bytes > (256u << 20))
        return;
    unsigned char *binary = diffad_alloc(bytes);
    if (binary && diffad_cl.GetProgramInfo(p->program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        diffad_cache_write(p->digest, binary, bytes);
    diffad_release(binary);
    diffad_log(DIFFAD_LOG_DEBUG, "program %s: kept, %zu bytes in %.1f ms", p->key, bytes,
               (double)(diffad_sys.monotonic_ns() - start) * 1e-6);
}

diffad_program_stats diffad_program_statistics(const diffad_device *dev)
{
    return dev->programs ? dev->programs->stats : (diffad_program_stats){ 0 };
}
