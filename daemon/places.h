/*
 * Places of doors to hosts: the compiled policy and the database of countries,
 * watched once a second, and policy_decide() for ssh and desktop.
 */

#ifndef SEKISHO_DAEMON_PLACES_H
#define SEKISHO_DAEMON_PLACES_H

#include "../lib/policy/decide.h"
#include "../lib/ipc/daemon_config.h"

typedef struct places_s places_t;

/* What was decided; texts last until the next call of places_tick(). */
typedef struct {
    policy_verdict_t verdict; /* NONE: nothing can be said: unavailable */
    const char *reason;       /* stable; "places-off" where none is asked */
    policy_service_t service;
    slice_t facility;   /* "" if none */
    const char *policy; /* version; NULL if none */
    bool second_factor;
    uint32_t idle_seconds, max_seconds;
} place_t;

typedef struct {
    slice_t user, service; /* PAM's name of it, or "ssh", "desktop", "web" */
    address_t address, local;
    bool factor_fresh;
    int64_t now; /* Unix seconds */
} place_question_t;

/* Reads the image, if there is one.  NULL when out of memory. */
places_t *places_open(const config_t *config);
void places_free(places_t *places); /* takes NULL */
void places_configure(places_t *places, const config_t *config);

/* Looks for a new image and a new database, and reads them in slices.  A bad
 * one is told in the log, and the last good one stays. */
void places_tick(places_t *places);

void places_decide(const places_t *places, const place_question_t *question,
                   place_t *place);

/* sshd's services are "ssh", all others "desktop". */
policy_service_t places_service(slice_t service);

#endif
