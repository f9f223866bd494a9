/* `sekisho trail rotate`: a new signing key, and how to change over to it. */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "trail_tools.h"

#define NUMBER_MAX 10000

/* "/etc/sekisho/trail.key.3": the first that is free, from 2 on, with the old
 * key's own number left away. */
static char *
new_path(const char *old)
{
    size_t stem = strlen(old);
    size_t digits = 0;

    while (digits < stem && old[stem - digits - 1] >= '0' &&
           old[stem - digits - 1] <= '9')
    {
        digits++;
    }
    if (digits > 0 && digits + 1 < stem && old[stem - digits - 1] == '.') {
        stem -= digits + 1;
    }
    for (unsigned i = 2; i < NUMBER_MAX; i++) {
        char *path;

        if (asprintf(&path, "%.*s.%u", (int) stem, old, i) < 0) {
            return NULL;
        }
        if (access(path, F_OK) < 0) {
            return path;
        }
        free(path);
    }
    return NULL;
}


static int
record_change(const char *command, const place_t *place, client_t *client,
              const char *key, const char *old)
{
    record_t record = {0};
    char user[USER_NAME_MAX], peer[32];
    int error;

    caller_name(user);
    (void) snprintf(peer, sizeof(peer), "%lu:%ld", (unsigned long) getuid(),
                    (long) getpid());
    record.values[RECORD_EVENT] = slice_of(
        record_event_name(EVENT_KEY_CHANGED));
    record.values[RECORD_OUTCOME] = SLICE("0");
    record.values[RECORD_USER] = slice_of(user);
    record.values[RECORD_ADDRESS] = SLICE("local");
    record.values[RECORD_PEER] = slice_of(peer);
    record.values[RECORD_KEY] = slice_of(key);
    record.values[RECORD_OLD] = slice_of(old);
    error = client_record(client, &record);
    if (error == -ENOSPC) {
        return fail(command, "the change could not be recorded: %s",
                    client_reason(client));
    }
    return error == 0
               ? STATUS_OK
               : fail(command, "%s: the change could not be recorded: %s",
                      place->socket,
                      error == -EPROTO
                          ? "the daemon cut the connection; is this "
                            "root?"
                          : strerror(-error));
}


static void
print_steps(const char *path, const char *old_path, const char *key,
            const char *old)
{
    printf("old verifier key  %s\nnew verifier key  %s\n\n", old, key);
    print_wrapped(stdout, 0,
                  "Keep both where the old one is kept. Then change over in "
                  "two steps:\n\n"
                  "1  In sekishod.conf, so that both keys sign for a while:");
    fputs("       key ", stdout);
    print_safe(stdout, slice_of(path));
    fputc(' ', stdout);
    print_safe(stdout, slice_of(old_path));
    fputs(";\n   then: systemctl restart sekishod\n"
          "2  When everybody who verifies has the new key:\n       key ",
          stdout);
    print_safe(stdout, slice_of(path));
    fputs(";\n   then: systemctl restart sekishod\n", stdout);
}


static int
rotate(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    const char *old_path;
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    _cleanup_(cleanup_free) char *path = NULL;
    _cleanup_(cleanup_free) char *public = NULL;
    _cleanup_(cleanup_client) client_t *client = NULL;
    _cleanup_(note_signer_wipe) note_signer_t old, new;
    char old_key[NOTE_VERIFIER_TEXT_MAX], key[NOTE_VERIFIER_TEXT_MAX];
    struct stat st;
    int error;

    memset(&old, 0, sizeof(old));
    memset(&new, 0, sizeof(new));
    if (place_find(arguments, &place) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (place.config == NULL) {
        return fail(command,
                    "there is no " CONFIG_FILE ": name it with --config");
    }
    old_path = place.config->keys[0];
    if (place.config->keys_count > 1) {
        return fail(command,
                    "a rotation is under way: end it with \"key %s;\" in "
                    "sekishod.conf and a restart",
                    old_path);
    }
    if (signer_read(command, old_path, &old) != STATUS_OK) {
        return STATUS_ERROR;
    }
    client = daemon_open(command, &place);
    if (client == NULL) {
        return daemon_absent(command, &place,
                             "a new key is made only while the change can be "
                             "recorded; start it");
    }
    path = new_path(old_path);
    public = path == NULL ? NULL : public_path(path);
    if (public == NULL || stat(old_path, &st) < 0) {
        return fail(command, "no name is left for the new key");
    }
    error = note_signer_generate(place.config->origin, &new);
    if (error < 0) {
        return fail(command, "no key could be made: %s", strerror(-error));
    }
    (void) note_verifier_format(&old.verifier, old_key);
    (void) note_verifier_format(&new.verifier, key);
    if (key_write(command, path, &new, st.st_uid, st.st_gid) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (record_change(command, &place, client, key, old_key) != STATUS_OK) {
        (void) unlink(path);
        (void) unlink(public);
        return STATUS_ERROR;
    }
    print_steps(path, old_path, key, old_key);
    return STATUS_OK;
}


static const option_t rotate_options[] = {
    CONFIG_OPTION,
    SOCKET_OPTION,
    {NULL, NULL, NULL},
};

const command_t trail_rotate_command = {
    .name = "trail rotate",
    .arguments = "",
    .summary = "Make a new signing key and record the change.",
    .details =
        "Writes a new key beside the old one, records the change with both "
        "verifier keys through the daemon, and tells how to change over. "
        "Until sekishod.conf names the new key, nothing is signed with "
        "it.\n\n"
        "Exit status: 0 done; 2 error.",
    .options = rotate_options,
    .run = rotate,
};
