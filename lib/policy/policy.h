/*
 * The policy language: facilities.conf -> a checked policy -> an image.
 *
 * Everything of docs/policy.md (facilities.conf(5)) is read, checked and
 * resolved here: groups and calendars are expanded, certificates and
 * authorities are read from their files and hashed, zones exist.  Errors go to
 * the report, all of a file in one go.
 */

#ifndef SEKISHO_POLICY_POLICY_H
#define SEKISHO_POLICY_POLICY_H

#include <stdint.h>

#include "../base/address.h"
#include "../base/report.h"
#include "image.h"

typedef enum {
    POLICY_DEVICE_NONE = 1,
    POLICY_DEVICE_OPTIONAL,
    POLICY_DEVICE_REQUIRED
} policy_device_t;

/* Bounds of the language; more is an error that names the place. */
#define POLICY_FACILITIES_MAX 100000
#define POLICY_NETWORKS_MAX   4000000
#define POLICY_ID_SIZE_MAX    64  /* bytes; [a-z0-9][a-z0-9._-]* */
#define POLICY_TEXT_SIZE_MAX  256 /* bytes, of name and contact */
#define POLICY_USER_SIZE_MAX  256
#define POLICY_LIST_MAX       65535 /* of any list in one facility but networks */

typedef struct {
    prefix_t prefix;
    report_place_t place;
} policy_source_network_t;

typedef struct {
    int32_t first, last; /* days since 1970-01-01, both inclusive */
} policy_days_t;

typedef struct {
    uint16_t start, end; /* local minutes of the week from Monday 00:00 */
} policy_window_t;

typedef struct {
    uint8_t sha256[32];
    report_place_t place;
} policy_fingerprint_t;

/* One facility; every list is in the order of the file. */
typedef struct {
    slice_t id;
    report_place_t place;
    slice_t name, contact, zone;
    bool any, local, dry_run, second_factor, off_hours_factor;
    bool has_hours; /* there was an `hours` line */
    bool has_users; /* there was a `users` line */
    policy_device_t device;
    uint32_t services, actions;
    uint32_t idle_seconds, max_seconds;
    int32_t valid_from, valid_to;
    policy_source_network_t *networks;
    size_t networks_count;
    address_t *via;
    size_t via_count;
    char (*countries)[2];
    size_t countries_count;
    policy_fingerprint_t *pins;
    size_t pins_count;
    policy_fingerprint_t *authorities;
    size_t authorities_count;
    policy_window_t *hours;
    size_t hours_count;
    policy_days_t *closed; /* sorted, merged */
    size_t closed_count;
    slice_t *users; /* sorted, unique */
    size_t users_count;
} policy_source_facility_t;

typedef struct {
    policy_source_facility_t *facilities; /* in the order of the file */
    size_t facilities_count;
} policy_source_t;

/*
 * Reads and checks.  `now` (Unix seconds) is for warnings alone (an expired
 * `valid`).  NULL if the report holds an error.  Freed by
 * policy_source_free(), which takes NULL; the report keeps its own copies.
 */
policy_source_t *policy_source_read_file(const char *path, int64_t now,
                                         report_t *report);
policy_source_t *policy_source_read_text(const char *name, slice_t text,
                                         int64_t now, report_t *report);
void policy_source_free(policy_source_t *source);

/*
 * Compiles: the same policy gives the same bytes, on any day and any machine
 * with the same time-zone data.  *bytes is malloc'ed, the caller frees it.
 * 0 or a negative errno; facilities on one prefix that no certificate tells
 * apart are errors in the report (-EINVAL).
 */
int policy_compile(const policy_source_t *source, report_t *report,
                   uint8_t **bytes, size_t *size);

#endif
