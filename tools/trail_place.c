/* Where the trail is, and who asks. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "trail_tools.h"

#define DEFAULT_SOCKET   "/run/sekisho/sekishod.sock"
#define DEFAULT_TRAIL    "/var/lib/sekisho/trail"
#define USER_BUFFER_SIZE 16384
#define NO_LOGIN         4294967295u /* of /proc/self/loginuid */

/* The configuration of the daemon: asked for, or found. */
static int
read_config(const arguments_t *arguments, place_t *place)
{
    const char *path = option_value(arguments, "--config");
    _cleanup_(cleanup_report) report_t *report = report_new();
    bool asked = path != NULL;

    if (report == NULL) {
        return fail(arguments->command->name, "out of memory");
    }
    path = asked ? path : CONFIG_FILE;
    if (!asked && access(path, R_OK) < 0) {
        return STATUS_OK;
    }
    place->config = config_read(path, report);
    if (place->config == NULL &&
        (asked || option_value(arguments, "--trail") == NULL))
    {
        print_report(report);
        return fail(arguments->command->name,
                    "%s has errors; or name the trail with --trail", path);
    }
    return STATUS_OK;
}


static bool
same_folder(const char *a, const char *b)
{
    struct stat sa, sb;

    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}


/* Whether a writer holds the trail now; only looks at its lock. */
static bool
is_locked(const char *folder)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    _cleanup_(cleanup_free) char *path = NULL;
    _cleanup_(cleanup_close) int fd = -1;

    if (asprintf(&path, "%s/lock", folder) < 0) {
        path = NULL;
        return false;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 &&
           whole.l_type != F_UNLCK;
}


int
place_find(const arguments_t *arguments, place_t *place)
{
    const char *folder = option_value(arguments, "--trail");
    const char *path = option_value(arguments, "--socket");
    const char *own;

    memset(place, 0, sizeof(*place));
    if (read_config(arguments, place) != STATUS_OK) {
        return STATUS_ERROR;
    }
    own = place->config == NULL ? DEFAULT_TRAIL : place->config->trail;
    place->folder = folder != NULL ? folder : own;
    place->socket = path != NULL            ? path
                    : place->config == NULL ? DEFAULT_SOCKET
                                            : place->config->socket;
    /* A copy may be read unseen, the trail itself not: whatever name it is
     * given here, its writer's lock gives it away. */
    place->live = folder == NULL || path != NULL || same_folder(folder, own) ||
                  is_locked(folder);
    return STATUS_OK;
}


void
place_free(place_t *place)
{
    config_free(place->config);
    place->config = NULL;
}


/* The user of the login session, which sudo and su leave as it is; the kernel
 * lets nobody change it who is not root. */
static bool
login_uid(uid_t *uid)
{
    char text[16];
    _cleanup_(cleanup_fclose) FILE *file = fopen("/proc/self/loginuid", "re");
    unsigned long number;

    if (file == NULL || fgets(text, sizeof(text), file) == NULL) {
        return false;
    }
    number = strtoul(text, NULL, 10);
    if (number >= NO_LOGIN) {
        return false;
    }
    *uid = (uid_t) number;
    return true;
}


void
caller_name(char name[USER_NAME_MAX])
{
    _cleanup_(cleanup_free) char *buffer = malloc(USER_BUFFER_SIZE);
    const char *sudo_user = getenv("SUDO_USER");
    struct passwd entry, *found = NULL;
    uid_t uid = getuid();

    name[0] = '\0';
    if (!login_uid(&uid) && uid == 0 && sudo_user != NULL &&
        sudo_user[0] != '\0') {
        (void) snprintf(name, USER_NAME_MAX, "%s", sudo_user);
        return;
    }
    if (buffer != NULL &&
        getpwuid_r(uid, &entry, buffer, USER_BUFFER_SIZE, &found) == 0 &&
        found != NULL)
    {
        (void) snprintf(name, USER_NAME_MAX, "%s", entry.pw_name);
    } else {
        (void) snprintf(name, USER_NAME_MAX, "uid %lu", (unsigned long) uid);
    }
}


client_t *
daemon_open(const char *command, const place_t *place)
{
    client_t *client = NULL;
    int error = client_open(place->socket, SLICE("sekisho"), DAEMON_DEADLINE_MS,
                            &client);

    if (error < 0 && error != -ENOENT && error != -ECONNREFUSED) {
        fail(command, "%s: %s", place->socket,
             error == -EPROTO ? "the daemon cut the connection: see its log"
                              : strerror(-error));
    }
    return error < 0 ? NULL : client;
}


int
daemon_absent(const char *command, const place_t *place, const char *what)
{
    return fail(command, "no sekishod answers on %s: %s", place->socket, what);
}
