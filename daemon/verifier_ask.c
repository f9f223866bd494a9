/* Who may ask what, and whether it is a question. */

#include "verifier_internal.h"

#include <stdio.h>

#define BIT(operation) (UINT64_C(1) << (operation))

/* Of any user. */
#define WEB_MAY                                                                \
    (BIT(ASK_VERIFY) | BIT(ASK_PLACE) | BIT(ASK_STATE) | BIT(ASK_LOCK_STATE))
/* Of its own user. */
#define SELF_MAY (BIT(ASK_VERIFY) | BIT(ASK_STATE) | BIT(ASK_LOCK_STATE))
/* Of its own user, where users may serve themselves. */
#define SELF_SERVICE (BIT(ASK_ENROLL) | BIT(ASK_CONFIRM) | BIT(ASK_RECOVERY))
/* Without a user all are meant. */
#define OF_ALL                                                                 \
    (BIT(ASK_LIST) | BIT(ASK_EXPORT) | BIT(ASK_REKEY) | BIT(ASK_CLOCK))
/* Nobody takes away somebody's factor without a word. */
#define NEEDS_REASON (BIT(ASK_REMOVE) | BIT(ASK_UNLOCK) | BIT(ASK_CLOCK))
#define NEEDS_DEVICE (BIT(ASK_CONFIRM) | BIT(ASK_IMPORT))

static bool
is_allowed(const verifier_t *verifier, const question_t *question)
{
    uint64_t bit = BIT(question->operation), may = 0;

    switch (question->asker.kind) {
    case ASKER_ROOT:
        return true;
    case ASKER_WEB:
        return (WEB_MAY & bit) != 0;
    case ASKER_SELF:
        may = SELF_MAY;
        if (!verifier->config->otp_self_service_off) {
            may |= SELF_SERVICE;
        }
        return (may & bit) != 0 && question->asker.user != NULL &&
               slice_is(question->ask.values[ASK_USER], question->asker.user);
    default:
        return false;
    }
}

static bool
is_text(const question_t *question, ask_field_t field, size_t max)
{
    slice_t value = question->ask.values[field];

    return value.size == 0 || ask_name_ok(value, max);
}

static bool
is_number(const question_t *question, ask_field_t field)
{
    slice_t value = question->ask.values[field];
    uint64_t number;

    return value.size == 0 || ask_number_parse(value, INT64_MAX, &number);
}

static bool
is_address(slice_t text, address_t *address)
{
    return text.size == 0 || address_parse(text, address);
}

/*
 * Whose failures are counted together: an IPv6 host has 2^64 addresses, so
 * its network; and what a user says of where it is counts for nothing, or it
 * could lock out somebody else's address.
 */
static void
set_source(question_t *question)
{
    address_t network = question->address;

    if (question->asker.kind == ASKER_SELF) {
        memset(&question->address, 0, sizeof(question->address));
        question->address.family = ADDRESS_LOCAL;
        (void) address_format(&question->address, question->address_text);
        (void) snprintf(question->source, sizeof(question->source), "uid %lu",
                        (unsigned long) question->asker.uid);
        return;
    }
    (void) address_format(&question->address, question->address_text);
    if (network.family == ADDRESS_IPV6) {
        memset(network.bytes + 8, 0, 8);
    }
    (void) address_format(&network, question->source);
}

static bool
is_question(question_t *question)
{
    const ask_t *ask = &question->ask;
    uint64_t bit = BIT(question->operation);
    address_t local = {0};

    if (ask->values[ASK_USER].size == 0
            ? (OF_ALL & bit) == 0
            : !is_text(question, ASK_USER, OTP_USER_MAX))
    {
        return false;
    }
    if (((NEEDS_REASON & bit) != 0 && ask->values[ASK_REASON].size == 0) ||
        ((NEEDS_DEVICE & bit) != 0 && ask->values[ASK_DEVICE].size == 0))
    {
        return false;
    }
    if (question->operation == ASK_IMPORT &&
        ask->values[ASK_SECRET].size == 0 && ask->values[ASK_REASON].size == 0)
    {
        return false;
    }
    return is_text(question, ASK_SERVICE, SERVICE_MAX) &&
           is_text(question, ASK_TTY, TTY_MAX) &&
           is_text(question, ASK_DEVICE, OTP_DEVICE_MAX) &&
           is_text(question, ASK_REASON, WORDS_MAX) &&
           is_text(question, ASK_AFTER, OTP_USER_MAX) &&
           is_text(question, ASK_FACTORS, SERVICE_MAX) &&
           is_text(question, ASK_BY, OTP_USER_MAX) &&
           is_number(question, ASK_DIGITS) && is_number(question, ASK_PERIOD) &&
           is_number(question, ASK_COUNTER) && is_number(question, ASK_LEFT) &&
           is_address(ask->values[ASK_ADDRESS], &question->address) &&
           is_address(ask->values[ASK_LOCAL], &local);
}

const char *
question_check(const verifier_t *verifier, question_t *question)
{
    uint64_t number;

    if (!ask_number_parse(question->ask.values[ASK_OPERATION],
                          ASK_OPERATIONS - 1, &number) ||
        number == ASK_NONE)
    {
        return "bad-request";
    }
    question->operation = (ask_operation_t) number;
    if (!is_question(question)) {
        return "bad-request";
    }
    if (!is_allowed(verifier, question)) {
        /* of codes an ordinary user hears yes or no, nothing else */
        return number == ASK_VERIFY ? "no" : "not-allowed";
    }
    if (question->asker.kind != ASKER_ROOT) {
        question->ask.values[ASK_BY] = (slice_t){NULL, 0};
    }
    if (question->asker.kind == ASKER_WEB) {
        question->ask.values[ASK_SERVICE] = SLICE("web");
    }
    if (question->operation == ASK_ENROLL &&
        question->ask.values[ASK_DEVICE].size == 0)
    {
        question->ask.values[ASK_DEVICE] = SLICE("phone");
    }
    question->door = question->asker.kind != ASKER_ROOT ||
                     question->ask.values[ASK_SERVICE].size > 0;
    set_source(question);
    return NULL;
}
