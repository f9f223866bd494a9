/*
 * A client of sekishod that may wait, but never longer than its deadline: for
 * PAM and the command line.  nginx has its own, on its event loop.
 */

#ifndef SEKISHO_IPC_CLIENT_H
#define SEKISHO_IPC_CLIENT_H

#include "message.h"

typedef struct client_s client_t;

/*
 * Connects and says hello, in at most `deadline_ms` milliseconds; the same
 * bound then holds for each call below.  An empty `source` says no hello: such
 * a client is not remembered, and may ask, but has no records to send.  0, or a negative errno: -ENOENT and
 * -ECONNREFUSED (no daemon), -EACCES, -ETIMEDOUT, -EPROTO (not our protocol,
 * or cut off by the daemon: see its log).
 */
int client_open(const char *socket_path, slice_t source, int deadline_ms,
                client_t **client);
void client_close(client_t *client); /* takes NULL */

/* Until the record is on disk.  -ENOSPC: refused, client_reason() tells. */
int client_record(client_t *client, const record_t *record);

/* Until a checkpoint over all records so far is signed and on disk. */
int client_checkpoint(client_t *client);

/* The daemon's state as JSON; *text is malloc'ed with a NUL. */
int client_report(client_t *client, char **text, size_t *size);

/*
 * Asks about a person or a place (otp_message.h), until the daemon answers:
 * what it says is durable.  `answer` points into the client until its next
 * call.  client_wipe() when it was about secrets; client_close() wipes, too.
 */
struct ask_s;
int client_ask(client_t *client, const struct ask_s *ask, struct ask_s *answer);
void client_wipe(client_t *client);

/* Why the last call was refused; "" if it was not. */
const char *client_reason(const client_t *client);

#endif
