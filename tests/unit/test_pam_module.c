/* pam_sekisho.so as a file, and its six entry points. */

#define _GNU_SOURCE
#include "pam_door.h"

#include <dirent.h>
#include <dlfcn.h>
#include <sys/wait.h>

static const char *const entry_points[] = {
    "pam_sm_authenticate", "pam_sm_setcred",       "pam_sm_acct_mgmt",
    "pam_sm_open_session", "pam_sm_close_session", "pam_sm_chauthtok",
};

/*
 * What a command says of the module ($MODULE) as it is installed, whichever of
 * the two this test runs with.  False if that one has sanitizers in it.
 */
static bool
output_of(const char *command, char *text, size_t capacity)
{
    char path[1024], *end;
    FILE *pipe;
    size_t n;

    (void) door_module(path);
    end = strstr(path, "/../../");
    assert_non_null(end);
    (void) snprintf(end, sizeof(path) - (size_t) (end - path),
                    "/../../../lib/pam_sekisho.so");
    assert_int_equal(setenv("MODULE", path, 1), 0);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    n = fread(text, 1, capacity - 1, pipe);
    text[n] = '\0';
    assert_int_equal(pclose(pipe), 0);
    return system("nm \"$MODULE\" | grep -q __asan_init") != 0;
}

static void
the_six_entry_points_are_all_that_is_exported(void **state)
{
    char text[4096];
    unsigned lines = 0;

    (void) state;
    (void) output_of("nm -D --defined-only \"$MODULE\" | sed 's/.* //'", text,
                     sizeof(text));
    for (const char *p = text; *p != '\0'; p++) {
        lines += *p == '\n';
    }
    assert_int_equal(lines, 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_non_null(strstr(text, entry_points[i]));
    }
}

static void
nothing_heavy_comes_with_it(void **state)
{
    char text[4096], *line, *rest = text;

    (void) state;
    if (!output_of("readelf -d \"$MODULE\" | "
                   "sed -n 's/.*NEEDED.*\\[\\(.*\\)\\]/\\1/p'",
                   text, sizeof(text)))
    {
        skip();
    }
    assert_non_null(strstr(text, "libpam.so"));
    while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
        assert_true(strncmp(line, "libpam.so", 9) == 0 ||
                    strncmp(line, "libcrypt.so", 11) == 0 ||
                    strncmp(line, "libc.so", 7) == 0);
    }
}

static void
it_keeps_nothing_that_could_change_between_calls(void **state)
{
    char text[8192];

    (void) state;
    /* what the linker adds by itself is not ours */
    if (!output_of(
            "objdump -t \"$MODULE\" | "
            "grep -E ' O +[.](data|bss)[[:space:]]' | "
            "grep -v -e completed -e __dso_handle -e __TMC_END__ || true",
            text, sizeof(text)))
    {
        skip();
    }
    assert_string_equal(text, "");
}

/* Each is there, and without libpam's promises it is still a no. */
static void
every_entry_point_is_a_no_without_a_daemon(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door_daemon_stop(&door);
    door.answers[0] = "123456";
    door_start(&door, "sshd", "yamada", "record=required");
    assert_int_equal(pam_set_item(door.pamh, PAM_RHOST, "203.0.113.9"),
                     PAM_SUCCESS);
    assert_int_equal(pam_authenticate(door.pamh, 0), PAM_AUTHINFO_UNAVAIL);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_AUTHINFO_UNAVAIL);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SESSION_ERR);
    assert_int_not_equal(pam_chauthtok(door.pamh, 0), PAM_SUCCESS);
    door_free(&door);
}

static int
direct(pam_door_t *door, const char *name, int flags, const char *option)
{
    typedef int (*entry_fn)(pam_handle_t *, int, int, const char **);
    char module[1024], file[256], socket[256];
    const char *words[] = {file, socket, option};
    entry_fn fn;
    void *handle = dlopen(door_module(module), RTLD_NOW);
    int result;

    assert_non_null(handle);
    (void) snprintf(file, sizeof(file), "conf=%s/pam.conf", door->folder);
    (void) snprintf(socket, sizeof(socket), "socket=%s", door->socket);
    *(void **) &fn = dlsym(handle, name);
    assert_non_null(fn);
    result = fn(door->pamh, flags, option == NULL ? 2 : 3, words);
    assert_int_equal(dlclose(handle), 0);
    return result;
}

static void
setcred_succeeds_for_every_flag_and_gives_nothing(void **state)
{
    static const int flags[] = {PAM_ESTABLISH_CRED, PAM_DELETE_CRED,
                                PAM_REINITIALIZE_CRED, PAM_REFRESH_CRED, 0};

    (void) state;
    for (unsigned i = 0; i < 5; i++) {
        pam_door_t door;

        door_new(&door);
        door_start(&door, "test", "yamada", "");
        assert_int_equal(direct(&door, "pam_sm_setcred", flags[i], NULL),
                         PAM_SUCCESS);
        assert_int_equal(door.asked_count, 0);
        assert_int_equal(door.answers_used, 0);
        door_free(&door);
    }
}

static void
setcred_is_a_no_for_an_error_of_options(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door_start(&door, "test", "yamada", "");
    assert_int_equal(
        direct(&door, "pam_sm_setcred", PAM_ESTABLISH_CRED, "nonsense"),
        PAM_SERVICE_ERR);
    door_free(&door);
}

/* As libpam gives them to modules. */
#define PRELIM 0x4000
#define UPDATE 0x2000

static void
passwords_are_not_changed_here(void **state)
{
    static const int flags[] = {PRELIM, UPDATE, 0, PAM_CHANGE_EXPIRED_AUTHTOK};

    (void) state;
    for (unsigned i = 0; i < 4; i++) {
        pam_door_t door;

        door_new(&door);
        door_start(&door, "passwd", "yamada", "");
        assert_int_equal(direct(&door, "pam_sm_chauthtok", flags[i], NULL),
                         PAM_SERVICE_ERR);
        assert_int_equal(door.asked_count, 0);
        door_free(&door);
    }
}

/* ---- What the process keeps ---------------------------------------------- */

static unsigned
open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        count++;
    }
    (void) closedir(dir);
    return count;
}

extern char **environ;

static unsigned
environment(void)
{
    unsigned count = 0;

    while (environ[count] != NULL) {
        count++;
    }
    return count;
}

static void
no_descriptor_and_no_environment_stay(void **state)
{
    unsigned files, variables = environment();
    pam_door_t door;
    char **list;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    door.answers[0] = door.answers[1] = "123456";
    door_start(&door, "sshd", "yamada", "");
    assert_int_equal(pam_set_item(door.pamh, PAM_RHOST, "203.0.113.9"),
                     PAM_SUCCESS);
    assert_int_equal(pam_authenticate(door.pamh, 0), PAM_SUCCESS);
    files = open_files();
    assert_int_equal(pam_authenticate(door.pamh, 0), PAM_SUCCESS);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SUCCESS);
    (void) pam_open_session(door.pamh, 0);
    (void) pam_close_session(door.pamh, 0);
    /* the daemon's side closes when it sees the end: it is in this process */
    door_daemon_stop(&door);
    assert_true(open_files() <= files);
    assert_int_equal(environment(), variables);
    list = pam_getenvlist(door.pamh);
    assert_non_null(list);
    assert_null(list[0]);
    free(list);
    door_free(&door);
}

static void
it_works_in_a_forked_child(void **state)
{
    pam_door_t door;
    int status;
    pid_t pid;

    (void) state;
    door_new(&door);
    door.good_code = "123456";
    door.answers[0] = "123456";
    door_start(&door, "sshd", "yamada", "");
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        _exit(pam_authenticate(door.pamh, 0) == PAM_SUCCESS ? 42 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 42);
    door_free(&door);
}

UNIT_TESTS(cmocka_unit_test(the_six_entry_points_are_all_that_is_exported),
           cmocka_unit_test(nothing_heavy_comes_with_it),
           cmocka_unit_test(it_keeps_nothing_that_could_change_between_calls),
           cmocka_unit_test(every_entry_point_is_a_no_without_a_daemon),
           cmocka_unit_test(setcred_succeeds_for_every_flag_and_gives_nothing),
           cmocka_unit_test(setcred_is_a_no_for_an_error_of_options),
           cmocka_unit_test(passwords_are_not_changed_here),
           cmocka_unit_test(no_descriptor_and_no_environment_stay),
           cmocka_unit_test(it_works_in_a_forked_child))
