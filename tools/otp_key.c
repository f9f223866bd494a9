/* `sekisho otp key | rekey`: the key that seals the store. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "otp_tools.h"

/* The daemon's user owns the trail's folder: it reads the key as well. */
static int
give_key(const char *command, const char *path, const char *trail)
{
    _cleanup_(cleanup_close) int fd = -1;
    struct stat st;

    if (geteuid() != 0 || stat(trail, &st) < 0) {
        return STATUS_OK;
    }
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, st.st_uid, st.st_gid) < 0 || fsync(fd) < 0) {
        return fail(command, "%s: cannot give it to the daemon's user: %s",
                    path, strerror(errno));
    }
    return STATUS_OK;
}


static int
key(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    const char *path = option_value(arguments, "--key");
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    char error[256] = "";
    bool there;

    if (place_find(arguments, &place) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (path == NULL) {
        path = place.config == NULL ? "/etc/sekisho/otp.key"
                                    : place.config->otp_key;
    }
    there = access(path, F_OK) == 0;
    if (otp_keys_make(path, error) < 0) {
        return fail(command, "%s", error);
    }
    if (give_key(command, path, place.folder) != STATUS_OK) {
        return STATUS_ERROR;
    }
    printf("%s: %s\n", path, there ? "another version was added" : "made");
    print_wrapped(
        stdout, 0,
        there ? "Now: systemctl reload sekishod; then sekisho otp rekey seals "
                "all secrets with it. Until that is done the older versions "
                "are needed."
              : "Keep a copy where no copy of the store is: without the key "
                "the store is worth nothing, to nobody.");
    return STATUS_OK;
}


static const option_t key_options[] = {
    {"--key", "FILE", "Instead of the configuration's \"otp_key\"."},
    CONFIG_OPTION,
    {NULL, NULL, NULL},
};

const command_t otp_key_command = {
    .name = "otp key",
    .arguments = "",
    .summary = "Make the key that seals the secrets, or its next version.",
    .details = "Exit status: 0 made; 2 error.",
    .options = key_options,
    .run = key,
};


static int
rekey(const arguments_t *arguments)
{
    uint64_t left = 1;
    desk_t desk;
    int status = desk_open(arguments, &desk);

    while (status == STATUS_OK && left > 0) {
        ask_t ask = {0}, answer;
        uint64_t before = left;

        status = desk_ask(&desk, ASK_REKEY, &ask, &answer, false);
        if (status == STATUS_OK &&
            !ask_number_parse(answer.values[ASK_LEFT], INT64_MAX, &left))
        {
            status = fail(desk.command, "the daemon's answer is none");
        }
        if (status == STATUS_OK && left > 0 && left == before) {
            status = fail(desk.command,
                          "%llu rows cannot be sealed anew: is the key file "
                          "whole? see the daemon's log",
                          (unsigned long long) left);
        }
    }
    if (status == STATUS_OK) {
        puts("all secrets are sealed with the newest key");
    }
    desk_close(&desk);
    return status;
}


static const option_t rekey_options[] = {
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_rekey_command = {
    .name = "otp rekey",
    .arguments = "",
    .summary = "Seal all secrets with the newest version of the key.",
    .details = "Root only, after sekisho otp key and a reload of the daemon. "
               "May be broken off and begun again.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = rekey_options,
    .run = rekey,
};
