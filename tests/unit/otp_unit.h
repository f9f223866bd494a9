/* A small store in a folder of its own, for the tests of lib/otp. */

#ifndef SEKISHO_TESTS_OTP_UNIT_H
#define SEKISHO_TESTS_OTP_UNIT_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/otp/otp_internal.h"

#define NOW_MS INT64_C(1790000020000) /* ten seconds into a step of 30 */

typedef struct {
    char folder[48];
    char path[64];
    otp_keys_t keys;
    otp_rules_t rules;
    otp_store_t *store;
    int64_t now_ms;
    char error[256];
} otp_unit_t;

static inline int
otp_remove_one(const char *path, const struct stat *st, int type,
               struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

static inline int
otp_unit_open(otp_unit_t *unit, bool create)
{
    return otp_open(unit->path, &unit->keys, &unit->rules, create, &unit->store,
                    unit->error);
}

static inline void
otp_unit_close(otp_unit_t *unit)
{
    otp_close(unit->store);
    unit->store = NULL;
}

static inline void
otp_unit_reopen(otp_unit_t *unit)
{
    otp_unit_close(unit);
    if (otp_unit_open(unit, false) != 0) {
        fail_msg("%s", unit->error);
    }
}

static inline int
otp_unit_start(void **state)
{
    otp_unit_t *unit = calloc(1, sizeof(*unit));

    *state = unit;
    if (unit == NULL) {
        return -1;
    }
    /* in memory where that can be had: these tests sync a lot */
    (void) snprintf(unit->folder, sizeof(unit->folder), "%s/sekisho-XXXXXX",
                    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(unit->folder) == NULL) {
        return -1;
    }
    (void) snprintf(unit->path, sizeof(unit->path), "%.40s/codes.db",
                    unit->folder);
    unit->rules = otp_rules_default();
    unit->now_ms = NOW_MS;
    unit->keys = (otp_keys_t){.count = 1, .version = {1}};
    memset(unit->keys.key[0], 0x5a, OTP_KEY_SIZE);
    if (otp_unit_open(unit, true) != 0) {
        (void) fprintf(stderr, "%s\n", unit->error);
        return -1;
    }
    return 0;
}

static inline int
otp_unit_stop(void **state)
{
    otp_unit_t *unit = *state;

    otp_close(unit->store);
    (void) nftw(unit->folder, otp_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(unit);
    return 0;
}

/* Every user's secret is his own, and known here. */
static inline secret_t
secret_of(const char *user)
{
    secret_t secret = {.size = 20};

    memset(secret.bytes, 0x41, secret.size);
    memcpy(secret.bytes, user, strlen(user) < 20 ? strlen(user) : 20);
    return secret;
}

static inline void
add_user_as(otp_unit_t *unit, const char *user, const char *device,
            const otp_parameters_t *parameters)
{
    secret_t secret = secret_of(user);

    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_import(unit->store, slice_of(user), slice_of(device),
                                parameters, secret.bytes, secret.size,
                                unit->now_ms),
                     0);
    assert_int_equal(otp_commit(unit->store), 0);
}

static inline void
add_user(otp_unit_t *unit, const char *user)
{
    add_user_as(unit, user, "phone", NULL);
}

/* The code of a step (TOTP: of 30 s) or counter. */
static inline const char *
code_of(const char *user, uint64_t step, char code[CODE_DIGITS_MAX + 1])
{
    const otp_parameters_t parameters = parameters_default(NULL);
    secret_t secret = secret_of(user);

    memset(code, 0, CODE_DIGITS_MAX + 1);
    assert_int_equal(code_make(&secret, &parameters, step, code), 0);
    return code;
}

static inline uint64_t
step_now(const otp_unit_t *unit)
{
    return (uint64_t) (unit->now_ms / 30000);
}

/* One attempt inside the open group. */
static inline otp_outcome_t
attempt_from(otp_unit_t *unit, const char *user, const char *code,
             const char *source)
{
    otp_attempt_t attempt = {.user = slice_of(user),
                             .code = slice_of(code),
                             .source = slice_of(source),
                             .now_ms = unit->now_ms};
    otp_outcome_t outcome;

    otp_verify(unit->store, &attempt, &outcome);
    return outcome;
}

/* One attempt in a group of its own. */
static inline otp_outcome_t
verify(otp_unit_t *unit, const char *user, const char *code)
{
    otp_outcome_t outcome;

    assert_int_equal(otp_begin(unit->store), 0);
    outcome = attempt_from(unit, user, code, "local");
    assert_int_equal(otp_commit(unit->store), 0);
    return outcome;
}

/* With the code of the user's phone, `offset` steps from now. */
static inline otp_outcome_t
verify_right(otp_unit_t *unit, const char *user, int offset)
{
    char code[CODE_DIGITS_MAX + 1];

    return verify(
        unit, user,
        code_of(user, step_now(unit) + (uint64_t) (int64_t) offset, code));
}

/* A code that is none of the user's around now. */
static inline const char *
wrong_code(const otp_unit_t *unit, const char *user, char code[9])
{
    char other[9];
    unsigned number = 0;
    int offset;

    for (;; number++) {
        bool taken = false;

        (void) snprintf(code, 9, "%06u", number);
        for (offset = -30; offset <= 30; offset++) {
            taken |= strcmp(code, code_of(user,
                                          step_now(unit) +
                                              (uint64_t) (int64_t) offset,
                                          other)) == 0;
        }
        if (!taken) {
            return code;
        }
    }
}

static inline otp_outcome_t
verify_wrong(otp_unit_t *unit, const char *user)
{
    char code[9];

    return verify(unit, user, wrong_code(unit, user, code));
}

static inline uint64_t
pages_of(otp_unit_t *unit)
{
    sqlite3_stmt *statement;
    uint64_t pages;

    assert_int_equal(sqlite3_prepare_v2(unit->store->db, "PRAGMA page_count",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    pages = (uint64_t) sqlite3_column_int64(statement, 0);
    (void) sqlite3_finalize(statement);
    return pages;
}

#define OTP_TEST(function)                                                     \
    cmocka_unit_test_setup_teardown(function, otp_unit_start, otp_unit_stop)

#endif
