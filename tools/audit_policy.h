/* The policy in force, and what the trail says of it (audit_policy.c). */

#ifndef SEKISHO_TOOLS_AUDIT_POLICY_H
#define SEKISHO_TOOLS_AUDIT_POLICY_H

#include "audit_tools.h"
#include "policy_tools.h"

typedef struct {
    bool known;                         /* `policy` in sekishod.conf names it */
    char live[POLICY_VERSION_TEXT_MAX]; /* "": there is none, or unusable */
    char problem[128];                  /* … and why */
    bool recorded;                      /* a change of it was found */
    char said[POLICY_VERSION_TEXT_MAX]; /* what that put in force */
    uint64_t index;                     /* entry of that record */
} policy_state_t;

/*
 * Looks at the image and back through the trail, a million entries at most.
 * STATUS_OK, or STATUS_ERROR after it was said.
 */
int policy_state(const char *command, const place_t *place,
                 policy_state_t *state);

/* Whether the live image is another than the recorded one. */
bool policy_state_differs(const policy_state_t *state);

/* A line for people. */
void policy_state_print(const policy_state_t *state, FILE *out);

#endif
