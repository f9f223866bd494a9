/*
 * Taking an image over from a file, a slice at a time.  The file is copied,
 * never mapped: whoever cuts a mapped file short kills its readers (SIGBUS).
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_layout.h"

#define LOADER_SLICE ((size_t) 512 * 1024) /* bytes read and hashed at a time */

struct policy_loader_s {
    int fd;
    struct stat stat;
    image_seal_t seal;
    image_check_t check;
    policy_image_t *image; /* until it is given away */
    size_t read;           /* bytes */
    bool sealed;           /* the seal was right */
    bool ended;            /* a result was given */
};

policy_image_result_t
policy_loader_start(const char *path, policy_loader_t **loader)
{
    policy_loader_t *started;
    policy_image_result_t result = POLICY_IMAGE_SYSTEM;
    int error;

    *loader = NULL;
    started = calloc(1, sizeof(*started));
    if (started == NULL) {
        return POLICY_IMAGE_SYSTEM;
    }
    /* Not blocking: on a FIFO open() would wait for a writer. */
    started->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (started->fd < 0 || fstat(started->fd, &started->stat) < 0) {
        error = errno;
        goto failed;
    }
    if (!S_ISREG(started->stat.st_mode)) {
        error = S_ISDIR(started->stat.st_mode) ? EISDIR : EINVAL;
        goto failed;
    }
    error = 0;
    if (started->stat.st_size < (off_t) IMAGE_HEADER_SIZE) {
        result = POLICY_IMAGE_TOO_SMALL;
        goto failed;
    }
    if (started->stat.st_size > (off_t) POLICY_IMAGE_SIZE_MAX) {
        result = POLICY_IMAGE_TOO_LARGE;
        goto failed;
    }
    started->image = image_new((size_t) started->stat.st_size);
    if (started->image == NULL) {
        error = errno;
        goto failed;
    }
    error = -image_seal_start(&started->seal);
    if (error != 0) {
        goto failed;
    }
    *loader = started;
    return POLICY_IMAGE_AGAIN;

failed:
    policy_loader_free(started);
    errno = error;
    return result;
}

void
policy_loader_free(policy_loader_t *loader)
{
    if (loader == NULL) {
        return;
    }
    if (loader->fd >= 0) {
        (void) close(loader->fd);
    }
    image_seal_free(&loader->seal);
    policy_image_free(loader->image);
    free(loader);
}

/* Is the file still what was opened? */
static policy_image_result_t
unchanged(const policy_loader_t *loader)
{
    const struct stat *old = &loader->stat;
    struct stat now;

    if (fstat(loader->fd, &now) < 0) {
        return POLICY_IMAGE_SYSTEM;
    }
    if (now.st_size != old->st_size || now.st_ino != old->st_ino ||
        now.st_dev != old->st_dev ||
        now.st_mtim.tv_sec != old->st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != old->st_mtim.tv_nsec)
    {
        return POLICY_IMAGE_CHANGED;
    }
    return POLICY_IMAGE_OK;
}

static policy_image_result_t
read_slice(policy_loader_t *loader)
{
    policy_image_t *image = loader->image;
    size_t wanted = image->size - loader->read, got = 0;
    policy_image_result_t result;
    ssize_t n;
    int error;

    if (wanted > LOADER_SLICE) {
        wanted = LOADER_SLICE;
    }
    while (got < wanted) {
        n = pread(loader->fd, image->bytes + loader->read + got, wanted - got,
                  (off_t) (loader->read + got));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return POLICY_IMAGE_SYSTEM;
        }
        if (n == 0) {
            return POLICY_IMAGE_CHANGED;
        }
        got += (size_t) n;
    }
    if (loader->read == 0) {
        result = image_check_head(image->bytes, image->size);
        if (result != POLICY_IMAGE_OK) {
            return result;
        }
    }
    error = image_seal_add(&loader->seal, image->bytes + loader->read, got);
    if (error < 0) {
        errno = -error;
        return POLICY_IMAGE_SYSTEM;
    }
    loader->read += got;
    return POLICY_IMAGE_AGAIN;
}

static policy_image_result_t
check_seal(policy_loader_t *loader)
{
    uint8_t sha256[IMAGE_SHA256_SIZE];
    policy_image_result_t result = unchanged(loader);
    int error;

    if (result != POLICY_IMAGE_OK) {
        return result;
    }
    error = image_seal_end(&loader->seal, sha256);
    if (error < 0) {
        errno = -error;
        return POLICY_IMAGE_SYSTEM;
    }
    if (memcmp(sha256, loader->image->bytes + IMAGE_AT_SEAL, sizeof(sha256)) !=
        0) {
        return POLICY_IMAGE_SEAL;
    }
    loader->sealed = true;
    return POLICY_IMAGE_AGAIN;
}

policy_image_result_t
policy_loader_step(policy_loader_t *loader, policy_image_t **image)
{
    policy_image_result_t result;

    *image = NULL;
    if (loader->ended) {
        errno = EINVAL;
        return POLICY_IMAGE_SYSTEM;
    }
    if (loader->read < loader->image->size) {
        result = read_slice(loader);
    } else if (!loader->sealed) {
        result = check_seal(loader);
    } else {
        result = image_check(loader->image, &loader->check);
    }
    if (result == POLICY_IMAGE_AGAIN) {
        return result;
    }
    loader->ended = true;
    if (result == POLICY_IMAGE_OK) {
        *image = loader->image;
        loader->image = NULL;
    }
    return result;
}

policy_image_result_t
policy_image_open_file(const char *path, policy_image_t **image)
{
    policy_loader_t *loader;
    policy_image_result_t result;
    int error;

    *image = NULL;
    result = policy_loader_start(path, &loader);
    while (result == POLICY_IMAGE_AGAIN) {
        result = policy_loader_step(loader, image);
    }
    error = errno;
    policy_loader_free(loader);
    errno = error;
    return result;
}
