/* memfd_create() */
#define _GNU_SOURCE
#include "geoip.h"

#include <errno.h>
#include <fcntl.h>
#include <maxminddb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE_BYTES ((size_t) 512 * 1024) /* copied at a time */
#define CHUNK_BYTES ((size_t) 64 * 1024)

struct geoip_s {
    MMDB_s database;
};

struct geoip_loader_s {
    int fd;   /* the file */
    int copy; /* in memory */
    struct stat stat;
    size_t size, done; /* bytes */
    char chunk[CHUNK_BYTES];
};

geoip_result_t
geoip_loader_start(const char *path, geoip_loader_t **loader)
{
    geoip_loader_t *started = calloc(1, sizeof(*started));
    geoip_result_t result = GEOIP_SYSTEM;
    int error;

    *loader = NULL;
    if (started == NULL) {
        return GEOIP_SYSTEM;
    }
    started->copy = -1;
    /* not blocking: on a FIFO open() would wait for a writer */
    started->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (started->fd < 0 || fstat(started->fd, &started->stat) < 0) {
        error = errno;
        goto failed;
    }
    error = 0;
    if (!S_ISREG(started->stat.st_mode)) {
        error = S_ISDIR(started->stat.st_mode) ? EISDIR : EINVAL;
        goto failed;
    }
    if (started->stat.st_size > (off_t) GEOIP_SIZE_MAX) {
        result = GEOIP_TOO_LARGE;
        goto failed;
    }
    started->size = (size_t) started->stat.st_size;
    started->copy = memfd_create("sekisho-geoip",
                                 MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (started->copy < 0) {
        error = errno;
        goto failed;
    }
    *loader = started;
    return GEOIP_AGAIN;

failed:
    geoip_loader_free(started);
    errno = error;
    return result;
}

void
geoip_loader_free(geoip_loader_t *loader)
{
    if (loader == NULL) {
        return;
    }
    if (loader->fd >= 0) {
        (void) close(loader->fd);
    }
    if (loader->copy >= 0) {
        (void) close(loader->copy);
    }
    free(loader);
}

static geoip_result_t
copy_chunk(geoip_loader_t *loader, size_t wanted, size_t *copied)
{
    ssize_t n, written;

    *copied = 0;
    do {
        n = pread(loader->fd, loader->chunk, wanted, (off_t) loader->done);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return n == 0 ? GEOIP_CHANGED : GEOIP_SYSTEM;
    }
    for (size_t at = 0; at < (size_t) n; at += (size_t) written) {
        written = write(loader->copy, loader->chunk + at, (size_t) n - at);
        if (written < 0 && errno == EINTR) {
            written = 0;
        } else if (written <= 0) {
            return GEOIP_SYSTEM;
        }
    }
    *copied = (size_t) n;
    return GEOIP_AGAIN;
}

static geoip_result_t
copy_slice(geoip_loader_t *loader)
{
    geoip_result_t result = GEOIP_AGAIN;
    size_t left = loader->size - loader->done, copied;

    if (left > SLICE_BYTES) {
        left = SLICE_BYTES;
    }
    while (left > 0 && result == GEOIP_AGAIN) {
        result = copy_chunk(loader, left < CHUNK_BYTES ? left : CHUNK_BYTES,
                            &copied);
        loader->done += copied;
        left -= copied;
    }
    return result;
}

/* Is the file still what was opened? */
static geoip_result_t
unchanged(const geoip_loader_t *loader)
{
    const struct stat *old = &loader->stat;
    struct stat now;

    if (fstat(loader->fd, &now) < 0) {
        return GEOIP_SYSTEM;
    }
    return now.st_size == old->st_size &&
                   now.st_mtim.tv_sec == old->st_mtim.tv_sec &&
                   now.st_mtim.tv_nsec == old->st_mtim.tv_nsec
               ? GEOIP_OK
               : GEOIP_CHANGED;
}

static geoip_result_t
map_copy(const geoip_loader_t *loader, geoip_t **geoip)
{
    char name[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
    geoip_result_t result = unchanged(loader);
    geoip_t *mapped;
    int status;

    if (result != GEOIP_OK) {
        return result;
    }
    if (fcntl(loader->copy, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
    {
        return GEOIP_SYSTEM;
    }
    mapped = calloc(1, sizeof(*mapped));
    if (mapped == NULL) {
        return GEOIP_SYSTEM;
    }
    /* libmaxminddb takes a name only */
    (void) snprintf(name, sizeof(name), "/proc/self/fd/%d", loader->copy);
    status = MMDB_open(name, MMDB_MODE_MMAP, &mapped->database);
    if (status != MMDB_SUCCESS) {
        free(mapped);
        return status == MMDB_FILE_OPEN_ERROR ||
                       status == MMDB_OUT_OF_MEMORY_ERROR
                   ? GEOIP_SYSTEM
                   : GEOIP_FORMAT;
    }
    *geoip = mapped;
    return GEOIP_OK;
}

geoip_result_t
geoip_loader_step(geoip_loader_t *loader, geoip_t **geoip)
{
    *geoip = NULL;
    return loader->done < loader->size ? copy_slice(loader)
                                       : map_copy(loader, geoip);
}

geoip_result_t
geoip_load(const char *path, geoip_t **geoip)
{
    geoip_loader_t *loader;
    geoip_result_t result = geoip_loader_start(path, &loader);
    int error;

    *geoip = NULL;
    while (result == GEOIP_AGAIN) {
        result = geoip_loader_step(loader, geoip);
    }
    error = errno;
    geoip_loader_free(loader);
    errno = error;
    return result;
}

void
geoip_free(geoip_t *geoip)
{
    if (geoip != NULL) {
        MMDB_close(&geoip->database);
        free(geoip);
    }
}

const char *
geoip_strerror(geoip_result_t result)
{
    switch (result) {
    case GEOIP_OK:
        return "is in order";
    case GEOIP_SYSTEM:
        return "cannot be read";
    case GEOIP_TOO_LARGE:
        return "is larger than 512 MB: take a country database, as "
               "GeoLite2-Country.mmdb";
    case GEOIP_CHANGED:
        return "is being written just now: write a new one beside it and "
               "rename that";
    case GEOIP_FORMAT:
        return "is no usable MaxMind DB: fetch it again, as "
               "GeoLite2-Country.mmdb";
    case GEOIP_RESULT_NONE:
    case GEOIP_AGAIN:
        break;
    }
    return "was not read";
}

static char
upper(char letter)
{
    return letter >= 'a' && letter <= 'z' ? (char) (letter - 'a' + 'A')
                                          : letter;
}

bool
geoip_country(void *context, const address_t *address, char code[2])
{
    const geoip_t *geoip = context;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *sockaddr = (const struct sockaddr *) &v4;
    MMDB_lookup_result_s found;
    MMDB_entry_data_s data;
    int error;

    if (address->family == ADDRESS_IPV4) {
        memcpy(&v4.sin_addr, address->bytes, 4);
    } else if (address->family == ADDRESS_IPV6) {
        memcpy(&v6.sin6_addr, address->bytes, 16);
        sockaddr = (const struct sockaddr *) &v6;
    } else {
        return false;
    }
    found = MMDB_lookup_sockaddr(&geoip->database, sockaddr, &error);
    if (error != MMDB_SUCCESS || !found.found_entry ||
        MMDB_get_value(&found.entry, &data, "country", "iso_code", NULL) !=
            MMDB_SUCCESS ||
        !data.has_data || data.type != MMDB_DATA_TYPE_UTF8_STRING ||
        data.data_size != 2)
    {
        return false;
    }
    code[0] = upper(data.utf8_string[0]);
    code[1] = upper(data.utf8_string[1]);
    return true;
}
