/* Codes, places and states: what is asked at doors. */

#include "verifier_internal.h"

#include <errno.h>

void
question_set(question_t *question, const char *verdict, const char *why)
{
    question->verdict = verdict;
    question->why = why;
}

/* The kind of the device that had the code. */
typedef struct {
    const char *device;
    otp_kind_t kind;
} kind_search_t;

static bool
find_kind(void *context, const otp_device_t *device)
{
    kind_search_t *search = context;

    if (slice_is(device->device, search->device)) {
        search->kind = device->parameters.kind;
        return false;
    }
    return true;
}

static const char *
factor_name(verifier_t *verifier, const question_t *question)
{
    kind_search_t search = {.device = question->outcome.device};

    if (question->outcome.recovery) {
        return "recovery";
    }
    (void) otp_list(verifier->store, question->ask.values[ASK_USER],
                    (slice_t){NULL, 0}, find_kind, &search);
    return search.kind == OTP_HOTP ? "hotp" : "totp";
}

bool
question_code(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    otp_attempt_t attempt = {.user = question->ask.values[ASK_USER],
                             .code = question->ask.values[ASK_CODE],
                             .source = slice_of(question->source),
                             .now_ms = now_ms};

    otp_verify(verifier->store, &attempt, &question->outcome);
    question->code_seen = true;
    question_set(question,
                 question->outcome.result == OTP_ACCEPTED      ? "yes"
                 : question->outcome.result == OTP_UNAVAILABLE ? "unavailable"
                                                               : "no",
                 otp_result_name(question->outcome.result));
    if (question->outcome.result != OTP_ACCEPTED) {
        return false;
    }
    question->factor = factor_name(verifier, question);
    if (question->outcome.recovery) {
        question->left = question->outcome.recovery_left;
        question->left_told = true;
    }
    return true;
}

static void
run_place(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    const ask_t *ask = &question->ask;
    place_question_t asked = {.user = ask->values[ASK_USER],
                              .service = ask->values[ASK_SERVICE],
                              .address = question->address,
                              .factor_fresh = ask->values[ASK_FACTOR].size > 0,
                              .now = now_ms / 1000};

    (void) address_parse(ask->values[ASK_LOCAL], &asked.local);
    places_decide(verifier->places, &asked, &question->place);
    question_set(question,
                 question->place.verdict == POLICY_ALLOW  ? "yes"
                 : question->place.verdict == POLICY_DENY ? "no"
                                                          : "unavailable",
                 question->place.reason);
}

static const char *
state_name(const otp_user_t *state)
{
    if (state->enrolled) {
        return state->locked ? "enrolled,locked" : "enrolled";
    }
    if (state->pending) {
        return state->locked ? "pending,locked" : "pending";
    }
    return state->locked ? "none,locked" : "none";
}

static void
run_state(verifier_t *verifier, question_t *question)
{
    otp_user_t state = {0};
    int error = otp_user(verifier->store, question->ask.values[ASK_USER],
                         &state);

    if (error < 0 && error != -ENOENT) {
        question_set_error(question, error);
        return;
    }
    question->state = state_name(&state);
    if (question->operation == ASK_STATE) {
        question->left = state.recovery_left;
        question->left_told = state.enrolled;
    }
    question_set(question, "yes", "ok");
}

/* Somebody who has no code yet goes in without, so often. */
static void
run_grace(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    slice_t user = question->ask.values[ASK_USER];
    otp_user_t state = {0};
    uint64_t allowed = UINT64_MAX;
    uint32_t logins = 0;
    int error = otp_user(verifier->store, user, &state);

    if (error < 0 && error != -ENOENT) {
        question_set_error(question, error);
        return;
    }
    (void) ask_number_parse(question->ask.values[ASK_LEFT], INT64_MAX,
                            &allowed);
    question->logins_told = true;
    question->logins = state.grace_logins;
    if (state.enrolled || state.locked) {
        question_set(question, "no", state.locked ? "locked" : "enrolled");
        return;
    }
    if (state.grace_logins >= allowed) {
        question_set(question, "no", "grace-over");
        return;
    }
    error = otp_grace(verifier->store, user, now_ms, &logins);
    question->logins = logins;
    if (error < 0) {
        question_set_error(question, error);
    } else {
        question_set(question, "yes", "grace");
    }
}

void
question_run(verifier_t *verifier, question_t *question, int64_t now_ms)
{
    if (question->operation == ASK_PLACE) {
        run_place(verifier, question, now_ms);
        return;
    }
    if (verifier->store == NULL) {
        question_set(question, "unavailable",
                     verifier->config->otp_store == NULL ? "not-configured"
                                                         : "unavailable");
        return;
    }
    switch (question->operation) {
    case ASK_VERIFY:
        (void) question_code(verifier, question, now_ms);
        break;
    case ASK_STATE:
    case ASK_LOCK_STATE:
        run_state(verifier, question);
        break;
    case ASK_GRACE:
        run_grace(verifier, question, now_ms);
        break;
    default:
        question_manage(verifier, question, now_ms);
        break;
    }
}
