/* Everything that is there, a device at a time. */

#include "otp_internal.h"

typedef struct {
    bool secrets;
    otp_device_fn fn;
    void *context;
} listing_t;

/*
 * The states of a user's devices stand in his rows one after another, so that
 * `enrolled` is only known at the last: it is asked for at his first.
 */
static int
tell_row(otp_store_t *store, sqlite3_stmt *statement, const listing_t *listing,
         otp_user_t *state, char last[OTP_USER_MAX], size_t *last_size,
         bool *more)
{
    _cleanup_(secret_wipe) secret_t secret = {.size = 0};
    slice_t user = {sqlite3_column_blob(statement, 0),
                    (size_t) sqlite3_column_bytes(statement, 0)};
    otp_device_t told = {.user = user, .device = {"", 0}};
    device_row_t row;
    int result;

    if (user.size == 0 || user.size > OTP_USER_MAX) {
        return store_fail(store, -EBADMSG, "a user's name is damaged");
    }
    if (!slice_equal(user, (slice_t){last, *last_size})) {
        result = otp_user(store, user, state);
        if (result != 0) {
            return result;
        }
        memcpy(last, user.data, user.size);
        *last_size = user.size;
    }
    told.state = *state;
    told.created_ms = state->created_ms;
    told.last_used_ms = state->last_used_ms;
    if (sqlite3_column_type(statement, 3) != SQLITE_NULL) {
        if (!device_load(&row, statement, 3)) {
            return store_fail(
                store, -EBADMSG, "a device of user \"%.*s\" is damaged",
                (int) (user.size < 64 ? user.size : 64), user.data);
        }
        told.device = device_name(&row);
        told.confirmed = row.confirmed;
        told.parameters = row.parameters;
        told.created_ms = row.created_ms;
        told.last_used_ms = row.last_used_ms;
        if (listing->secrets) {
            result = device_unseal(store, user, &row, &secret);
            if (result != 0) {
                return result;
            }
            told.secret = secret.bytes;
            told.secret_size = secret.size;
        }
    }
    *more = listing->fn(listing->context, &told);
    return 0;
}

static int
list(otp_store_t *store, slice_t user, slice_t after, const listing_t *listing)
{
    slice_t key = user.size > 0 ? user : after;
    sqlite3_stmt *statement = store_statement(
        store, user.size > 0 ? SQL_LIST_ONE : SQL_LIST_AFTER);
    char last[OTP_USER_MAX];
    otp_user_t state = {0};
    size_t last_size = 0;
    bool more = true;
    int result = 0, step = SQLITE_DONE;

    if (statement == NULL ||
        sqlite3_bind_blob(statement, 1, key.size == 0 ? "" : key.data,
                          (int) key.size, SQLITE_STATIC) != SQLITE_OK)
    {
        return store_sql_error(store, "list users");
    }
    while (result == 0 && more &&
           (step = sqlite3_step(statement)) == SQLITE_ROW) {
        result = tell_row(store, statement, listing, &state, last, &last_size,
                          &more);
    }
    if (result == 0 && more && step != SQLITE_DONE) {
        result = store_sql_error(store, "list users");
    }
    (void) sqlite3_reset(statement);
    (void) sqlite3_clear_bindings(statement);
    return result;
}

int
otp_list(otp_store_t *store, slice_t user, slice_t after, otp_device_fn fn,
         void *context)
{
    const listing_t listing = {false, fn, context};

    return list(store, user, after, &listing);
}

int
otp_export(otp_store_t *store, slice_t user, slice_t after, otp_device_fn fn,
           void *context)
{
    const listing_t listing = {true, fn, context};

    return list(store, user, after, &listing);
}
