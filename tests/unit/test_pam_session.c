/* pam_sekisho.so, `session`: its records, and what the last one takes along. */

#define _GNU_SOURCE
#include "pam_door.h"
#include "private_mounts.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#define WIPE "wipe=~/Downloads"

static bool allowed; /* of the whole group: set once */

static void
residue_new(void)
{
    assert_int_equal(system("rm -rf /mnt/home/* /tmp/left /var/tmp/left "
                            "/dev/shm/left"),
                     0);
    folder_of("/mnt/home/Downloads", YAMADA_UID);
    file_of("/mnt/home/Downloads/image.dcm", YAMADA_UID);
    file_of("/mnt/home/letter", YAMADA_UID);
    file_of("/tmp/left", YAMADA_UID);
    file_of("/var/tmp/left", YAMADA_UID);
    file_of("/dev/shm/left", YAMADA_UID);
}

static bool
residue_is_gone(void)
{
    return !is_there("/mnt/home/Downloads/image.dcm") &&
           !is_there("/tmp/left") && !is_there("/var/tmp/left") &&
           !is_there("/dev/shm/left") && is_there("/mnt/home/letter") &&
           is_there("/mnt/home/Downloads");
}

static void
a_session_has_a_record_of_its_begin_and_its_end(void **state)
{
    pam_door_t door;
    const recorded_t *begin, *end;

    (void) state;
    if (geteuid() != 0) {
        skip();
    }
    door_new(&door);
    door_start(&door, "sshd", "yamada", "");
    assert_int_equal(pam_set_item(door.pamh, PAM_RHOST, "203.0.113.9"), 0);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(pam_close_session(door.pamh, 0), PAM_SUCCESS);
    begin = door_recorded(&door, "session");
    end = door_recorded(&door, "sign-out");
    assert_non_null(begin);
    assert_non_null(end);
    assert_int_equal(door.recorded_count, 2);
    assert_string_equal(begin->user, "yamada");
    assert_string_equal(begin->address, "203.0.113.9");
    assert_int_equal(strlen(begin->session), 32);
    assert_string_equal(end->session, begin->session);
    assert_string_equal(end->open, begin->session);
    assert_true(strlen(end->duration) > 0);
    door_free(&door);
}

static void
a_session_without_its_record_is_allowed_unless_written(void **state)
{
    pam_door_t door;

    (void) state;
    if (geteuid() != 0) {
        skip();
    }
    door_new(&door);
    door.refuses_records = true;
    door_start(&door, "sshd", "yamada", "");
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    door_end(&door);
    door_start(&door, "sshd", "yamada", "record=required");
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SESSION_ERR);
    door_end(&door);
    door_daemon_stop(&door);
    door_start(&door, "sshd", "yamada", "record=required");
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SESSION_ERR);
    door_free(&door);
}

static void
the_end_of_a_session_removes_what_is_configured_and_says_so(void **state)
{
    const recorded_t *wiped;
    pam_door_t door;

    (void) state;
    if (!allowed) {
        skip();
    }
    residue_new();
    door_new(&door);
    door_start(&door, "sshd", "yamada", WIPE);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    assert_true(is_there("/mnt/home/Downloads/image.dcm"));
    assert_int_equal(pam_close_session(door.pamh, 0), PAM_SUCCESS);
    assert_true(residue_is_gone());
    wiped = door_recorded(&door, "wiped");
    assert_non_null(wiped);
    assert_string_equal(wiped->reason, "session-end");
    assert_string_equal(wiped->files, "4");
    assert_string_equal(wiped->bytes, "20");
    assert_string_equal(wiped->failures, "0");
    assert_string_equal(wiped->outcome, "0");
    door_free(&door);
}

static void
only_the_last_session_removes_it(void **state)
{
    pam_door_t one, two;

    (void) state;
    if (!allowed) {
        skip();
    }
    residue_new();
    door_new(&one);
    door_new(&two);
    door_start(&one, "sshd", "yamada", WIPE);
    assert_int_equal(pam_open_session(one.pamh, 0), PAM_SUCCESS);
    /* the same folder of marks; its own goes with /tmp */
    (void) snprintf(two.folder, sizeof(two.folder), "%s", one.folder);
    door_start(&two, "lightdm", "yamada", WIPE);
    assert_int_equal(pam_open_session(two.pamh, 0), PAM_SUCCESS);
    assert_int_equal(pam_close_session(one.pamh, 0), PAM_SUCCESS);
    assert_true(is_there("/mnt/home/Downloads/image.dcm"));
    assert_null(door_recorded(&one, "wiped"));
    assert_int_equal(pam_close_session(two.pamh, 0), PAM_SUCCESS);
    assert_true(residue_is_gone());
    door_end(&two);
    door_daemon_stop(&two);
    door_free(&one);
}

/* A session whose process is killed, as by a power cut, in `folder`. */
static void
session_that_dies(pam_door_t *door)
{
    pid_t pid;
    int status;

    door_start(door, "sshd", "yamada", WIPE);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(pam_open_session(door->pamh, 0) == PAM_SUCCESS ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    door_end(door);
}

static void
what_a_dead_session_left_is_removed_when_the_next_begins(void **state)
{
    const recorded_t *wiped;
    pam_door_t door;

    (void) state;
    if (!allowed) {
        skip();
    }
    residue_new();
    door_new(&door);
    session_that_dies(&door);
    assert_true(is_there("/mnt/home/Downloads/image.dcm"));
    door_start(&door, "sshd", "yamada", WIPE);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    assert_true(residue_is_gone());
    wiped = door_recorded(&door, "wiped");
    assert_non_null(wiped);
    assert_string_equal(wiped->reason, "interrupted");
    door_free(&door);
}

static void
what_the_boot_before_left_is_removed_although_its_pid_lives(void **state)
{
    char path[1024], command[2048];
    pam_door_t door;

    (void) state;
    if (!allowed) {
        skip();
    }
    residue_new();
    door_new(&door);
    door_start(&door, "sshd", "yamada", WIPE);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    door_end(&door);
    (void) snprintf(path, sizeof(path), "%s/sessions/%d", door.folder,
                    YAMADA_UID);
    (void) snprintf(command, sizeof(command),
                    "for f in %s/*; do printf "
                    "00000000-0000-0000-0000-000000000000 > $f; done",
                    path);
    assert_int_equal(system(command), 0);
    door_start(&door, "sshd", "yamada", WIPE);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    assert_true(residue_is_gone());
    door_free(&door);
}

static void
nothing_of_root_or_of_services_is_removed(void **state)
{
    static const char *const users[] = {"root", "service", "unknown"};

    (void) state;
    if (!allowed) {
        skip();
    }
    for (unsigned i = 0; i < 3; i++) {
        pam_door_t door;

        residue_new();
        file_of("/tmp/roots", 0);
        file_of("/tmp/services", 500);
        door_new(&door);
        door_start(&door, "sshd", users[i], WIPE);
        assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
        assert_int_equal(pam_close_session(door.pamh, 0), PAM_SUCCESS);
        assert_true(is_there("/tmp/roots"));
        assert_true(is_there("/tmp/services"));
        assert_true(is_there("/tmp/left"));
        assert_null(door_recorded(&door, "wiped"));
        door_free(&door);
    }
}

static void
without_wipe_nothing_is_removed(void **state)
{
    pam_door_t door;

    (void) state;
    if (!allowed) {
        skip();
    }
    residue_new();
    door_new(&door);
    door_start(&door, "sshd", "yamada", "");
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(pam_close_session(door.pamh, 0), PAM_SUCCESS);
    assert_true(is_there("/mnt/home/Downloads/image.dcm"));
    assert_true(is_there("/tmp/left"));
    door_free(&door);
}

static void
marks_in_a_folder_of_somebody_else_are_not_believed(void **state)
{
    char path[1024];
    pam_door_t door;

    (void) state;
    if (!allowed) {
        skip();
    }
    residue_new();
    door_new(&door);
    (void) snprintf(path, sizeof(path), "%s/sessions", door.folder);
    folder_of(path, YAMADA_UID);
    door_start(&door, "sshd", "yamada", WIPE);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(pam_close_session(door.pamh, 0), PAM_SUCCESS);
    assert_null(door_recorded(&door, "wiped"));
    door_end(&door);
    door_start(&door, "sshd", "yamada", WIPE " record=required");
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SESSION_ERR);
    door_free(&door);
}

/* An application that reaps every child it hears of, and one that blocks. */
static volatile sig_atomic_t reaped;

static void
reap_all(int number)
{
    (void) number;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
        reaped++;
    }
}

static void
an_application_that_reaps_all_children_disturbs_nothing(void **state)
{
    struct sigaction action = {.sa_handler = reap_all}, before, after;
    sigset_t mask_before, mask_after;
    pam_door_t door;

    (void) state;
    if (!allowed) {
        skip();
    }
    residue_new();
    door_new(&door);
    assert_int_equal(sigaction(SIGCHLD, &action, &before), 0);
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &mask_before), 0);
    door_start(&door, "sshd", "yamada", WIPE);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(pam_close_session(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &mask_after), 0);
    assert_int_equal(sigaction(SIGCHLD, &before, &after), 0);
    assert_ptr_equal(after.sa_handler, reap_all);
    for (int i = 1; i < 32; i++) {
        assert_int_equal(sigismember(&mask_before, i),
                         sigismember(&mask_after, i));
    }
    assert_true(residue_is_gone());
    assert_string_equal(door_recorded(&door, "wiped")->files, "4");
    door_free(&door);
}

static int
set_up(void **state)
{
    (void) state;
    allowed = private_mounts();
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_has_a_record_of_its_begin_and_its_end),
        cmocka_unit_test(
            a_session_without_its_record_is_allowed_unless_written),
        cmocka_unit_test(
            the_end_of_a_session_removes_what_is_configured_and_says_so),
        cmocka_unit_test(only_the_last_session_removes_it),
        cmocka_unit_test(
            what_a_dead_session_left_is_removed_when_the_next_begins),
        cmocka_unit_test(
            what_the_boot_before_left_is_removed_although_its_pid_lives),
        cmocka_unit_test(nothing_of_root_or_of_services_is_removed),
        cmocka_unit_test(without_wipe_nothing_is_removed),
        cmocka_unit_test(marks_in_a_folder_of_somebody_else_are_not_believed),
        cmocka_unit_test(
            an_application_that_reaps_all_children_disturbs_nothing),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
