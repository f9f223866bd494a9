/* The files of emergency codes, and the spool of their uses. */

#define _GNU_SOURCE
#include "emergency_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "../base/wipe.h"

#define SPOOL_FILES_MAX     1000 /* of one reading */
#define INTERRUPTED_SECONDS 60   /* a use is written in far less */

void
emergency_file_begin(emergency_file_t *file)
{
    memset(file->bytes, '\n', sizeof(file->bytes));
    file->used = sizeof(EMERGENCY_MAGIC) - 1;
    memcpy(file->bytes, EMERGENCY_MAGIC, file->used);
    file->used++; /* its newline */
    file->failed = false;
}

void
emergency_file_put(emergency_file_t *file, const char *name, slice_t value,
                   size_t max)
{
    size_t size = strlen(name);

    if (value.size > max) {
        value.size = max;
        /* not in the middle of a character */
        while (value.size > 0 &&
               ((unsigned char) value.data[value.size] & 0xc0) == 0x80)
        {
            value.size--;
        }
    }
    if (size + value.size + 3 > sizeof(file->bytes) - file->used) {
        file->failed = true;
        return;
    }
    memcpy(file->bytes + file->used, name, size);
    file->used += size;
    file->bytes[file->used++] = ' ';
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char) value.data[i];

        file->bytes[file->used++] = c < 0x20 || c == 0x7f ? '?' : (char) c;
    }
    file->bytes[file->used++] = '\n';
}

void
emergency_file_number(emergency_file_t *file, const char *name, int64_t number)
{
    char text[24];

    (void) snprintf(text, sizeof(text), "%lld", (long long) number);
    emergency_file_put(file, name, slice_of(text), sizeof(text));
}

int
emergency_file_write(int fd, const emergency_file_t *file)
{
    size_t written = 0;

    if (file->failed) {
        return -EMSGSIZE;
    }
    while (written < sizeof(file->bytes)) {
        ssize_t n = pwrite(fd, file->bytes + written,
                           sizeof(file->bytes) - written, (off_t) written);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        written += (size_t) n;
    }
    return 0;
}

int
emergency_file_read(int fd, emergency_file_t *file)
{
    size_t size = sizeof(EMERGENCY_MAGIC) - 1;
    char beyond;

    file->used = 0;
    file->failed = false;
    while (file->used < sizeof(file->bytes)) {
        ssize_t n = pread(fd, file->bytes + file->used,
                          sizeof(file->bytes) - file->used, (off_t) file->used);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            return -EBADMSG;
        }
        file->used += (size_t) n;
    }
    if (pread(fd, &beyond, 1, sizeof(file->bytes)) != 0 ||
        memcmp(file->bytes, EMERGENCY_MAGIC, size) != 0 ||
        file->bytes[size] != '\n')
    {
        return -EBADMSG;
    }
    return 0;
}

slice_t
emergency_file_get(const emergency_file_t *file, const char *name)
{
    slice_t rest = {file->bytes, sizeof(file->bytes)};
    size_t size = strlen(name);

    while (rest.size > 0) {
        const char *end = memchr(rest.data, '\n', rest.size);
        size_t line = end == NULL ? rest.size : (size_t) (end - rest.data);

        if (line == 0 || end == NULL) {
            break; /* the padding begins */
        }
        if (line > size && memcmp(rest.data, name, size) == 0 &&
            rest.data[size] == ' ') {
            return (slice_t){rest.data + size + 1, line - size - 1};
        }
        rest = slice_from(rest, line + 1);
    }
    return (slice_t){"", 0};
}

bool
emergency_file_get_number(const emergency_file_t *file, const char *name,
                          int64_t *number)
{
    slice_t text = emergency_file_get(file, name);
    int64_t value = 0;

    if (text.size == 0 || text.size > 18) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    *number = value;
    return true;
}

/* ---- The spool ----------------------------------------------------------- */

/* Folder and name of a spool file. */
static int
open_spool(const char *folder)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof(path), "%s/spool", folder);

    if (size < 0 || (size_t) size >= sizeof(path)) {
        return -ENAMETOOLONG;
    }
    size = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return size < 0 ? -errno : size;
}

static bool
is_spool_name(const char *name)
{
    size_t digits = strspn(name, "0123456789abcdef");

    return digits == 16 && name[16] == '-' &&
           (strcmp(name + 17, "sealed") == 0 ||
            (strlen(name + 17) == 2 && strspn(name + 17, "0123456789") == 2));
}

/* False: not now, somebody is writing it, or it is none. */
static bool
read_spool_file(int spool, const char *name, int64_t now_seconds,
                emergency_file_t *file, emergency_event_t *event)
{
    _cleanup_(cleanup_close) int fd = -1;
    struct stat st;
    int64_t codes = 0;
    slice_t kind = {"", 0};

    *event = (emergency_event_t){.kind = EMERGENCY_INTERRUPTED, .name = name};
    if (fstatat(spool, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode)) {
        return false;
    }
    event->time_seconds = st.st_ctime;
    fd = openat(spool, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0 &&
        emergency_file_read(fd, file) == 0)
    {
        kind = emergency_file_get(file, "kind");
    }
    if (slice_is(kind, "used")) {
        event->kind = EMERGENCY_USED;
        event->user = emergency_file_get(file, "user");
        event->reason = emergency_file_get(file, "reason");
        event->service = emergency_file_get(file, "service");
        event->address = emergency_file_get(file, "address");
        event->tty = emergency_file_get(file, "tty");
        (void) emergency_file_get_number(file, "time", &event->time_seconds);
        return true;
    }
    if (slice_is(kind, "sealed")) {
        event->kind = EMERGENCY_SEALED;
        event->by = emergency_file_get(file, "by");
        (void) emergency_file_get_number(file, "time", &event->time_seconds);
        (void) emergency_file_get_number(file, "until", &event->until_seconds);
        (void) emergency_file_get_number(file, "codes", &codes);
        event->codes = (uint64_t) codes;
        return true;
    }
    return st.st_ctime + INTERRUPTED_SECONDS < now_seconds;
}

int
emergency_spool_read(const char *folder, int64_t now_seconds,
                     emergency_spool_fn fn, void *context)
{
    int spool = open_spool(folder);
    emergency_file_t file;
    const struct dirent *entry;
    DIR *dir;

    if (spool < 0) {
        return spool == -ENOENT ? 0 : spool;
    }
    dir = fdopendir(spool);
    if (dir == NULL) {
        int error = -errno;

        (void) close(spool);
        return error;
    }
    for (unsigned i = 0; i < SPOOL_FILES_MAX; i++) {
        emergency_event_t event;

        entry = readdir(dir);
        if (entry == NULL) {
            break;
        }
        if (!is_spool_name(entry->d_name) ||
            !read_spool_file(spool, entry->d_name, now_seconds, &file, &event))
        {
            continue;
        }
        if (!fn(context, &event)) {
            break;
        }
    }
    (void) closedir(dir);
    return 0;
}

int
emergency_spool_remove(const char *folder, const char *name)
{
    _cleanup_(cleanup_close) int spool = -1;

    if (!is_spool_name(name)) {
        return -EINVAL;
    }
    spool = open_spool(folder);
    if (spool < 0) {
        return spool;
    }
    if (unlinkat(spool, name, 0) < 0) {
        return -errno;
    }
    return fsync(spool) < 0 ? -errno : 0;
}
