/* Attributes that clean up when a variable leaves its scope, and the wiping of
 * secrets that no compiler may leave out. */

#ifndef SEKISHO_BASE_WIPE_H
#define SEKISHO_BASE_WIPE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

static inline void
cleanup_free(void *pointer)
{
    free(*(void **) pointer);
}

static inline void
cleanup_close(int *fd)
{
    if (*fd >= 0) {
        (void) close(*fd);
    }
}

static inline void
cleanup_fclose(FILE **file)
{
    if (*file != NULL) {
        (void) fclose(*file);
    }
}

/* explicit_bzero() needs _DEFAULT_SOURCE, which not every file defines: a
 * barrier that claims to read the bytes keeps the memset just as well. */
static inline void
wipe_bytes(void *bytes, size_t size)
{
    if (size > 0) {
        memset(bytes, 0, size);
        __asm__ __volatile__("" : : "r"(bytes) : "memory");
    }
}

#endif
