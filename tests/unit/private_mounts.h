/*
 * A mount namespace of the test's own: an empty /mnt, /tmp, /var/tmp and
 * /dev/shm, and a user "yamada" whose home is /mnt/home.
 */

#ifndef SEKISHO_TESTS_PRIVATE_MOUNTS_H
#define SEKISHO_TESTS_PRIVATE_MOUNTS_H

#include "unit.h"

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define YAMADA_UID 4242
#define YAMADA_GID 4243

static bool
hold_program_folder(void)
{
    char path[1024];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *slash;
    int fd;

    if (n <= 0) {
        return false;
    }
    path[n] = '\0';
    slash = strrchr(path, '/');
    if (slash == NULL) {
        return false;
    }
    *slash = '\0';
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && dup2(fd, PROGRAM_FOLDER_FD) == PROGRAM_FOLDER_FD &&
           close(fd) == 0;
}

/* False where that is not allowed; nothing has changed then. */
static bool
private_mounts(void)
{
    static const char *const empty[] = {"/mnt", "/tmp", "/var/tmp", "/dev/shm"};
    FILE *file;

    if (geteuid() != 0 || !hold_program_folder() || unshare(CLONE_NEWNS) < 0) {
        return false;
    }
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(mount("tmpfs", empty[i], "tmpfs", 0, "mode=1777"), 0);
    }
    assert_int_equal(chmod("/mnt", 0755), 0);
    assert_int_equal(mkdir("/mnt/home", 0755), 0);
    if (chown("/mnt/home", YAMADA_UID, YAMADA_GID) < 0) {
        return false; /* a user namespace with one user */
    }
    file = fopen("/mnt/passwd", "w");
    assert_non_null(file);
    fprintf(file,
            "root:x:0:0::/root:/bin/sh\nyamada:x:%d:%d::/mnt/home:/bin/sh\n"
            "service:x:500:500::/mnt/service:/bin/sh\n",
            YAMADA_UID, YAMADA_GID);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(mount("/mnt/passwd", "/etc/passwd", NULL, MS_BIND, NULL),
                     0);
    return true;
}

/* A file of five bytes, of that user. */
static inline void
file_of(const char *path, uid_t uid)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs("12345", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(lchown(path, uid, uid), 0);
}

static inline void
folder_of(const char *path, uid_t uid)
{
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(lchown(path, uid, uid), 0);
}

static inline void
link_of(const char *target, const char *path, uid_t uid)
{
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(lchown(path, uid, uid), 0);
}

static inline bool
is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

#endif
