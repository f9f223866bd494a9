/* Between the language*.c files alone. */

#ifndef SEKISHO_POLICY_LANGUAGE_INTERNAL_H
#define SEKISHO_POLICY_LANGUAGE_INTERNAL_H

#include <stdint.h>

#include "../base/conf.h"
#include "policy.h"

/* ---- language_names.c: a table of byte strings, a number for each ------- */

typedef struct {
    slice_t key; /* not owned; data NULL: a free slot */
    uint32_t hash;
    uint32_t value;
} language_name_t;

/* Zeroed is empty. */
typedef struct {
    language_name_t *slots;
    size_t allocated; /* slots */
    size_t used;      /* of them: a power of 2, or 0 */
    size_t count;
} language_names_t;

/* Empties it and makes room for `expected` keys; -ENOMEM. */
int language_names_reset(language_names_t *names, size_t expected);

/* The number of `key`, which is set to `value` if the key is new.  NULL when
 * out of memory. */
uint32_t *language_names_add(language_names_t *names, slice_t key,
                             uint32_t value, bool *is_new);

/* NULL if it is not there. */
const uint32_t *language_names_find(const language_names_t *names, slice_t key);
void language_names_free(language_names_t *names);

/* ---- The reader --------------------------------------------------------- */

typedef struct {
    slice_t name;
    report_place_t place;
    bool used;
    slice_t *users; /* sorted, unique */
    size_t users_count;
} language_group_t;

typedef struct {
    slice_t name;
    report_place_t place;
    bool used;
    policy_days_t *days; /* sorted, merged */
    size_t days_count;
} language_calendar_t;

typedef struct {
    slice_t name;
    const char *suggestion; /* of an unknown one; or NULL */
    int status;             /* of zone_changes() */
    int32_t today;          /* there, in days since 1970-01-01 */
} language_zone_t;

/* The fingerprints of one PEM file. */
typedef struct {
    uint8_t (*sha256)[32];
    size_t count;
    bool failed;
} language_pem_t;

typedef struct {
    conf_t *conf; /* owns whatever ends up in the source */
    report_t *report;
    int64_t now;
    bool out_of_memory;

    language_group_t *groups;
    size_t groups_count;
    language_names_t group_names;

    language_calendar_t *calendars;
    size_t calendars_count;
    language_names_t calendar_names;

    const conf_directive_t **facilities; /* as they were found */
    size_t facilities_count;
    language_names_t facility_names;
    size_t networks_count; /* of all facilities */

    language_zone_t *zones;
    size_t zones_count;
    language_names_t zone_names;
    const conf_directive_t *timezone; /* the one at the top */
    bool zone_missing_told;

    language_pem_t *pems;
    size_t pems_count;
    language_names_t pem_names;

    language_names_t scratch; /* what one facility has listed */
} language_t;

#define LANGUAGE_ERROR(language, ...)                                          \
    report_add((language)->report, REPORT_ERROR, __VA_ARGS__)
#define LANGUAGE_WARNING(language, ...)                                        \
    report_add((language)->report, REPORT_WARNING, __VA_ARGS__)

/* Room for one more item of `size` bytes behind `*count` (which is counted up);
 * the item is zeroed.  NULL when out of memory, which is noted. */
void *language_append(language_t *language, void **items, size_t *count,
                      size_t size);

/* conf_alloc() for an array; what fails is noted in the reader. */
void *language_array(language_t *language, size_t count, size_t size);

/* ---- language.c --------------------------------------------------------- */

/* The zone of the `timezone` at the top, NULL after an error there. */
const language_zone_t *language_default_zone(language_t *language);

/* The name that a misspelt one is nearest to, or NULL. */
const char *language_nearest_group(language_t *language, slice_t name);
const char *language_nearest_calendar(language_t *language, slice_t name);

/* ---- language_lists.c: groups and calendars ----------------------------- */

/*
 * Checks "KIND NAME { ... }" and that the name is new; `index` is the number
 * it will have.  A second one of a name is read too, for its own errors.  False
 * if there is nothing to read.
 */
bool language_check_block(language_t *language,
                          const conf_directive_t *directive, const char *usage,
                          language_names_t *names, size_t index,
                          report_place_t (*first)(const language_t *language,
                                                  uint32_t index),
                          bool *is_new);

void language_read_group(language_t *language,
                         const conf_directive_t *directive);
void language_read_calendar(language_t *language,
                            const conf_directive_t *directive);

/* ---- language_values.c: what stands in one word ------------------------- */

/* Where something stood first: "line 12", or "other.conf:12". */
#define LANGUAGE_EARLIER_MAX (CONF_QUOTE_MAX + 16)
const char *language_earlier(report_place_t here, report_place_t first,
                             char buffer[LANGUAGE_EARLIER_MAX]);

/* An id of a facility, a group or a calendar; false after an error. */
bool language_check_id(language_t *language, const char *kind,
                       const conf_directive_t *directive, uint32_t word);

/* A user's name; false after an error. */
bool language_check_user(language_t *language,
                         const conf_directive_t *directive, uint32_t word);

/* A text for people (name, contact); false after an error. */
bool language_check_text(language_t *language,
                         const conf_directive_t *directive, uint32_t word);

/* "2026-12-29", "2026-12-29..2027-01-03"; with `open`, also "2026-12-29.."
 * and "..2027-01-03" but not a day alone.  False after an error. */
bool language_days(language_t *language, const conf_directive_t *directive,
                   uint32_t word, bool open, policy_days_t *days);

/* Sorts, and joins ranges that meet; returns how many are left. */
size_t language_merge_days(policy_days_t *days, size_t count);

/* Sorts by bytes and drops repetitions; returns how many are left. */
size_t language_sort_users(slice_t *users, size_t count);

/* "15m" -> seconds; false after an error. */
bool language_duration(language_t *language, const conf_directive_t *directive,
                       uint32_t word, uint32_t *seconds);

/* A file's name in a directive, relative to the file that it stands in.  A
 * string that lives as long as the conf; NULL when out of memory. */
const char *language_path(language_t *language,
                          const conf_directive_t *directive, uint32_t word);

/* ---- language_hours.c --------------------------------------------------- */

/*
 * Reads all `hours` directives of one block (`count` directives named so) into
 * windows, sorted by start.  Windows of one starting day that meet are one;
 * those of different days stay apart, as the holiday of the starting day
 * decides.
 */
void language_hours(language_t *language,
                    const conf_directive_t *const *directives, size_t count,
                    policy_window_t **windows, size_t *windows_count);

/* ---- language_zone.c ---------------------------------------------------- */

/* The zone named there; NULL after an error, which is told at each place. */
const language_zone_t *language_zone(language_t *language,
                                     const conf_directive_t *directive,
                                     uint32_t word);

/* ---- language_certificate.c --------------------------------------------- */

/* Fingerprints of `certificate` and `device-ca`: one word's are written to
 * `*sha256`, `*count` of them.  False after an error. */
bool language_certificate(language_t *language,
                          const conf_directive_t *directive, uint32_t word,
                          const uint8_t (**sha256)[32], size_t *count);
bool language_authority(language_t *language, const conf_directive_t *directive,
                        uint32_t word, const uint8_t (**sha256)[32],
                        size_t *count);

/* ---- language_facility.c ------------------------------------------------ */

/* Whether a facility knows a directive of this name. */
bool language_facility_knows(slice_t name);

void language_facility(language_t *language, const conf_directive_t *directive,
                       policy_source_facility_t *facility);

#endif
