/*
 * The blocking client against a daemon that answers as the input says.
 *
 * Byte 0 of the input is what the client asks for; then come the packets: two
 * bytes of length, bytes.  A thread sends them all, and its end, to whoever
 * connects.  Whatever they are, the client comes back with 0 or an errno of its
 * header, and with 0 only if the answer that it waits for was among them.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../lib/ipc/client.h"

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            abort();                                                           \
        }                                                                      \
    } while (0)

/* Long enough that only a client that hangs comes to it. */
#define DEADLINE_MS 20000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static struct {
    char folder[64];
    char path[96];
    int listening;
    const uint8_t *packets; /* handed over by connecting, which orders it */
    size_t size;
    pthread_mutex_t mutex;
} daemon_side = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void
remove_folder(void)
{
    (void) unlink(daemon_side.path);
    (void) rmdir(daemon_side.folder);
}

/* The next packet of the input; false at its end. */
static bool
next_packet(const uint8_t **bytes, size_t *left, slice_t *packet)
{
    size_t size;

    if (*left < 2) {
        return false;
    }
    size = (size_t) (*bytes)[0] << 8 | (*bytes)[1];
    if (size > *left - 2) {
        size = *left - 2;
    }
    *packet = (slice_t){(const char *) *bytes + 2, size};
    *bytes += 2 + size;
    *left -= 2 + size;
    return true;
}

static void *
serve(void *argument)
{
    static uint8_t drain[MESSAGE_SIZE_MAX];
    (void) argument;

    for (;;) {
        int fd = accept(daemon_side.listening, NULL, NULL);
        const uint8_t *bytes;
        size_t left;
        slice_t packet;

        REQUIRE(fd >= 0);
        (void) pthread_mutex_lock(&daemon_side.mutex);
        bytes = daemon_side.packets;
        left = daemon_side.size;
        /* an empty packet is how a socket ends: it is none to send */
        while (next_packet(&bytes, &left, &packet)) {
            if (packet.size > 0 && send(fd, packet.data, packet.size,
                                        MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            {
                break;
            }
        }
        (void) pthread_mutex_unlock(&daemon_side.mutex);
        (void) shutdown(fd, SHUT_WR);
        while (recv(fd, drain, sizeof(drain), 0) > 0) {
        }
        (void) close(fd);
    }
    return NULL;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;

    (void) argc;
    (void) argv;
    (void) snprintf(daemon_side.folder, sizeof(daemon_side.folder),
                    "%s/sekisho-fuzz-XXXXXX",
                    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    REQUIRE(mkdtemp(daemon_side.folder) != NULL);
    (void) snprintf(daemon_side.path, sizeof(daemon_side.path), "%s/s",
                    daemon_side.folder);
    (void) atexit(remove_folder);
    memcpy(address.sun_path, daemon_side.path, strlen(daemon_side.path));
    daemon_side.listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    REQUIRE(daemon_side.listening >= 0);
    REQUIRE(bind(daemon_side.listening, (struct sockaddr *) &address,
                 sizeof(address)) == 0);
    REQUIRE(listen(daemon_side.listening, 8) == 0);
    REQUIRE(pthread_create(&thread, NULL, serve, NULL) == 0);
    (void) pthread_detach(thread);
    return 0;
}

static bool
sent(const uint8_t *bytes, size_t left, uint8_t type)
{
    slice_t packet;

    while (next_packet(&bytes, &left, &packet)) {
        if (packet.size >= MESSAGE_HEAD_SIZE &&
            memcmp(packet.data, "Sk\1", 3) == 0 &&
            (uint8_t) packet.data[3] == type)
        {
            return true;
        }
    }
    return false;
}

static void
check_result(int result)
{
    REQUIRE(result == 0 || result == -EPROTO || result == -ENOSPC ||
            result == -ETIMEDOUT);
}

static void
use(client_t *client, uint8_t what, const uint8_t *packets, size_t size)
{
    record_t record = {0};
    char *text = NULL;
    size_t length = 0;
    int result;

    record.values[RECORD_EVENT] = SLICE("trail-read");
    if (what % 3 == 0) {
        result = client_record(client, &record);
        REQUIRE(result != 0 || sent(packets, size, MESSAGE_ACK));
    } else if (what % 3 == 1) {
        result = client_checkpoint(client);
        REQUIRE(result != 0 || sent(packets, size, MESSAGE_SIGNED));
    } else {
        result = client_report(client, &text, &length);
        REQUIRE(result != 0 || sent(packets, size, MESSAGE_REPORT));
        REQUIRE(result != 0 || text[length] == '\0');
        free(text);
    }
    check_result(result);
    REQUIRE(strlen(client_reason(client)) < 256);
    REQUIRE(result != -ENOSPC || sent(packets, size, MESSAGE_REFUSED));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    client_t *client = NULL;
    int result;

    /* more would not fit a socket's buffer, nor teach anything */
    if (size < 1 || size > 16384) {
        return 0;
    }
    (void) pthread_mutex_lock(&daemon_side.mutex);
    daemon_side.packets = data + 1;
    daemon_side.size = size - 1;
    (void) pthread_mutex_unlock(&daemon_side.mutex);
    result = client_open(daemon_side.path, SLICE("sekisho"), DEADLINE_MS,
                         &client);
    check_result(result);
    REQUIRE(result != -ETIMEDOUT);
    REQUIRE((result == 0) == (client != NULL));
    if (result == 0) {
        REQUIRE(sent(data + 1, size - 1, MESSAGE_WELCOME));
        use(client, (uint8_t) (data[0] % 3), data + 1, size - 1);
        use(client, (uint8_t) (data[0] / 3 % 3), data + 1, size - 1);
    }
    client_close(client);
    /* the thread is done with this input */
    (void) pthread_mutex_lock(&daemon_side.mutex);
    daemon_side.packets = NULL;
    daemon_side.size = 0;
    (void) pthread_mutex_unlock(&daemon_side.mutex);
    return 0;
}
