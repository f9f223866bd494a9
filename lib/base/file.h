/*
 * Files: read whole under a bound, written so that a crash leaves either the
 * old or the new content.
 */

#ifndef SEKISHO_BASE_FILE_H
#define SEKISHO_BASE_FILE_H

#include <stdint.h>
#include <sys/types.h>

#include "slice.h"

/*
 * Reads all of a regular file.  *data is malloc'ed (one NUL behind the end, not
 * counted), the caller frees it.  -EFBIG above `size_max` bytes, -EISDIR or
 * -EINVAL for what is no regular file, or another negative errno.
 */
int file_read(const char *path, size_t size_max, char **data, size_t *size);

/*
 * Writes `data` to a temporary file beside `path`, fsyncs it, renames it over
 * `path` and fsyncs the folder.  The new file has `mode` whatever the umask.
 * Negative errno; then `path` is as before and nothing is left behind.
 */
int file_write_atomic(const char *path, slice_t data, mode_t mode);

#endif
