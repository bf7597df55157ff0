/* tuned_store.c: the one seam to SQLite: measured ways of every device and driver in one file. */
#include "base/file.h"
#include "base/sys.h"
#include "kernel/program.h"
#include "kernel/tuned.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { FORMAT = 1, WAIT_MS = 5000, MAX_ROWS = 100000 };

char *diffad_tuned_path(void)
{
    const char *set = diffad_sys.getenv("DIFFAD_TUNED");
    if (set && *set)
        return strcmp(set, "0") == 0 ? NULL : diffad_strdup(set);
    char *folder = diffad_cache_folder(), *path = folder ? diffad_path_join(folder, "tuned.sqlite") : NULL;
    diffad_release(folder);
    return path;
}

/* What is measured on eight cores says nothing about two of them. */
static void device_text(const diffad_caps *caps, char *device, char *driver, size_t bytes)
{
    snprintf(device, bytes, "%s, %u units", caps->name, (unsigned)caps->compute_units);
    snprintf(driver, bytes, "%s %s", caps->platform, caps->driver);
}

static diffad_status failed(sqlite3 *db, const char *path, const char *what)
{
    return diffad_fail(DIFFAD_ERR_FILE, "%s: %s: %s: the ways that plans choose by themselves are used; `diffad tune` writes the "
                       "file anew once it is removed", path, what, db ? sqlite3_errmsg(db) : "no memory");
}

static int number_of(sqlite3 *db, const char *query, int *out)
{
    sqlite3_stmt *s = NULL;
    int           code = sqlite3_prepare_v2(db, query, -1, &s, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(s)) == SQLITE_ROW) {
        *out = sqlite3_column_int(s, 0);
        code = SQLITE_OK;
    }
    sqlite3_finalize(s);
    return code;
}

/* ---- reading ---- */

static diffad_status read_rows(sqlite3 *db, const char *path, const diffad_caps *caps,
                               void (*row)(void *user, const diffad_tuned_measure *m), void *user)
{
    char          device[256], driver[256];
    sqlite3_stmt *s = NULL;
    int           format = 0, code = number_of(db, "PRAGMA user_version", &format), n = 0;
    if (code != SQLITE_OK)
        return failed(db, path, "not a table of tuned ways");
    if (format != FORMAT)
        DIFFAD_FAIL(DIFFAD_ERR_FILE, "%s: a table of tuned ways of format %d, this build reads %d: it is not used", path, format, FORMAT);
    device_text(caps, device, driver, sizeof device);
    if (sqlite3_prepare_v2(db, "SELECT key, usual, best, usual_us, best_us FROM tuned WHERE device = ? AND driver = ? ORDER BY key", -1,
                           &s, NULL) != SQLITE_OK)
        return failed(db, path, "not a table of tuned ways");
    sqlite3_bind_text(s, 1, device, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, driver, -1, SQLITE_STATIC);
    while ((code = sqlite3_step(s)) == SQLITE_ROW && n++ < MAX_ROWS) {
        const diffad_tuned_measure m = { (const char *)sqlite3_column_text(s, 0), (const char *)sqlite3_column_text(s, 1),
                                         (const char *)sqlite3_column_text(s, 2), sqlite3_column_double(s, 3),
                                         sqlite3_column_double(s, 4) };
        if (m.key && m.usual)
            row(user, &m);
    }
    const diffad_status st = code == SQLITE_DONE || code == SQLITE_ROW ? DIFFAD_OK : failed(db, path, "reading");
    sqlite3_finalize(s);
    return st;
}

diffad_status diffad_tuned_load(const char *path, const diffad_caps *caps, void (*row)(void *user, const diffad_tuned_measure *m),
                                void *user)
{
    sqlite3 *db = NULL;
    if (!diffad_path_exists(path))
        return DIFFAD_OK;
    diffad_status st = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK ? DIFFAD_OK : failed(db, path, "opening");
    if (st == DIFFAD_OK) {
        sqlite3_busy_timeout(db, WAIT_MS);
        st = read_rows(db, path, caps, row, user);
    }
    sqlite3_close(db);
    return st;
}

/* ---- writing ---- */

static int write_row(sqlite3_stmt *s, const char *device, const char *driver, const diffad_tuned_measure *m)
{
    sqlite3_bind_text(s, 1, device, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, driver, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 3, m->key, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 4, m->usual, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 5, m->best ? m->best : "", -1, SQLITE_STATIC);
    sqlite3_bind_double(s, 6, m->usual_us);
    sqlite3_bind_double(s, 7, m->best_us);
    sqlite3_bind_text(s, 8, DIFFAD_VERSION, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 9, diffad_sys.wall_seconds());
    const int code = sqlite3_step(s);
    sqlite3_reset(s);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int write_rows(sqlite3 *db, const diffad_caps *caps, const diffad_tuned_measure *rows, int64_t count)
{
    static const char create[] = "CREATE TABLE IF NOT EXISTS tuned (device TEXT NOT NULL, driver TEXT NOT NULL, key TEXT NOT NULL, "
                                 "usual TEXT NOT NULL, best TEXT NOT NULL, usual_us REAL, best_us REAL, version TEXT, at INTEGER, "
                                 "PRIMARY KEY (device, driver, key)) WITHOUT ROWID; PRAGMA user_version = 1";
    char          device[256], driver[256];
    sqlite3_stmt *s = NULL;
    device_text(caps, device, driver, sizeof device);
    int code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db, create, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO tuned VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", -1, &s, NULL);
    for (int64_t i = 0; i < count && code == SQLITE_OK; i++)
        code = write_row(s, device, driver, &rows[i]);
    sqlite3_finalize(s);
    return code == SQLITE_OK ? sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) : code;
}

static diffad_status make_folder(const char *path)
{
    char *folder = diffad_strdup(path), *end = folder ? strrchr(folder, '/') : NULL;
    diffad_status st = folder ? DIFFAD_OK : diffad_fail(DIFFAD_ERR_MEMORY, "tuned ways: no host memory");
    if (end && end != folder) {
        *end = '\0';
        st   = diffad_make_dirs(folder);
    }
    diffad_release(folder);
    return st;
}

diffad_status diffad_tuned_save(const char *path, const diffad_caps *caps, const diffad_tuned_measure *rows, int64_t count)
{
    sqlite3 *db = NULL;
    DIFFAD_TRY(make_folder(path));
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_busy_timeout(db, WAIT_MS);
    if (code == SQLITE_OK)
        code = write_rows(db, caps, rows, count);
    const diffad_status st = code == SQLITE_OK ? DIFFAD_OK : failed(db, path, "writing");
    sqlite3_close(db);
    return st;
}
