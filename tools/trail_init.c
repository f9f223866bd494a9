/* `sekisho trail init`: the signing key and the empty trail. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../lib/trail/writer.h"
#include "trail_tools.h"

#define DAEMON_USER      "sekisho"
#define USER_BUFFER_SIZE 16384

typedef struct {
    const char *command;
    const char *folder;
    const char *key;
    slice_t origin;
    uint64_t journal_bytes; /* 0: as the trail's writer likes it */
    uid_t uid;
    gid_t gid;
    char owner[USER_NAME_MAX];
} init_t;

/* Whose the trail will be: --owner, or the daemon's user if root makes it. */
static int
find_owner(init_t *init, const char *name)
{
    _cleanup_(cleanup_free) char *buffer = malloc(USER_BUFFER_SIZE);
    struct passwd entry, *found = NULL;
    const char *wanted = name;
    int error = 0;

    init->uid = geteuid();
    init->gid = getegid();
    if (buffer == NULL) {
        return fail(init->command, "out of memory");
    }
    if (wanted == NULL && init->uid == 0) {
        wanted = DAEMON_USER;
    }
    if (wanted != NULL) {
        error = getpwnam_r(wanted, &entry, buffer, USER_BUFFER_SIZE, &found);
        if (found == NULL && name != NULL) {
            return fail(init->command, "there is no user \"%s\"%s%s", name,
                        error == 0 ? "" : ": ",
                        error == 0 ? "" : strerror(error));
        }
    }
    if (found == NULL) {
        error = getpwuid_r(init->uid, &entry, buffer, USER_BUFFER_SIZE, &found);
    }
    if (found != NULL) {
        init->uid = found->pw_uid;
        init->gid = found->pw_gid;
        (void) snprintf(init->owner, sizeof(init->owner), "%s", found->pw_name);
    } else {
        (void) snprintf(init->owner, sizeof(init->owner), "uid %lu",
                        (unsigned long) init->uid);
    }
    if (geteuid() != 0 && init->uid != geteuid()) {
        return fail(init->command,
                    "only root can make a trail for another user: run it with "
                    "sudo");
    }
    return STATUS_OK;
}


/* Makes a folder that is missing, for the owner. */
static int
make_folder(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    _cleanup_(cleanup_close) int fd = -1;

    if (mkdir(path, mode) < 0) {
        return errno == EEXIST ? 0 : -errno;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, mode) < 0 ||
        (geteuid() == 0 && fchown(fd, uid, gid) < 0) || fsync(fd) < 0)
    {
        return -errno;
    }
    return 0;
}


static int
make_parent(const init_t *init, const char *path, bool owned)
{
    _cleanup_(cleanup_free) char *parent = strdup(path);
    char *slash;
    int error;

    if (parent == NULL) {
        return fail(init->command, "out of memory");
    }
    slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent) {
        return STATUS_OK;
    }
    *slash = '\0';
    error = make_folder(parent, 0755, owned ? init->uid : geteuid(),
                        owned ? init->gid : getegid());
    return error == 0 ? STATUS_OK
                      : fail(init->command, "%s: %s", parent, strerror(-error));
}


/* In the owner's name, so that everything is the owner's from the start. */
static int
make_trail(const init_t *init, const note_signer_t *signer)
{
    trail_writer_options_t options = {.signers = signer, .signers_count = 1};
    trail_problem_t problem = {""};
    gid_t group = getegid();
    bool root = geteuid() == 0;
    int error = make_folder(init->folder, STORE_FOLDER_MODE, init->uid,
                            init->gid);

    if (error < 0) {
        return fail(init->command, "%s: %s", init->folder, strerror(-error));
    }
    if (init->journal_bytes > 0) {
        options.shape.segments = TRAIL_SEGMENTS;
        options.shape.segment_bytes = (uint32_t) (init->journal_bytes /
                                                  TRAIL_SEGMENTS) &
                                      ~4095u;
    }
    if (root && (setegid(init->gid) < 0 || seteuid(init->uid) < 0)) {
        error = -errno;
    } else {
        error = trail_create(init->folder, &options, &problem);
    }
    if (root && (seteuid(0) < 0 || setegid(group) < 0)) {
        return fail(init->command, "cannot become root again: %s",
                    strerror(errno));
    }
    if (error == -EEXIST) {
        return fail(init->command,
                    "there is a trail in %s already, and it stays as it is",
                    init->folder);
    }
    return error == 0 ? STATUS_OK
                      : fail(init->command, "%s: %s", init->folder,
                             problem.text[0] != '\0' ? problem.text
                                                     : strerror(-error));
}


static bool
has_trail(const char *folder)
{
    _cleanup_(cleanup_free) char *path = NULL;

    if (asprintf(&path, "%s/checkpoint", folder) < 0) {
        path = NULL;
        return true;
    }
    return access(path, F_OK) == 0;
}


static void
print_made(const init_t *init, const note_signer_t *signer)
{
    char text[NOTE_VERIFIER_TEXT_MAX];

    (void) note_verifier_format(&signer->verifier, text);
    fputs("trail         ", stdout);
    print_safe(stdout, slice_of(init->folder));
    fputs("\norigin        ", stdout);
    print_safe(stdout, init->origin);
    fputs("\nsigning key   ", stdout);
    print_safe(stdout, slice_of(init->key));
    printf(" (0400, %s)\nverifier key  %s\n\n", init->owner, text);
    print_wrapped(
        stdout, 0,
        "Keep the verifier key, and now and then a checkpoint, where nobody "
        "who is root on this host can change them: on paper, in a ticket, on "
        "another machine. With them anybody can verify a copy of the trail:\n\n"
        "    sekisho audit verify --trail COPY --key VERIFIER-KEY "
        "--checkpoint FILE\n\n"
        "The signing key cannot be made again: put a copy of it into the "
        "safe.");
}


static int
init_trail(init_t *init)
{
    _cleanup_(note_signer_wipe) note_signer_t signer;
    _cleanup_(cleanup_free) char *public = public_path(init->key);
    int error = note_signer_generate(init->origin, &signer);

    if (error == -EINVAL) {
        return fail(init->command,
                    "\"%.*s\" is no origin: take a name without spaces and "
                    "plus signs, as pacs.hospital.example/sekisho",
                    SLICE_ARG(init->origin));
    }
    if (error < 0 || public == NULL) {
        return fail(init->command, "no key could be made: %s",
                    strerror(error < 0 ? -error : ENOMEM));
    }
    if (has_trail(init->folder)) {
        return fail(init->command,
                    "there is a trail in %s already, and it stays as it is",
                    init->folder);
    }
    /* the trail's modes are meant as they are */
    (void) umask(0);
    if (make_parent(init, init->key, false) != STATUS_OK ||
        make_parent(init, init->folder, true) != STATUS_OK ||
        key_write(init->command, init->key, &signer, init->uid, init->gid) !=
            STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (make_trail(init, &signer) != STATUS_OK) {
        /* it has signed nothing that counts: a second try needs the name */
        (void) unlink(init->key);
        (void) unlink(public);
        return STATUS_ERROR;
    }
    print_made(init, &signer);
    return STATUS_OK;
}


static int
init(const arguments_t *arguments)
{
    init_t init = {.command = arguments->command->name,
                   .folder = option_value(arguments, "--trail"),
                   .key = option_value(arguments, "--key"),
                   .origin = slice_of(option_value(arguments, "--origin"))};
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    bool complete = init.folder != NULL && init.key != NULL &&
                    init.origin.size > 0;

    if (!complete || option_given(arguments, "--config")) {
        if (place_find(arguments, &place) != STATUS_OK) {
            return STATUS_ERROR;
        }
        if (place.config != NULL) {
            init.folder = place.folder;
            init.key = init.key != NULL ? init.key : place.config->keys[0];
            init.origin = init.origin.size > 0 ? init.origin
                                               : place.config->origin;
            init.journal_bytes = place.config->journal_bytes;
        } else {
            return fail(init.command,
                        "there is no " CONFIG_FILE
                        ": name it with --config, or give --trail, --key and "
                        "--origin");
        }
    }
    if (find_owner(&init, option_value(arguments, "--owner")) != STATUS_OK) {
        return STATUS_ERROR;
    }
    return init_trail(&init);
}


static const option_t init_options[] = {
    CONFIG_OPTION,
    {"--trail", "DIR", "Folder of the trail, instead of the configuration's."},
    {"--key", "FILE",
     "Where the signing key is put, instead of the configuration's."},
    {"--origin", "NAME",
     "Name of the trail in its checkpoints, instead of the configuration's."},
    {"--owner", "USER",
     "The user whose the key and the trail are [" DAEMON_USER
     ", if root runs this and there is such a user]."},
    {NULL, NULL, NULL},
};

const command_t trail_init_command = {
    .name = "trail init",
    .arguments = "",
    .summary = "Make the signing key and an empty trail.",
    .details = "Once on a new host, before sekishod(8) is started. Prints the "
               "verifier key; it is also written beside the signing key, as "
               "FILE.pub. Nothing that is there is written over.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = init_options,
    .run = init,
};
