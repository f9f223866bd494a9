/* pam_sekisho.so: what the administrator may write, and what is an error. */

#define _GNU_SOURCE
#include "pam_door.h"

#include <errno.h>

static int
enter(pam_door_t *door, const char *service, const char *options)
{
    door->answers[0] = "1";
    door->answers_used = 0;
    door->good_code = "1";
    door_start(door, service, "yamada", options);
    return pam_authenticate(door->pamh, 0);
}

static int
enter_with_file(pam_door_t *door, const char *service, const char *text)
{
    door_write(door->folder, "pam.conf", text, 0644);
    return enter(door, service, "");
}

static void
an_option_that_there_is_not_is_an_error(void **state)
{
    static const char *const options[] = {
        "promt=x",
        "debug",
        "=",
        "prompt",
        "onepromt",
        "digits=5",
        "digits=9",
        "digits=",
        "grace=",
        "grace=0",
        "grace=1001",
        "grace=2026-02-30",
        "grace=tomorrow",
        "unavailable=allow",
        "unavailable",
        "place=web",
        "skip-for-publickey=yes",
        "one-prompt=1",
        "enroll=maybe",
        "record=always",
        "qr=never",
        "wipe=/etc",
        "wipe=~",
        "wipe=~/",
        "wipe=~/../x",
        "wipe=~/a/../b",
        "wipe=~/a//b",
        "wipe=~/.",
        "wipe=~/a,",
        "wipe=",
        "wipe-from-uid=0",
        "wipe-time=0s",
        "digits=6 digits=6",
        "prompt=",
    };

    (void) state;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        pam_door_t door;

        door_new(&door);
        assert_int_equal(enter(&door, "test", options[i]), PAM_SERVICE_ERR);
        assert_int_equal(door.answers_used, 0);
        assert_int_equal(door.asked_count, 0);
        door_free(&door);
    }
}

static void
every_option_takes_what_the_manual_says(void **state)
{
    static const char options[] =
        "prompt=x password-prompt=y digits=8 one-prompt=off grace=off "
        "enroll=off skip-for-publickey=off unavailable=deny place=auto qr=auto "
        "record=wanted wipe=~/Downloads,~/.cache/x wipe-from-uid=1000 "
        "wipe-time=60s";
    pam_door_t door;

    (void) state;
    door_new(&door);
    assert_int_equal(enter(&door, "test", options), PAM_SUCCESS);
    door_free(&door);
}

static void
the_file_counts_and_its_block_for_the_service_and_then_the_line(void **state)
{
    static const char text[] = "prompt \"all: \";\n"
                               "service sshd sudo { prompt \"some: \"; }\n";
    pam_door_t door;

    (void) state;
    door_new(&door);
    assert_int_equal(enter_with_file(&door, "lightdm", text), PAM_SUCCESS);
    assert_string_equal(door.prompts[0], "all: ");
    door_end(&door);
    assert_int_equal(enter_with_file(&door, "sudo", text), PAM_SUCCESS);
    assert_string_equal(door.prompts[0], "some: ");
    door_end(&door);
    assert_int_equal(enter(&door, "sudo", "prompt=line:"), PAM_SUCCESS);
    assert_string_equal(door.prompts[0], "line:");
    door_free(&door);
}

static void
an_error_anywhere_in_the_file_is_an_error(void **state)
{
    static const char *const texts[] = {
        "prompt",
        "prompt x",
        "prompt x; prompt y;",
        "promt x;",
        "service sshd { promt x; }",
        "service { prompt x; }",
        "service sshd prompt x;",
        "service test { service sshd { } }",
        "prompt { }",
        "wipe;",
        "digits 6 7;",
        "grace never;",
        "}",
        "include other.conf;",
        "timeout 5;",
        "timeout 0s;",
        "timeout 301s;",
        "emergency here;",
        "sessions x;",
        "socket run/x;",
        "socket /run/../x;",
        "emergency /a/..;",
    };

    (void) state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        pam_door_t door;

        door_new(&door);
        assert_int_equal(enter_with_file(&door, "test", texts[i]),
                         PAM_SERVICE_ERR);
        assert_int_equal(door.answers_used, 0);
        door_free(&door);
    }
}

static void
a_file_that_others_may_write_is_not_read(void **state)
{
    static const mode_t modes[] = {0646, 0664, 0666};

    (void) state;
    if (geteuid() != 0) {
        skip();
    }
    for (unsigned i = 0; i < 3; i++) {
        pam_door_t door;

        door_new(&door);
        door_write(door.folder, "pam.conf", "", modes[i]);
        assert_int_equal(enter(&door, "test", ""), PAM_SERVICE_ERR);
        door_free(&door);
    }
}

static void
a_file_of_somebody_else_is_not_read(void **state)
{
    char path[DOOR_TEXT];
    pam_door_t door;

    (void) state;
    if (geteuid() != 0) {
        skip();
    }
    door_new(&door);
    (void) snprintf(path, sizeof(path), "%s/pam.conf", door.folder);
    if (chown(path, 12345, 12345) < 0) {
        door_free(&door);
        skip(); /* a namespace with one user */
    }
    assert_int_equal(enter(&door, "test", ""), PAM_SERVICE_ERR);
    door_free(&door);
}

static void
what_is_no_plain_file_is_not_read(void **state)
{
    char path[DOOR_TEXT], real[DOOR_TEXT + 8];
    pam_door_t door;

    (void) state;
    door_new(&door);
    (void) snprintf(path, sizeof(path), "%s/pam.conf", door.folder);
    (void) snprintf(real, sizeof(real), "%s.real", path);
    assert_int_equal(rename(path, real), 0);
    assert_int_equal(enter(&door, "test", ""), PAM_SERVICE_ERR); /* none */
    door_end(&door);
    assert_int_equal(symlink(real, path), 0);
    assert_int_equal(enter(&door, "test", ""), PAM_SERVICE_ERR);
    door_end(&door);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_int_equal(enter(&door, "test", ""), PAM_SERVICE_ERR);
    door_end(&door);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(enter(&door, "test", ""), PAM_SERVICE_ERR);
    door_free(&door);
}

static void
a_file_has_at_most_64_kilobytes(void **state)
{
    char *text = malloc(65538);
    pam_door_t door;

    (void) state;
    assert_non_null(text);
    memset(text, '\n', 65537);
    text[65537] = '\0';
    door_new(&door);
    assert_int_equal(enter_with_file(&door, "test", text), PAM_SERVICE_ERR);
    door_end(&door);
    assert_int_equal(enter_with_file(&door, "test", text + 1), PAM_SUCCESS);
    door_free(&door);
    free(text);
}

static void
an_error_of_options_is_a_no_in_every_group(void **state)
{
    pam_door_t door;

    (void) state;
    door_new(&door);
    door_start(&door, "test", "yamada", "nonsense");
    assert_int_equal(pam_authenticate(door.pamh, 0), PAM_SERVICE_ERR);
    assert_int_equal(pam_acct_mgmt(door.pamh, 0), PAM_SERVICE_ERR);
    assert_int_equal(pam_open_session(door.pamh, 0), PAM_SERVICE_ERR);
    assert_int_equal(pam_close_session(door.pamh, 0), PAM_SERVICE_ERR);
    assert_int_not_equal(pam_chauthtok(door.pamh, 0), PAM_SUCCESS);
    door_free(&door);
}

/* conf-examples/pam.conf, for the services that it names and for another. */
static void
the_example_is_without_error(void **state)
{
    static const char *const services[] = {"sshd", "lightdm", "sudo"};
    char folder[512], path[1024], *slash, *text;
    ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    FILE *file;
    size_t size;

    (void) state;
    assert_true(n > 0);
    folder[n] = '\0';
    slash = strrchr(folder, '/');
    assert_non_null(slash);
    *slash = '\0';
    (void) snprintf(path, sizeof(path), "%s/../../../../conf-examples/pam.conf",
                    folder);
    file = fopen(path, "r");
    assert_non_null(file);
    text = calloc(1, 65536);
    assert_non_null(text);
    size = fread(text, 1, 65535, file);
    assert_true(size > 0);
    assert_int_equal(fclose(file), 0);
    for (unsigned i = 0; i < 3; i++) {
        pam_door_t door;

        door_new(&door);
        assert_int_equal(enter_with_file(&door, services[i], text),
                         PAM_SUCCESS);
        door_free(&door);
    }
    free(text);
}

UNIT_TESTS(cmocka_unit_test(the_example_is_without_error),
           cmocka_unit_test(an_option_that_there_is_not_is_an_error),
           cmocka_unit_test(every_option_takes_what_the_manual_says),
           cmocka_unit_test(
               the_file_counts_and_its_block_for_the_service_and_then_the_line),
           cmocka_unit_test(an_error_anywhere_in_the_file_is_an_error),
           cmocka_unit_test(a_file_that_others_may_write_is_not_read),
           cmocka_unit_test(a_file_of_somebody_else_is_not_read),
           cmocka_unit_test(what_is_no_plain_file_is_not_read),
           cmocka_unit_test(a_file_has_at_most_64_kilobytes),
           cmocka_unit_test(an_error_of_options_is_a_no_in_every_group))
