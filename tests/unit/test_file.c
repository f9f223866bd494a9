#define _GNU_SOURCE
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../lib/base/file.h"

static int
make_folder(void **state)
{
    char *folder = strdup("/tmp/sekisho-test-XXXXXX");

    *state = folder;
    return folder != NULL && mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0
                                                                           : -1;
}

static int
drop_folder(void **state)
{
    (void) unlink("file");
    (void) unlink("fifo");
    (void) rmdir("folder");
    if (chdir("/") != 0 || rmdir(*state) != 0) {
        return -1; /* something was left behind */
    }
    free(*state);
    return 0;
}

static unsigned
entries(void)
{
    DIR *folder = opendir(".");
    unsigned count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void) closedir(folder);
    return count - 2;
}

static void
writes_and_reads_back_with_the_mode(void **state)
{
    char *data;
    size_t size;
    struct stat st;

    (void) state;
    assert_int_equal(file_write_atomic("file", SLICE("a\0b"), 0640), 0);
    assert_int_equal(file_read("file", 3, &data, &size), 0);
    assert_int_equal(size, 3);
    assert_memory_equal(data, "a\0b", 4);
    free(data);
    assert_int_equal(stat("file", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(entries(), 1);
}

static void
refuses_a_file_above_the_bound(void **state)
{
    char *data;
    size_t size;

    (void) state;
    assert_int_equal(file_write_atomic("file", SLICE("1234"), 0600), 0);
    assert_int_equal(file_read("file", 3, &data, &size), -EFBIG);
}

static void
refuses_folders_and_fifos_without_waiting(void **state)
{
    char *data;
    size_t size;

    (void) state;
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_int_equal(file_read("folder", 9, &data, &size), -EISDIR);
    assert_int_equal(file_read("fifo", 9, &data, &size), -EINVAL);
    assert_int_equal(file_read("absent", 9, &data, &size), -ENOENT);
}

static void
a_failed_write_leaves_nothing_behind(void **state)
{
    (void) state;
    assert_int_equal(file_write_atomic("absent/file", SLICE("x"), 0600),
                     -ENOENT);
    /* the rename fails on a folder: the temporary file must go */
    assert_int_equal(mkdir("folder", 0700), 0);
    assert_int_equal(file_write_atomic("folder", SLICE("x"), 0600), -EISDIR);
    assert_int_equal(entries(), 1);
}

#define FILE_TEST(function)                                                    \
    cmocka_unit_test_setup_teardown(function, make_folder, drop_folder)

UNIT_TESTS(FILE_TEST(writes_and_reads_back_with_the_mode),
           FILE_TEST(refuses_a_file_above_the_bound),
           FILE_TEST(refuses_folders_and_fifos_without_waiting),
           FILE_TEST(a_failed_write_leaves_nothing_behind))
