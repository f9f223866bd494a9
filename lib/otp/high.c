/*
 * PATH.high: what the store had come to, beside it, so that an older copy of
 * the store put in its place is noticed.
 *
 * It is written over in place with each commit, after it and without a sync:
 * 64 bytes, the same block for ever, also on a full disk.  After a power cut
 * it may lag behind the store, which is no harm; it is never ahead of a store
 * that was not put back.  Who puts back both files, or the whole machine, is
 * not seen here: otp_generation() in the trail tells of it.
 */

#define _GNU_SOURCE
#include "otp_internal.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "../base/endian.h"

static const char magic[16] = "sekisho high 1\n";
/* Not secret: it tells damage, not malice. */
static const uint8_t sum_key[SIPHASH_KEY_SIZE] = "sekisho high sum";

static void
write_bytes(uint8_t bytes[HIGH_SIZE], const uint8_t id[SEAL_ID_SIZE],
            const meta_t *meta)
{
    siphash_t sum;

    memset(bytes, 0, HIGH_SIZE);
    memcpy(bytes, magic, sizeof(magic));
    memcpy(bytes + 16, id, SEAL_ID_SIZE);
    store_le64(bytes + 32, meta->generation);
    store_le64(bytes + 40, (uint64_t) meta->greatest_ms);
    sum = siphash(sum_key, bytes, 48);
    store_le64(bytes + 48, sum.low);
    store_le64(bytes + 56, sum.high);
}

void
high_write(int fd, const uint8_t id[SEAL_ID_SIZE], const meta_t *meta)
{
    uint8_t bytes[HIGH_SIZE];

    if (fd >= 0) {
        write_bytes(bytes, id, meta);
        /* a failure makes it lag behind: see above */
        if (pwrite(fd, bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes)) {
            return;
        }
    }
}

int
high_open(const char *path, const uint8_t id[SEAL_ID_SIZE], int *fd,
          bool *valid, uint64_t *generation)
{
    uint8_t bytes[HIGH_SIZE];
    const meta_t none = {0};
    struct stat st;
    siphash_t sum;

    *valid = false;
    *generation = 0;
    *fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT) {
        *fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   0600);
        if (*fd < 0) {
            return -errno;
        }
        write_bytes(bytes, id, &none);
        if (pwrite(*fd, bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes) ||
            fsync(*fd) != 0)
        {
            int result = errno == 0 ? -EIO : -errno;

            (void) unlink(path);
            return result;
        }
        *valid = true;
        return 1;
    }
    if (*fd < 0) {
        return -errno;
    }
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return -EINVAL;
    }
    if (pread(*fd, bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes)) {
        return 0; /* damaged: as if the store were an older one */
    }
    sum = siphash(sum_key, bytes, 48);
    *generation = load_le64(bytes + 32);
    *valid = memcmp(bytes, magic, sizeof(magic)) == 0 &&
             memcmp(bytes + 16, id, SEAL_ID_SIZE) == 0 &&
             load_le64(bytes + 48) == sum.low &&
             load_le64(bytes + 56) == sum.high;
    return 0;
}
