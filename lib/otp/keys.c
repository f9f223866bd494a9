/* The file of sealing keys. */

#define _GNU_SOURCE
#include "otp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/stat.h>

#include "../base/file.h"
#include "../base/wipe.h"
#include "keys.h"

#define KEY_TEXT_SIZE 44 /* base64 of 32 bytes */

void
otp_keys_wipe(otp_keys_t *keys)
{
    wipe_bytes(keys, sizeof(*keys));
}

/* Strict: what comes out must make the same text again. */
static bool
decode_key(slice_t text, uint8_t key[OTP_KEY_SIZE])
{
    uint8_t bytes[OTP_KEY_SIZE + 1]; /* with what stands for the padding */
    char again[KEY_TEXT_SIZE + 1];
    bool valid = false;

    if (text.size == KEY_TEXT_SIZE &&
        EVP_DecodeBlock(bytes, (const unsigned char *) text.data,
                        KEY_TEXT_SIZE) == (int) sizeof(bytes) &&
        EVP_EncodeBlock((unsigned char *) again, bytes, OTP_KEY_SIZE) ==
            KEY_TEXT_SIZE &&
        memcmp(again, text.data, KEY_TEXT_SIZE) == 0)
    {
        memcpy(key, bytes, OTP_KEY_SIZE);
        valid = true;
    }
    wipe_bytes(bytes, sizeof(bytes));
    wipe_bytes(again, sizeof(again));
    return valid;
}

static bool
read_version(slice_t *line, uint32_t *version)
{
    uint64_t value = 0;
    size_t i;

    for (i = 0; i < line->size && line->data[i] >= '0' && line->data[i] <= '9';
         i++) {
        value = value * 10 + (uint64_t) (line->data[i] - '0');
        if (value > UINT32_MAX) {
            return false;
        }
    }
    if (i == 0 || i == line->size || line->data[i] != ' ' ||
        line->data[0] == '0') {
        return false;
    }
    *line = slice_from(*line, i + 1);
    *version = (uint32_t) value;
    return true;
}

static bool
has_version(const otp_keys_t *keys, uint32_t version)
{
    uint32_t i;

    for (i = 0; i < keys->count; i++) {
        if (keys->version[i] == version) {
            return true;
        }
    }
    return false;
}

int
otp_keys_parse(slice_t text, otp_keys_t *keys, uint32_t *line_number,
               const char **why)
{
    *line_number = 0;
    memset(keys, 0, sizeof(*keys));
    while (text.size > 0) {
        const char *end = memchr(text.data, '\n', text.size);
        slice_t line = {text.data,
                        end == NULL ? text.size : (size_t) (end - text.data)};
        uint32_t version;

        text = slice_from(text, line.size + (end != NULL));
        ++*line_number;
        if (line.size == 0 || line.data[0] == '#') {
            continue;
        }
        if (keys->count == OTP_KEYS_MAX) {
            *why = "more than 8 keys: remove those that seal nothing any more";
        } else if (!read_version(&line, &version)) {
            *why = "not \"VERSION KEY\": a number from 1, a space, the key";
        } else if (has_version(keys, version)) {
            *why = "that version was there before: give each its own number";
        } else if (!decode_key(line, keys->key[keys->count])) {
            *why = "the key is not base64 of 32 bytes (44 characters)";
        } else {
            keys->version[keys->count++] = version;
            continue;
        }
        otp_keys_wipe(keys);
        return -EBADMSG;
    }
    if (keys->count == 0) {
        *line_number = 0;
        *why = "no key in it: let sekisho make one";
        return -EBADMSG;
    }
    return 0;
}

static int
tell(char error[256], int result, const char *path, const char *what)
{
    (void) snprintf(error, 256, "key file %.150s: %.80s", path, what);
    return result;
}

static int
check_file(int fd, const char *path, char error[256])
{
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return tell(error, -errno, path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return tell(error, -EINVAL, path, "is no regular file");
    }
    if (st.st_uid != 0 && st.st_uid != geteuid()) {
        return tell(error, -EPERM, path,
                    "must belong to root or to the daemon's user: chown it");
    }
    if ((st.st_mode & 0037) != 0) {
        return tell(error, -EPERM, path,
                    "others may read or change it: chmod 0400");
    }
    return 0;
}

static void
wipe_text(char (*text)[OTP_KEYS_FILE_MAX + 1])
{
    wipe_bytes(text, sizeof(*text));
}

static int
read_keys(const char *path, otp_keys_t *keys, char error[256], struct stat *st)
{
    _cleanup_(cleanup_close) int fd = -1;
    _cleanup_(wipe_text) char text[OTP_KEYS_FILE_MAX + 1];
    const char *why = NULL;
    size_t used = 0;
    uint32_t line;
    int result;

    error[0] = '\0';
    memset(keys, 0, sizeof(*keys));
    if (path[0] != '/') {
        return tell(error, -EINVAL, path, "must be an absolute path");
    }
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        result = -errno;
        return tell(error, result, path,
                    errno == ELOOP ? "is a symbolic link: name the file itself"
                                   : strerror(errno));
    }
    result = check_file(fd, path, error);
    if (result != 0) {
        return result;
    }
    if (fstat(fd, st) != 0) {
        return tell(error, -errno, path, strerror(errno));
    }
    while (used < sizeof(text)) {
        ssize_t n = read(fd, text + used, sizeof(text) - used);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return tell(error, -errno, path, strerror(errno));
        }
        if (n == 0) {
            break;
        }
        used += (size_t) n;
    }
    if (used > OTP_KEYS_FILE_MAX) {
        return tell(error, -EFBIG, path, "is no key file: too large");
    }
    result = otp_keys_parse((slice_t){text, used}, keys, &line, &why);
    if (result != 0) {
        (void) snprintf(error, 256, "key file %.150s:%" PRIu32 ": %.80s", path,
                        line, why);
    }
    return result;
}

int
otp_keys_read(const char *path, otp_keys_t *keys, char error[256])
{
    struct stat st;

    return read_keys(path, keys, error, &st);
}

size_t
otp_keys_format(const otp_keys_t *keys, char text[OTP_KEYS_FILE_MAX + 1])
{
    size_t used = 0;
    uint32_t i;

    for (i = 0; i < keys->count; i++) {
        used += (size_t) snprintf(text + used, OTP_KEYS_FILE_MAX + 1 - used,
                                  "%" PRIu32 " ", keys->version[i]);
        used += (size_t) EVP_EncodeBlock((unsigned char *) text + used,
                                         keys->key[i], OTP_KEY_SIZE);
        text[used++] = '\n';
    }
    return used;
}

int
otp_keys_make(const char *path, char error[256])
{
    _cleanup_(otp_keys_wipe) otp_keys_t keys = {0};
    _cleanup_(wipe_text) char text[OTP_KEYS_FILE_MAX + 1];
    struct stat st = {.st_uid = geteuid(), .st_gid = getegid()};
    uint32_t version = 0, i;
    size_t size;
    int result = read_keys(path, &keys, error, &st);

    if (result != 0 && result != -ENOENT) {
        return result;
    }
    if (keys.count == OTP_KEYS_MAX) {
        return tell(error, -ENOSPC, path,
                    "has 8 keys: remove those that seal nothing any more");
    }
    for (i = 0; i < keys.count; i++) {
        version = keys.version[i] > version ? keys.version[i] : version;
    }
    if (version == UINT32_MAX) {
        return tell(error, -EOVERFLOW, path, "has the last possible version");
    }
    keys.version[keys.count] = version + 1;
    if (RAND_priv_bytes(keys.key[keys.count], OTP_KEY_SIZE) != 1) {
        return tell(error, -EIO, path, "no random numbers to be had");
    }
    keys.count++;
    size = otp_keys_format(&keys, text);
    result = file_write_atomic(path, (slice_t){text, size}, 0400);
    /* the new file is the caller's: who had it before must go on reading it */
    if (result == 0 && (st.st_uid != geteuid() || st.st_gid != getegid()) &&
        lchown(path, st.st_uid, st.st_gid) != 0)
    {
        result = -errno;
    }
    if (result != 0) {
        return tell(error, result, path, strerror(-result));
    }
    error[0] = '\0';
    return 0;
}
