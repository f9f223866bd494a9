/* Records as lines for people, as the trail's own JSON, as CSV. */

#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>

#include "../lib/base/clock.h"
#include "../lib/trail/trail.h"
#include "audit_tools.h"

#define WIDTH_MAX 40 /* a longer value moves the rest of its own line only */

static const char *const headings[LINE_COLUMNS] = {
    "ENTRY", "TIME",     "EVENT",   "RESULT",
    "USER",  "FACILITY", "ADDRESS", "ACTION"};

static const size_t first_widths[LINE_COLUMNS] = {5, 19, 11, 6, 8, 11, 12, 6};

int
printer_make(const arguments_t *arguments, printer_t *printer)
{
    bool json = option_given(arguments, "--json");
    bool csv = option_given(arguments, "--csv");

    memset(printer, 0, sizeof(*printer));
    if (json && csv) {
        return fail(arguments->command->name,
                    "--json and --csv are two formats: give one");
    }
    printer->format = json ? FORMAT_JSON : csv ? FORMAT_CSV : FORMAT_LINES;
    memcpy(printer->widths, first_widths, sizeof(first_widths));
    printer->buffer = malloc(TRAIL_ENTRY_MAX);
    return printer->buffer == NULL
               ? fail(arguments->command->name, "out of memory")
               : STATUS_OK;
}


void
printer_free(printer_t *printer)
{
    free(printer->buffer);
    printer->buffer = NULL;
}


size_t
local_time(slice_t time, char text[64])
{
    int64_t seconds;
    time_t value;
    struct tm tm;
    bool local;

    if (time.size < 60 && clock_parse(time, &seconds, &local) && !local) {
        value = (time_t) seconds;
        if (localtime_r(&value, &tm) != NULL) {
            return strftime(text, 64, "%Y-%m-%d %H:%M:%S", &tm);
        }
    }
    return (size_t) snprintf(
        text, 64, "%.*s", (int) (time.size < 60 ? time.size : 60), time.data);
}


/* ---- A line for people ---------------------------------------------------*/

static style_t
line_style(record_event_t event, slice_t outcome)
{
    switch (event) {
    case EVENT_DENIED:
        return STYLE_BAD;
    case EVENT_GAP:
    case EVENT_TAIL_CUT:
    case EVENT_LOST:
    case EVENT_RECORDING_OFF:
        return STYLE_WARN;
    case EVENT_HEARTBEAT:
    case EVENT_ACCESS_JOINED:
        return STYLE_DIM;
    default:
        return outcome.size == 0 || slice_is(outcome, "0") ? STYLE_NONE
                                                           : STYLE_BAD;
    }
}


static slice_t
outcome_mark(slice_t outcome)
{
    if (slice_is(outcome, "0")) {
        return SLICE("ok");
    }
    return outcome.size == 0         ? SLICE("-")
           : slice_is(outcome, "4")  ? SLICE("minor")
           : slice_is(outcome, "8")  ? SLICE("failed")
           : slice_is(outcome, "12") ? SLICE("major")
                                     : outcome;
}


/* What else a line tells, in this order, each after its name. */
static const struct {
    record_field_t field;
    const char *name;
} details[] = {
    {RECORD_PATIENT, "patient"},
    {RECORD_STUDY, "study"},
    {RECORD_SERIES, "series"},
    {RECORD_INSTANCE, "instance"},
    {RECORD_REASON, "reason"},
    {RECORD_QUERY, "query"},
    {RECORD_REQUESTS, "requests"},
    {RECORD_INSTANCES, "instances"},
    {RECORD_BYTES, "bytes"},
    {RECORD_COUNT_FOLDED, "times"},
    {RECORD_LOST, "lost"},
    {RECORD_MISSING, "missing"},
    {RECORD_FROM_NUMBER, "from number"},
    {RECORD_OF_FRONT, "of front end"},
    {RECORD_CUT_BYTES, "bytes cut"},
    {RECORD_CLOCK, "clock"},
    {RECORD_TREE_SIZE, "entries"},
    {RECORD_KEY, "key"},
    {RECORD_POLICY, "policy"},
    {RECORD_OLD, "before"},
    {RECORD_FILE, "from"},
    {RECORD_VERSION, "version"},
    {RECORD_PURPOSE, "purpose"},
    {RECORD_NOTE, "note"},
};

/* Every record has the policy that decided; news it is only in its own. */
static bool
is_told(record_field_t field, slice_t event)
{
    return field != RECORD_POLICY ||
           slice_is(event, record_event_name(EVENT_POLICY_CHANGED));
}


static void
print_cell(printer_t *printer, size_t column, slice_t text)
{
    size_t width = safe_width(text);

    if (width > printer->widths[column] && width <= WIDTH_MAX) {
        printer->widths[column] = width;
    }
    print_padded(stdout, text, printer->widths[column]);
    fputs("  ", stdout);
}


/* The end of an access, in its own line. */
typedef struct {
    uint64_t closed;       /* entry of the close */
    const record_t *close; /* NULL: still open */
} end_t;

static bool
is_interrupted(const end_t *end)
{
    return slice_is(end->close->values[RECORD_REASON], "interrupted");
}


/* "0.4 s", "25 s", "3 min 12 s", "2 h 05 min" */
static void
print_duration(slice_t text)
{
    unsigned long long ms = 0;

    for (size_t i = 0; i < text.size && i < 18; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return;
        }
        ms = ms * 10 + (unsigned long long) (text.data[i] - '0');
    }
    if (ms < 10000) {
        printf("%llu.%llu s", ms / 1000, ms % 1000 / 100);
    } else if (ms < 60000) {
        printf("%llu s", ms / 1000);
    } else if (ms < 3600000) {
        printf("%llu min %02llu s", ms / 60000, ms / 1000 % 60);
    } else {
        printf("%llu h %02llu min", ms / 3600000, ms / 60000 % 60);
    }
}


static void
print_end(const end_t *end, const char *between)
{
    slice_t duration;

    if (end->close == NULL) {
        printf("%sstill open", between);
        return;
    }
    duration = end->close->values[RECORD_DURATION_MS];
    if (duration.size > 0) {
        printf("%sduration ", between);
        print_duration(duration);
        between = ", ";
    }
    if (is_interrupted(end)) {
        printf("%sinterrupted", between);
    }
}


/* `end` is NULL for what is no access of one line. */
static void
print_line(printer_t *printer, uint64_t index, const record_t *record,
           const end_t *end)
{
    static const record_field_t cells[LINE_COLUMNS] = {
        RECORD_ID /* its index */,
        RECORD_TIME,
        RECORD_EVENT,
        RECORD_OUTCOME,
        RECORD_USER,
        RECORD_FACILITY,
        RECORD_ADDRESS,
        RECORD_ACTION};
    slice_t event = record->values[RECORD_EVENT];
    style_t style = line_style(record_event_find(event),
                               record->values[RECORD_OUTCOME]);
    const char *between = "";

    fputs(style_on(stdout, style), stdout);
    for (size_t i = 0; i < LINE_COLUMNS; i++) {
        slice_t value = record->values[cells[i]];
        char text[64];

        if (i == 0) {
            value.data = text;
            value.size = (size_t) snprintf(text, sizeof(text), "%llu",
                                           (unsigned long long) index);
        } else if (cells[i] == RECORD_TIME) {
            value = (slice_t){text, local_time(value, text)};
        } else if (cells[i] == RECORD_OUTCOME) {
            value = outcome_mark(value);
        }
        print_cell(printer, i, value.size == 0 ? SLICE("-") : value);
    }
    for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++) {
        slice_t value = record->values[details[i].field];

        if (value.size > 0 && is_told(details[i].field, event)) {
            fprintf(stdout, "%s%s ", between, details[i].name);
            print_safe(stdout, value);
            between = ", ";
        }
    }
    if (end != NULL) {
        print_end(end, between);
    }
    fputs(style_off(stdout, style), stdout);
    fputc('\n', stdout);
}


/* ---- CSV (RFC 4180) ------------------------------------------------------*/

/* Spreadsheets take a cell that begins so for a formula, in quotes too. */
static bool
is_formula(slice_t text)
{
    return text.size > 0 && memchr("=+-@\t\r", text.data[0], 6) != NULL;
}


void
print_csv_cell(slice_t text)
{
    fputs(is_formula(text) ? "\"'" : "\"", stdout);
    while (text.size > 0) {
        const char *quote = memchr(text.data, '"', text.size);
        size_t size = quote == NULL ? text.size : (size_t) (quote - text.data);

        print_safe(stdout, (slice_t){text.data, size});
        if (quote != NULL) {
            fputs("\"\"", stdout);
            size++;
        }
        text = slice_from(text, size);
    }
    fputc('"', stdout);
}


static void
print_csv(const printer_t *printer, uint64_t index, const record_t *record,
          const end_t *end)
{
    printf("%llu", (unsigned long long) index);
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        fputc(',', stdout);
        if (record->values[i].size > 0) {
            print_csv_cell(record->values[i]);
        }
    }
    if (end == NULL) {
        fputs(printer->accesses ? ",," : "", stdout);
    } else if (end->close == NULL) {
        fputs(",,\"open\"", stdout);
    } else {
        printf(",%llu,\"%s\"", (unsigned long long) end->closed,
               is_interrupted(end) ? "interrupted" : "closed");
    }
    fputs("\r\n", stdout);
}


/* ---- All -----------------------------------------------------------------*/

void
printer_begin(printer_t *printer)
{
    if (printer->format == FORMAT_CSV) {
        fputs("index", stdout);
        for (unsigned i = 0; i < RECORD_FIELDS; i++) {
            printf(",%s", record_field_name((record_field_t) i));
        }
        fputs(printer->accesses ? ",closed,state\r\n" : "\r\n", stdout);
    } else if (printer->format == FORMAT_LINES && isatty(STDOUT_FILENO) == 1) {
        fputs(style_on(stdout, STYLE_BOLD), stdout);
        for (size_t i = 0; i < LINE_COLUMNS; i++) {
            print_cell(printer, i, slice_of(headings[i]));
        }
        printf("WHAT%s\n", style_off(stdout, STYLE_BOLD));
    }
    printer->begun = true;
}


static void
print_unreadable(const printer_t *printer, uint64_t index, slice_t entry)
{
    _cleanup_(cleanup_json) json_t json;

    if (printer->format == FORMAT_CSV) {
        record_t none = {0};

        none.values[RECORD_NOTE] = SLICE("this entry is no record");
        print_csv(printer, index, &none, NULL);
        return;
    }
    if (printer->format == FORMAT_LINES) {
        printf("entry #%llu is no record: ", (unsigned long long) index);
        print_safe(stdout, entry);
        fputc('\n', stdout);
        return;
    }
    json_init(&json);
    json_object(&json, NULL);
    json_int(&json, "index", (int64_t) index);
    json_text(&json, "unreadable", entry);
    json_end_object(&json);
    (void) print_json(NULL, json_result(&json));
}


void
print_own_line(slice_t entry)
{
    if (isatty(STDOUT_FILENO) == 1) {
        (void) print_json(NULL, entry);
    } else {
        fwrite(entry.data, 1, entry.size, stdout);
        fputc('\n', stdout);
    }
}


void
printer_entry(printer_t *printer, uint64_t index, slice_t entry,
              const record_t *record)
{
    if (!printer->begun) {
        printer_begin(printer);
    }
    if (record == NULL) {
        print_unreadable(printer, index, entry);
        return;
    }
    switch (printer->format) {
    case FORMAT_JSON:
        print_own_line(entry);
        return;
    case FORMAT_CSV:
        print_csv(printer, index, record, NULL);
        return;
    default:
        print_line(printer, index, record, NULL);
        return;
    }
}


/*
 * What a close says of its access: what came of it, and what the opening could
 * not know yet.  The rest of it is about the close itself.
 */
static void
take_close(record_t *record, const record_t *close)
{
    static const record_field_t own[] = {
        RECORD_ID,     RECORD_TIME,  RECORD_HOST, RECORD_SOURCE,
        RECORD_NUMBER, RECORD_FRONT, RECORD_OPEN, RECORD_SKIPPED,
    };

    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        bool takes = record->values[i].size == 0 || i == RECORD_OUTCOME;

        for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++) {
            takes = takes && i != own[k];
        }
        if (takes && close->values[i].size > 0) {
            record->values[i] = close->values[i];
        }
    }
}


void
printer_access(printer_t *printer, uint64_t index, const record_t *opening,
               uint64_t closed, const record_t *close)
{
    const end_t end = {closed, close};
    record_t record = *opening;

    if (!printer->begun) {
        printer_begin(printer);
    }
    if (close != NULL) {
        take_close(&record, close);
    }
    if (printer->format == FORMAT_CSV) {
        print_csv(printer, index, &record, &end);
        return;
    }
    /* said in words, or how it went as ever: idle, age */
    record.values[RECORD_REASON] = opening->values[RECORD_REASON];
    print_line(printer, index, &record, &end);
}
