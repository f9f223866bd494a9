/*
 * What `sekisho trail` and `sekisho audit` share: where the trail is, whose it
 * is, its keys, and the daemon that keeps it.
 */

#ifndef SEKISHO_TRAIL_TOOLS_H
#define SEKISHO_TRAIL_TOOLS_H

#include <sys/types.h>

#include "../lib/base/wipe.h"
#include "../lib/ipc/client.h"
#include "../lib/ipc/daemon_config.h"
#include "../lib/trail/note.h"
#include "tools.h"

#define DAEMON_DEADLINE_MS 10000
#define USER_NAME_MAX      256

/* Options of every command that has to do with a trail. */
#define CONFIG_OPTION                                                          \
    {                                                                          \
        "--config", "FILE",                                                    \
            "Configuration of the daemon, which says where everything is "     \
            "[" CONFIG_FILE ", if it is there]."                               \
    }
#define SOCKET_OPTION                                                          \
    {                                                                          \
        "--socket", "PATH",                                                    \
            "The daemon's socket, if it is not the one of the "                \
            "configuration."                                                   \
    }

/* ---- Where (trail_place.c) ---------------------------------------------- */

typedef struct {
    config_t *config; /* NULL: there is none */
    const char *folder;
    const char *socket;
    bool live; /* the trail that a daemon of this host writes, not a copy */
} place_t;

/* From --config, --trail and --socket, as far as the command has them.  An
 * error is told.  Freed by place_free() in any case. */
int place_find(const arguments_t *arguments, place_t *place);
void place_free(place_t *place);

/* Name of the person who runs this: who logged in, also behind sudo; "" if
 * nothing is known. */
void caller_name(char name[USER_NAME_MAX]);

/* Connects; an error is told, but for that of an absent daemon: NULL then. */
client_t *daemon_open(const char *command, const place_t *place);

/* Says why nothing can be done without the daemon.  Gives STATUS_ERROR. */
int daemon_absent(const char *command, const place_t *place, const char *what);

static inline void
cleanup_client(client_t **client)
{
    client_close(*client);
}

/* ---- Keys (trail_key.c) ------------------------------------------------- */

typedef struct {
    note_verifier_t keys[NOTE_KEYS_MAX];
    size_t count;
} keys_t;

/* Reads a signing key file as its owner would, if root runs this.  The error is
 * told. */
int signer_read(const char *command, const char *path, note_signer_t *signer);

/* The verifier keys of --key (a key, or a file of keys), or else those of the
 * configuration.  An error is told; none at all is no error. */
int keys_find(const arguments_t *arguments, const place_t *place, keys_t *keys);

/* "PATH.pub", where the verifier key is written beside the signing key. */
char *public_path(const char *path);

/* Writes a new signing key and its verifier key; the error is told. */
int key_write(const char *command, const char *path,
              const note_signer_t *signer, uid_t uid, gid_t gid);

/* ---- Commands ----------------------------------------------------------- */

extern const command_t trail_init_command, trail_key_command,
    trail_rotate_command;

#endif
