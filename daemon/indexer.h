/*
 * The indexer: a child process of low priority that keeps audit.db up to date.
 *
 * A process of its own, so that neither its memory nor its errors nor its
 * waiting can touch the recording: the daemon starts it, starts it again when
 * it ends, hears from it through a pipe, and needs nothing of it.
 */

#ifndef SEKISHO_DAEMON_INDEXER_H
#define SEKISHO_DAEMON_INDEXER_H

#include <event2/event.h>

#include "../lib/base/json.h"
#include "../lib/ipc/daemon_config.h"

typedef struct indexer_s indexer_t;

/* Starts the child, unless the configuration (of the file `path`) says "index
 * off".  NULL, after a line in the log, when out of memory. */
indexer_t *indexer_open(struct event_base *base, const char *path,
                        const config_t *config);

/* Ends the child: asked for first, killed after some seconds.  NULL is fine. */
void indexer_close(indexer_t *indexer);

/* The new configuration: another index is begun with. */
void indexer_configure(indexer_t *indexer, const config_t *config);

/* Unix seconds from which on a review is overdue, as the child told last; 0: not
 * known.  NULL is fine. */
int64_t indexer_review_due(const indexer_t *indexer);

/* State as JSON members of an open object; NULL is fine. */
void indexer_report(const indexer_t *indexer, json_t *json);

/* The child's whole life; gives its exit status. */
int indexer_run(const config_t *config);

#endif
