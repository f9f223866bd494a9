/* What the files behind `sekisho audit …` share. */

#ifndef SEKISHO_AUDIT_TOOLS_H
#define SEKISHO_AUDIT_TOOLS_H

#include "../lib/trail/reader.h"
#include "../lib/trail/record.h"
#include "../lib/trail/verify.h"
#include "trail_tools.h"

#define TRAIL_OPTION                                                           \
    {                                                                          \
        "--trail", "DIR",                                                      \
            "Folder of the trail, or of a copy [the daemon's own]."            \
    }
#define UNRECORDED_OPTION                                                      \
    {                                                                          \
        "--unrecorded", NULL,                                                  \
            "Read the daemon's trail although the reading cannot be recorded." \
    }
#define NOTE_OPTION                                                            \
    {                                                                          \
        "--note", "TEXT", "Why you read the trail; recorded with the reading." \
    }

extern const command_t audit_tail_command, audit_search_command,
    audit_show_command, audit_verify_command, audit_prove_command,
    audit_checkpoint_command, audit_status_command, audit_report_command,
    audit_evidence_command, audit_checklist_command, audit_exports_command,
    audit_accounts_command, audit_coverage_command;

/* ---- Opening the trail, and telling the daemon (audit_read.c) ------------ */

/* Opens the trail for reading; no key is needed for that.  The error is
 * told. */
int reader_open(const char *command, const place_t *place,
                trail_reader_t **reader);

/*
 * Records who reads what, if the trail is a daemon's own; STATUS_ERROR, after
 * it was said, if that cannot be done and --unrecorded is not given.  Called
 * before anything of the trail is printed.
 */
int read_recorded(const arguments_t *arguments, const place_t *place);

static inline void
cleanup_reader(trail_reader_t **reader)
{
    trail_reader_free(*reader);
}

static inline void
cleanup_scan(trail_scan_t **scan)
{
    trail_scan_free(*scan);
}

/*
 * The first of the first `size` entries that is not before `seconds`, by
 * halving (audit_span.c).  0; 1 if a time on the way cannot be read, so that all
 * must be looked at; or a negative errno.
 */
int entries_find_time(trail_reader_t *reader, uint64_t size, int64_t seconds,
                      uint64_t *index);

/* ---- Which records (audit_filter.c) -------------------------------------- */

#define FILTER_TERMS_MAX 12

typedef struct {
    record_field_t field;
    slice_t value;
    slice_t needle; /* as it stands in a line: ,"user":"yamada" */
} filter_term_t;

typedef struct {
    filter_term_t terms[FILTER_TERMS_MAX];
    unsigned count;
    char from[RECORD_TIME_TEXT_MAX]; /* as in a record; "": no bound */
    char to[RECORD_TIME_TEXT_MAX];   /* exclusive */
    int64_t from_seconds;
    int64_t to_seconds;
    bool failures;   /* any outcome but 0 */
    bool heartbeats; /* are wanted as well */
    char *needles;   /* owns the needles' bytes */
} filter_t;

/* From the command's options; an error is told.  filter_free() in any case. */
int filter_make(const arguments_t *arguments, filter_t *filter);
void filter_free(filter_t *filter);

/* Whether a line may match: false only if it certainly does not.  Fast. */
bool filter_may_match(const filter_t *filter, slice_t line);

bool filter_matches(const filter_t *filter, const record_t *record);

/* The text of the time in a line of the trail, where it stands in all that the
 * daemon writes; false if it is not there. */
#define LINE_TIME_SIZE 24
bool line_time(slice_t line, slice_t *time);

/*
 * "2026-11-24", "2026-11-24T06:09", with or without an offset, "@unix", "90m"
 * (ago), "today", "yesterday", "now" -> Unix seconds.  A day as the end of a
 * span is the end of that day.
 */
bool time_argument(slice_t text, bool end, int64_t *seconds);

/* ---- Records as text (audit_line.c) -------------------------------------- */

typedef enum {
    FORMAT_LINES = 0, /* for people */
    FORMAT_JSON,      /* the trail's own lines */
    FORMAT_CSV
} format_t;

#define LINE_COLUMNS 8

typedef struct {
    format_t format;
    size_t widths[LINE_COLUMNS]; /* grow with what was seen */
    bool begun;                  /* the heading is printed */
    bool accesses;               /* CSV has columns for printer_access() */
    char *buffer;                /* for record_parse() */
} printer_t;

/* --json, --csv or neither; the error is told.  printer_free() in any case. */
int printer_make(const arguments_t *arguments, printer_t *printer);
void printer_free(printer_t *printer);

/* Before the first record. */
void printer_begin(printer_t *printer);

/* One entry; `record` is NULL for what is no record. */
void printer_entry(printer_t *printer, uint64_t index, slice_t entry,
                   const record_t *record);

/* An access: its opening, which is entry `index`, and its close, or NULL: it is
 * still open.  Not for FORMAT_JSON. */
void printer_access(printer_t *printer, uint64_t index, const record_t *opening,
                    uint64_t closed, const record_t *close);

/* The trail's own line: its bytes where a program reads, harmless to a terminal
 * where a person does. */
void print_own_line(slice_t entry);

/* A cell of CSV (RFC 4180) on standard output, harmless to a spreadsheet. */
void print_csv_cell(slice_t text);

/* A number that people read: "12,345,678".  Returns `text`. */
#define COUNT_TEXT_MAX 32
const char *count_text(uint64_t number, char text[COUNT_TEXT_MAX]);

/* "2026-11-24 15:09:02" of a record's time, in local time; what is no time is
 * as it is.  Returns its size. */
size_t local_time(slice_t time, char text[64]);

/* ---- A list of records (audit_read.c) ------------------------------------ */

typedef struct {
    const char *command;
    place_t place;
    trail_reader_t *reader;
    filter_t filter;
    printer_t printer;
} listing_t;

/* From the command's options; the reading is recorded.  An error is told;
 * `listing` begins zeroed, and listing_close() in any case. */
int listing_open(const arguments_t *arguments, listing_t *listing);
void listing_close(listing_t *listing);

/* ---- One entry (audit_show.c) -------------------------------------------- */

/*
 * The entry of an id (32 hexadecimal digits) or an index ("#12", "12"): its
 * index, and its bytes until the reader's next call.  The error is told.
 */
int entry_find(const char *command, trail_reader_t *reader, const char *name,
               uint64_t *index, slice_t *entry);

/* ---- Checkpoints (audit_prove.c) ----------------------------------------- */

/* Asks the daemon for a checkpoint of all so far; an error is told.  STATUS_NO:
 * there is no daemon to ask. */
int fresh_checkpoint(const char *command, const place_t *place);

/* ---- Progress of long work, on a terminal only (audit_progress.c) -------- */

typedef struct {
    const char *verb; /* "verified" */
    bool shown;
    int64_t begun_ms;
    int64_t last_ms;
} progress_t;

void progress_begin(progress_t *progress, const char *verb);
void progress_tell(progress_t *progress, uint64_t done, uint64_t all);
/* Takes the bar away. */
void progress_end(progress_t *progress);

/* ---- Numbers without a hole (audit_numbers.c) ----------------------------- */

typedef struct numbers_s numbers_t;

typedef enum {
    NUMBERS_MISSING = 0, /* no record, and nobody said so */
    NUMBERS_RECORDED,    /* a gap record tells of it */
    NUMBERS_REPEATED,    /* a number again, or backwards */
    NUMBERS_CUT,         /* a heartbeat counts records that are not there */
    NUMBERS_REMOVED      /* a heartbeat saw a larger tree before it */
} numbers_kind_t;

typedef struct {
    numbers_kind_t kind;
    char front[33];
    uint64_t from;  /* first number */
    uint64_t count; /* of numbers, or of entries */
    uint64_t after; /* entry before the gap; UINT64_MAX: none */
    uint64_t index; /* entry that shows it */
} numbers_finding_t;

#define NUMBERS_FINDINGS_MAX 64

/* NULL when out of memory. */
numbers_t *numbers_new(void);
void numbers_free(numbers_t *numbers); /* NULL is fine */
const verify_hook_t *numbers_hook(numbers_t *numbers);

/* After the last entry: what the heartbeats counted and nobody saw. */
void numbers_end(numbers_t *numbers);

/* Findings in order of their entries; *count is all, kept are the first
 * NUMBERS_FINDINGS_MAX. */
const numbers_finding_t *numbers_findings(const numbers_t *numbers,
                                          uint64_t *count);

#endif
