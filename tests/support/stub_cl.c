/* stub_cl.c: an OpenCL without a driver: faults, objects, buffers, programs, launches. */
#include "support/stub_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAUNCHES = 1 << 16 };

typedef enum kind { CONTEXT = 0x5701, QUEUE, BUFFER, PROGRAM, KERNEL, EVENT, KINDS } kind;

/* Every object begins with its kind; a dead one keeps its memory until the end, so that its use is seen. */
typedef struct object {
    kind           kind;
    bool           is_dead;
    struct object *next;
    size_t         bytes;
    unsigned char *data;        /* of a buffer; source of a program; name of a kernel */
    struct object *of;          /* program of a kernel */
} object;

static object     *objects;
static int64_t     live, live_events, calls[STUB_CALLS + 1];
static int         misuses;
static char        misuse[200], options[2048];
static const char *build_log;
static void      (*hook)(stub_call call);

static stub_call fault_call, met_call;
static int       countdown;
static bool      is_lasting, is_met;
static cl_int    fault_code;

static stub_launch launches[MAX_LAUNCHES];
static int         n_launches;

/* ---- control ---- */

#define NAME(name) "cl" #name,
static const char *const names[] = { DIFFAD_CL_FUNCTIONS(NAME) };
#undef NAME

const char *stub_call_name(stub_call call) { return call < STUB_CALLS ? names[call] : "any call"; }

void stub_fail(stub_call call, int n, bool lasting, cl_int code)
{
    fault_call = call;
    countdown  = n;
    is_lasting = lasting;
    is_met     = false;
    fault_code = code;
}

void        stub_fail_never(void) { countdown = 0; }
bool        stub_met(void) { return is_met; }
const char *stub_met_name(void) { return is_met ? names[met_call] : ""; }
void        stub_build_fails(const char *log) { build_log = log; }
void        stub_before(void (*fn)(stub_call call)) { hook = fn; }
int64_t     stub_live(void) { return live; }
int64_t     stub_live_events(void) { return live_events; }
int         stub_misuses(void) { return misuses; }
const char *stub_misuse(void) { return misuse; }
int64_t     stub_count(stub_call call) { return calls[call]; }
int         stub_launches(void) { return n_launches; }
const stub_launch *stub_launch_at(int i) { return &launches[i]; }
const char *stub_last_options(void) { return options; }

/* In a bundle a kernel has a number behind its name. */
static bool is_named(const char *found, const char *kernel)
{
    const size_t n = strlen(kernel);
    return strncmp(found, kernel, n) == 0 &&
           (!found[n] || (found[n] == '_' && found[n + 1 + strspn(found + n + 1, "0123456789")] == '\0'));
}

int stub_launches_of(const char *kernel)
{
    int n = 0;
    for (int i = 0; i < n_launches; i++)
        n += is_named(launches[i].kernel, kernel);
    return n;
}

void stub_reset(void)
{
    for (object *o = objects; o && live == 0; o = objects) {
        objects = o->next;
        free(o);
    }
    memset(calls, 0, sizeof calls);
    n_launches = 0;
    countdown  = 0;
    is_met     = false;
    misuses    = 0;
    build_log  = NULL;
    hook       = NULL;
}

/* ---- what every entry does first ---- */

static void complain(const char *what, stub_call call)
{
    misuses++;
    snprintf(misuse, sizeof misuse, "%s: %s", names[call], what);
}

cl_int stub_enter(stub_call call)
{
    calls[call]++;
    calls[STUB_ANY]++;
    if (hook)
        hook(call);
    if (countdown == 0 || (fault_call != STUB_ANY && fault_call != call))
        return CL_SUCCESS;
    if (countdown > 1) {
        countdown--;
        return CL_SUCCESS;
    }
    if (!is_lasting)
        countdown = 0;
    if (!is_met)
        met_call = call;
    is_met = true;
    return fault_code;
}

static bool is_alive(const void *handle, kind k, stub_call call)
{
    const object *o = handle;
    if (o && o->kind == k && !o->is_dead)
        return true;
    complain(o ? "a dead object, or one of another kind" : "a NULL object", call);
    return false;
}

static object *make(kind k, size_t bytes, const void *data)
{
    object *o = calloc(1, sizeof *o);
    o->kind  = k;
    o->bytes = bytes;
    o->data  = calloc(1, bytes + 1);
    if (!o->data) {
        free(o);
        return NULL;
    }
    if (data)
        memcpy(o->data, data, bytes);
    else
        memset(o->data, 0xA5, bytes);       /* fresh memory is not zero */
    o->next = objects;
    objects = o;
    live++;
    live_events += k == EVENT;
    return o;
}

static void *answer(object *o, cl_int code, cl_int *out)
{
    if (out)
        *out = code;
    return o;
}

static cl_int drop(void *handle, kind k, stub_call call)
{
    const cl_int code = stub_enter(call);
    object      *o    = handle;
    if (!is_alive(o, k, call))
        return CL_INVALID_VALUE;
    o->is_dead = true;
    free(o->data);
    o->data = NULL;
    live--;
    live_events -= k == EVENT;
    return code;
}

/* ---- context, queue, buffers ---- */

static cl_context CL_API_CALL stub_CreateContext(const cl_context_properties *p, cl_uint n, const cl_device_id *ids,
                                                 void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *),
                                                 void *user, cl_int *out)
{
    const cl_int code = stub_enter(STUB_CreateContext);
    (void)p, (void)n, (void)ids, (void)notify, (void)user;
    return answer(code == CL_SUCCESS ? make(CONTEXT, 0, NULL) : NULL, code, out);
}

static cl_int CL_API_CALL stub_ReleaseContext(cl_context c) { return drop(c, CONTEXT, STUB_ReleaseContext); }

static cl_command_queue CL_API_CALL stub_CreateCommandQueue(cl_context c, cl_device_id id,
                                                            cl_command_queue_properties p, cl_int *out)
{
    const cl_int code = stub_enter(STUB_CreateCommandQueue);
    (void)id, (void)p;
    is_alive(c, CONTEXT, STUB_CreateCommandQueue);
    return answer(code == CL_SUCCESS ? make(QUEUE, 0, NULL) : NULL, code, out);
}

static cl_int CL_API_CALL stub_ReleaseCommandQueue(cl_command_queue q)
{
    return drop(q, QUEUE, STUB_ReleaseCommandQueue);
}

static cl_mem CL_API_CALL stub_CreateBuffer(cl_context c, cl_mem_flags flags, size_t bytes, void *host, cl_int *out)
{
    const cl_int code = stub_enter(STUB_CreateBuffer);
    (void)flags, (void)host;
    is_alive(c, CONTEXT, STUB_CreateBuffer);
    object *o = code == CL_SUCCESS && bytes < (size_t)1 << 40 ? make(BUFFER, bytes, NULL) : NULL;
    return answer(o, code == CL_SUCCESS && !o ? CL_MEM_OBJECT_ALLOCATION_FAILURE : code, out);
}

static cl_int CL_API_CALL stub_ReleaseMemObject(cl_mem m) { return drop(m, BUFFER, STUB_ReleaseMemObject); }

/* A range of a buffer, or NULL. */
static unsigned char *range(cl_mem m, size_t offset, size_t bytes, stub_call call)
{
    object *o = (object *)m;
    if (!is_alive(o, BUFFER, call))
        return NULL;
    if (bytes == 0 || offset > o->bytes || bytes > o->bytes - offset) {
        complain("a range out of bounds", call);
        return NULL;
    }
    return o->data + offset;
}

static cl_int finish(cl_command_queue q, stub_call call, cl_event *event)
{
    if (!is_alive(q, QUEUE, call))
        return CL_INVALID_COMMAND_QUEUE;
    if (event)
        *event = (cl_event)make(EVENT, 0, NULL);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL stub_EnqueueWriteBuffer(cl_command_queue q, cl_mem m, cl_bool wait, size_t offset,
                                                  size_t bytes, const void *from, cl_uint n, const cl_event *list,
                                                  cl_event *event)
{
    const cl_int   code = stub_enter(STUB_EnqueueWriteBuffer);
    unsigned char *to   = code == CL_SUCCESS ? range(m, offset, bytes, STUB_EnqueueWriteBuffer) : NULL;
    (void)wait, (void)n, (void)list;
    if (to)
        memcpy(to, from, bytes);
    return code != CL_SUCCESS ? code : to ? finish(q, STUB_EnqueueWriteBuffer, event) : CL_INVALID_VALUE;
}

static cl_int CL_API_CALL stub_EnqueueReadBuffer(cl_command_queue q, cl_mem m, cl_bool wait, size_t offset,
                                                 size_t bytes, void *to, cl_uint n, const cl_event *list,
                                                 cl_event *event)
{
    const cl_int         code = stub_enter(STUB_EnqueueReadBuffer);
    const unsigned char *from = code == CL_SUCCESS ? range(m, offset, bytes, STUB_EnqueueReadBuffer) : NULL;
    (void)wait, (void)n, (void)list;
    if (from)
        memcpy(to, from, bytes);
    return code != CL_SUCCESS ? code : from ? finish(q, STUB_EnqueueReadBuffer, event) : CL_INVALID_VALUE;
}

static cl_int CL_API_CALL stub_EnqueueCopyBuffer(cl_command_queue q, cl_mem a, cl_mem b, size_t from, size_t to,
                                                 size_t bytes, cl_uint n, const cl_event *list, cl_event *event)
{
    const cl_int code = stub_enter(STUB_EnqueueCopyBuffer);
    (void)n, (void)list;
    if (code != CL_SUCCESS)
        return code;
    const unsigned char *x = range(a, from, bytes, STUB_EnqueueCopyBuffer);
    unsigned char       *y = range(b, to, bytes, STUB_EnqueueCopyBuffer);
    if (!x || !y)
        return CL_INVALID_VALUE;
    if (a == b && (from < to ? to - from : from - to) < bytes) {
        complain("ranges overlap", STUB_EnqueueCopyBuffer);
        return CL_MEM_COPY_OVERLAP;
    }
    memcpy(y, x, bytes);
    return finish(q, STUB_EnqueueCopyBuffer, event);
}

static cl_int CL_API_CALL stub_EnqueueFillBuffer(cl_command_queue q, cl_mem m, const void *pattern, size_t each,
                                                 size_t offset, size_t bytes, cl_uint n, const cl_event *list,
                                                 cl_event *event)
{
    const cl_int   code = stub_enter(STUB_EnqueueFillBuffer);
    unsigned char *to   = code == CL_SUCCESS ? range(m, offset, bytes, STUB_EnqueueFillBuffer) : NULL;
    (void)n, (void)list;
    if (code != CL_SUCCESS)
        return code;
    if (!to || offset % each || bytes % each) {
        complain("offset or size is not a multiple of the pattern", STUB_EnqueueFillBuffer);
        return CL_INVALID_VALUE;
    }
    for (size_t i = 0; i < bytes; i++)
        to[i] = ((const unsigned char *)pattern)[i % each];
    return finish(q, STUB_EnqueueFillBuffer, event);
}

/* ---- programs and kernels: a binary is the source ---- */

static cl_program CL_API_CALL stub_CreateProgramWithSource(cl_context c, cl_uint n, const char **text,
                                                           const size_t *length, cl_int *out)
{
    const cl_int code = stub_enter(STUB_CreateProgramWithSource);
    (void)n, (void)length;
    is_alive(c, CONTEXT, STUB_CreateProgramWithSource);
    return answer(code == CL_SUCCESS ? make(PROGRAM, strlen(text[0]), text[0]) : NULL, code, out);
}

static cl_program CL_API_CALL stub_CreateProgramWithBinary(cl_context c, cl_uint n, const cl_device_id *ids,
                                                           const size_t *length, const unsigned char **binary,
                                                           cl_int *status, cl_int *out)
{
    const cl_int code = stub_enter(STUB_CreateProgramWithBinary);
    (void)n, (void)ids;
    is_alive(c, CONTEXT, STUB_CreateProgramWithBinary);
    if (status)
        *status = code;
    return answer(code == CL_SUCCESS ? make(PROGRAM, length[0], binary[0]) : NULL, code, out);
}

static cl_int CL_API_CALL stub_BuildProgram(cl_program p, cl_uint n, const cl_device_id *ids, const char *text,
                                       void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    const cl_int code = stub_enter(STUB_BuildProgram);
    (void)n, (void)ids, (void)notify, (void)user;
    if (!is_alive(p, PROGRAM, STUB_BuildProgram))
        return CL_INVALID_PROGRAM;
    snprintf(options, sizeof options, "%s", text);
    return code != CL_SUCCESS ? code : build_log ? CL_BUILD_PROGRAM_FAILURE : CL_SUCCESS;
}

static cl_int CL_API_CALL stub_GetProgramBuildInfo(cl_program p, cl_device_id id, cl_program_build_info what,
                                                   size_t room, void *out, size_t *size)
{
    const cl_int code = stub_enter(STUB_GetProgramBuildInfo);
    (void)id, (void)what;
    is_alive(p, PROGRAM, STUB_GetProgramBuildInfo);
    return code != CL_SUCCESS ? code : stub_give_text(build_log ? build_log : "", room, out, size);
}

static cl_int CL_API_CALL stub_GetProgramInfo(cl_program p, cl_program_info what, size_t room, void *out, size_t *size)
{
    const cl_int  code = stub_enter(STUB_GetProgramInfo);
    const object *o = (const object *)p;
    if (!is_alive(o, PROGRAM, STUB_GetProgramInfo))
        return CL_INVALID_PROGRAM;
    if (code != CL_SUCCESS)
        return code;
    if (what == CL_PROGRAM_BINARY_SIZES)
        return stub_give(&o->bytes, sizeof o->bytes, room, out, size);
    if (what != CL_PROGRAM_BINARIES || room < sizeof(unsigned char *))
        return CL_INVALID_VALUE;
    memcpy(*(unsigned char **)out, o->data, o->bytes);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL stub_ReleaseProgram(cl_program p) { return drop(p, PROGRAM, STUB_ReleaseProgram); }

static cl_kernel CL_API_CALL stub_CreateKernel(cl_program p, const char *name, cl_int *out)
{
    const cl_int  code = stub_enter(STUB_CreateKernel);
    const object *o = (const object *)p;
    if (!is_alive(o, PROGRAM, STUB_CreateKernel))
        return answer(NULL, CL_INVALID_PROGRAM, out);
    if (code != CL_SUCCESS)
        return answer(NULL, code, out);
    if (!strstr((const char *)o->data, name) && !strstr((const char *)o->data, "##"))
        return answer(NULL, CL_INVALID_KERNEL_NAME, out);
    return answer(make(KERNEL, strlen(name), name), CL_SUCCESS, out);
}

static cl_int CL_API_CALL stub_ReleaseKernel(cl_kernel k) { return drop(k, KERNEL, STUB_ReleaseKernel); }

static cl_int CL_API_CALL stub_SetKernelArg(cl_kernel k, cl_uint i, size_t bytes, const void *value)
{
    const cl_int code = stub_enter(STUB_SetKernelArg);
    if (i > 200 || bytes == 0 || !value)
        complain("an argument without value", STUB_SetKernelArg);
    return is_alive(k, KERNEL, STUB_SetKernelArg) ? code : CL_INVALID_KERNEL;
}

static cl_int CL_API_CALL stub_GetKernelWorkGroupInfo(cl_kernel k, cl_device_id id, cl_kernel_work_group_info what,
                                                      size_t room, void *out, size_t *size)
{
    const cl_int       code = stub_enter(STUB_GetKernelWorkGroupInfo);
    const stub_device *d = (const stub_device *)id;
    is_alive(k, KERNEL, STUB_GetKernelWorkGroupInfo);
    if (code != CL_SUCCESS)
        return code;
    return what == CL_KERNEL_WORK_GROUP_SIZE
               ? stub_number(d->kernel_group ? d->kernel_group : d->max_group, 8, room, out, size)
               : CL_INVALID_VALUE;
}

static cl_int CL_API_CALL stub_EnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dims, const size_t *offset,
                                                    const size_t *global, const size_t *local, cl_uint n,
                                                    const cl_event *list, cl_event *event)
{
    const cl_int code = stub_enter(STUB_EnqueueNDRangeKernel);
    (void)offset, (void)n, (void)list;
    if (!is_alive(k, KERNEL, STUB_EnqueueNDRangeKernel))
        return CL_INVALID_KERNEL;
    if (code != CL_SUCCESS)
        return code;
    stub_launch *l = &launches[n_launches < MAX_LAUNCHES - 1 ? n_launches++ : n_launches];
    *l = (stub_launch){ .dims = dims };
    snprintf(l->kernel, sizeof l->kernel, "%s", (const char *)((const object *)k)->data);
    for (cl_uint i = 0; i < dims; i++) {
        l->global[i] = global[i];
        l->local[i]  = local[i];
        if (local[i] == 0 || global[i] == 0 || global[i] % local[i])
            complain("groups do not divide the range", STUB_EnqueueNDRangeKernel);
    }
    return finish(q, STUB_EnqueueNDRangeKernel, event);
}

/* ---- waiting and events ---- */

static cl_int CL_API_CALL stub_Flush(cl_command_queue q)
{
    const cl_int code = stub_enter(STUB_Flush);
    return is_alive(q, QUEUE, STUB_Flush) ? code : CL_INVALID_COMMAND_QUEUE;
}

static cl_int CL_API_CALL stub_Finish(cl_command_queue q)
{
    const cl_int code = stub_enter(STUB_Finish);
    return is_alive(q, QUEUE, STUB_Finish) ? code : CL_INVALID_COMMAND_QUEUE;
}

static cl_int CL_API_CALL stub_GetEventProfilingInfo(cl_event e, cl_profiling_info what, size_t room, void *out,
                                                     size_t *size)
{
    const cl_int code = stub_enter(STUB_GetEventProfilingInfo);
    if (!is_alive(e, EVENT, STUB_GetEventProfilingInfo))
        return CL_INVALID_EVENT;
    return code != CL_SUCCESS ? code : stub_number(what == CL_PROFILING_COMMAND_END ? 3000 : 1000, 8, room, out, size);
}

static cl_int CL_API_CALL stub_ReleaseEvent(cl_event e) { return drop(e, EVENT, STUB_ReleaseEvent); }

static cl_int CL_API_CALL stub_WaitForEvents(cl_uint n, const cl_event *list)
{
    (void)n, (void)list;
    return stub_enter(STUB_WaitForEvents);
}

/* A marker's work is done at once, unless it is to hang. */
static bool is_hanging;

void stub_hang(bool yes) { is_hanging = yes; }

static cl_int CL_API_CALL stub_EnqueueMarkerWithWaitList(cl_command_queue q, cl_uint n, const cl_event *list, cl_event *event)
{
    const cl_int code = stub_enter(STUB_EnqueueMarkerWithWaitList);
    (void)n, (void)list;
    return code != CL_SUCCESS ? code : finish(q, STUB_EnqueueMarkerWithWaitList, event);
}

static cl_int CL_API_CALL stub_GetEventInfo(cl_event e, cl_event_info what, size_t room, void *out, size_t *size)
{
    const cl_int code = stub_enter(STUB_GetEventInfo);
    if (!is_alive(e, EVENT, STUB_GetEventInfo))
        return CL_INVALID_EVENT;
    if (code != CL_SUCCESS)
        return code;
    return what == CL_EVENT_COMMAND_EXECUTION_STATUS ? stub_number(is_hanging ? CL_RUNNING : CL_COMPLETE, 4, room, out, size) : CL_INVALID_VALUE;
}

void stub_install(void)
{
#define ENTRY(name) .name = stub_##name,
    diffad_cl = (diffad_cl_table){ DIFFAD_CL_FUNCTIONS(ENTRY) };
#undef ENTRY
    const stub_device one = stub_device_default();
    stub_devices(&one, 1);
    stub_reset();
}
