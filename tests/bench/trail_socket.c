#define _GNU_SOURCE
#include "trail_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/ipc/message.h"
#include "../../lib/trail/reader.h"

#define LINE_SIZE    400  /* bytes of an entry */
#define WINDOW       8192 /* records on their way: as nginx's client */
#define START_TRIES  500  /* of 20 ms */
#define BARE_SECTORS 4096 /* how far the bare file is written before again */

typedef struct {
    int fd;
    uint64_t sent, durable;
    record_t record;
    char id[RECORD_ID_SIZE + 1];
    char agent[LINE_SIZE];
    char time[RECORD_TIME_TEXT_MAX];
    uint8_t packet[MESSAGE_SIZE_MAX];
} front_end_t;

static double
now(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void
pause_ms(long milliseconds)
{
    const struct timespec pause = {0, milliseconds * 1000 * 1000};

    (void) nanosleep(&pause, NULL);
}

static int
complain(const char *what)
{
    (void) fprintf(stderr, "bench_trail: socket: %s: %s\n", what,
                   strerror(errno));
    return -1;
}

/* A program with its output thrown away; its process id. */
static pid_t
start(const char *const arguments[])
{
    pid_t pid = fork();

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        (void) dup2(null, 0);
        (void) dup2(null, 1);
        (void) dup2(null, 2);
        (void) execv(arguments[0], (char *const *) arguments);
        _exit(127);
    }
    return pid;
}

/* Adds the seconds of CPU time that it took. */
static bool
ended_well(pid_t pid, double *cpu)
{
    struct rusage used;
    int status;

    if (pid <= 0 || wait4(pid, &status, 0, &used) != pid) {
        return false;
    }
    *cpu += (double) (used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
            (double) (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Seconds of CPU time of a program that runs, without its children. */
static double
own_cpu(pid_t pid)
{
    struct timespec t = {0, 0};
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) == 0) {
        (void) clock_gettime(clock, &t);
    }
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Seconds that a program took, the better of two runs; 0 if it failed. */
static double
seconds_of(const char *const arguments[])
{
    double best = 0, cpu = 0;

    for (unsigned i = 0; i < 2; i++) {
        double began = now(), took;

        if (!ended_well(start(arguments), &cpu)) {
            (void) fprintf(stderr, "bench_trail: socket: %s %s %s failed\n",
                           arguments[0], arguments[1], arguments[2]);
            return 0;
        }
        took = now() - began;
        best = i == 0 || took < best ? took : best;
    }
    return best;
}

static bool
write_config(const char *folder, const char *path)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        return false;
    }
    (void) fprintf(file,
                   "socket %s/s;\ntrail %s/trail;\nkey %s/key;\n"
                   "origin example.org/bench;\n",
                   folder, folder, folder);
    return fclose(file) == 0;
}

static int
connect_to(const char *folder)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", folder);
    if (fd >= 0 &&
        connect(fd, (struct sockaddr *) &address, sizeof(address)) != 0) {
        (void) close(fd);
        fd = -1;
    }
    return fd;
}

/* Waits for an answer and takes it in; 1, 0 for the end of what is there. */
static int
hear(front_end_t *front, int flags)
{
    uint8_t bytes[MESSAGE_SIZE_MAX];
    message_t message;
    ssize_t n = recv(front->fd, bytes, sizeof(bytes), flags);

    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    if (n <= 0 || message_parse(bytes, (size_t) n, &message) != MESSAGE_OK ||
        (message.type != MESSAGE_ACK && message.type != MESSAGE_WELCOME))
    {
        return complain("no acknowledgement");
    }
    front->durable = message.number;
    return 1;
}

/* The record that all send: as nginx's before a request, but for numbers. */
static void
fill(front_end_t *front)
{
    static const struct {
        record_field_t field;
        const char *text;
    } values[] = {{RECORD_EVENT, "request"},
                  {RECORD_OUTCOME, "0"},
                  {RECORD_USER, "yamada"},
                  {RECORD_FACILITY, "aoba-clinic"},
                  {RECORD_ADDRESS, "192.0.2.17"},
                  {RECORD_ACTION, "view"},
                  {RECORD_STUDY, "1.2.392.200036.9116.2.5.1.48.1221398185"},
                  {RECORD_METHOD, "GET"}};
    char line[RECORD_SIZE_MAX], host[256] = "";
    record_t whole;
    size_t size;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        front->record.values[values[i].field] = slice_of(values[i].text);
    }
    (void) snprintf(front->id, sizeof(front->id), "%032d", 0);
    front->record.values[RECORD_ID] = slice_of(front->id);
    front->record.values[RECORD_TIME] = (slice_t){front->time,
                                                  record_time(0, front->time)};

    /* what the daemon adds, so that an entry has the size that is said */
    whole = front->record;
    (void) gethostname(host, sizeof(host) - 1);
    whole.values[RECORD_HOST] = slice_of(host);
    whole.values[RECORD_SOURCE] = SLICE("nginx");
    whole.values[RECORD_FRONT] = slice_of(front->id);
    whole.values[RECORD_NUMBER] = SLICE("500000");
    whole.values[RECORD_AGENT] = SLICE("x");
    size = record_render(&whole, line, sizeof(line));
    memset(front->agent, 'x', sizeof(front->agent));
    front->record.values[RECORD_AGENT] = (slice_t){
        front->agent, size < LINE_SIZE ? LINE_SIZE - size + 1 : 1};
}

static int
front_open(front_end_t *front, const char *folder)
{
    message_hello_t hello = {.source = SLICE("nginx")};
    size_t size;

    memset(front, 0, sizeof(*front));
    fill(front);
    front->fd = connect_to(folder);
    if (front->fd < 0 ||
        getrandom(hello.front, sizeof(hello.front), 0) != sizeof(hello.front))
    {
        return complain("connect");
    }
    size = message_write_hello(front->packet, sizeof(front->packet), 0, &hello);
    if (send(front->fd, front->packet, size, MSG_NOSIGNAL) != (ssize_t) size) {
        return complain("hello");
    }
    return hear(front, 0) == 1 ? 0 : -1;
}

/* One packet of as many records as fit, or fewer. */
static int
front_send(front_end_t *front, uint64_t most)
{
    static const char digits[] = "0123456789abcdef";
    message_batch_t batch;
    struct timespec t;
    size_t size;

    (void) clock_gettime(CLOCK_REALTIME, &t);
    (void) record_time((int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000,
                       front->time);
    message_batch_begin(&batch, front->packet, sizeof(front->packet),
                        front->sent + 1);
    while (batch.count < most) {
        uint64_t number = front->sent + batch.count;

        for (unsigned i = 0; i < 16; i++) {
            front->id[RECORD_ID_SIZE - 1 - i] = digits[number >> 4 * i & 15];
        }
        if (!message_batch_add(&batch, &front->record)) {
            break;
        }
    }
    size = message_batch_end(&batch);
    if (size == 0 ||
        send(front->fd, front->packet, size, MSG_NOSIGNAL) != (ssize_t) size)
    {
        return complain("send");
    }
    front->sent += batch.count;
    return 0;
}

/* The whole life of a producer: its exit status. */
static int
produce(const char *folder, int ready, int go, uint64_t count)
{
    static front_end_t front; /* too large for a stack, and of a process */
    char byte = 0;
    int heard = 1;

    if (front_open(&front, folder) != 0 || write(ready, &byte, 1) != 1 ||
        read(go, &byte, 1) != 0)
    {
        return 1;
    }
    while (front.durable < count && heard >= 0) {
        uint64_t room = WINDOW - (front.sent - front.durable);
        uint64_t left = count - front.sent;

        if (room > 0 && left > 0) {
            if (front_send(&front, room < left ? room : left) != 0) {
                return 1;
            }
            do {
                heard = hear(&front, MSG_DONTWAIT);
            } while (heard == 1);
        } else {
            heard = hear(&front, 0);
        }
    }
    return heard < 0;
}

static bool
bench_producers(const char *folder, unsigned count, socket_figures_t *figures)
{
    int ready[2], go[2];
    pid_t pids[SOCKET_PRODUCERS];
    bool good = true;
    double began, cpu = 0;
    char byte;

    if (pipe2(ready, O_CLOEXEC) != 0 || pipe2(go, O_CLOEXEC) != 0) {
        return complain("pipe") == 0;
    }
    for (unsigned i = 0; i < SOCKET_PRODUCERS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            (void) close(go[1]);
            _exit(produce(folder, ready[1], go[0], count));
        }
    }
    (void) close(ready[1]);
    for (unsigned i = 0; i < SOCKET_PRODUCERS; i++) {
        good = good && read(ready[0], &byte, 1) == 1;
    }
    began = now();
    (void) close(go[1]); /* they all read its end */
    for (unsigned i = 0; i < SOCKET_PRODUCERS; i++) {
        good = ended_well(pids[i], &cpu) && good;
    }
    figures->records = (double) count * SOCKET_PRODUCERS / (now() - began);
    figures->producer_us = cpu * 1e6 / ((double) count * SOCKET_PRODUCERS);
    (void) close(ready[0]);
    (void) close(go[0]);
    return good;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}

/* What the journal writes for one such record: headers and a whole sector. */
static bool
bare_sync(int fd, unsigned turn)
{
    static const char sector[512];
    off_t at = (off_t) (turn % BARE_SECTORS) * (off_t) sizeof(sector);

    return pwrite(fd, sector, sizeof(sector), at) == sizeof(sector) &&
           fdatasync(fd) == 0;
}

static bool
bench_singles(const char *folder, unsigned count, socket_figures_t *figures)
{
    static front_end_t front;
    double *acks = calloc(count, sizeof(*acks));
    double *bares = calloc(count, sizeof(*bares));
    char path[PATH_MAX + 16];
    bool good = acks != NULL && bares != NULL;
    int fd;

    (void) snprintf(path, sizeof(path), "%s/bare", folder);
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    good = good && fd >= 0 && front_open(&front, folder) == 0;
    /* written once, so that only data is synced below */
    for (unsigned i = 0; good && i < BARE_SECTORS; i++) {
        static const char sector[512];

        good = write(fd, sector, sizeof(sector)) == sizeof(sector);
    }
    good = good && fsync(fd) == 0;
    for (unsigned i = 0; good && i < count; i++) {
        double began;

        pause_ms(1);
        began = now();
        good = front_send(&front, 1) == 0;
        while (good && front.durable < front.sent) {
            good = hear(&front, 0) == 1;
        }
        acks[i] = (now() - began) * 1e6;
        pause_ms(1);
        began = now();
        good = good && bare_sync(fd, i);
        bares[i] = (now() - began) * 1e6;
    }
    if (good) {
        qsort(acks, count, sizeof(*acks), compare);
        qsort(bares, count, sizeof(*bares), compare);
        figures->ack50 = acks[count / 2];
        figures->ack99 = acks[count * 99 / 100];
        figures->bare50 = bares[count / 2];
        figures->bare99 = bares[count * 99 / 100];
    }
    (void) close(front.fd);
    (void) close(fd);
    (void) unlink(path);
    free(acks);
    free(bares);
    return good;
}

/* All that was acknowledged has to be in the trail. */
static bool
check_trail(const char *folder, const char *sekisho, const char *config,
            uint64_t least, socket_figures_t *figures)
{
    char trail[PATH_MAX + 16];
    trail_problem_t problem;
    trail_reader_t *reader;
    trail_scan_t *scan = NULL;
    uint64_t index, count = 0, bytes = 0;
    const char *const verify[] = {sekisho,    "audit", "verify",
                                  "--config", config,  NULL};
    /* one of them all: none would be another exit status */
    const char *const search[] = {sekisho, "audit",   "search", "--trail",
                                  trail,   "--event", "start",  NULL};
    slice_t entry;
    double seconds;
    bool good;

    (void) snprintf(trail, sizeof(trail), "%s/trail", folder);
    if (trail_reader_open(trail, NULL, 0, &reader, &problem) != 0) {
        (void) fprintf(stderr, "bench_trail: socket: %s\n", problem.text);
        return false;
    }
    good = trail_scan_open(reader, 0, &scan) == 0;
    while (good && trail_scan_next(scan, &index, &entry) == 1) {
        count++;
        bytes += entry.size;
    }
    trail_scan_free(scan);
    trail_reader_free(reader);
    figures->line = count > 0 ? (double) bytes / (double) count : 0;
    if (good && count < least) {
        (void) fprintf(stderr,
                       "bench_trail: socket: the trail has %llu of %llu "
                       "records\n",
                       (unsigned long long) count, (unsigned long long) least);
        good = false;
    }
    seconds = good ? seconds_of(verify) : 0;
    figures->verify = seconds > 0 ? (double) count / seconds : 0;
    seconds = seconds > 0 ? seconds_of(search) : 0;
    figures->search = seconds > 0 ? (double) bytes / 1e9 / seconds : 0;
    return seconds > 0;
}

static bool
bench_daemon(const char *folder, unsigned producer_records, unsigned singles,
             socket_figures_t *figures, pid_t daemon)
{
    int fd = -1;

    for (unsigned i = 0; i < START_TRIES && fd < 0; i++) {
        if (waitpid(daemon, NULL, WNOHANG) != 0) {
            (void) complain("sekishod does not run");
            return false;
        }
        fd = connect_to(folder);
        if (fd < 0) {
            pause_ms(20);
        }
    }
    if (fd < 0) {
        return complain("sekishod does not answer") == 0;
    }
    (void) close(fd);
    return bench_singles(folder, singles, figures) &&
           bench_producers(folder, producer_records, figures);
}

bool
bench_socket(const char *folder, const char *bin, unsigned producer_records,
             unsigned singles, socket_figures_t *figures)
{
    char config[PATH_MAX + 16], sekisho[512], sekishod[512];
    const char *const init[] = {sekisho,    "trail", "init",
                                "--config", config,  NULL};
    const char *const serve[] = {sekishod, "--config", config, NULL};
    char absolute[PATH_MAX];
    double cpu = 0, own = 0;
    pid_t daemon;
    bool good;

    if ((mkdir(folder, 0700) != 0 && errno != EEXIST) ||
        realpath(folder, absolute) == NULL)
    {
        return complain(folder) == 0;
    }
    folder = absolute;
    (void) snprintf(config, sizeof(config), "%s/conf", folder);
    (void) snprintf(sekisho, sizeof(sekisho), "%s/sekisho", bin);
    (void) snprintf(sekishod, sizeof(sekishod), "%s/sekishod", bin);
    if (!write_config(folder, config)) {
        return complain(folder) == 0;
    }
    if (!ended_well(start(init), &cpu)) {
        (void) fprintf(stderr, "bench_trail: socket: %s trail init failed\n",
                       sekisho);
        return false;
    }
    daemon = start(serve);
    cpu = 0;
    good = daemon > 0 &&
           bench_daemon(folder, producer_records, singles, figures, daemon);
    if (daemon > 0) {
        /* what is still to be sealed is less than a second's */
        own = own_cpu(daemon);
        (void) kill(daemon, SIGTERM);
        good = ended_well(daemon, &cpu) && good;
    }
    figures->daemon_us = own * 1e6 /
                         ((double) producer_records * SOCKET_PRODUCERS);
    figures->index_us = (cpu - own) * 1e6 /
                        ((double) producer_records * SOCKET_PRODUCERS);
    return good &&
           check_trail(folder, sekisho, config,
                       (uint64_t) producer_records * SOCKET_PRODUCERS + singles,
                       figures);
}
