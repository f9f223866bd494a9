#define _GNU_SOURCE
#include "marks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define FOLDER_FLAGS  (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define NAME_MAX_SIZE 96
#define BOOT_SIZE     37 /* /proc/sys/kernel/random/boot_id without newline */
#define LOCK_STEP_MS  50

/* ---- Processes ----------------------------------------------------------- */

static int
read_small(const char *path, char *text, size_t capacity)
{
    _cleanup_(cleanup_close) int fd = -1;
    ssize_t n;

    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    do {
        n = read(fd, text, capacity - 1);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    text[n] = '\0';
    return 0;
}

/* In clock ticks after the boot; 0 if there is no such process.  Behind its
 * name, which may hold anything, stand 19 fields before it. */
static unsigned long long
start_of(pid_t pid)
{
    char path[64], text[1024];
    unsigned long long start;
    const char *field;

    (void) snprintf(path, sizeof(path), "/proc/%ld/stat", (long) pid);
    if (read_small(path, text, sizeof(text)) < 0) {
        return 0;
    }
    field = strrchr(text, ')');
    for (unsigned i = 0; i < 20 && field != NULL; i++) {
        field = strchr(field + 1, ' ');
    }
    if (field == NULL) {
        return 0;
    }
    start = strtoull(field, NULL, 10);
    return start;
}

static void
read_boot(char boot[BOOT_SIZE])
{
    if (read_small("/proc/sys/kernel/random/boot_id", boot, BOOT_SIZE) < 0) {
        boot[0] = '\0';
    }
}

/* ---- Marks --------------------------------------------------------------- */

static int
open_folder(int at, const char *path)
{
    struct stat st;
    int fd;

    if (mkdirat(at, path, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    fd = openat(at, path, FOLDER_FLAGS);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0 || st.st_uid != 0 || (st.st_mode & 022) != 0) {
        (void) close(fd);
        return -EPERM;
    }
    return fd;
}

/* Another session of this user may just be cleaning up. */
static int
lock(int fd, uint32_t seconds)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};

    for (uint64_t waited = 0; waited <= (uint64_t) seconds * 1000;
         waited += LOCK_STEP_MS)
    {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return 0;
        }
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return -errno;
        }
        (void) nanosleep(&step, NULL);
    }
    return -ETIMEDOUT;
}

/* Its process lives, and in this boot. */
static bool
is_live(int folder, const char *name, const char *boot)
{
    _cleanup_(cleanup_close) int fd = -1;
    char *end, text[BOOT_SIZE] = "";
    unsigned long long start;
    ssize_t n;
    long pid = strtol(name, &end, 10);

    if (pid <= 0 || *end != '-') {
        return false;
    }
    start = strtoull(end + 1, &end, 10);
    if (*end != '-') {
        return false;
    }
    fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n != BOOT_SIZE - 1 || memcmp(text, boot, BOOT_SIZE - 1) != 0) {
        return false;
    }
    return start != 0 && start_of((pid_t) pid) == start;
}

static int
count(marks_t *marks)
{
    int again = openat(marks->folder, ".", FOLDER_FLAGS);
    const struct dirent *entry;
    char boot[BOOT_SIZE];
    DIR *dir = again < 0 ? NULL : fdopendir(again);

    if (dir == NULL) {
        int error = -errno;

        if (again >= 0) {
            (void) close(again);
        }
        return error;
    }
    read_boot(boot);
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (is_live(marks->folder, entry->d_name, boot)) {
            marks->live++;
        } else if (unlinkat(marks->folder, entry->d_name, 0) == 0) {
            marks->stale++;
        }
    }
    (void) closedir(dir);
    return 0;
}

int
marks_open(const options_t *options, uid_t uid, marks_t *marks)
{
    char name[24];
    int sessions = open_folder(AT_FDCWD, options->sessions);
    int error;

    *marks = (marks_t){.folder = -1};
    if (sessions < 0) {
        return sessions;
    }
    (void) snprintf(name, sizeof(name), "%lu", (unsigned long) uid);
    marks->folder = open_folder(sessions, name);
    (void) close(sessions);
    if (marks->folder < 0) {
        return marks->folder;
    }
    error = lock(marks->folder, options->wipe_seconds + 10);
    if (error == 0) {
        error = count(marks);
    }
    if (error < 0) {
        marks_close(marks);
    }
    return error;
}

static void
mark_name(const char *id, char name[NAME_MAX_SIZE])
{
    (void) snprintf(name, NAME_MAX_SIZE, "%ld-%llu-%s", (long) getpid(),
                    start_of(getpid()), id);
}

int
marks_add(marks_t *marks, const char id[MARK_ID_SIZE])
{
    _cleanup_(cleanup_close) int fd = -1;
    char name[NAME_MAX_SIZE], boot[BOOT_SIZE];
    ssize_t n;

    read_boot(boot);
    mark_name(id, name);
    fd = openat(marks->folder, name,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    n = write(fd, boot, strlen(boot));
    if (n != BOOT_SIZE - 1) {
        n = n < 0 ? -errno : -EIO;
        (void) unlinkat(marks->folder, name, 0);
        return (int) n;
    }
    if (fsync(fd) < 0 || fsync(marks->folder) < 0) {
        return -errno;
    }
    marks->live++;
    return 0;
}

int
marks_remove(marks_t *marks, const char id[MARK_ID_SIZE])
{
    char name[NAME_MAX_SIZE];

    mark_name(id, name);
    if (unlinkat(marks->folder, name, 0) < 0) {
        return -errno;
    }
    if (marks->live > 0) {
        marks->live--;
    }
    return 0;
}

void
marks_close(marks_t *marks)
{
    if (marks->folder >= 0) {
        (void) close(marks->folder);
    }
    marks->folder = -1;
}
