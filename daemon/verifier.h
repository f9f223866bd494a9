/*
 * The verifier: questions about persons and places (lib/ipc/otp_message.h),
 * answered in groups.
 *
 * Questions wait until the server commits.  Then all of a group are decided in
 * one transaction of the store of codes, what came of them is recorded, and
 * only when both are on disk is anybody told.  If either fails everybody hears
 * "unavailable"; a code of that group may then be used up.
 */

#ifndef SEKISHO_DAEMON_VERIFIER_H
#define SEKISHO_DAEMON_VERIFIER_H

#include "../lib/ipc/otp_message.h"
#include "recorder.h"

typedef struct verifier_s verifier_t;

/* Who asks, as the kernel tells it. */
typedef enum {
    ASKER_NONE = 0,
    ASKER_SELF, /* for its own user alone */
    ASKER_WEB,  /* for any user, but changes nothing */
    ASKER_ROOT
} asker_class_t;

typedef struct {
    asker_class_t kind;
    uid_t uid;
    pid_t pid;
    const char *user; /* ASKER_SELF: its name; lasts as long as the peer */
    void *peer;       /* for the answer */
} asker_t;

/* Sends to a peer; must not close it. */
typedef void (*verifier_send_fn)(void *peer, const uint8_t *bytes, size_t size);

/* NULL only when out of memory: a store that cannot be opened is told in the
 * log, tried again every few seconds, and makes every answer "unavailable". */
verifier_t *verifier_open(const config_t *config, recorder_t *recorder,
                          verifier_send_fn send, int64_t now_ms);
void verifier_close(verifier_t *verifier, int64_t now_ms); /* takes NULL */

/* Takes a question.  What is none, or not the asker's to ask, is answered at
 * once.  False if it is no message of questions at all: cut the peer off. */
bool verifier_take(verifier_t *verifier, const asker_t *asker,
                   const message_t *message, int64_t now_ms);

bool verifier_pending(const verifier_t *verifier);
/* Commit before the next verifier_take(). */
bool verifier_full(const verifier_t *verifier);

void verifier_commit(verifier_t *verifier, int64_t now_ms);

/* The peer is gone: what it asked and was not yet decided never happened. */
void verifier_forget(verifier_t *verifier, const void *peer);

/* Once a second: policy, store, counted alerts, emergency spool. */
void verifier_tick(verifier_t *verifier, int64_t now_ms);

void verifier_configure(verifier_t *verifier, const config_t *config,
                        int64_t now_ms);

/* State as JSON members of an open object. */
void verifier_report(const verifier_t *verifier, json_t *json);

#endif
