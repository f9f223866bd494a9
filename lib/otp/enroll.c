/* Users and devices: what administrators, and people for themselves, change. */

#include "otp_internal.h"

#include <openssl/rand.h>

#define CONFIRM_TRIES 5

/* No control characters: names stand in logs and on terminals. */
static bool
name_valid(slice_t name, size_t max)
{
    size_t i;

    if (name.size == 0 || name.size > max) {
        return false;
    }
    for (i = 0; i < name.size; i++) {
        if ((unsigned char) name.data[i] < 0x20 || name.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

bool
user_name_valid(slice_t user)
{
    return name_valid(user, OTP_USER_MAX);
}

bool
device_name_valid(slice_t device)
{
    return name_valid(device, OTP_DEVICE_MAX);
}

static int
check_user(otp_store_t *store, slice_t user)
{
    int result = store_writable(store);

    if (result != 0) {
        return result;
    }
    return user_name_valid(user)
               ? 0
               : store_fail(store, -EINVAL,
                            "a user's name has 1 to %d bytes and no control "
                            "characters",
                            OTP_USER_MAX);
}

static int
check_names(otp_store_t *store, slice_t user, slice_t device)
{
    int result = check_user(store, user);

    if (result != 0 || device_name_valid(device)) {
        return result;
    }
    return store_fail(store, -EINVAL,
                      "a device's name has 1 to %d bytes and no control "
                      "characters",
                      OTP_DEVICE_MAX);
}

int
otp_user(otp_store_t *store, slice_t user, otp_user_t *state)
{
    user_row_t row;
    device_rows_t devices;
    uint32_t i;
    int result;

    memset(state, 0, sizeof(*state));
    if (!user_name_valid(user)) {
        return -ENOENT;
    }
    result = user_get(store, user, &row);
    if (result == 0) {
        result = devices_get(store, user, &devices);
    }
    if (result != 0) {
        return result;
    }
    user_state(store, &row, state);
    for (i = 0; i < devices.count; i++) {
        state->enrolled |= devices.rows[i].confirmed;
        state->pending |= !devices.rows[i].confirmed;
    }
    state->devices = devices.count;
    return 0;
}

void
user_state(const otp_store_t *store, const user_row_t *row, otp_user_t *state)
{
    *state = (otp_user_t){
        .locked = row->locked || row->failures >= store->rules.lock_at,
        .failures = row->failures,
        .grace_logins = row->grace_logins,
        .last_used_ms = row->last_used_ms,
        .created_ms = row->created_ms,
    };
    if (row->has_recovery) {
        state->recovery_left = OTP_RECOVERY_CODES -
                               (uint32_t) __builtin_popcount(
                                   row->recovery_used);
    }
}

/* The user's row, made if there is none. */
static int
need_user(otp_store_t *store, slice_t user, int64_t now_ms, user_row_t *row)
{
    int result = user_get(store, user, row);

    if (result != -ENOENT) {
        return result;
    }
    *row = (user_row_t){.created_ms = now_ms};
    return user_add(store, user, row);
}

int
otp_grace(otp_store_t *store, slice_t user, int64_t now_ms, uint32_t *logins)
{
    user_row_t row;
    int result = check_user(store, user);

    *logins = 0;
    if (result == 0) {
        result = need_user(store, user, now_ms, &row);
    }
    if (result != 0) {
        return result;
    }
    if (row.grace_logins < UINT32_MAX) {
        row.grace_logins++;
    }
    *logins = row.grace_logins;
    return user_put(store, user, &row);
}

/* Adds the sealed device in place of a pending one of its name. */
static int
add_device(otp_store_t *store, slice_t user, device_row_t *row,
           const secret_t *secret, int64_t now_ms)
{
    device_rows_t devices;
    device_row_t old;
    user_row_t owner;
    int result = need_user(store, user, now_ms, &owner);

    if (result == 0) {
        result = device_get(store, user, device_name(row), &old);
        if (result == 0 && old.confirmed) {
            return store_fail(store, -EEXIST,
                              "the user has a device of that name: remove it "
                              "first, or choose another name");
        }
        if (result == 0) {
            result = device_delete(store, user, device_name(row));
        }
        result = result == -ENOENT ? 0 : result;
    }
    if (result == 0) {
        result = devices_get(store, user, &devices);
    }
    if (result == 0 && devices.count == OTP_DEVICES_MAX) {
        return store_fail(store, -EDQUOT,
                          "a user has %d devices at most: remove one first",
                          OTP_DEVICES_MAX);
    }
    if (result == 0) {
        result = device_seal(store, user, row, secret);
        if (result != 0) {
            (void) store_fail(store, result, "cannot seal a secret");
        }
    }
    if (result == 0) {
        result = device_add(store, user, row);
    }
    return result;
}

static int
new_device(otp_store_t *store, slice_t device,
           const otp_parameters_t *parameters, int64_t now_ms,
           device_row_t *row)
{
    *row = (device_row_t){.name_size = device.size, .created_ms = now_ms};
    memcpy(row->name, device.data, device.size);
    row->parameters = parameters_default(parameters);
    if (!parameters_valid(&row->parameters)) {
        return store_fail(store, -EINVAL,
                          "a code has 6 to 8 digits and a period of 15 to 120 "
                          "seconds, by SHA1, SHA256 or SHA512");
    }
    if (row->parameters.kind == OTP_HOTP) {
        row->next = row->parameters.counter;
    }
    return 0;
}

int
otp_enroll(otp_store_t *store, slice_t user, slice_t device,
           const otp_parameters_t *parameters, int64_t now_ms,
           uint8_t secret[OTP_SECRET_MAX], size_t *secret_size)
{
    _cleanup_(secret_wipe) secret_t made = {.size = 0};
    device_row_t row;
    int result = check_names(store, user, device);

    *secret_size = 0;
    if (result == 0) {
        result = new_device(store, device, parameters, now_ms, &row);
    }
    if (result != 0) {
        return result;
    }
    /* RFC 6238 5.1: as long as the hash */
    made.size = row.parameters.digest == OTP_SHA512   ? 64
                : row.parameters.digest == OTP_SHA256 ? 32
                                                      : 20;
    if (RAND_priv_bytes(made.bytes, (int) made.size) != 1) {
        return store_fail(store, -EIO, "no random numbers to be had");
    }
    result = add_device(store, user, &row, &made, now_ms);
    if (result == 0) {
        memcpy(secret, made.bytes, made.size);
        *secret_size = made.size;
    }
    return result;
}

int
otp_import(otp_store_t *store, slice_t user, slice_t device,
           const otp_parameters_t *parameters, const uint8_t *secret,
           size_t secret_size, int64_t now_ms)
{
    _cleanup_(secret_wipe) secret_t copy = {.size = secret_size};
    device_row_t row;
    int result = check_names(store, user, device);

    if (result == 0) {
        result = new_device(store, device, parameters, now_ms, &row);
    }
    if (result != 0) {
        return result;
    }
    if (secret_size < OTP_SECRET_IMPORTED || secret_size > OTP_SECRET_MAX) {
        return store_fail(store, -EINVAL, "a secret has %d to %d bytes",
                          OTP_SECRET_IMPORTED, OTP_SECRET_MAX);
    }
    memcpy(copy.bytes, secret, secret_size);
    row.confirmed = true;
    return add_device(store, user, &row, &copy, now_ms);
}

int
otp_confirm(otp_store_t *store, slice_t user, slice_t device, slice_t typed,
            int64_t now_ms)
{
    _cleanup_(code_wipe) code_t code = code_read(typed);
    _cleanup_(secret_wipe) secret_t secret = {.size = 0};
    code_window_t window;
    code_match_t match;
    device_row_t row;
    int result = check_names(store, user, device);

    if (result == 0) {
        result = device_get(store, user, device, &row);
    }
    if (result != 0) {
        return result;
    }
    if (row.confirmed) {
        return store_fail(store, -EALREADY, "the device is confirmed already");
    }
    if (!store_clock(store, now_ms)) {
        return store_fail(store, -ESTALE,
                          "the clock is behind, or the store is an older one");
    }
    result = device_unseal(store, user, &row, &secret);
    if (result != 0) {
        return result;
    }
    window = device_window(store, &row, now_ms);
    window.floor = 0; /* no code of it was ever used */
    result = code_match(&secret, &row.parameters, &window, &code, &match);
    if (result != 0) {
        return store_fail(store, result, "cannot make codes");
    }
    if (match.accepted) {
        device_used(store, &row, match.step, now_ms);
        row.confirmed = true;
        row.refused = 0;
        return device_put(store, user, &row);
    }
    if (++row.refused >= CONFIRM_TRIES) {
        result = device_delete(store, user, device);
        return result != 0 ? result
                           : store_fail(store, -ENOENT,
                                        "%d wrong codes: enrol the device anew",
                                        CONFIRM_TRIES);
    }
    result = device_put(store, user, &row);
    return result != 0 ? result
                       : store_fail(store, -EAGAIN, "not the device's code");
}

int
otp_remove(otp_store_t *store, slice_t user, slice_t device)
{
    int result = check_user(store, user);

    if (result != 0) {
        return result;
    }
    return device.size == 0 ? user_delete(store, user)
                            : device_delete(store, user, device);
}

int
otp_unlock(otp_store_t *store, slice_t user)
{
    user_row_t row;
    int result = check_user(store, user);

    if (result == 0) {
        result = user_get(store, user, &row);
    }
    if (result != 0) {
        return result;
    }
    row.failures = 0;
    row.until_ms = 0;
    row.locked = false;
    return user_put(store, user, &row);
}

int
otp_recovery(otp_store_t *store, slice_t user,
             char codes[OTP_RECOVERY_CODES][OTP_RECOVERY_SIZE])
{
    recovery_t recovery;
    user_row_t row;
    int result = check_user(store, user);

    memset(codes, 0, (size_t) OTP_RECOVERY_CODES * OTP_RECOVERY_SIZE);
    if (result == 0) {
        result = user_get(store, user, &row);
    }
    if (result != 0) {
        return result;
    }
    result = recovery_make(codes, &recovery);
    if (result == 0) {
        result = recovery_seal(store, user, &row, &recovery);
    }
    wipe_bytes(&recovery, sizeof(recovery));
    if (result != 0) {
        (void) store_fail(store, result, "cannot make recovery codes");
    }
    row.recovery_used = 0;
    if (result == 0) {
        result = user_put_recovery(store, user, &row);
    }
    if (result == 0) {
        result = user_put(store, user, &row);
    }
    if (result != 0) {
        wipe_bytes(codes, (size_t) OTP_RECOVERY_CODES * OTP_RECOVERY_SIZE);
    }
    return result;
}
