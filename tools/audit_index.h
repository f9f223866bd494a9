/* audit.db, for the commands that read it. */

#ifndef SEKISHO_AUDIT_INDEX_H
#define SEKISHO_AUDIT_INDEX_H

#include "../lib/review/index.h"
#include "audit_tools.h"

#define INDEX_OPTION                                                           \
    {                                                                          \
        "--index", "FILE", "The index [the configured one; beside a copy]."    \
    }

extern const command_t audit_index_command;

/*
 * Where the index of this trail is: --index, the configuration's, or audit.db
 * beside the trail's folder.  NULL in *path: there is none ("index off").  To
 * be freed.  STATUS_ERROR after the error was told.
 */
int index_path(const arguments_t *arguments, const place_t *place, char **path);

/*
 * Opens the index for reading, if there is one and it is of this trail;
 * otherwise *index is NULL, and `why` says why (a damaged one is told as a
 * warning, too).  STATUS_ERROR after an error was told.
 */
int index_find(const arguments_t *arguments, const place_t *place,
               trail_reader_t *reader, review_index_t **index, char why[256]);

static inline void
cleanup_index(review_index_t **index)
{
    index_close(*index);
}

#endif
