/* pam_sekisho.so, `account` and `setcred`: locks, places, grace, enrolment. */

#define _GNU_SOURCE
#include "pam_door.h"

#include <time.h>

static int
account(pam_door_t *door, const char *service, const char *host,
        const char *options)
{
    door_start(door, service, "yamada", options);
    if (host != NULL) {
        assert_int_equal(pam_set_item(door->pamh, PAM_RHOST, host),
                         PAM_SUCCESS);
    }
    return pam_acct_mgmt(door->pamh, 0);
}

/* ---- Locks --------------------------------------------------------------- */

static void
who_is_not_locked_passes(void **state)
{
    static const char *const states[] = {"enrolled", "pending", "none"};

    (void) state;
    for (unsigned i = 0; i < 3; i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_LOCK_STATE].state = states[i];
        assert_int_equal(account(&door, "sudo", NULL, ""), PAM_SUCCESS);
        assert_int_equal(door_count(&door, ASK_PLACE), 0);
        door_free(&door);
    }
}

static void
who_is_locked_or_of_whom_nothing_is_said_is_denied(void **state)
{
    static const struct {
        reply_t reply;
        int result;
    } cases[] = {
        {{.verdict = "yes", .state = "enrolled,locked"}, PAM_PERM_DENIED},
        {{.verdict = "yes", .state = "none,locked"}, PAM_PERM_DENIED},
        {{.verdict = "yes"}, PAM_PERM_DENIED},
        {{.verdict = "no", .state = "enrolled"}, PAM_PERM_DENIED},
        {{.verdict = "unavailable"}, PAM_AUTHINFO_UNAVAIL},
        {{.verdict = "not-allowed"}, PAM_SYSTEM_ERR},
        {{.verdict = NULL}, PAM_SYSTEM_ERR},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_LOCK_STATE] = cases[i].reply;
        assert_int_equal(account(&door, "sudo", NULL, ""), cases[i].result);
        door_free(&door);
    }
}

static void
without_a_daemon_account_is_a_no_unless_written(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door_daemon_stop(&door);
    assert_int_equal(account(&door, "sudo", NULL, ""), PAM_AUTHINFO_UNAVAIL);
    door_end(&door);
    assert_int_equal(account(&door, "sudo", NULL, "unavailable=ignore"),
                     DOOR_IGNORED);
    door_free(&door);
}

/* ---- Places -------------------------------------------------------------- */

static void
a_place_is_asked_by_its_literal_address(void **state)
{
    static const struct {
        const char *service, *host, *address;
    } cases[] = {
        {"sshd", "203.0.113.9", "203.0.113.9"},
        {"sshd", "::ffff:203.0.113.9", "203.0.113.9"},
        {"sshd", "2001:db8::1", "2001:db8::1"},
        {"lightdm", NULL, "local"},
        {"login", "", "local"},
        {"xdm", "198.51.100.7", "198.51.100.7"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pam_door_t door;

        door_new(&door);
        assert_int_equal(account(&door, cases[i].service, cases[i].host, ""),
                         PAM_SUCCESS);
        assert_string_equal(door_asked(&door, ASK_PLACE, 0)->address,
                            cases[i].address);
        assert_string_equal(door_asked(&door, ASK_PLACE, 0)->service,
                            cases[i].service);
        door_free(&door);
    }
}

static void
a_name_is_no_address(void **state)
{
    static const char *const hosts[] = {
        "gate.example.com", "localhost", "local",          "203.0.113.9 ",
        "fe80::1%eth0",     "1",         "203.0.113.9:22", ":0"};

    (void) state;
    for (unsigned i = 0; i < 8; i++) {
        pam_door_t door;

        door_new(&door);
        assert_int_equal(account(&door, "sshd", hosts[i], ""), PAM_PERM_DENIED);
        assert_int_equal(door_count(&door, ASK_PLACE), 0);
        door_free(&door);
    }
}

static void
sshd_without_any_address_is_denied(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    assert_int_equal(account(&door, "sshd", NULL, ""), PAM_PERM_DENIED);
    door_free(&door);
}

static int
account_over(pam_door_t *door, const char *host, const char *connection)
{
    door_start(door, "sshd", "yamada", "");
    if (host != NULL) {
        assert_int_equal(pam_set_item(door->pamh, PAM_RHOST, host),
                         PAM_SUCCESS);
    }
    assert_int_equal(pam_putenv(door->pamh, connection), PAM_SUCCESS);
    return pam_acct_mgmt(door->pamh, 0);
}

static void
what_sshd_says_of_the_connection_tells_where_it_arrived(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    assert_int_equal(
        account_over(&door, "203.0.113.9",
                     "SSH_CONNECTION=203.0.113.9 52110 192.0.2.1 22"),
        PAM_SUCCESS);
    assert_string_equal(door_asked(&door, ASK_PLACE, 0)->local, "192.0.2.1");
    door_free(&door);
}

static void
two_addresses_of_one_connection_are_denied(void **state)
{
    static const char *const connections[] = {
        "SSH_CONNECTION=203.0.113.8 52110 192.0.2.1 22",
        "SSH_CONNECTION=203.0.113.9 52110 192.0.2.1",
        "SSH_CONNECTION=203.0.113.9 52110 192.0.2.1 22 x",
        "SSH_CONNECTION=gate 52110 192.0.2.1 22",
        "SSH_CONNECTION=203.0.113.9 52110 local 22",
        "SSH_CONNECTION=",
    };

    (void) state;
    for (unsigned i = 0; i < 6; i++) {
        pam_door_t door;

        door_new(&door);
        assert_int_equal(account_over(&door, "203.0.113.9", connections[i]),
                         PAM_PERM_DENIED);
        door_free(&door);
    }
}

static void
a_place_that_is_refused_is_denied(void **state)
{
    static const struct {
        reply_t reply;
        int result;
    } cases[] = {
        {{.verdict = "no", .why = "closed"}, PAM_PERM_DENIED},
        {{.verdict = "unavailable", .why = "policy-missing"},
         PAM_AUTHINFO_UNAVAIL},
        {{.verdict = "not-allowed"}, PAM_SYSTEM_ERR},
        {{.verdict = NULL}, PAM_SYSTEM_ERR},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_PLACE] = cases[i].reply;
        assert_int_equal(account(&door, "sshd", "203.0.113.9", ""),
                         cases[i].result);
        door_free(&door);
    }
}

static void
the_administrator_says_which_doors_have_a_place(void **state)
{
    static const struct {
        const char *service, *options, *asked; /* NULL: not asked */
    } cases[] = {
        {"sudo", "", NULL},
        {"su", "", NULL},
        {"xscreensaver", "", NULL},
        {"sudo", "place=desktop", "desktop"},
        {"vsftpd", "place=ssh", "ssh"},
        {"vsftpd", "place=on", "vsftpd"},
        {"sshd", "place=off", NULL},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const asked_t *asked;
        pam_door_t door;

        door_new(&door);
        assert_int_equal(
            account(&door, cases[i].service, "203.0.113.9", cases[i].options),
            PAM_SUCCESS);
        asked = door_asked(&door, ASK_PLACE, 0);
        if (cases[i].asked == NULL) {
            assert_null(asked);
        } else {
            assert_string_equal(asked->service, cases[i].asked);
        }
        door_free(&door);
    }
}

static void
a_place_with_a_second_factor_is_closed_to_a_stack_without_our_code(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.replies[ASK_PLACE].second_factor = "always";
    assert_int_equal(account(&door, "sshd", "203.0.113.9", ""),
                     PAM_PERM_DENIED);
    door_end(&door);
    door.replies[ASK_PLACE].why = "dry-run";
    assert_int_equal(account(&door, "sshd", "203.0.113.9", ""), PAM_SUCCESS);
    door_free(&door);
}

/* ---- The entry as a whole ------------------------------------------------ */

static void
begin(pam_door_t *door, const char *options, int result)
{
    door->answers[0] = "123456";
    door_start(door, "sshd", "yamada", options);
    assert_int_equal(pam_set_item(door->pamh, PAM_RHOST, "203.0.113.9"),
                     PAM_SUCCESS);
    assert_int_equal(pam_authenticate(door->pamh, 0), result);
}

static void
a_code_is_told_to_the_place(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    door.replies[ASK_VERIFY].factor = "hotp";
    door.replies[ASK_PLACE].second_factor = "always";
    begin(&door, "", PAM_SUCCESS);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SUCCESS);
    assert_string_equal(door_asked(&door, ASK_PLACE, 0)->factor, "hotp");
    door_free(&door);
}

static void
a_refused_code_is_not_told_to_the_place(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    door.replies[ASK_PLACE].second_factor = "always";
    begin(&door, "", PAM_SUCCESS);
    door.answers[1] = "654321";
    assert_int_equal(pam_authenticate(door.pamh, 0), PAM_AUTH_ERR);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_PERM_DENIED);
    assert_string_equal(door_asked(&door, ASK_PLACE, 0)->factor, "");
    door_free(&door);
}

static void
another_user_than_the_one_whose_code_it_was_is_denied(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    begin(&door, "", PAM_SUCCESS);
    assert_int_equal(pam_set_item(door.pamh, PAM_USER, "root"), PAM_SUCCESS);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_PERM_DENIED);
    assert_int_equal(door_count(&door, ASK_PLACE), 0);
    door_free(&door);
}

static void
a_used_recovery_code_is_shown_once_all_is_through(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    door.replies[ASK_VERIFY].factor = "recovery";
    door.replies[ASK_VERIFY].left = "7";
    begin(&door, "", PAM_SUCCESS);
    assert_int_equal(door.shown_count, 0);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SUCCESS);
    assert_non_null(strstr(door.shown, "7 are left"));
    door_free(&door);
}

/* ---- Grace --------------------------------------------------------------- */

static void
begin_grace(pam_door_t *door, const char *options)
{
    door->replies[ASK_STATE].state = "none";
    door->replies[ASK_STATE].logins = "0";
    door->replies[ASK_LOCK_STATE].state = "none";
    begin(door, options, DOOR_IGNORED);
}

static void
an_entry_in_the_grace_is_counted_once_and_warned_of(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.replies[ASK_GRACE] = (reply_t){.verdict = "yes", .logins = "1"};
    begin_grace(&door, "grace=3");
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(door_count(&door, ASK_GRACE), 1);
    assert_string_equal(door_asked(&door, ASK_GRACE, 0)->left, "3");
    assert_non_null(strstr(door.shown, "are left: 2"));
    (void) pam_setcred(door.pamh, PAM_ESTABLISH_CRED);
    assert_int_equal(door_count(&door, ASK_GRACE), 1);
    door_free(&door);
}

static void
an_entry_in_the_grace_is_counted_by_setcred_where_account_does_not(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.replies[ASK_GRACE] = (reply_t){.verdict = "yes", .logins = "1"};
    begin_grace(&door, "grace=3");
    (void) pam_setcred(door.pamh, PAM_ESTABLISH_CRED);
    assert_int_equal(door_count(&door, ASK_GRACE), 1);
    door_free(&door);
}

static void
the_grace_until_a_day_is_warned_of_with_the_day(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.replies[ASK_GRACE] = (reply_t){.verdict = "yes", .logins = "40"};
    begin_grace(&door, "grace=2999-12-31");
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SUCCESS);
    assert_string_equal(door_asked(&door, ASK_GRACE, 0)->left, "");
    assert_non_null(strstr(door.shown, "until 2999-12-31"));
    door_free(&door);
}

static void
a_grace_that_cannot_be_counted_is_a_no(void **state)
{
    static const reply_t replies[] = {
        {.verdict = "no", .logins = "3"},     {.verdict = "unavailable"},
        {.verdict = "not-allowed"},           {.verdict = "yes"},
        {.verdict = "yes", .logins = "many"},
    };

    (void) state;
    for (unsigned i = 0; i < 5; i++) {
        pam_door_t door;
        int result;

        door_new(&door);
        door.replies[ASK_GRACE] = replies[i];
        begin_grace(&door, "grace=3");
        result = pam_acct_mgmt(door.pamh, 0);
        assert_int_not_equal(result, PAM_SUCCESS);
        assert_int_not_equal(result, DOOR_IGNORED);
        door_free(&door);
    }
}

/* ---- Enrolment ----------------------------------------------------------- */

static void
begin_enrolment(pam_door_t *door, const char *options)
{
    door->replies[ASK_GRACE] = (reply_t){.verdict = "no", .logins = "3"};
    door->replies[ASK_ENROLL] = (reply_t){
        .verdict = "yes", .secret = "JBSWY3DPEHPK3PXP", .text = "#QR#"};
    door->replies[ASK_CONFIRM] = (reply_t){.verdict = "yes",
                                           .text = "aaaa-bbbb\n"};
    begin_grace(door, options);
}

static void
who_has_no_grace_left_enrolls_and_enters(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.answers[1] = "111111";
    begin_enrolment(&door, "grace=3 enroll");
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SUCCESS);
    assert_string_equal(door_asked(&door, ASK_CONFIRM, 0)->code, "111111");
    assert_string_equal(door_asked(&door, ASK_CONFIRM, 0)->kind, "recovery");
    assert_non_null(strstr(door.shown, "#QR#"));
    assert_non_null(strstr(door.shown, "JBSW Y3DP EHPK 3PXP"));
    assert_non_null(strstr(door.shown, "aaaa-bbbb"));
    door_free(&door);
}

static void
a_greeter_shows_the_secret_and_no_picture(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.answers[1] = "111111";
    begin_enrolment(&door, "grace=3 enroll qr=off");
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SUCCESS);
    assert_null(strstr(door.shown, "#QR#"));
    assert_non_null(strstr(door.shown, "JBSW Y3DP EHPK 3PXP"));
    door_free(&door);
}

static void
who_enrolls_wrongly_three_times_stays_outside(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.answers[1] = door.answers[2] = door.answers[3] = door.answers[4] =
        "111111";
    begin_enrolment(&door, "grace=3 enroll");
    door.replies[ASK_CONFIRM] = (reply_t){.verdict = "no"};
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_PERM_DENIED);
    assert_int_equal(door_count(&door, ASK_CONFIRM), 3);
    door_free(&door);
}

static void
who_breaks_off_the_enrolment_stays_outside(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    begin_enrolment(&door, "grace=3 enroll");
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_CONV_ERR);
    door_free(&door);
}

static void
an_enrolment_that_the_daemon_refuses_is_a_no(void **state)
{
    static const reply_t replies[] = {
        {.verdict = "no"},
        {.verdict = "unavailable"},
        {.verdict = "yes"}, /* without a secret */
        {.verdict = "not-allowed"},
    };

    (void) state;
    for (unsigned i = 0; i < 4; i++) {
        pam_door_t door;
        int result;

        door_new(&door);
        door.answers[1] = "111111";
        begin_enrolment(&door, "grace=3 enroll");
        door.replies[ASK_ENROLL] = replies[i];
        result = pam_acct_mgmt(door.pamh, 0);
        assert_int_not_equal(result, PAM_SUCCESS);
        assert_int_not_equal(result, DOOR_IGNORED);
        assert_int_equal(door_count(&door, ASK_CONFIRM), 0);
        door_free(&door);
    }
}

static void
nobody_is_enrolled_by_auth_or_where_it_is_not_written(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.answers[1] = "111111";
    begin_enrolment(&door, "grace=3");
    assert_int_equal(door_count(&door, ASK_ENROLL), 0);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_PERM_DENIED);
    assert_int_equal(door_count(&door, ASK_ENROLL), 0);
    assert_non_null(strstr(door.shown, "ask your administrator"));
    door_free(&door);
}

UNIT_TESTS(
    cmocka_unit_test(who_is_not_locked_passes),
    cmocka_unit_test(who_is_locked_or_of_whom_nothing_is_said_is_denied),
    cmocka_unit_test(without_a_daemon_account_is_a_no_unless_written),
    cmocka_unit_test(a_place_is_asked_by_its_literal_address),
    cmocka_unit_test(a_name_is_no_address),
    cmocka_unit_test(sshd_without_any_address_is_denied),
    cmocka_unit_test(what_sshd_says_of_the_connection_tells_where_it_arrived),
    cmocka_unit_test(two_addresses_of_one_connection_are_denied),
    cmocka_unit_test(a_place_that_is_refused_is_denied),
    cmocka_unit_test(the_administrator_says_which_doors_have_a_place),
    cmocka_unit_test(
        a_place_with_a_second_factor_is_closed_to_a_stack_without_our_code),
    cmocka_unit_test(a_code_is_told_to_the_place),
    cmocka_unit_test(a_refused_code_is_not_told_to_the_place),
    cmocka_unit_test(another_user_than_the_one_whose_code_it_was_is_denied),
    cmocka_unit_test(a_used_recovery_code_is_shown_once_all_is_through),
    cmocka_unit_test(an_entry_in_the_grace_is_counted_once_and_warned_of),
    cmocka_unit_test(
        an_entry_in_the_grace_is_counted_by_setcred_where_account_does_not),
    cmocka_unit_test(the_grace_until_a_day_is_warned_of_with_the_day),
    cmocka_unit_test(a_grace_that_cannot_be_counted_is_a_no),
    cmocka_unit_test(who_has_no_grace_left_enrolls_and_enters),
    cmocka_unit_test(a_greeter_shows_the_secret_and_no_picture),
    cmocka_unit_test(who_enrolls_wrongly_three_times_stays_outside),
    cmocka_unit_test(who_breaks_off_the_enrolment_stays_outside),
    cmocka_unit_test(an_enrolment_that_the_daemon_refuses_is_a_no),
    cmocka_unit_test(nobody_is_enrolled_by_auth_or_where_it_is_not_written))
