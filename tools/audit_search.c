/*
 * `sekisho audit search`: the records that match.
 *
 * With an index the entries that may match come from it, and what is behind its
 * size from the trail; without one, all from the trail.  In both cases it is the
 * trail's own line that decides and is printed; for people an access and its
 * close are one line (audit_access.c).
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../lib/base/clock.h"
#include "audit_access.h"
#include "audit_resolve.h"

/* Records are in the order of their arrival; their times are the front ends',
 * which the daemon corrects where they differ from its own by more. */
#define DISORDER_SECONDS 10

#define PROGRESS_STEP 65536 /* entries */

typedef struct {
    listing_t list;
    uint64_t limit;
    uint64_t found;
    uint64_t from;         /* entries to look at; the end may grow meanwhile */
    uint64_t to;           /* UINT64_MAX: to the end */
    uint64_t size;         /* of the tree that the answer is about */
    review_index_t *index; /* NULL: none */
    accesses_t *accesses;  /* NULL: each record on its own */
    bool by_patient;
    resolver_t resolver;
    candidates_t candidates;
} search_t;

/* Unix seconds of a sealed entry; 1, 0 for none, or a negative errno. */
static int
entry_seconds(search_t *search, uint64_t index, int64_t *seconds)
{
    slice_t entry, time;
    bool local;
    int error = trail_reader_entry(search->list.reader, index, &entry);

    if (error < 0) {
        return error;
    }
    return line_time(entry, &time) && clock_parse(time, seconds, &local);
}


/* The first entry of sealed ones that is not before `seconds`. */
static int
find_time(search_t *search, int64_t seconds, uint64_t size, uint64_t *index)
{
    uint64_t low = 0, high = size;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int64_t at;
        int result = entry_seconds(search, middle, &at);

        if (result <= 0) {
            return result;
        }
        if (at < seconds) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *index = low;
    return 1;
}


/* Where to look, by halving; everywhere, if a time on the way cannot be read. */
static int
find_span(search_t *search)
{
    const filter_t *filter = &search->list.filter;
    uint64_t size = trail_reader_checkpoint(search->list.reader)->size;
    uint64_t at;
    int result;

    search->from = 0;
    search->to = UINT64_MAX;
    if (filter->from[0] != '\0') {
        result = find_time(search, filter->from_seconds - DISORDER_SECONDS,
                           size, &at);
        if (result <= 0) {
            return result;
        }
        search->from = at;
    }
    if (filter->to[0] != '\0') {
        result = find_time(search, filter->to_seconds + DISORDER_SECONDS, size,
                           &at);
        if (result <= 0) {
            search->from = 0;
            return result;
        }
        search->to = at < size ? at : UINT64_MAX;
    }
    return 0;
}


static int
index_problem(search_t *search, int error)
{
    return fail(search->list.command, "%s: try again with --full",
                error == -EIO ? "the index cannot be read" : strerror(-error));
}


/* A record of the answer. */
static int
take(search_t *search, uint64_t index, slice_t entry, const record_t *record)
{
    bool line = true;

    if (search->accesses == NULL) {
        printer_entry(&search->list.printer, index, entry, record);
    } else if (accesses_take(search->accesses, index, entry, record, &line) !=
               STATUS_OK)
    {
        return STATUS_ERROR;
    }
    search->found += line;
    return STATUS_OK;
}


static int
look_at(search_t *search, uint64_t index, slice_t entry)
{
    record_t record;
    /* what is no record of ours is nothing that a search could miss */
    bool matches = filter_may_match(&search->list.filter, entry) &&
                   record_parse(entry, &record, search->list.printer.buffer) &&
                   filter_matches(&search->list.filter, &record);

    if (matches && search->by_patient) {
        int error = resolver_matches(&search->resolver, &record, &matches);

        if (error < 0) {
            return index_problem(search, error);
        }
    }
    if (matches) {
        return take(search, index, entry, &record);
    }
    return search->accesses == NULL
               ? STATUS_OK
               : accesses_pass(search->accesses, index, entry);
}


/* Takes in whose studies they are, from an entry on to the end. */
static int
resolve(search_t *search, uint64_t from)
{
    int error = resolver_read(&search->resolver, search->list.reader, from,
                              search->size, &search->candidates);

    if (error == 0) {
        return STATUS_OK;
    }
    return trail_reader_problem(search->list.reader)[0] != '\0'
               ? fail(search->list.command, "%s",
                      trail_reader_problem(search->list.reader))
               : index_problem(search, error);
}


/* What the index names, up to its size. */
static int
look_up(search_t *search)
{
    uint64_t end = index_size(search->index);
    int error;

    end = search->to < end ? search->to : end;
    error = search->by_patient
                ? candidates_of_patient(&search->candidates, search->index,
                                        search->resolver.patient)
                : candidates_of_filter(&search->candidates, search->index,
                                       &search->list.filter, search->from, end);
    if (error < 0) {
        return index_problem(search, error);
    }
    candidates_sort(&search->candidates);
    for (size_t i = 0; i < search->candidates.count &&
                       search->found < search->limit && ferror(stdout) == 0;
         i++)
    {
        uint64_t number = search->candidates.numbers[i];
        slice_t entry;

        if (number < search->from || number >= end) {
            continue;
        }
        error = trail_reader_entry(search->list.reader, number, &entry);
        if (error < 0) {
            return fail(search->list.command, "%s",
                        trail_reader_problem(search->list.reader));
        }
        if (look_at(search, number, entry) != STATUS_OK) {
            return STATUS_ERROR;
        }
    }
    search->from = search->from > end ? search->from : end;
    return STATUS_OK;
}


static int
take_patient(search_t *search)
{
    return resolver_take(&search->resolver, &search->list.filter, search->index,
                         &search->by_patient) < 0
               ? fail(search->list.command, "no random numbers")
               : STATUS_OK;
}


static int
scan(search_t *search)
{
    _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
    progress_t progress;
    uint64_t index = 0, size, all;
    slice_t entry;
    int result = trail_scan_open(search->list.reader, search->from, &scan);

    size = trail_reader_checkpoint(search->list.reader)->size;
    all = search->to < size ? search->to : size;
    all = all > search->from ? all - search->from : 0;
    progress_begin(&progress, "searched");
    while (result >= 0 && search->found < search->limit &&
           (result = trail_scan_next(scan, &index, &entry)) == 1 &&
           index < search->to)
    {
        search->size = index >= search->size ? index + 1 : search->size;
        if (search->accesses != NULL) {
            accesses_seen(search->accesses, index);
        }
        if (look_at(search, index, entry) != STATUS_OK) {
            progress_end(&progress);
            return STATUS_ERROR;
        }
        if (index % PROGRESS_STEP == 0) {
            progress_tell(&progress, index - search->from, all);
            if (ferror(stdout) != 0) {
                break; /* who reads has gone; main tells */
            }
        }
    }
    progress_end(&progress);
    return result < 0 ? fail(search->list.command, "%s",
                             trail_reader_problem(search->list.reader))
                      : STATUS_OK;
}


static int
take_limit(const arguments_t *arguments, uint64_t *limit)
{
    const char *value = option_value(arguments, "--limit");
    char *end;

    *limit = UINT64_MAX;
    if (value == NULL) {
        return STATUS_OK;
    }
    errno = 0;
    *limit = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 ||
        *limit == 0)
    {
        return fail(arguments->command->name,
                    "--limit: \"%s\" is no number from 1 on", value);
    }
    return STATUS_OK;
}


/* On standard error: standard output is for records alone. */
static void
tell_size(const search_t *search)
{
    char text[COUNT_TEXT_MAX], found[COUNT_TEXT_MAX];

    fprintf(stderr, "%s found%s; holds at tree size %s\n",
            count_text(search->found, found),
            search->accesses == NULL
                ? ""
                : ", an access and its close counted as one",
            count_text(search->size, text));
}


/* By the index, if there is one that helps, then the rest of the trail. */
static int
search_all(const arguments_t *arguments, search_t *search, const place_t *place)
{
    char why[256];

    search->size = trail_reader_checkpoint(search->list.reader)->size;
    if (index_find(arguments, place, search->list.reader, &search->index,
                   why) != STATUS_OK ||
        take_patient(search) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (search->list.printer.accesses &&
        accesses_make(search->list.command, place, &search->list.printer,
                      search->index, &search->accesses) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (search->by_patient &&
        resolve(search,
                search->index == NULL ? 0 : index_size(search->index)) !=
            STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (search->index != NULL &&
        (search->by_patient || candidates_help(&search->list.filter)) &&
        look_up(search) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (search->found < search->limit && search->from < search->to &&
        scan(search) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (search->accesses != NULL && ferror(stdout) == 0 &&
        accesses_end(search->accesses, &search->size) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    tell_size(search);
    return STATUS_OK;
}


static int
run_search(const arguments_t *arguments, search_t *search)
{
    int error;

    if (take_limit(arguments, &search->limit) != STATUS_OK ||
        listing_open(arguments, &search->list) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    search->to = UINT64_MAX;
    if (!option_given(arguments, "--full")) {
        error = find_span(search);
        if (error < 0) {
            return fail(search->list.command, "%s",
                        trail_reader_problem(search->list.reader));
        }
    }
    search->list.printer.accesses = search->list.printer.format !=
                                        FORMAT_JSON &&
                                    !option_given(arguments, "--records");
    if (search->list.printer.format == FORMAT_CSV) {
        printer_begin(&search->list.printer);
    }
    if (search_all(arguments, search, &search->list.place) != STATUS_OK) {
        return STATUS_ERROR;
    }
    return search->found > 0 ? STATUS_OK : STATUS_NO;
}


static int
search(const arguments_t *arguments)
{
    search_t search = {.list = {.reader = NULL}};
    int status = run_search(arguments, &search);

    accesses_free(search.accesses);
    index_close(search.index);
    if (search.by_patient) {
        resolver_free(&search.resolver);
    }
    candidates_free(&search.candidates);
    listing_close(&search.list);
    return status;
}


static const option_t search_options[] = {
    {"--from", "TIME",
     "From then on: 2026-11-24, 2026-11-24T06:09, the same with Z or +09:00, "
     "or a span until now as 90m or 7d; today, yesterday."},
    {"--to", "TIME", "Until then; a day means its end."},
    {"--user", "NAME", "Of this user."},
    {"--facility", "ID", "Of this facility."},
    {"--address", "ADDRESS", "From this address."},
    {"--patient", "ID",
     "Of this patient, also where only a study of his was named, as far as the "
     "trail knows whose it is, or learned it later."},
    {"--study", "UID", "Of this study."},
    {"--event", "EVENT", "Of this event, as access or denied."},
    {"--outcome", "OUTCOME", "success, failure, or the number."},
    {"--reason", "REASON", "With this reason, as unknown-network."},
    {"--action", "ACTION", "query, view, download, store, delete or admin."},
    {"--session", "ID", "Of this session."},
    {"--all", NULL, "Heartbeats, too."},
    {"--full", NULL,
     "Look at every record, for where the clock was set back by more than ten "
     "seconds."},
    {"--limit", "N", "The first N lines only."},
    {"--records", NULL,
     "Print every record on its own: the close of an access, too."},
    {"--json", NULL, "Print the trail's own lines, every record on its own."},
    {"--csv", NULL, "Print a table for spreadsheets, with all fields."},
    INDEX_OPTION,
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    NOTE_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_search_command = {
    .name = "audit search",
    .arguments = "",
    .summary = "Search the trail.",
    .details =
        "Prints the records for which all that is given holds, oldest "
        "first. A value must be the whole value. An access is one "
        "line: its opening, and what its close says (requests, bytes, "
        "duration, interrupted), or that it is still open. A close "
        "whose opening does not match is a line of its own. The search "
        "itself is recorded. With the index that sekishod keeps (\"audit "
        "index\") it need not read the whole trail; the answer is the "
        "same without. The last line, on standard error, says at which "
        "size of the trail it holds.\n\n"
        "Exit status: 0 found; 1 nothing found; 2 error.",
    .options = search_options,
    .run = search,
};
