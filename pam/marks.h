/*
 * Marks of sessions that are open, on disk: who is the last to leave, and what
 * was open when the power went.  /var/lib/sekisho/sessions/UID/PID-START-ID,
 * root's alone, with the boot it belongs to.
 */

#ifndef SEKISHO_PAM_MARKS_H
#define SEKISHO_PAM_MARKS_H

#include "door.h"

#define MARK_ID_SIZE 33 /* 32 hexadecimal digits and a NUL */

typedef struct {
    int folder; /* the user's, locked while it is open */
    unsigned live;
    unsigned stale; /* were removed: of processes or boots that are gone */
} marks_t;

/*
 * Opens and locks the marks of a user, waiting while another session of his is
 * being cleaned up, and removes those that are stale.  0 or negative errno.
 */
int marks_open(const options_t *options, uid_t uid, marks_t *marks);
/* This process's session of that id begins.  0 when it is on disk. */
int marks_add(marks_t *marks, const char id[MARK_ID_SIZE]);
/* It ended; 0, or -ENOENT. */
int marks_remove(marks_t *marks, const char id[MARK_ID_SIZE]);
void marks_close(marks_t *marks);

static inline void
cleanup_marks(marks_t *marks)
{
    marks_close(marks);
}

#endif
