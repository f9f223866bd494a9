/*
 * The one critical section: throttle, charge, compare, use up the step, write.
 *
 * At the door every "no" is the same, and must take the same time: for a user
 * who is unknown, one who is locked or has to wait, and one whose code is
 * wrong.  So each attempt does the same whoever it names: the rows of the user
 * and those of a decoy are read, one user's and one device's row are written,
 * as many codes are made, and for what looks like a recovery code one scrypt is
 * run.  Where a user must not be looked at, the decoy takes his place for all
 * of it: his secret is not even unsealed.  (Who has more devices than
 * CODES_MADE allows for shows that; nobody else does.)
 *
 * A source that is throttled is sent away before all that: it learns about
 * itself only, and cannot keep the store busy.
 */

#include "otp_internal.h"

/* Codes made for each attempt: two TOTP devices, or one HOTP, and the last. */
#define CODES_MADE 12

typedef struct {
    slice_t user;
    user_row_t row;
    device_rows_t devices;
} subject_t;

typedef struct {
    int device; /* index, or -1 */
    code_match_t code;
    int recovery;  /* index, or -1 */
    bool unusable; /* what cannot be unsealed was not compared */
    bool usable;   /* something was */
    uint32_t made; /* codes */
} found_t;

static int
read_subject(otp_store_t *store, slice_t user, subject_t *subject)
{
    int result, devices;

    subject->user = user;
    result = user_get(store, user, &subject->row);
    devices = devices_get(store, user, &subject->devices);
    return result != 0 ? result : devices;
}

static bool
enrolled(const subject_t *subject)
{
    uint32_t i;

    for (i = 0; i < subject->devices.count; i++) {
        if (subject->devices.rows[i].confirmed) {
            return true;
        }
    }
    return false;
}

static void
compare_device(otp_store_t *store, const subject_t *subject, uint32_t index,
               const otp_attempt_t *attempt, const code_t *code, found_t *found)
{
    const device_row_t *row = &subject->devices.rows[index];
    _cleanup_(secret_wipe) secret_t secret = {.size = 0};
    code_window_t window = device_window(store, row, attempt->now_ms);
    code_match_t match;

    if (device_unseal(store, subject->user, row, &secret) != 0 ||
        code_match(&secret, &row->parameters, &window, code, &match) != 0)
    {
        found->unusable = true;
        return;
    }
    found->made += window.count + 1;
    found->usable = true;
    /* an accepted code of one device comes before a used one of another */
    if (match.accepted && !found->code.accepted) {
        found->code.accepted = true;
        found->code.step = match.step;
        found->device = (int) index;
    }
    found->code.replayed |= match.replayed;
    found->code.early |= match.early;
}

/* Makes codes for nothing until as many are made as for others. */
static void
make_up(otp_store_t *store, const subject_t *decoy, found_t *found)
{
    _cleanup_(secret_wipe) secret_t secret = {.size = 0};
    const device_row_t *row = &decoy->devices.rows[0];
    char code[CODE_DIGITS_MAX];

    if (device_unseal(store, decoy->user, row, &secret) != 0) {
        return;
    }
    for (; found->made < CODES_MADE; found->made++) {
        (void) code_make(&secret, &row->parameters, found->made, code);
    }
    wipe_bytes(code, sizeof(code));
}

static void
compare_recovery(otp_store_t *store, const subject_t *subject,
                 const subject_t *decoy, const code_t *code, found_t *found)
{
    bool has = subject->row.has_recovery;
    const subject_t *from = has ? subject : decoy;
    recovery_t recovery;
    int index = -1;

    if (recovery_unseal(store, from->user, &from->row, &recovery) != 0 ||
        recovery_find(&recovery, code, &index) != 0)
    {
        found->unusable |= has;
    } else if (has) {
        found->recovery = index;
        found->usable = true;
    }
    wipe_bytes(&recovery, sizeof(recovery));
}

static void
compare(otp_store_t *store, const subject_t *subject, const subject_t *decoy,
        const otp_attempt_t *attempt, const code_t *code, found_t *found)
{
    uint32_t i;

    *found = (found_t){.device = -1, .recovery = -1};
    for (i = 0; i < subject->devices.count; i++) {
        if (subject->devices.rows[i].confirmed) {
            compare_device(store, subject, i, attempt, code, found);
        }
    }
    make_up(store, decoy, found);
    if (code->shape == CODE_RECOVERY) {
        compare_recovery(store, subject, decoy, code, found);
    }
}

/* What stands against looking at the code; OTP_NONE: nothing. */
static otp_result_t
gate(const otp_store_t *store, const subject_t *subject, int64_t now_ms,
     otp_outcome_t *outcome)
{
    const user_row_t *row = &subject->row;
    int64_t left_ms = row->until_ms - now_ms;
    int64_t most_ms = (int64_t) store->rules.wait_seconds_max * 1000;

    if (row->locked || row->failures >= store->rules.lock_at) {
        return OTP_LOCKED;
    }
    if (left_ms > 0) {
        /* a clock that was ahead must not make anybody wait for years */
        left_ms = left_ms > most_ms ? most_ms : left_ms;
        outcome->wait_seconds = (left_ms + 999) / 1000;
        return OTP_THROTTLED;
    }
    return OTP_NONE;
}

static uint32_t
recovery_left(const user_row_t *row)
{
    return row->has_recovery
               ? OTP_RECOVERY_CODES -
                     (uint32_t) __builtin_popcount(row->recovery_used)
               : 0;
}

/* The attempt counts as a failure before its code is looked at; a success, or
 * what is no guess, takes that back. */
static void
charge(const otp_store_t *store, user_row_t *row, int64_t now_ms,
       otp_outcome_t *outcome)
{
    row->failures++;
    row->until_ms = now_ms + throttle_wait(row->failures,
                                           store->rules.wait_from,
                                           store->rules.wait_seconds_max) *
                                 1000;
    if (row->failures >= store->rules.lock_at) {
        row->locked = true;
        outcome->locked_now = true;
    }
}

static void
accept(subject_t *subject, int64_t now_ms, otp_outcome_t *outcome)
{
    subject->row.failures = 0;
    subject->row.until_ms = 0;
    subject->row.last_used_ms = now_ms;
    outcome->recovery_left = recovery_left(&subject->row);
}

/* Decides by what was found and changes the rows; nothing is written yet. */
static otp_result_t
decide(otp_store_t *store, subject_t *subject, const otp_attempt_t *attempt,
       const found_t *found, uint32_t *device, otp_outcome_t *outcome)
{
    const user_row_t before = subject->row;

    charge(store, &subject->row, attempt->now_ms, outcome);
    if (found->code.accepted) {
        device_row_t *row = &subject->devices.rows[found->device];

        device_used(store, row, found->code.step, attempt->now_ms);
        accept(subject, attempt->now_ms, outcome);
        memcpy(outcome->device, row->name, row->name_size);
        outcome->locked_now = false;
        *device = (uint32_t) found->device;
        return OTP_ACCEPTED;
    }
    if (found->recovery >= 0) {
        uint16_t bit = (uint16_t) (1u << found->recovery);

        if ((before.recovery_used & bit) == 0) {
            subject->row.recovery_used |= bit;
            accept(subject, attempt->now_ms, outcome);
            outcome->recovery = true;
            outcome->locked_now = false;
            return OTP_ACCEPTED;
        }
    }
    if (found->code.replayed || found->recovery >= 0 || found->code.early ||
        !found->usable)
    {
        subject->row = before;
        outcome->locked_now = false;
        return found->code.replayed || found->recovery >= 0 ? OTP_REPLAYED
               : found->code.early                          ? OTP_CLOCK
                                                            : OTP_UNAVAILABLE;
    }
    return OTP_WRONG;
}

/* The two rows that every attempt writes. */
static int
write_rows(otp_store_t *store, subject_t *subject, uint32_t device)
{
    int result = user_put(store, subject->user, &subject->row);

    if (result == 0) {
        result = device_put(store, subject->user,
                            &subject->devices.rows[device]);
    }
    return result;
}

static uint32_t
first_confirmed(const subject_t *subject)
{
    uint32_t i;

    for (i = 0; i < subject->devices.count; i++) {
        if (subject->devices.rows[i].confirmed) {
            return i;
        }
    }
    return 0;
}

static otp_result_t
look_at(otp_store_t *store, const otp_attempt_t *attempt, const code_t *code,
        otp_outcome_t *outcome)
{
    subject_t asked, decoy;
    subject_t *subject = &decoy;
    otp_result_t result;
    found_t found;
    uint32_t device;
    int error;

    if (read_subject(store, DECOY, &decoy) != 0 || !enrolled(&decoy)) {
        return OTP_UNAVAILABLE;
    }
    error = read_subject(
        store, user_name_valid(attempt->user) ? attempt->user : SLICE("\n"),
        &asked);
    if (error != 0 && error != -ENOENT) {
        return OTP_UNAVAILABLE;
    }
    result = OTP_NOT_ENROLLED;
    if (error == 0 && enrolled(&asked)) {
        result = gate(store, &asked, attempt->now_ms, outcome);
        outcome->failures = asked.row.failures;
        if (result == OTP_NONE) {
            subject = &asked;
        }
    }
    compare(store, subject, &decoy, attempt, code, &found);
    device = first_confirmed(subject);
    if (subject == &asked) {
        result = decide(store, subject, attempt, &found, &device, outcome);
        outcome->failures = asked.row.failures;
    }
    if (write_rows(store, subject, device) != 0) {
        return OTP_UNAVAILABLE;
    }
    return result;
}

void
otp_verify(otp_store_t *store, const otp_attempt_t *attempt,
           otp_outcome_t *outcome)
{
    _cleanup_(code_wipe) code_t code = code_read(attempt->code);
    otp_outcome_t told = {.result = OTP_UNAVAILABLE};

    memset(outcome, 0, sizeof(*outcome));
    outcome->result = OTP_UNAVAILABLE;
    if (store_writable(store) != 0) {
        return;
    }
    if (!store_clock(store, attempt->now_ms)) {
        (void) store_fail(store, -ESTALE,
                          store->stale
                              ? "the store is older than what is known of it: "
                                "an administrator must say that it is to go on"
                              : "the clock is behind the last time seen");
        outcome->result = OTP_CLOCK;
        return;
    }
    outcome->wait_seconds = throttle_source_wait(
        store->sources, &store->rules, attempt->source, attempt->now_ms);
    if (outcome->wait_seconds > 0) {
        outcome->result = OTP_THROTTLED;
        return;
    }
    told.result = look_at(store, attempt, &code, &told);
    if (told.result == OTP_UNAVAILABLE) {
        told = (otp_outcome_t){.result = OTP_UNAVAILABLE};
    }
    if (told.result == OTP_WRONG || told.result == OTP_NOT_ENROLLED) {
        throttle_source_failed(store->sources, &store->rules, attempt->source,
                               attempt->now_ms);
    }
    *outcome = told;
}
