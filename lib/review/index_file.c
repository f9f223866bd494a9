/* audit.db as a file, and what lies beside it. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/endian.h"
#include "../base/wipe.h"
#include "index_internal.h"

#define HEADER_SIZE  72 /* bytes of a SQLite file: with the application's id */
#define HEADER_ID_AT 68

/* By its first bytes: SQLite itself would say no more of a file that is not
 * ours, and might write to it. */
int
index_file_kind(const char *path, file_kind_t *kind)
{
    static const char magic[16] = "SQLite format 3";
    _cleanup_(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC |
                                                     O_NONBLOCK | O_NOCTTY);
    uint8_t header[HEADER_SIZE];
    struct stat st;
    ssize_t size;

    if (fd < 0) {
        *kind = FILE_ABSENT;
        return errno == ENOENT ? 0 : -errno;
    }
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode)) {
        return -EINVAL;
    }
    size = pread(fd, header, sizeof(header), 0);
    if (size < 0) {
        return -errno;
    }
    *kind = size == 0 ? FILE_ABSENT
            : size == (ssize_t) sizeof(header) &&
                    memcmp(header, magic, sizeof(magic)) == 0 &&
                    load_be32(header + HEADER_ID_AT) == INDEX_APPLICATION_ID
                ? FILE_OURS
                : FILE_FOREIGN;
    return 0;
}


static int
beside(const char *path, const char *suffix, char **name)
{
    return asprintf(name, "%s%s", path, suffix) < 0 ? -ENOMEM : 0;
}


/* What root makes belongs to whom its folder belongs: the daemon goes on with
 * it. */
void
index_give_to_owner(const char *path, int fd)
{
    _cleanup_(cleanup_free) char *folder = strdup(path);
    char *slash = folder == NULL ? NULL : strrchr(folder, '/');
    struct stat st;

    if (geteuid() != 0 || folder == NULL) {
        return;
    }
    if (slash == NULL) {
        (void) strcpy(folder, ".");
    } else {
        *(slash == folder ? slash + 1 : slash) = '\0';
    }
    if (stat(folder, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) < 0) {
        return; /* a file system without owners */
    }
}


int
index_lock(review_index_t *index)
{
    _cleanup_(cleanup_free) char *path = NULL;
    int error = beside(index->path, "-lock", &path);

    if (error < 0) {
        return error;
    }
    index->lock = open(path,
                       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                       INDEX_FILE_MODE);
    if (index->lock < 0) {
        error = -errno;
        return index_error(index, error, "%s: %s", path, strerror(-error));
    }
    index_give_to_owner(index->path, index->lock);
    if (flock(index->lock, LOCK_EX | LOCK_NB) < 0) {
        error = errno == EWOULDBLOCK ? -EBUSY : -errno;
        return index_error(
            index, error, "%s: %s", index->path,
            error == -EBUSY
                ? "somebody else is writing it (sekishod keeps it, while it "
                  "runs, up to date by itself)"
                : strerror(-error));
    }
    return 0;
}


/* The file goes first: SQLite throws a log without its database away. */
int
index_remove_files(review_index_t *index)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        _cleanup_(cleanup_free) char *name = NULL;
        int error = beside(index->path, suffixes[i], &name);

        if (error < 0) {
            return error;
        }
        if (unlink(name) < 0 && errno != ENOENT) {
            error = -errno;
            return index_error(index, error, "%s: %s", name, strerror(-error));
        }
    }
    return 0;
}


/* Not ours: nothing of it is lost. */
int
index_set_aside(review_index_t *index)
{
    _cleanup_(cleanup_free) char *name = NULL;
    int error = beside(index->path, ".not-ours", &name);

    if (error < 0) {
        return error;
    }
    if (rename(index->path, name) < 0) {
        error = -errno;
        return index_error(index, error, "%s: no index of ours: %s",
                           index->path, strerror(-error));
    }
    return 0;
}


/* Whether everything is in the file itself, and nobody is writing it: there is
 * no log beside it, or an empty one. */
bool
index_is_whole(const review_index_t *index)
{
    _cleanup_(cleanup_free) char *log = NULL;
    struct stat st;

    return beside(index->path, "-wal", &log) == 0 &&
           (stat(log, &st) < 0 ? errno == ENOENT : st.st_size == 0);
}


/* "file:PATH?immutable=1", to be freed; NULL: out of memory. */
char *
index_immutable_uri(const char *path)
{
    static const char hex[] = "0123456789ABCDEF";
    char *uri = malloc(3 * strlen(path) + sizeof("file:?immutable=1")), *at;

    if (uri == NULL) {
        return NULL;
    }
    at = stpcpy(uri, "file:");
    for (const char *c = path; *c != '\0'; c++) {
        if (*c == '%' || *c == '?' || *c == '#') {
            *at++ = '%';
            *at++ = hex[(unsigned char) *c >> 4];
            *at++ = hex[(unsigned char) *c & 15];
        } else {
            *at++ = *c;
        }
    }
    (void) strcpy(at, "?immutable=1");
    return uri;
}
