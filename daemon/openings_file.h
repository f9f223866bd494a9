/*
 * Open accesses whose opening lies so far back in the trail that the next start
 * would not read it: a file beside the trail's checkpoint names them.
 *
 * It says where they are, never what they are: that is read from the trail.
 * Without the file, or with a damaged one, nothing is lost but that the closes
 * of such accesses are not written if their front end is gone, too.
 */

#ifndef SEKISHO_DAEMON_OPENINGS_FILE_H
#define SEKISHO_DAEMON_OPENINGS_FILE_H

#include "opening.h"

typedef struct {
    uint64_t index; /* in the tree */
    uint8_t id[TABLE_KEY_SIZE];
} remembered_t;

/* Replaces the file in the folder of the trail: openings before index `edge`,
 * which are those that are open with `size` entries in the tree.  Negative
 * errno; then the old one is as it was. */
int openings_file_write(const char *trail, const openings_t *openings,
                        uint64_t size, uint64_t edge);

/* -ENOENT: there is none; -EBADMSG: it is damaged.  The list, by index, is the
 * caller's to free. */
int openings_file_read(const char *trail, remembered_t **list, size_t *count,
                       uint64_t *size);

/* There is nothing to remember; 0 also if there was no file. */
int openings_file_remove(const char *trail);

#endif
