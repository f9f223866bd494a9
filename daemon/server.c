#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../lib/base/wipe.h"
#include "log.h"
#include "verifier.h"

#define PEERS_MAX          1024
#define PEERS_PER_UID      256
#define OFFICER_GROUPS_MAX 1024 /* of a peer */
#define HELLO_SECONDS      5    /* a peer that says nothing is cut off */
#define ASKED_SECONDS      300  /* one that asked may think that long */
#define PACKETS_AT_ONCE    64   /* of one peer, before the others have a turn */
#define BACKLOG            511
#define ANSWER_MAX         (MESSAGE_HEAD_SIZE + MESSAGE_TEXT_MAX)
#define SEND_BUFFER        (1 << 20) /* bytes */

typedef struct peer_s peer_t;

struct peer_s {
    server_t *server;
    peer_t *next, *previous;
    int fd;
    struct event *readable;
    struct event *writable; /* only while an answer did not fit */
    struct ucred credentials;
    bool web;          /* may send records of others */
    bool officer;      /* may sign reviews */
    front_t *front;    /* after its hello */
    int64_t connected; /* Unix seconds */
    uint64_t acknowledged;
    int64_t review_due; /* as it was told last */
    bool welcomed;      /* not before it was told what was refused */
    bool waiting;       /* for `writable` */
    int64_t asked;      /* Unix seconds, of its last question; 0: none */
    bool deaf;      /* it does not take its answers: gone at the next tick */
    bool named;     /* `user` was looked up */
    char user[257]; /* "" if its uid has no name */
};

struct server_s {
    struct event_base *base;
    recorder_t *recorder;
    verifier_t *verifier;
    const config_t *config;
    int fd;
    bool inherited;
    char path[sizeof(((struct sockaddr_un *) NULL)->sun_path)];
    struct event *acceptable;
    struct event *tick;
    struct event *commit;
    peer_t *peers;
    unsigned peers_count;
    uint64_t cut_off; /* peers, for what they sent */
    uint8_t packet[MESSAGE_SIZE_MAX];
    const indexer_t *indexer; /* NULL: none */
};

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void
peer_close(peer_t *peer)
{
    server_t *server = peer->server;

    if (peer->front != NULL) {
        recorder_goodbye(server->recorder, peer->front, now_ms());
    }
    if (peer->asked != 0) {
        verifier_forget(server->verifier, peer);
    }
    if (peer->next != NULL) {
        peer->next->previous = peer->previous;
    }
    if (peer->previous != NULL) {
        peer->previous->next = peer->next;
    } else {
        server->peers = peer->next;
    }
    server->peers_count--;
    if (peer->readable != NULL) {
        event_free(peer->readable);
    }
    if (peer->writable != NULL) {
        event_free(peer->writable);
    }
    (void) close(peer->fd);
    free(peer);
}

static void
peer_cut_off(peer_t *peer, const char *why)
{
    log_line(LOG_WARNING, "cut off a peer (pid %d, uid %d): %s",
             (int) peer->credentials.pid, (int) peer->credentials.uid, why);
    peer->server->cut_off++;
    peer_close(peer);
}

/* False if the peer is gone, or must wait until it reads. */
static bool
peer_send(peer_t *peer, const uint8_t *bytes, size_t size)
{
    ssize_t n = send(peer->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n >= 0) {
        return true;
    }
    if (errno == EAGAIN || errno == ENOBUFS) {
        if (!peer->waiting) {
            peer->waiting = event_add(peer->writable, NULL) == 0;
        }
    }
    /* any other error shows itself when the peer is read */
    return false;
}

/* False if some could not be sent: they come before any acknowledgement. */
static bool
send_refusals(peer_t *peer)
{
    front_t *front = peer->front;
    uint8_t bytes[ANSWER_MAX];

    while (front->refused_told < front->refused_count) {
        const char *reason = recorder_reason(peer->server->recorder);
        size_t size;

        if (reason[0] == '\0') {
            reason = "before this sekishod was started";
        }
        size = message_write(bytes, sizeof(bytes), MESSAGE_REFUSED,
                             front->refused[front->refused_told], reason,
                             strlen(reason));

        if (!peer_send(peer, bytes, size)) {
            return false;
        }
        front->refused_told++;
    }
    return true;
}

/* Tells what became of the records; acknowledgements are cumulative, so one
 * that did not fit is made up for by the next. */
static void
peer_answer(peer_t *peer)
{
    front_t *front = peer->front;
    message_news_t news = {indexer_review_due(peer->server->indexer)};
    uint8_t bytes[ANSWER_MAX];
    size_t size;

    if (front == NULL || !send_refusals(peer)) {
        return;
    }
    if (!peer->welcomed) {
        /* it says that all up to its number are on disk, or were refused */
        peer->acknowledged = front->durable;
        peer->review_due = news.review_due;
        size = message_write_news(bytes, sizeof(bytes), MESSAGE_WELCOME,
                                  front->durable, &news);
        peer->welcomed = peer_send(peer, bytes, size);
        return;
    }
    if (front->durable > peer->acknowledged ||
        news.review_due != peer->review_due) {
        size = message_write_news(bytes, sizeof(bytes), MESSAGE_ACK,
                                  front->durable, &news);
        if (peer_send(peer, bytes, size)) {
            peer->acknowledged = front->durable;
            peer->review_due = news.review_due;
        }
    }
}

static void
answer_all(server_t *server)
{
    for (peer_t *peer = server->peers; peer != NULL; peer = peer->next) {
        peer_answer(peer);
    }
}

static void
commit(server_t *server)
{
    verifier_commit(server->verifier, now_ms());
    if (recorder_pending(server->recorder)) {
        (void) recorder_commit(server->recorder, now_ms());
    }
    answer_all(server);
}

static void
on_commit(evutil_socket_t fd, short what, void *context)
{
    (void) fd;
    (void) what;
    commit(context);
}

static void
on_writable(evutil_socket_t fd, short what, void *context)
{
    peer_t *peer = context;

    (void) fd;
    (void) what;
    peer->waiting = false;
    peer_answer(peer);
}

/* False when the peer was cut off. */
static bool
take_hello(peer_t *peer, const message_t *message)
{
    message_hello_t hello;
    front_t *front;

    if (peer->front != NULL || !message_parse_hello(message, &hello)) {
        peer_cut_off(peer, "a hello that is none, or a second one");
        return false;
    }
    front = recorder_hello(peer->server->recorder, &hello, message->number,
                           now_ms());
    if (front == NULL) {
        peer_cut_off(peer, "out of memory");
        return false;
    }
    peer->front = front;
    peer_answer(peer);
    return true;
}

/* What the kernel says of who speaks. */
typedef struct {
    char user[256];
    char peer[32];
} said_t;

/*
 * Somebody who is neither root nor the web's user speaks for himself alone, of
 * what he reads, and as an officer of what he reviews.  Nobody signs by way of
 * the web's user: whoever takes nginx over must not explain that away.
 */
static bool
may_say(const peer_t *peer, record_t *record, said_t *said)
{
    const struct passwd *account;
    record_event_t event = record_event_find(record->values[RECORD_EVENT]);
    bool signs = event == EVENT_REVIEW || event == EVENT_FINDING_QUIETED;

    if (signs && !peer->officer) {
        return false;
    }
    if (signs ? peer->credentials.uid == 0 : peer->web) {
        return true;
    }
    if (!signs && event != EVENT_TRAIL_READ) {
        return false;
    }
    if (!signs) {
        record->values[RECORD_SESSION] = (slice_t){NULL, 0};
    }
    (void) snprintf(said->peer, sizeof(said->peer), "%d:%d",
                    (int) peer->credentials.uid, (int) peer->credentials.pid);
    record->values[RECORD_PEER] = slice_of(said->peer);
    account = getpwuid(peer->credentials.uid);
    (void) snprintf(said->user, sizeof(said->user), "%s",
                    account == NULL ? said->peer : account->pw_name);
    record->values[RECORD_USER] = slice_of(said->user);
    return true;
}

static bool
take_records(peer_t *peer, const message_t *message)
{
    uint64_t number = message->number;
    int64_t now = now_ms();
    size_t offset = 0;
    record_t record;
    int more;

    if (peer->front == NULL || number == 0) {
        peer_cut_off(peer, "records without a hello, or without a number");
        return false;
    }
    while ((more = message_next_record(message, &offset, &record)) == 1) {
        said_t said;

        if (!may_say(peer, &record, &said)) {
            peer_cut_off(peer, "a record that is not its to send: see "
                               "\"web_user\" in sekishod.conf(5), or for "
                               "reviews \"Who may do that\" in "
                               "docs/findings.md");
            return false;
        }
        if (recorder_take(peer->server->recorder, peer->front, number, &record,
                          now) == RECORDER_BAD)
        {
            peer_cut_off(peer, "a record of an unknown event");
            return false;
        }
        number++;
        if (recorder_full(peer->server->recorder)) {
            commit(peer->server);
        }
    }
    if (more < 0) {
        peer_cut_off(peer, "bytes that are no record");
        return false;
    }
    event_active(peer->server->commit, EV_TIMEOUT, 0);
    return true;
}

static void
send_report(peer_t *peer)
{
    server_t *server = peer->server;
    uint8_t bytes[MESSAGE_SIZE_MAX];
    json_t json;
    slice_t text;
    size_t size;

    json_init(&json);
    json_object(&json, NULL);
    json_string(&json, "version", SEKISHO_VERSION);
    json_int(&json, "peers", server->peers_count);
    json_int(&json, "cut_off", (int64_t) server->cut_off);
    recorder_report(server->recorder, &json, now_ms());
    verifier_report(server->verifier, &json);
    indexer_report(server->indexer, &json);
    json_end_object(&json);
    text = json_result(&json);
    size = message_write(bytes, sizeof(bytes), MESSAGE_REPORT, 0, text.data,
                         text.size);
    (void) peer_send(peer, bytes, size);
    json_free(&json);
}

static void
take_checkpoint(peer_t *peer, const message_t *message)
{
    uint8_t bytes[ANSWER_MAX];
    size_t size;
    int error;

    commit(peer->server);
    error = recorder_checkpoint(peer->server->recorder);
    if (error == 0) {
        size = message_write(bytes, sizeof(bytes), MESSAGE_SIGNED,
                             message->number, NULL, 0);
    } else {
        const char *reason = recorder_reason(peer->server->recorder);

        size = message_write(bytes, sizeof(bytes), MESSAGE_REFUSED,
                             message->number, reason, strlen(reason));
    }
    (void) peer_send(peer, bytes, size);
}

/* ---- Questions about persons and places ----------------------------------*/

static void
send_to_asker(void *context, const uint8_t *bytes, size_t size)
{
    peer_t *peer = context;

    if (send(peer->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        peer->deaf = true;
    }
}

static asker_t
asker_of(peer_t *peer)
{
    const config_t *config = peer->server->config;
    uid_t uid = peer->credentials.uid;
    asker_t asker = {.kind = ASKER_SELF,
                     .uid = uid,
                     .pid = peer->credentials.pid,
                     .peer = peer};

    if (uid == 0 || uid == geteuid()) {
        asker.kind = ASKER_ROOT;
        return asker;
    }
    for (unsigned i = 0; i < config->web_uids_count; i++) {
        if (config->web_uids[i] == uid) {
            asker.kind = ASKER_WEB;
            return asker;
        }
    }
    if (!peer->named) {
        const struct passwd *account = getpwuid(uid);

        if (account != NULL && strlen(account->pw_name) < sizeof(peer->user)) {
            memcpy(peer->user, account->pw_name, strlen(account->pw_name) + 1);
        }
        peer->named = true;
    }
    asker.user = peer->user[0] == '\0' ? NULL : peer->user;
    return asker;
}

static bool
take_ask(peer_t *peer, const message_t *message)
{
    server_t *server = peer->server;
    asker_t asker = asker_of(peer);

    if (verifier_full(server->verifier)) {
        commit(server);
    }
    peer->asked = now_ms() / 1000;
    if (!verifier_take(server->verifier, &asker, message, now_ms())) {
        peer_cut_off(peer, "bytes that are no question");
        return false;
    }
    event_active(server->commit, EV_TIMEOUT, 0);
    return true;
}

/* False when the peer is gone. */
static bool
take_message(peer_t *peer, const uint8_t *bytes, size_t size)
{
    message_t message;
    message_result_t result = message_parse(bytes, size, &message);

    if (result != MESSAGE_OK) {
        peer_cut_off(peer, message_strerror(result));
        return false;
    }
    switch (message.type) {
    case MESSAGE_HELLO:
        return take_hello(peer, &message);
    case MESSAGE_RECORDS:
        return take_records(peer, &message);
    case MESSAGE_STATUS:
        send_report(peer);
        return true;
    case MESSAGE_CHECKPOINT:
        take_checkpoint(peer, &message);
        return true;
    case MESSAGE_ASK:
        return take_ask(peer, &message);
    default:
        peer_cut_off(peer, "a message that only sekishod sends");
        return false;
    }
}

static void
on_readable(evutil_socket_t fd, short what, void *context)
{
    peer_t *peer = context;
    server_t *server = peer->server;

    (void) what;
    for (unsigned i = 0; i < PACKETS_AT_ONCE; i++) {
        ssize_t n = recv(fd, server->packet, sizeof(server->packet),
                         MSG_DONTWAIT | MSG_TRUNC);
        bool secret, gone;

        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            peer_close(peer);
            return;
        }
        if ((size_t) n > sizeof(server->packet)) {
            peer_cut_off(peer, "a packet longer than any message");
            return;
        }
        /* a code or a secret stays in no buffer */
        secret = n > 3 && server->packet[3] == MESSAGE_ASK;
        gone = !take_message(peer, server->packet, (size_t) n);
        if (secret) {
            wipe_bytes(server->packet, (size_t) n);
        }
        if (gone) {
            return;
        }
    }
}

static bool
is_web(const config_t *config, uid_t uid)
{
    bool web = uid == 0 || uid == geteuid();

    for (unsigned i = 0; i < config->web_uids_count; i++) {
        web |= config->web_uids[i] == uid;
    }
    return web;
}

/*
 * Who may sign: root, the daemon's own user, and the group that the trail's
 * folder belongs to, which is who may read it.
 */
static bool
is_officer(const config_t *config, int fd, const struct ucred *credentials)
{
    gid_t groups[OFFICER_GROUPS_MAX];
    socklen_t size = sizeof(groups);
    struct stat st;

    if (credentials->uid == 0 || credentials->uid == geteuid()) {
        return true;
    }
    if (stat(config->trail, &st) < 0) {
        return false;
    }
    if (credentials->gid == st.st_gid) {
        return true;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0) {
        return false; /* -ERANGE: in more groups than anybody should be */
    }
    for (size_t i = 0; i < size / sizeof(groups[0]); i++) {
        if (groups[i] == st.st_gid) {
            return true;
        }
    }
    return false;
}

static void
add_peer(server_t *server, int fd)
{
    socklen_t size = sizeof(struct ucred);
    int buffer = SEND_BUFFER;
    unsigned same = 0;
    peer_t *peer = calloc(1, sizeof(*peer));

    if (peer == NULL ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer->credentials, &size) < 0)
    {
        log_line(LOG_ERROR, "a connection failed: %s", strerror(errno));
        free(peer);
        (void) close(fd);
        return;
    }
    for (const peer_t *other = server->peers; other != NULL;
         other = other->next) {
        same += other->credentials.uid == peer->credentials.uid;
    }
    peer->web = is_web(server->config, peer->credentials.uid);
    peer->officer = is_officer(server->config, fd, &peer->credentials);
    /* one user must not take the places of all; nor root's or the web's */
    if (server->peers_count >= PEERS_MAX ||
        (!peer->web && same >= PEERS_PER_UID / 8) || same >= PEERS_PER_UID)
    {
        log_line(LOG_WARNING, "too many connections of uid %d",
                 (int) peer->credentials.uid);
        free(peer);
        (void) close(fd);
        return;
    }
    (void) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
    peer->server = server;
    peer->fd = fd;
    peer->connected = now_ms() / 1000;
    peer->next = server->peers;
    if (server->peers != NULL) {
        server->peers->previous = peer;
    }
    server->peers = peer;
    server->peers_count++;
    peer->readable = event_new(server->base, fd, EV_READ | EV_PERSIST,
                               on_readable, peer);
    peer->writable = event_new(server->base, fd, EV_WRITE, on_writable, peer);
    if (peer->readable == NULL || peer->writable == NULL ||
        event_add(peer->readable, NULL) < 0)
    {
        peer_cut_off(peer, "out of memory");
    }
}

static void
on_acceptable(evutil_socket_t fd, short what, void *context)
{
    (void) what;
    for (unsigned i = 0; i < 16; i++) {
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (peer < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
                log_line(LOG_ERROR, "accept: %s", strerror(errno));
            }
            return;
        }
        add_peer(context, peer);
    }
}

static void
on_tick(evutil_socket_t fd, short what, void *context)
{
    server_t *server = context;
    int64_t now = now_ms();
    struct timeval second = {1, 0};
    peer_t *peer, *next;

    (void) fd;
    (void) what;
    for (peer = server->peers; peer != NULL; peer = next) {
        next = peer->next;
        if (peer->deaf) {
            peer_cut_off(peer, "it does not take its answers");
        } else if (peer->front == NULL && peer->asked != 0) {
            if (now / 1000 - peer->asked > ASKED_SECONDS) {
                peer_close(peer);
            }
        } else if (peer->front == NULL &&
                   now / 1000 - peer->connected > HELLO_SECONDS) {
            peer_cut_off(peer, "it said nothing");
        }
    }
    verifier_tick(server->verifier, now);
    recorder_tick(server->recorder, now);
    (void) event_add(server->tick, &second);
    commit(server);
}

static int
listen_on(server_t *server, const config_t *config)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(config->socket);
    int fd, probe;

    memcpy(address.sun_path, config->socket, length);
    memcpy(server->path, config->socket, length + 1);
    fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || probe < 0) {
        log_line(LOG_ERROR, "socket: %s", strerror(errno));
        return -1;
    }
    /* a socket that a crash left behind answers nobody: it may go */
    if (connect(probe, (struct sockaddr *) &address, sizeof(address)) == 0) {
        log_line(LOG_ERROR, "another sekishod answers on %s: stop it first",
                 config->socket);
        (void) close(probe);
        return -1;
    }
    if (errno == ECONNREFUSED) {
        (void) unlink(config->socket);
    }
    (void) close(probe);
    if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
        chmod(config->socket, 0666) < 0 || listen(fd, BACKLOG) < 0)
    {
        log_line(LOG_ERROR,
                 "cannot listen on %s: %s; does the folder exist, and may "
                 "this user write there?",
                 config->socket, strerror(errno));
        return -1;
    }
    return fd;
}

server_t *
server_open(struct event_base *base, recorder_t *recorder,
            const config_t *config, int inherited)
{
    struct timeval second = {1, 0};
    server_t *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        log_line(LOG_ERROR, "out of memory");
        return NULL;
    }
    server->base = base;
    server->recorder = recorder;
    server->config = config;
    server->inherited = inherited >= 0;
    server->fd = inherited >= 0 ? inherited : listen_on(server, config);
    if (server->fd < 0) {
        free(server);
        return NULL;
    }
    server->verifier = verifier_open(config, recorder, send_to_asker, now_ms());
    server->acceptable = event_new(base, server->fd, EV_READ | EV_PERSIST,
                                   on_acceptable, server);
    server->tick = event_new(base, -1, 0, on_tick, server);
    server->commit = event_new(base, -1, 0, on_commit, server);
    if (server->acceptable == NULL || server->tick == NULL ||
        server->commit == NULL || server->verifier == NULL)
    {
        log_line(LOG_ERROR, "out of memory");
        server_close(server);
        return NULL;
    }
    /* commits come after all that is readable has been read: group commit;
     * event_base_priority_init(base, 2) makes 1 the default of the others */
    (void) event_priority_set(server->acceptable, 0);
    (void) event_add(server->acceptable, NULL);
    (void) event_add(server->tick, &second);
    return server;
}

void
server_configure(server_t *server, const config_t *config)
{
    server->config = config;
    verifier_configure(server->verifier, config, now_ms());
    for (peer_t *peer = server->peers; peer != NULL; peer = peer->next) {
        peer->web = is_web(config, peer->credentials.uid);
    }
}

void
server_close(server_t *server)
{
    peer_t *peer, *next;

    if (server->acceptable != NULL) {
        event_free(server->acceptable);
    }
    /* drain: what was sent before the stop is recorded and acknowledged */
    for (peer = server->peers; peer != NULL; peer = next) {
        next = peer->next;
        on_readable(peer->fd, 0, peer);
    }
    if (server->commit != NULL && server->tick != NULL &&
        server->verifier != NULL) {
        commit(server);
    }
    while (server->peers != NULL) {
        peer_close(server->peers);
    }
    verifier_close(server->verifier, now_ms());
    if (server->tick != NULL) {
        event_free(server->tick);
    }
    if (server->commit != NULL) {
        event_free(server->commit);
    }
    (void) close(server->fd);
    if (!server->inherited) {
        (void) unlink(server->path);
    }
    free(server);
}

void
server_set_indexer(server_t *server, const indexer_t *indexer)
{
    server->indexer = indexer;
}
