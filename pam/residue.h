/*
 * What a session leaves on the terminal, and how it goes.
 *
 * Removed is what the user could remove: a child process becomes the user for
 * good, and walks by file descriptors alone.  It follows no link and crosses
 * no mount, whatever is renamed under its feet.
 */

#ifndef SEKISHO_PAM_RESIDUE_H
#define SEKISHO_PAM_RESIDUE_H

#include <pwd.h>

#include "door.h"

typedef struct {
    uint64_t files;    /* files, links and folders that went */
    uint64_t bytes;    /* of the files among them that had no other name */
    uint64_t failures; /* what could not go, mounts among it */
} residue_t;

/*
 * The folders of options->wipes below the home (they stay, what is in them
 * goes), and what belongs to the user in /tmp, /var/tmp and /dev/shm.  As
 * root.  0, or a negative errno when it could not be done at all; at the end
 * of its time (wipe_seconds) it stops, and counts that as a failure.
 */
int residue_remove(const door_t *door, const struct passwd *account,
                   residue_t *residue);

/* ---- residue_walk.c: as the user, in the child -------------------------- */

typedef struct {
    uid_t uid;
    int64_t end_ms;  /* CLOCK_MONOTONIC */
    bool no_openat2; /* the kernel, or a filter, does not know it */
    residue_t residue;
} sweep_t;

/* A folder below `at`: one name, no link, no other mount.  A descriptor, or a
 * negative errno (-EXDEV: a mount). */
int sweep_open(sweep_t *sweep, int at, const char *name);
/* Removes all that is in the folder; at its first level only what belongs to
 * the user if `own` is set.  Closes fd. */
void sweep_folder(sweep_t *sweep, int fd, bool own);
/* "Downloads" or "a/b" below the home. */
void sweep_path(sweep_t *sweep, int home, const char *path);

#endif
