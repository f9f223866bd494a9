/* pam_sekisho.so, `auth`: which answers open, and what is asked for them. */

#define _GNU_SOURCE
#include "pam_door.h"

#define DUMMY "\b\n\r\177INCORRECT"

static int
enter(pam_door_t *door, const char *user, const char *options,
      const char *answer)
{
    door->answers[0] = answer;
    door_start(door, "test", user, options);
    return pam_authenticate(door->pamh, 0);
}

static void
a_code_that_the_daemon_accepts_opens(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    assert_int_equal(enter(&door, "yamada", "", "123456"), PAM_SUCCESS);
    assert_int_equal(door.asked_count, 1);
    assert_string_equal(door.asked[0].user, "yamada");
    assert_string_equal(door.asked[0].service, "test");
    assert_string_equal(door.asked[0].address, "local");
    assert_string_equal(door.prompts[0], "One-time code: ");
    assert_int_equal(door.styles[0], PAM_PROMPT_ECHO_ON);
    assert_int_equal(door.shown_count, 0);
    door_free(&door);
}

static void
the_prompt_is_the_administrators(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.good_code = "1";
    assert_int_equal(enter(&door, "yamada", "[prompt=The code, please: ]", "1"),
                     PAM_SUCCESS);
    assert_string_equal(door.prompts[0], "The code, please: ");
    door_free(&door);
}

static void
every_other_answer_is_a_no(void **state)
{
    static const struct {
        reply_t reply;
        int result;
    } cases[] = {
        {{.verdict = "no"}, PAM_AUTH_ERR},
        {{.verdict = "no", .why = "locked"}, PAM_AUTH_ERR},
        {{.verdict = "unavailable"}, PAM_AUTHINFO_UNAVAIL},
        {{.verdict = "not-allowed"}, PAM_SYSTEM_ERR},
        {{.verdict = "bad-request"}, PAM_SYSTEM_ERR},
        {{.verdict = "YES"}, PAM_SYSTEM_ERR},
        {{.verdict = "yes "}, PAM_SYSTEM_ERR},
        {{.verdict = NULL}, PAM_SYSTEM_ERR},
        {{.verdict = "yes", .garbage = true}, PAM_AUTHINFO_UNAVAIL},
        {{.silent = true}, PAM_AUTHINFO_UNAVAIL},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_VERIFY] = cases[i].reply;
        if (cases[i].reply.silent) {
            door.timeout = "1s";
        }
        assert_int_equal(enter(&door, "yamada", "", "123456"), cases[i].result);
        door_free(&door);
    }
}

static void
without_a_daemon_nobody_enters(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door_daemon_stop(&door);
    assert_int_equal(enter(&door, "yamada", "", "123456"),
                     PAM_AUTHINFO_UNAVAIL);
    door_free(&door);
}

static void
without_a_daemon_the_line_is_ignored_where_that_is_written(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door_daemon_stop(&door);
    assert_int_equal(enter(&door, "yamada", "unavailable=ignore", "123456"),
                     DOOR_IGNORED);
    door_free(&door);
}

static void
a_refused_code_is_not_ignored_where_that_is_written(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    assert_int_equal(enter(&door, "yamada", "unavailable=ignore", "123456"),
                     PAM_AUTH_ERR);
    door_end(&door);
    door.replies[ASK_VERIFY].verdict = "not-allowed";
    door.answers_used = 0;
    assert_int_equal(enter(&door, "yamada", "unavailable=ignore", "123456"),
                     PAM_SYSTEM_ERR);
    door_free(&door);
}

static void
an_empty_code_is_asked_as_a_wrong_one(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    /* even by a daemon that says yes to everything */
    door.replies[ASK_VERIFY].verdict = "yes";
    assert_int_equal(enter(&door, "yamada", "", ""), PAM_AUTH_ERR);
    assert_string_equal(door.asked[0].code, "?");
    door_free(&door);
}

static void
a_code_with_something_far_behind_it_is_no_code(void **state)
{
    char answer[301];
    pam_door_t door;

    (void) state;
    memset(answer, ' ', 300);
    memcpy(answer, "123456", 6);
    answer[299] = 'x';
    answer[300] = '\0';
    door_new(&door);
    assert_int_equal(enter(&door, "yamada", "", answer), PAM_AUTH_ERR);
    assert_string_equal(door.asked[0].code, "?");
    door_free(&door);
}

static void
what_sshd_makes_up_counts_against_nobody_and_opens_nothing(void **state)
{
    static const char *const options[] = {"", "one-prompt"};

    (void) state;
    for (unsigned i = 0; i < 2; i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_VERIFY].verdict = "yes";
        assert_int_equal(enter(&door, "yamada", options[i], DUMMY "123456"),
                         PAM_AUTH_ERR);
        assert_int_equal(door.asked_count, 1);
        assert_string_equal(door.asked[0].user, " ");
        assert_int_equal(door.answers_used, 1);
        door_free(&door);
    }
}

static void
names_that_nobody_can_have_are_asked_as_nobody(void **state)
{
    char long_name[400];
    const char *const names[] = {"", "a\nb", "\177", long_name};

    (void) state;
    memset(long_name, 'a', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    for (unsigned i = 0; i < 4; i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_VERIFY].verdict = "yes";
        assert_int_equal(enter(&door, names[i], "", "123456"), PAM_AUTH_ERR);
        assert_int_equal(door.asked_count, 1);
        assert_string_equal(door.asked[0].user, " ");
        assert_string_equal(door.prompts[0], "One-time code: ");
        door_free(&door);
    }
}

static void
who_does_not_answer_does_not_enter(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.replies[ASK_VERIFY].verdict = "yes";
    assert_int_equal(enter(&door, "yamada", "unavailable=ignore", NULL),
                     PAM_CONV_ERR);
    assert_int_equal(door.asked_count, 0);
    door_free(&door);
}

/* ---- One field ----------------------------------------------------------- */

/* What the next module gets: it is asked through a stack of its own. */
static int
enter_with_password(pam_door_t *door, const char *typed, const char *options,
                    const char *password)
{
    struct pam_conv conversation = {door_conversation, door};
    char text[4096], module[1024], script[256];

    (void) snprintf(script, sizeof(script),
                    "#!/bin/sh\n[ \"$(tr -d '\\0')\" = '%s' ]\n", password);
    door_write(door->folder, "check", script, 0755);
    (void) snprintf(text, sizeof(text),
                    "auth required %s conf=%s/pam.conf socket=%s timeout=60s "
                    "one-prompt %s\n"
                    "auth required pam_exec.so quiet expose_authtok %s/check\n",
                    door_module(module), door->folder, door->socket, options,
                    door->folder);
    door_write(door->folder, "field", text, 0644);
    door->answers[0] = typed;
    assert_int_equal(pam_start_confdir("field", "yamada", &conversation,
                                       door->folder, &door->pamh),
                     PAM_SUCCESS);
    return pam_authenticate(door->pamh, 0);
}

static void
one_field_is_cut_behind_the_password(void **state)
{
    static const struct {
        const char *typed, *options, *password, *code;
    } cases[] = {
        {"secret123456", "", "secret", "123456"},
        {"secret999999123456", "", "secret999999", "123456"},
        {"123456123456", "", "123456", "123456"},
        {"secret12345678", "digits=8", "secret", "12345678"},
        {"secret12345678", "digits=6", "secret12", "345678"},
        {"with space 123456", "", "with space ", "123456"},
        {"secretab2c-de3f-gh4i-jk5m", "", "secret", "ab2c-de3f-gh4i-jk5m"},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pam_door_t door;

        door_new(&door);
        door.good_code = cases[i].code;
        assert_int_equal(enter_with_password(&door, cases[i].typed,
                                             cases[i].options,
                                             cases[i].password),
                         PAM_SUCCESS);
        assert_int_equal(door.answers_used, 1);
        assert_int_equal(door.styles[0], PAM_PROMPT_ECHO_OFF);
        door_free(&door);
    }
}

static void
one_field_with_a_wrong_code_is_a_no_although_the_password_is_right(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    assert_int_not_equal(
        enter_with_password(&door, "secret123457", "", "secret"), PAM_SUCCESS);
    door_free(&door);
}

static void
one_field_with_a_wrong_password_is_a_no_although_the_code_is_right(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    assert_int_not_equal(
        enter_with_password(&door, "secrets123456", "", "secret"), PAM_SUCCESS);
    door_free(&door);
}

static void
one_field_without_a_code_asks_a_wrong_one(void **state)
{
    static const char *const typed[] = {"", "12345", "secret", "secret12345x"};

    (void) state;
    for (unsigned i = 0; i < 4; i++) {
        pam_door_t door;

        door_new(&door);
        door.good_code = "123456";
        assert_int_not_equal(enter_with_password(&door, typed[i], "", typed[i]),
                             PAM_SUCCESS);
        assert_string_equal(door.asked[0].code, "?");
        door_free(&door);
    }
}

/* ---- Keys ---------------------------------------------------------------- */

static int
enter_with_key(pam_door_t *door, const char *options, const char *info)
{
    door->answers[0] = "123456";
    door_start(door, "sshd", "yamada", options);
    assert_int_equal(pam_putenv(door->pamh, info), PAM_SUCCESS);
    return pam_authenticate(door->pamh, 0);
}

static void
a_key_is_no_code_unless_that_is_written(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    assert_int_equal(enter_with_key(&door, "",
                                    "SSH_AUTH_INFO_0=publickey "
                                    "ssh-ed25519 AAAA\n"),
                     PAM_AUTH_ERR);
    assert_string_equal(door.asked[0].factors, "publickey");
    door_free(&door);
}

static void
a_key_is_enough_where_that_is_written(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    assert_int_equal(enter_with_key(&door, "skip-for-publickey",
                                    "SSH_AUTH_INFO_0=password\npublickey "
                                    "ssh-ed25519 AAAA\n"),
                     DOOR_IGNORED);
    assert_int_equal(door.answers_used, 0);
    door_free(&door);
}

static void
only_a_key_is_a_key(void **state)
{
    static const char *const infos[] = {
        "SSH_AUTH_INFO_0=", "SSH_AUTH_INFO_0=publickey",
        "SSH_AUTH_INFO_0=password publickey ssh-ed25519",
        "SSH_AUTH_INFO_1=publickey ssh-ed25519 AAAA"};

    (void) state;
    for (unsigned i = 0; i < 4; i++) {
        pam_door_t door;

        door_new(&door);
        assert_int_equal(enter_with_key(&door, "skip-for-publickey", infos[i]),
                         PAM_AUTH_ERR);
        door_free(&door);
    }
}

/* ---- Grace --------------------------------------------------------------- */

static void
who_is_not_enrolled_passes_in_the_grace_without_a_word(void **state)
{
    static const char *const states[] = {"none", "pending"};

    (void) state;
    for (unsigned i = 0; i < 2; i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_STATE].state = states[i];
        door.replies[ASK_STATE].logins = "0";
        assert_int_equal(enter(&door, "yamada", "grace=3", "x"), DOOR_IGNORED);
        /* nothing is counted before all of `auth` is through */
        assert_int_equal(door_count(&door, ASK_GRACE), 0);
        assert_int_equal(door.shown_count, 0);
        assert_string_equal(door.prompts[0], "One-time code: ");
        door_free(&door);
    }
}

static void
who_is_enrolled_or_locked_has_no_grace(void **state)
{
    static const char *const states[] = {
        "enrolled", "enrolled,locked", "none,locked", "pending,locked",
        "",         "anything"};

    (void) state;
    for (unsigned i = 0; i < 6; i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_STATE].state = states[i];
        door.replies[ASK_STATE].logins = "0";
        assert_int_equal(enter(&door, "yamada", "grace=3", "x"), PAM_AUTH_ERR);
        door_free(&door);
    }
}

static void
grace_ends_with_its_day_and_its_number(void **state)
{
    static const struct {
        const char *options, *logins;
        int result;
    } cases[] = {
        {"grace=2020-01-01", NULL, PAM_AUTH_ERR},
        {"grace=2999-12-31", NULL, DOOR_IGNORED},
        {"grace=3", "2", DOOR_IGNORED},
        {"grace=3", "3", PAM_AUTH_ERR},
        {"grace=3", NULL, PAM_AUTH_ERR}, /* nobody has counted */
        {"grace=off", "0", PAM_AUTH_ERR},
        /* `account` will enroll */
        {"grace=3 enroll", "3", DOOR_IGNORED},
        {"grace=2020-01-01 enroll", NULL, DOOR_IGNORED},
    };

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pam_door_t door;

        door_new(&door);
        door.replies[ASK_STATE].state = "none";
        door.replies[ASK_STATE].logins = cases[i].logins;
        assert_int_equal(enter(&door, "yamada", cases[i].options, "x"),
                         cases[i].result);
        door_free(&door);
    }
}

static void
known_and_unknown_are_asked_the_same_questions(void **state)
{
    pam_door_t known, unknown;

    (void) state;
    door_new(&known);
    assert_int_equal(enter(&known, "yamada", "grace=2020-01-01", "x"),
                     PAM_AUTH_ERR);
    door_new(&unknown);
    unknown.replies[ASK_STATE].state = "none";
    assert_int_equal(enter(&unknown, "nobody", "grace=2020-01-01", "x"),
                     PAM_AUTH_ERR);
    assert_int_equal(known.asked_count, unknown.asked_count);
    for (unsigned i = 0; i < known.asked_count; i++) {
        assert_int_equal(known.asked[i].operation, unknown.asked[i].operation);
    }
    assert_int_equal(known.answers_used, unknown.answers_used);
    assert_string_equal(known.prompts[0], unknown.prompts[0]);
    assert_string_equal(known.shown, unknown.shown);
    door_free(&known);
    door_free(&unknown);
}

static void
grace_does_not_help_a_made_up_answer_or_name(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door.replies[ASK_STATE].state = "none";
    door.replies[ASK_STATE].logins = "0";
    assert_int_equal(enter(&door, "yamada", "grace=3", DUMMY), PAM_AUTH_ERR);
    door_end(&door);
    door.answers_used = 0;
    assert_int_equal(enter(&door, "a\nb", "grace=3", "x"), PAM_AUTH_ERR);
    door_free(&door);
}

UNIT_TESTS(
    cmocka_unit_test(a_code_that_the_daemon_accepts_opens),
    cmocka_unit_test(the_prompt_is_the_administrators),
    cmocka_unit_test(every_other_answer_is_a_no),
    cmocka_unit_test(without_a_daemon_nobody_enters),
    cmocka_unit_test(
        without_a_daemon_the_line_is_ignored_where_that_is_written),
    cmocka_unit_test(a_refused_code_is_not_ignored_where_that_is_written),
    cmocka_unit_test(an_empty_code_is_asked_as_a_wrong_one),
    cmocka_unit_test(a_code_with_something_far_behind_it_is_no_code),
    cmocka_unit_test(
        what_sshd_makes_up_counts_against_nobody_and_opens_nothing),
    cmocka_unit_test(names_that_nobody_can_have_are_asked_as_nobody),
    cmocka_unit_test(who_does_not_answer_does_not_enter),
    cmocka_unit_test(one_field_is_cut_behind_the_password),
    cmocka_unit_test(
        one_field_with_a_wrong_code_is_a_no_although_the_password_is_right),
    cmocka_unit_test(
        one_field_with_a_wrong_password_is_a_no_although_the_code_is_right),
    cmocka_unit_test(one_field_without_a_code_asks_a_wrong_one),
    cmocka_unit_test(a_key_is_no_code_unless_that_is_written),
    cmocka_unit_test(a_key_is_enough_where_that_is_written),
    cmocka_unit_test(only_a_key_is_a_key),
    cmocka_unit_test(who_is_not_enrolled_passes_in_the_grace_without_a_word),
    cmocka_unit_test(who_is_enrolled_or_locked_has_no_grace),
    cmocka_unit_test(grace_ends_with_its_day_and_its_number),
    cmocka_unit_test(known_and_unknown_are_asked_the_same_questions),
    cmocka_unit_test(grace_does_not_help_a_made_up_answer_or_name))
