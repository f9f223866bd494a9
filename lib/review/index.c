/* Opening audit.db, and making sure that it is what it says. */

#define _GNU_SOURCE
#include "index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/wipe.h"
#include "index_internal.h"

#define BUSY_MS        5000 /* of a writer, for a reader's moments */
#define READ_BUSY_MS   200  /* of a reader: the first filling takes longer */
#define BOOT_TOLERANCE 30   /* seconds that the clock may have been set by */

int
index_error(review_index_t *index, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(index->error, sizeof(index->error), format, arguments);
    va_end(arguments);
    return error;
}


int
index_failed(review_index_t *index, const char *what)
{
    int code = index->database == NULL ? SQLITE_NOMEM
                                       : sqlite3_errcode(index->database);

    (void) index_error(index, 0, "%s: %s", what,
                       index->database == NULL
                           ? "out of memory"
                           : sqlite3_errmsg(index->database));
    switch (code & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EBADMSG;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
        return -EACCES;
    default:
        return -EIO;
    }
}


const char *
index_strerror(const review_index_t *index)
{
    return index->error;
}


uint64_t
index_size(const review_index_t *index)
{
    return index->size;
}


sqlite3 *
index_handle(review_index_t *index)
{
    return index->database;
}


/* ---- The database --------------------------------------------------------*/

static void
close_database(review_index_t *index)
{
    tables_end(index);
    (void) sqlite3_close(index->database);
    index->database = NULL;
    index->size = 0;
    index->known = false;
}


/* When the machine started, within a few seconds; the boot id is not to be
 * seen from within a sandbox. */
static int64_t
boot_time(void)
{
    struct timespec now, up;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    (void) clock_gettime(CLOCK_BOOTTIME, &up);
    return (int64_t) now.tv_sec - (int64_t) up.tv_sec;
}


static int
open_database(review_index_t *index, const char *path, int flags)
{
    (void) sqlite3_close(index->database);
    index->database = NULL;
    if (sqlite3_open_v2(path, &index->database, flags | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
    {
        return index_failed(index, index->path);
    }
    (void) sqlite3_extended_result_codes(index->database, 0);
    (void) sqlite3_busy_timeout(
        index->database, index->mode == INDEX_READ ? READ_BUSY_MS : BUSY_MS);
    return 0;
}


/*
 * SQLite wants to make the log's files where they are missing, as in a copy of
 * the index or after a crash, and a reader may have no right to.
 */
static int
open_immutable(review_index_t *index)
{
    _cleanup_(cleanup_free) char *uri = index_immutable_uri(index->path);

    if (uri == NULL) {
        return index_error(index, -ENOMEM, "out of memory");
    }
    return open_database(index, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
}


/* Readers without the right to write need the log's files to be there. */
static void
keep_log_files(review_index_t *index)
{
    int keep = 1;

    (void) sqlite3_file_control(index->database, "main",
                                SQLITE_FCNTL_PERSIST_WAL, &keep);
}


static int
make_file(review_index_t *index)
{
    int fd = open(index->path,
                  O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                  INDEX_FILE_MODE);

    if (fd < 0) {
        int error = -errno;

        return index_error(index, error, "%s: %s", index->path,
                           strerror(-error));
    }
    index_give_to_owner(index->path, fd);
    (void) close(fd);
    return 0;
}


#define TEXT_OF(number)  TEXT_OF_(number)
#define TEXT_OF_(number) #number

static int
create(review_index_t *index)
{
    int error = make_file(index);

    if (error == 0) {
        error = open_database(index, index->path, SQLITE_OPEN_READWRITE);
    }
    if (error == 0) {
        /* the application's id goes into the file before any log */
        error = index_run(
            index, "PRAGMA page_size = 8192; PRAGMA synchronous = OFF;"
                   "PRAGMA journal_mode = DELETE; BEGIN IMMEDIATE;"
                   "PRAGMA application_id = " TEXT_OF(
                       INDEX_APPLICATION_ID) ";"
                                             "PRAGMA user_version = " TEXT_OF(
                                                 INDEX_SCHEMA_VERSION) ";");
    }
    if (error == 0) {
        error = schema_create(index);
    }
    if (error == 0) {
        error = meta_set_number(index, "schema", INDEX_SCHEMA_VERSION);
    }
    if (error == 0) {
        error = meta_set_number(index, "size", 0);
    }
    return error < 0 ? error : index_run(index, "COMMIT");
}


/* Also whether the file can be read at all. */
static int
check_schema(review_index_t *index)
{
    sqlite3_stmt *statement = NULL;
    int error = 0;

    if (sqlite3_prepare_v2(index->database, "PRAGMA user_version", -1,
                           &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
    {
        error = index_failed(index, index->path);
    } else if (sqlite3_column_int(statement, 0) != INDEX_SCHEMA_VERSION) {
        error = index_error(index, -EPROTO,
                            "%s: made by another version of sekisho (schema "
                            "%d, not %d)",
                            index->path, sqlite3_column_int(statement, 0),
                            INDEX_SCHEMA_VERSION);
    }
    (void) sqlite3_finalize(statement);
    /* whether the tables are there; a row of this join may take for ever to
     * be found, where one of them is empty */
    if (error == 0) {
        error = index_run(index,
                          "SELECT 1 FROM entry, access, study, part, day, word,"
                          " meta LIMIT 0");
    }
    return error;
}


/*
 * The first filling: pages that are new need no journal, where the log would
 * write everything twice.  Nobody can read meanwhile; there is not yet anything
 * that is faster than the trail itself.
 */
static int
index_keep(review_index_t *index)
{
    return index_run(index, "PRAGMA locking_mode = EXCLUSIVE;"
                            "PRAGMA journal_mode = TRUNCATE;");
}


int
index_share(review_index_t *index)
{
    int error = index_run(index, "PRAGMA locking_mode = NORMAL;"
                                 "PRAGMA journal_mode = WAL;");

    if (error == 0) {
        keep_log_files(index);
    }
    return error;
}


static int
write_settings(review_index_t *index)
{
    int64_t unsynced, boot = boot_time();
    int error = index_run(index, "PRAGMA synchronous = OFF;"
                                 "PRAGMA wal_autocheckpoint = 2000;"
                                 "PRAGMA cache_size = -32768;"
                                 "PRAGMA threads = 1;");

    if (error == 0) {
        error = schema_is_finished(index) ? index_share(index)
                                          : index_keep(index);
    }
    if (error < 0) {
        return error;
    }
    unsynced = meta_number(index, "unsynced");
    if (unsynced != 0 && llabs(unsynced - boot) > BOOT_TOLERANCE) {
        return index_error(index, -EBADMSG,
                           "%s: the machine stopped while it was written",
                           index->path);
    }
    error = meta_set_number(index, "unsynced", boot);
    index->size = (uint64_t) meta_number(index, "size");
    return error;
}


static int
open_writer(review_index_t *index)
{
    int error = open_database(index, index->path, SQLITE_OPEN_READWRITE);

    if (error == 0) {
        error = check_schema(index);
    }
    if (error == 0) {
        error = write_settings(index);
    }
    return error;
}


int
index_remake(review_index_t *index)
{
    int error;

    close_database(index);
    error = index_remove_files(index);
    if (error == 0) {
        error = create(index);
    }
    return error < 0 ? error : write_settings(index);
}


/* What is not to be made anew for: it would fail as well, or is not ours to
 * decide. */
static bool
is_beyond_repair(int error)
{
    return error == -EBADMSG || error == -EPROTO || error == -EIO;
}


static int
open_for_writing(review_index_t *index)
{
    file_kind_t kind = FILE_ABSENT;
    char told[sizeof(index->error)] = "";
    int error = index_lock(index);

    if (error < 0) {
        return error;
    }
    error = index_file_kind(index->path, &kind);
    if (error < 0) {
        return index_error(index, error, "%s: %s", index->path,
                           error == -EINVAL ? "it is no regular file"
                                            : strerror(-error));
    }
    if (kind == FILE_FOREIGN) {
        error = index_set_aside(index);
        if (error < 0) {
            return error;
        }
        (void) snprintf(told, sizeof(told),
                        "%.150s was no index of ours: set aside as "
                        "\".not-ours\", made anew",
                        index->path);
        kind = FILE_ABSENT;
    }
    error = kind == FILE_OURS ? open_writer(index) : index_remake(index);
    if (is_beyond_repair(error) && kind == FILE_OURS) {
        (void) snprintf(told, sizeof(told), "%.200s: made anew", index->error);
        error = index_remake(index);
    }
    if (error == 0) {
        memcpy(index->error, told, sizeof(told));
    }
    return error;
}


static int
open_for_reading(review_index_t *index)
{
    file_kind_t kind;
    int error = index_file_kind(index->path, &kind);

    if (error == 0 && kind == FILE_ABSENT) {
        return index_error(index, -ENOENT, "%s: there is none", index->path);
    }
    if (error < 0 || kind != FILE_OURS) {
        return index_error(
            index, error < 0 ? error : -EPROTO, "%s: %s", index->path,
            error < 0 ? strerror(-error) : "it is no index of sekisho's");
    }
    error = open_database(index, index->path, SQLITE_OPEN_READONLY);
    if (error == 0) {
        error = check_schema(index);
    }
    if (error == -EACCES && index_is_whole(index)) {
        error = open_immutable(index);
        if (error == 0) {
            error = check_schema(index);
        }
    }
    if (error == 0) {
        /* one state of the tables, as long as it is open */
        error = index_run(index, "PRAGMA cache_size = -32768;"
                                 "PRAGMA query_only = ON; BEGIN");
    }
    if (error == 0) {
        index->size = (uint64_t) meta_number(index, "size");
    }
    return error;
}


int
index_clear(review_index_t *index)
{
    return index->mode == INDEX_WRITE ? index_remake(index) : -EBADF;
}


int
index_open(const char *path, index_mode_t mode, review_index_t **opened,
           char error[256])
{
    review_index_t *index = calloc(1, sizeof(*index));
    int result;

    *opened = NULL;
    error[0] = '\0';
    if (index == NULL) {
        (void) snprintf(error, 256, "out of memory");
        return -ENOMEM;
    }
    index->mode = mode;
    index->lock = -1;
    index->path = strdup(path);
    result = index->path == NULL  ? -ENOMEM
             : mode == INDEX_READ ? open_for_reading(index)
                                  : open_for_writing(index);
    (void) snprintf(error, 256, "%s", index->error);
    if (result < 0) {
        if (error[0] == '\0') {
            (void) snprintf(error, 256, "%.200s: %s", path, strerror(-result));
        }
        close_database(index);
        index_close(index);
        return result;
    }
    *opened = index;
    return 0;
}


void
index_close(review_index_t *index)
{
    if (index == NULL) {
        return;
    }
    tables_end(index);
    if (index->database != NULL && index->mode == INDEX_WRITE) {
        /* the one sync: what is written here may be trusted after a crash of
         * the machine, too */
        (void) index_run(index, "PRAGMA synchronous = FULL;"
                                "PRAGMA wal_checkpoint(TRUNCATE);"
                                "DELETE FROM meta WHERE name = 'unsynced';"
                                "PRAGMA wal_checkpoint(TRUNCATE);");
    }
    (void) sqlite3_close(index->database);
    if (index->lock >= 0) {
        (void) close(index->lock);
    }
    free(index->path);
    free(index);
}
