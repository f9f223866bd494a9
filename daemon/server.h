/*
 * The socket and its peers: who may say what, and who is cut off.
 */

#ifndef SEKISHO_DAEMON_SERVER_H
#define SEKISHO_DAEMON_SERVER_H

#include <event2/event.h>

#include "indexer.h"
#include "recorder.h"

typedef struct server_s server_t;

/*
 * Listens on config->socket, or on `inherited` (a listening SOCK_SEQPACKET
 * socket from systemd; -1: none).  NULL after a line in the log.
 */
server_t *server_open(struct event_base *base, recorder_t *recorder,
                      const config_t *config, int inherited);

/* Reads what is there, commits and acknowledges it, and closes. */
void server_close(server_t *server);

void server_configure(server_t *server, const config_t *config);

/* Whose state reports tell, too; NULL: of nobody. */
void server_set_indexer(server_t *server, const indexer_t *indexer);

#endif
