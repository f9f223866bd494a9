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
#include "../lib/review/index.h"
#include "indexer.h"

#define INTERVAL_MS 1000
#define AGAIN_MS    5000 /* after an error */

/* linux/ioprio.h, which is not everywhere. */
#define IOPRIO_WHO_PROCESS 1
#define IOPRIO_CLASS_IDLE  (3 << 13)

typedef struct {
    const config_t *config;
    int signals;
    trail_reader_t *reader;
    review_index_t *index;
    char told[512]; /* the last line */
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


static int
update(child_t *child)
{
    uint64_t taken;
    int error = child->index == NULL ? open_all(child) : 0;

    if (error < 0) {
        close_all(child);
        return error;
    }
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
