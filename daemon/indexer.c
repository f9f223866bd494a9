/* The daemon's side: starting the child, hearing from it, ending it. */

#define _GNU_SOURCE
#include "indexer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../lib/base/wipe.h"
#include "log.h"

#define LINE_SIZE    512
#define PAUSE_MIN    1 /* seconds before the child is started again */
#define PAUSE_MAX    60
#define STEADY       60 /* seconds after which it counts as having worked */
#define END_TRIES    50 /* of 100 ms, until it is killed */
#define END_PAUSE_NS 100000000

struct indexer_s {
    struct event_base *base;
    char *config_path;
    char *index_path; /* NULL: off */
    pid_t child;      /* 0: none */
    int64_t started;  /* Unix seconds */
    unsigned pause;   /* seconds */
    int pipe;         /* what the child says; -1: closed */
    struct event *readable, *restart;
    char line[LINE_SIZE];
    size_t line_size;
    uint64_t size; /* entries in the index, as told last */
    char problem[LINE_SIZE];
    int64_t review_due; /* Unix seconds; 0: not known */
};

static void
close_pipe(indexer_t *indexer)
{
    if (indexer->readable != NULL) {
        event_free(indexer->readable);
        indexer->readable = NULL;
    }
    if (indexer->pipe >= 0) {
        (void) close(indexer->pipe);
        indexer->pipe = -1;
    }
    indexer->line_size = 0;
}


/* "size 1234": all is well at that size; "review-due 1790000000"; "problem …". */
static void
take_line(indexer_t *indexer, const char *line)
{
    if (strncmp(line, "size ", 5) == 0) {
        indexer->size = strtoull(line + 5, NULL, 10);
        if (indexer->problem[0] != '\0') {
            log_line(LOG_NOTICE, "index: goes on");
        }
        indexer->problem[0] = '\0';
    } else if (strncmp(line, "review-due ", 11) == 0) {
        indexer->review_due = strtoll(line + 11, NULL, 10);
    } else if (strncmp(line, "note ", 5) == 0) {
        log_line(LOG_WARNING, "index: %s", line + 5);
    } else if (strncmp(line, "problem ", 8) == 0 &&
               strcmp(indexer->problem, line + 8) != 0)
    {
        (void) snprintf(indexer->problem, sizeof(indexer->problem), "%s",
                        line + 8);
        log_line(LOG_WARNING, "index: %s; searches read the trail itself",
                 indexer->problem);
    }
}


static void
take_bytes(indexer_t *indexer, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            indexer->line[indexer->line_size] = '\0';
            take_line(indexer, indexer->line);
            indexer->line_size = 0;
        } else if (indexer->line_size + 1 < LINE_SIZE) {
            indexer->line[indexer->line_size++] = bytes[i];
        }
    }
}


static void
restart_later(indexer_t *indexer)
{
    struct timeval pause = {.tv_sec = indexer->pause};

    if (indexer->restart != NULL) {
        (void) evtimer_add(indexer->restart, &pause);
    }
    indexer->pause = indexer->pause * 2 < PAUSE_MAX ? indexer->pause * 2
                                                    : PAUSE_MAX;
}


/* The child has closed its end: it is gone, or will be at once. */
static void
on_gone(indexer_t *indexer)
{
    int status = 0;

    close_pipe(indexer);
    (void) kill(indexer->child, SIGKILL);
    while (waitpid(indexer->child, &status, 0) < 0 && errno == EINTR) {
    }
    indexer->child = 0;
    if ((int64_t) time(NULL) - indexer->started >= STEADY) {
        indexer->pause = PAUSE_MIN;
    }
    (void) snprintf(indexer->problem, sizeof(indexer->problem),
                    WIFSIGNALED(status) ? "the indexer ended by signal %d"
                                        : "the indexer ended with status %d",
                    WIFSIGNALED(status) ? WTERMSIG(status)
                                        : WEXITSTATUS(status));
    log_line(LOG_WARNING, "index: %s; started again in %u s", indexer->problem,
             indexer->pause);
    restart_later(indexer);
}


static void
on_readable(evutil_socket_t fd, short what, void *context)
{
    indexer_t *indexer = context;
    char bytes[4096];
    ssize_t size = read(fd, bytes, sizeof(bytes));

    (void) what;
    if (size > 0) {
        take_bytes(indexer, bytes, (size_t) size);
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
        on_gone(indexer);
    }
}


static int
spawn_child(indexer_t *indexer, int output)
{
    static char name[] = "sekishod", option[] = "--config",
                role[] = "--indexer";
    char *arguments[] = {name, option, indexer->config_path, role, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    int error = posix_spawn_file_actions_init(&actions);

    if (error != 0) {
        return -error;
    }
    error = posix_spawnattr_init(&attributes);
    if (error != 0) {
        (void) posix_spawn_file_actions_destroy(&actions);
        return -error;
    }
    (void) sigemptyset(&none);
    (void) sigfillset(&defaults);
    (void) posix_spawnattr_setsigmask(&attributes, &none);
    (void) posix_spawnattr_setsigdefault(&attributes, &defaults);
    error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(&actions, output,
                                                 STDOUT_FILENO);
    }
    if (error == 0) {
        error = posix_spawn(&indexer->child, "/proc/self/exe", &actions,
                            &attributes, arguments, environ);
    }
    (void) posix_spawnattr_destroy(&attributes);
    (void) posix_spawn_file_actions_destroy(&actions);
    return -error;
}


static int
start(indexer_t *indexer)
{
    int ends[2], error;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    error = spawn_child(indexer, ends[1]);
    (void) close(ends[1]);
    if (error < 0) {
        (void) close(ends[0]);
        indexer->child = 0;
        return error;
    }
    indexer->pipe = ends[0];
    indexer->started = (int64_t) time(NULL);
    (void) evutil_make_socket_nonblocking(indexer->pipe);
    indexer->readable = event_new(indexer->base, indexer->pipe,
                                  EV_READ | EV_PERSIST, on_readable, indexer);
    if (indexer->readable == NULL) {
        return -ENOMEM;
    }
    /* behind the records, where both wait */
    (void) event_priority_set(indexer->readable, 1);
    return event_add(indexer->readable, NULL) == 0 ? 0 : -ENOMEM;
}


static void
end(indexer_t *indexer)
{
    const struct timespec pause = {0, END_PAUSE_NS};
    pid_t gone = 0;

    if (indexer->restart != NULL) {
        (void) evtimer_del(indexer->restart);
    }
    if (indexer->child != 0) {
        (void) kill(indexer->child, SIGTERM);
        for (unsigned i = 0; gone == 0 && i < END_TRIES; i++) {
            gone = waitpid(indexer->child, NULL, WNOHANG);
            if (gone == 0) {
                (void) nanosleep(&pause, NULL);
            }
        }
        if (gone == 0) {
            (void) kill(indexer->child, SIGKILL);
            (void) waitpid(indexer->child, NULL, 0);
        }
        indexer->child = 0;
    }
    close_pipe(indexer);
}


static void
try_start(indexer_t *indexer)
{
    int error;

    if (indexer->index_path == NULL) {
        return;
    }
    error = start(indexer);
    if (error < 0) {
        end(indexer);
        (void) snprintf(indexer->problem, sizeof(indexer->problem),
                        "the indexer could not be started: %s",
                        strerror(-error));
        log_line(LOG_WARNING, "index: %s", indexer->problem);
        restart_later(indexer);
    }
}


static void
on_restart(evutil_socket_t fd, short what, void *context)
{
    (void) fd;
    (void) what;
    try_start(context);
}


indexer_t *
indexer_open(struct event_base *base, const char *path, const config_t *config)
{
    indexer_t *indexer = calloc(1, sizeof(*indexer));

    if (indexer != NULL) {
        indexer->base = base;
        indexer->pipe = -1;
        indexer->pause = PAUSE_MIN;
        indexer->config_path = strdup(path);
        indexer->index_path = config->index == NULL ? NULL
                                                    : strdup(config->index);
        indexer->restart = evtimer_new(base, on_restart, indexer);
    }
    if (indexer == NULL || indexer->config_path == NULL ||
        indexer->restart == NULL ||
        (config->index != NULL && indexer->index_path == NULL))
    {
        log_line(LOG_WARNING, "index: out of memory: it is not kept");
        indexer_close(indexer);
        return NULL;
    }
    (void) event_priority_set(indexer->restart, 1);
    try_start(indexer);
    return indexer;
}


void
indexer_close(indexer_t *indexer)
{
    if (indexer == NULL) {
        return;
    }
    end(indexer);
    if (indexer->restart != NULL) {
        event_free(indexer->restart);
    }
    free(indexer->config_path);
    free(indexer->index_path);
    free(indexer);
}


void
indexer_configure(indexer_t *indexer, const config_t *config)
{
    char *path;

    if (indexer == NULL ||
        (config->index == NULL) == (indexer->index_path == NULL)) {
        if (indexer == NULL || config->index == NULL ||
            strcmp(config->index, indexer->index_path) == 0)
        {
            return;
        }
    }
    path = config->index == NULL ? NULL : strdup(config->index);
    if (config->index != NULL && path == NULL) {
        return;
    }
    end(indexer);
    free(indexer->index_path);
    indexer->index_path = path;
    indexer->size = 0;
    indexer->review_due = 0;
    indexer->problem[0] = '\0';
    indexer->pause = PAUSE_MIN;
    try_start(indexer);
}


int64_t
indexer_review_due(const indexer_t *indexer)
{
    return indexer == NULL ? 0 : indexer->review_due;
}


void
indexer_report(const indexer_t *indexer, json_t *json)
{
    bool on = indexer != NULL && indexer->index_path != NULL;

    json_string(json, "index", on ? indexer->index_path : "off");
    if (on) {
        json_string(json, "index_state",
                    indexer->problem[0] != '\0' ? "failed" : "running");
        json_string(json, "index_problem", indexer->problem);
        json_int(json, "index_size", (int64_t) indexer->size);
    }
    if (on && indexer->review_due != 0) {
        json_int(json, "review_due", indexer->review_due);
        json_bool(json, "review_overdue",
                  (int64_t) time(NULL) >= indexer->review_due);
    }
}
