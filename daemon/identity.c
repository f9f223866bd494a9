#include "identity.h"

#include <string.h>

identity_t
identity_of(const char *path)
{
    identity_t identity;
    struct stat st;

    memset(&identity, 0, sizeof(identity));
    if (path != NULL && stat(path, &st) == 0) {
        identity.device = st.st_dev;
        identity.inode = st.st_ino;
        identity.size = st.st_size;
        identity.changed = st.st_mtim;
        identity.there = true;
    }
    return identity;
}

bool
identity_same(const identity_t *a, const identity_t *b)
{
    return a->there == b->there && a->device == b->device &&
           a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}
