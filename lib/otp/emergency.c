/* Emergency codes: their shape, their use, their making. */

#define _GNU_SOURCE
#include "emergency_internal.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "../base/wipe.h"

#define HASH_MAX           256
#define CLOCK_BACK_SECONDS 300 /* a clock may be that far behind the sealing */

/* 32 characters that nobody mistakes for each other. */
static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

bool
emergency_parse(slice_t typed, emergency_code_t *code)
{
    size_t used = 0;

    memset(code, 0, sizeof(*code));
    for (size_t i = 0; i < typed.size; i++) {
        char c = typed.data[i];

        if (c == ' ' || c == '-') {
            continue;
        }
        if (c >= 'A' && c <= 'Z') {
            c = (char) (c - 'A' + 'a');
        }
        if (c == '\0' || used == EMERGENCY_KEY_SIZE) {
            goto none;
        }
        if (used < 2   ? c != "em"[used]
            : used < 4 ? c < '0' || c > '9'
                       : memchr(alphabet, c, sizeof(alphabet) - 1) == NULL)
        {
            goto none;
        }
        code->key[used++] = c;
    }
    if (used == EMERGENCY_KEY_SIZE) {
        code->number = (unsigned) (code->key[2] - '0') * 10 +
                       (unsigned) (code->key[3] - '0');
        return true;
    }
none:
    wipe_bytes(code, sizeof(*code));
    return false;
}

const char *
emergency_result_name(emergency_result_t result)
{
    static const char *const names[] = {
        [EMERGENCY_NONE] = "emergency-none",
        [EMERGENCY_ACCEPTED] = "emergency-ok",
        [EMERGENCY_WRONG] = "emergency-wrong",
        [EMERGENCY_EXPIRED] = "emergency-expired",
        [EMERGENCY_UNSAFE] = "emergency-unsafe",
        [EMERGENCY_FAILED] = "emergency-failed",
    };

    return (unsigned) result < sizeof(names) / sizeof(names[0]) ? names[result]
                                                                : names[0];
}

/* ---- Use ----------------------------------------------------------------- */

typedef struct {
    int folder, codes, spool;
} folders_t;

static void
cleanup_folders(folders_t *folders)
{
    cleanup_close(&folders->spool);
    cleanup_close(&folders->codes);
    cleanup_close(&folders->folder);
}

static int
open_folder(int at, const char *path)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* Nobody but root may have made, or may change, what stands here. */
static bool
is_roots(int fd, mode_t forbidden)
{
    struct stat st;

    return fstat(fd, &st) == 0 && st.st_uid == 0 &&
           (st.st_mode & forbidden) == 0;
}

static emergency_result_t
open_folders(const char *folder, folders_t *folders,
             char error[EMERGENCY_ERROR_MAX])
{
    folders->folder = open_folder(AT_FDCWD, folder);
    if (folders->folder >= 0) {
        folders->codes = open_folder(folders->folder, "codes");
    }
    if (folders->folder < 0 || folders->codes < 0) {
        (void) snprintf(error, EMERGENCY_ERROR_MAX,
                        "no emergency codes in %s: make them with \"sekisho "
                        "otp emergency seal\"",
                        folder);
        return EMERGENCY_WRONG;
    }
    folders->spool = open_folder(folders->folder, "spool");
    if (!is_roots(folders->folder, 022) || !is_roots(folders->codes, 077) ||
        folders->spool < 0)
    {
        (void) snprintf(error, EMERGENCY_ERROR_MAX,
                        "%s and its codes must be folders of root's, not "
                        "writable by others, with a spool: seal anew",
                        folder);
        return EMERGENCY_UNSAFE;
    }
    return EMERGENCY_ACCEPTED;
}

static bool
is_code_file(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 &&
           (st.st_mode & 077) == 0 && st.st_size == EMERGENCY_FILE_SIZE;
}

/* In a time that says nothing of where they differ. */
static bool
is_same(const char *a, slice_t b)
{
    size_t size = strlen(a);
    unsigned char different = size != b.size;

    for (size_t i = 0; i < size && i < b.size; i++) {
        different |= (unsigned char) (a[i] ^ b.data[i]);
    }
    return different == 0;
}

static bool
is_its_hash(const emergency_code_t *code, slice_t hash)
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    char setting[HASH_MAX];
    const char *made;
    bool same = false;

    if (data != NULL && hash.size > 0 && hash.size < sizeof(setting)) {
        memcpy(setting, hash.data, hash.size);
        setting[hash.size] = '\0';
        made = crypt_r(code->key, setting, data);
        same = made != NULL && made[0] != '*' && is_same(made, hash);
    }
    if (data != NULL) {
        wipe_bytes(data, sizeof(*data));
        free(data);
    }
    return same;
}

static void
fill_use(emergency_file_t *file, slice_t set, unsigned number,
         const emergency_use_t *use)
{
    emergency_file_begin(file);
    emergency_file_put(file, "kind", SLICE("used"), 8);
    emergency_file_put(file, "set", set, 16);
    emergency_file_number(file, "number", number);
    emergency_file_number(file, "time", use->now_seconds);
    emergency_file_put(file, "user", use->user, EMERGENCY_VALUE_MAX);
    emergency_file_put(file, "service", use->service, EMERGENCY_VALUE_MAX);
    emergency_file_put(file, "address", use->address, EMERGENCY_VALUE_MAX);
    emergency_file_put(file, "tty", use->tty, EMERGENCY_VALUE_MAX);
    emergency_file_put(file, "reason", use->reason, EMERGENCY_REASON_MAX);
}

/* The file belongs to the spool, and nobody has it but us: 0; all of it is on
 * disk. */
static int
use_up(const folders_t *folders, int fd, const char *name,
       const emergency_file_t *old, unsigned number, const emergency_use_t *use)
{
    slice_t set = emergency_file_get(old, "set");
    char spooled[EMERGENCY_NAME_SIZE];
    emergency_file_t file;
    struct stat ours, there, spool;
    int error;

    (void) snprintf(spooled, sizeof(spooled), "%.*s-%02u", SLICE_ARG(set),
                    number);
    if (renameat2(folders->codes, name, folders->spool, spooled,
                  RENAME_NOREPLACE) < 0)
    {
        return errno == ENOENT || errno == EEXIST ? -ESTALE : -errno;
    }
    /* the name may have been another file's by now: sealed anew */
    if (fstat(fd, &ours) < 0 ||
        fstatat(folders->spool, spooled, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
        ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
    {
        return -ESTALE;
    }
    fill_use(&file, set, number, use);
    error = emergency_file_write(fd, &file);
    if (error < 0) {
        return error;
    }
    /* the hash is gone: now the daemon may read it */
    if (fstat(folders->spool, &spool) < 0 ||
        fchown(fd, spool.st_uid, spool.st_gid) < 0 || fsync(fd) < 0 ||
        fsync(folders->spool) < 0 || fsync(folders->codes) < 0)
    {
        return -errno;
    }
    return 0;
}

/* Its set is 16 hexadecimal digits, as it becomes a part of a file's name. */
static bool
read_code(int fd, emergency_file_t *file, int64_t *sealed, int64_t *until)
{
    slice_t set;

    if (!is_code_file(fd) || emergency_file_read(fd, file) < 0 ||
        !emergency_file_get_number(file, "sealed", sealed) ||
        !emergency_file_get_number(file, "until", until))
    {
        return false;
    }
    set = emergency_file_get(file, "set");
    for (size_t i = 0; i < set.size; i++) {
        if (memchr("0123456789abcdef", set.data[i], 16) == NULL) {
            return false;
        }
    }
    return set.size == 16 &&
           slice_is(emergency_file_get(file, "kind"), "unused");
}

emergency_result_t
emergency_use(const char *folder, const emergency_code_t *code,
              const emergency_use_t *use, char error[EMERGENCY_ERROR_MAX])
{
    _cleanup_(cleanup_folders) folders_t folders = {-1, -1, -1};
    _cleanup_(cleanup_close) int fd = -1;
    emergency_result_t result = open_folders(folder, &folders, error);
    emergency_file_t file;
    char name[12];
    int64_t sealed, until;
    int failed;

    if (result != EMERGENCY_ACCEPTED) {
        return result;
    }
    (void) snprintf(error, EMERGENCY_ERROR_MAX,
                    "no unused emergency code %u of this host is that one",
                    code->number);
    (void) snprintf(name, sizeof(name), "%02u", code->number);
    fd = openat(folders.codes, name,
                O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return EMERGENCY_WRONG;
    }
    if (!read_code(fd, &file, &sealed, &until)) {
        (void) snprintf(error, EMERGENCY_ERROR_MAX,
                        "%s/codes/%s is no file of an emergency code: seal "
                        "anew",
                        folder, name);
        return EMERGENCY_UNSAFE;
    }
    if (!is_its_hash(code, emergency_file_get(&file, "hash"))) {
        return EMERGENCY_WRONG;
    }
    if (use->now_seconds >= until ||
        use->now_seconds < sealed - CLOCK_BACK_SECONDS) {
        (void) snprintf(error, EMERGENCY_ERROR_MAX,
                        "the emergency codes of this host are over, or its "
                        "clock is wrong: seal anew");
        return EMERGENCY_EXPIRED;
    }
    /* the daemon sees by the lock that it is not yet written */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return EMERGENCY_WRONG;
    }
    failed = use_up(&folders, fd, name, &file, code->number, use);
    if (failed == -ESTALE) {
        return EMERGENCY_WRONG;
    }
    if (failed < 0) {
        (void) snprintf(error, EMERGENCY_ERROR_MAX,
                        "the use of an emergency code could not be written: "
                        "%s; see the disk of %s",
                        strerror(-failed), folder);
        return EMERGENCY_FAILED;
    }
    error[0] = '\0';
    return EMERGENCY_ACCEPTED;
}
