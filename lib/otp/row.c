/* Rows of users and devices, between SQLite and structs. */

#include "otp_internal.h"

#include "../base/endian.h"

#define USER_STATE_SIZE   64
#define DEVICE_STATE_SIZE 64
#define PARAMETERS_SIZE   8

/* ---- Bytes ------------------------------------------------------------------ */

static void
user_state_store(const user_row_t *row, uint8_t bytes[USER_STATE_SIZE])
{
    memset(bytes, 0, USER_STATE_SIZE);
    store_le32(bytes, row->failures);
    store_le32(bytes + 4, row->locked);
    store_le64(bytes + 8, (uint64_t) row->until_ms);
    store_le64(bytes + 16, (uint64_t) row->last_used_ms);
    store_le64(bytes + 24, (uint64_t) row->created_ms);
    store_le32(bytes + 32, row->grace_logins);
    store_le16(bytes + 36, row->recovery_used);
    store_le64(bytes + 40, row->touched);
}

bool
user_state_load(user_row_t *row, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    if (bytes == NULL || size != USER_STATE_SIZE) {
        return false;
    }
    row->failures = load_le32(bytes);
    row->locked = load_le32(bytes + 4) != 0;
    row->until_ms = (int64_t) load_le64(bytes + 8);
    row->last_used_ms = (int64_t) load_le64(bytes + 16);
    row->created_ms = (int64_t) load_le64(bytes + 24);
    row->grace_logins = load_le32(bytes + 32);
    row->recovery_used = load_le16(bytes + 36);
    row->touched = load_le64(bytes + 40);
    return true;
}

static void
device_state_store(const device_row_t *row, uint8_t bytes[DEVICE_STATE_SIZE])
{
    memset(bytes, 0, DEVICE_STATE_SIZE);
    store_le64(bytes, row->next);
    store_le64(bytes + 8, (uint64_t) row->last_used_ms);
    store_le64(bytes + 16, (uint64_t) row->created_ms);
    store_le32(bytes + 24, (uint32_t) row->drift);
    store_le32(bytes + 28, (uint32_t) row->hint);
    bytes[32] = row->confirmed;
    bytes[33] = row->refused;
    store_le64(bytes + 40, row->touched);
}

static bool
device_state_load(device_row_t *row, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    if (bytes == NULL || size != DEVICE_STATE_SIZE) {
        return false;
    }
    row->next = load_le64(bytes);
    row->last_used_ms = (int64_t) load_le64(bytes + 8);
    row->created_ms = (int64_t) load_le64(bytes + 16);
    row->drift = (int32_t) load_le32(bytes + 24);
    row->hint = (int32_t) load_le32(bytes + 28);
    row->confirmed = bytes[32] == 1;
    row->refused = bytes[33];
    row->touched = load_le64(bytes + 40);
    return row->next <= INT64_MAX && row->drift >= -32 && row->drift <= 32 &&
           row->hint >= -32 && row->hint <= 32;
}

static void
parameters_store(const otp_parameters_t *parameters,
                 uint8_t bytes[PARAMETERS_SIZE])
{
    memset(bytes, 0, PARAMETERS_SIZE);
    bytes[0] = (uint8_t) parameters->kind;
    bytes[1] = (uint8_t) parameters->digest;
    bytes[2] = (uint8_t) parameters->digits;
    store_le32(bytes + 4, parameters->period_seconds);
}

static bool
parameters_load(otp_parameters_t *parameters, const void *data, size_t size)
{
    const uint8_t *bytes = data;

    if (bytes == NULL || size != PARAMETERS_SIZE || bytes[3] != 0) {
        return false;
    }
    *parameters = (otp_parameters_t){.kind = (otp_kind_t) bytes[0],
                                     .digest = (otp_digest_t) bytes[1],
                                     .digits = bytes[2],
                                     .period_seconds = load_le32(bytes + 4)};
    return parameters_valid(parameters);
}

/* ---- Reading ------------------------------------------------------------------ */

static slice_t
column_blob(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    int size = sqlite3_column_bytes(statement, column);

    return (slice_t){data, data == NULL || size < 0 ? 0 : (size_t) size};
}

/* Columns from `column` on: state, recovery. */
bool
user_load(user_row_t *row, sqlite3_stmt *statement, int column)
{
    slice_t state = column_blob(statement, column);
    slice_t recovery;

    memset(row, 0, sizeof(*row));
    if (!user_state_load(row, state.data, state.size)) {
        return false;
    }
    recovery = column_blob(statement, column + 1);
    if (recovery.size == 0) {
        return true;
    }
    if (recovery.size != RECOVERY_SEALED) {
        return false;
    }
    memcpy(row->recovery, recovery.data, RECOVERY_SEALED);
    row->has_recovery = true;
    return true;
}

/* Columns from `column` on: name, parameters, state, sealed. */
bool
device_load(device_row_t *row, sqlite3_stmt *statement, int column)
{
    slice_t name = column_blob(statement, column), bytes;

    memset(row, 0, sizeof(*row));
    if (name.size > OTP_DEVICE_MAX) {
        return false;
    }
    if (name.size > 0) {
        memcpy(row->name, name.data, name.size);
    }
    row->name_size = name.size;
    bytes = column_blob(statement, column + 1);
    if (!parameters_load(&row->parameters, bytes.data, bytes.size)) {
        return false;
    }
    bytes = column_blob(statement, column + 2);
    if (!device_state_load(row, bytes.data, bytes.size)) {
        return false;
    }
    bytes = column_blob(statement, column + 3);
    if (bytes.size <= SEAL_OVERHEAD || bytes.size > SECRET_SEALED_MAX) {
        return false;
    }
    memcpy(row->sealed, bytes.data, bytes.size);
    row->sealed_size = bytes.size;
    if (row->parameters.kind == OTP_HOTP) {
        row->parameters.counter = row->next;
    }
    return true;
}

static int
bind(sqlite3_stmt *statement, int index, const void *data, size_t size)
{
    /* a NULL pointer would bind NULL, which is no empty blob */
    return sqlite3_bind_blob(statement, index, size == 0 ? "" : data,
                             (int) size, SQLITE_STATIC);
}

static int
damaged(otp_store_t *store, slice_t user)
{
    return store_fail(store, -EBADMSG,
                      "a row of user \"%.*s\" is damaged: remove and enrol "
                      "anew, or put back a backup",
                      (int) (user.size < 64 ? user.size : 64), user.data);
}

/* To the only row there can be: 0, -ENOENT, or the error. */
static int
step_to_row(otp_store_t *store, sqlite3_stmt *statement, const char *what)
{
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        return 0;
    case SQLITE_DONE:
        return -ENOENT;
    default:
        return store_sql_error(store, what);
    }
}

int
user_get(otp_store_t *store, slice_t user, user_row_t *row)
{
    sqlite3_stmt *statement = store_statement(store, SQL_USER_GET);
    int result;

    memset(row, 0, sizeof(*row));
    if (statement == NULL ||
        bind(statement, 1, user.data, user.size) != SQLITE_OK) {
        return store_sql_error(store, "read a user");
    }
    result = step_to_row(store, statement, "read a user");
    if (result == 0 && !user_load(row, statement, 0)) {
        result = damaged(store, user);
    }
    (void) sqlite3_reset(statement);
    return result;
}

int
devices_get(otp_store_t *store, slice_t user, device_rows_t *devices)
{
    sqlite3_stmt *statement = store_statement(store, SQL_DEVICES_GET);
    int result = 0, step;

    devices->count = 0;
    if (statement == NULL ||
        bind(statement, 1, user.data, user.size) != SQLITE_OK) {
        return store_sql_error(store, "read devices");
    }
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) {
        if (devices->count == OTP_DEVICES_MAX ||
            !device_load(&devices->rows[devices->count], statement, 0))
        {
            result = damaged(store, user);
            break;
        }
        devices->count++;
    }
    if (result == 0 && step != SQLITE_DONE) {
        result = store_sql_error(store, "read devices");
    }
    (void) sqlite3_reset(statement);
    return result;
}

int
device_get(otp_store_t *store, slice_t user, slice_t device, device_row_t *row)
{
    sqlite3_stmt *statement = store_statement(store, SQL_DEVICE_GET);
    int result;

    memset(row, 0, sizeof(*row));
    if (statement == NULL ||
        bind(statement, 1, user.data, user.size) != SQLITE_OK ||
        bind(statement, 2, device.data, device.size) != SQLITE_OK)
    {
        return store_sql_error(store, "read a device");
    }
    result = step_to_row(store, statement, "read a device");
    if (result == 0 && !device_load(row, statement, 0)) {
        result = damaged(store, user);
    }
    (void) sqlite3_reset(statement);
    return result;
}

/* ---- Writing ------------------------------------------------------------------ */

/* Binds up to four blobs and runs; -ENOENT if no row was there. */
static int
write_row(otp_store_t *store, sql_t which, const char *what, const slice_t *a,
          size_t count)
{
    sqlite3_stmt *statement;
    size_t i;
    int result = store_writable(store);

    if (result != 0) {
        return result;
    }
    statement = store_statement(store, which);
    if (statement == NULL) {
        return store_sql_error(store, what);
    }
    for (i = 0; i < count; i++) {
        if (bind(statement, (int) i + 1, a[i].data, a[i].size) != SQLITE_OK) {
            store->failed = store_sql_error(store, what);
            return store->failed;
        }
    }
    store->changed = true;
    result = store_run(store, statement, what);
    (void) sqlite3_clear_bindings(statement); /* they pointed to our stack */
    if (result != 0 && result != -EEXIST) {
        store->failed = result;
    }
    if (result == 0 && sqlite3_changes(store->db) == 0) {
        return -ENOENT;
    }
    return result;
}

#define BYTES(array) ((slice_t){(const char *) (array), sizeof(array)})

int
user_put(otp_store_t *store, slice_t user, user_row_t *row)
{
    uint8_t state[USER_STATE_SIZE];
    slice_t values[] = {BYTES(state), user};

    row->touched++;
    user_state_store(row, state);
    return write_row(store, SQL_USER_PUT, "write a user", values, 2);
}

static slice_t
recovery_bytes(const user_row_t *row)
{
    return (slice_t){(const char *) row->recovery,
                     row->has_recovery ? RECOVERY_SEALED : 0};
}

int
user_add(otp_store_t *store, slice_t user, const user_row_t *row)
{
    uint8_t state[USER_STATE_SIZE];
    slice_t values[] = {user, BYTES(state), recovery_bytes(row)};

    user_state_store(row, state);
    store->grown = true;
    return write_row(store, SQL_USER_ADD, "add a user", values, 3);
}

int
user_put_recovery(otp_store_t *store, slice_t user, const user_row_t *row)
{
    slice_t values[] = {recovery_bytes(row), user};

    store->grown = true;
    return write_row(store, SQL_USER_RECOVERY, "write recovery codes", values,
                     2);
}

int
user_delete(otp_store_t *store, slice_t user)
{
    int result = write_row(store, SQL_DEVICES_DELETE, "remove devices", &user,
                           1);

    if (result != 0 && result != -ENOENT) {
        return result;
    }
    return write_row(store, SQL_USER_DELETE, "remove a user", &user, 1);
}

int
device_put(otp_store_t *store, slice_t user, device_row_t *row)
{
    uint8_t state[DEVICE_STATE_SIZE];
    slice_t values[] = {BYTES(state), user, device_name(row)};

    row->touched++;
    device_state_store(row, state);
    return write_row(store, SQL_DEVICE_PUT, "write a device", values, 3);
}

int
device_add(otp_store_t *store, slice_t user, const device_row_t *row)
{
    uint8_t state[DEVICE_STATE_SIZE], parameters[PARAMETERS_SIZE];
    slice_t values[] = {user,
                        device_name(row),
                        BYTES(parameters),
                        BYTES(state),
                        {(const char *) row->sealed, row->sealed_size}};

    device_state_store(row, state);
    parameters_store(&row->parameters, parameters);
    store->grown = true;
    return write_row(store, SQL_DEVICE_ADD, "add a device", values, 5);
}

int
device_put_sealed(otp_store_t *store, slice_t user, const device_row_t *row)
{
    slice_t values[] = {
        {(const char *) row->sealed, row->sealed_size}, user, device_name(row)};

    return write_row(store, SQL_DEVICE_SEALED, "seal a device", values, 3);
}

int
device_delete(otp_store_t *store, slice_t user, slice_t device)
{
    slice_t values[] = {user, device};

    return write_row(store, SQL_DEVICE_DELETE, "remove a device", values, 2);
}

/* ---- Sealed ------------------------------------------------------------------- */

seal_label_t
device_label(slice_t user, const device_row_t *row)
{
    seal_label_t label = {
        .purpose = "secret", .user = user, .device = device_name(row)};

    parameters_store(&row->parameters, label.parameters);
    return label;
}

static int
tell_unseal(otp_store_t *store, slice_t user, const uint8_t *sealed,
            size_t size, int result)
{
    int shown = (int) (user.size < 64 ? user.size : 64);

    if (result == -ENOKEY) {
        return store_fail(store, result,
                          "user \"%.*s\" is sealed with key %u, which the key "
                          "file lacks",
                          shown, user.data, otp_seal_version(sealed, size));
    }
    return store_fail(store, result,
                      "what is sealed for user \"%.*s\" is not his or was "
                      "changed",
                      shown, user.data);
}

int
device_unseal(otp_store_t *store, slice_t user, const device_row_t *row,
              secret_t *secret)
{
    seal_label_t label = device_label(user, row);
    int result;

    result = otp_unseal(&store->sealer, &label, row->sealed, row->sealed_size,
                        secret->bytes, sizeof(secret->bytes), &secret->size);
    return result == 0 ? 0
                       : tell_unseal(store, user, row->sealed, row->sealed_size,
                                     result);
}

int
device_seal(otp_store_t *store, slice_t user, device_row_t *row,
            const secret_t *secret)
{
    seal_label_t label = device_label(user, row);

    row->sealed_size = secret->size + SEAL_OVERHEAD;
    return otp_seal(&store->sealer, &label, secret->bytes, secret->size,
                    row->sealed);
}

int
recovery_unseal(otp_store_t *store, slice_t user, const user_row_t *row,
                recovery_t *recovery)
{
    seal_label_t label = {.purpose = "recovery", .user = user};
    size_t size;
    int result;

    result = otp_unseal(&store->sealer, &label, row->recovery, RECOVERY_SEALED,
                        recovery, sizeof(*recovery), &size);
    return result == 0 ? 0
                       : tell_unseal(store, user, row->recovery,
                                     RECOVERY_SEALED, result);
}

int
recovery_seal(otp_store_t *store, slice_t user, user_row_t *row,
              const recovery_t *recovery)
{
    seal_label_t label = {.purpose = "recovery", .user = user};

    row->has_recovery = true;
    return otp_seal(&store->sealer, &label, recovery, sizeof(*recovery),
                    row->recovery);
}
