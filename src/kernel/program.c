/* program.c: builds programs through the memory cache and the disk cache. */
#include "kernel/program.h"
#include "base/hash.h"
#include "base/sys.h"

#include <stdio.h>
#include <string.h>

struct diffad_program {
    diffad_device  *dev;
    diffad_program *next;
    char           *key;           /* "file defines" */
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
        if (!dev->is_broken)
            diffad_cl.ReleaseProgram(p->program);
        dev->live--;
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

static diffad_status build(diffad_program *p, const char *file, const char *defines)
{
    char        options[2048];
    const char *extra = diffad_sys.getenv("DIFFAD_CL_FLAGS");
    diffad_text source = { 0 };
    diffad_status st = DIFFAD_OK;
    if (snprintf(options, sizeof options, "-cl-std=CL1.2 -w %s%s%s", defines, extra ? " " : "", extra ? extra : "") >=
        (int)sizeof options)
        DIFFAD_FAIL(DIFFAD_ERR_USAGE,
                    "kernel file %s.cl: the options are longer than %zu bytes: shorten DIFFAD_CL_FLAGS", file,
                    sizeof options);
    DIFFAD_GOTO(done, diffad_source_get(file, &source));
    DIFFAD_GOTO(done, digest_of(p->dev, source.s, options, p->digest));
    if (build_from_disk(p, options)) {
        p->dev->programs->stats.from_disk++;
        goto done;
    }
    cl_int      code;
    const char *text = source.s;
    cl_program  program = diffad_cl.CreateProgramWithSource(p->dev->context, 1, &text, NULL, &code);
    DIFFAD_GOTO(done, diffad_device_check(p->dev, code, "create program"));
    code = diffad_cl.BuildProgram(program, 1, &p->dev->id, options, NULL, NULL);
    if (code != CL_SUCCESS) {
        st = fail_build(p, program, code, file);
        if (!p->dev->is_broken)
            diffad_cl.ReleaseProgram(program);
        goto done;
    }
    p->program = program;
    p->dev->programs->stats.built++;
done:
    diffad_text_release(&source);
    return st;
}

diffad_status diffad_program_get(diffad_device *dev, const char *file, const char *defines, diffad_program **out)
{
    char key[1280];
    if (!dev->programs) {
        if (!(dev->programs = diffad_alloc(sizeof *dev->programs)))
            DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "kernel %s: no host memory", file);
        dev->release_programs = release_all;
    }
    if (snprintf(key, sizeof key, "%s %s", file, defines) >= (int)sizeof key)
        DIFFAD_FAIL(DIFFAD_ERR_INTERNAL, "kernel %s: too many constants", file);
    for (diffad_program *p = dev->programs->first; p; p = p->next)
        if (strcmp(p->key, key) == 0) {
            *out = p;
            return DIFFAD_OK;
        }
    diffad_program *p = diffad_alloc(sizeof *p);
    if (!p || !(p->key = diffad_strdup(key))) {
        diffad_release(p);
        DIFFAD_FAIL(DIFFAD_ERR_MEMORY, "kernel %s: no host memory", file);
    }
    p->dev = dev;
    const uint64_t start = diffad_sys.monotonic_ns();
    const diffad_status st = build(p, file, defines);
    const uint64_t ns = diffad_sys.monotonic_ns() - start;
    dev->programs->stats.build_ns += ns;
    diffad_log(DIFFAD_LOG_DEBUG, "program %s: %s in %.1f ms", key,
               st != DIFFAD_OK ? "failed" : p->is_stored ? "from the disk" : "built", (double)ns * 1e-6);
    if (st != DIFFAD_OK) {
        diffad_release(p->key);
        diffad_release(p);
        return st;
    }
    dev->live++;
    p->next = dev->programs->first;
    dev->programs->first = p;
    *out = p;
    return DIFFAD_OK;
}

diffad_status diffad_program_kernel(diffad_program *p, const char *kernel, cl_kernel *out)
{
    cl_int    code;
    cl_kernel k = diffad_cl.CreateKernel(p->program, kernel, &code);
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
    if (p->is_stored || p->dev->is_broken)
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
    diffad_log(DIFFAD_LOG_DEBUG, "program %s: kept, %zu bytes in %.1f ms", p->key, bytes, (double)(diffad_sys.monotonic_ns() - start) * 1e-6);
}

diffad_program_stats diffad_program_statistics(const diffad_device *dev)
{
    return dev->programs ? dev->programs->stats : (diffad_program_stats){ 0 };
}
