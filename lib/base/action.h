/*
 * What a request does with images.  lib/dicom finds it out, lib/policy decides
 * upon it; the names are those of the policy language and of the trail.
 */

#ifndef SEKISHO_BASE_ACTION_H
#define SEKISHO_BASE_ACTION_H

#include "slice.h"

typedef enum {
    ACTION_NONE = 0, /* not asked: a door without images (SSH, desktop) */
    ACTION_QUERY,    /* search: QIDO-RS, C-FIND, /tools/find */
    ACTION_VIEW,     /* look: metadata, frames, rendered, thumbnails */
    ACTION_DOWNLOAD, /* take away: DICOM or ZIP of a study, series, instance */
    ACTION_STORE,    /* bring: STOW-RS, upload */
    ACTION_DELETE,
    ACTION_ADMIN, /* everything else that changes something */
    ACTION_COUNT
} action_t;

/* Bit of an action in a set of actions. */
#define ACTION_BIT(action) (1u << (action))
#define ACTION_ALL         (ACTION_BIT(ACTION_COUNT) - 2u)

/* The name ("query" …), "none" for ACTION_NONE; never NULL. */
const char *action_name(action_t action);

/* ACTION_NONE if the name is none of the six. */
action_t action_parse(slice_t name);

#endif
