#define _GNU_SOURCE
#include "zone.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/wipe.h"

#define ZONE_NAME_SIZE_MAX 64
#define ZONE_FOLDER        "/usr/share/zoneinfo"

/*
 * No zone has left an offset and come back to it within a day in the years
 * from ZONE_FROM on, nor can a POSIX rule (which holds after the last year of
 * the tables) do it.
 */
#define STEP_SECONDS 86400

/* Letters, digits and _ + - in parts, as the tz database's own rules have it;
 * the capital at the start leaves out "posix/", "right/", "localtime" and the
 * tables, which lie in the same folder. */
static int
check_name(slice_t name)
{
    char before = '/';

    if (name.size == 0 || name.size > ZONE_NAME_SIZE_MAX) {
        return -EINVAL;
    }
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!(letter || (c >= '0' && c <= '9') || c == '_' || c == '+' ||
              c == '-' || c == '/') ||
            (c == '/' && before == '/'))
        {
            return -EINVAL;
        }
        before = c;
    }
    if (before == '/') {
        return -EINVAL;
    }
    return name.data[0] >= 'A' && name.data[0] <= 'Z' ? 0 : -ENOENT;
}

/* glibc takes an unreadable zone for UTC without a word: look first. */
static int
check_file(const char *name)
{
    _cleanup_(cleanup_close) int fd = -1;
    char path[PATH_MAX];
    char magic[4];
    struct stat st;
    const char *folder = getenv("TZDIR");
    int n;

    if (folder == NULL || folder[0] == '\0') {
        folder = ZONE_FOLDER;
    }
    n = snprintf(path, sizeof(path), "%s/%s", folder, name);
    if (n < 0 || (size_t) n >= sizeof(path)) {
        return -EINVAL;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        pread(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
        memcmp(magic, "TZif", sizeof(magic)) != 0)
    {
        return -ENOENT;
    }
    return 0;
}

static int32_t
offset_at(int64_t unix_seconds)
{
    time_t at = (time_t) unix_seconds;
    struct tm tm;

    /* fails for years beyond an int alone */
    return localtime_r(&at, &tm) == NULL ? 0 : (int32_t) tm.tm_gmtoff;
}

static int
list_changes(zone_change_t changes[ZONE_CHANGES_MAX])
{
    int count = 1;
    int32_t offset = offset_at(ZONE_FROM);

    changes[0] = (zone_change_t){ZONE_FROM, offset};
    for (int64_t at = ZONE_FROM; at < ZONE_TO; at += STEP_SECONDS) {
        int64_t before = at;
        int64_t after = at + STEP_SECONDS;
        int32_t next;

        if (after > ZONE_TO) {
            after = ZONE_TO;
        }
        next = offset_at(after);
        if (next == offset) {
            continue;
        }
        while (after - before > 1) {
            int64_t middle = before + (after - before) / 2;

            if (offset_at(middle) == offset) {
                before = middle;
            } else {
                after = middle;
            }
        }
        if (count == ZONE_CHANGES_MAX) {
            return -E2BIG;
        }
        offset = next;
        changes[count++] = (zone_change_t){after, offset};
    }
    return count;
}

int
zone_changes(slice_t name, zone_change_t changes[ZONE_CHANGES_MAX])
{
    _cleanup_(cleanup_free) char *saved = NULL;
    char value[1 + ZONE_NAME_SIZE_MAX + 1];
    const char *old;
    int result = check_name(name);

    if (result < 0) {
        return result;
    }
    value[0] = ':'; /* a file's name, and no POSIX rule ("EST5EDT") */
    memcpy(value + 1, name.data, name.size);
    value[1 + name.size] = '\0';

    result = check_file(value + 1);
    if (result < 0) {
        return result;
    }
    old = getenv("TZ");
    if (old != NULL) {
        saved = strdup(old);
        if (saved == NULL) {
            return -ENOMEM;
        }
    }
    if (setenv("TZ", value, 1) < 0) {
        return -errno;
    }
    tzset();
    result = list_changes(changes);

    if (saved != NULL) {
        (void) setenv("TZ", saved, 1);
    } else {
        (void) unsetenv("TZ");
    }
    tzset();
    return result;
}
