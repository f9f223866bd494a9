/* Key files. */

#define _GNU_SOURCE
#include "unit.h"

#include "../../lib/base/file.h"
#include "../../lib/otp/keys.h"
#include "otp_unit.h"

#define KEY_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_B "//////////////////////////////////////////8="

static int
start(void **state)
{
    char *folder = strdup("/tmp/sekisho-test-XXXXXX");

    *state = folder;
    return folder != NULL && mkdtemp(folder) != NULL ? 0 : -1;
}

static int
stop(void **state)
{
    (void) nftw(*state, otp_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return 0;
}

static const char *
path_in(void **state, const char *name)
{
    static char path[128];

    (void) snprintf(path, sizeof(path), "%s/%s", (const char *) *state, name);
    return path;
}

static void
reads_versions_and_keys(void **state)
{
    const char *path = path_in(state, "key");
    otp_keys_t keys;
    char error[256];
    unsigned i;

    assert_int_equal(file_write_atomic(path,
                                       SLICE("# sealing keys\n1 " KEY_A
                                             "\n\n4294967295 " KEY_B "\n"),
                                       0400),
                     0);
    assert_int_equal(otp_keys_read(path, &keys, error), 0);
    assert_int_equal(keys.count, 2);
    assert_int_equal(keys.version[0], 1);
    assert_true(keys.version[1] == UINT32_MAX);
    for (i = 0; i < OTP_KEY_SIZE; i++) {
        assert_int_equal(keys.key[0][i], i);
        assert_int_equal(keys.key[1][i], 0xff);
    }
    otp_keys_wipe(&keys);
    assert_int_equal(keys.count, 0);
}

static void
errors_name_line_and_cure(void **state)
{
    static const struct {
        const char *text;
        uint32_t line;
    } rows[] = {
        {"", 0},
        {"# nothing\n", 0},
        {"1 " KEY_A "\n1 " KEY_B "\n", 2},
        {"0 " KEY_A "\n", 1},
        {"01 " KEY_A "\n", 1},
        {"4294967296 " KEY_A "\n", 1},
        {"-1 " KEY_A "\n", 1},
        {"1" KEY_A "\n", 1},
        {"1  " KEY_A "\n", 1},
        {"1 " KEY_A " \n", 1},
        {"1 " KEY_A "\r\n", 1},
        {"\n1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==\n", 2},
        {"1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n", 1}, /* bits */
        {"1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8A\n", 1},
        {"1 " KEY_A "\n2 " KEY_A "\n3 " KEY_A "\n4 " KEY_A "\n5 " KEY_A
         "\n6 " KEY_A "\n7 " KEY_A "\n8 " KEY_A "\n9 " KEY_A "\n",
         9},
    };
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        otp_keys_t keys;
        uint32_t line = 99;
        const char *why = NULL;

        if (otp_keys_parse(slice_of(rows[i].text), &keys, &line, &why) !=
                -EBADMSG ||
            line != rows[i].line || why == NULL || keys.count != 0)
        {
            fail_msg("row %zu: line %u, %s", i, line, why);
        }
    }
}

static void
files_that_others_may_read_are_refused(void **state)
{
    static const mode_t bad[] = {0404, 0402, 0444, 0420, 0600 | 0020, 0410};
    static const mode_t good[] = {0400, 0440, 0600};
    const char *path = path_in(state, "key");
    otp_keys_t keys;
    char error[256];
    size_t i;

    assert_int_equal(file_write_atomic(path, SLICE("1 " KEY_A "\n"), 0400), 0);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(chmod(path, bad[i]), 0);
        assert_int_equal(otp_keys_read(path, &keys, error), -EPERM);
        assert_non_null(strstr(error, "chmod 0400"));
    }
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(chmod(path, good[i]), 0);
        assert_int_equal(otp_keys_read(path, &keys, error), 0);
    }
    otp_keys_wipe(&keys);
}

static void
links_folders_and_relative_paths_are_refused(void **state)
{
    char target[128], error[256];
    otp_keys_t keys;

    (void) snprintf(target, sizeof(target), "%s", path_in(state, "key"));
    assert_int_equal(file_write_atomic(target, SLICE("1 " KEY_A "\n"), 0400),
                     0);
    assert_int_equal(symlink(target, path_in(state, "link")), 0);
    assert_int_equal(otp_keys_read(path_in(state, "link"), &keys, error),
                     -ELOOP);
    assert_int_equal(otp_keys_read(*state, &keys, error), -EINVAL);
    assert_int_equal(otp_keys_read("key", &keys, error), -EINVAL);
    assert_int_equal(mkfifo(path_in(state, "fifo"), 0600), 0);
    assert_int_equal(otp_keys_read(path_in(state, "fifo"), &keys, error),
                     -EINVAL);
    assert_int_equal(otp_keys_read(path_in(state, "absent"), &keys, error),
                     -ENOENT);
}

static void
making_one_more_keeps_the_others(void **state)
{
    const char *path = path_in(state, "key");
    otp_keys_t keys, before = {0};
    char error[256];
    struct stat st;
    uint32_t i;

    for (i = 1; i <= OTP_KEYS_MAX; i++) {
        assert_int_equal(otp_keys_make(path, error), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0400);
        assert_int_equal(otp_keys_read(path, &keys, error), 0);
        assert_int_equal(keys.count, i);
        assert_int_equal(keys.version[i - 1], i);
        assert_memory_equal(keys.key, before.key,
                            before.count * (size_t) OTP_KEY_SIZE);
        assert_memory_not_equal(keys.key[i - 1], before.key[i - 1],
                                OTP_KEY_SIZE);
        before = keys;
    }
    assert_int_equal(otp_keys_make(path, error), -ENOSPC);
    assert_int_equal(otp_keys_read(path, &keys, error), 0);
    assert_int_equal(keys.count, OTP_KEYS_MAX);
}

static void
a_damaged_file_is_not_written_over(void **state)
{
    const char *path = path_in(state, "key");
    char error[256];

    assert_int_equal(file_write_atomic(path, SLICE("1 key\n"), 0400), 0);
    assert_int_equal(otp_keys_make(path, error), -EBADMSG);
    assert_non_null(strstr(error, "key:1:"));
}

#define KEY_TEST(function)                                                     \
    cmocka_unit_test_setup_teardown(function, start, stop)

UNIT_TESTS(KEY_TEST(reads_versions_and_keys),
           cmocka_unit_test(errors_name_line_and_cure),
           KEY_TEST(files_that_others_may_read_are_refused),
           KEY_TEST(links_folders_and_relative_paths_are_refused),
           KEY_TEST(making_one_more_keeps_the_others),
           KEY_TEST(a_damaged_file_is_not_written_over))
