/* Keys of the trail: `sekisho trail key`, and what else reads or writes one. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../lib/base/file.h"
#include "trail_tools.h"

#define KEY_FILE_MAX (64u * 1024)

/*
 * A signing key is its owner's, and note_signer_load() takes no other's.  Root
 * reads it in the owner's name: so root, too, is never led to another file.
 */
static int
load_as_owner(const char *path, note_signer_t *signer, trail_problem_t *problem)
{
    struct stat st;
    gid_t group = getegid();
    int result;

    if (geteuid() != 0 || lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
        st.st_uid == 0 || setegid(st.st_gid) < 0)
    {
        return note_signer_load(path, signer, problem);
    }
    if (seteuid(st.st_uid) < 0) {
        result = -errno;
        trail_problem_set(problem, "%s: %s", path, strerror(errno));
    } else {
        result = note_signer_load(path, signer, problem);
    }
    if (seteuid(0) < 0 || setegid(group) < 0) {
        trail_problem_set(problem, "cannot become root again: %s",
                          strerror(errno));
        return -EPERM;
    }
    return result;
}


int
signer_read(const char *command, const char *path, note_signer_t *signer)
{
    trail_problem_t problem = {""};

    if (load_as_owner(path, signer, &problem) < 0) {
        return fail(command, "%s", problem.text);
    }
    return STATUS_OK;
}


char *
public_path(const char *path)
{
    char *result;

    return asprintf(&result, "%s.pub", path) < 0 ? NULL : result;
}


/* Given to the daemon's user, who alone reads it. */
static int
give_key(const char *path, uid_t uid, gid_t gid)
{
    _cleanup_(cleanup_close) int fd = open(path,
                                           O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 || (geteuid() == 0 && fchown(fd, uid, gid) < 0) || fsync(fd) < 0)
    {
        return -errno;
    }
    return 0;
}


int
key_write(const char *command, const char *path, const note_signer_t *signer,
          uid_t uid, gid_t gid)
{
    _cleanup_(cleanup_free) char *public = public_path(path);
    char text[NOTE_VERIFIER_TEXT_MAX + 1];
    size_t size = note_verifier_format(&signer->verifier, text);
    int result = public == NULL ? -ENOMEM : note_signer_save(path, signer);

    if (result == -EEXIST) {
        return fail(command,
                    "%s is there already, and a signing key is never written "
                    "over: name another file, or move this one away",
                    path);
    }
    if (result < 0) {
        return fail(command, "%s: %s", path, strerror(-result));
    }
    text[size++] = '\n';
    result = give_key(path, uid, gid);
    if (result == 0) {
        result = file_write_atomic(public, (slice_t){text, size}, 0444);
    }
    if (result < 0) {
        (void) unlink(path);
        return fail(command, "%s: %s", path, strerror(-result));
    }
    return STATUS_OK;
}


/* ---- Verifier keys -------------------------------------------------------*/

static int
add_key(const char *command, slice_t text, const char *where, keys_t *keys)
{
    _cleanup_(note_signer_wipe) note_signer_t signer;

    if (keys->count == NOTE_KEYS_MAX) {
        return fail(command, "more than %d keys", NOTE_KEYS_MAX);
    }
    if (note_verifier_parse(text, &keys->keys[keys->count])) {
        keys->count++;
        return STATUS_OK;
    }
    if (note_signer_parse(text, &signer)) {
        keys->keys[keys->count++] = signer.verifier;
        return STATUS_OK;
    }
    return fail(command,
                "%s: no verifier key, which looks like NAME+8 digits+text; "
                "\"sekisho trail key\" prints it",
                where);
}


/* A file of verifier keys, one a line. */
static int
add_file(const char *command, const char *path, keys_t *keys)
{
    char *data = NULL;
    size_t size = 0;
    slice_t rest;
    int status = STATUS_OK;
    int error = file_read(path, KEY_FILE_MAX, &data, &size);

    if (error < 0) {
        return fail(command, "%s: %s", path, strerror(-error));
    }
    rest = (slice_t){data, size};
    while (rest.size > 0 && status == STATUS_OK) {
        const char *end = memchr(rest.data, '\n', rest.size);
        slice_t line = {rest.data,
                        end == NULL ? rest.size : (size_t) (end - rest.data)};

        rest = slice_from(rest, line.size + (end == NULL ? 0 : 1));
        if (line.size > 0 && line.data[0] != '#') {
            status = add_key(command, line, path, keys);
        }
    }
    wipe_bytes(data, size); /* it may have been a signing key */
    free(data);
    return status;
}


/* As the daemon's configuration says: the .pub files, which all may read, or
 * else the signing keys themselves. */
static int
add_configured(const char *command, const config_t *config, keys_t *keys)
{
    for (unsigned i = 0; i < config->keys_count; i++) {
        _cleanup_(cleanup_free) char *public = public_path(config->keys[i]);

        if (public != NULL && access(public, R_OK) == 0) {
            if (add_file(command, public, keys) != STATUS_OK) {
                return STATUS_ERROR;
            }
        } else {
            _cleanup_(note_signer_wipe) note_signer_t signer;

            if (signer_read(command, config->keys[i], &signer) != STATUS_OK) {
                return STATUS_ERROR;
            }
            keys->keys[keys->count++] = signer.verifier;
        }
    }
    return STATUS_OK;
}


int
keys_find(const arguments_t *arguments, const place_t *place, keys_t *keys)
{
    const char *command = arguments->command->name;
    const char *value;

    keys->count = 0;
    for (unsigned i = 0; (value = option_nth(arguments, "--key", i)) != NULL;
         i++) {
        int status = strchr(value, '+') != NULL && access(value, F_OK) < 0
                         ? add_key(command, slice_of(value), "--key", keys)
                         : add_file(command, value, keys);

        if (status != STATUS_OK) {
            return status;
        }
    }
    if (keys->count == 0 && place->config != NULL && place->live) {
        return add_configured(command, place->config, keys);
    }
    return STATUS_OK;
}


/* ---- trail key -----------------------------------------------------------*/

static int
print_key(const char *command, const char *path)
{
    _cleanup_(note_signer_wipe) note_signer_t signer;
    char text[NOTE_VERIFIER_TEXT_MAX];

    if (signer_read(command, path, &signer) != STATUS_OK) {
        return STATUS_ERROR;
    }
    (void) note_verifier_format(&signer.verifier, text);
    puts(text);
    return STATUS_OK;
}


static int
key(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    const char *path = option_value(arguments, "--key");
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    int status = STATUS_OK;

    if (path != NULL) {
        return print_key(command, path);
    }
    if (place_find(arguments, &place) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (place.config == NULL) {
        return fail(command, "there is no " CONFIG_FILE
                             ": name the file with --config or --key");
    }
    for (unsigned i = 0; i < place.config->keys_count && status == STATUS_OK;
         i++) {
        status = print_key(command, place.config->keys[i]);
    }
    return status;
}


static const option_t key_options[] = {
    CONFIG_OPTION,
    {"--key", "FILE", "A signing key, instead of those of the configuration."},
    {NULL, NULL, NULL},
};

const command_t trail_key_command = {
    .name = "trail key",
    .arguments = "",
    .summary = "Print the verifier key of the trail.",
    .details = "Reads the signing key and prints what verifies its "
               "signatures; while a key is being rotated, both. Keep it where "
               "nobody who is root on this host can change it: it is all that "
               "is needed to verify a copy of the trail elsewhere.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = key_options,
    .run = key,
};
