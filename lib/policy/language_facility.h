/* Between the language_facility*.c files alone: the reader of one block. */

#ifndef SEKISHO_POLICY_LANGUAGE_FACILITY_H
#define SEKISHO_POLICY_LANGUAGE_FACILITY_H

#include "language_internal.h"

/* In the order of facility_rules. */
typedef enum {
    FACILITY_NAME = 0,
    FACILITY_CONTACT,
    FACILITY_NETWORK,
    FACILITY_VIA,
    FACILITY_COUNTRY,
    FACILITY_DEVICE,
    FACILITY_CERTIFICATE,
    FACILITY_DEVICE_CA,
    FACILITY_HOURS,
    FACILITY_CLOSED,
    FACILITY_VALID,
    FACILITY_USERS,
    FACILITY_SERVICES,
    FACILITY_ACTIONS,
    FACILITY_SECOND_FACTOR,
    FACILITY_OFF_HOURS,
    FACILITY_SESSION,
    FACILITY_MODE,
    FACILITY_TIMEZONE,
    FACILITY_DIRECTIVES
} facility_directive_t;

typedef struct {
    const char *name;
    unsigned values_max; /* 0: any number; there is at least one */
    bool repeatable;     /* several lines add up */
    const char *usage;   /* what to write after the name */
} facility_rule_t;

extern const facility_rule_t facility_rules[FACILITY_DIRECTIVES];

/* One of a directive's words, and what it means. */
typedef struct {
    const char *name;
    unsigned value;
} facility_choice_t;

typedef struct {
    language_t *language;
    policy_source_facility_t *out;
    const conf_directive_t *first[FACILITY_DIRECTIVES]; /* of its lines */
    size_t lines[FACILITY_DIRECTIVES];
    size_t values[FACILITY_DIRECTIVES]; /* in all its lines */
    const conf_directive_t *wide;       /* `any` or `local` stands here, */
    uint32_t wide_word;                 /* in this word */
    bool has_public; /* a network that country tables may know */
} facility_reader_t;

/* A walk over all lines of one directive, and over their values. */
typedef struct {
    const conf_directive_t *line;
    uint32_t word;
} facility_value_t;

/* The next value of a directive, over all its lines; starts with a zeroed
 * `value`.  False at the end. */
bool facility_next(const facility_reader_t *facility,
                   facility_directive_t which, facility_value_t *value);

static inline slice_t
facility_text(const facility_value_t *value)
{
    return value->line->words[value->word].text;
}

static inline report_place_t
facility_place(const facility_value_t *value)
{
    return conf_place(value->line, value->word);
}

/* Forgets what facility_is_first() has seen.  False when out of memory. */
bool facility_reset_seen(facility_reader_t *facility, size_t expected);

/* Notes what a list holds already; `key` must last until the next reset.
 * False, after a warning, for a repetition. */
bool facility_is_first(facility_reader_t *facility, slice_t key,
                       const facility_value_t *value);

/* What a directive with one value says, or `absent`. */
unsigned facility_choice(facility_reader_t *facility,
                         facility_directive_t which,
                         const facility_choice_t *choices, unsigned count,
                         unsigned absent);

/* language_facility_place.c: network, via, country.  Networks come first. */
void facility_read_networks(facility_reader_t *facility);
void facility_read_via(facility_reader_t *facility);
void facility_read_countries(facility_reader_t *facility);

/* language_facility_device.c: device, certificate, device-ca. */
void facility_read_device(facility_reader_t *facility);

/* language_facility_time.c: timezone, hours, closed, valid.  The zone comes
 * first; it is NULL if there is none, or after an error. */
const language_zone_t *facility_read_zone(facility_reader_t *facility);
void facility_read_hours(facility_reader_t *facility);
void facility_read_closed(facility_reader_t *facility);
void facility_read_valid(facility_reader_t *facility,
                         const language_zone_t *zone);

#endif
