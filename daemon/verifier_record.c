/* What questions leave in the trail; docs/record.md. */

#include "verifier_internal.h"

#include <stdio.h>

/* Texts that live until a record is rendered. */
typedef struct {
    char peer[32];
    char failures[24];
    char factors[SERVICE_MAX + 16];
    char left[24];
} said_t;

static slice_t
number_text(uint64_t number, char text[24])
{
    return (slice_t){
        text, (size_t) snprintf(text, 24, "%llu", (unsigned long long) number)};
}

static void
put_asker(const question_t *question, record_t *record, said_t *said)
{
    const ask_t *ask = &question->ask;

    (void) snprintf(said->peer, sizeof(said->peer), "%lu:%ld",
                    (unsigned long) question->asker.uid,
                    (long) question->asker.pid);
    record->values[RECORD_PEER] = slice_of(said->peer);
    record->values[RECORD_USER] = ask->values[ASK_USER];
    record->values[RECORD_ADDRESS] = slice_of(question->address_text);
    record->values[RECORD_SERVICE] = ask->values[ASK_SERVICE];
    record->values[RECORD_TTY] = ask->values[ASK_TTY];
}

static void
put_factors(const question_t *question, record_t *record, said_t *said)
{
    slice_t told = question->ask.values[ASK_FACTORS];

    if (question->factor == NULL) {
        record->values[RECORD_FACTORS] = told;
        return;
    }
    (void) snprintf(said->factors, sizeof(said->factors), "%.*s%s%s",
                    SLICE_ARG(told), told.size > 0 ? "," : "",
                    question->factor);
    record->values[RECORD_FACTORS] = slice_of(said->factors);
}

static const char *
outcome_of(const question_t *question)
{
    if (strcmp(question->verdict, "yes") == 0) {
        return "0";
    }
    if (strcmp(question->verdict, "unavailable") == 0 ||
        (question->code_seen && (question->outcome.result == OTP_REPLAYED ||
                                 question->outcome.result == OTP_CLOCK)))
    {
        return "8";
    }
    return "4";
}

/* Such questions may come without end: at a door that stays shut. */
static bool
is_counted(verifier_t *verifier, const question_t *question,
           record_event_t event, int64_t now_ms)
{
    fold_what_t what = {.event = event,
                        .reason = question->why,
                        .by_user = question->asker.kind == ASKER_SELF,
                        .user = question->ask.values[ASK_USER],
                        .address = slice_of(question->address_text),
                        .service = question->ask.values[ASK_SERVICE]};

    if (strcmp(question->verdict, "yes") == 0) {
        return false;
    }
    if (question->code_seen) {
        if (question->asker.kind == ASKER_SELF) {
            /* of oneself there are no more than it takes to be locked */
            if (question->outcome.result == OTP_WRONG) {
                return false;
            }
        } else if (folding_alone(&verifier->folding, what.address, now_ms)) {
            /* the time that a record takes must tell nobody who is enrolled */
            return false;
        }
    }
    return !folding_take(&verifier->folding, verifier->recorder, &what, now_ms);
}

static void
record_code(verifier_t *verifier, const question_t *question, int64_t now_ms)
{
    record_event_t event = EVENT_SIGN_IN;
    record_t record = {0};
    said_t said = {.peer = ""};

    switch (question->outcome.result) {
    case OTP_REPLAYED:
    case OTP_THROTTLED:
    case OTP_LOCKED:
    case OTP_CLOCK:
        event = question->code_seen ? EVENT_CODE_ALERT : EVENT_SIGN_IN;
        break;
    default:
        break;
    }
    if (is_counted(verifier, question, event, now_ms)) {
        return;
    }
    put_asker(question, &record, &said);
    put_factors(question, &record, &said);
    record.values[RECORD_OUTCOME] = slice_of(outcome_of(question));
    record.values[RECORD_REASON] = slice_of(question->why);
    if (question->code_seen) {
        record.values[RECORD_DEVICE] = slice_of(question->outcome.device);
        if (question->outcome.failures > 0) {
            record.values[RECORD_FAILURES] = number_text(
                question->outcome.failures, said.failures);
        }
    }
    recorder_own(verifier->recorder, event, &record, now_ms);
}

/* This failure was one too many. */
static void
record_lock(verifier_t *verifier, const question_t *question, int64_t now_ms)
{
    record_t record = {0};
    said_t said = {.peer = ""};

    put_asker(question, &record, &said);
    record.values[RECORD_OUTCOME] = SLICE("4");
    record.values[RECORD_REASON] = slice_of(otp_result_name(OTP_LOCKED));
    record.values[RECORD_ACTION] = SLICE("lock");
    record.values[RECORD_FAILURES] = number_text(question->outcome.failures,
                                                 said.failures);
    recorder_own(verifier->recorder, EVENT_ENROLLMENT, &record, now_ms);
}

static void
record_place(verifier_t *verifier, const question_t *question, int64_t now_ms)
{
    record_t record = {0};
    said_t said = {.peer = ""};

    if (question->place.verdict == POLICY_ALLOW ||
        is_counted(verifier, question, EVENT_DENIED, now_ms))
    {
        return;
    }
    put_asker(question, &record, &said);
    record.values[RECORD_SERVICE] = slice_of(
        policy_service_name(question->place.service));
    record.values[RECORD_FACILITY] = question->place.facility;
    record.values[RECORD_POLICY] = slice_of(question->place.policy);
    record.values[RECORD_OUTCOME] = slice_of(outcome_of(question));
    record.values[RECORD_REASON] = slice_of(question->why);
    recorder_own(verifier->recorder, EVENT_DENIED, &record, now_ms);
}

static void
record_change(verifier_t *verifier, const question_t *question, int64_t now_ms)
{
    const ask_t *ask = &question->ask;
    record_t record = {0};
    said_t said = {.peer = ""};

    if (is_counted(verifier, question, EVENT_ENROLLMENT, now_ms)) {
        return;
    }
    put_asker(question, &record, &said);
    put_factors(question, &record, &said);
    record.values[RECORD_ACTION] = slice_of(ask_operation_name(
        question->operation == ASK_IMPORT && ask->values[ASK_SECRET].size == 0
            ? ASK_ENROLL
            : question->operation));
    record.values[RECORD_OUTCOME] = slice_of(outcome_of(question));
    record.values[RECORD_REASON] = slice_of(question->why);
    record.values[RECORD_DEVICE] = ask->values[ASK_DEVICE];
    record.values[RECORD_NOTE] = ask->values[ASK_REASON];
    record.values[RECORD_BY] = question->asker.kind == ASKER_SELF
                                   ? ask->values[ASK_USER]
                                   : ask->values[ASK_BY];
    if (question->operation == ASK_REKEY) {
        record.values[RECORD_NOTE] = number_text(question->left, said.left);
    }
    recorder_own(verifier->recorder, EVENT_ENROLLMENT, &record, now_ms);
}

void
question_record(verifier_t *verifier, const question_t *question,
                int64_t now_ms)
{
    switch (question->operation) {
    case ASK_VERIFY:
    case ASK_GRACE:
        record_code(verifier, question, now_ms);
        break;
    case ASK_PLACE:
        record_place(verifier, question, now_ms);
        break;
    case ASK_STATE:
    case ASK_LOCK_STATE:
    case ASK_LIST:
        break;
    default:
        record_change(verifier, question, now_ms);
        break;
    }
    if (question->code_seen && question->outcome.locked_now) {
        record_lock(verifier, question, now_ms);
    }
}

void
question_record_refused(verifier_t *verifier, const question_t *question,
                        int64_t now_ms)
{
    slice_t user = slice_of(question->asker.user);
    fold_what_t what = {.event = EVENT_CODE_ALERT,
                        .reason = "not-allowed",
                        .by_user = true,
                        .user = user,
                        .service = question->ask.values[ASK_SERVICE]};
    record_t record = {0};
    said_t said = {.peer = ""};

    if (!folding_take(&verifier->folding, verifier->recorder, &what, now_ms)) {
        return;
    }
    put_asker(question, &record, &said);
    record.values[RECORD_OUTCOME] = SLICE("8");
    record.values[RECORD_REASON] = slice_of(what.reason);
    record.values[RECORD_ACTION] = slice_of(
        ask_operation_name(question->operation));
    record.values[RECORD_BY] = user;
    recorder_own(verifier->recorder, EVENT_CODE_ALERT, &record, now_ms);
}

void
verifier_record_made(verifier_t *verifier, int64_t now_ms)
{
    record_t record = {0};

    record.values[RECORD_ACTION] = SLICE("store-made");
    record.values[RECORD_NOTE] = slice_of(verifier->config->otp_store);
    recorder_own(verifier->recorder, EVENT_ENROLLMENT, &record, now_ms);
}

void
verifier_record_keys(verifier_t *verifier, int64_t now_ms)
{
    record_t record = {0};
    char key[24];

    record.values[RECORD_ACTION] = SLICE("key");
    record.values[RECORD_KEY] = number_text(
        verifier->keys.version[verifier->keys.count - 1], key);
    recorder_own(verifier->recorder, EVENT_ENROLLMENT, &record, now_ms);
}
