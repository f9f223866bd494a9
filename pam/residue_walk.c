/* The walk: an explicit stack of open folders, names relative to them. */

#define _GNU_SOURCE
#include "residue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#define DEPTH_MAX    32 /* folders open at once; deeper ones are moved up */
#define NAME_SIZE    256
#define PASSES_MAX   1000 /* over a folder whose deeper ones were moved up */
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

typedef struct {
    DIR *dir;
    char name[NAME_SIZE]; /* in the level above */
} level_t;

typedef struct {
    sweep_t *sweep;
    level_t levels[DEPTH_MAX];
    unsigned depth;
    uint64_t moved; /* names given so far */
    bool again;     /* something was moved to the first level */
    bool own;
} walk_t;

static bool
is_over(const sweep_t *sweep)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000 >= sweep->end_ms;
}

/* ---- Opening ------------------------------------------------------------- */

static bool
mount_of(int fd, uint64_t *mount)
{
    struct statx stx;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) < 0 ||
        (stx.stx_mask & STATX_MNT_ID) == 0)
    {
        return false;
    }
    *mount = stx.stx_mnt_id;
    return true;
}

/* What openat2() does, where there is none: one name, so that no link can be
 * in it but the last, which O_NOFOLLOW refuses. */
static int
open_without_openat2(int at, const char *name, int flags)
{
    uint64_t above, here;
    int fd = openat(at, name, flags);

    if (fd < 0) {
        return -errno;
    }
    if (!mount_of(at, &above) || !mount_of(fd, &here) || above != here) {
        (void) close(fd);
        return -EXDEV;
    }
    return fd;
}

static int
open_name(sweep_t *sweep, int at, const char *name, int flags)
{
    struct open_how how = {.flags = (uint64_t) (unsigned) flags,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
                                      RESOLVE_NO_XDEV};
    long fd;

    if (!sweep->no_openat2) {
        fd = syscall(SYS_openat2, at, name, &how, sizeof(how));
        if (fd >= 0) {
            return (int) fd;
        }
        if (errno != ENOSYS && errno != EPERM) {
            return -errno;
        }
        sweep->no_openat2 = true;
    }
    return open_without_openat2(at, name, flags);
}

/* The user's own folder that has lost its rights: they come back through a
 * descriptor, as a name could be another's by then. */
static void
restore_rights(sweep_t *sweep, int at, const char *name)
{
    int fd = open_name(sweep, at, name,
                       O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char path[64];

    if (fd < 0) {
        return;
    }
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void) chmod(path, 0700);
    (void) close(fd);
}

int
sweep_open(sweep_t *sweep, int at, const char *name)
{
    int fd = open_name(sweep, at, name, FOLDER_FLAGS);
    struct stat st;

    if (fd == -EACCES) {
        restore_rights(sweep, at, name);
        fd = open_name(sweep, at, name, FOLDER_FLAGS);
    }
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == sweep->uid &&
        (st.st_mode & 0700) != 0700)
    {
        (void) fchmod(fd, 0700);
    }
    return fd;
}

/* ---- Removing ------------------------------------------------------------ */

static void
remove_name(sweep_t *sweep, int at, const char *name, const struct stat *st)
{
    if (unlinkat(at, name, st == NULL ? AT_REMOVEDIR : 0) == 0) {
        sweep->residue.files++;
        if (st != NULL && S_ISREG(st->st_mode) && st->st_nlink == 1) {
            sweep->residue.bytes += (uint64_t) st->st_size;
        }
    } else if (errno != ENOENT) {
        sweep->residue.failures++;
    }
}

static bool
push(walk_t *walk, int fd, const char *name)
{
    level_t *level = &walk->levels[walk->depth];
    DIR *dir = fdopendir(fd);

    if (dir == NULL) {
        (void) close(fd);
        walk->sweep->residue.failures++;
        return false;
    }
    level->dir = dir;
    (void) snprintf(level->name, sizeof(level->name), "%s", name);
    walk->depth++;
    return true;
}

/* However deep somebody digs: the folder goes up to the first level, and is
 * met there in the next pass. */
static void
move_up(walk_t *walk, int at, const char *name)
{
    char fresh[48];

    for (unsigned tries = 0; tries < 100; tries++) {
        (void) snprintf(fresh, sizeof(fresh), ".sekisho-%llx-%d",
                        (unsigned long long) walk->moved++, (int) getpid());
        if (renameat2(at, name, dirfd(walk->levels[0].dir), fresh,
                      RENAME_NOREPLACE) == 0)
        {
            walk->again = true;
            return;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    walk->sweep->residue.failures++;
}

static void
take_entry(walk_t *walk, const char *name)
{
    int at = dirfd(walk->levels[walk->depth - 1].dir);
    struct stat st;
    int fd;

    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return;
    }
    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno != ENOENT) {
            walk->sweep->residue.failures++;
        }
        return;
    }
    if (walk->own && walk->depth == 1 && st.st_uid != walk->sweep->uid) {
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        remove_name(walk->sweep, at, name, &st);
        return;
    }
    if (walk->depth == DEPTH_MAX) {
        move_up(walk, at, name);
        return;
    }
    fd = sweep_open(walk->sweep, at, name);
    if (fd >= 0) {
        (void) push(walk, fd, name);
    } else if (fd != -ENOENT) {
        walk->sweep->residue.failures++;
    }
}

/* The folder is read to its end: it is empty now, or somebody works in it. */
static void
pop(walk_t *walk)
{
    level_t *level = &walk->levels[walk->depth - 1];

    (void) closedir(level->dir);
    walk->depth--;
    if (walk->depth > 0) {
        remove_name(walk->sweep, dirfd(walk->levels[walk->depth - 1].dir),
                    level->name, NULL);
    }
}

static void
walk_once(walk_t *walk)
{
    while (walk->depth > 0) {
        const struct dirent *entry = NULL;

        if (is_over(walk->sweep)) {
            walk->sweep->residue.failures++;
            while (walk->depth > 0) {
                (void) closedir(walk->levels[--walk->depth].dir);
            }
            walk->again = false;
            return;
        }
        entry = readdir(walk->levels[walk->depth - 1].dir);
        if (entry == NULL) {
            pop(walk);
        } else {
            take_entry(walk, entry->d_name);
        }
    }
}

void
sweep_folder(sweep_t *sweep, int fd, bool own)
{
    walk_t walk = {.sweep = sweep, .own = own};
    uint64_t failures = sweep->residue.failures;

    for (unsigned pass = 0; pass < PASSES_MAX; pass++) {
        int again = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        if (again < 0) {
            sweep->residue.failures++;
            break;
        }
        (void) lseek(again, 0, SEEK_SET);
        walk.again = false;
        /* what fails in the last pass is what is left */
        sweep->residue.failures = failures;
        if (!push(&walk, again, "")) {
            break;
        }
        walk_once(&walk);
        if (!walk.again) {
            break;
        }
        if (pass == PASSES_MAX - 1) {
            sweep->residue.failures++;
        }
    }
    (void) close(fd);
}

/* The last name: a folder is emptied and stays, a file goes; a link is left,
 * and told, as what it leads to was meant. */
static void
sweep_last(sweep_t *sweep, int at, const char *name)
{
    struct stat st;
    int fd;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        sweep->residue.failures += errno != ENOENT;
    } else if (S_ISDIR(st.st_mode)) {
        fd = sweep_open(sweep, at, name);
        if (fd >= 0) {
            sweep_folder(sweep, fd, false);
        } else {
            sweep->residue.failures += fd != -ENOENT;
        }
    } else if (S_ISLNK(st.st_mode)) {
        sweep->residue.failures++;
    } else {
        remove_name(sweep, at, name, &st);
    }
}

void
sweep_path(sweep_t *sweep, int home, const char *path)
{
    int at = fcntl(home, F_DUPFD_CLOEXEC, 3);
    char name[NAME_SIZE];

    while (at >= 0) {
        size_t size = strcspn(path, "/");
        int next;

        if (size >= sizeof(name)) {
            sweep->residue.failures++;
            break;
        }
        memcpy(name, path, size);
        name[size] = '\0';
        if (path[size] == '\0') {
            sweep_last(sweep, at, name);
            break;
        }
        next = sweep_open(sweep, at, name);
        if (next < 0 && next != -ENOENT) {
            sweep->residue.failures++;
        }
        (void) close(at);
        at = next;
        path += size + 1;
    }
    if (at >= 0) {
        (void) close(at);
    }
}
