/* Between emergency*.c alone. */

#ifndef SEKISHO_OTP_EMERGENCY_INTERNAL_H
#define SEKISHO_OTP_EMERGENCY_INTERNAL_H

#include "emergency.h"

#define EMERGENCY_MAGIC "sekisho-emergency 1"

/*
 * A file of codes or of the spool: the magic line, lines "name value", an
 * empty line, and padding up to EMERGENCY_FILE_SIZE, so that what is written
 * over it needs no further space.
 */
typedef struct {
    char bytes[EMERGENCY_FILE_SIZE];
    size_t used;
    bool failed; /* something did not fit */
} emergency_file_t;

void emergency_file_begin(emergency_file_t *file);
/* Control characters become "?"; more than `max` bytes are cut. */
void emergency_file_put(emergency_file_t *file, const char *name, slice_t value,
                        size_t max);
void emergency_file_number(emergency_file_t *file, const char *name,
                           int64_t number);
/* Over the whole of fd; 0 or negative errno. */
int emergency_file_write(int fd, const emergency_file_t *file);

/* 0, or -EBADMSG for a file of another size or without the magic. */
int emergency_file_read(int fd, emergency_file_t *file);
/* "" if there is no such line. */
slice_t emergency_file_get(const emergency_file_t *file, const char *name);
bool emergency_file_get_number(const emergency_file_t *file, const char *name,
                               int64_t *number);

#endif
