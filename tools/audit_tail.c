/* `sekisho audit tail`: the last records, and those to come. */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>

#include "audit_tools.h"

#define COUNT_DEFAULT 20
#define COUNT_MAX     1000000
#define WINDOW_MIN    256
#define POLL_MS       200

typedef struct {
    listing_t list;
    uint64_t count;
} tail_t;

static int
told(const tail_t *tail)
{
    return fail(tail->list.command, "%s",
                trail_reader_problem(tail->list.reader));
}


/* Whether it is shown; `record` is filled if it can be. */
static bool
is_shown(const tail_t *tail, slice_t entry, record_t *record, bool *readable)
{
    *readable = record_parse(entry, record, tail->list.printer.buffer);
    return !*readable || filter_matches(&tail->list.filter, record);
}


/* Index of the first of the last `count` that are shown: in a window at the
 * end that doubles until it has so many. */
static int
find_start(const tail_t *tail, uint64_t *start)
{
    uint64_t window = tail->count < WINDOW_MIN ? WINDOW_MIN : tail->count;
    uint64_t *last = calloc(tail->count, sizeof(*last));

    if (last == NULL) {
        return fail(tail->list.command, "out of memory");
    }
    for (;; window *= 2) {
        _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
        uint64_t size = trail_reader_checkpoint(tail->list.reader)->size;
        uint64_t from = size > window ? size - window : 0;
        uint64_t found = 0, index = 0;
        slice_t entry;
        record_t record;
        bool readable;
        int result = trail_scan_open(tail->list.reader, from, &scan);

        while (result >= 0 &&
               (result = trail_scan_next(scan, &index, &entry)) == 1) {
            if (is_shown(tail, entry, &record, &readable)) {
                last[found++ % tail->count] = index;
            }
        }
        if (result < 0) {
            free(last);
            return told(tail);
        }
        if (found >= tail->count || from == 0) {
            *start = found >= tail->count ? last[found % tail->count] : 0;
            free(last);
            return STATUS_OK;
        }
    }
}


static int
print_more(tail_t *tail, trail_scan_t *scan)
{
    uint64_t index;
    slice_t entry;
    record_t record;
    bool readable;
    int result;

    while ((result = trail_scan_next(scan, &index, &entry)) == 1) {
        if (is_shown(tail, entry, &record, &readable)) {
            printer_entry(&tail->list.printer, index, entry,
                          readable ? &record : NULL);
        }
    }
    return result < 0 ? told(tail) : STATUS_OK;
}


/* Until a signal ends it, or who reads has gone. */
static int
follow(tail_t *tail, trail_scan_t *scan)
{
    _cleanup_(cleanup_close) int signals = -1;
    sigset_t stop;
    int status = STATUS_OK;

    (void) sigemptyset(&stop);
    (void) sigaddset(&stop, SIGINT);
    (void) sigaddset(&stop, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &stop, NULL) < 0 ||
        (signals = signalfd(-1, &stop, SFD_CLOEXEC)) < 0)
    {
        return fail(tail->list.command, "%s", strerror(errno));
    }
    while (status == STATUS_OK) {
        struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
                               {.fd = STDOUT_FILENO, .events = 0}};

        status = print_more(tail, scan);
        if (fflush(stdout) != 0) {
            break; /* main tells */
        }
        if (poll(fds, 2, POLL_MS) > 0 &&
            (fds[0].revents != 0 || (fds[1].revents & (POLLERR | POLLHUP))))
        {
            break;
        }
    }
    return status;
}


static int
take_count(const arguments_t *arguments, uint64_t *count)
{
    const char *value = option_value(arguments, "-n");
    char *end;

    *count = COUNT_DEFAULT;
    if (value == NULL) {
        return STATUS_OK;
    }
    errno = 0;
    *count = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 ||
        *count == 0 || *count > COUNT_MAX)
    {
        return fail(arguments->command->name,
                    "-n: \"%s\" is no number from 1 to %d", value, COUNT_MAX);
    }
    return STATUS_OK;
}


static int
run_tail(const arguments_t *arguments, tail_t *tail)
{
    _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
    uint64_t start = 0;

    if (take_count(arguments, &tail->count) != STATUS_OK ||
        listing_open(arguments, &tail->list) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (trail_reader_refresh(tail->list.reader) < 0) {
        return told(tail);
    }
    if (find_start(tail, &start) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (trail_scan_open(tail->list.reader, start, &scan) < 0) {
        return fail(tail->list.command, "out of memory");
    }
    return option_given(arguments, "-f") ? follow(tail, scan)
                                         : print_more(tail, scan);
}


static int
tail(const arguments_t *arguments)
{
    tail_t tail = {.list = {.reader = NULL}};
    int status = run_tail(arguments, &tail);

    listing_close(&tail.list);
    return status;
}


static const option_t tail_options[] = {
    {"-f", NULL, "Go on with what is recorded from now on, until stopped."},
    {"-n", "N", "The last N records [20]."},
    {"--all", NULL, "Heartbeats, too."},
    {"--json", NULL, "Print the trail's own lines."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    NOTE_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_tail_command = {
    .name = "audit tail",
    .arguments = "",
    .summary = "Print the last records, and follow the trail.",
    .details = "The times are local. That you read the trail is recorded "
               "first.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = tail_options,
    .run = tail,
};
