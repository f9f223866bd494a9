/* Which file a path names now: another one, or an edited one, differs. */

#ifndef SEKISHO_DAEMON_IDENTITY_H
#define SEKISHO_DAEMON_IDENTITY_H

#include <stdbool.h>
#include <sys/stat.h>

typedef struct {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    bool there;
} identity_t;

identity_t identity_of(const char *path); /* NULL: not there */
bool identity_same(const identity_t *a, const identity_t *b);

#endif
