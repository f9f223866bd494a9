/* Pieces of a policy as text: the language's own words wherever it has any. */

#define _GNU_SOURCE
#include "policy_tools.h"

#include <errno.h>

#include "../lib/base/clock.h"
#include "../lib/base/wipe.h"

#define DAYS_OF_WEEK 7
#define PIECES_MAX   10 /* of one window */

static const char *const day_names[DAYS_OF_WEEK] = {"mon", "tue", "wed", "thu",
                                                    "fri", "sat", "sun"};


int
text_open(text_t *text)
{
    text->data = NULL;
    text->size = 0;
    text->out = open_memstream(&text->data, &text->size);
    return text->out == NULL ? -ENOMEM : 0;
}


void
text_close(text_t *text)
{
    if (text->out != NULL) {
        (void) fclose(text->out);
        free(text->data);
        text->out = NULL;
    }
}


FILE *
text_begin(text_t *text)
{
    rewind(text->out);
    return text->out;
}


slice_t
text_end(text_t *text)
{
    if (fflush(text->out) != 0 || text->data == NULL) {
        return SLICE("(out of memory)");
    }
    return (slice_t){text->data, text->size};
}


void
fingerprint_format(const uint8_t sha256[32], char text[FINGERPRINT_TEXT_MAX])
{
    int used = snprintf(text, FINGERPRINT_TEXT_MAX, "sha256:");

    for (size_t i = 0; i < 32; i++) {
        used += snprintf(text + used, FINGERPRINT_TEXT_MAX - (size_t) used,
                         "%02x", sha256[i]);
    }
}


const char *
device_name(uint8_t device)
{
    switch (device) {
    case POLICY_DEVICE_OPTIONAL:
        return "optional";
    case POLICY_DEVICE_REQUIRED:
        return "required";
    default:
        return "none";
    }
}


/* ---- Hours -------------------------------------------------------------- */

/* A window as the language writes it: on a day, from, to; to may be of the
 * next day, and is then the smaller number. */
typedef struct {
    uint8_t day;
    uint16_t from, to; /* minutes of the day */
} piece_t;


/*
 * A window that no single span can say (a day and more; the language joins the
 * spans of one starting day) is written as two of the same starting day, since
 * that day's holiday decides.  What is longer still is cut at midnight.
 */
static size_t
cut_window(policy_window_t window, piece_t pieces[PIECES_MAX])
{
    uint32_t start = window.start, end = window.end;
    size_t count = 0;

    while (start < end && count + 2 <= PIECES_MAX) {
        uint8_t day = (uint8_t) (start / MINUTES_OF_DAY % DAYS_OF_WEEK);
        uint32_t midnight = (start / MINUTES_OF_DAY + 1) * MINUTES_OF_DAY;
        uint16_t from = (uint16_t) (start % MINUTES_OF_DAY);

        if (end <= midnight) {
            pieces[count++] = (piece_t){
                day, from, (uint16_t) (MINUTES_OF_DAY - (midnight - end))};
            break;
        }
        if (end - start < MINUTES_OF_DAY) {
            pieces[count++] = (piece_t){day, from, (uint16_t) (end - midnight)};
            break;
        }
        pieces[count++] = (piece_t){day, from, MINUTES_OF_DAY};
        if (end - midnight < MINUTES_OF_DAY - 1) {
            pieces[count++] = (piece_t){day, MINUTES_OF_DAY - 1,
                                        (uint16_t) (end - midnight)};
            break;
        }
        start = midnight;
    }
    return count;
}


static int
compare_pieces(const void *left, const void *right)
{
    const piece_t *a = left, *b = right;

    if (a->from != b->from) {
        return a->from < b->from ? -1 : 1;
    }
    if (a->to != b->to) {
        return a->to < b->to ? -1 : 1;
    }
    return (a->day > b->day) - (a->day < b->day);
}


/* A run of days with the same times. */
typedef struct {
    uint8_t first, last;
    uint16_t from, to;
} run_t;


static int
compare_runs(const void *left, const void *right)
{
    const run_t *a = left, *b = right;

    if (a->first != b->first) {
        return a->first < b->first ? -1 : 1;
    }
    return (a->from > b->from) - (a->from < b->from);
}


void
write_windows(FILE *out, const policy_window_t *windows, size_t count)
{
    _cleanup_(cleanup_free) piece_t *pieces = NULL;
    _cleanup_(cleanup_free) run_t *runs = NULL;
    size_t pieces_count = 0, runs_count = 0;

    pieces = malloc((count + 1) * PIECES_MAX * sizeof(*pieces));
    runs = malloc((count + 1) * PIECES_MAX * sizeof(*runs));
    if (pieces == NULL || runs == NULL) {
        fputs("(out of memory)", out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        pieces_count += cut_window(windows[i], pieces + pieces_count);
    }
    qsort(pieces, pieces_count, sizeof(*pieces), compare_pieces);
    for (size_t i = 0; i < pieces_count; i++) {
        run_t *run = runs_count == 0 ? NULL : &runs[runs_count - 1];

        if (run != NULL && run->from == pieces[i].from &&
            run->to == pieces[i].to && run->last + 1 >= pieces[i].day)
        {
            run->last = pieces[i].day;
        } else {
            runs[runs_count++] = (run_t){pieces[i].day, pieces[i].day,
                                         pieces[i].from, pieces[i].to};
        }
    }
    qsort(runs, runs_count, sizeof(*runs), compare_runs);
    for (size_t i = 0; i < runs_count; i++) {
        fprintf(out, "%s%s", i == 0 ? "" : " ", day_names[runs[i].first]);
        if (runs[i].last != runs[i].first) {
            fprintf(out, "-%s", day_names[runs[i].last]);
        }
        fprintf(out, " %02u:%02u-%02u:%02u", runs[i].from / 60u,
                runs[i].from % 60u, runs[i].to / 60u, runs[i].to % 60u);
    }
}


policy_window_t *
facility_windows(const policy_image_t *image, uint32_t index, size_t *count)
{
    policy_facility_t facility;
    policy_window_t *windows;

    *count = 0;
    if (!policy_facility(image, index, &facility)) {
        return NULL;
    }
    windows = calloc((size_t) facility.hours_count + 1, sizeof(*windows));
    if (windows == NULL) {
        return NULL;
    }
    if (!facility.has_hours) {
        windows[(*count)++] = (policy_window_t){0, MINUTES_OF_WEEK};
        return windows;
    }
    for (uint32_t i = 0; i < facility.hours_count; i++) {
        if (policy_facility_hours(image, index, i, &windows[*count].start,
                                  &windows[*count].end))
        {
            (*count)++;
        }
    }
    return windows;
}


void
write_hours(FILE *out, const policy_image_t *image, uint32_t index)
{
    _cleanup_(cleanup_free) policy_window_t *windows = NULL;
    policy_facility_t facility;
    size_t count;

    if (!policy_facility(image, index, &facility) || !facility.has_hours) {
        fputs("always", out);
        return;
    }
    windows = facility_windows(image, index, &count);
    if (windows == NULL) {
        fputs("(out of memory)", out);
        return;
    }
    write_windows(out, windows, count);
}


/* ---- Days and times ----------------------------------------------------- */

void
write_days(FILE *out, int32_t first, int32_t last)
{
    char text[CLOCK_TEXT_MAX];

    clock_format_day(first, text);
    fputs(text, out);
    if (last != first) {
        clock_format_day(last, text);
        fprintf(out, "..%s", text);
    }
}


void
write_valid(FILE *out, int32_t from, int32_t to)
{
    char text[CLOCK_TEXT_MAX];

    if (from == INT32_MIN && to == INT32_MAX) {
        fputs("always", out);
        return;
    }
    if (from != INT32_MIN) {
        clock_format_day(from, text);
        fputs(text, out);
    }
    fputs("..", out);
    if (to != INT32_MAX) {
        clock_format_day(to, text);
        fputs(text, out);
    }
}


void
write_local_day(FILE *out, int64_t local)
{
    static const char *const names[DAYS_OF_WEEK] = {"Mon", "Tue", "Wed", "Thu",
                                                    "Fri", "Sat", "Sun"};
    int64_t day = local / SECONDS_OF_DAY - (local % SECONDS_OF_DAY < 0);
    int64_t weekday = (day + 3) % DAYS_OF_WEEK; /* 1970-01-01: a Thursday */
    char text[CLOCK_TEXT_MAX];

    clock_format_day((int32_t) day, text);
    fprintf(out, "%s %s", names[weekday < 0 ? weekday + DAYS_OF_WEEK : weekday],
            text);
}


void
write_local_minute(FILE *out, int64_t local)
{
    int64_t second = local % SECONDS_OF_DAY;

    if (second < 0) {
        second += SECONDS_OF_DAY;
    }
    fprintf(out, " %02d:%02d", (int) (second / 3600), (int) (second / 60 % 60));
}


void
write_duration(FILE *out, uint32_t seconds)
{
    if (seconds % 3600 == 0) {
        fprintf(out, "%uh", seconds / 3600);
    } else if (seconds % 60 == 0) {
        fprintf(out, "%um", seconds / 60);
    } else {
        fprintf(out, "%us", seconds);
    }
}


/* ---- Sets --------------------------------------------------------------- */

void
write_actions(FILE *out, uint32_t actions)
{
    const char *space = "";

    for (action_t action = ACTION_QUERY; action < ACTION_COUNT; action++) {
        if (actions & ACTION_BIT(action)) {
            fprintf(out, "%s%s", space, action_name(action));
            space = " ";
        }
    }
}


void
write_services(FILE *out, uint32_t services)
{
    const char *space = "";

    if ((services & ALL_SERVICES) == ALL_SERVICES) {
        fputs("any", out);
        return;
    }
    for (policy_service_t s = POLICY_SERVICE_WEB; s < POLICY_SERVICE_COUNT; s++)
    {
        if (services & POLICY_SERVICE_BIT(s)) {
            fprintf(out, "%s%s", space, policy_service_name(s));
            space = " ";
        }
    }
}
