/* Between the policy_explain*.c files. */

#ifndef SEKISHO_TOOLS_POLICY_EXPLAIN_H
#define SEKISHO_TOOLS_POLICY_EXPLAIN_H

#include "policy_tools.h"

/* How the time was given. */
typedef enum {
    TIME_EXACT = 1, /* now, or with an offset */
    TIME_LOCAL,     /* of the clocks in the zone */
    TIME_TWICE,     /* these clocks show it twice: the first is meant */
    TIME_SKIPPED    /* they never show it: counted on from before the change */
} time_kind_t;

typedef struct {
    const char *command;
    const char *path; /* of the policy */
    policy_image_t *image;
    policy_request_t request;
    device_t device;
    bool has_device;
    geoip_t *geoip;
    char country[2]; /* of --country */

    time_kind_t time_kind;
    int64_t written; /* wall clock as it was given, if not TIME_EXACT */

    policy_decision_t decision;
    policy_trace_t trace;
    bool has_facility;
    policy_facility_t facility;
    slice_t zone;   /* that times are shown in */
    int32_t offset; /* of that zone, at the moment in question */
} explain_t;

/* What was decided, dry run or not. */
policy_reason_t explain_reason(const explain_t *explain);

/* Whether time alone may turn that refusal into something else. */
bool explain_is_of_the_clock(policy_reason_t reason);

/*
 * The first minute from which the clock refuses no more, if the clock is what
 * refuses; `reason` is what is decided then.
 */
bool explain_opens(const explain_t *explain, int64_t *at,
                   policy_reason_t *reason);

/* What the facility's rule says, and what the request has. */
void write_rule(FILE *out, const explain_t *explain,
                policy_condition_t condition);
void write_asked(FILE *out, const explain_t *explain,
                 policy_condition_t condition);

void explain_print(const explain_t *explain, text_t *text);
int explain_json(const explain_t *explain, text_t *text);

#endif
