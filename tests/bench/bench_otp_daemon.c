/*
 * Durable verifications per second through a running sekishod.
 *
 *   bench_otp_daemon SOCKET CONNECTIONS SECONDS
 *
 * Each connection has a user of its own with a HOTP device (RFC 4226), so that
 * every question is answered "yes": a step that is used up, a commit of the
 * store and a record on disk.  Only root may import the devices.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../../lib/base/endian.h"
#include "../../lib/ipc/otp_message.h"

#define CONNECTIONS_MAX 256
#define SECRET_SIZE     20

typedef struct {
    int fd;
    char user[32];
    uint8_t secret[SECRET_SIZE];
    uint64_t counter;
    double asked; /* s */
} person_t;

typedef struct {
    double *latencies; /* s */
    size_t count, capacity;
    uint64_t refused;
} tally_t;

static double
now(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double) ts.tv_sec + (double) ts.tv_nsec * 1e-9;
}

static void
die(const char *what)
{
    (void) fprintf(stderr, "bench_otp_daemon: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static int
connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(address.sun_path)) {
        die(path);
    }
    memcpy(address.sun_path, path, strlen(path));
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
        die(path);
    }
    return fd;
}

/* RFC 4226 5.3. */
static void
make_code(const person_t *person, char code[7])
{
    uint8_t counter[8], mac[20];
    unsigned size = sizeof(mac);
    uint32_t number;

    store_be64(counter, person->counter);
    if (HMAC(EVP_sha1(), person->secret, SECRET_SIZE, counter, sizeof(counter),
             mac, &size) == NULL)
    {
        die("HMAC");
    }
    number = load_be32(mac + (mac[19] & 15)) & 0x7fffffff;
    (void) snprintf(code, 7, "%06u", number % 1000000);
}

static void
send_ask(person_t *person, const ask_t *ask)
{
    uint8_t bytes[2048];
    size_t size = ask_write(bytes, sizeof(bytes), MESSAGE_ASK, person->counter,
                            ask);

    if (size == 0 || send(person->fd, bytes, size, MSG_NOSIGNAL) < 0) {
        die("send");
    }
    person->asked = now();
}

static bool
receive_yes(person_t *person)
{
    uint8_t bytes[4096];
    ssize_t n = recv(person->fd, bytes, sizeof(bytes), 0);
    message_t message;
    ask_t answer;

    if (n <= 0 || message_parse(bytes, (size_t) n, &message) != MESSAGE_OK ||
        !ask_parse(&message, &answer))
    {
        die("no answer");
    }
    return slice_is(answer.values[ASK_VERDICT], "yes");
}

static void
enroll(person_t *person, unsigned index)
{
    char secret[64], operation[ASK_NUMBER_SIZE];
    ask_t ask = {0};

    (void) snprintf(person->user, sizeof(person->user), "bench-%ld-%u",
                    (long) getpid(), index);
    for (unsigned i = 0; i < SECRET_SIZE; i++) {
        person->secret[i] = (uint8_t) (index * 7 + i * 13 + 1);
    }
    person->counter = 1;
    ask.values[ASK_OPERATION] = slice_of(ask_number(ASK_IMPORT, operation));
    ask.values[ASK_USER] = slice_of(person->user);
    ask.values[ASK_DEVICE] = SLICE("bench");
    ask.values[ASK_KIND] = SLICE("hotp");
    ask.values[ASK_COUNTER] = SLICE("1");
    (void) ask_base32_write(secret, sizeof(secret), person->secret,
                            SECRET_SIZE);
    ask.values[ASK_SECRET] = slice_of(secret);
    send_ask(person, &ask);
    if (!receive_yes(person)) {
        errno = EACCES;
        die("the daemon does not import a device: is this root?");
    }
}

static void
verify(person_t *person)
{
    char code[7];
    ask_t ask = {0};

    make_code(person, code);
    ask.values[ASK_OPERATION] = SLICE("1");
    ask.values[ASK_USER] = slice_of(person->user);
    ask.values[ASK_CODE] = slice_of(code);
    ask.values[ASK_SERVICE] = SLICE("sshd");
    ask.values[ASK_ADDRESS] = SLICE("203.0.113.7");
    ask.values[ASK_FACTORS] = SLICE("password");
    send_ask(person, &ask);
    person->counter++;
}

static void
count(tally_t *tally, const person_t *person, bool yes)
{
    if (!yes) {
        tally->refused++;
        return;
    }
    if (tally->count == tally->capacity) {
        tally->capacity = tally->capacity == 0 ? 4096 : tally->capacity * 2;
        tally->latencies = realloc(tally->latencies,
                                   tally->capacity * sizeof(double));
        if (tally->latencies == NULL) {
            die("memory");
        }
    }
    tally->latencies[tally->count++] = now() - person->asked;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;

    return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
    static person_t people[CONNECTIONS_MAX];
    struct pollfd fds[CONNECTIONS_MAX];
    unsigned long connections = argc > 2 ? strtoul(argv[2], NULL, 10) : 32;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 5;
    tally_t tally = {NULL, 0, 0, 0};
    double start, end;

    if (argc < 2 || connections == 0 || connections > CONNECTIONS_MAX) {
        (void) fprintf(stderr, "usage: bench_otp_daemon SOCKET [CONNECTIONS] "
                               "[SECONDS]\n");
        return 2;
    }
    for (unsigned i = 0; i < connections; i++) {
        people[i].fd = connect_to(argv[1]);
        fds[i] = (struct pollfd){.fd = people[i].fd, .events = POLLIN};
        enroll(&people[i], i);
    }
    start = now();
    for (unsigned i = 0; i < connections; i++) {
        verify(&people[i]);
    }
    while (now() - start < seconds) {
        if (poll(fds, connections, 10000) <= 0) {
            die("poll");
        }
        for (unsigned i = 0; i < connections; i++) {
            if ((fds[i].revents & POLLIN) != 0) {
                count(&tally, &people[i], receive_yes(&people[i]));
                verify(&people[i]);
            }
        }
    }
    end = now();
    if (tally.count == 0) {
        (void) fprintf(stderr, "not one was accepted\n");
        return EXIT_FAILURE;
    }
    qsort(tally.latencies, tally.count, sizeof(double), compare);
    (void) printf("%lu connections: %.0f verifications/s, median %.2f ms, "
                  "99th percentile %.2f ms, %llu refused\n",
                  connections, (double) tally.count / (end - start),
                  tally.latencies[tally.count / 2] * 1e3,
                  tally.latencies[tally.count * 99 / 100] * 1e3,
                  (unsigned long long) tally.refused);
    free(tally.latencies);
    return tally.refused > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
