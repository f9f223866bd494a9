#include "tar.h"

#include <errno.h>

#define BLOCK_SIZE 512
#define END_BLOCKS 2

/* The header of ustar: texts and octal numbers at fixed places. */
enum {
    NAME_AT = 0,
    MODE_AT = 100,
    UID_AT = 108,
    GID_AT = 116,
    SIZE_AT = 124,
    TIME_AT = 136,
    SUM_AT = 148,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    DEVICE_AT = 329
};

static int
failed(tar_t *tar, int error)
{
    if (tar->error == 0) {
        tar->error = error;
    }
    return tar->error;
}


static int
put(tar_t *tar, const void *bytes, size_t size)
{
    if (tar->error == 0 && size > 0 && fwrite(bytes, 1, size, tar->out) != size)
    {
        return failed(tar, errno > 0 ? -errno : -EIO);
    }
    return tar->error;
}


/* `digits` octal digits; a NUL follows, as the block is zeroed. */
static void
octal(char *at, unsigned digits, uint64_t value)
{
    while (digits-- > 0) {
        at[digits] = (char) ('0' + (value & 7));
        value >>= 3;
    }
}


static void
header_fill(char block[BLOCK_SIZE], const char *name, uint64_t size,
            unsigned mode, int64_t seconds)
{
    unsigned sum = 0;

    memset(block, 0, BLOCK_SIZE);
    memcpy(block + NAME_AT, name, strlen(name));
    octal(block + MODE_AT, 7, mode);
    octal(block + UID_AT, 7, 0);
    octal(block + GID_AT, 7, 0);
    octal(block + SIZE_AT, 11, size);
    octal(block + TIME_AT, 11, seconds < 0 ? 0 : (uint64_t) seconds);
    block[TYPE_AT] = '0';
    memcpy(block + MAGIC_AT,
           "ustar\0"
           "00",
           8);
    octal(block + DEVICE_AT, 7, 0);
    octal(block + DEVICE_AT + 8, 7, 0);
    /* the sum is taken with spaces where it will stand */
    memset(block + SUM_AT, ' ', 8);
    for (size_t i = 0; i < BLOCK_SIZE; i++) {
        sum += (unsigned char) block[i];
    }
    octal(block + SUM_AT, 6, sum);
    block[SUM_AT + 6] = '\0';
}


/* Zeros up to the next block. */
static int
pad(tar_t *tar)
{
    static const char zeros[BLOCK_SIZE];
    unsigned padding = tar->padding;

    tar->padding = 0;
    return put(tar, zeros, padding);
}


int
tar_begin(tar_t *tar, const char *name, uint64_t size, unsigned mode)
{
    char block[BLOCK_SIZE];

    if (tar->due > 0 || name[0] == '\0') {
        return failed(tar, -EINVAL);
    }
    if (strlen(name) > TAR_NAME_MAX) {
        return failed(tar, -ENAMETOOLONG);
    }
    if (size > TAR_FILE_MAX) {
        return failed(tar, -EFBIG);
    }
    header_fill(block, name, size, mode & 07777, tar->seconds);
    (void) pad(tar);
    tar->due = size;
    tar->padding = (unsigned) ((BLOCK_SIZE - size % BLOCK_SIZE) % BLOCK_SIZE);
    return put(tar, block, sizeof(block));
}


int
tar_write(tar_t *tar, slice_t bytes)
{
    if (bytes.size > tar->due) {
        return failed(tar, -EINVAL);
    }
    tar->due -= bytes.size;
    return put(tar, bytes.data, bytes.size);
}


int
tar_file(tar_t *tar, const char *name, slice_t bytes, unsigned mode)
{
    (void) tar_begin(tar, name, bytes.size, mode);
    return tar_write(tar, bytes);
}


int
tar_end(tar_t *tar)
{
    static const char zeros[BLOCK_SIZE * END_BLOCKS];

    if (tar->due > 0) {
        return failed(tar, -EINVAL);
    }
    (void) pad(tar);
    return put(tar, zeros, sizeof(zeros));
}
