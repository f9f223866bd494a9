#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../base/endian.h"
#include "note.h"
#include "note_internal.h"

static const char prefix[] = "PRIVATE+KEY+";

/* The public half from the seed, and the id from that. */
static int
complete(note_signer_t *signer)
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(
        EVP_PKEY_ED25519, NULL, signer->seed, sizeof(signer->seed));
    size_t size = sizeof(signer->verifier.key);
    int result = -EIO;

    if (key != NULL &&
        EVP_PKEY_get_raw_public_key(key, signer->verifier.key, &size) == 1 &&
        size == sizeof(signer->verifier.key))
    {
        signer->verifier.type = NOTE_ED25519;
        result = note_key_id(&signer->verifier);
    }
    EVP_PKEY_free(key);
    return result;
}

int
note_signer_generate(slice_t name, note_signer_t *signer)
{
    memset(signer, 0, sizeof(*signer));
    if (!note_name_valid(name)) {
        return -EINVAL;
    }
    memcpy(signer->verifier.name, name.data, name.size);
    if (RAND_priv_bytes(signer->seed, sizeof(signer->seed)) != 1) {
        return -EIO;
    }
    return complete(signer);
}

bool
note_signer_parse(slice_t text, note_signer_t *signer)
{
    slice_t name, hex;
    uint8_t key[33];
    char expected[9];
    bool valid = false;

    memset(signer, 0, sizeof(*signer));
    if (text.size < NOTE_SIGNER_TEXT_MAX &&
        slice_starts(text, slice_of(prefix)) &&
        note_key_split(slice_from(text, sizeof(prefix) - 1), &name, &hex,
                       key) &&
        key[0] == NOTE_ED25519)
    {
        memcpy(signer->verifier.name, name.data, name.size);
        memcpy(signer->seed, key + 1, sizeof(signer->seed));
        if (complete(signer) == 0) {
            const uint8_t *id = signer->verifier.id;

            (void) snprintf(expected, sizeof(expected), "%02x%02x%02x%02x",
                            id[0], id[1], id[2], id[3]);
            valid = slice_is(hex, expected);
        }
    }
    wipe_bytes(key, sizeof(key));
    if (!valid) {
        note_signer_wipe(signer);
    }
    return valid;
}

size_t
note_signer_format(const note_signer_t *signer, char text[NOTE_SIGNER_TEXT_MAX])
{
    memcpy(text, prefix, sizeof(prefix) - 1);
    return sizeof(prefix) - 1 +
           note_key_format(&signer->verifier, signer->seed,
                           text + sizeof(prefix) - 1,
                           NOTE_SIGNER_TEXT_MAX - (sizeof(prefix) - 1));
}

static int
read_key(int fd, char *text, size_t capacity, size_t *size)
{
    size_t used = 0;

    for (;;) {
        ssize_t n = read(fd, text + used, capacity - used);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        used += (size_t) n;
        if (used == capacity) {
            return -EFBIG;
        }
    }
    *size = used;
    return 0;
}

/* Of the ACL in its extended attribute (linux/posix_acl_xattr.h). */
#define ACL_ATTRIBUTE  "system.posix_acl_access"
#define ACL_VERSION    2
#define ACL_HEAD_SIZE  4
#define ACL_ENTRY_SIZE 8 /* tag and rights, 16 bits each; id */
#define ACL_SIZE_MAX   256
#define ACL_TAG_USER   0x02
#define ACL_TAG_GROUP  0x08

/* Whether there is an ACL, and it names nobody but root and this user. */
static bool
acl_is_ours(int fd)
{
    uint8_t acl[ACL_SIZE_MAX];
    ssize_t size = fgetxattr(fd, ACL_ATTRIBUTE, acl, sizeof(acl));

    if (size < ACL_HEAD_SIZE || load_le32(acl) != ACL_VERSION ||
        (size - ACL_HEAD_SIZE) % ACL_ENTRY_SIZE != 0)
    {
        return false;
    }
    for (ssize_t i = ACL_HEAD_SIZE; i < size; i += ACL_ENTRY_SIZE) {
        unsigned tag = load_le16(acl + i);
        uint32_t id = load_le32(acl + i + 4);

        if ((tag == ACL_TAG_USER && id != geteuid() && id != 0) ||
            (tag == ACL_TAG_GROUP && id != 0))
        {
            return false;
        }
    }
    return true;
}


/*
 * A file of its owner alone.  Or what systemd makes of LoadCredential=: root's,
 * mode 0440, with an ACL that lets the service's user read; the mask of that
 * ACL is what shows as the group's rights.
 */
static bool
is_private(int fd, const struct stat *st)
{
    if (st->st_uid != 0 && st->st_uid != geteuid()) {
        return false;
    }
    return (st->st_mode & 0077) == 0 ||
           (st->st_uid == 0 && (st->st_gid == 0 || st->st_gid == getegid()) &&
            (st->st_mode & 07777) == 0440 && acl_is_ours(fd));
}


int
note_signer_load(const char *path, note_signer_t *signer,
                 trail_problem_t *problem)
{
    _cleanup_(cleanup_close) int fd = -1;
    char text[NOTE_SIGNER_TEXT_MAX + 2];
    struct stat st;
    size_t size = 0;
    int result;

    memset(signer, 0, sizeof(*signer));
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        result = -errno;
        trail_problem_set(problem, "%s: cannot open the signing key: %s", path,
                          strerror(-result));
        return result;
    }
    if (!S_ISREG(st.st_mode)) {
        trail_problem_set(problem, "%s: the signing key is no regular file",
                          path);
        return -EINVAL;
    }
    if (!is_private(fd, &st)) {
        trail_problem_set(problem,
                          "%s: the signing key can be read or changed by "
                          "others: chown it to the daemon's user, chmod 0400",
                          path);
        return -EPERM;
    }
    result = read_key(fd, text, sizeof(text), &size);
    if (result == 0) {
        if (size > 0 && text[size - 1] == '\n') {
            size--;
        }
        result = note_signer_parse((slice_t){text, size}, signer) ? 0 : -EINVAL;
    }
    wipe_bytes(text, sizeof(text));
    if (result != 0) {
        trail_problem_set(problem,
                          "%s: no signing key (PRIVATE+KEY+name+id+base64): "
                          "restore it from its backup",
                          path);
    }
    return result;
}

static int
sync_folder_of(const char *path)
{
    _cleanup_(cleanup_close) int fd = -1;
    const char *slash = strrchr(path, '/');
    char folder[4096];
    size_t size = slash == NULL ? 0 : (size_t) (slash - path);

    if (size >= sizeof(folder) - 1) {
        return -ENAMETOOLONG;
    }
    if (slash == NULL) {
        memcpy(folder, ".", 2);
    } else {
        memcpy(folder, path, size + 1); /* "/" for a key in the root folder */
        folder[size == 0 ? 1 : size] = '\0';
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int
note_signer_save(const char *path, const note_signer_t *signer)
{
    char text[NOTE_SIGNER_TEXT_MAX + 1];
    size_t size = note_signer_format(signer, text);
    ssize_t written;
    int fd, result = 0;

    text[size++] = '\n';
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
    if (fd < 0) {
        result = -errno;
        wipe_bytes(text, sizeof(text));
        return result;
    }
    do {
        written = write(fd, text, size);
    } while (written < 0 && errno == EINTR);
    if (written < 0) {
        result = -errno;
    } else if ((size_t) written < size) {
        result = -ENOSPC;
    } else if (fsync(fd) < 0) {
        result = -errno;
    }
    if (close(fd) < 0 && result == 0) {
        result = -errno;
    }
    wipe_bytes(text, sizeof(text));
    if (result == 0) {
        result = sync_folder_of(path);
    }
    if (result != 0) {
        (void) unlink(path);
    }
    return result;
}
