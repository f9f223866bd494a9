/* Whether a code opens the door: every result, and what it leaves behind. */

#define _GNU_SOURCE
#include "unit.h"

#include "otp_unit.h"

static void
the_right_code_is_accepted(void **state)
{
    otp_unit_t *unit = *state;
    otp_outcome_t outcome;

    add_user(unit, "sato");
    outcome = verify_right(unit, "sato", 0);
    assert_int_equal(outcome.result, OTP_ACCEPTED);
    assert_string_equal(outcome.device, "phone");
    assert_false(outcome.recovery);
    assert_int_equal(outcome.failures, 0);
}

static void
spaces_and_hyphens_do_not_count(void **state)
{
    otp_unit_t *unit = *state;
    char code[9], typed[16];

    add_user(unit, "sato");
    (void) code_of("sato", step_now(unit), code);
    (void) snprintf(typed, sizeof(typed), " %.3s-%.3s ", code, code + 3);
    assert_int_equal(verify(unit, "sato", typed).result, OTP_ACCEPTED);
}

static void
a_code_is_good_once_in_groups_of_their_own(void **state)
{
    otp_unit_t *unit = *state;
    int i;

    add_user(unit, "sato");
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
    for (i = 0; i < 50; i++) {
        assert_int_equal(verify_right(unit, "sato", 0).result, OTP_REPLAYED);
    }
}

static void
a_code_is_good_once_in_one_group(void **state)
{
    static const unsigned sizes[] = {2, 8, 32, 128};
    otp_unit_t *unit = *state;
    char code[9];
    unsigned i, k;

    add_user(unit, "sato");
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unsigned accepted = 0;

        unit->now_ms += 30000;
        (void) code_of("sato", step_now(unit), code);
        assert_int_equal(otp_begin(unit->store), 0);
        for (k = 0; k < sizes[i]; k++) {
            otp_result_t result = attempt_from(unit, "sato", code, "local")
                                      .result;

            assert_true(result == (k == 0 ? OTP_ACCEPTED : OTP_REPLAYED));
            accepted += result == OTP_ACCEPTED;
        }
        assert_int_equal(otp_commit(unit->store), 0);
        assert_int_equal(accepted, 1);
    }
}

static void
users_of_one_group_do_not_hinder_each_other(void **state)
{
    otp_unit_t *unit = *state;
    char user[16], code[9];
    unsigned i;

    for (i = 0; i < 32; i++) {
        (void) snprintf(user, sizeof(user), "user%u", i);
        add_user(unit, user);
    }
    assert_int_equal(otp_begin(unit->store), 0);
    for (i = 0; i < 32; i++) {
        (void) snprintf(user, sizeof(user), "user%u", i);
        (void) code_of(user, step_now(unit), code);
        assert_int_equal(attempt_from(unit, user, code, "local").result,
                         OTP_ACCEPTED);
    }
    assert_int_equal(otp_commit(unit->store), 0);
}

static void
a_group_taken_back_has_not_happened(void **state)
{
    otp_unit_t *unit = *state;
    char code[9];

    add_user(unit, "sato");
    (void) code_of("sato", step_now(unit), code);
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(attempt_from(unit, "sato", code, "local").result,
                     OTP_ACCEPTED);
    otp_rollback(unit->store);
    assert_int_equal(verify(unit, "sato", code).result, OTP_ACCEPTED);
}

static void
nothing_is_answered_outside_a_group(void **state)
{
    otp_unit_t *unit = *state;
    char code[9];

    add_user(unit, "sato");
    assert_int_equal(attempt_from(unit, "sato",
                                  code_of("sato", step_now(unit), code),
                                  "local")
                         .result,
                     OTP_UNAVAILABLE);
}

static void
a_replay_is_not_charged(void **state)
{
    otp_unit_t *unit = *state;
    otp_user_t user;
    int i;

    add_user(unit, "sato");
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
    for (i = 0; i < 30; i++) {
        otp_outcome_t outcome = verify_right(unit, "sato", 0);

        assert_int_equal(outcome.result, OTP_REPLAYED);
        assert_int_equal(outcome.failures, 0);
    }
    assert_int_equal(otp_user(unit->store, SLICE("sato"), &user), 0);
    assert_int_equal(user.failures, 0);
    unit->now_ms += 30000;
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
}

static void
a_step_before_the_last_is_wrong_and_charged(void **state)
{
    otp_unit_t *unit = *state;
    otp_outcome_t outcome;

    add_user(unit, "sato");
    assert_int_equal(verify_right(unit, "sato", 1).result, OTP_ACCEPTED);
    outcome = verify_right(unit, "sato", 0);
    assert_int_equal(outcome.result, OTP_WRONG);
    assert_int_equal(outcome.failures, 1);
}

static void
the_window_is_one_step_each_way(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "a");
    add_user(unit, "b");
    add_user(unit, "c");
    assert_int_equal(verify_right(unit, "a", -2).result, OTP_WRONG);
    assert_int_equal(verify_right(unit, "a", 2).result, OTP_WRONG);
    assert_int_equal(verify_right(unit, "b", -1).result, OTP_ACCEPTED);
    assert_int_equal(verify_right(unit, "c", 1).result, OTP_ACCEPTED);
}

static void
the_window_can_be_set(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "a");
    add_user(unit, "b");
    unit->rules.window_steps = 0;
    otp_configure(unit->store, &unit->rules);
    assert_int_equal(verify_right(unit, "a", -1).result, OTP_WRONG);
    unit->rules.window_steps = 10;
    otp_configure(unit->store, &unit->rules);
    assert_int_equal(verify_right(unit, "b", -10).result, OTP_ACCEPTED);
}

static void
drift_is_learned_from_two_codes_within_its_bound(void **state)
{
    otp_unit_t *unit = *state;
    int offset, i;

    add_user(unit, "sato");
    /* a phone that falls behind slowly */
    for (offset = -1; offset >= -3; offset--) {
        for (i = 0; i < 2; i++) {
            unit->now_ms += 300000;
            assert_int_equal(verify_right(unit, "sato", offset).result,
                             OTP_ACCEPTED);
        }
    }
    /* three: the bound of two and the window; four are too far */
    unit->now_ms += 300000;
    assert_int_equal(verify_right(unit, "sato", -4).result, OTP_WRONG);
    assert_int_equal(verify_right(unit, "sato", -3).result, OTP_ACCEPTED);
    /* and the clock is set right */
    unit->now_ms += 300000;
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_WRONG);
}

static void
one_late_code_teaches_nothing(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "sato");
    assert_int_equal(verify_right(unit, "sato", -1).result, OTP_ACCEPTED);
    unit->now_ms += 300000;
    assert_int_equal(verify_right(unit, "sato", -2).result, OTP_WRONG);
    assert_int_equal(verify_right(unit, "sato", 1).result, OTP_ACCEPTED);
}

static void
failures_make_one_wait_longer_and_longer(void **state)
{
    static const int64_t waits[] = {0, 0, 1, 2, 4, 8, 16, 32, 64};
    otp_unit_t *unit = *state;
    unsigned i;

    add_user(unit, "sato");
    for (i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        otp_outcome_t outcome = verify_wrong(unit, "sato");

        assert_int_equal(outcome.result, OTP_WRONG);
        assert_int_equal(outcome.failures, i + 1);
        if (waits[i] > 0) {
            unit->now_ms += waits[i] * 1000 - 1;
            outcome = verify_right(unit, "sato", 0);
            assert_int_equal(outcome.result, OTP_THROTTLED);
            assert_int_equal(outcome.wait_seconds, 1);
            assert_int_equal(outcome.failures, i + 1);
            unit->now_ms += 1;
        }
    }
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
    assert_int_equal(verify_wrong(unit, "sato").failures, 1);
}

static void
many_wrong_codes_at_once_are_not_all_looked_at(void **state)
{
    otp_unit_t *unit = *state;
    unsigned looked = 0, i;
    char code[9];

    add_user(unit, "sato");
    (void) wrong_code(unit, "sato", code);
    assert_int_equal(otp_begin(unit->store), 0);
    for (i = 0; i < 128; i++) {
        looked += attempt_from(unit, "sato", code, "local").result == OTP_WRONG;
    }
    assert_int_equal(otp_commit(unit->store), 0);
    assert_int_equal(looked, unit->rules.wait_from);
}

static void
lock_after(otp_unit_t *unit, unsigned expected)
{
    otp_outcome_t outcome;
    unsigned failures = 0;

    do {
        unit->now_ms += 86400 * INT64_C(1000);
        outcome = verify_wrong(unit, "sato");
        assert_int_equal(outcome.result, OTP_WRONG);
        failures++;
        assert_true(failures <= 1000);
    } while (!outcome.locked_now);
    assert_int_equal(failures, expected);
    unit->now_ms += 86400 * INT64_C(1000);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_LOCKED);
}

static void
a_locked_user_waits_for_an_administrator(void **state)
{
    otp_unit_t *unit = *state;
    otp_user_t user;

    add_user(unit, "sato");
    lock_after(unit, 20);
    assert_int_equal(otp_user(unit->store, SLICE("sato"), &user), 0);
    assert_true(user.locked);
    otp_unit_reopen(unit);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_LOCKED);
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_unlock(unit->store, SLICE("sato")), 0);
    assert_int_equal(otp_commit(unit->store), 0);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
}

static void
no_setting_allows_more_than_a_hundred_failures(void **state)
{
    otp_unit_t *unit = *state;

    unit->rules.lock_at = 5000;
    otp_configure(unit->store, &unit->rules);
    add_user(unit, "sato");
    lock_after(unit, OTP_LOCK_MAX);
}

static void
unknown_users_leave_nothing_behind(void **state)
{
    otp_unit_t *unit = *state;
    uint64_t pages = pages_of(unit);
    otp_user_t user;
    char name[400];
    int i;

    for (i = 0; i < 300; i++) {
        (void) snprintf(name, sizeof(name), "nobody%0*d", i, i);
        assert_int_equal(verify(unit, name, "123456").result, OTP_NOT_ENROLLED);
        assert_int_equal(otp_user(unit->store, slice_of(name), &user), -ENOENT);
    }
    assert_true(pages_of(unit) == pages);
    assert_int_equal(verify(unit, "", "123456").result, OTP_NOT_ENROLLED);
}

static uint64_t
frames_of_log(otp_unit_t *unit)
{
    int log = 0, moved = 0;

    assert_int_equal(sqlite3_wal_checkpoint_v2(unit->store->db, NULL,
                                               SQLITE_CHECKPOINT_PASSIVE, &log,
                                               &moved),
                     SQLITE_OK);
    return (uint64_t) log;
}

static void
every_attempt_writes_as_much(void **state)
{
    otp_unit_t *unit = *state;
    uint64_t frames[6];
    char code[9];
    int i;

    add_user(unit, "sato");
    add_user(unit, "locked");
    unit->rules.lock_at = 2;
    otp_configure(unit->store, &unit->rules);
    (void) verify_wrong(unit, "locked");
    assert_true(verify_wrong(unit, "locked").locked_now);
    for (i = 0; i < 6; i++) {
        otp_result_t result;

        (void) frames_of_log(unit); /* all moved: the log starts anew */
        switch (i) {
        case 0:
            result = verify_right(unit, "sato", 0).result;
            assert_int_equal(result, OTP_ACCEPTED);
            break;
        case 1:
            result = verify_right(unit, "sato", 0).result;
            assert_int_equal(result, OTP_REPLAYED);
            break;
        case 2:
            result = verify_wrong(unit, "sato").result;
            assert_int_equal(result, OTP_WRONG);
            break;
        case 3:
            result = verify_right(unit, "locked", 0).result;
            assert_int_equal(result, OTP_LOCKED);
            break;
        case 4:
            result = verify(unit, "nobody", "123456").result;
            assert_int_equal(result, OTP_NOT_ENROLLED);
            break;
        default:
            result = verify(unit, "sato", "not a code").result;
            assert_int_equal(result, OTP_WRONG);
            break;
        }
        frames[i] = frames_of_log(unit);
    }
    (void) code;
    for (i = 0; i < 6; i++) {
        assert_true(frames[i] == 3); /* user, device, meta */
    }
}

static void
sources_are_throttled_over_all_users(void **state)
{
    otp_unit_t *unit = *state;
    otp_outcome_t outcome;
    char user[16], code[9];
    unsigned looked = 0, i;

    add_user(unit, "sato");
    for (i = 0; i < 1000; i++) {
        (void) snprintf(user, sizeof(user), "guess%u", i);
        assert_int_equal(otp_begin(unit->store), 0);
        outcome = attempt_from(unit, user, "123456", "203.0.113.9");
        assert_int_equal(otp_commit(unit->store), 0);
        if (outcome.result == OTP_THROTTLED) {
            unit->now_ms += outcome.wait_seconds * 1000;
            if (outcome.wait_seconds > unit->rules.wait_seconds_max) {
                break;
            }
        } else {
            assert_int_equal(outcome.result, OTP_NOT_ENROLLED);
            looked++;
        }
    }
    assert_int_equal(looked, unit->rules.source_lock_at);
    unit->now_ms -= 10000;
    (void) code_of("sato", step_now(unit), code);
    unit->rules.clock_back_seconds = 10;
    otp_configure(unit->store, &unit->rules);
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(attempt_from(unit, "sato", code, "203.0.113.9").result,
                     OTP_THROTTLED);
    assert_int_equal(attempt_from(unit, "sato", code, "203.0.113.8").result,
                     OTP_ACCEPTED);
    assert_int_equal(otp_commit(unit->store), 0);
}

static void
a_clock_set_back_opens_nothing_and_charges_nobody(void **state)
{
    otp_unit_t *unit = *state;
    otp_outcome_t outcome;

    add_user(unit, "sato");
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
    unit->now_ms -= 5000;
    assert_int_equal(verify_right(unit, "sato", 1).result, OTP_ACCEPTED);
    unit->now_ms -= 60000;
    outcome = verify_wrong(unit, "sato");
    assert_int_equal(outcome.result, OTP_CLOCK);
    assert_int_equal(outcome.failures, 0);
    otp_unit_reopen(unit);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_CLOCK);
    assert_int_equal(verify(unit, "nobody", "123456").result, OTP_CLOCK);
    unit->now_ms = NOW_MS + 60000;
    assert_int_equal(verify_wrong(unit, "sato").failures, 1);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
}

static void
a_clock_that_was_ahead_is_accepted_by_an_administrator(void **state)
{
    otp_unit_t *unit = *state;

    add_user(unit, "sato");
    add_user(unit, "abe");
    unit->now_ms += 86400 * INT64_C(365000);
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_ACCEPTED);
    unit->now_ms = NOW_MS;
    assert_int_equal(verify_right(unit, "abe", 0).result, OTP_CLOCK);
    assert_int_equal(otp_begin(unit->store), 0);
    assert_int_equal(otp_clock_accept(unit->store, unit->now_ms), 0);
    assert_int_equal(otp_commit(unit->store), 0);
    /* what could have been used until then is good no more, nor charged */
    assert_int_equal(verify_right(unit, "abe", 0).result, OTP_CLOCK);
    unit->now_ms += 150000;
    assert_int_equal(verify_right(unit, "abe", 0).result, OTP_ACCEPTED);
    /* a step that was used stays used, though it was of next year; who has the
     * right code is not charged for it */
    assert_int_equal(verify_right(unit, "sato", 0).result, OTP_CLOCK);
    assert_int_equal(verify_wrong(unit, "sato").failures, 1);
}

static void
hotp_looks_ahead_and_never_back(void **state)
{
    const otp_parameters_t hotp = {.kind = OTP_HOTP, .counter = 100};
    otp_unit_t *unit = *state;
    char code[9];

    add_user_as(unit, "token", "token", &hotp);
    assert_int_equal(verify(unit, "token", code_of("token", 99, code)).result,
                     OTP_REPLAYED); /* the counter it came with was next */
    assert_int_equal(verify(unit, "token", code_of("token", 110, code)).result,
                     OTP_WRONG);
    assert_int_equal(verify(unit, "token", code_of("token", 109, code)).result,
                     OTP_ACCEPTED);
    assert_int_equal(verify(unit, "token", code_of("token", 109, code)).result,
                     OTP_REPLAYED);
    assert_int_equal(verify(unit, "token", code_of("token", 105, code)).result,
                     OTP_WRONG);
    assert_int_equal(verify(unit, "token", code_of("token", 110, code)).result,
                     OTP_ACCEPTED);
}

static void
each_device_has_steps_of_its_own(void **state)
{
    const otp_parameters_t hotp = {.kind = OTP_HOTP};
    otp_unit_t *unit = *state;
    char code[9];
    otp_outcome_t outcome;

    add_user(unit, "sato");
    add_user_as(unit, "sato", "token", &hotp);
    outcome = verify(unit, "sato", code_of("sato", 3, code));
    assert_int_equal(outcome.result, OTP_ACCEPTED);
    assert_string_equal(outcome.device, "token");
    outcome = verify_right(unit, "sato", 0);
    assert_int_equal(outcome.result, OTP_ACCEPTED);
    assert_string_equal(outcome.device, "phone");
}

static void
eight_digits_are_not_six(void **state)
{
    const otp_parameters_t eight = {.digits = 8};
    otp_parameters_t full = parameters_default(&eight);
    otp_unit_t *unit = *state;
    secret_t secret = secret_of("sato");
    char code[9] = "";

    add_user_as(unit, "sato", "phone", &eight);
    assert_int_equal(code_make(&secret, &full, step_now(unit), code), 0);
    assert_int_equal(verify(unit, "sato", code + 2).result, OTP_WRONG);
    assert_int_equal(verify(unit, "sato", code).result, OTP_ACCEPTED);
}

static void
what_is_no_code_is_wrong(void **state)
{
    static const char *const typed[] = {"",
                                        " ",
                                        "-",
                                        "12345",
                                        "123456789",
                                        "12345a",
                                        "aaaaaaaaaaaaaaaaaaaaaaa",
                                        "\xff\xfe",
                                        "123456\n",
                                        "１２３４５６"};
    otp_unit_t *unit = *state;
    size_t i;

    add_user(unit, "sato");
    for (i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
        unit->now_ms += 600000;
        assert_int_equal(verify(unit, "sato", typed[i]).result, OTP_WRONG);
    }
}

static void
result_names_are_stable(void **state)
{
    (void) state;
    assert_string_equal(otp_result_name(OTP_NONE), "unavailable");
    assert_string_equal(otp_result_name(OTP_ACCEPTED), "ok");
    assert_string_equal(otp_result_name(OTP_WRONG), "wrong-code");
    assert_string_equal(otp_result_name(OTP_REPLAYED), "code-used-twice");
    assert_string_equal(otp_result_name(OTP_THROTTLED), "throttled");
    assert_string_equal(otp_result_name(OTP_LOCKED), "locked");
    assert_string_equal(otp_result_name(OTP_NOT_ENROLLED), "not-enrolled");
    assert_string_equal(otp_result_name(OTP_CLOCK), "clock");
    assert_string_equal(otp_result_name(OTP_UNAVAILABLE), "unavailable");
    assert_string_equal(otp_result_name((otp_result_t) 99), "unavailable");
}

UNIT_TESTS(OTP_TEST(the_right_code_is_accepted),
           OTP_TEST(spaces_and_hyphens_do_not_count),
           OTP_TEST(a_code_is_good_once_in_groups_of_their_own),
           OTP_TEST(a_code_is_good_once_in_one_group),
           OTP_TEST(users_of_one_group_do_not_hinder_each_other),
           OTP_TEST(a_group_taken_back_has_not_happened),
           OTP_TEST(nothing_is_answered_outside_a_group),
           OTP_TEST(a_replay_is_not_charged),
           OTP_TEST(a_step_before_the_last_is_wrong_and_charged),
           OTP_TEST(the_window_is_one_step_each_way),
           OTP_TEST(the_window_can_be_set),
           OTP_TEST(drift_is_learned_from_two_codes_within_its_bound),
           OTP_TEST(one_late_code_teaches_nothing),
           OTP_TEST(failures_make_one_wait_longer_and_longer),
           OTP_TEST(many_wrong_codes_at_once_are_not_all_looked_at),
           OTP_TEST(a_locked_user_waits_for_an_administrator),
           OTP_TEST(no_setting_allows_more_than_a_hundred_failures),
           OTP_TEST(unknown_users_leave_nothing_behind),
           OTP_TEST(every_attempt_writes_as_much),
           OTP_TEST(sources_are_throttled_over_all_users),
           OTP_TEST(a_clock_set_back_opens_nothing_and_charges_nobody),
           OTP_TEST(a_clock_that_was_ahead_is_accepted_by_an_administrator),
           OTP_TEST(hotp_looks_ahead_and_never_back),
           OTP_TEST(each_device_has_steps_of_its_own),
           OTP_TEST(eight_digits_are_not_six),
           OTP_TEST(what_is_no_code_is_wrong),
           cmocka_unit_test(result_names_are_stable))
