/* Emergency codes: their shape, single use, and what each use leaves. */

#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../lib/otp/emergency.h"

#define NOW   INT64_C(1795500000)
#define DAY   86400
#define OWNER 4242 /* the daemon's */

typedef struct {
    char root[64], folder[96];
    char codes[3][EMERGENCY_TEXT_SIZE];
} sealed_t;

static void
sealed_new(sealed_t *sealed)
{
    char error[EMERGENCY_ERROR_MAX] = "";

    (void) snprintf(sealed->root, sizeof(sealed->root), "/tmp/sekisho-XXXXXX");
    assert_non_null(mkdtemp(sealed->root));
    (void) snprintf(sealed->folder, sizeof(sealed->folder), "%s/emergency",
                    sealed->root);
    assert_int_equal(emergency_seal(sealed->folder, 3, NOW, 30 * DAY, OWNER,
                                    OWNER, SLICE("admin"), sealed->codes,
                                    error),
                     0);
    assert_string_equal(error, "");
}

static void
sealed_free(sealed_t *sealed)
{
    char command[128];

    (void) snprintf(command, sizeof(command), "rm -rf '%s'", sealed->root);
    assert_int_equal(system(command), 0);
}

static emergency_result_t
use_at(const sealed_t *sealed, const char *text, int64_t now)
{
    emergency_use_t use = {.user = SLICE("yamada"),
                           .reason = SLICE("the daemon is dead"),
                           .service = SLICE("sshd"),
                           .address = SLICE("203.0.113.9"),
                           .tty = SLICE("ssh"),
                           .now_seconds = now};
    char error[EMERGENCY_ERROR_MAX] = "";
    emergency_code_t code;
    emergency_result_t result;

    assert_true(emergency_parse(slice_of(text), &code));
    result = emergency_use(sealed->folder, &code, &use, error);
    assert_int_equal(result == EMERGENCY_ACCEPTED, error[0] == '\0');
    return result;
}

typedef struct {
    emergency_kind_t kinds[16];
    char names[16][EMERGENCY_NAME_SIZE], user[64], reason[600], address[64],
        by[64];
    unsigned count;
    uint64_t codes;
    int64_t time, until;
} spool_t;

static bool
keep_event(void *context, const emergency_event_t *event)
{
    spool_t *spool = context;

    spool->kinds[spool->count] = event->kind;
    (void) snprintf(spool->names[spool->count++], EMERGENCY_NAME_SIZE, "%s",
                    event->name);
    if (event->kind == EMERGENCY_USED) {
        (void) snprintf(spool->user, 64, "%.*s", SLICE_ARG(event->user));
        (void) snprintf(spool->reason, 600, "%.*s", SLICE_ARG(event->reason));
        (void) snprintf(spool->address, 64, "%.*s", SLICE_ARG(event->address));
        spool->time = event->time_seconds;
    } else if (event->kind == EMERGENCY_SEALED) {
        (void) snprintf(spool->by, 64, "%.*s", SLICE_ARG(event->by));
        spool->codes = event->codes;
        spool->until = event->until_seconds;
    }
    return true;
}

static unsigned
events(const sealed_t *sealed, spool_t *spool, emergency_kind_t kind)
{
    unsigned count = 0;

    memset(spool, 0, sizeof(*spool));
    assert_int_equal(
        emergency_spool_read(sealed->folder, NOW, keep_event, spool), 0);
    for (unsigned i = 0; i < spool->count; i++) {
        count += spool->kinds[i] == kind;
    }
    return count;
}

#define NEEDS_ROOT()                                                           \
    if (geteuid() != 0) {                                                      \
        skip();                                                                \
    }

static void
a_code_is_known_by_its_shape(void **state)
{
    static const char *const good[] = {
        "em07-abcd-efgh-ijkm-npqr", "EM07 ABCD EFGH IJKM NPQR",
        "em07abcdefghijkmnpqr", " em-07-23456789 abcdefgh-"};
    static const char *const bad[] = {
        "",
        "123456",
        "em07-abcd-efgh-ijkm-npq",
        "em07-abcd-efgh-ijkm-npqrs",
        "emx7-abcd-efgh-ijkm-npqr",
        "em07-abcd-efgh-ijkm-npq1",
        "em07-abcd-efgh-ijkm-npql",
        "me07-abcd-efgh-ijkm-npqr",
        "abcd-efgh-ijkm-npqr",
        "em07-abcd-efgh-ijkm-npq\n",
    };
    emergency_code_t code;

    (void) state;
    for (unsigned i = 0; i < 4; i++) {
        assert_true(emergency_parse(slice_of(good[i]), &code));
        assert_int_equal(code.number, 7);
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_false(emergency_parse(slice_of(bad[i]), &code));
        assert_int_equal(code.key[0], 0);
    }
    assert_false(emergency_parse(
        (slice_t){"em07abcdefghijkmnpq\0", EMERGENCY_KEY_SIZE}, &code));
}

static void
a_code_opens_once_and_leaves_who_why_and_where(void **state)
{
    sealed_t sealed;
    spool_t spool;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    assert_int_equal(use_at(&sealed, sealed.codes[1], NOW), EMERGENCY_ACCEPTED);
    assert_int_equal(use_at(&sealed, sealed.codes[1], NOW), EMERGENCY_WRONG);
    assert_int_equal(events(&sealed, &spool, EMERGENCY_USED), 1);
    assert_string_equal(spool.user, "yamada");
    assert_string_equal(spool.reason, "the daemon is dead");
    assert_string_equal(spool.address, "203.0.113.9");
    assert_int_equal(spool.time, NOW);
    assert_int_equal(use_at(&sealed, sealed.codes[0], NOW), EMERGENCY_ACCEPTED);
    assert_int_equal(use_at(&sealed, sealed.codes[2], NOW), EMERGENCY_ACCEPTED);
    assert_int_equal(events(&sealed, &spool, EMERGENCY_USED), 3);
    sealed_free(&sealed);
}

static void
another_code_does_not_open_and_uses_nothing_up(void **state)
{
    sealed_t sealed;
    spool_t spool;
    char text[EMERGENCY_TEXT_SIZE];

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    memcpy(text, sealed.codes[0], sizeof(text));
    text[23] = text[23] == 'a' ? 'b' : 'a';
    assert_int_equal(use_at(&sealed, text, NOW), EMERGENCY_WRONG);
    memcpy(text, sealed.codes[0], sizeof(text));
    text[3] = '2'; /* another's number */
    assert_int_equal(use_at(&sealed, text, NOW), EMERGENCY_WRONG);
    text[3] = '9';
    assert_int_equal(use_at(&sealed, text, NOW), EMERGENCY_WRONG);
    assert_int_equal(events(&sealed, &spool, EMERGENCY_USED), 0);
    assert_int_equal(use_at(&sealed, sealed.codes[0], NOW), EMERGENCY_ACCEPTED);
    sealed_free(&sealed);
}

static void
a_code_has_its_time(void **state)
{
    sealed_t sealed;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    assert_int_equal(use_at(&sealed, sealed.codes[0], NOW + 30 * DAY),
                     EMERGENCY_EXPIRED);
    assert_int_equal(use_at(&sealed, sealed.codes[0], NOW - 301),
                     EMERGENCY_EXPIRED);
    assert_int_equal(use_at(&sealed, sealed.codes[0], NOW + 30 * DAY - 1),
                     EMERGENCY_ACCEPTED);
    sealed_free(&sealed);
}

static void
sealing_anew_voids_all_and_is_told(void **state)
{
    char codes[1][EMERGENCY_TEXT_SIZE], error[EMERGENCY_ERROR_MAX];
    sealed_t sealed;
    spool_t spool;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    assert_int_equal(emergency_seal(sealed.folder, 1, NOW + 5, DAY, OWNER,
                                    OWNER, SLICE("tanaka"), codes, error),
                     0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(use_at(&sealed, sealed.codes[i], NOW),
                         EMERGENCY_WRONG);
    }
    assert_int_equal(events(&sealed, &spool, EMERGENCY_SEALED), 2);
    assert_int_equal(use_at(&sealed, codes[0], NOW), EMERGENCY_ACCEPTED);
    sealed_free(&sealed);
}

static void
the_daemon_removes_what_it_has_recorded_and_nothing_else(void **state)
{
    sealed_t sealed;
    spool_t spool;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    assert_int_equal(events(&sealed, &spool, EMERGENCY_SEALED), 1);
    assert_string_equal(spool.by, "admin");
    assert_int_equal(spool.codes, 3);
    assert_int_equal(spool.until, NOW + 30 * DAY);
    assert_int_equal(emergency_spool_remove(sealed.folder, spool.names[0]), 0);
    assert_int_equal(events(&sealed, &spool, EMERGENCY_SEALED), 0);
    assert_int_equal(emergency_spool_remove(sealed.folder, "../codes/01"),
                     -EINVAL);
    assert_int_equal(emergency_spool_remove(sealed.folder, ""), -EINVAL);
    assert_int_equal(use_at(&sealed, sealed.codes[0], NOW), EMERGENCY_ACCEPTED);
    sealed_free(&sealed);
}

static void
of_many_processes_one_opens(void **state)
{
    (void) state;
    NEEDS_ROOT();
    for (unsigned round = 0; round < 5; round++) {
        sealed_t sealed;
        spool_t spool;
        int go[2];
        unsigned accepted = 0;
        pid_t pids[16];

        sealed_new(&sealed);
        assert_int_equal(pipe(go), 0);
        for (unsigned i = 0; i < 16; i++) {
            pids[i] = fork();
            assert_true(pids[i] >= 0);
            if (pids[i] == 0) {
                char byte;

                (void) close(go[1]);
                (void) !read(go[0], &byte, 1); /* until all are there */
                _exit(use_at(&sealed, sealed.codes[0], NOW) ==
                              EMERGENCY_ACCEPTED
                          ? 42
                          : 0);
            }
        }
        (void) close(go[0]);
        (void) close(go[1]);
        for (unsigned i = 0; i < 16; i++) {
            int status;

            assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
            accepted += WEXITSTATUS(status) == 42;
        }
        assert_int_equal(accepted, 1);
        assert_int_equal(events(&sealed, &spool, EMERGENCY_USED), 1);
        sealed_free(&sealed);
    }
}

static void
what_others_could_have_written_is_not_believed(void **state)
{
    static const struct {
        const char *command; /* in the folder */
        emergency_result_t result;
    } cases[] = {
        {"chmod 777 .", EMERGENCY_UNSAFE},
        {"chmod 755 codes", EMERGENCY_UNSAFE},
        {"chown 4242 .", EMERGENCY_UNSAFE},
        {"chown 4242 codes", EMERGENCY_UNSAFE},
        {"chown 4242 codes/01", EMERGENCY_UNSAFE},
        {"chmod 444 codes/01", EMERGENCY_UNSAFE},
        {"echo >> codes/01", EMERGENCY_UNSAFE},
        {"cp codes/01 x && rm codes/01 && ln -s ../x codes/01",
         EMERGENCY_WRONG},
        {"mv codes c && ln -s c codes", EMERGENCY_WRONG},
        {"rm -r spool", EMERGENCY_UNSAFE},
        {"rm codes/01 && mkfifo -m 400 codes/01", EMERGENCY_UNSAFE},
        {"sed -i 's/^set .*/set ..\\/..\\/..\\/..\\/..\\/x/' codes/01 && "
         "truncate -s 4096 codes/01",
         EMERGENCY_UNSAFE},
        {"sed -i 's/^hash .*/hash/' codes/01 && truncate -s 4096 codes/01",
         EMERGENCY_WRONG},
    };

    (void) state;
    NEEDS_ROOT();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char command[512];
        sealed_t sealed;
        spool_t spool;

        sealed_new(&sealed);
        (void) snprintf(command, sizeof(command), "cd '%s' && %s",
                        sealed.folder, cases[i].command);
        assert_int_equal(system(command), 0);
        assert_int_equal(use_at(&sealed, sealed.codes[0], NOW),
                         cases[i].result);
        assert_int_equal(events(&sealed, &spool, EMERGENCY_USED), 0);
        sealed_free(&sealed);
    }
}

static void
a_use_that_broke_off_is_told_after_a_minute(void **state)
{
    char path[256], name[256];
    sealed_t sealed;
    spool_t spool = {0};
    struct stat st;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    (void) snprintf(path, sizeof(path), "%s/codes/01", sealed.folder);
    (void) snprintf(name, sizeof(name), "%s/spool/0123456789abcdef-01",
                    sealed.folder);
    assert_int_equal(rename(path, name), 0);
    assert_int_equal(lstat(name, &st), 0);
    assert_int_equal(emergency_spool_read(sealed.folder, st.st_ctime + 30,
                                          keep_event, &spool),
                     0);
    assert_int_equal(spool.count, 1); /* the sealing */
    spool.count = 0;
    assert_int_equal(emergency_spool_read(sealed.folder, st.st_ctime + 90,
                                          keep_event, &spool),
                     0);
    assert_int_equal(spool.count, 2);
    assert_true(spool.kinds[0] == EMERGENCY_INTERRUPTED ||
                spool.kinds[1] == EMERGENCY_INTERRUPTED);
    sealed_free(&sealed);
}

static void
a_reason_cannot_write_lines_of_its_own(void **state)
{
    emergency_use_t use = {.user = SLICE("a\nkind sealed"),
                           .reason = SLICE("x\nuser root\n\ny\177"),
                           .now_seconds = NOW};
    char error[EMERGENCY_ERROR_MAX];
    emergency_code_t code;
    sealed_t sealed;
    spool_t spool;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    assert_true(emergency_parse(slice_of(sealed.codes[0]), &code));
    assert_int_equal(emergency_use(sealed.folder, &code, &use, error),
                     EMERGENCY_ACCEPTED);
    assert_int_equal(events(&sealed, &spool, EMERGENCY_USED), 1);
    assert_string_equal(spool.user, "a?kind sealed");
    assert_string_equal(spool.reason, "x?user root??y?");
    sealed_free(&sealed);
}

static void
no_hash_is_left_where_the_daemon_reads(void **state)
{
    char command[512];
    sealed_t sealed;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    assert_int_equal(use_at(&sealed, sealed.codes[0], NOW), EMERGENCY_ACCEPTED);
    (void) snprintf(command, sizeof(command), "! grep -q '[$]y[$]' %s/spool/*",
                    sealed.folder);
    assert_int_equal(system(command), 0);
    (void) snprintf(command, sizeof(command),
                    "test \"$(stat -c %%u %s/spool/*-01)\" = %d", sealed.folder,
                    OWNER);
    assert_int_equal(system(command), 0);
    sealed_free(&sealed);
}

/* A child with a small file system of its own, filled to the last byte. */
static void
a_code_opens_on_a_full_disk(void **state)
{
    int status;
    pid_t pid;

    (void) state;
    NEEDS_ROOT();
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        sealed_t sealed;

        if (unshare(CLONE_NEWNS) < 0 ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("tmpfs", "/tmp", "tmpfs", 0, "size=128k") < 0)
        {
            _exit(77);
        }
        sealed_new(&sealed);
        (void) !system("cat /dev/zero > /tmp/fill 2>/dev/null");
        if (system("echo x > /tmp/more 2>/dev/null && test -s /tmp/more") == 0)
        {
            _exit(2);
        }
        _exit(use_at(&sealed, sealed.codes[0], NOW) == EMERGENCY_ACCEPTED ? 0
                                                                          : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(status, 0);
}

static void
a_sealing_that_fails_leaves_the_old_codes(void **state)
{
    char codes[1][EMERGENCY_TEXT_SIZE], error[EMERGENCY_ERROR_MAX],
        command[512];
    sealed_t sealed;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    assert_int_equal(emergency_seal(sealed.folder, 0, NOW, DAY, 0, 0,
                                    SLICE("x"), codes, error),
                     -EINVAL);
    (void) snprintf(command, sizeof(command),
                    "rm -r %s/spool && touch %s/spool", sealed.folder,
                    sealed.folder);
    assert_int_equal(system(command), 0);
    assert_true(emergency_seal(sealed.folder, 1, NOW, DAY, OWNER, OWNER,
                               SLICE("x"), codes, error) < 0);
    (void) snprintf(command, sizeof(command),
                    "rm %s/spool && mkdir %s/spool && test -f %s/codes/01",
                    sealed.folder, sealed.folder, sealed.folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(use_at(&sealed, sealed.codes[0], NOW), EMERGENCY_ACCEPTED);
    sealed_free(&sealed);
}

static bool
count_entry(void *context, const emergency_entry_t *entry)
{
    assert_int_equal(entry->until_seconds, NOW + 30 * DAY);
    ++*(unsigned *) context;
    return true;
}

static void
the_list_shows_what_is_left(void **state)
{
    sealed_t sealed;
    unsigned count = 0;

    (void) state;
    NEEDS_ROOT();
    sealed_new(&sealed);
    assert_int_equal(use_at(&sealed, sealed.codes[1], NOW), EMERGENCY_ACCEPTED);
    assert_int_equal(emergency_list(sealed.folder, count_entry, &count), 0);
    assert_int_equal(count, 2);
    sealed_free(&sealed);
    assert_int_equal(emergency_list(sealed.folder, count_entry, &count),
                     -ENOENT);
}

UNIT_TESTS(
    cmocka_unit_test(a_code_is_known_by_its_shape),
    cmocka_unit_test(a_code_opens_once_and_leaves_who_why_and_where),
    cmocka_unit_test(another_code_does_not_open_and_uses_nothing_up),
    cmocka_unit_test(a_code_has_its_time),
    cmocka_unit_test(sealing_anew_voids_all_and_is_told),
    cmocka_unit_test(the_daemon_removes_what_it_has_recorded_and_nothing_else),
    cmocka_unit_test(of_many_processes_one_opens),
    cmocka_unit_test(what_others_could_have_written_is_not_believed),
    cmocka_unit_test(a_use_that_broke_off_is_told_after_a_minute),
    cmocka_unit_test(a_reason_cannot_write_lines_of_its_own),
    cmocka_unit_test(no_hash_is_left_where_the_daemon_reads),
    cmocka_unit_test(a_code_opens_on_a_full_disk),
    cmocka_unit_test(a_sealing_that_fails_leaves_the_old_codes),
    cmocka_unit_test(the_list_shows_what_is_left))
