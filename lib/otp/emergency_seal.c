/* Emergency codes: making new ones, and listing them. */

#define _GNU_SOURCE
#include "emergency_internal.h"

#include <crypt.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "../base/wipe.h"

#define RANDOM_BYTES 10 /* of a code: 80 bits, 16 characters of 5 */

static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

typedef struct {
    int folder, fresh, spool;
    char set[17];
} sealing_t;

static void
cleanup_sealing(sealing_t *sealing)
{
    cleanup_close(&sealing->spool);
    cleanup_close(&sealing->fresh);
    cleanup_close(&sealing->folder);
}

/* Opens, makes it with that mode if need be. */
static int
make_folder(int at, const char *path, mode_t mode)
{
    int fd;

    if (mkdirat(at, path, mode) < 0 && errno != EEXIST) {
        return -errno;
    }
    fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Removes a folder of plain files; what is not there is gone. */
static int
remove_folder(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const struct dirent *entry;
    DIR *dir;

    if (fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    dir = fdopendir(fd);
    if (dir == NULL) {
        int error = -errno;

        (void) close(fd);
        return error;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
        {
            (void) unlinkat(fd, entry->d_name, 0);
        }
    }
    (void) closedir(dir);
    return unlinkat(at, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int
random_bytes(uint8_t *bytes, size_t size)
{
    return getrandom(bytes, size, 0) == (ssize_t) size ? 0 : -EIO;
}

/* "em07-abcd-efgh-ijkm-npqr" */
static int
make_code(unsigned number, char text[EMERGENCY_TEXT_SIZE])
{
    uint8_t bytes[RANDOM_BYTES];
    uint32_t bits = 0, held = 0;
    size_t used, next = 0;

    if (random_bytes(bytes, sizeof(bytes)) < 0) {
        return -EIO;
    }
    used = (size_t) snprintf(text, EMERGENCY_TEXT_SIZE, "em%02u", number % 100);
    for (unsigned i = 0; i < 16; i++) {
        if (i % 4 == 0) {
            text[used++] = '-';
        }
        if (held < 5) {
            bits = bits << 8 | bytes[next++];
            held += 8;
        }
        held -= 5;
        text[used++] = alphabet[bits >> held & 31];
    }
    text[used] = '\0';
    wipe_bytes(bytes, sizeof(bytes));
    wipe_bytes(&bits, sizeof(bits));
    return 0;
}

static int
hash_code(const char *text, char hash[CRYPT_OUTPUT_SIZE])
{
    struct crypt_data *data = calloc(1, sizeof(*data));
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    emergency_code_t code;
    const char *made = NULL;

    if (data == NULL) {
        return -ENOMEM;
    }
    if (emergency_parse(slice_of(text), &code) &&
        crypt_gensalt_rn("$y$", 0, NULL, 0, setting, sizeof(setting)) != NULL)
    {
        made = crypt_r(code.key, setting, data);
    }
    if (made != NULL && made[0] != '*') {
        (void) snprintf(hash, CRYPT_OUTPUT_SIZE, "%s", made);
    } else {
        made = NULL;
    }
    wipe_bytes(&code, sizeof(code));
    wipe_bytes(data, sizeof(*data));
    free(data);
    return made == NULL ? -EIO : 0;
}

static int
write_file(int folder, const char *name, const emergency_file_t *file,
           const struct stat *owner)
{
    _cleanup_(cleanup_close) int fd = -1;
    int error;

    fd = openat(folder, name,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    if (fd < 0) {
        return -errno;
    }
    error = emergency_file_write(fd, file);
    if (error < 0) {
        return error;
    }
    if ((owner != NULL && fchown(fd, owner->st_uid, owner->st_gid) < 0) ||
        fchmod(fd, 0400) < 0 || fsync(fd) < 0)
    {
        return -errno;
    }
    return 0;
}

static int
write_code(const sealing_t *sealing, unsigned number, const char *text,
           int64_t now_seconds, int64_t valid_seconds)
{
    char hash[CRYPT_OUTPUT_SIZE], name[12];
    emergency_file_t file;
    int error = hash_code(text, hash);

    if (error < 0) {
        return error;
    }
    emergency_file_begin(&file);
    emergency_file_put(&file, "kind", SLICE("unused"), 8);
    emergency_file_put(&file, "set", slice_of(sealing->set), 16);
    emergency_file_number(&file, "number", number);
    emergency_file_number(&file, "sealed", now_seconds);
    emergency_file_number(&file, "until", now_seconds + valid_seconds);
    emergency_file_put(&file, "hash", slice_of(hash), sizeof(hash));
    (void) snprintf(name, sizeof(name), "%02u", number);
    return write_file(sealing->fresh, name, &file, NULL);
}

static int
prepare(sealing_t *sealing, const char *folder, uid_t owner, gid_t group)
{
    uint8_t bytes[8];
    struct stat st;
    int error;

    sealing->folder = make_folder(AT_FDCWD, folder, 0755);
    if (sealing->folder < 0) {
        return sealing->folder;
    }
    if (fstat(sealing->folder, &st) < 0) {
        return -errno;
    }
    if (st.st_uid != 0 || (st.st_mode & 022) != 0) {
        return -EPERM;
    }
    sealing->spool = make_folder(sealing->folder, "spool", 0700);
    if (sealing->spool < 0) {
        return sealing->spool;
    }
    if (fchown(sealing->spool, owner, group) < 0 ||
        fchmod(sealing->spool, 0700) < 0)
    {
        return -errno;
    }
    error = remove_folder(sealing->folder, "codes.new");
    if (error < 0 || (error = random_bytes(bytes, sizeof(bytes))) < 0) {
        return error;
    }
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        (void) snprintf(sealing->set + i * 2, 3, "%02x", bytes[i]);
    }
    sealing->fresh = make_folder(sealing->folder, "codes.new", 0700);
    return sealing->fresh < 0 ? sealing->fresh : 0;
}

/* In the spool before the codes are: a sealing never goes without a record. */
static int
write_note(const sealing_t *sealing, unsigned count, int64_t now_seconds,
           int64_t valid_seconds, slice_t by)
{
    char name[EMERGENCY_NAME_SIZE];
    emergency_file_t file;
    struct stat st;
    int error;

    emergency_file_begin(&file);
    emergency_file_put(&file, "kind", SLICE("sealed"), 8);
    emergency_file_put(&file, "set", slice_of(sealing->set), 16);
    emergency_file_number(&file, "time", now_seconds);
    emergency_file_number(&file, "until", now_seconds + valid_seconds);
    emergency_file_number(&file, "codes", count);
    emergency_file_put(&file, "by", by, EMERGENCY_VALUE_MAX);
    (void) snprintf(name, sizeof(name), "%s-sealed", sealing->set);
    if (fstat(sealing->spool, &st) < 0) {
        return -errno;
    }
    error = write_file(sealing->spool, name, &file, &st);
    return error == 0 && fsync(sealing->spool) < 0 ? -errno : error;
}

/* The new codes take the place of the old ones in one step. */
static int
exchange(const sealing_t *sealing)
{
    if (fsync(sealing->fresh) < 0) {
        return -errno;
    }
    if (renameat2(sealing->folder, "codes.new", sealing->folder, "codes",
                  RENAME_NOREPLACE) < 0)
    {
        if (errno != EEXIST ||
            renameat2(sealing->folder, "codes.new", sealing->folder, "codes",
                      RENAME_EXCHANGE) < 0)
        {
            return -errno;
        }
        /* the old ones stand there now; whoever had that folder open finds
         * nothing in it any more */
        (void) remove_folder(sealing->folder, "codes.new");
    }
    return fsync(sealing->folder) < 0 ? -errno : 0;
}

int
emergency_seal(const char *folder, unsigned count, int64_t now_seconds,
               int64_t valid_seconds, uid_t owner, gid_t group, slice_t by,
               char (*codes)[EMERGENCY_TEXT_SIZE],
               char error[EMERGENCY_ERROR_MAX])
{
    _cleanup_(cleanup_sealing) sealing_t sealing = {-1, -1, -1, ""};
    int result;

    if (count == 0 || count > EMERGENCY_CODES_MAX || valid_seconds <= 0 ||
        now_seconds < 0 || valid_seconds > INT64_C(100000000000) ||
        now_seconds > INT64_C(100000000000))
    {
        (void) snprintf(error, EMERGENCY_ERROR_MAX,
                        "1 to %d codes, valid for a time above 0",
                        EMERGENCY_CODES_MAX);
        return -EINVAL;
    }
    result = prepare(&sealing, folder, owner, group);
    for (unsigned i = 0; result == 0 && i < count; i++) {
        result = make_code(i + 1, codes[i]);
        if (result == 0) {
            result = write_code(&sealing, i + 1, codes[i], now_seconds,
                                valid_seconds);
        }
    }
    if (result == 0) {
        result = write_note(&sealing, count, now_seconds, valid_seconds, by);
    }
    if (result == 0) {
        result = exchange(&sealing);
    }
    if (result < 0) {
        wipe_bytes(codes, sizeof(codes[0]) * count);
        (void) remove_folder(sealing.folder, "codes.new");
        (void) snprintf(error, EMERGENCY_ERROR_MAX,
                        "%s: %s: it must be a folder of root's that nobody "
                        "else may write, on a disk with space",
                        folder, strerror(-result));
    }
    return result;
}

static bool
read_entry(int codes, const char *name, emergency_entry_t *entry)
{
    _cleanup_(cleanup_close) int fd = -1;
    emergency_file_t file;
    int64_t number;
    slice_t set;

    fd = openat(codes, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || emergency_file_read(fd, &file) < 0 ||
        !emergency_file_get_number(&file, "number", &number) || number < 1 ||
        number > EMERGENCY_CODES_MAX ||
        !emergency_file_get_number(&file, "sealed", &entry->sealed_seconds) ||
        !emergency_file_get_number(&file, "until", &entry->until_seconds))
    {
        return false;
    }
    set = emergency_file_get(&file, "set");
    if (set.size != sizeof(entry->set) - 1) {
        return false;
    }
    memcpy(entry->set, set.data, set.size);
    entry->set[set.size] = '\0';
    entry->number = (unsigned) number;
    return true;
}

int
emergency_list(const char *folder, emergency_list_fn fn, void *context)
{
    _cleanup_(cleanup_close) int at = -1;
    _cleanup_(cleanup_close) int codes = -1;

    at = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (at < 0) {
        return -errno;
    }
    codes = openat(at, "codes",
                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (codes < 0) {
        return -errno;
    }
    for (unsigned i = 1; i <= EMERGENCY_CODES_MAX; i++) {
        emergency_entry_t entry;
        char name[12];

        (void) snprintf(name, sizeof(name), "%02u", i);
        if (read_entry(codes, name, &entry) && !fn(context, &entry)) {
            break;
        }
    }
    return 0;
}
