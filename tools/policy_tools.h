/* What the files behind `sekisho policy …` share. */

#ifndef SEKISHO_TOOLS_POLICY_TOOLS_H
#define SEKISHO_TOOLS_POLICY_TOOLS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/base/json.h"
#include "../lib/policy/decide.h"
#include "../lib/policy/geoip.h"
#include "../lib/policy/image.h"
#include "../lib/policy/policy.h"
#include "tools.h"

#define DEFAULT_TEXT  "/etc/sekisho/facilities.conf"
#define DEFAULT_IMAGE "/var/lib/sekisho/policy.img"

#define MINUTES_OF_DAY  1440
#define MINUTES_OF_WEEK 10080
#define SECONDS_OF_DAY  86400

/* The set of all services; no service's bit is below that of the first. */
#define ALL_SERVICES                                                           \
    (POLICY_SERVICE_BIT(POLICY_SERVICE_COUNT) -                                \
     POLICY_SERVICE_BIT(POLICY_SERVICE_WEB))

extern const command_t policy_check_command;
extern const command_t policy_apply_command;
extern const command_t policy_show_command;
extern const command_t policy_explain_command;
extern const command_t policy_diff_command;
extern const command_t policy_simulate_command;

/* ---- A policy from a file (policy_input.c) ------------------------------ */

typedef struct {
    uint8_t *bytes; /* of the image */
    size_t size;
    size_t facilities;
    size_t networks;
} compiled_t;

static inline void
compiled_free(compiled_t *compiled)
{
    free(compiled->bytes);
}

/*
 * Reads, checks and compiles a policy text; what is to be said about it goes
 * to the report.  False if that holds an error.
 */
bool policy_compile_file(const char *path, report_t *report,
                         compiled_t *compiled);

/*
 * Opens an image, or compiles a text in memory: told apart by the image's
 * magic.  STATUS_OK, or STATUS_ERROR after it was said.
 */
int policy_open(const char *command, const char *path, policy_image_t **image);

static inline void
cleanup_image(policy_image_t **image)
{
    policy_image_free(*image);
}

/* ---- The record of a change in the trail (policy_record.c) --------------- */

typedef struct recording_s recording_t;

typedef struct {
    const char *image; /* absolute path of what is replaced */
    const char *text;  /* of what it was made of */
    const char *old;   /* version; "": none, or unusable */
    const char *version;
    const char *note; /* or NULL */
} policy_change_t;

/*
 * Finds the daemon that records changes: --config, --socket, or what this host
 * has.  No configuration: nothing is recorded, which is said.  A configured
 * daemon that does not answer is an error, which is told, unless --unrecorded
 * is given.  recording_close() in any case; it takes NULL.
 */
int recording_open(const arguments_t *arguments, recording_t **recording);
void recording_close(recording_t *recording);

/*
 * Returns when the record of the change is on disk, or needs not be.  The
 * error is told.  Called before anything changes.
 */
int recording_change(recording_t *recording, const policy_change_t *change);

/* Records that the change did not come about after all; an error is told. */
void recording_failure(recording_t *recording, const policy_change_t *change);

/* ---- A policy as text (policy_text.c) ----------------------------------- */

/*
 * A growing text, made with stdio.  After text_begin(), write to ->out;
 * text_end() gives what was written since, valid until the next text_begin().
 */
typedef struct {
    FILE *out;
    char *data;
    size_t size;
} text_t;

int text_open(text_t *text);
void text_close(text_t *text);
FILE *text_begin(text_t *text);
slice_t text_end(text_t *text);

/* "sha256:" and 64 digits, with the NUL. */
#define FINGERPRINT_TEXT_MAX 72

void fingerprint_format(const uint8_t sha256[32],
                        char text[FINGERPRINT_TEXT_MAX]);

const char *device_name(uint8_t device);

/*
 * The windows of a facility, at least one for one that is always open;
 * malloc'ed, or NULL when out of memory.
 */
policy_window_t *facility_windows(const policy_image_t *image,
                                  uint32_t facility, size_t *count);

/* "mon-fri 08:00-19:00 sat 08:00-13:00": `hours` of the language. */
void write_windows(FILE *out, const policy_window_t *windows, size_t count);

/* The same for a facility; "always". */
void write_hours(FILE *out, const policy_image_t *image, uint32_t facility);

/* "2026-12-29..2027-01-03", or one day. */
void write_days(FILE *out, int32_t first, int32_t last);

/* "2026-04-01..2027-03-31", "2026-04-01.." or "always". */
void write_valid(FILE *out, int32_t from, int32_t to);

/* "query view", "web ssh"; "any" for all services. */
void write_actions(FILE *out, uint32_t actions);
void write_services(FILE *out, uint32_t services);

/* "15m", "8h", "90s". */
void write_duration(FILE *out, uint32_t seconds);

/* One facility as a text that compiles to itself. */
void write_facility(FILE *out, const policy_image_t *image, uint32_t facility);

/* One facility as a JSON object. */
void facility_json(json_t *json, const char *name, const policy_image_t *image,
                   uint32_t facility);

/* "Sat 2026-11-28" and " 10:12" of local seconds. */
void write_local_day(FILE *out, int64_t local);
void write_local_minute(FILE *out, int64_t local);

/* ---- Who gains and who loses (policy_compare.c, policy_ranges.c) -------- */

typedef enum {
    EFFECT_GAIN = 1, /* somebody may enter, or do, what was refused */
    EFFECT_LOSS,
    EFFECT_OTHER
} effect_t;

typedef struct {
    effect_t effect;
    const char *what; /* "network", "users" …; a stable name */
    slice_t facility; /* id; empty where it is about addresses */
    slice_t text;     /* a sentence without a full stop */
} change_t;

typedef void (*change_fn)(void *context, const change_t *change);

/* A facility of either policy, by its id. */
typedef struct {
    slice_t id;
    uint32_t before; /* index, or POLICY_NO_FACILITY */
    uint32_t after;
} pair_t;

typedef struct {
    const policy_image_t *before;
    const policy_image_t *after;
    pair_t *pairs; /* sorted by id */
    size_t pairs_count;
    text_t text;
    change_fn tell;
    void *context;
} comparison_t;

/*
 * Tells each difference, addresses first, then facility by facility.  0 or
 * -ENOMEM.
 */
int policy_compare(const policy_image_t *before, const policy_image_t *after,
                   change_fn tell, void *context);

/* The part about addresses. */
int compare_ranges(comparison_t *comparison);

void comparison_tell(comparison_t *comparison, effect_t effect,
                     const char *what, slice_t facility);

/* Prints one change as a line "+ …", "- …" or "~ …". */
void print_change(const change_t *change);

/* ---- What explain is told of a device (certificate.c, geoip.c) ---------- */

typedef struct {
    policy_certificate_t certificate;
    bool dates_known;  /* a file was read, not a fingerprint alone */
    bool checked;      /* the chain was, against the authority's file */
    char *subject;     /* one line; NULL if not known */
    const char *error; /* why it was not verified; OpenSSL's words */
    void *leaf;        /* X509 */
    void *others;      /* STACK_OF(X509): the rest of the file */
    void *authorities; /* X509_STORE */
} device_t;

/*
 * `source` is "sha256:HEX" or a file, PEM or DER; `authority` a PEM file, or
 * NULL.  STATUS_OK, or STATUS_ERROR after it was said.
 */
int device_open(const char *command, const char *source, const char *authority,
                device_t *device);
/* Verifies the chain as of a moment. */
void device_verify(device_t *device, int64_t now);
void device_close(device_t *device);

/* geoip_load(); STATUS_OK, or STATUS_ERROR after it was said. */
int geoip_open(const char *command, const char *path, geoip_t **geoip);
void geoip_close(geoip_t *geoip);

#endif
