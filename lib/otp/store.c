/* The data base in use: statements, the log, groups of changes. */

#define _GNU_SOURCE
#include "otp_internal.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "../base/endian.h"
#include "store.h"

#define META_SIZE 64

#define LIST_COLUMNS                                                           \
    "SELECT u.name, u.state, u.recovery, d.name, d.parameters, d.state, "      \
    "d.sealed FROM users u LEFT JOIN devices d ON d.user = u.name "
#define OLD_SEAL(column) "substr(" column ", 1, 4) <> ?1 "

static const char *const texts[SQL_STATEMENTS] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_META_GET] = "SELECT state, sealed FROM meta WHERE id = 1",
    [SQL_META_PUT] = "UPDATE meta SET state = ? WHERE id = 1",
    [SQL_META_SEALED] = "UPDATE meta SET sealed = ? WHERE id = 1",
    [SQL_USER_GET] = "SELECT state, recovery FROM users WHERE name = ?",
    [SQL_USER_PUT] = "UPDATE users SET state = ? WHERE name = ?",
    [SQL_USER_ADD] =
        "INSERT INTO users (name, state, recovery) VALUES (?, ?, ?)",
    [SQL_USER_RECOVERY] = "UPDATE users SET recovery = ? WHERE name = ?",
    [SQL_USER_DELETE] = "DELETE FROM users WHERE name = ?",
    [SQL_DEVICES_GET] = "SELECT name, parameters, state, sealed FROM devices "
                        "WHERE user = ? ORDER BY name",
    [SQL_DEVICE_GET] = "SELECT name, parameters, state, sealed FROM devices "
                       "WHERE user = ? AND name = ?",
    [SQL_DEVICE_PUT] =
        "UPDATE devices SET state = ? WHERE user = ? AND name = ?",
    [SQL_DEVICE_ADD] = "INSERT INTO devices (user, name, parameters, state, "
                       "sealed) VALUES (?, ?, ?, ?, ?)",
    [SQL_DEVICE_SEALED] =
        "UPDATE devices SET sealed = ? WHERE user = ? AND name = ?",
    [SQL_DEVICE_DELETE] = "DELETE FROM devices WHERE user = ? AND name = ?",
    [SQL_DEVICES_DELETE] = "DELETE FROM devices WHERE user = ?",
    [SQL_LIST_ONE] = LIST_COLUMNS "WHERE u.name = ?1 AND u.name > x'' "
                                  "ORDER BY u.name, d.name",
    [SQL_LIST_AFTER] = LIST_COLUMNS "WHERE u.name > ?1 ORDER BY u.name, d.name",
    [SQL_OLD_DEVICES] =
        "SELECT user, name, parameters, state, sealed FROM devices WHERE "
        "(user, name) > (?2, ?3) AND " OLD_SEAL("sealed") "ORDER BY user, name",
    [SQL_OLD_USERS] = "SELECT name, state, recovery FROM users WHERE "
                      "name > ?2 AND length(recovery) > 0 AND " OLD_SEAL(
                          "recovery") "ORDER BY name",
    [SQL_OLD_DEVICES_COUNT] = "SELECT count(*) FROM devices WHERE " OLD_SEAL(
        "sealed"),
    [SQL_OLD_USERS_COUNT] = "SELECT count(*) FROM users WHERE "
                            "length(recovery) > 0 AND " OLD_SEAL("recovery"),
};

/* ---- Errors -------------------------------------------------------------------- */

int
store_fail(otp_store_t *store, int result, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(store->error, sizeof(store->error), format, arguments);
    va_end(arguments);
    return result;
}

const char *
otp_strerror(const otp_store_t *store)
{
    return store->error[0] == '\0' ? "no error" : store->error;
}

static int
errno_of(sqlite3 *db)
{
    int code = sqlite3_extended_errcode(db);
    int system = sqlite3_system_errno(db);

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_SCHEMA:
    case SQLITE_MISMATCH:
        return -EBADMSG;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_PERM:
        return -EACCES;
    case SQLITE_CANTOPEN:
        return system > 0 ? -system : -ENOENT;
    default:
        /* a page that is not there whole: the file was cut */
        if (code == SQLITE_IOERR_SHORT_READ) {
            return -EBADMSG;
        }
        return system == ENOSPC || system == EDQUOT || system == EROFS ? -system
                                                                       : -EIO;
    }
}

int
store_sql_error(otp_store_t *store, const char *what)
{
    int result = errno_of(store->db);

    return store_fail(store, result, "cannot %s: %.150s%s", what,
                      sqlite3_errmsg(store->db),
                      result == -EBADMSG  ? ": put back a backup of the store"
                      : result == -ENOSPC ? ": make room on its disk"
                                          : "");
}

/* ---- Statements ------------------------------------------------------------------ */

sqlite3_stmt *
store_statement(otp_store_t *store, sql_t which)
{
    if (store->statements[which] == NULL &&
        sqlite3_prepare_v3(store->db, texts[which], -1,
                           SQLITE_PREPARE_PERSISTENT, &store->statements[which],
                           NULL) != SQLITE_OK)
    {
        return NULL;
    }
    return store->statements[which];
}

int
store_run(otp_store_t *store, sqlite3_stmt *statement, const char *what)
{
    int result = 0, step;

    if (statement == NULL) {
        return store_sql_error(store, what);
    }
    do {
        step = sqlite3_step(statement);
    } while (step == SQLITE_ROW);
    if (step != SQLITE_DONE) {
        result = store_sql_error(store, what);
    }
    (void) sqlite3_reset(statement);
    return result;
}

int
store_execute(otp_store_t *store, const char *sql, const char *what)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : store_sql_error(store, what);
}

/* The number that a statement of one row gives. */
int
store_number(otp_store_t *store, const char *sql, int64_t *number)
{
    sqlite3_stmt *statement = NULL;
    int result = 0;

    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
    {
        result = store_sql_error(store, "read the store");
    } else {
        *number = sqlite3_column_int64(statement, 0);
    }
    (void) sqlite3_finalize(statement);
    return result;
}

/* ---- Meta ------------------------------------------------------------------------ */

static void
meta_bytes(const otp_store_t *store, uint8_t bytes[META_SIZE])
{
    memset(bytes, 0, META_SIZE);
    memcpy(bytes, store->sealer.id, SEAL_ID_SIZE);
    store_le64(bytes + 16, store->meta.generation);
    store_le64(bytes + 24, (uint64_t) store->meta.greatest_ms);
    store_le64(bytes + 32, (uint64_t) store->meta.floor_ms);
}

static const char check_text[] = "sekisho one-time codes";

int
store_meta_load(otp_store_t *store)
{
    sqlite3_stmt *statement = store_statement(store, SQL_META_GET);
    seal_label_t label = {.purpose = "check"};
    char text[sizeof(check_text)];
    const uint8_t *bytes;
    size_t size;
    int result = 0;

    if (statement == NULL || sqlite3_step(statement) != SQLITE_ROW ||
        sqlite3_column_bytes(statement, 0) != META_SIZE)
    {
        (void) sqlite3_reset(statement);
        return store_fail(store, -EBADMSG,
                          "the store is damaged: put back a backup of it");
    }
    bytes = sqlite3_column_blob(statement, 0);
    memcpy(store->sealer.id, bytes, SEAL_ID_SIZE);
    store->meta.generation = load_le64(bytes + 16);
    store->meta.greatest_ms = (int64_t) load_le64(bytes + 24);
    store->meta.floor_ms = (int64_t) load_le64(bytes + 32);
    store->durable = store->meta;
    bytes = sqlite3_column_blob(statement, 1);
    size = (size_t) sqlite3_column_bytes(statement, 1);
    if (bytes == NULL ||
        otp_unseal(&store->sealer, &label, bytes, size, text, sizeof(text),
                   &size) != 0 ||
        size != sizeof(text) || memcmp(text, check_text, sizeof(text)) != 0)
    {
        result = store_fail(store, -EKEYREJECTED,
                            "the key file has not the key of this store: put "
                            "back the one that was in use with it");
    }
    (void) sqlite3_reset(statement);
    return result;
}

int
store_seal_check(otp_store_t *store)
{
    sqlite3_stmt *statement = store_statement(store, SQL_META_SEALED);
    seal_label_t label = {.purpose = "check"};
    uint8_t sealed[sizeof(check_text) + SEAL_OVERHEAD];
    int result = otp_seal(&store->sealer, &label, check_text,
                          sizeof(check_text), sealed);

    if (result != 0) {
        return result;
    }
    if (statement == NULL ||
        sqlite3_bind_blob(statement, 1, sealed, sizeof(sealed),
                          SQLITE_STATIC) != SQLITE_OK)
    {
        return store_sql_error(store, "write the store");
    }
    store->changed = true;
    result = store_run(store, statement, "write the store");
    (void) sqlite3_clear_bindings(statement);
    return result;
}

static int
meta_put(otp_store_t *store)
{
    sqlite3_stmt *statement = store_statement(store, SQL_META_PUT);
    uint8_t bytes[META_SIZE];
    int result;

    meta_bytes(store, bytes);
    if (statement == NULL || sqlite3_bind_blob(statement, 1, bytes, META_SIZE,
                                               SQLITE_STATIC) != SQLITE_OK)
    {
        return store_sql_error(store, "write the store");
    }
    result = store_run(store, statement, "write the store");
    (void) sqlite3_clear_bindings(statement);
    return result;
}

/* ---- The log ---------------------------------------------------------------------- */

static const char *
log_path(const otp_store_t *store)
{
    return sqlite3_filename_wal(sqlite3_db_filename(store->db, "main"));
}

/* The log filled up to its size with zeros, which SQLite takes for its end. */
int
store_fill_log(const otp_store_t *store)
{
    const char *log = log_path(store);
    _cleanup_(cleanup_free) char *zeros = calloc(1, 1 << 16);
    _cleanup_(cleanup_close) int fd = -1;
    struct stat st;
    off_t at;

    if (zeros == NULL) {
        return -ENOMEM;
    }
    fd = open(log, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return -errno;
    }
    if (st.st_size >= LOG_BYTES) {
        return 0;
    }
    for (at = st.st_size; at < LOG_BYTES;) {
        size_t size = LOG_BYTES - at < 1 << 16 ? (size_t) (LOG_BYTES - at)
                                               : 1 << 16;
        ssize_t n = pwrite(fd, zeros, size, at);

        if (n <= 0) {
            return n == 0 ? -EIO : -errno;
        }
        at += n;
    }
    return fsync(fd) != 0 ? -errno : 0;
}

/*
 * After a great change, an import: SQLite would keep the log as long as that,
 * and read all of it at the next start.  A failure is none: it is only long.
 */
static void
shorten_log(otp_store_t *store)
{
    struct stat st;

    if (stat(log_path(store), &st) == 0 && st.st_size > LOG_BYTES) {
        (void) sqlite3_wal_checkpoint_v2(
            store->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        (void) store_fill_log(store);
    }
}

/* ---- Groups ----------------------------------------------------------------------- */

int
otp_begin(otp_store_t *store)
{
    int result;

    if (store->in_group) {
        return store_fail(store, -EINVAL, "a group is open already");
    }
    store->error[0] = '\0';
    store->meta = store->durable;
    store->changed = store->grown = false;
    store->accepted = store->floor_done = false;
    store->failed = 0;
    result = store_run(store, store_statement(store, SQL_BEGIN),
                       "begin a change");
    store->in_group = result == 0;
    return result;
}

void
otp_rollback(otp_store_t *store)
{
    char error[sizeof(store->error)];

    memcpy(error, store->error, sizeof(error));
    if (sqlite3_get_autocommit(store->db) == 0) {
        (void) store_run(store, store_statement(store, SQL_ROLLBACK),
                         "take back a change");
    }
    memcpy(store->error, error, sizeof(error)); /* why it came to this */
    store->in_group = false;
    store->meta = store->durable;
    store->rekey.counted = false;
}

/* Takes the room for all pages in the data base file. */
int
store_reserve(otp_store_t *store)
{
    sqlite3_int64 bytes;
    int64_t pages;
    int result = store_number(store, "PRAGMA page_count", &pages);

    if (result != 0) {
        return result;
    }
    bytes = pages * PAGE_BYTES;
    if (sqlite3_file_control(store->db, "main", SQLITE_FCNTL_SIZE_HINT,
                             &bytes) != SQLITE_OK)
    {
        return store_fail(store, -ENOSPC,
                          "the store cannot grow: make room on its disk");
    }
    return 0;
}

int
otp_commit(otp_store_t *store)
{
    int result;

    if (!store->in_group) {
        return store_fail(store, -EINVAL, "no group is open");
    }
    result = store->failed;
    if (result == 0 && sqlite3_get_autocommit(store->db) != 0) {
        result = store_fail(store, -EIO, "SQLite took the group back");
    }
    if (result == 0 && store->changed) {
        store->meta.generation++;
        if (store->accepted && store->meta.generation <= store->high) {
            store->meta.generation = store->high + 1;
        }
        result = meta_put(store);
    }
    if (result == 0 && store->grown) {
        result = store_reserve(store);
    }
    if (result == 0) {
        result = store_run(store, store_statement(store, SQL_COMMIT),
                           "make a change durable");
    }
    if (result != 0) {
        otp_rollback(store);
        return result;
    }
    store->in_group = false;
    store->durable = store->meta;
    store->stale = store->stale && !store->accepted;
    store->floor_due = store->floor_due && !store->floor_done;
    if (store->changed) {
        high_write(store->high_fd, store->sealer.id, &store->meta);
    }
    if (store->grown) {
        shorten_log(store);
    }
    return 0;
}

int
store_writable(otp_store_t *store)
{
    if (!store->in_group) {
        return store_fail(store, -EINVAL, "no group is open");
    }
    if (store->failed == 0 && sqlite3_get_autocommit(store->db) != 0) {
        /* SQLite rolls back by itself after some errors: what is written now
         * would be a group of its own */
        store->failed = store_fail(store, -EIO, "SQLite took the group back");
    }
    return store->failed;
}
