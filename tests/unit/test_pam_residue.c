/*
 * What a session leaves, and how far its removal goes: not beyond links, not
 * beyond mounts, not behind a folder that is exchanged meanwhile.  Each test
 * runs with openat2() and without it.
 */

#define _GNU_SOURCE
#include "private_mounts.h"

#include "../../pam/residue_walk.c"

#include <grp.h>
#include <signal.h>
#include <sys/wait.h>

static bool allowed; /* of the whole group: set once */

static void
fresh_home(void)
{
    assert_int_equal(system("umount -q /mnt/home/*/* /mnt/home/* 2>/dev/null; "
                            "rm -rf /mnt/home/* /mnt/home/.[a-z]* "
                            "/mnt/outside && mkdir /mnt/outside && "
                            "chmod 777 /mnt/outside"),
                     0);
}

static void
become_yamada(void)
{
    if (setgroups(0, NULL) < 0 ||
        setresgid(YAMADA_GID, YAMADA_GID, YAMADA_GID) < 0 ||
        setresuid(YAMADA_UID, YAMADA_UID, YAMADA_UID) < 0)
    {
        _exit(99);
    }
}

/* As the user, in a child, as the module does it. */
static residue_t
sweep_as_user(const char *path, bool no_openat2, int seconds)
{
    residue_t residue = {0};
    int ends[2], status;
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        sweep_t sweep = {.uid = YAMADA_UID, .no_openat2 = no_openat2};
        struct timespec now;
        int home;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        sweep.end_ms = (int64_t) (now.tv_sec + seconds) * 1000;
        become_yamada();
        home = open("/mnt/home", O_RDONLY | O_DIRECTORY);
        sweep_path(&sweep, home, path);
        _exit(write(ends[1], &sweep.residue, sizeof(residue)) ==
                      (ssize_t) sizeof(residue)
                  ? 0
                  : 98);
    }
    (void) close(ends[1]);
    assert_int_equal(read(ends[0], &residue, sizeof(residue)), sizeof(residue));
    (void) close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return residue;
}

#define BOTH_WAYS(way)                                                         \
    if (!allowed) {                                                            \
        skip();                                                                \
    }                                                                          \
    for (int way = 0; way < 2; way++)

static void
a_folder_is_emptied_and_counted_and_stays(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        residue_t residue;

        fresh_home();
        folder_of("/mnt/home/Downloads", YAMADA_UID);
        folder_of("/mnt/home/Downloads/a", YAMADA_UID);
        folder_of("/mnt/home/Downloads/a/b", YAMADA_UID);
        file_of("/mnt/home/Downloads/a/b/image.dcm", YAMADA_UID);
        file_of("/mnt/home/Downloads/.hidden", YAMADA_UID);
        residue = sweep_as_user("Downloads", way == 1, 60);
        assert_int_equal(residue.files, 4);
        assert_int_equal(residue.bytes, 10);
        assert_int_equal(residue.failures, 0);
        assert_true(is_there("/mnt/home/Downloads"));
        assert_int_equal(rmdir("/mnt/home/Downloads"), 0);
    }
}

static void
what_is_not_there_is_no_failure(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        fresh_home();
        assert_int_equal(sweep_as_user("a", way == 1, 60).failures, 0);
        assert_int_equal(sweep_as_user("a/b/c", way == 1, 60).failures, 0);
    }
}

static void
a_file_goes_itself(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        fresh_home();
        folder_of("/mnt/home/a", YAMADA_UID);
        file_of("/mnt/home/a/recent.xml", YAMADA_UID);
        assert_int_equal(sweep_as_user("a/recent.xml", way == 1, 60).files, 1);
        assert_false(is_there("/mnt/home/a/recent.xml"));
    }
}

static void
links_go_and_what_they_lead_to_stays(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        residue_t residue;

        fresh_home();
        file_of("/mnt/outside/keep", YAMADA_UID);
        folder_of("/mnt/home/cache", YAMADA_UID);
        link_of("/mnt/outside", "/mnt/home/cache/folder", YAMADA_UID);
        link_of("/mnt/outside/keep", "/mnt/home/cache/file", YAMADA_UID);
        link_of("../..", "/mnt/home/cache/up", YAMADA_UID);
        assert_int_equal(link("/mnt/outside/keep", "/mnt/home/cache/hard"), 0);
        residue = sweep_as_user("cache", way == 1, 60);
        assert_int_equal(residue.files, 4);
        assert_int_equal(residue.bytes, 0); /* it has another name */
        assert_int_equal(residue.failures, 0);
        assert_true(is_there("/mnt/outside/keep"));
    }
}

static void
a_link_in_the_place_of_a_folder_is_not_followed_but_told(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        residue_t residue;

        fresh_home();
        file_of("/mnt/outside/keep", YAMADA_UID);
        folder_of("/mnt/outside/sub", YAMADA_UID);
        file_of("/mnt/outside/sub/keep", YAMADA_UID);
        link_of("/mnt/outside", "/mnt/home/cache", YAMADA_UID);
        residue = sweep_as_user("cache", way == 1, 60);
        assert_int_equal(residue.files, 0);
        assert_int_equal(residue.failures, 1);
        residue = sweep_as_user("cache/sub", way == 1, 60);
        assert_int_equal(residue.files, 0);
        assert_int_equal(residue.failures, 1);
        assert_true(is_there("/mnt/outside/keep"));
        assert_true(is_there("/mnt/outside/sub/keep"));
    }
}

static void
mounts_are_not_crossed_but_told(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        residue_t residue;

        fresh_home();
        folder_of("/mnt/home/cache", YAMADA_UID);
        folder_of("/mnt/home/cache/other", YAMADA_UID);
        folder_of("/mnt/home/cache/same", YAMADA_UID);
        folder_of("/mnt/outside/sub", YAMADA_UID);
        file_of("/mnt/outside/sub/keep", YAMADA_UID);
        assert_int_equal(
            mount("tmpfs", "/mnt/home/cache/other", "tmpfs", 0, "mode=777"), 0);
        file_of("/mnt/home/cache/other/keep", YAMADA_UID);
        /* the same file system under another name */
        assert_int_equal(
            mount("/mnt/outside", "/mnt/home/cache/same", NULL, MS_BIND, NULL),
            0);
        residue = sweep_as_user("cache", way == 1, 60);
        assert_int_equal(residue.files, 0);
        assert_int_equal(residue.failures, 2);
        assert_true(is_there("/mnt/home/cache/other/keep"));
        assert_true(is_there("/mnt/outside/sub/keep"));
        residue = sweep_as_user("cache/same/sub", way == 1, 60);
        assert_int_equal(residue.failures, 1);
        assert_true(is_there("/mnt/outside/sub/keep"));
        assert_int_equal(umount("/mnt/home/cache/other"), 0);
        assert_int_equal(umount("/mnt/home/cache/same"), 0);
    }
}

static void
what_is_somebody_elses_stays_and_is_told(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        residue_t residue;

        fresh_home();
        folder_of("/mnt/home/cache", YAMADA_UID);
        folder_of("/mnt/home/cache/roots", 0);
        file_of("/mnt/home/cache/roots/file", 0);
        residue = sweep_as_user("cache", way == 1, 60);
        assert_true(is_there("/mnt/home/cache/roots/file"));
        assert_true(residue.failures > 0);
    }
}

static void
folders_that_have_lost_their_rights_are_emptied(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        fresh_home();
        folder_of("/mnt/home/cache", YAMADA_UID);
        folder_of("/mnt/home/cache/none", YAMADA_UID);
        file_of("/mnt/home/cache/none/file", YAMADA_UID);
        folder_of("/mnt/home/cache/read", YAMADA_UID);
        file_of("/mnt/home/cache/read/file", YAMADA_UID);
        assert_int_equal(chmod("/mnt/home/cache/none", 0), 0);
        assert_int_equal(chmod("/mnt/home/cache/read", 0500), 0);
        assert_int_equal(sweep_as_user("cache", way == 1, 60).failures, 0);
        assert_int_equal(rmdir("/mnt/home/cache"), 0);
    }
}

static void
however_deep_somebody_digs_it_goes(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        residue_t residue;
        pid_t pid;

        fresh_home();
        folder_of("/mnt/home/cache", YAMADA_UID);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            become_yamada();
            for (unsigned i = 0; i < 1000; i++) {
                if (chdir(i == 0 ? "/mnt/home/cache" : "deeper") < 0 ||
                    mkdir("deeper", 0755) < 0 ||
                    symlink("/mnt/outside", "link") < 0)
                {
                    _exit(1);
                }
            }
            _exit(0);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        residue = sweep_as_user("cache", way == 1, 60);
        assert_int_equal(residue.files, 2000);
        assert_int_equal(residue.failures, 0);
        assert_int_equal(rmdir("/mnt/home/cache"), 0);
    }
}

static void
when_its_time_is_over_it_stops_and_says_so(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        residue_t residue;

        fresh_home();
        folder_of("/mnt/home/cache", YAMADA_UID);
        file_of("/mnt/home/cache/file", YAMADA_UID);
        residue = sweep_as_user("cache", way == 1, 0);
        assert_int_equal(residue.files, 0);
        assert_int_equal(residue.failures, 1);
    }
}

/* Another process of the user exchanges a folder for a link all the time. */
static void
a_folder_that_is_exchanged_for_a_link_leads_nowhere(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        pid_t pid;

        fresh_home();
        file_of("/mnt/outside/keep", YAMADA_UID);
        folder_of("/mnt/outside/sub", YAMADA_UID);
        file_of("/mnt/outside/sub/keep", YAMADA_UID);
        folder_of("/mnt/home/cache", YAMADA_UID);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            become_yamada();
            for (;;) {
                (void) mkdir("/mnt/home/cache/sub", 0755);
                (void) mkdir("/mnt/home/cache/sub/sub", 0755);
                (void) !symlink("/mnt/outside", "/mnt/home/link");
                (void) renameat2(AT_FDCWD, "/mnt/home/link", AT_FDCWD,
                                 "/mnt/home/cache/sub", RENAME_EXCHANGE);
                (void) renameat2(AT_FDCWD, "/mnt/home/link", AT_FDCWD,
                                 "/mnt/home/cache/sub", RENAME_EXCHANGE);
            }
        }
        for (unsigned i = 0; i < 200; i++) {
            (void) sweep_as_user("cache", way == 1, 60);
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_true(is_there("/mnt/outside/keep"));
        assert_true(is_there("/mnt/outside/sub/keep"));
    }
}

static void
of_a_shared_folder_only_what_is_ones_own_goes(void **state)
{
    (void) state;
    BOTH_WAYS(way)
    {
        sweep_t sweep = {.uid = YAMADA_UID, .no_openat2 = way == 1};
        struct timespec now;

        fresh_home();
        folder_of("/mnt/outside/mine", YAMADA_UID);
        file_of("/mnt/outside/mine/file", YAMADA_UID);
        folder_of("/mnt/outside/roots", 0);
        file_of("/mnt/outside/roots/file", YAMADA_UID);
        file_of("/mnt/outside/others", 4711);
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        sweep.end_ms = (int64_t) (now.tv_sec + 60) * 1000;
        sweep_folder(&sweep, open("/mnt/outside", FOLDER_FLAGS), true);
        assert_int_equal(sweep.residue.files, 2);
        assert_int_equal(sweep.residue.failures, 0);
        assert_false(is_there("/mnt/outside/mine"));
        assert_true(is_there("/mnt/outside/roots/file"));
        assert_true(is_there("/mnt/outside/others"));
    }
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
        cmocka_unit_test(a_folder_is_emptied_and_counted_and_stays),
        cmocka_unit_test(what_is_not_there_is_no_failure),
        cmocka_unit_test(a_file_goes_itself),
        cmocka_unit_test(links_go_and_what_they_lead_to_stays),
        cmocka_unit_test(
            a_link_in_the_place_of_a_folder_is_not_followed_but_told),
        cmocka_unit_test(mounts_are_not_crossed_but_told),
        cmocka_unit_test(what_is_somebody_elses_stays_and_is_told),
        cmocka_unit_test(folders_that_have_lost_their_rights_are_emptied),
        cmocka_unit_test(however_deep_somebody_digs_it_goes),
        cmocka_unit_test(when_its_time_is_over_it_stops_and_says_so),
        cmocka_unit_test(a_folder_that_is_exchanged_for_a_link_leads_nowhere),
        cmocka_unit_test(of_a_shared_folder_only_what_is_ones_own_goes),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
