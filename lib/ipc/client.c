#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../base/wipe.h"
#include "otp_message.h"

struct client_s {
    int fd;
    int deadline_ms;
    uint64_t number; /* of the last record sent */
    uint64_t asked;  /* of the last question */
    char reason[256];
    uint8_t packet[MESSAGE_SIZE_MAX];
};

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* 0 when the socket is ready for `events`. */
static int
wait_for(client_t *client, short events, int64_t end_ms)
{
    for (;;) {
        struct pollfd pollfd = {.fd = client->fd, .events = events};
        int64_t left = end_ms - now_ms();
        int n;

        if (left <= 0) {
            return -ETIMEDOUT;
        }
        n = poll(&pollfd, 1, (int) left);
        if (n > 0) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
    }
}

static int
send_packet(client_t *client, size_t size, int64_t end_ms)
{
    if (size == 0) {
        return -EMSGSIZE;
    }
    for (;;) {
        ssize_t n = send(client->fd, client->packet, size,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        int result;

        if (n >= 0) {
            return 0;
        }
        if (errno == EPIPE || errno == ECONNRESET) {
            return -EPROTO;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        result = wait_for(client, POLLOUT, end_ms);
        if (result < 0) {
            return result;
        }
    }
}

static int
receive(client_t *client, message_t *message, int64_t end_ms)
{
    for (;;) {
        ssize_t n = recv(client->fd, client->packet, sizeof(client->packet),
                         MSG_DONTWAIT);
        int result;

        if (n > 0) {
            return message_parse(client->packet, (size_t) n, message) ==
                           MESSAGE_OK
                       ? 0
                       : -EPROTO;
        }
        if (n == 0 || errno == ECONNRESET) {
            return -EPROTO;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
        result = wait_for(client, POLLIN, end_ms);
        if (result < 0) {
            return result;
        }
    }
}

/* Sends what is in the packet, and waits for an answer of that type. */
static int
ask(client_t *client, size_t size, message_type_t expected, uint64_t number,
    message_t *answer)
{
    int64_t end_ms = now_ms() + client->deadline_ms;
    int result = send_packet(client, size, end_ms);

    client->reason[0] = '\0';
    while (result == 0) {
        result = receive(client, answer, end_ms);
        if (result < 0) {
            break;
        }
        if (answer->type == MESSAGE_REFUSED && answer->number == number) {
            size_t length = answer->payload_size;

            if (length >= sizeof(client->reason)) {
                length = sizeof(client->reason) - 1;
            }
            memcpy(client->reason, answer->payload, length);
            client->reason[length] = '\0';
            return -ENOSPC;
        }
        /* an ACK covers all numbers up to its own; an ANSWER to a question
         * that we gave up waiting for is none to this one */
        if (answer->type == expected &&
            (expected != MESSAGE_ACK || answer->number >= number) &&
            (expected != MESSAGE_ANSWER || answer->number == number))
        {
            return 0;
        }
    }
    return result;
}

int
client_open(const char *socket_path, slice_t source, int deadline_ms,
            client_t **result)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    message_hello_t hello = {.source = source};
    message_t answer;
    client_t *client;
    int error;

    if (strlen(socket_path) >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, socket_path, strlen(socket_path));
    client = calloc(1, sizeof(*client));
    if (client == NULL) {
        return -ENOMEM;
    }
    client->deadline_ms = deadline_ms;
    client->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
                        0);
    if (client->fd < 0) {
        error = -errno;
        goto failed;
    }
    /* a unix socket connects at once, or its queue is full (EAGAIN) */
    if (connect(client->fd, (struct sockaddr *) &address, sizeof(address)) < 0)
    {
        error = errno == EAGAIN ? -ETIMEDOUT : -errno;
        goto failed;
    }
    if (source.size == 0) {
        *result = client;
        return 0;
    }
    if (getrandom(hello.front, sizeof(hello.front), 0) !=
        (ssize_t) sizeof(hello.front))
    {
        error = -EIO;
        goto failed;
    }
    error = ask(
        client,
        message_write_hello(client->packet, sizeof(client->packet), 0, &hello),
        MESSAGE_WELCOME, 0, &answer);
    if (error < 0) {
        goto failed;
    }
    *result = client;
    return 0;

failed:
    client_close(client);
    return error;
}

void
client_close(client_t *client)
{
    if (client == NULL) {
        return;
    }
    if (client->fd >= 0) {
        (void) close(client->fd);
    }
    client_wipe(client);
    free(client);
}

int
client_ask(client_t *client, const ask_t *question, ask_t *answer)
{
    message_t message;
    int result;

    memset(answer, 0, sizeof(*answer));
    client->asked++;
    result = ask(client,
                 ask_write(client->packet, sizeof(client->packet), MESSAGE_ASK,
                           client->asked, question),
                 MESSAGE_ANSWER, client->asked, &message);
    if (result == 0 && !ask_parse(&message, answer)) {
        result = -EPROTO;
    }
    return result;
}

void
client_wipe(client_t *client)
{
    if (client != NULL) {
        wipe_bytes(client->packet, sizeof(client->packet));
    }
}

int
client_record(client_t *client, const record_t *record)
{
    message_batch_t batch;
    message_t answer;

    message_batch_begin(&batch, client->packet, sizeof(client->packet),
                        client->number + 1);
    if (!message_batch_add(&batch, record)) {
        return -EMSGSIZE;
    }
    client->number++;
    return ask(client, message_batch_end(&batch), MESSAGE_ACK, client->number,
               &answer);
}

int
client_checkpoint(client_t *client)
{
    message_t answer;

    /* answered under the number of the last record, which it covers */
    return ask(client,
               message_write(client->packet, sizeof(client->packet),
                             MESSAGE_CHECKPOINT, client->number, NULL, 0),
               MESSAGE_SIGNED, client->number, &answer);
}

int
client_report(client_t *client, char **text, size_t *size)
{
    message_t answer;
    int result = ask(client,
                     message_write(client->packet, sizeof(client->packet),
                                   MESSAGE_STATUS, 0, NULL, 0),
                     MESSAGE_REPORT, 0, &answer);

    if (result < 0) {
        return result;
    }
    *text = malloc(answer.payload_size + 1);
    if (*text == NULL) {
        return -ENOMEM;
    }
    memcpy(*text, answer.payload, answer.payload_size);
    (*text)[answer.payload_size] = '\0';
    *size = answer.payload_size;
    return 0;
}

const char *
client_reason(const client_t *client)
{
    return client->reason;
}
