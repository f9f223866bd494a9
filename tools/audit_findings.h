/* Findings for the commands that show or decide them. */

#ifndef SEKISHO_AUDIT_FINDINGS_H
#define SEKISHO_AUDIT_FINDINGS_H

#include "../lib/base/clock.h"
#include "../lib/review/reviews.h"
#include "audit_index.h"
#include "policy_tools.h"

#define SETTINGS_OPTION                                                        \
    {                                                                          \
        "--settings", "FILE",                                                  \
            "Settings of the rules [" FINDINGS_FILE ", if it is there]."       \
    }
#define FINDINGS_POLICY_OPTION                                                 \
    {                                                                          \
        "--policy", "IMAGE",                                                   \
            "Policy with the facilities' hours [the configured one]."          \
    }
#define FINDINGS_GEOIP_OPTION                                                  \
    {                                                                          \
        "--geoip", "FILE",                                                     \
            "MaxMind database of countries, for new-country [none]."           \
    }

extern const command_t audit_review_command, audit_quiet_command;

/* All that a run of the rules needs, opened. */
typedef struct {
    const arguments_t *arguments;
    place_t place;
    trail_reader_t *reader;
    review_index_t *index;
    policy_image_t *policy;
    geoip_t *geoip;
    findings_settings_t settings;
    findings_input_t input;
    reviews_t reviews;
    int64_t now_ms;
} look_t;

/* Opens everything, after the reading was recorded; an error is told.
 * look_close() in any case, takes a zeroed one. */
int look_open(const arguments_t *arguments, look_t *look);
void look_close(look_t *look);

/* The period of --from and --to, or since the last review; an error is told. */
int look_period(look_t *look, int64_t *from_ms, int64_t *to_ms);

/* The settings that the arguments name; an error is told. */
int settings_find(const arguments_t *arguments, findings_settings_t *settings);

/* "2026-11-24" of a local day. */
const char *day_text(int32_t day, char text[CLOCK_TEXT_MAX]);

/* A record of this person about the review, as far as it is always the same;
 * the texts live in `own`. */
typedef struct {
    char user[USER_NAME_MAX];
    char peer[32];
} own_words_t;
void own_record(record_event_t event, own_words_t *own, record_t *record);

/* Why the daemon did not take a record. */
int record_failed(const char *command, const place_t *place, client_t *client,
                  int error);

/* Text of a person that goes into a record: no control characters, not empty,
 * at most `most` bytes; an error is told. */
int check_words(const char *command, const char *what, slice_t text,
                size_t most);

#endif
