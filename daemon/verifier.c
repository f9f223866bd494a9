#define _GNU_SOURCE
#include "verifier_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

/* ---- The store -----------------------------------------------------------*/

static void
close_store(verifier_t *verifier)
{
    otp_close(verifier->store);
    verifier->store = NULL;
    otp_keys_wipe(&verifier->keys);
    free(verifier->store_path);
    verifier->store_path = NULL;
}

/* systemd's LoadCredential= goes before the file, as for the trail's key. */
static void
key_path(const config_t *config, char path[4096])
{
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    const char *name = strrchr(config->otp_key, '/');

    if (credentials != NULL) {
        (void) snprintf(path, 4096, "%s/%s", credentials,
                        name == NULL ? config->otp_key : name + 1);
        if (access(path, R_OK) == 0) {
            return;
        }
    }
    (void) snprintf(path, 4096, "%s", config->otp_key);
}

static otp_rules_t
rules_of(const config_t *config)
{
    otp_rules_t defaults = otp_rules_default();

    return config_otp_rules(config, &defaults);
}

static int
try_store(verifier_t *verifier, int64_t now_ms, char error[256])
{
    const config_t *config = verifier->config;
    otp_rules_t rules = rules_of(config);
    bool missing = access(config->otp_store, F_OK) < 0 && errno == ENOENT;
    char path[4096];
    int result;

    key_path(config, path);
    result = otp_keys_read(path, &verifier->keys, error);
    if (result < 0) {
        return result;
    }
    verifier->store_path = strdup(config->otp_store);
    if (verifier->store_path == NULL) {
        (void) snprintf(error, 256, "out of memory");
        return -ENOMEM;
    }
    result = otp_open(config->otp_store, &verifier->keys, &rules, true,
                      &verifier->store, error);
    if (result == 0 && missing) {
        verifier_record_made(verifier, now_ms);
        log_line(LOG_WARNING,
                 "%s was not there and has been made: nobody is enrolled",
                 config->otp_store);
    }
    return result;
}

/* What fails is told once, until it works again. */
static void
open_store(verifier_t *verifier, int64_t now_ms)
{
    char error[256] = "";

    if (verifier->config->otp_store == NULL || verifier->store != NULL) {
        return;
    }
    verifier->store_tried = now_ms;
    if (try_store(verifier, now_ms, error) < 0) {
        close_store(verifier);
        if (!verifier->store_failing) {
            log_line(LOG_ERROR,
                     "no one-time code can be verified, and none is "
                     "accepted: %s",
                     error);
        }
        verifier->store_failing = true;
        return;
    }
    if (verifier->store_failing) {
        log_line(LOG_NOTICE, "one-time codes are verified again");
    }
    verifier->store_failing = false;
}

/* ---- Questions -----------------------------------------------------------*/

static void
free_question(question_t *question)
{
    if (question->text != NULL) {
        wipe_bytes(question->text, ASK_TEXT_MAX);
        free(question->text);
    }
    wipe_bytes(question, sizeof(*question) + question->payload_size);
    free(question);
}

static slice_t
number_value(uint64_t number, char text[ASK_NUMBER_SIZE])
{
    return slice_of(ask_number(number, text));
}

static void
put_place(const place_t *place, ask_t *answer, char idle[ASK_NUMBER_SIZE],
          char max[ASK_NUMBER_SIZE])
{
    answer->values[ASK_FACILITY] = place->facility;
    answer->values[ASK_SECOND_FACTOR] = place->second_factor ? SLICE("always")
                                                             : SLICE("never");
    if (place->idle_seconds > 0) {
        answer->values[ASK_IDLE] = number_value(place->idle_seconds, idle);
    }
    if (place->max_seconds > 0) {
        answer->values[ASK_MAX] = number_value(place->max_seconds, max);
    }
}

static void
send_answer(verifier_t *verifier, const question_t *question)
{
    bool yes = strcmp(question->verdict, "yes") == 0;
    char left[ASK_NUMBER_SIZE], logins[ASK_NUMBER_SIZE];
    char idle[ASK_NUMBER_SIZE], max[ASK_NUMBER_SIZE];
    uint8_t bytes[MESSAGE_SIZE_MAX];
    ask_t answer = {0};
    size_t size;

    answer.values[ASK_VERDICT] = slice_of(question->verdict);
    if (question->asker.kind == ASKER_ROOT) {
        answer.values[ASK_WHY] = slice_of(question->why);
        if (question->logins_told) {
            answer.values[ASK_LOGINS] = number_value(question->logins, logins);
        }
    }
    if (yes) {
        answer.values[ASK_FACTOR] = slice_of(question->factor);
        answer.values[ASK_STATE_IS] = slice_of(question->state);
        answer.values[ASK_SECRET] = slice_of(question->secret);
        answer.values[ASK_URI] = slice_of(question->uri);
        answer.values[ASK_TEXT] = (slice_t){question->text,
                                            question->text_size};
        if (question->more) {
            answer.values[ASK_MORE] = SLICE("1");
            answer.values[ASK_AFTER] = (slice_t){question->after,
                                                 question->after_size};
        }
        if (question->left_told) {
            answer.values[ASK_LEFT] = number_value(question->left, left);
        }
        if (question->operation == ASK_PLACE) {
            put_place(&question->place, &answer, idle, max);
        }
    }
    size = ask_write(bytes, sizeof(bytes), MESSAGE_ANSWER, question->number,
                     &answer);
    if (size > 0 && question->asker.peer != NULL) {
        verifier->send(question->asker.peer, bytes, size);
    }
    wipe_bytes(bytes, size);
}

bool
verifier_take(verifier_t *verifier, const asker_t *asker,
              const message_t *message, int64_t now_ms)
{
    question_t *question;
    message_t copy = *message;
    const char *verdict = "bad-request";

    if (message->payload_size > QUESTION_MAX) {
        return false;
    }
    question = calloc(1, sizeof(*question) + message->payload_size);
    if (question == NULL) {
        log_line(LOG_ERROR, "out of memory");
        return false;
    }
    question->asker = *asker;
    question->number = message->number;
    question->payload_size = message->payload_size;
    if (message->payload_size > 0) {
        memcpy(question->payload, message->payload, message->payload_size);
    }
    copy.payload = question->payload;
    if (!ask_parse(&copy, &question->ask)) {
        free_question(question);
        return false;
    }
    verifier->asked++;
    verdict = question_check(verifier, question);
    if (verdict == NULL) {
        verifier->questions[verifier->count++] = question;
        return true;
    }
    verifier->refused++;
    question_set(question, verdict,
                 strcmp(verdict, "bad-request") == 0 ? verdict : "not-allowed");
    if (strcmp(question->why, "not-allowed") == 0) {
        question_record_refused(verifier, question, now_ms);
    }
    send_answer(verifier, question);
    free_question(question);
    return true;
}

bool
verifier_pending(const verifier_t *verifier)
{
    return verifier->count > 0;
}

bool
verifier_full(const verifier_t *verifier)
{
    return verifier->count >= QUESTIONS_MAX;
}

void
verifier_forget(verifier_t *verifier, const void *peer)
{
    size_t kept = 0;

    for (size_t i = 0; i < verifier->count; i++) {
        question_t *question = verifier->questions[i];

        if (question->asker.peer == peer) {
            free_question(question);
        } else {
            verifier->questions[kept++] = question;
        }
    }
    verifier->count = kept;
}

/* ---- A group -------------------------------------------------------------*/

/* Nothing of it happened, or nobody could tell of it afterwards. */
static void
withdraw(verifier_t *verifier, bool places_too)
{
    for (size_t i = 0; i < verifier->count; i++) {
        question_t *question = verifier->questions[i];

        if (!places_too && question->operation == ASK_PLACE) {
            continue;
        }
        question->factor = NULL;
        question->code_seen = false;
        question->more = false;
        question_set(question, "unavailable", "unavailable");
    }
}

static void
decide(verifier_t *verifier, int64_t now_ms)
{
    otp_store_t *store = verifier->store;
    int error = store == NULL ? 0 : otp_begin(store);

    if (error < 0) {
        verifier->store = NULL; /* for this group */
    }
    for (size_t i = 0; i < verifier->count; i++) {
        question_run(verifier, verifier->questions[i], now_ms);
    }
    if (error == 0 && store != NULL) {
        error = otp_commit(store);
        if (error < 0) {
            withdraw(verifier, false);
        }
    }
    verifier->store = store;
    if (error < 0 && !verifier->commit_failing) {
        log_line(LOG_ERROR,
                 "the store of one-time codes takes no changes, and no code "
                 "is accepted: %s",
                 otp_strerror(store));
    } else if (error == 0 && verifier->commit_failing) {
        log_line(LOG_NOTICE, "the store of one-time codes takes changes again");
    }
    verifier->commit_failing = error < 0;
}

void
verifier_commit(verifier_t *verifier, int64_t now_ms)
{
    uint64_t refused = recorder_own_refused(verifier->recorder);

    if (verifier->count == 0) {
        return;
    }
    decide(verifier, now_ms);
    for (size_t i = 0; i < verifier->count; i++) {
        question_record(verifier, verifier->questions[i], now_ms);
    }
    if (recorder_pending(verifier->recorder)) {
        (void) recorder_commit(verifier->recorder, now_ms);
    }
    if (recorder_own_refused(verifier->recorder) != refused) {
        withdraw(verifier, true);
    }
    for (size_t i = 0; i < verifier->count; i++) {
        question_t *question = verifier->questions[i];

        verifier->accepted += question->operation == ASK_VERIFY &&
                              strcmp(question->verdict, "yes") == 0;
        verifier->unavailable += strcmp(question->verdict, "unavailable") == 0;
        send_answer(verifier, question);
        free_question(question);
    }
    verifier->count = 0;
}

/* ---- Life ----------------------------------------------------------------*/

verifier_t *
verifier_open(const config_t *config, recorder_t *recorder,
              verifier_send_fn send, int64_t now_ms)
{
    verifier_t *verifier = calloc(1, sizeof(*verifier));

    if (verifier == NULL) {
        return NULL;
    }
    verifier->config = config;
    verifier->recorder = recorder;
    verifier->send = send;
    verifier->places = places_open(config);
    if (verifier->places == NULL) {
        free(verifier);
        return NULL;
    }
    open_store(verifier, now_ms);
    emergency_spool_tick(&verifier->spool, config->emergency, recorder, now_ms);
    return verifier;
}

void
verifier_close(verifier_t *verifier, int64_t now_ms)
{
    if (verifier == NULL) {
        return;
    }
    verifier_commit(verifier, now_ms);
    folding_tell(&verifier->folding, verifier->recorder, true, now_ms);
    close_store(verifier);
    places_free(verifier->places);
    free(verifier);
}

void
verifier_tick(verifier_t *verifier, int64_t now_ms)
{
    places_tick(verifier->places);
    emergency_spool_tick(&verifier->spool, verifier->config->emergency,
                         verifier->recorder, now_ms);
    folding_tell(&verifier->folding, verifier->recorder, false, now_ms);
    if (verifier->store == NULL &&
        (now_ms - verifier->store_tried >= STORE_RETRY_MS ||
         now_ms < verifier->store_tried))
    {
        open_store(verifier, now_ms);
    }
}

/* True if another key version was added, or another store is named. */
static bool
is_other_store(const verifier_t *verifier, const config_t *config)
{
    otp_keys_t keys;
    char path[4096], error[256];
    bool other;

    if (config->otp_store == NULL || verifier->store_path == NULL ||
        strcmp(config->otp_store, verifier->store_path) != 0)
    {
        return true;
    }
    key_path(config, path);
    memset(&keys, 0, sizeof(keys));
    if (otp_keys_read(path, &keys, error) < 0) {
        log_line(LOG_ERROR, "%s; the keys read before stay", error);
        return false;
    }
    other = keys.count != verifier->keys.count ||
            memcmp(keys.version, verifier->keys.version,
                   sizeof(keys.version[0]) * keys.count) != 0;
    otp_keys_wipe(&keys);
    return other;
}

void
verifier_configure(verifier_t *verifier, const config_t *config, int64_t now_ms)
{
    verifier_commit(verifier, now_ms);
    verifier->config = config;
    places_configure(verifier->places, config);
    if (verifier->store != NULL && is_other_store(verifier, config)) {
        close_store(verifier);
    }
    if (verifier->store == NULL) {
        verifier->store_failing = false;
        open_store(verifier, now_ms);
        if (verifier->store != NULL) {
            verifier_record_keys(verifier, now_ms);
        }
    } else {
        otp_rules_t rules = rules_of(config);

        otp_configure(verifier->store, &rules);
    }
}

void
verifier_report(const verifier_t *verifier, json_t *json)
{
    json_string(json, "otp",
                verifier->config->otp_store == NULL ? "off"
                : verifier->store == NULL           ? "unavailable"
                                                    : "ready");
    json_int(json, "otp_asked", (int64_t) verifier->asked);
    json_int(json, "otp_accepted", (int64_t) verifier->accepted);
    json_int(json, "otp_refused", (int64_t) verifier->refused);
    json_int(json, "otp_unavailable", (int64_t) verifier->unavailable);
}
