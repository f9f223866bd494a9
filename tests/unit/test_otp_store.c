/* The store as a file: damage, keys, older copies, a full disk. */

#define _GNU_SOURCE
#include "unit.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "otp_unit.h"

/* A command of the shell; "$A" and "$B" in it. */
static void
run(const char *command, const char *a, const char *b)
{
    assert_int_equal(setenv("A", a, 1), 0);
    assert_int_equal(setenv("B", b, 1), 0);
    assert_int_equal(system(command), 0);
}

static void
expect_open(otp_unit_t *unit, int result, const char *words)
{
    assert_int_equal(otp_unit_open(unit, false), result);
    assert_null(unit->store);
    if (strstr(unit->error, words) == NULL) {
        fail_msg("\"%s\" lacks \"%s\"", unit->error, words);
    }
}

/* SQL behind the store's back, while it is closed. */
static void
meddle(otp_unit_t *unit, const char *sql)
{
    sqlite3 *db;
    char *error = NULL;

    assert_int_equal(sqlite3_open(unit->path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) {
        fail_msg("%s: %s", sql, error);
    }
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
is_there_again_after_closing(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "sato");
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
    assert_int_equal(verify_wrong(unit, "sato").failures, 1);
    otp_unit_reopen(unit);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_REPLAYED);
    assert_int_equal(verify_wrong(unit, "sato").failures, 2);
}

static void
files_are_for_the_owner_alone(void **state)
{
    otp_unit_t *unit = *state;
    struct dirent *entry;
    unsigned files = 0;
    DIR *folder;

    add_user(unit, "sato");
    folder = opendir(unit->folder);
    assert_non_null(folder);
    while ((entry = readdir(folder)) != NULL) {
        struct stat st;

        if (entry->d_name[0] == '.') {
            continue;
        }
        assert_int_equal(fstatat(dirfd(folder), entry->d_name, &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        files++;
    }
    (void) closedir(folder);
    assert_int_equal(files, 3); /* data base, log, high: no -shm */
}

static void
nothing_is_made_where_it_was_not_asked_for(void **state)
{
    otp_unit_t *unit = *state;

    otp_unit_close(unit);
    run("rm -r $A/*", unit->folder, "");
    expect_open(unit, -ENOENT, "No such file");
    assert_int_not_equal(access(unit->path, F_OK), 0);
    (void) snprintf(unit->path, sizeof(unit->path), "codes.db");
    expect_open(unit, -EINVAL, "absolute path");
}

static void
a_second_process_is_kept_out(void **state)
{
    otp_unit_t *unit = *state;
    int status;
    pid_t child = fork();

    if (child == 0) {
        otp_store_t *second;
        char error[256];
        int result = otp_open(unit->path, &unit->keys, &unit->rules, true,
                              &second, error);

        _exit(result == -EBUSY && strstr(error, "another process") != NULL ? 0
                                                                           : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    add_user(unit, "sato");
}

static void
another_key_is_told_as_such(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "sato");
    otp_unit_close(unit);
    unit->keys.key[0][31] ^= 1;
    expect_open(unit, -EKEYREJECTED, "key file");
    unit->keys.key[0][31] ^= 1;
    unit->keys.version[0] = 2;
    expect_open(unit, -EKEYREJECTED, "key file");
    unit->keys.version[0] = 1;
    otp_unit_reopen(unit);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
}

static void
a_secret_moved_to_another_user_opens_nothing(void **state)
{
    otp_unit_t *unit = *state;
    char code[9];
    otp_outcome_t outcome;

    add_user(unit, "mallory");
    add_user(unit, "sato");
    otp_unit_close(unit);
    meddle(unit, "UPDATE devices SET sealed = (SELECT sealed FROM devices "
                 "WHERE user = CAST('mallory' AS BLOB)) WHERE user = "
                 "CAST('sato' AS BLOB)");
    otp_unit_reopen(unit);
    (void) code_of("mallory", step_now(unit), code);
    outcome = verify(unit, "sato", code);
    assert_int_equal(outcome.result, OTP_UNAVAILABLE);
    assert_non_null(strstr(otp_strerror(unit->store), "sato"));
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_UNAVAILABLE);
    assert_int_equal(verify(unit, "mallory", code).result, OTP_ACCEPTED);
}

static void
a_secret_moved_to_another_device_or_parameters_opens_nothing(void **state)
{
    static const char *const sql[] = {
        "UPDATE devices SET name = CAST('other' AS BLOB) WHERE user <> x''",
        "UPDATE devices SET parameters = x'01010700' || substr(parameters, 5) "
        "WHERE user <> x''",
        "UPDATE devices SET parameters = CAST(x'020106001e000000' AS BLOB) "
        "WHERE user <> x''",
        "UPDATE devices SET sealed = CAST(x'02000000' || substr(sealed, 5) AS "
        "BLOB) WHERE user <> x''"};
    size_t i;

    for (i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
        otp_unit_t *unit = *state;

        add_user(unit, "sato");
        otp_unit_close(unit);
        meddle(unit, sql[i]);
        otp_unit_reopen(unit);
        assert_int_equal(verify_right(unit, "sato", 0).result, OTP_UNAVAILABLE);
        assert_int_equal(otp_unit_stop(state), 0);
        assert_int_equal(otp_unit_start(state), 0);
    }
}

static void
a_damaged_row_hurts_its_user_alone(void **state)
{
    otp_unit_t *unit = *state;
    char code[9];

    add_user(unit, "abe");
    add_user(unit, "sato");
    otp_unit_close(unit);
    meddle(unit, "UPDATE users SET state = x'00' WHERE name = "
                 "CAST('abe' AS BLOB)");
    otp_unit_reopen(unit);
    assert_int_equal(otp_begin(unit->store), 0);
    (void) code_of("abe", step_now(unit), code);
    assert_int_equal(attempt_from(unit, "abe", code, "local").result,
                     OTP_UNAVAILABLE);
    (void) code_of("sato", step_now(unit), code);
    assert_int_equal(attempt_from(unit, "sato", code, "local").result,
                     OTP_ACCEPTED);
    assert_int_equal(otp_commit(unit->store), 0);
    otp_unit_reopen(unit);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_REPLAYED);
}

static void
what_is_no_store_is_refused_and_left_alone(void **state)
{
    otp_unit_t *unit = *state;

    otp_unit_close(unit);
    run("rm -f $A* && printf 'hello, this is a text' > $B", unit->path,
        unit->path);
    run("chmod 600 $A", unit->path, "");
    expect_open(unit, -EBADMSG, "no SQLite data base");
    run("grep -q 'hello, this is a text' $A", unit->path, "");
    run("rm -f $A", unit->path, "");
    meddle(unit, "CREATE TABLE other (a)");
    run("chmod 600 $A", unit->path, "");
    expect_open(unit, -EBADMSG, "something else");
}

static void
a_later_version_is_told_as_such(void **state)
{
    otp_unit_t *unit = *state;

    otp_unit_close(unit);
    meddle(unit, "PRAGMA user_version = 7");
    expect_open(unit, -EBADMSG, "version 7");
}

static void
foreign_tables_and_triggers_are_refused(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "sato");
    otp_unit_close(unit);
    meddle(unit, "CREATE TRIGGER t AFTER UPDATE ON users BEGIN UPDATE devices "
                 "SET state = zeroblob(64); END");
    expect_open(unit, -EBADMSG, "tables");
}

static void
a_file_others_may_read_is_refused(void **state)
{
    otp_unit_t *unit = *state;

    otp_unit_close(unit);
    assert_int_equal(chmod(unit->path, 0640), 0);
    expect_open(unit, -EPERM, "chmod 0600");
}

static void
fill_with_users(otp_unit_t *unit, unsigned count)
{
    secret_t secret = secret_of("many");
    char user[32];
    unsigned i;

    assert_int_equal(otp_begin(unit->store), 0);
    for (i = 0; i < count; i++) {
        (void) snprintf(user, sizeof(user), "many%u", i);
        assert_int_equal(otp_import(unit->store, slice_of(user), SLICE("phone"),
                                    NULL, secret.bytes, secret.size,
                                    unit->now_ms),
                         0);
    }
    assert_int_equal(otp_commit(unit->store), 0);
}

static void
a_cut_file_is_told_as_such(void **state)
{
    otp_unit_t *unit = *state;
    uint64_t pages;

    fill_with_users(unit, 2000);
    pages = pages_of(unit);
    assert_true(pages > 100);
    otp_unit_close(unit);
    assert_int_equal(truncate(unit->path, (off_t) (pages / 2 * 4096)), 0);
    run("rm -f $A-wal", unit->path, "");
    assert_int_equal(otp_unit_open(unit, false), -EBADMSG);
    assert_non_null(strstr(unit->error, "backup"));
    assert_int_equal(truncate(unit->path, 50), 0);
    assert_int_equal(otp_unit_open(unit, false), -EBADMSG);
}

/* Garbage anywhere: a clear error at opening, or a no, never a crash or a
 * yes to what is wrong. */
static void
a_corrupted_page_never_opens_a_door(void **state)
{
    otp_unit_t *unit = *state;
    uint64_t pages, page;
    unsigned refused = 0;

    fill_with_users(unit, 200);
    add_user(unit, "sato");
    pages = pages_of(unit);
    otp_unit_close(unit);
    run("cp $A $B.good", unit->path, unit->path);
    for (page = 0; page < pages; page++) {
        char garbage[4096];
        int fd, result;

        run("cp $A.good $B", unit->path, unit->path);
        run("rm -f $A-wal $B.high", unit->path, unit->path);
        memset(garbage, 0xa5, sizeof(garbage));
        fd = open(unit->path, O_WRONLY);
        assert_true(fd >= 0);
        /* in the first page the header stays, so that it is not noticed by
         * that */
        assert_true(pwrite(fd, garbage, page == 0 ? 3000 : 4096,
                           (off_t) (page * 4096 + (page == 0 ? 100 : 0))) > 0);
        (void) close(fd);
        result = otp_unit_open(unit, false);
        if (result != 0) {
            assert_true(unit->error[0] != '\0');
            refused++;
            continue;
        }
        assert_int_equal(verify_wrong(unit, "sato").result, OTP_WRONG);
        otp_unit_close(unit);
    }
    assert_true(refused >= pages - 1);
}

static void
copy_store(otp_unit_t *unit, const char *to)
{
    otp_unit_close(unit);
    run("cp $A $B", unit->path, to);
}

static void
an_older_copy_is_noticed(void **state)
{
    otp_unit_t *unit = *state;
    char copy[80];

    (void) snprintf(copy, sizeof(copy), "%s.copy", unit->path);
    add_user(unit, "sato");
    copy_store(unit, copy);
    otp_unit_reopen(unit);
    assert_false(otp_stale(unit->store));
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
    otp_unit_close(unit);
    run("cp $A $B", copy, unit->path);
    run("rm $A-wal", unit->path, "");
    otp_unit_reopen(unit);
    assert_true(otp_stale(unit->store));
    /* the very code that the copy does not know of */
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_CLOCK);
    unit->now_ms += 3600000;
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_CLOCK);
    unit->now_ms -= 3600000;
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_clock_accept(unit->store, unit->now_ms), 0);
    assert_int_equal(otp_commit(unit->store), 0);
    assert_false(otp_stale(unit->store));
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_CLOCK);
    otp_unit_reopen(unit);
    assert_false(otp_stale(unit->store));
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_CLOCK);
    unit->now_ms += 150000;
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
}

static void
a_copy_without_its_high_file_waits_for_new_codes(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "sato");
    otp_unit_close(unit);
    run("rm $A.high", unit->path, "");
    otp_unit_reopen(unit);
    assert_false(otp_stale(unit->store));
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_CLOCK);
    unit->now_ms += 150000;
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
}

static void
a_damaged_high_file_shuts_the_doors(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "sato");
    otp_unit_close(unit);
    run("printf x | dd of=$A.high bs=1 seek=33 conv=notrunc 2> /dev/null$B",
        unit->path, "");
    otp_unit_reopen(unit);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_CLOCK);
}

static void
the_generation_counts_changes(void **state)
{
    otp_unit_t *unit = *state;
    int64_t greatest;
    uint64_t before = otp_generation(unit->store, NULL);

    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_commit(unit->store), 0);
    assert_true(otp_generation(unit->store, NULL) == before);
    (void) verify(unit, "nobody", "123456");
    assert_true(otp_generation(unit->store, &greatest) == before + 1);
    assert_true(greatest == unit->now_ms);
    otp_unit_reopen(unit);
    assert_true(otp_generation(unit->store, &greatest) == before + 1);
}

/* ---- A full disk ------------------------------------------------------------------ */

static void
fill_disk(const char *folder)
{
    static char bytes[4096];
    char path[128];
    size_t size = sizeof(bytes);
    int fd;

    (void) snprintf(path, sizeof(path), "%s/full", folder);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    while (size > 0) {
        if (write(fd, bytes, size) <= 0) {
            assert_int_equal(errno, ENOSPC);
            size /= 2;
        }
    }
    (void) close(fd);
}

static void
verify_many(otp_unit_t *unit, unsigned groups)
{
    char user[32], code[9];
    unsigned i, k;

    for (i = 0; i < groups; i++) {
        unit->now_ms += 30000;
        assert_int_equal(otp_begin(unit->store), 0);
        for (k = 0; k < 16; k++) {
            secret_t secret = secret_of("many");
            otp_parameters_t parameters = parameters_default(NULL);

            (void) snprintf(user, sizeof(user), "many%u", (i * 16 + k) % 500);
            memset(code, 0, sizeof(code));
            assert_int_equal(
                code_make(&secret, &parameters, step_now(unit), code), 0);
            assert_int_equal(attempt_from(unit, user, code, "local").result,
                             OTP_ACCEPTED);
        }
        assert_int_equal(otp_commit(unit->store), 0);
    }
}

static void
die_while_verifying(otp_unit_t *unit)
{
    int status;
    pid_t child;

    otp_unit_close(unit);
    child = fork();
    if (child == 0) {
        if (otp_unit_open(unit, false) != 0) {
            _exit(1);
        }
        verify_many(unit, 10);
        (void) kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    unit->now_ms += 10 * 30000;
    assert_int_equal(otp_unit_open(unit, false), 0);
}

static int
on_a_full_disk(otp_unit_t *unit)
{
    unsigned i;
    int result;

    if (mount("none", unit->folder, "tmpfs", 0, "size=16m") != 0) {
        return 1;
    }
    assert_int_equal(otp_unit_open(unit, true), 0);
    fill_with_users(unit, 500);
    fill_disk(unit->folder);
    verify_many(unit, 500); /* the log is used again many times */
    assert_int_equal(verify(unit, "nobody", "123456").result, OTP_NOT_ENROLLED);
    otp_unit_reopen(unit);
    verify_many(unit, 500);
    die_while_verifying(unit);
    verify_many(unit, 500);
    /* who is new cannot be enrolled, which hurts nobody else */
    for (i = 0, result = 0; i < 20000 && result == 0; i++) {
        uint8_t secret[OTP_SECRET_MAX];
        size_t size;
        char user[300];

        (void) snprintf(user, sizeof(user), "new%0200u", i);
        assert_int_equal(otp_begin(unit->store), 0);
        result = otp_enroll(unit->store, slice_of(user), SLICE("phone"), NULL,
                            unit->now_ms, secret, &size);
        result = otp_commit(unit->store);
    }
    assert_int_equal(result, -ENOSPC);
    assert_non_null(strstr(otp_strerror(unit->store), "make room"));
    verify_many(unit, 500);
    otp_unit_reopen(unit);
    verify_many(unit, 500);
    otp_unit_close(unit);
    return 0;
}

static void
enrolled_users_enter_on_a_full_disk(void **state)
{
    otp_unit_t *unit = *state;
    int status;
    pid_t child;

    otp_unit_close(unit);
    child = fork(); /* the mount is its own */
    if (child == 0) {
        if (unshare(CLONE_NEWNS | (geteuid() == 0 ? 0 : CLONE_NEWUSER)) != 0 ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        {
            _exit(77);
        }
        _exit(on_a_full_disk(unit) == 0 ? 0 : 77);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("no namespace of mounts to be had here\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void
a_great_change_does_not_leave_a_great_log(void **state)
{
    otp_unit_t *unit = *state;
    char log[80];
    struct stat st;

    fill_with_users(unit, 60000); /* more than the log holds */
    (void) snprintf(log, sizeof(log), "%s-wal", unit->path);
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(st.st_size, 8 << 20);
    verify_many(unit, 300);
    otp_unit_reopen(unit);
    verify_many(unit, 300);
    assert_int_equal(stat(log, &st), 0);
    assert_int_equal(st.st_size, 8 << 20);
}

UNIT_TESTS(
    OTP_TEST(is_there_again_after_closing),
    OTP_TEST(files_are_for_the_owner_alone),
    OTP_TEST(nothing_is_made_where_it_was_not_asked_for),
    OTP_TEST(a_second_process_is_kept_out),
    OTP_TEST(another_key_is_told_as_such),
    OTP_TEST(a_secret_moved_to_another_user_opens_nothing),
    OTP_TEST(a_secret_moved_to_another_device_or_parameters_opens_nothing),
    OTP_TEST(a_damaged_row_hurts_its_user_alone),
    OTP_TEST(what_is_no_store_is_refused_and_left_alone),
    OTP_TEST(a_later_version_is_told_as_such),
    OTP_TEST(foreign_tables_and_triggers_are_refused),
    OTP_TEST(a_file_others_may_read_is_refused),
    OTP_TEST(a_cut_file_is_told_as_such),
    OTP_TEST(a_corrupted_page_never_opens_a_door),
    OTP_TEST(an_older_copy_is_noticed),
    OTP_TEST(a_copy_without_its_high_file_waits_for_new_codes),
    OTP_TEST(a_damaged_high_file_shuts_the_doors),
    OTP_TEST(the_generation_counts_changes),
    OTP_TEST(enrolled_users_enter_on_a_full_disk),
    OTP_TEST(a_great_change_does_not_leave_a_great_log))
