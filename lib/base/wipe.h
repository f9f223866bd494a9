/* Attributes that clean up when a variable leaves its scope. */

#ifndef SEKISHO_BASE_WIPE_H
#define SEKISHO_BASE_WIPE_H

#include <stdio.h>
#include <stdlib.h>
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

#endif
