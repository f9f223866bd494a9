/* What `sekisho audit review` and `audit quiet` share. */

#define _GNU_SOURCE
#include <errno.h>
#include <sqlite3.h>
#include <time.h>

#include "audit_findings.h"

const char *
day_text(int32_t day, char text[CLOCK_TEXT_MAX])
{
    (void) clock_format_day(day, text);
    return text;
}


int
settings_find(const arguments_t *arguments, findings_settings_t *settings)
{
    const char *given = option_value(arguments, "--settings");
    _cleanup_(cleanup_report) report_t *report = report_new();
    int error;

    if (report == NULL) {
        return fail(arguments->command->name, "out of memory");
    }
    error = findings_settings_read(given == NULL ? FINDINGS_FILE : given,
                                   given != NULL, settings, report);
    print_report(report);
    if (error < 0) {
        return fail(arguments->command->name, "%s: %s",
                    given == NULL ? FINDINGS_FILE : given,
                    error == -EINVAL ? "it has errors" : strerror(-error));
    }
    return STATUS_OK;
}


/* The configured policy may not be there yet; one that was asked for must. */
static int
open_policy(look_t *look)
{
    const char *given = option_value(look->arguments, "--policy");
    const char *path = given;

    if (path == NULL && look->place.config != NULL &&
        look->place.config->policy != NULL &&
        access(look->place.config->policy, R_OK) == 0)
    {
        path = look->place.config->policy;
    }
    return path == NULL ? STATUS_OK
                        : policy_open(look->arguments->command->name, path,
                                      &look->policy);
}


static int
open_index(look_t *look)
{
    const char *command = look->arguments->command->name;
    char why[256];

    if (index_find(look->arguments, &look->place, look->reader, &look->index,
                   why) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (look->index == NULL) {
        return fail(command, "%s: make the index with \"sekisho audit index\"",
                    why);
    }
    return STATUS_OK;
}


static int
open_all(look_t *look)
{
    const char *command = look->arguments->command->name;
    const char *geoip = option_value(look->arguments, "--geoip");
    char error[256];

    if (place_find(look->arguments, &look->place) != STATUS_OK ||
        settings_find(look->arguments, &look->settings) != STATUS_OK ||
        reader_open(command, &look->place, &look->reader) != STATUS_OK ||
        open_index(look) != STATUS_OK || open_policy(look) != STATUS_OK ||
        (geoip != NULL &&
         geoip_open(command, geoip, &look->geoip) != STATUS_OK) ||
        read_recorded(look->arguments, &look->place) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (reviews_read(index_handle(look->index), look->reader, &look->reviews,
                     error) < 0)
    {
        return fail(command, "%s", error);
    }
    return STATUS_OK;
}


int
look_open(const arguments_t *arguments, look_t *look)
{
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    *look = (look_t){.arguments = arguments};
    look->now_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
    if (open_all(look) != STATUS_OK) {
        return STATUS_ERROR;
    }
    look->input = (findings_input_t){
        .db = index_handle(look->index),
        .reader = look->reader,
        .settings = &look->settings,
        .policy = look->policy,
        .country = look->geoip == NULL ? NULL : geoip_country,
        .country_context = look->geoip,
    };
    return STATUS_OK;
}


void
look_close(look_t *look)
{
    reviews_free(&look->reviews);
    geoip_close(look->geoip);
    policy_image_free(look->policy);
    index_close(look->index);
    trail_reader_free(look->reader);
    place_free(&look->place);
}


/* When the first record was. */
static int
first_time(const look_t *look, int64_t *time_ms)
{
    sqlite3 *db = index_handle(look->index);
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, "SELECT " INDEX_FIRST_TIME, -1,
                                    &statement, NULL);

    *time_ms = look->now_ms;
    if (result == SQLITE_OK) {
        result = sqlite3_step(statement);
        if (result == SQLITE_ROW &&
            sqlite3_column_type(statement, 0) != SQLITE_NULL) {
            *time_ms = sqlite3_column_int64(statement, 0);
        }
    }
    (void) sqlite3_finalize(statement);
    return result == SQLITE_ROW || result == SQLITE_DONE
               ? STATUS_OK
               : fail(look->arguments->command->name, "audit.db: %s",
                      sqlite3_errmsg(db));
}


int
look_period(look_t *look, int64_t *from_ms, int64_t *to_ms)
{
    const char *command = look->arguments->command->name;
    const char *from = option_value(look->arguments, "--from");
    const char *to = option_value(look->arguments, "--to");
    int64_t seconds;

    if (from != NULL && option_given(look->arguments, "--since-last")) {
        return fail(command, "--from and --since-last: choose one");
    }
    *to_ms = look->now_ms;
    if (to != NULL) {
        if (!time_argument(slice_of(to), true, &seconds)) {
            return fail(command,
                        "--to %s: no time; write 2026-11-24, or "
                        "2026-11-24T06:09",
                        to);
        }
        /* what is to come cannot have been looked at */
        *to_ms = seconds * 1000 < look->now_ms ? seconds * 1000 : look->now_ms;
    }
    if (from != NULL) {
        if (!time_argument(slice_of(from), false, &seconds)) {
            return fail(command,
                        "--from %s: no time; write 2026-11-24, or "
                        "2026-11-24T06:09",
                        from);
        }
        *from_ms = seconds * 1000;
    } else if (look->reviews.reviews_count > 0) {
        *from_ms = look->reviews.reviews[look->reviews.reviews_count - 1]
                       .last_ms;
    } else if (first_time(look, from_ms) != STATUS_OK) {
        return STATUS_ERROR;
    }
    /* looked at a moment ago, or the index is still empty: nothing is new, which
     * is no mistake */
    if (from == NULL && to == NULL && *from_ms >= *to_ms) {
        *from_ms = *to_ms - 1;
    }
    if (*from_ms >= *to_ms) {
        return fail(command, "the period ends before it begins");
    }
    return STATUS_OK;
}


void
own_record(record_event_t event, own_words_t *own, record_t *record)
{
    caller_name(own->user);
    (void) snprintf(own->peer, sizeof(own->peer), "%lu:%ld",
                    (unsigned long) getuid(), (long) getpid());
    memset(record, 0, sizeof(*record));
    record->values[RECORD_EVENT] = slice_of(record_event_name(event));
    record->values[RECORD_OUTCOME] = SLICE("0");
    record->values[RECORD_USER] = slice_of(own->user);
    record->values[RECORD_ADDRESS] = SLICE("local");
    record->values[RECORD_PEER] = slice_of(own->peer);
}


int
record_failed(const char *command, const place_t *place, client_t *client,
              int error)
{
    return fail(command, "%s: nothing was recorded: %s", place->socket,
                error == -ENOSPC ? client_reason(client)
                : error == -EPROTO
                    ? "the daemon cut the connection; see its log"
                    : strerror(-error));
}


int
check_words(const char *command, const char *what, slice_t text, size_t most)
{
    if (text.size == 0) {
        return fail(command, "%s: a text is missing", what);
    }
    if (text.size > most) {
        return fail(command, "%s: at most %zu bytes; this is %zu", what, most,
                    text.size);
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char) text.data[i];

        if (c < ' ' || c == 0x7f) {
            return fail(command, "%s: one line, without control characters",
                        what);
        }
    }
    return STATUS_OK;
}
