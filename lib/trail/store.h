/*
 * The trail's folder: every write, sync, rename and removal goes through here,
 * so that tests can stop or fail the program between any two of them.
 */

#ifndef SEKISHO_TRAIL_STORE_H
#define SEKISHO_TRAIL_STORE_H

#include <stdint.h>

#include "../base/slice.h"

#define STORE_PATH_MAX 96 /* of a path inside the folder, with its NUL */

#define STORE_FILE_MODE   0640 /* patient data: the group may be auditors */
#define STORE_FOLDER_MODE 0750

/*
 * For tests: called before each step ("write", "sync", "sync-folder",
 * "sync-all", "rename", "remove", "allocate"; path inside the folder), where a
 * negative errno fails the step, and after each successful one of the syncs and
 * removals ("synced", "synced-folder", "synced-all", "removed"; the answer is
 * not looked at).  May be called by two threads at once.
 */
typedef int (*store_hook_t)(void *argument, const char *step, const char *path);

typedef struct {
    int folder; /* opened once: a later rename of the path does not matter */
    store_hook_t hook;
    void *hook_argument;
} store_t;

/* Opens an existing folder.  store_close() in any case. */
int store_open(store_t *store, const char *path, store_hook_t hook,
               void *hook_argument);
void store_close(store_t *store);

/* 0, or what the hook wants to fail with. */
int store_step(const store_t *store, const char *step, const char *path);

/* Creates or truncates a file and writes it, making missing folders; not
 * synced.  A failed write leaves whatever it left. */
int store_write(const store_t *store, const char *path, slice_t data);

/* Makes a file's bytes last (not its name), or a folder's names. */
int store_sync(const store_t *store, const char *path);
int store_sync_folder(const store_t *store, const char *path);
/* Everything on the folder's file system. */
int store_sync_all(const store_t *store);

/* Writes to "path.new", syncs, renames, syncs the folder (the trail's own). */
int store_replace(const store_t *store, const char *path, slice_t data);

/* Removes a file or an empty folder; one that is absent is success. */
int store_remove(const store_t *store, const char *path);

/*
 * Reads a whole regular file of at most `capacity` bytes into `buffer`.
 * -EFBIG above that; -ENOENT, -EIO and others as open() and read() say.
 */
int store_read(int folder, const char *path, void *buffer, size_t capacity,
               size_t *size);

/* All of `data` at `offset`. */
int store_pwrite(int fd, slice_t data, uint64_t offset);

/* Up to `size` bytes from `offset`; fewer only at the file's end. */
int store_pread(int fd, void *buffer, size_t size, uint64_t offset,
                size_t *got);

#endif
