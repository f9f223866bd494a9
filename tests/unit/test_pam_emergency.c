/* pam_sekisho.so and emergency codes: only without a daemon, with a reason. */

#define _GNU_SOURCE
#include "pam_door.h"

#include <time.h>

#include "../../lib/otp/emergency.h"

static char codes[2][EMERGENCY_TEXT_SIZE];

/* A door whose daemon is dead, on a host with two codes. */
static void
dead_door(pam_door_t *door)
{
    char folder[DOOR_TEXT], error[EMERGENCY_ERROR_MAX];

    door_new(door);
    door_daemon_stop(door);
    (void) snprintf(folder, sizeof(folder), "%s/emergency", door->folder);
    assert_int_equal(emergency_seal(folder, 2, time(NULL), 3600, 0, 0,
                                    SLICE("admin"), codes, error),
                     0);
}

static int
enter(pam_door_t *door, const char *options, const char *code,
      const char *reason)
{
    door->answers[0] = code;
    door->answers[1] = reason;
    door->answers_used = 0;
    door_start(door, "sshd", "yamada", options);
    assert_int_equal(pam_set_item(door->pamh, PAM_RHOST, "203.0.113.9"),
                     PAM_SUCCESS);
    return pam_authenticate(door->pamh, 0);
}

static bool
count_use(void *context, const emergency_event_t *event)
{
    *(unsigned *) context += event->kind == EMERGENCY_USED;
    return true;
}

static unsigned
uses(const pam_door_t *door)
{
    char folder[DOOR_TEXT];
    unsigned count = 0;

    (void) snprintf(folder, sizeof(folder), "%s/emergency", door->folder);
    assert_int_equal(
        emergency_spool_read(folder, time(NULL), count_use, &count), 0);
    return count;
}

#define NEEDS_ROOT()                                                           \
    if (geteuid() != 0) {                                                      \
        skip();                                                                \
    }

static void
a_code_and_a_reason_open_the_whole_entry_once(void **state)
{
    pam_door_t door;

    (void) state;
    NEEDS_ROOT();
    dead_door(&door);
    assert_int_equal(enter(&door, "", codes[0], "the daemon is dead"),
                     PAM_SUCCESS);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(uses(&door), 1);
    door_end(&door);
    assert_int_equal(enter(&door, "", codes[0], "the daemon is dead"),
                     PAM_AUTHINFO_UNAVAIL);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_AUTHINFO_UNAVAIL);
    assert_int_equal(uses(&door), 1);
    door_free(&door);
}

static void
without_a_reason_it_opens_nothing_and_is_not_used_up(void **state)
{
    static const char *const reasons[] = {NULL, "", "x",
                                          "em02-abcd-efgh-ijkm-npqr"};

    (void) state;
    NEEDS_ROOT();
    for (unsigned i = 0; i < 4; i++) {
        pam_door_t door;

        dead_door(&door);
        assert_int_equal(enter(&door, "", codes[0], reasons[i]),
                         PAM_AUTHINFO_UNAVAIL);
        assert_int_equal(uses(&door), 0);
        door_free(&door);
    }
}

static void
a_wrong_code_asks_for_the_reason_just_as_well(void **state)
{
    pam_door_t door;

    (void) state;
    NEEDS_ROOT();
    dead_door(&door);
    assert_int_equal(enter(&door, "", "em01-abcd-efgh-ijkm-npqr", "a reason"),
                     PAM_AUTHINFO_UNAVAIL);
    assert_int_equal(door.answers_used, 2);
    door_free(&door);
}

static void
where_it_is_not_taken_it_opens_nothing(void **state)
{
    (void) state;
    NEEDS_ROOT();
    for (unsigned i = 0; i < 2; i++) {
        pam_door_t door;

        dead_door(&door);
        door.emergency = i == 0 ? "off" : NULL;
        assert_int_equal(
            enter(&door, i == 0 ? "" : "one-prompt", codes[0], "a reason"),
            PAM_AUTHINFO_UNAVAIL);
        assert_int_equal(door.answers_used, 1);
        door_free(&door);
    }
}

static void
a_refused_emergency_code_is_not_ignored_as_a_missing_daemon_is(void **state)
{
    pam_door_t door;

    (void) state;
    NEEDS_ROOT();
    dead_door(&door);
    assert_int_equal(enter(&door, "unavailable=ignore",
                           "em01-abcd-efgh-ijkm-npqr", "a reason"),
                     PAM_AUTHINFO_UNAVAIL);
    door_free(&door);
}

static void
while_the_daemon_answers_it_is_a_wrong_code(void **state)
{
    pam_door_t door;

    (void) state;
    NEEDS_ROOT();
    dead_door(&door);
    door_daemon_start(&door);
    assert_int_equal(enter(&door, "", codes[0], "a reason"), PAM_AUTH_ERR);
    assert_int_equal(door.answers_used, 1);
    assert_int_equal(uses(&door), 0);
    door_end(&door);
    door.replies[ASK_VERIFY].verdict = "unavailable";
    assert_int_equal(enter(&door, "", codes[0], "a reason"), PAM_SUCCESS);
    door_free(&door);
}

UNIT_TESTS(
    cmocka_unit_test(a_code_and_a_reason_open_the_whole_entry_once),
    cmocka_unit_test(without_a_reason_it_opens_nothing_and_is_not_used_up),
    cmocka_unit_test(a_wrong_code_asks_for_the_reason_just_as_well),
    cmocka_unit_test(where_it_is_not_taken_it_opens_nothing),
    cmocka_unit_test(
        a_refused_emergency_code_is_not_ignored_as_a_missing_daemon_is),
    cmocka_unit_test(while_the_daemon_answers_it_is_a_wrong_code))
