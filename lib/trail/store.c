#define _GNU_SOURCE
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/wipe.h"

int
store_open(store_t *store, const char *path, store_hook_t hook,
           void *hook_argument)
{
    store->hook = hook;
    store->hook_argument = hook_argument;
    store->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return store->folder < 0 ? -errno : 0;
}

void
store_close(store_t *store)
{
    if (store->folder >= 0) {
        (void) close(store->folder);
    }
    store->folder = -1;
}

int
store_step(const store_t *store, const char *step, const char *path)
{
    return store->hook == NULL ? 0
                               : store->hook(store->hook_argument, step, path);
}

int
store_pwrite(int fd, slice_t data, uint64_t offset)
{
    while (data.size > 0) {
        ssize_t n = pwrite(fd, data.data, data.size, (off_t) offset);

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
        offset += (uint64_t) n;
    }
    return 0;
}

int
store_pread(int fd, void *buffer, size_t size, uint64_t offset, size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(fd, (char *) buffer + *got, size - *got,
                          (off_t) (offset + *got));

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        *got += (size_t) n;
    }
    return 0;
}

/* Every folder on the way to `path`. */
static int
make_folders(const store_t *store, const char *path)
{
    char part[STORE_PATH_MAX];
    const char *slash = path;

    while ((slash = strchr(slash, '/')) != NULL) {
        size_t size = (size_t) (slash - path);

        if (size >= sizeof(part)) {
            return -ENAMETOOLONG;
        }
        memcpy(part, path, size);
        part[size] = '\0';
        if (mkdirat(store->folder, part, STORE_FOLDER_MODE) < 0 &&
            errno != EEXIST) {
            return -errno;
        }
        slash++;
    }
    return 0;
}

static int
open_new(const store_t *store, const char *path, int *fd)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    int result;

    *fd = openat(store->folder, path, flags, STORE_FILE_MODE);
    if (*fd < 0 && errno == ENOENT) {
        result = make_folders(store, path);
        if (result != 0) {
            return result;
        }
        *fd = openat(store->folder, path, flags, STORE_FILE_MODE);
    }
    return *fd < 0 ? -errno : 0;
}

static int
write_file(const store_t *store, const char *path, slice_t data, bool sync)
{
    int fd, result = store_step(store, "write", path);

    if (result == 0) {
        result = open_new(store, path, &fd);
    }
    if (result != 0) {
        return result;
    }
    result = store_pwrite(fd, data, 0);
    if (result == 0 && sync) {
        result = store_step(store, "sync", path);
        if (result == 0 && fsync(fd) < 0) {
            result = -errno;
        }
    }
    if (close(fd) < 0 && result == 0) {
        result = -errno;
    }
    if (result == 0 && sync) {
        (void) store_step(store, "synced", path);
    }
    return result;
}

int
store_write(const store_t *store, const char *path, slice_t data)
{
    return write_file(store, path, data, false);
}

static int
sync_path(const store_t *store, const char *path, int flags, const char *before,
          const char *after)
{
    _cleanup_(cleanup_close) int fd = -1;
    int result = store_step(store, before, path);

    if (result != 0) {
        return result;
    }
    fd = openat(store->folder, path, flags | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        return -errno;
    }
    (void) store_step(store, after, path);
    return 0;
}

int
store_sync(const store_t *store, const char *path)
{
    return sync_path(store, path, O_RDONLY | O_NOFOLLOW, "sync", "synced");
}

int
store_sync_folder(const store_t *store, const char *path)
{
    return sync_path(store, path, O_RDONLY | O_DIRECTORY, "sync-folder",
                     "synced-folder");
}

int
store_sync_all(const store_t *store)
{
    int result = store_step(store, "sync-all", ".");

    if (result != 0) {
        return result;
    }
    /* the folder's descriptor has been open since the start: a write that
     * failed in between is told here, once */
    if (syncfs(store->folder) < 0) {
        return -errno;
    }
    (void) store_step(store, "synced-all", ".");
    return 0;
}

int
store_replace(const store_t *store, const char *path, slice_t data)
{
    char temporary[STORE_PATH_MAX];
    int result;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >=
        (int) sizeof(temporary))
    {
        return -ENAMETOOLONG;
    }
    result = write_file(store, temporary, data, true);
    if (result == 0) {
        result = store_step(store, "rename", path);
    }
    if (result == 0 &&
        renameat(store->folder, temporary, store->folder, path) < 0) {
        result = -errno;
    }
    if (result != 0) {
        (void) unlinkat(store->folder, temporary, 0);
        return result;
    }
    return store_sync_folder(store, ".");
}

int
store_remove(const store_t *store, const char *path)
{
    int result = store_step(store, "remove", path);

    if (result != 0) {
        return result;
    }
    if (unlinkat(store->folder, path, 0) < 0 && errno != ENOENT) {
        if (errno != EISDIR ||
            (unlinkat(store->folder, path, AT_REMOVEDIR) < 0 &&
             errno != ENOENT))
        {
            return -errno;
        }
    }
    (void) store_step(store, "removed", path);
    return 0;
}

int
store_read(int folder, const char *path, void *buffer, size_t capacity,
           size_t *size)
{
    _cleanup_(cleanup_close) int fd = -1;
    struct stat st;
    uint8_t beyond;
    size_t more = 0;
    int result;

    fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return -EINVAL;
    }
    result = store_pread(fd, buffer, capacity, 0, size);
    if (result == 0 && *size == capacity) {
        result = store_pread(fd, &beyond, 1, capacity, &more);
    }
    return result != 0 ? result : more > 0 ? -EFBIG : 0;
}
