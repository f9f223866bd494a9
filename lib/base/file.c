#define _GNU_SOURCE
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wipe.h"

static ssize_t
read_some(int fd, void *buffer, size_t size)
{
    ssize_t n;

    do {
        n = read(fd, buffer, size);
    } while (n < 0 && errno == EINTR);
    return n;
}

int
file_read(const char *path, size_t size_max, char **data, size_t *size)
{
    _cleanup_(cleanup_close) int fd = -1;
    _cleanup_(cleanup_free) char *buffer = NULL;
    struct stat st;
    size_t capacity, used = 0;

    /* O_NONBLOCK: a FIFO in the place of the file must not hang the program */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (S_ISDIR(st.st_mode)) {
        return -EISDIR;
    }
    if (!S_ISREG(st.st_mode)) {
        return -EINVAL;
    }
    if (st.st_size < 0 || (uintmax_t) st.st_size > size_max) {
        return -EFBIG;
    }
    /* one byte more: a file that has grown since shows itself */
    capacity = (size_t) st.st_size + 1;
    buffer = malloc(capacity + 1);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    while (used < capacity) {
        ssize_t n = read_some(fd, buffer + used, capacity - used);

        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        used += (size_t) n;
    }
    if (used == capacity) {
        return -EAGAIN; /* being written just now */
    }
    buffer[used] = '\0';
    *data = buffer;
    *size = used;
    buffer = NULL;
    return 0;
}

static int
write_all(int fd, slice_t data)
{
    while (data.size > 0) {
        ssize_t n = write(fd, data.data, data.size);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            return -EIO;
        }
        data = slice_from(data, (size_t) n);
    }
    return 0;
}

/* The folder's entry must last as well as the file's bytes. */
static int
sync_folder(const char *path)
{
    _cleanup_(cleanup_free) char *folder = strdup(path);
    _cleanup_(cleanup_close) int fd = -1;
    char *slash;

    if (folder == NULL) {
        return -ENOMEM;
    }
    slash = strrchr(folder, '/');
    if (slash != NULL) {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    fd = open(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int
file_write_atomic(const char *path, slice_t data, mode_t mode)
{
    _cleanup_(cleanup_free) char *temporary = NULL;
    int fd, result;

    if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    result = write_all(fd, data);
    if (result == 0 && fchmod(fd, mode) < 0) {
        result = -errno;
    }
    if (result == 0 && fsync(fd) < 0) {
        result = -errno;
    }
    /* close() may be the first to tell of a full network file system */
    if (close(fd) < 0 && result == 0) {
        result = -errno;
    }
    if (result == 0 && rename(temporary, path) < 0) {
        result = -errno;
    }
    if (result != 0) {
        (void) unlink(temporary);
        return result;
    }
    return sync_folder(path);
}
