/* `sekisho policy apply`: a text becomes the policy in force. */

#define _GNU_SOURCE
#include "policy_tools.h"
#include "trail_tools.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../lib/base/clock.h"
#include "../lib/base/file.h"
#include "../lib/base/wipe.h"

#define REMARK_MAX       500 /* bytes */
#define DIFF_LINES_MAX   20
#define IMAGE_MODE       0644
#define HISTORY_SUFFIX   ".history"
#define HISTORY_MODE     0640
#define PERMISSION_BITS  07777
#define USER_BUFFER_SIZE 16384

typedef struct {
    const char *command;
    const char *text;  /* path */
    const char *image; /* path */
    const char *note;  /* or NULL */
    int history;       /* descriptor; locked for the time of an apply */
    bool exists;       /* an image in place */
    mode_t mode;
    gid_t group;
    bool keep_group;
    char old_version[POLICY_VERSION_TEXT_MAX]; /* "" if none, or unusable */
    recording_t *recording;
} apply_t;


static bool
note_is_good(const char *note)
{
    for (const char *c = note; *c != '\0'; c++) {
        if ((unsigned char) *c < 0x20 || *c == 0x7f) {
            return false;
        }
    }
    return note[0] != '\0' && strlen(note) <= REMARK_MAX;
}


/* ---- The history -------------------------------------------------------- */

/* Opens it before anything changes, and keeps others out until we are done. */
static int
open_history(apply_t *apply)
{
    _cleanup_(cleanup_free) char *path = NULL;

    if (asprintf(&path, "%s" HISTORY_SUFFIX, apply->image) < 0) {
        path = NULL;
        return fail(apply->command, "out of memory");
    }
    apply->history = open(path,
                          O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC |
                              O_NOCTTY | O_NONBLOCK,
                          HISTORY_MODE);
    if (apply->history < 0 && errno == ENOENT) {
        return fail(apply->command,
                    "%s: its folder does not exist: make it, as with "
                    "\"install -d -m 755 FOLDER\"",
                    apply->image);
    }
    if (apply->history < 0) {
        return fail(apply->command, "%s: %s", path, strerror(errno));
    }
    if (flock(apply->history, LOCK_EX) < 0) {
        return fail(apply->command, "%s: cannot be locked: %s", path,
                    strerror(errno));
    }
    return STATUS_OK;
}


/* Who runs this; `buffer` keeps the name. */
static const char *
user_name(char *buffer, size_t size)
{
    const char *sudo_user = getenv("SUDO_USER");
    struct passwd entry, *found = NULL;

    if (getuid() == 0 && sudo_user != NULL && sudo_user[0] != '\0') {
        return sudo_user;
    }
    if (getpwuid_r(getuid(), &entry, buffer, size, &found) != 0 ||
        found == NULL) {
        return NULL;
    }
    return entry.pw_name;
}


static void
history_line(const apply_t *apply, const char *version, json_t *json)
{
    _cleanup_(cleanup_free) char *buffer = malloc(USER_BUFFER_SIZE);
    _cleanup_(cleanup_free) char *path = realpath(apply->text, NULL);
    char now[CLOCK_TEXT_MAX];
    const char *user = buffer == NULL ? NULL
                                      : user_name(buffer, USER_BUFFER_SIZE);

    clock_format(time(NULL), 0, now);
    json_object(json, NULL);
    json_string(json, "time", now);
    if (user != NULL) {
        json_string(json, "user", user);
    } else {
        json_null(json, "user");
    }
    json_int(json, "uid", getuid());
    if (apply->old_version[0] != '\0') {
        json_string(json, "old", apply->old_version);
    } else {
        json_null(json, "old");
    }
    json_string(json, "new", version);
    json_string(json, "file", path == NULL ? apply->text : path);
    if (apply->note != NULL) {
        json_string(json, "note", apply->note);
    } else {
        json_null(json, "note");
    }
    json_end_object(json);
}


/* A line cut off by a crash must not swallow this one. */
static bool
history_is_torn(int history)
{
    off_t end = lseek(history, 0, SEEK_END);
    char last = '\n';

    return end > 0 && pread(history, &last, 1, end - 1) == 1 && last != '\n';
}


static int
append_history(const apply_t *apply, const char *version)
{
    _cleanup_(cleanup_json) json_t json;
    _cleanup_(cleanup_free) char *line = NULL;
    slice_t text;
    int size;

    json_init(&json);
    history_line(apply, version, &json);
    text = json_result(&json);
    if (text.size == 0) {
        return -ENOMEM;
    }
    size = asprintf(&line, "%s%.*s\n",
                    history_is_torn(apply->history) ? "\n" : "",
                    SLICE_ARG(text));
    if (size < 0) {
        line = NULL;
        return -ENOMEM;
    }
    errno = 0;
    if (write(apply->history, line, (size_t) size) != size) {
        return errno == 0 ? -ENOSPC : -errno;
    }
    return fsync(apply->history) < 0 ? -errno : 0;
}


/* ---- The image in place ------------------------------------------------- */

static int
look_at_old(apply_t *apply, policy_image_t **old)
{
    policy_image_result_t result;
    struct stat st;

    if (lstat(apply->image, &st) < 0) {
        return errno == ENOENT ? STATUS_OK
                               : fail(apply->command, "%s: %s", apply->image,
                                      strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return fail(apply->command,
                    "%s is no regular file: name the file itself",
                    apply->image);
    }
    apply->exists = true;
    apply->mode = st.st_mode & PERMISSION_BITS;
    apply->group = st.st_gid;
    result = policy_image_open_file(apply->image, old);
    if (result != POLICY_IMAGE_OK) {
        fail(apply->command, "%s is replaced, it cannot be used: %s",
             apply->image,
             result == POLICY_IMAGE_SYSTEM ? strerror(errno)
                                           : policy_image_strerror(result));
        *old = NULL;
        return STATUS_OK;
    }
    snprintf(apply->old_version, sizeof(apply->old_version), "%s",
             policy_image_version(*old));
    return STATUS_OK;
}


typedef struct {
    size_t count;
} short_diff_t;


static void
print_some(void *context, const change_t *change)
{
    short_diff_t *diff = context;

    if (diff->count < DIFF_LINES_MAX) {
        print_change(change);
    }
    diff->count++;
}


static int
print_short_diff(const apply_t *apply, const policy_image_t *old,
                 const policy_image_t *new)
{
    short_diff_t diff = {.count = 0};

    if (policy_compare(old, new, print_some, &diff) < 0) {
        return fail(apply->command, "out of memory");
    }
    if (diff.count > DIFF_LINES_MAX) {
        printf("and %zu more; \"sekisho policy diff\" tells all, before a "
               "policy is applied\n",
               diff.count - DIFF_LINES_MAX);
    }
    return STATUS_OK;
}


/* ---- Writing ------------------------------------------------------------ */

static int
sync_folder(const char *path)
{
    _cleanup_(cleanup_close) int fd = -1;
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t) (slash - path);

    if (size >= sizeof(folder)) {
        return -ENAMETOOLONG;
    }
    if (slash == NULL) {
        strcpy(folder, ".");
    } else if (slash == path) {
        strcpy(folder, "/");
    } else {
        memcpy(folder, path, size);
        folder[size] = '\0';
    }
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0) {
        return -errno;
    }
    return 0;
}


/*
 * A file with the group that the old one had must have it before it takes the
 * old one's place: nginx looks once a second and may be let in by that group
 * alone.
 */
static int
write_image(const apply_t *apply, slice_t bytes)
{
    _cleanup_(cleanup_free) char *beside = NULL;
    struct stat st;
    int result;

    if (!apply->exists) {
        return file_write_atomic(apply->image, bytes, apply->mode);
    }
    if (asprintf(&beside, "%s.new-%ld", apply->image, (long) getpid()) < 0) {
        beside = NULL;
        return -ENOMEM;
    }
    result = file_write_atomic(beside, bytes, apply->mode);
    if (result < 0) {
        return result;
    }
    if (stat(beside, &st) < 0 ||
        (st.st_gid != apply->group &&
         (chown(beside, (uid_t) -1, apply->group) < 0 ||
          chmod(beside, apply->mode) < 0)) ||
        rename(beside, apply->image) < 0)
    {
        result = -errno;
        (void) unlink(beside);
        return result;
    }
    return sync_folder(apply->image);
}


/* What a worker will read, not what we believe to have written. */
static int
check_written(const apply_t *apply, const char *version)
{
    _cleanup_(cleanup_image) policy_image_t *written = NULL;
    policy_image_result_t result = policy_image_open_file(apply->image,
                                                          &written);

    if (result != POLICY_IMAGE_OK) {
        return fail(
            apply->command, "%s: written, but cannot be used: %s", apply->image,
            result == POLICY_IMAGE_SYSTEM ? strerror(errno)
                                          : policy_image_strerror(result));
    }
    if (strcmp(policy_image_version(written), version) != 0) {
        return fail(apply->command,
                    "%s: holds policy %s, not %s that was written: is "
                    "somebody else writing it?",
                    apply->image, policy_image_version(written), version);
    }
    return STATUS_OK;
}


/* Where the image will be: its history lies beside it, and is there already. */
static char *
absolute_image(const apply_t *apply)
{
    _cleanup_(cleanup_free) char *history = NULL;
    char *path;

    if (asprintf(&history, "%s" HISTORY_SUFFIX, apply->image) < 0) {
        history = NULL;
        return NULL;
    }
    path = realpath(history, NULL);
    if (path != NULL && strlen(path) >= sizeof(HISTORY_SUFFIX)) {
        path[strlen(path) - (sizeof(HISTORY_SUFFIX) - 1)] = '\0';
    }
    return path;
}


static int
replace_image(const apply_t *apply, slice_t bytes, const char *version)
{
    int result = write_image(apply, bytes);

    if (result < 0) {
        return fail(apply->command, "%s: %s", apply->image, strerror(-result));
    }
    return check_written(apply, version);
}


/* First the record, then the change. */
static int
record_and_replace(const apply_t *apply, slice_t bytes, const char *version)
{
    _cleanup_(cleanup_free) char *image = absolute_image(apply);
    _cleanup_(cleanup_free) char *text = realpath(apply->text, NULL);
    policy_change_t change = {.image = image == NULL ? apply->image : image,
                              .text = text == NULL ? apply->text : text,
                              .old = apply->old_version,
                              .version = version,
                              .note = apply->note};

    if (recording_change(apply->recording, &change) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (replace_image(apply, bytes, version) != STATUS_OK) {
        recording_failure(apply->recording, &change);
        return STATUS_ERROR;
    }
    return STATUS_OK;
}


static int
put_in_force(const apply_t *apply, const compiled_t *compiled,
             const policy_image_t *new)
{
    const char *version = policy_image_version(new);
    slice_t bytes = {(const char *) compiled->bytes, compiled->size};
    int result;

    if (record_and_replace(apply, bytes, version) != STATUS_OK) {
        return STATUS_ERROR;
    }
    result = append_history(apply, version);
    if (result < 0) {
        return fail(apply->command,
                    "policy %s is in force, but no line was added to "
                    "%s.history: %s",
                    version, apply->image, strerror(-result));
    }
    printf("policy %s is in force (was: %s), ", version,
           apply->old_version[0] == '\0' ? "none" : apply->old_version);
    printf("%zu %s: ", compiled->facilities,
           compiled->facilities == 1 ? "facility" : "facilities");
    print_safe(stdout, slice_of(apply->image));
    fputc('\n', stdout);
    if (apply->note != NULL) {
        fputs("note: ", stdout);
        print_safe(stdout, slice_of(apply->note));
        fputc('\n', stdout);
    }
    return STATUS_OK;
}


static int
apply_compiled(const arguments_t *arguments, apply_t *apply,
               const compiled_t *compiled)
{
    _cleanup_(cleanup_image) policy_image_t *old = NULL;
    _cleanup_(cleanup_image) policy_image_t *new = NULL;
    policy_image_result_t result = policy_image_open(compiled->bytes,
                                                     compiled->size, &new);

    if (result != POLICY_IMAGE_OK) {
        return fail(apply->command, "the compiled policy is refused: %s",
                    policy_image_strerror(result));
    }
    if (open_history(apply) != STATUS_OK ||
        look_at_old(apply, &old) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (old != NULL &&
        strcmp(apply->old_version, policy_image_version(new)) == 0) {
        printf("unchanged: policy %s is in force already\n",
               apply->old_version);
        return STATUS_OK;
    }
    if (recording_open(arguments, &apply->recording) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (old != NULL && print_short_diff(apply, old, new) != STATUS_OK) {
        return STATUS_ERROR;
    }
    return put_in_force(apply, compiled, new);
}


static int
apply_policy(const arguments_t *arguments)
{
    const char *path = argument(arguments, 0);
    const char *image = option_value(arguments, "--image");
    apply_t apply = {.command = arguments->command->name,
                     .text = path == NULL ? DEFAULT_TEXT : path,
                     .image = image == NULL ? DEFAULT_IMAGE : image,
                     .note = option_value(arguments, "--note"),
                     .history = -1,
                     .mode = IMAGE_MODE};
    _cleanup_(cleanup_report) report_t *report = report_new();
    _cleanup_(compiled_free) compiled_t compiled = {.bytes = NULL};
    bool good;
    int status;

    if (report == NULL) {
        return fail(apply.command, "out of memory");
    }
    if (apply.note != NULL && !note_is_good(apply.note)) {
        return fail(apply.command,
                    "--note is one line of 1 to %d bytes, without control "
                    "characters",
                    REMARK_MAX);
    }
    if (apply.image[0] == '\0') {
        return fail(apply.command, "--image is empty: name a file");
    }
    good = policy_compile_file(apply.text, report, &compiled);
    print_report(report);
    if (!good) {
        return fail(apply.command, "%s has errors: nothing was changed",
                    apply.text);
    }
    status = apply_compiled(arguments, &apply, &compiled);
    recording_close(apply.recording);
    cleanup_close(&apply.history);
    return status;
}


static const option_t apply_options[] = {
    {"--image", "PATH", "Where the image is put [" DEFAULT_IMAGE "]."},
    {"--note", "TEXT", "Why, for the history and the trail: one line."},
    CONFIG_OPTION,
    SOCKET_OPTION,
    {"--unrecorded", NULL,
     "Apply it although the change cannot be recorded in the trail."},
    {NULL, NULL, NULL},
};

const command_t policy_apply_command = {
    .name = "policy apply",
    .arguments = "[FILE]",
    .arguments_max = 1,
    .summary = "Check a policy text and put it in force.",
    .details =
        "Checks and compiles FILE [" DEFAULT_TEXT "], tells who gains and who "
        "loses against the policy in place, and replaces the image in one "
        "step; mode and group of the old one are kept. Running gates take the "
        "new one within a second. If there is an error, nothing is changed. "
        "What is in force already is not written again.\n\n"
        "Each change adds a line of JSON to PATH.history: when, by whom, from "
        "which version to which, from which file, with which note. Where "
        "sekishod keeps a trail (" CONFIG_FILE "), the same is recorded there "
        "first; if it cannot be, nothing is changed.\n\n"
        "Exit status: 0 in force; 2 error.",
    .options = apply_options,
    .run = apply_policy,
};
