/* Enrolment, recovery codes, lists, new keys. */

#define _GNU_SOURCE
#include "unit.h"

#include "otp_unit.h"

static int
enroll(otp_unit_t *unit, const char *user, const char *device, secret_t *secret)
{
    int result;

    assert_int_equal(otp_begin(unit->store), 0);
    result = otp_enroll(unit->store, slice_of(user), slice_of(device), NULL,
                        unit->now_ms, secret->bytes, &secret->size);
    assert_int_equal(otp_commit(unit->store), 0);
    return result;
}

static int
confirm(otp_unit_t *unit, const char *user, const char *device,
        const char *code)
{
    int result;

    assert_int_equal(otp_begin(unit->store), 0);
    result = otp_confirm(unit->store, slice_of(user), slice_of(device),
                         slice_of(code), unit->now_ms);
    assert_int_equal(otp_commit(unit->store), 0);
    return result;
}

static const char *
code_by(const otp_unit_t *unit, const secret_t *secret, int offset,
        char code[9])
{
    otp_parameters_t parameters = parameters_default(NULL);

    memset(code, 0, 9);
    assert_int_equal(code_make(secret, &parameters,
                               step_now(unit) + (uint64_t) (int64_t) offset,
                               code),
                     0);
    return code;
}

static otp_user_t
user_of(otp_unit_t *unit, const char *name)
{
    otp_user_t user;

    assert_int_equal(otp_user(unit->store, slice_of(name), &user), 0);
    return user;
}

static void
a_device_counts_once_it_is_confirmed(void **state)
{
    otp_unit_t *unit = *state;
    secret_t secret;
    char code[9];

    assert_int_equal(enroll(unit, "sato", "phone", &secret), 0);
    assert_int_equal(secret.size, 20);
    assert_true(user_of(unit, "sato").pending);
    assert_false(user_of(unit, "sato").enrolled);
    (void) code_by(unit, &secret, 0, code);
    assert_int_equal(verify(unit, "sato", code).result, OTP_NOT_ENROLLED);
    assert_int_equal(confirm(unit, "sato", "phone", code), 0);
    assert_true(user_of(unit, "sato").enrolled);
    assert_false(user_of(unit, "sato").pending);
    /* confirming has used it up */
    assert_int_equal(verify(unit, "sato", code).result, OTP_REPLAYED);
    assert_int_equal(confirm(unit, "sato", "phone", code), -EALREADY);
    assert_int_equal(
        verify(unit, "sato", code_by(unit, &secret, 1, code)).result,
        OTP_ACCEPTED);
}

static void
secrets_are_as_long_as_the_hash_and_differ(void **state)
{
    static const otp_digest_t digests[] = {OTP_SHA1, OTP_SHA256, OTP_SHA512};
    static const size_t sizes[] = {20, 32, 64};
    otp_unit_t *unit = *state;
    secret_t secrets[3];
    size_t i;

    assert_int_equal(otp_begin(unit->store), 0);
    for (i = 0; i < 3; i++) {
        otp_parameters_t parameters = {.digest = digests[i]};

        assert_int_equal(otp_enroll(unit->store, SLICE("sato"),
                                    (slice_t){"abc" + i, 1}, &parameters,
                                    unit->now_ms, secrets[i].bytes,
                                    &secrets[i].size),
                         0);
        assert_int_equal(secrets[i].size, sizes[i]);
    }
    assert_int_equal(otp_commit(unit->store), 0);
    assert_memory_not_equal(secrets[0].bytes, secrets[1].bytes, 20);
    assert_memory_not_equal(secrets[1].bytes, secrets[2].bytes, 20);
}

static void
five_wrong_codes_end_a_pending_device(void **state)
{
    otp_unit_t *unit = *state;
    secret_t secret;
    char code[9];
    int i;

    assert_int_equal(enroll(unit, "sato", "phone", &secret), 0);
    for (i = 0; i < 4; i++) {
        assert_int_equal(confirm(unit, "sato", "phone", "not one"), -EAGAIN);
    }
    assert_int_equal(confirm(unit, "sato", "phone", "12345"), -ENOENT);
    assert_int_equal(
        confirm(unit, "sato", "phone", code_by(unit, &secret, 0, code)),
        -ENOENT);
    assert_int_equal(user_of(unit, "sato").devices, 0);
    assert_int_equal(user_of(unit, "sato").failures, 0);
}

static void
a_pending_device_is_replaced_and_a_confirmed_one_is_not(void **state)
{
    otp_unit_t *unit = *state;
    secret_t first, second;
    char code[9];

    assert_int_equal(enroll(unit, "sato", "phone", &first), 0);
    assert_int_equal(enroll(unit, "sato", "phone", &second), 0);
    assert_int_equal(user_of(unit, "sato").devices, 1);
    assert_int_equal(
        confirm(unit, "sato", "phone", code_by(unit, &first, 0, code)),
        -EAGAIN);
    assert_int_equal(
        confirm(unit, "sato", "phone", code_by(unit, &second, 0, code)), 0);
    assert_int_equal(enroll(unit, "sato", "phone", &first), -EEXIST);
    assert_int_equal(first.size, 0);
    assert_true(user_of(unit, "sato").enrolled);
}

static void
a_user_has_eight_devices_at_most(void **state)
{
    otp_unit_t *unit = *state;
    secret_t secret;
    char name[8];
    int i;

    for (i = 0; i < OTP_DEVICES_MAX; i++) {
        (void) snprintf(name, sizeof(name), "d%d", i);
        assert_int_equal(enroll(unit, "sato", name, &secret), 0);
    }
    assert_int_equal(enroll(unit, "sato", "one more", &secret), -EDQUOT);
    assert_int_equal(enroll(unit, "sato", "d3", &secret), 0);
    assert_int_equal(user_of(unit, "sato").devices, OTP_DEVICES_MAX);
}

static void
names_have_bounds(void **state)
{
    otp_unit_t *unit = *state;
    secret_t secret;
    char name[OTP_USER_MAX + 2];

    memset(name, 'a', sizeof(name));
    name[OTP_USER_MAX + 1] = '\0';
    assert_int_equal(enroll(unit, name, "phone", &secret), -EINVAL);
    assert_int_equal(enroll(unit, name + 1, "phone", &secret), 0);
    name[OTP_DEVICE_MAX + 1] = '\0';
    assert_int_equal(enroll(unit, "sato", name, &secret), -EINVAL);
    assert_int_equal(enroll(unit, "sato", name + 1, &secret), 0);
    assert_int_equal(enroll(unit, "", "phone", &secret), -EINVAL);
    assert_int_equal(enroll(unit, "sato", "", &secret), -EINVAL);
    assert_int_equal(enroll(unit, "sa\033to", "phone", &secret), -EINVAL);
    assert_int_equal(enroll(unit, "山田", "携帯", &secret), 0);
}

static void
short_secrets_are_for_imports(void **state)
{
    static const uint8_t bytes[OTP_SECRET_MAX + 1] = "0123456789";
    otp_unit_t *unit = *state;
    size_t size;

    assert_int_equal(otp_begin(unit->store), 0);
    for (size = 0; size <= OTP_SECRET_MAX + 1; size++) {
        char user[16];

        (void) snprintf(user, sizeof(user), "u%zu", size);
        assert_int_equal(otp_import(unit->store, slice_of(user), SLICE("ga"),
                                    NULL, bytes, size, unit->now_ms),
                         size < 10 || size > OTP_SECRET_MAX ? -EINVAL : 0);
    }
    assert_int_equal(otp_import(unit->store, SLICE("u10"), SLICE("ga"), NULL,
                                bytes, 10, unit->now_ms),
                     -EEXIST);
    assert_int_equal(otp_commit(unit->store), 0);
    {
        secret_t secret = {.size = 10};
        char code[9];

        memcpy(secret.bytes, bytes, 10);
        assert_int_equal(
            verify(unit, "u10", code_by(unit, &secret, 0, code)).result,
            OTP_ACCEPTED);
    }
}

static void
what_is_removed_opens_nothing(void **state)
{
    otp_unit_t *unit = *state;
    otp_user_t user;

    add_user(unit, "sato");
    add_user_as(unit, "sato", "tablet", NULL);
    add_user(unit, "satoh");
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_remove(unit->store, SLICE("sato"), SLICE("x")),
                     -ENOENT);
    assert_int_equal(otp_remove(unit->store, SLICE("sato"), SLICE("phone")), 0);
    assert_int_equal(otp_commit(unit->store), 0);
    assert_string_equal(verify_right(unit, "sato", 0).device, "tablet");
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_remove(unit->store, SLICE("sato"), (slice_t){"", 0}),
                     0);
    assert_int_equal(otp_remove(unit->store, SLICE("sato"), (slice_t){"", 0}),
                     -ENOENT);
    assert_int_equal(otp_commit(unit->store), 0);
    assert_int_equal(otp_user(unit->store, SLICE("sato"), &user), -ENOENT);
    assert_int_equal(verify_right(unit, "sato", 1).result, OTP_NOT_ENROLLED);
    assert_int_equal(verify_right(unit, "satoh", 0).result, OTP_ACCEPTED);
}

static void
entries_without_a_code_are_counted(void **state)
{
    otp_unit_t *unit = *state;
    uint32_t logins, i;

    for (i = 1; i <= 3; i++) {
        assert_int_equal(otp_begin(unit->store), 0);
        assert_int_equal(
            otp_grace(unit->store, SLICE("sato"), unit->now_ms, &logins), 0);
        assert_int_equal(otp_commit(unit->store), 0);
        assert_int_equal(logins, i);
    }
    otp_unit_reopen(unit);
    assert_int_equal(user_of(unit, "sato").grace_logins, 3);
    assert_true(user_of(unit, "sato").created_ms == NOW_MS);
    assert_int_equal(verify(unit, "sato", "123456").result, OTP_NOT_ENROLLED);
}

/* ---- Recovery codes --------------------------------------------------------------- */

typedef char codes_t[OTP_RECOVERY_CODES][OTP_RECOVERY_SIZE];

static void
make_recovery(otp_unit_t *unit, const char *user, codes_t codes)
{
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_recovery(unit->store, slice_of(user), codes), 0);
    assert_int_equal(otp_commit(unit->store), 0);
}

static void
recovery_codes_have_eighty_bits_without_look_alikes(void **state)
{
    otp_unit_t *unit = *state;
    codes_t codes;
    int i, k;

    add_user(unit, "sato");
    make_recovery(unit, "sato", codes);
    for (i = 0; i < OTP_RECOVERY_CODES; i++) {
        assert_int_equal(strlen(codes[i]), OTP_RECOVERY_SIZE - 1);
        assert_int_equal(strspn(codes[i], "0123456789abcdefghjkmnpqrstvwxyz-"),
                         OTP_RECOVERY_SIZE - 1);
        assert_int_equal(code_read(slice_of(codes[i])).shape, CODE_RECOVERY);
        for (k = 0; k < i; k++) {
            assert_string_not_equal(codes[i], codes[k]);
        }
    }
}

static void
each_recovery_code_is_good_once(void **state)
{
    otp_unit_t *unit = *state;
    otp_outcome_t outcome;
    codes_t codes;
    unsigned i;

    add_user(unit, "sato");
    add_user(unit, "abe");
    make_recovery(unit, "sato", codes);
    assert_int_equal(user_of(unit, "sato").recovery_left, 10);
    assert_int_equal(verify(unit, "abe", codes[0]).result, OTP_WRONG);
    for (i = 0; i < OTP_RECOVERY_CODES; i++) {
        char typed[OTP_RECOVERY_SIZE];
        size_t k;

        for (k = 0; k < sizeof(typed); k++) { /* as somebody may write it */
            char c = codes[i][k];

            typed[k] = (char) (c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        }
        outcome = verify(unit, "sato", typed);
        assert_int_equal(outcome.result, OTP_ACCEPTED);
        assert_true(outcome.recovery);
        assert_string_equal(outcome.device, "");
        assert_int_equal(outcome.recovery_left, 9 - i);
        if (i % 4 == 0) {
            otp_unit_reopen(unit);
        }
        outcome = verify(unit, "sato", typed);
        assert_int_equal(outcome.result, OTP_REPLAYED);
        assert_int_equal(outcome.failures, 0);
    }
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
}

static void
one_recovery_code_is_good_once_in_one_group(void **state)
{
    otp_unit_t *unit = *state;
    codes_t codes;
    int i;

    add_user(unit, "sato");
    make_recovery(unit, "sato", codes);
    assert_int_equal(otp_begin(unit->store), 0);
    for (i = 0; i < 8; i++) {
        assert_int_equal(attempt_from(unit, "sato", codes[7], "local").result,
                         i == 0 ? OTP_ACCEPTED : OTP_REPLAYED);
    }
    assert_int_equal(otp_commit(unit->store), 0);
}

static void
new_recovery_codes_void_the_old_ones(void **state)
{
    otp_unit_t *unit = *state;
    codes_t old, new;

    add_user(unit, "sato");
    make_recovery(unit, "sato", old);
    assert_int_equal(verify(unit, "sato", old[0]).result, OTP_ACCEPTED);
    make_recovery(unit, "sato", new);
    assert_int_equal(user_of(unit, "sato").recovery_left, 10);
    assert_int_equal(verify(unit, "sato", old[1]).result, OTP_WRONG);
    assert_int_equal(verify(unit, "sato", new[0]).result, OTP_ACCEPTED);
}

static void
recovery_codes_wait_and_lock_like_codes(void **state)
{
    otp_unit_t *unit = *state;
    codes_t codes;
    int i;

    add_user(unit, "sato");
    make_recovery(unit, "sato", codes);
    for (i = 0; i < 3; i++) {
        assert_int_equal(verify(unit, "sato", "0000-0000-0000-0000").result,
                         OTP_WRONG);
    }
    assert_int_equal(verify(unit, "sato", codes[0]).result, OTP_THROTTLED);
    unit->now_ms += 1000;
    assert_int_equal(verify(unit, "sato", codes[0]).result, OTP_ACCEPTED);
}

static void
recovery_codes_are_not_for_the_unknown(void **state)
{
    otp_unit_t *unit = *state;
    codes_t codes;

    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_recovery(unit->store, SLICE("nobody"), codes),
                     -ENOENT);
    assert_int_equal(otp_commit(unit->store), 0);
    assert_int_equal(verify(unit, "nobody", "0000-0000-0000-0000").result,
                     OTP_NOT_ENROLLED);
}

/* ---- Lists -------------------------------------------------------------------------- */

typedef struct {
    char text[4096];
    unsigned stop_at, count;
} listed_t;

static bool
note_device(void *context, const otp_device_t *device)
{
    listed_t *listed = context;
    size_t used = strlen(listed->text), i;

    used += (size_t) snprintf(
        listed->text + used, sizeof(listed->text) - used, "%.*s/%.*s%s%s ",
        SLICE_ARG(device->user), SLICE_ARG(device->device),
        device->confirmed ? "" : "?", device->state.enrolled ? "!" : "");
    for (i = 0; i < device->secret_size; i++) {
        used += (size_t) snprintf(listed->text + used,
                                  sizeof(listed->text) - used, "%c",
                                  device->secret[i]);
    }
    return ++listed->count != listed->stop_at;
}

static void
lists_are_in_order_and_can_be_paged(void **state)
{
    otp_unit_t *unit = *state;
    listed_t all = {.text = ""}, page = {.text = "", .stop_at = 2},
             one = {.text = ""}, none = {.text = ""}, rest = {.text = ""};
    secret_t secret;
    uint32_t logins;

    add_user(unit, "sato");
    add_user(unit, "abe");
    add_user_as(unit, "sato", "a tablet", NULL);
    assert_int_equal(enroll(unit, "kato", "phone", &secret), 0);
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_grace(unit->store, SLICE("mori"), 1, &logins), 0);
    assert_int_equal(otp_list(unit->store, (slice_t){"", 0}, (slice_t){"", 0},
                              note_device, &all),
                     0);
    assert_string_equal(all.text, "abe/phone! kato/phone? mori/? "
                                  "sato/a tablet! sato/phone! ");
    assert_int_equal(otp_list(unit->store, (slice_t){"", 0}, (slice_t){"", 0},
                              note_device, &page),
                     0);
    assert_string_equal(page.text, "abe/phone! kato/phone? ");
    assert_int_equal(otp_list(unit->store, (slice_t){"", 0}, SLICE("kato"),
                              note_device, &rest),
                     0);
    assert_string_equal(rest.text, "mori/? sato/a tablet! sato/phone! ");
    assert_int_equal(
        otp_list(unit->store, SLICE("sato"), SLICE("zzz"), note_device, &one),
        0);
    assert_string_equal(one.text, "sato/a tablet! sato/phone! ");
    assert_int_equal(otp_list(unit->store, SLICE("nobody"), (slice_t){"", 0},
                              note_device, &none),
                     0);
    assert_string_equal(none.text, "");
    assert_int_equal(otp_commit(unit->store), 0);
}

static void
only_an_export_has_secrets(void **state)
{
    otp_unit_t *unit = *state;
    listed_t listed = {.text = ""};

    add_user(unit, "sato");
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_export(unit->store, (slice_t){"", 0}, (slice_t){"", 0},
                                note_device, &listed),
                     0);
    assert_int_equal(otp_commit(unit->store), 0);
    assert_string_equal(listed.text, "sato/phone! satoAAAAAAAAAAAAAAAA");
}

static bool
note_parameters(void *context, const otp_device_t *device)
{
    *(otp_device_t *) context = *device;
    return true;
}

static void
lists_tell_parameters_and_use(void **state)
{
    const otp_parameters_t hotp = {
        .kind = OTP_HOTP, .digits = 8, .counter = 41};
    otp_unit_t *unit = *state;
    otp_device_t told;

    add_user_as(unit, "sato", "token", &hotp);
    assert_int_equal(otp_list(unit->store, SLICE("sato"), (slice_t){"", 0},
                              note_parameters, &told),
                     0);
    assert_int_equal(told.parameters.kind, OTP_HOTP);
    assert_int_equal(told.parameters.digits, 8);
    assert_int_equal(told.parameters.counter, 41);
    assert_true(told.created_ms == NOW_MS);
    assert_true(told.last_used_ms == 0);
    assert_null(told.secret);
}

/* ---- Keys ----------------------------------------------------------------------------- */

static void
rekey_all(otp_unit_t *unit, uint32_t count, unsigned *calls)
{
    uint64_t left, before = UINT64_MAX;

    *calls = 0;
    do {
        assert_int_equal(otp_begin(unit->store), 0);
        assert_int_equal(otp_rekey(unit->store, count, &left), 0);
        assert_int_equal(otp_commit(unit->store), 0);
        assert_true(left < before);
        before = left;
        ++*calls;
    } while (left > 0);
}

static void
a_new_key_takes_over_row_by_row(void **state)
{
    otp_unit_t *unit = *state;
    codes_t codes;
    char user[16];
    unsigned i, calls;

    for (i = 0; i < 25; i++) {
        (void) snprintf(user, sizeof(user), "user%u", i);
        add_user(unit, user);
        if (i < 2) {
            make_recovery(unit, user, codes);
        }
    }
    otp_unit_close(unit);
    unit->keys.version[1] = 7;
    memset(unit->keys.key[1], 0x33, OTP_KEY_SIZE);
    unit->keys.count = 2;
    otp_unit_reopen(unit); /* with both */
    add_user(unit, "new");
    assert_int_equal(verify_right(unit, "user3", 0).result, OTP_ACCEPTED);
    rekey_all(unit, 10, &calls);
    assert_int_equal(calls, 3);
    rekey_all(unit, 10, &calls);
    assert_int_equal(calls, 1);
    otp_unit_close(unit);
    unit->keys.version[0] = 7; /* the old one is gone */
    memcpy(unit->keys.key[0], unit->keys.key[1], OTP_KEY_SIZE);
    unit->keys.count = 1;
    otp_unit_reopen(unit);
    for (i = 0; i < 25; i++) {
        (void) snprintf(user, sizeof(user), "user%u", i);
        assert_int_equal(verify_right(unit, user, 0).result,
                         i == 3 ? OTP_REPLAYED : OTP_ACCEPTED);
    }
    assert_int_equal(verify_right(unit, "new", 0).result, OTP_ACCEPTED);
    assert_int_equal(verify(unit, "user1", codes[0]).result, OTP_ACCEPTED);
    assert_int_equal(verify(unit, "nobody", "0000-0000-0000-0000").result,
                     OTP_NOT_ENROLLED);
}

static void
without_its_key_a_user_is_unavailable(void **state)
{
    otp_unit_t *unit = *state;
    otp_outcome_t outcome;
    uint64_t left;

    add_user(unit, "abe");
    otp_unit_close(unit);
    unit->keys.version[1] = 2;
    memset(unit->keys.key[1], 0x33, OTP_KEY_SIZE);
    unit->keys.count = 2;
    otp_unit_reopen(unit);
    assert_int_equal(otp_begin(unit->store), 0);
    /* the decoy's and none of the others, then the key is lost */
    assert_int_equal(otp_rekey(unit->store, 0, &left), 0);
    assert_int_equal(left, 1);
    assert_int_equal(otp_commit(unit->store), 0);
    add_user(unit, "sato");
    unit->store->sealer.keys.version[0] = 9;
    outcome = verify_right(unit, "abe", 0);
    assert_int_equal(outcome.result, OTP_UNAVAILABLE);
    assert_int_equal(outcome.failures, 0);
    assert_non_null(strstr(otp_strerror(unit->store), "key 1"));
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
}

/* ---- For phones ------------------------------------------------------------------------- */

static void
uris_are_as_phones_read_them(void **state)
{
    static const uint8_t secret[] = "Hello!\xde\xad\xbe\xef";
    const otp_parameters_t full = {.kind = OTP_TOTP,
                                   .digest = OTP_SHA256,
                                   .digits = 8,
                                   .period_seconds = 60};
    const otp_parameters_t hotp = {.kind = OTP_HOTP, .counter = 5};
    char text[256];
    size_t size;

    (void) state;
    /* secret and text of Google's description of the format */
    size = otp_uri(text, sizeof(text), SLICE("Example"),
                   SLICE("alice@google.com"), NULL, secret, 10);
    assert_int_equal(size, strlen(text));
    assert_string_equal(text,
                        "otpauth://totp/Example:alice%40google.com?secret="
                        "JBSWY3DPEHPK3PXP&issuer=Example");
    assert_int_not_equal(otp_uri(text, sizeof(text), SLICE("A & B"),
                                 SLICE("佐"), &full, secret, 10),
                         0);
    assert_string_equal(text, "otpauth://totp/A%20%26%20B:%E4%BD%90?secret="
                              "JBSWY3DPEHPK3PXP&issuer=A%20%26%20B"
                              "&algorithm=SHA256&digits=8&period=60");
    assert_int_not_equal(otp_uri(text, sizeof(text), (slice_t){"", 0},
                                 SLICE("a"), &hotp, secret, 4),
                         0);
    assert_string_equal(text, "otpauth://hotp/a?secret=JBSWY3A&counter=5");
    assert_int_equal(
        otp_uri(text, 42, (slice_t){"", 0}, SLICE("a"), &hotp, secret, 4), 41);
    assert_int_equal(
        otp_uri(text, 41, (slice_t){"", 0}, SLICE("a"), &hotp, secret, 4), 0);
    assert_string_equal(text, "");
}

static void
a_qr_code_is_square_and_has_its_margin(void **state)
{
    char text[OTP_QR_TEXT_MAX];
    size_t size = otp_qr_text(text, sizeof(text), SLICE("otpauth://totp/x"));
    unsigned lines = 0, columns = 0;
    size_t i;

    (void) state;
    assert_int_equal(size, strlen(text));
    for (i = 0; i < size; i++) {
        lines += text[i] == '\n';
        /* one a character of UTF-8, of the first line */
        columns += lines == 0 && ((unsigned char) text[i] & 0xc0) != 0x80;
    }
    assert_int_equal(columns, 21 + 4); /* version 1 */
    assert_int_equal(lines, (21 + 4 + 1) / 2);
    /* the margin: both rows light; then the finder's dark edge in its upper */
    assert_memory_equal(text, "███", 9);
    assert_int_equal(otp_qr_text(text, size, SLICE("otpauth://totp/x")), 0);
    assert_int_equal(otp_qr_text(text, sizeof(text), (slice_t){"", 0}), 0);
}

UNIT_TESTS(OTP_TEST(a_device_counts_once_it_is_confirmed),
           OTP_TEST(secrets_are_as_long_as_the_hash_and_differ),
           OTP_TEST(five_wrong_codes_end_a_pending_device),
           OTP_TEST(a_pending_device_is_replaced_and_a_confirmed_one_is_not),
           OTP_TEST(a_user_has_eight_devices_at_most),
           OTP_TEST(names_have_bounds), OTP_TEST(short_secrets_are_for_imports),
           OTP_TEST(what_is_removed_opens_nothing),
           OTP_TEST(entries_without_a_code_are_counted),
           OTP_TEST(recovery_codes_have_eighty_bits_without_look_alikes),
           OTP_TEST(each_recovery_code_is_good_once),
           OTP_TEST(one_recovery_code_is_good_once_in_one_group),
           OTP_TEST(new_recovery_codes_void_the_old_ones),
           OTP_TEST(recovery_codes_wait_and_lock_like_codes),
           OTP_TEST(recovery_codes_are_not_for_the_unknown),
           OTP_TEST(lists_are_in_order_and_can_be_paged),
           OTP_TEST(only_an_export_has_secrets),
           OTP_TEST(lists_tell_parameters_and_use),
           OTP_TEST(a_new_key_takes_over_row_by_row),
           OTP_TEST(without_its_key_a_user_is_unavailable),
           cmocka_unit_test(uris_are_as_phones_read_them),
           cmocka_unit_test(a_qr_code_is_square_and_has_its_margin))
