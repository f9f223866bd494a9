/* The child's side: what is new in the trail goes into audit.db, once a
 * second, until the daemon ends it or is gone. */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../lib/base/wipe.h"
#include "../lib/review/due.h"
#include "../lib/review/index.h"
#include "indexer.h"

#define INTERVAL_MS 1000
#define AGAIN_MS    5000 /* after an error */
#define DUE_SECONDS 3600 /* after which it is asked again */
#define DUE_ENTRIES 4096 /* of one turn that are looked at for a review */

/* linux/ioprio.h, which is not everywhere. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_IDLE  (3 << 13)

typedef struct {
    const config_t *config;
    int signals;
    trail_reader_t *reader;
    review_index_t *index;
    char told[512]; /* the last line */
    bool due_known;
    int64_t due;       /* as it was told last */
    int64_t due_asked; /* monotonic seconds */
} child_t;

static void say(child_t *child, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A line for the daemon, once. */
static void
say(child_t *child, const char *format, ...)
{
    char line[sizeof(child->told)];
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    for (char *c = line; *c != '\0'; c++) {
        *c = *c == '\n' ? ' ' : *c;
    }
    if (strcmp(line, child->told) != 0) {
        memcpy(child->told, line, sizeof(line));
        (void) printf("%s\n", line);
        (void) fflush(stdout);
    }
}


/* Asked to end, or nobody listens any more. */
static bool
is_over(const child_t *child, int wait_ms)
{
    struct pollfd fds[] = {{.fd = child->signals, .events = POLLIN},
                           {.fd = STDOUT_FILENO, .events = 0}};

    return poll(fds, 2, wait_ms) > 0;
}


static bool
told(void *context, uint64_t done, uint64_t all)
{
    (void) done;
    (void) all;
    return !is_over(context, 0);
}


static void
close_all(child_t *child)
{
    index_close(child->index);
    child->index = NULL;
    trail_reader_free(child->reader);
    child->reader = NULL;
}


static int
open_all(child_t *child)
{
    trail_problem_t problem = {""};
    char error[256];
    int result = trail_reader_open(child->config->trail, NULL, 0,
                                   &child->reader, &problem);

    if (result < 0) {
        say(child, "problem %s",
            problem.text[0] != '\0' ? problem.text : strerror(-result));
        return result;
    }
    result = index_open(child->config->index, INDEX_WRITE, &child->index,
                        error);
    if (result < 0) {
        say(child, "problem %s", error);
    } else if (error[0] != '\0') {
        say(child, "note %s", error);
    }
    return result;
}


/* ---- Reviews -------------------------------------------------------------*/

static int64_t
monotonic_seconds(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec;
}


/* Whether one of these entries may be a review.  They were read a moment ago. */
static bool
has_review(child_t *child, uint64_t from, uint64_t to)
{
    static const char event[] = "\"event\":\"review\"";
    trail_scan_t *scan = NULL;
    uint64_t number;
    slice_t entry;
    bool found = trail_scan_open(child->reader, from, &scan) < 0;

    while (!found && trail_scan_next(scan, &number, &entry) == 1 && number < to)
    {
        found = memmem(entry.data, entry.size, event, sizeof(event) - 1) !=
                NULL;
    }
    trail_scan_free(scan);
    return found;
}


/*
 * Tells the daemon from when on a review is overdue: at the start, after each
 * review, and once an hour, as findings.conf may have changed.  Settings that
 * cannot be read are the defaults here: `sekisho audit status` says what is
 * wrong with them.
 */
static void
tell_due(child_t *child, uint64_t before)
{
    uint64_t now = index_size(child->index);
    int64_t seconds = monotonic_seconds(), due = 0;
    findings_settings_t settings;
    report_t *report;
    char error[256];

    if (child->due_known && seconds - child->due_asked < DUE_SECONDS &&
        now - before <= DUE_ENTRIES &&
        (now == before || !has_review(child, before, now)))
    {
        return;
    }
    report = report_new();
    if (report == NULL ||
        findings_settings_read(FINDINGS_FILE, false, &settings, report) < 0)
    {
        findings_defaults(&settings);
    }
    report_free(report);
    if (review_due(index_handle(child->index), child->reader, &settings, &due,
                   error) < 0)
    {
        return; /* asked again in a second */
    }
    child->due_asked = seconds;
    if (!child->due_known || due != child->due) {
        (void) printf("review-due %lld\n", (long long) due);
        (void) fflush(stdout);
    }
    child->due_known = true;
    child->due = due;
}


static int
update(child_t *child)
{
    uint64_t taken, before;
    int error = child->index == NULL ? open_all(child) : 0;

    if (error < 0) {
        close_all(child);
        return error;
    }
    before = index_size(child->index);
    error = index_update(child->index, child->reader, 0, told, child, &taken);
    if (error < 0) {
        say(child, "problem %s",
            index_strerror(child->index)[0] != '\0'
                ? index_strerror(child->index)
                : strerror(-error));
        close_all(child);
        return error;
    }
    if (index_strerror(child->index)[0] != '\0') {
        say(child, "note %s", index_strerror(child->index));
    }
    say(child, "size %llu", (unsigned long long) index_size(child->index));
    tell_due(child, before);
    return 0;
}


/* Whoever records comes first.  Where a sandbox forbids that, the kernel's
 * ordinary fairness has to do. */
static void
step_back(void)
{
    (void) setpriority(PRIO_PROCESS, 0, 19);
    (void) syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE);
}


/* SQLite sorts beside the index: what it writes there is patients' data. */
static void
sort_beside(const char *path)
{
    _cleanup_(cleanup_free) char *folder = strdup(path);
    char *slash = folder == NULL ? NULL : strrchr(folder, '/');

    if (slash != NULL && slash != folder) {
        *slash = '\0';
        (void) setenv("SQLITE_TMPDIR", folder, 0);
    }
}


int
indexer_run(const config_t *config)
{
    child_t child = {.config = config};
    sigset_t stop;

    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void) sigemptyset(&stop);
    (void) sigaddset(&stop, SIGTERM);
    (void) sigaddset(&stop, SIGINT);
    (void) sigaddset(&stop, SIGHUP);
    if (config->index == NULL || sigprocmask(SIG_BLOCK, &stop, NULL) < 0 ||
        (child.signals = signalfd(-1, &stop, SFD_CLOEXEC)) < 0)
    {
        return EXIT_FAILURE;
    }
    step_back();
    sort_beside(config->index);
    while (!is_over(&child, update(&child) < 0 ? AGAIN_MS : INTERVAL_MS)) {
    }
    close_all(&child);
    (void) close(child.signals);
    return EXIT_SUCCESS;
}
