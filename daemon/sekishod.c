/* sekishod(8): the one authority of the suite.  This file: its life. */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../lib/base/clock.h"
#include "../lib/ipc/daemon_config.h"
#include "../lib/ipc/otp_message.h"
#include "indexer.h"
#include "log.h"
#include "recorder.h"
#include "server.h"

#define SYSTEMD_FIRST_FD 3
#define READ_BACK        1000000 /* records, at the start */

typedef struct {
    struct event_base *base;
    const char *path;
    config_t *config;
    recorder_t *recorder;
    server_t *server;
    indexer_t *indexer;
    struct event *signals[3];
    int64_t times_from_ms; /* --accept-times; 0: off */
    uint64_t read_back;    /* records */
} daemon_t;

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Nothing of ours may end in a core file or be read by a debugger. */
static void
close_windows(void)
{
    struct rlimit none = {0, 0};

    (void) setrlimit(RLIMIT_CORE, &none);
    (void) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void) umask(027);
}

/* sd_notify(3), as far as it is needed here. */
static void
notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size;
    int fd;

    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(address.sun_path))
    {
        return;
    }
    memcpy(address.sun_path, path, strlen(path));
    size = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void) sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                      (struct sockaddr *) &address, size);
        (void) close(fd);
    }
}

/* sd_listen_fds(3): the socket that systemd holds for us, or -1. */
static int
inherited_socket(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    int type = 0;
    socklen_t size = sizeof(type);

    if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != getpid() ||
        strtol(fds, NULL, 10) != 1)
    {
        return -1;
    }
    if (getsockopt(SYSTEMD_FIRST_FD, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        type != SOCK_SEQPACKET)
    {
        log_line(LOG_ERROR, "the socket from systemd is no SOCK_SEQPACKET: "
                            "write ListenSequentialPacket= in the unit");
        return -2;
    }
    (void) evutil_make_socket_nonblocking(SYSTEMD_FIRST_FD);
    (void) evutil_make_socket_closeonexec(SYSTEMD_FIRST_FD);
    return SYSTEMD_FIRST_FD;
}

static void
on_stop(evutil_socket_t signal, short what, void *context)
{
    daemon_t *self = context;

    (void) what;
    log_line(LOG_NOTICE, "stopping on signal %d", (int) signal);
    (void) event_base_loopbreak(self->base);
}

static void
on_reload(evutil_socket_t signal, short what, void *context)
{
    daemon_t *self = context;
    report_t *report = report_new();
    config_t *config;

    (void) signal;
    (void) what;
    if (report == NULL) {
        return;
    }
    config = config_read(self->path, report);
    report_print(report, stderr);
    report_free(report);
    if (config == NULL) {
        log_line(LOG_ERROR, "%s has errors: the old configuration stays",
                 self->path);
        return;
    }
    if (strcmp(config->socket, self->config->socket) != 0 ||
        strcmp(config->trail, self->config->trail) != 0 ||
        !slice_equal(config->origin, self->config->origin))
    {
        log_line(LOG_WARNING, "socket, trail, origin and key change with a "
                              "restart only");
    }
    recorder_configure(self->recorder, config);
    server_configure(self->server, config);
    indexer_configure(self->indexer, config);
    config_free(self->config);
    self->config = config;
    log_line(LOG_NOTICE, "configuration reloaded");
}

static bool
catch_signals(daemon_t *self)
{
    self->signals[0] = evsignal_new(self->base, SIGTERM, on_stop, self);
    self->signals[1] = evsignal_new(self->base, SIGINT, on_stop, self);
    self->signals[2] = evsignal_new(self->base, SIGHUP, on_reload, self);
    for (unsigned i = 0; i < 3; i++) {
        if (self->signals[i] == NULL ||
            evsignal_add(self->signals[i], NULL) < 0) {
            return false;
        }
    }
    return true;
}

static void
free_signals(daemon_t *self)
{
    for (unsigned i = 0; i < 3; i++) {
        if (self->signals[i] != NULL) {
            event_free(self->signals[i]);
        }
    }
}

static int
serve(daemon_t *self, int inherited)
{
    if (self->times_from_ms != 0) {
        log_line(LOG_WARNING,
                 "--accept-times: the records' times are what front ends say, "
                 "however wrong; this trail proves nothing of when");
    }
    self->recorder = recorder_open(self->config, now_ms(), self->times_from_ms,
                                   self->read_back);
    if (self->recorder == NULL) {
        return EXIT_FAILURE;
    }
    self->server = server_open(self->base, self->recorder, self->config,
                               inherited);
    if (self->server == NULL) {
        recorder_close(self->recorder, now_ms());
        return EXIT_FAILURE;
    }
    self->indexer = indexer_open(self->base, self->path, self->config);
    server_set_indexer(self->server, self->indexer);
    log_line(LOG_NOTICE, "sekishod %s: recording to %s", SEKISHO_VERSION,
             self->config->trail);
    notify("READY=1");
    (void) event_base_dispatch(self->base);
    notify("STOPPING=1");
    server_close(self->server);
    indexer_close(self->indexer);
    recorder_close(self->recorder, now_ms());
    return EXIT_SUCCESS;
}

static int
run(daemon_t *self)
{
    int inherited = inherited_socket(), status = EXIT_FAILURE;

    if (inherited == -2) {
        return EXIT_FAILURE;
    }
    self->base = event_base_new();
    if (self->base == NULL || event_base_priority_init(self->base, 2) < 0) {
        log_line(LOG_ERROR, "out of memory");
        return EXIT_FAILURE;
    }
    /* before anybody can know that it runs, and stop it */
    if (catch_signals(self)) {
        status = serve(self, inherited);
    } else {
        log_line(LOG_ERROR, "out of memory");
    }
    free_signals(self);
    return status;
}

/* Unix milliseconds; 0 for what is no time. */
static int64_t
clock_argument(const char *text)
{
    int64_t seconds;
    bool local;

    return clock_parse(slice_of(text), &seconds, &local) && !local
               ? seconds * 1000
               : 0;
}

static void
usage(FILE *out)
{
    (void) fprintf(out,
                   "usage: sekishod [--config FILE] [--check-config]\n\n"
                   "Records who opened what, durably and tamper-evidently; "
                   "see sekishod(8).\n\n"
                   "  --config FILE    default " CONFIG_FILE "\n"
                   "  --check-config   say what is wrong with it, and stop\n"
                   "  --accept-times TIME\n"
                   "                   for made-up trails alone: take front "
                   "ends' times as they are\n"
                   "  --read-back COUNT\n"
                   "                   for tests: records read at the start "
                   "[1000000]\n"
                   "  --version\n"
                   "  --help\n");
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"indexer", no_argument, NULL, 'i'}, /* what the daemon starts itself */
        {"check-config", no_argument, NULL, 't'},
        {"accept-times", required_argument, NULL, 'a'},
        {"read-back", required_argument, NULL, 'r'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    daemon_t self = {.path = CONFIG_FILE, .read_back = READ_BACK};
    bool check = false, indexer = false;
    report_t *report;
    int option, status;

    while ((option = getopt_long(argc, argv, "c:tvh", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            self.path = optarg;
            break;
        case 't':
            check = true;
            break;
        case 'i':
            indexer = true;
            break;
        case 'a':
            self.times_from_ms = clock_argument(optarg);
            if (self.times_from_ms <= 0) {
                (void) fprintf(stderr,
                               "sekishod: --accept-times: \"%s\" is "
                               "no time such as 2026-10-01T00:00:00Z\n",
                               optarg);
                return 2;
            }
            break;
        case 'r':
            if (!ask_number_parse(slice_of(optarg), READ_BACK,
                                  &self.read_back) ||
                self.read_back == 0)
            {
                (void) fprintf(stderr,
                               "sekishod: --read-back: \"%s\" is no number "
                               "between 1 and %d\n",
                               optarg, READ_BACK);
                return 2;
            }
            break;
        case 'v':
            (void) printf("sekishod %s\n", SEKISHO_VERSION);
            return EXIT_SUCCESS;
        case 'h':
            usage(stdout);
            return EXIT_SUCCESS;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (optind < argc) {
        (void) fprintf(stderr, "sekishod: unknown argument \"%s\"\n",
                       argv[optind]);
        usage(stderr);
        return 2;
    }
    report = report_new();
    if (report == NULL) {
        return EXIT_FAILURE;
    }
    close_windows();
    (void) signal(SIGPIPE, SIG_IGN);
    /* a file that may not grow is an error of that write, not our end */
    (void) signal(SIGXFSZ, SIG_IGN);
    self.config = config_read(self.path, report);
    report_print(report, stderr);
    if (self.config == NULL) {
        (void) fprintf(stderr, "sekishod: %s: %u errors\n", self.path,
                       report_errors(report));
        status = 2;
    } else if (check) {
        (void) printf("%s: no errors, %u warnings\n", self.path,
                      report_warnings(report));
        status = EXIT_SUCCESS;
    } else if (indexer) {
        status = indexer_run(self.config);
    } else {
        status = run(&self);
    }
    report_free(report);
    config_free(self.config);
    if (self.base != NULL) {
        event_base_free(self.base);
    }
    return status;
}
