/*
 * A new key: rows that an older one sealed are sealed anew, some at a time.
 *
 * Where a call ended is remembered, so that all calls together read the table
 * once and not once each; after the last the rows are counted again.
 */

#include "otp_internal.h"

#include "../base/endian.h"
#include "store.h"

static int
bind_version(otp_store_t *store, sqlite3_stmt *statement, uint8_t version[4])
{
    store_le32(version, otp_sealer_newest(&store->sealer));
    return statement != NULL && sqlite3_bind_blob(statement, 1, version, 4,
                                                  SQLITE_STATIC) == SQLITE_OK
               ? 0
               : store_sql_error(store, "look for older seals");
}

static int
count_old(otp_store_t *store, sql_t which, uint64_t *count)
{
    sqlite3_stmt *statement = store_statement(store, which);
    uint8_t version[4];
    int result = bind_version(store, statement, version);

    if (result != 0) {
        return result;
    }
    if (sqlite3_step(statement) != SQLITE_ROW) {
        result = store_sql_error(store, "look for older seals");
    } else {
        *count += (uint64_t) sqlite3_column_int64(statement, 0);
    }
    (void) sqlite3_reset(statement);
    return result;
}

static int
bind_name(sqlite3_stmt *statement, int index, const rekey_name_t *name)
{
    return sqlite3_bind_blob(statement, index,
                             name->size == 0 ? "" : name->text,
                             (int) name->size, SQLITE_STATIC);
}

static bool
keep_name(rekey_name_t *name, sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    int size = sqlite3_column_bytes(statement, column);

    if (size < 0 || (size_t) size > sizeof(name->text)) {
        return false;
    }
    name->size = (size_t) size;
    if (size > 0) {
        memcpy(name->text, data, (size_t) size);
    }
    return true;
}

#define NAME(name) ((slice_t){(name).text, (name).size})

/* The next device after the cursor, or -ENOENT. */
static int
next_device(otp_store_t *store, device_row_t *row)
{
    sqlite3_stmt *statement = store_statement(store, SQL_OLD_DEVICES);
    uint8_t version[4];
    int result = bind_version(store, statement, version), step;

    if (result != 0) {
        return result;
    }
    if (bind_name(statement, 2, &store->rekey.user) != SQLITE_OK ||
        bind_name(statement, 3, &store->rekey.device) != SQLITE_OK)
    {
        return store_sql_error(store, "look for older seals");
    }
    step = sqlite3_step(statement);
    if (step == SQLITE_DONE) {
        result = -ENOENT;
    } else if (step != SQLITE_ROW) {
        result = store_sql_error(store, "look for older seals");
    } else if (!device_load(row, statement, 1) ||
               !keep_name(&store->rekey.user, statement, 0) ||
               !keep_name(&store->rekey.device, statement, 1))
    {
        result = store_fail(store, -EBADMSG, "a device's row is damaged");
    }
    (void) sqlite3_reset(statement);
    return result;
}

static int
next_user(otp_store_t *store, user_row_t *row)
{
    sqlite3_stmt *statement = store_statement(store, SQL_OLD_USERS);
    uint8_t version[4];
    int result = bind_version(store, statement, version), step;

    if (result != 0) {
        return result;
    }
    if (bind_name(statement, 2, &store->rekey.owner) != SQLITE_OK) {
        return store_sql_error(store, "look for older seals");
    }
    step = sqlite3_step(statement);
    if (step == SQLITE_DONE) {
        result = -ENOENT;
    } else if (step != SQLITE_ROW) {
        result = store_sql_error(store, "look for older seals");
    } else if (!user_load(row, statement, 1) ||
               !keep_name(&store->rekey.owner, statement, 0))
    {
        result = store_fail(store, -EBADMSG, "a user's row is damaged");
    }
    (void) sqlite3_reset(statement);
    return result;
}

/* The decoy has the name "", which the cursor starts behind. */
static int
rekey_decoy(otp_store_t *store)
{
    _cleanup_(secret_wipe) secret_t secret = {.size = 0};
    recovery_t recovery;
    device_row_t device;
    user_row_t user;
    int result = device_get(store, DECOY, DECOY, &device);

    if (result == 0) {
        result = device_unseal(store, DECOY, &device, &secret);
    }
    if (result == 0) {
        result = device_seal(store, DECOY, &device, &secret);
    }
    if (result == 0) {
        result = device_put_sealed(store, DECOY, &device);
    }
    if (result == 0) {
        result = user_get(store, DECOY, &user);
    }
    if (result == 0) {
        result = recovery_unseal(store, DECOY, &user, &recovery);
    }
    if (result == 0) {
        result = recovery_seal(store, DECOY, &user, &recovery);
    }
    if (result == 0) {
        result = user_put_recovery(store, DECOY, &user);
    }
    wipe_bytes(&recovery, sizeof(recovery));
    return result;
}

static int
start(otp_store_t *store)
{
    int result;

    memset(&store->rekey, 0, sizeof(store->rekey));
    result = count_old(store, SQL_OLD_DEVICES_COUNT, &store->rekey.left);
    if (result == 0) {
        result = count_old(store, SQL_OLD_USERS_COUNT, &store->rekey.left);
    }
    store->rekey.counted = result == 0;
    return result;
}

static int
one_device(otp_store_t *store)
{
    _cleanup_(secret_wipe) secret_t secret = {.size = 0};
    device_row_t row;
    int result = next_device(store, &row);

    if (result == 0) {
        result = device_unseal(store, NAME(store->rekey.user), &row, &secret);
    }
    if (result == 0) {
        result = device_seal(store, NAME(store->rekey.user), &row, &secret);
    }
    if (result == 0) {
        result = device_put_sealed(store, NAME(store->rekey.user), &row);
    }
    return result;
}

static int
one_user(otp_store_t *store)
{
    recovery_t recovery;
    user_row_t row;
    int result = next_user(store, &row);

    if (result == 0) {
        result = recovery_unseal(store, NAME(store->rekey.owner), &row,
                                 &recovery);
    }
    if (result == 0) {
        result = recovery_seal(store, NAME(store->rekey.owner), &row,
                               &recovery);
    }
    if (result == 0) {
        result = user_put_recovery(store, NAME(store->rekey.owner), &row);
    }
    wipe_bytes(&recovery, sizeof(recovery));
    return result;
}

int
otp_rekey(otp_store_t *store, uint32_t count, uint64_t *left)
{
    int result = store_writable(store);

    *left = UINT64_MAX;
    if (result == 0 && !store->rekey.counted) {
        result = start(store);
        if (result == 0 && store->rekey.left > 0) {
            result = rekey_decoy(store);
            store->rekey.left -= store->rekey.left < 2 ? store->rekey.left : 2;
        }
    }
    while (result == 0 && count-- > 0 && store->rekey.left > 0) {
        result = store->rekey.devices_done ? one_user(store)
                                           : one_device(store);
        if (result == 0) {
            store->rekey.left--;
        } else if (result == -ENOENT && !store->rekey.devices_done) {
            store->rekey.devices_done = true;
            result = 0;
        } else if (result == -ENOENT) {
            result = start(store); /* rows came or went meanwhile */
        }
    }
    if (result == 0 && store->rekey.left == 0) {
        result = start(store);
        if (result == 0 && store->rekey.left == 0) {
            result = store_seal_check(store);
            store->rekey.counted = false;
        }
    }
    if (result != 0) {
        store->rekey.counted = false;
        return result;
    }
    *left = store->rekey.left;
    return 0;
}
