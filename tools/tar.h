/*
 * A writer of tar archives (POSIX.1-1988 ustar), for what `audit evidence`
 * hands out: regular files with short names, nobody's in particular.
 */

#ifndef SEKISHO_TOOLS_TAR_H
#define SEKISHO_TOOLS_TAR_H

#include <stdint.h>
#include <stdio.h>

#include "../lib/base/slice.h"

#define TAR_NAME_MAX 99                       /* bytes */
#define TAR_FILE_MAX (UINT64_C(077777777777)) /* bytes: 8 GiB - 1 */

/* Zeroed but for `out` and `seconds` is one that is about to begin. */
typedef struct {
    FILE *out;
    int64_t seconds; /* Unix, of every file */
    uint64_t due;    /* bytes of the open file that are still to come */
    unsigned padding;
    int error; /* of the first call that failed; the later ones do nothing */
} tar_t;

/*
 * Begins a file of exactly `size` bytes.  -ENAMETOOLONG, -EFBIG, -EINVAL (the
 * one before is not whole), or an error of writing; as all below.
 */
int tar_begin(tar_t *tar, const char *name, uint64_t size, unsigned mode);
int tar_write(tar_t *tar, slice_t bytes);

/* tar_begin() and tar_write(). */
int tar_file(tar_t *tar, const char *name, slice_t bytes, unsigned mode);

/* The end of the archive; does not close or flush `out`. */
int tar_end(tar_t *tar);

#endif
