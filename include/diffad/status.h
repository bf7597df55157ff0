/* status.h: status codes, the thread's error detail, the log callback.
 *
 *     if (diffad_tensor_load(...) != DIFFAD_OK)
 *         fprintf(stderr, "%s\n", diffad_error_detail());      one line: what, where, why, what to do
 *
 * The library never prints, exits or aborts. Every function that can fail returns a status and leaves its
 * out-parameters untouched on failure. */
#ifndef DIFFAD_STATUS_H
#define DIFFAD_STATUS_H

#if defined(__GNUC__) && !defined(DIFFAD_API)
#define DIFFAD_API __attribute__((visibility("default")))
#define DIFFAD_PRINTF(a, b) __attribute__((format(printf, a, b)))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Values up to 10 are the exit codes of the command line tool (see diffad_status_exit_code). */
typedef enum diffad_status {
    DIFFAD_OK             = 0,
    DIFFAD_ERR_USAGE      = 2,   /* a caller's argument or a configuration value */
    DIFFAD_ERR_DATA       = 3,   /* image, mask, data set */
    DIFFAD_ERR_CHECKPOINT = 4,   /* checkpoint, safetensors or golden file */
    DIFFAD_ERR_NO_DEVICE  = 5,   /* no usable OpenCL device */
    DIFFAD_ERR_MEMORY     = 6,   /* host or device memory */
    DIFFAD_ERR_FILE       = 7,   /* file system */
    DIFFAD_ERR_NUMERICS   = 8,   /* diverged, not a number */
    DIFFAD_ERR_DEVICE     = 10,  /* device or driver failed, kernel does not build */
    DIFFAD_ERR_SHAPE      = 20,  /* shapes or types do not fit together: exit code 2 */
    DIFFAD_ERR_UNSUPPORTED = 21, /* legal, but this build or device has no way for it: exit code 2 */
    DIFFAD_ERR_STOPPED    = 22,  /* a stop was asked for; state is saved: exit code 130 or 143 */
    DIFFAD_ERR_INTERNAL   = 23   /* a promise of the library itself is broken: exit code 10 */
} diffad_status;

DIFFAD_API const char *diffad_status_name(diffad_status s);
DIFFAD_API int         diffad_status_exit_code(diffad_status s);

/* The reason of this thread's last failure, one line without a newline; "" when nothing failed yet.
 * Valid until the next failure on the same thread. */
DIFFAD_API const char *diffad_error_detail(void);
/* Further lines that belong to it (a driver's build log), or "". */
DIFFAD_API const char *diffad_error_log(void);

typedef enum diffad_log_level { DIFFAD_LOG_ERROR, DIFFAD_LOG_WARNING, DIFFAD_LOG_INFO, DIFFAD_LOG_DEBUG } diffad_log_level;
typedef void (*diffad_log_fn)(void *user, diffad_log_level level, const char *line);
/* Where the library's remarks go; NULL (the default) drops them. Call before other threads use the library. */
DIFFAD_API void diffad_log_to(diffad_log_fn fn, void *user);

/* Forwards a failure to the caller. */
#define DIFFAD_TRY(call)                            \
    do {                                            \
        const diffad_status try_status_ = (call);   \
        if (try_status_ != DIFFAD_OK)               \
            return try_status_;                     \
    } while (0)

#ifdef __cplusplus
}
#endif

#endif
