/*
 * The data base: SQLite in WAL mode, for one process.
 *
 * A full disk must not shut out who is enrolled.  So a verification only writes
 * over bytes that are there: fixed-size states in rows, pages in a write-ahead
 * log that was filled with zeros beforehand and is used again from its start
 * (it is never cut below that, and stays when we stop), and pages in the data
 * base file, whose room is taken before a change that adds pages is committed,
 * so that moving them there cannot fail for want of it.  The index of the log
 * is in memory (exclusive locking): there is no third file.
 */

#define _GNU_SOURCE
#include "otp_internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include "../base/endian.h"
#include "store.h"

#define APPLICATION_ID 0x736b6f74 /* "skot" */
#define SCHEMA_VERSION 1
/* Pages in the log after which it is moved into the data base. */
#define CHECKPOINT_PAGES 512
#define CHUNK_BYTES      (1 << 20)
/* Up to here all pages are checked at opening: 8 MiB, some 20 ms. */
#define QUICK_CHECK_PAGES 2048

static const char schema[] =
    "CREATE TABLE meta (id INTEGER PRIMARY KEY, state BLOB NOT NULL, "
    "sealed BLOB NOT NULL);"
    "CREATE TABLE users (name BLOB NOT NULL PRIMARY KEY, state BLOB NOT NULL, "
    "recovery BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE devices (user BLOB NOT NULL, name BLOB NOT NULL, parameters "
    "BLOB NOT NULL, state BLOB NOT NULL, sealed BLOB NOT NULL, "
    "PRIMARY KEY (user, name)) WITHOUT ROWID;";

/* ---- Making ------------------------------------------------------------------------ */

/* The row that pays for unknown users. */
static int
add_decoy(otp_store_t *store)
{
    _cleanup_(secret_wipe) secret_t secret = {.size = 20};
    recovery_t recovery; /* hashes of nothing */
    user_row_t user = {0};
    device_row_t device = {.confirmed = true,
                           .parameters = parameters_default(NULL)};
    int result = RAND_bytes((uint8_t *) &recovery, sizeof(recovery)) == 1
                     ? 0
                     : -EIO;

    if (result == 0) {
        result = recovery_seal(store, DECOY, &user, &recovery);
    }
    wipe_bytes(&recovery, sizeof(recovery));
    if (result == 0 && RAND_priv_bytes(secret.bytes, (int) secret.size) != 1) {
        result = -EIO;
    }
    if (result == 0) {
        result = device_seal(store, DECOY, &device, &secret);
    }
    if (result == 0) {
        result = user_add(store, DECOY, &user);
    }
    if (result == 0) {
        result = device_add(store, DECOY, &device);
    }
    return result;
}

static int
add_meta(otp_store_t *store)
{
    if (RAND_bytes(store->sealer.id, SEAL_ID_SIZE) != 1) {
        return store_fail(store, -EIO, "no random numbers to be had");
    }
    return store_execute(store,
                         "INSERT INTO meta VALUES (1, zeroblob(64), x'')",
                         "make the store");
}

static int
fill_new(otp_store_t *store)
{
    char sql[256];
    int result;

    (void) snprintf(sql, sizeof(sql),
                    "PRAGMA page_size = %d; PRAGMA auto_vacuum = NONE; "
                    "PRAGMA application_id = %d; PRAGMA user_version = %d; "
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
                    PAGE_BYTES, APPLICATION_ID, SCHEMA_VERSION);
    result = store_execute(store, sql, "make the store");
    if (result == 0) {
        result = otp_begin(store);
    }
    if (result == 0) {
        result = store_execute(store, schema, "make the store");
    }
    if (result == 0) {
        result = add_meta(store);
    }
    if (result == 0) {
        result = store_seal_check(store);
    }
    if (result == 0) {
        result = add_decoy(store);
    }
    if (result == 0) {
        result = otp_commit(store);
    } else if (store->in_group) {
        otp_rollback(store);
    }
    return result;
}

static void
close_db(otp_store_t *store)
{
    size_t i;

    for (i = 0; i < SQL_STATEMENTS; i++) {
        (void) sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
    (void) sqlite3_close(store->db);
    store->db = NULL;
}

static int
open_db(otp_store_t *store, const char *path)
{
    if (sqlite3_open_v2(path, &store->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK)
    {
        return store->db == NULL ? -ENOMEM
                                 : store_sql_error(store, "open the store");
    }
    return 0;
}

/* Made under another name: a crash leaves a store or none. */
static int
make_file(otp_store_t *store, const char *path)
{
    _cleanup_(cleanup_free) char *temporary = NULL;
    int fd, result;

    if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
    if (fd < 0) {
        return store_fail(store, -errno, "cannot make the store: %s",
                          strerror(errno));
    }
    (void) close(fd);
    result = open_db(store, temporary);
    if (result == 0) {
        result = fill_new(store);
    }
    close_db(store); /* moves the log into the file and removes it */
    if (result == 0 && link(temporary, path) != 0) {
        result = store_fail(store, -errno, "cannot make the store: %s",
                            strerror(errno));
    }
    (void) unlink(temporary);
    return result;
}

/* ---- Opening ------------------------------------------------------------------------ */

/* The header of the file (sqlite.org/fileformat2.html 1.3), before SQLite
 * touches it: a file that is not ours is left as it is. */
static int
check_header(otp_store_t *store, const char *path)
{
    _cleanup_(cleanup_close) int fd = -1;
    uint8_t header[100];
    struct stat st;
    ssize_t n;

    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int result = -errno;

        return store_fail(store, result, "%s",
                          result == -ELOOP
                              ? "is a symbolic link: name the file itself"
                              : strerror(-result));
    }
    if (!S_ISREG(st.st_mode)) {
        return store_fail(store, -EBADMSG, "is no regular file");
    }
    if ((st.st_mode & 0077) != 0) {
        return store_fail(store, -EPERM,
                          "others may read or change it: chmod 0600");
    }
    n = pread(fd, header, sizeof(header), 0);
    if (n != (ssize_t) sizeof(header) ||
        memcmp(header, "SQLite format 3", 16) != 0) {
        return store_fail(store, -EBADMSG, "is no SQLite data base");
    }
    if (load_be32(header + 68) != APPLICATION_ID ||
        load_be16(header + 16) != PAGE_BYTES)
    {
        return store_fail(store, -EBADMSG, "is a data base of something else");
    }
    if (load_be32(header + 60) != SCHEMA_VERSION) {
        return store_fail(store, -EBADMSG,
                          "is a store of version %" PRIu32
                          ", and this program knows %d: take the newer one",
                          load_be32(header + 60), SCHEMA_VERSION);
    }
    return 0;
}

static int
settle(otp_store_t *store, bool made)
{
    static const char pragmas[] =
        /* first: what reads the file before it makes an index of the log */
        "PRAGMA locking_mode = EXCLUSIVE;"
        "PRAGMA trusted_schema = OFF; PRAGMA secure_delete = ON;"
        "PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;"
        "PRAGMA mmap_size = 0; PRAGMA cache_size = -16384;"
        "PRAGMA journal_mode = WAL;"
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;";
    int one = 1, chunk = CHUNK_BYTES, result;
    char sql[128];

    (void) sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void) sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0,
                             NULL);
    (void) sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    (void) sqlite3_file_control(store->db, "main", SQLITE_FCNTL_PERSIST_WAL,
                                &one);
    (void) sqlite3_file_control(store->db, "main", SQLITE_FCNTL_CHUNK_SIZE,
                                &chunk);
    result = store_execute(store, pragmas, "open the store");
    if (result == 0) {
        (void) snprintf(sql, sizeof(sql),
                        "PRAGMA wal_autocheckpoint = %d;"
                        "PRAGMA journal_size_limit = %d;"
                        "BEGIN IMMEDIATE; COMMIT;",
                        CHECKPOINT_PAGES, LOG_BYTES);
        result = store_execute(store, sql, "open the store");
    }
    if (result != 0) {
        return result;
    }
    /* What was in the log moves to its place: a group then starts at the
     * log's beginning, within the room that it has. */
    result = store_execute(store, "PRAGMA wal_checkpoint(PASSIVE)",
                           "open the store");
    if (result == 0) {
        result = store_reserve(store);
        if (result == 0) {
            result = store_fill_log(store);
        }
        /* An old store on a full disk has its room from before. */
        if (result == -ENOSPC && !made) {
            result = 0;
        } else if (result != 0) {
            result = store_fail(store, result, "no room for its work: %s",
                                strerror(-result));
        }
    }
    return result;
}

static int
check_text_of(otp_store_t *store, const char *sql, const char *expected,
              const char *what)
{
    sqlite3_stmt *statement = NULL;
    int result = 0;

    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
    {
        result = store_sql_error(store, "check the store");
    } else {
        const char *text = (const char *) sqlite3_column_text(statement, 0);

        if (text == NULL || strcmp(text, expected) != 0) {
            result = store_fail(
                store, -EBADMSG, "%s: put back a backup of the store%s%.80s",
                what, text == NULL ? "" : ": ", text == NULL ? "" : text);
        }
    }
    (void) sqlite3_finalize(statement);
    return result;
}

/*
 * What is checked, however many users there are: that the file has all its
 * pages, that the tables are ours, and the way to both ends of each.  Every
 * page is checked of a store of up to QUICK_CHECK_PAGES.  Damage elsewhere
 * shows when a row is read: SQLite checks the page, the seal the secret.
 */
static int
check_content(otp_store_t *store, const char *path)
{
    struct stat st;
    int64_t pages, ends;
    int result = store_number(store, "PRAGMA page_count", &pages);

    if (result != 0) {
        return result;
    }
    if (stat(path, &st) != 0 || st.st_size / PAGE_BYTES < pages) {
        return store_fail(store, -EBADMSG,
                          "is shorter than its %" PRId64 " pages: put back a "
                          "backup of the store",
                          pages);
    }
    result = check_text_of(
        store, "SELECT group_concat(sql || ';', '') FROM sqlite_schema", schema,
        "its tables are not those of a store");
    if (result == 0) {
        result = store_number(
            store,
            "SELECT (SELECT length(name) FROM users ORDER BY name LIMIT 1) + "
            "(SELECT length(name) FROM users ORDER BY name DESC LIMIT 1) + "
            "(SELECT length(user) FROM devices ORDER BY user LIMIT 1) + "
            "(SELECT length(user) FROM devices ORDER BY user DESC LIMIT 1)",
            &ends);
    }
    if (result == 0 && pages <= QUICK_CHECK_PAGES) {
        result = check_text_of(store, "PRAGMA quick_check(1)", "ok",
                               "is damaged");
    }
    return result;
}

static int
open_high(otp_store_t *store, const char *path, bool made)
{
    _cleanup_(cleanup_free) char *high = NULL;
    uint64_t generation;
    bool valid;
    int result;

    if (asprintf(&high, "%s.high", path) < 0) {
        high = NULL;
        return -ENOMEM;
    }
    if (made) {
        (void) unlink(high); /* of a store that is no more */
    }
    result = high_open(high, store->sealer.id, &store->high_fd, &valid,
                       &generation);
    if (result < 0) {
        return store_fail(store, result, "%.120s: %s", high, strerror(-result));
    }
    /* Without the file nobody knows what has been used since a backup: codes
     * up to the first attempt's time are good no more. */
    store->floor_due = result == 1 && !made;
    store->high = valid ? generation : 0;
    store->stale = result == 0 &&
                   (!valid || generation > store->meta.generation);
    if (result == 1) {
        high_write(store->high_fd, store->sealer.id, &store->meta);
    }
    return 0;
}

static int
open_parts(otp_store_t *store, const char *path, bool create)
{
    bool made = false;
    int result;

    if (path[0] != '/') {
        return store_fail(store, -EINVAL, "must be an absolute path");
    }
    result = check_header(store, path);
    if (result == -ENOENT && create) {
        result = make_file(store, path);
        made = result == 0;
        if (result == -EEXIST) { /* somebody else's, just now */
            result = check_header(store, path);
        }
    }
    if (result == 0) {
        result = open_db(store, path);
    }
    if (result == 0) {
        result = settle(store, made);
    }
    if (result == -EBUSY) {
        (void) store_fail(store, result, "another process has it open");
    }
    if (result == 0) {
        result = check_content(store, path);
    }
    if (result == 0) {
        result = store_meta_load(store);
    }
    if (result == 0) {
        result = open_high(store, path, made);
    }
    return result;
}

int
otp_open(const char *path, const otp_keys_t *keys, const otp_rules_t *rules,
         bool create, otp_store_t **store, char error[256])
{
    otp_store_t *opened = calloc(1, sizeof(*opened));
    int result;

    *store = NULL;
    error[0] = '\0';
    if (opened == NULL) {
        (void) snprintf(error, 256, "out of memory");
        return -ENOMEM;
    }
    opened->high_fd = -1;
    otp_configure(opened, rules);
    result = otp_sealer_init(&opened->sealer, keys);
    if (result != 0) {
        (void) store_fail(opened, result, "no usable key was given");
    }
    if (result == 0) {
        opened->sources = throttle_sources_new();
        result = opened->sources == NULL ? -ENOMEM : 0;
    }
    if (result == 0) {
        result = open_parts(opened, path, create);
    }
    if (result != 0) {
        (void) snprintf(error, 256, "store %.100s: %.140s", path,
                        opened->error[0] == '\0' ? strerror(-result)
                                                 : opened->error);
        otp_close(opened);
        return result;
    }
    opened->error[0] = '\0';
    *store = opened;
    return 0;
}

void
otp_close(otp_store_t *store)
{
    if (store == NULL) {
        return;
    }
    if (store->db != NULL) {
        if (store->in_group) {
            otp_rollback(store);
        }
        /* else SQLite would cut the log to nothing */
        (void) sqlite3_exec(store->db, "PRAGMA journal_size_limit = -1", NULL,
                            NULL, NULL);
    }
    close_db(store);
    if (store->high_fd >= 0) {
        (void) close(store->high_fd);
    }
    throttle_sources_free(store->sources);
    otp_sealer_wipe(&store->sealer);
    wipe_bytes(store, sizeof(*store));
    free(store);
}
