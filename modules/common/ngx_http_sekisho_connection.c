/*
 * The connection to sekishod: it is made, greeted, written to, listened to,
 * lost and made again.  After a reconnect all records that the daemon does not
 * hold are sent again.
 */

#include "ngx_http_sekisho_connection_internal.h"

#include <poll.h>
#include <sys/random.h>

#define NGX_HTTP_SEKISHO_BACKOFF_MIN 10 /* milliseconds */
#define NGX_HTTP_SEKISHO_BACKOFF_MAX 1000
#define NGX_HTTP_SEKISHO_MOMENT      1000 /* down for longer: hopeless */
#define NGX_HTTP_SEKISHO_STALL       3000 /* silent for longer: the same */
#define NGX_HTTP_SEKISHO_HELLO       5000 /* without a welcome: again */
#define NGX_HTTP_SEKISHO_LAST_WORDS  2000

/* At TERM the master kills its workers after a second and a half. */
#define NGX_HTTP_SEKISHO_TERMINATE 1000

static void ngx_http_sekisho_open(ngx_http_sekisho_connection_t *sc);
static ngx_int_t ngx_http_sekisho_hello(ngx_http_sekisho_connection_t *sc);
static void ngx_http_sekisho_lost(ngx_http_sekisho_connection_t *sc,
                                  ngx_err_t err, const char *what);
static void ngx_http_sekisho_retry(ngx_http_sekisho_connection_t *sc);
static void ngx_http_sekisho_timer_handler(ngx_event_t *ev);
static void ngx_http_sekisho_read_handler(ngx_event_t *rev);
static void ngx_http_sekisho_write_handler(ngx_event_t *wev);
static void ngx_http_sekisho_flush_handler(ngx_event_t *ev);
static void ngx_http_sekisho_flush(ngx_http_sekisho_connection_t *sc);
static ngx_int_t ngx_http_sekisho_receive(ngx_http_sekisho_connection_t *sc,
                                          ngx_err_t *err, const char **what);
static const char *ngx_http_sekisho_message(ngx_http_sekisho_connection_t *sc,
                                            const message_t *message);
static ngx_uint_t ngx_http_sekisho_stalled(ngx_http_sekisho_connection_t *sc);

ngx_http_sekisho_connection_t *
ngx_http_sekisho_connect(ngx_cycle_t *cycle,
                         const ngx_http_sekisho_connection_conf_t *conf)
{
    ngx_http_sekisho_connection_t *sc;

    sc = ngx_pcalloc(cycle->pool, sizeof(ngx_http_sekisho_connection_t));
    if (sc == NULL) {
        return NULL;
    }

    sc->entries = ngx_pcalloc(cycle->pool, NGX_HTTP_SEKISHO_PENDING_MAX *
                                               sizeof(*sc->entries));
    if (sc->entries == NULL) {
        return NULL;
    }

    sc->conf = *conf;
    ngx_memcpy(sc->front, conf->instance, MESSAGE_INSTANCE_SIZE);

    if (ngx_http_sekisho_random(sc->front + MESSAGE_INSTANCE_SIZE,
                                MESSAGE_FRONT_SIZE - MESSAGE_INSTANCE_SIZE) !=
        NGX_OK)
    {
        return NULL;
    }

    sc->first = 1;
    sc->next = 1;
    sc->down = ngx_current_msec;
    sc->backoff = NGX_HTTP_SEKISHO_BACKOFF_MIN;

    sc->timer.handler = ngx_http_sekisho_timer_handler;
    sc->timer.data = sc;
    sc->timer.log = cycle->log;
    sc->timer.cancelable = 1;

    sc->flush.handler = ngx_http_sekisho_flush_handler;
    sc->flush.data = sc;
    sc->flush.log = cycle->log;

    ngx_http_sekisho_open(sc);

    return sc;
}


static void
ngx_http_sekisho_open(ngx_http_sekisho_connection_t *sc)
{
    ngx_int_t rc;
    ngx_err_t err;
    ngx_socket_t s;
    ngx_connection_t *c;

    s = ngx_socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_http_sekisho_lost(sc, ngx_socket_errno, "socket() failed");
        return;
    }

    if (connect(s, (struct sockaddr *) &sc->conf.address,
                sizeof(struct sockaddr_un)) == -1)
    {
        err = ngx_socket_errno;
        ngx_close_socket(s);
        ngx_http_sekisho_lost(sc, err, "connect() failed");
        return;
    }

    c = ngx_get_connection(s, sc->timer.log);

    if (c == NULL) {
        ngx_close_socket(s);
        ngx_http_sekisho_lost(sc, 0, "no connection is free");
        return;
    }

    c->data = sc;
    c->log = sc->timer.log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_sekisho_read_handler;
    c->write->handler = ngx_http_sekisho_write_handler;
    c->write->ready = 1;
    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);

    sc->connection = c;

    if (ngx_add_conn) {
        rc = ngx_add_conn(c);

    } else {
        rc = ngx_add_event(c->read, NGX_READ_EVENT,
                           (ngx_event_flags & NGX_USE_CLEAR_EVENT)
                               ? NGX_CLEAR_EVENT
                               : NGX_LEVEL_EVENT);
    }

    if (rc != NGX_OK) {
        ngx_http_sekisho_lost(sc, 0, "the socket cannot be watched");
        return;
    }

    if (ngx_http_sekisho_hello(sc) != NGX_OK) {
        ngx_http_sekisho_lost(sc, ngx_socket_errno, "send() failed");
        return;
    }

    ngx_add_timer(&sc->timer, NGX_HTTP_SEKISHO_HELLO);
}


static ngx_int_t
ngx_http_sekisho_hello(ngx_http_sekisho_connection_t *sc)
{
    size_t size;
    message_hello_t hello;

    ngx_memcpy(hello.front, sc->front, MESSAGE_FRONT_SIZE);
    hello.source = SLICE("nginx");

    size = message_write_hello(sc->packet, sizeof(sc->packet), sc->recorded,
                               &hello);

    return send(sc->connection->fd, sc->packet, size,
                MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t) size
               ? NGX_OK
               : NGX_ERROR;
}


static void
ngx_http_sekisho_lost(ngx_http_sekisho_connection_t *sc, ngx_err_t err,
                      const char *what)
{
    if (sc->connection) {
        ngx_close_connection(sc->connection);
        sc->connection = NULL;
    }

    /* a daemon that hangs up again and again is as good as none */

    if (sc->proved || (sc->welcomed &&
                       ngx_current_msec - sc->since > NGX_HTTP_SEKISHO_MOMENT))
    {
        sc->down = ngx_current_msec;
        sc->backoff = NGX_HTTP_SEKISHO_BACKOFF_MIN;
    }

    sc->welcomed = 0;
    sc->proved = 0;

    if (!sc->told) {
        sc->told = 1;

        ngx_log_error(NGX_LOG_ERR, sc->timer.log, err,
                      "audit: no connection to sekishod at \"%s\": %s; is it "
                      "running?",
                      sc->conf.path, what);
    }

    ngx_http_sekisho_retry(sc);
}


static void
ngx_http_sekisho_retry(ngx_http_sekisho_connection_t *sc)
{
    if (sc->timer.timer_set) {
        ngx_del_timer(&sc->timer);
    }

    ngx_add_timer(&sc->timer, sc->backoff);

    sc->backoff = ngx_min(sc->backoff * 2, NGX_HTTP_SEKISHO_BACKOFF_MAX);
}


static void
ngx_http_sekisho_timer_handler(ngx_event_t *ev)
{
    ngx_http_sekisho_connection_t *sc = ev->data;

    if (sc->connection == NULL) {
        ngx_http_sekisho_open(sc);

    } else if (!sc->welcomed) {
        ngx_http_sekisho_lost(sc, 0, "it does not answer");
    }
}


/* ---- Writing ---- */

static void
ngx_http_sekisho_flush_handler(ngx_event_t *ev)
{
    ngx_http_sekisho_flush(ev->data);
}


static void
ngx_http_sekisho_write_handler(ngx_event_t *wev)
{
    ngx_connection_t *c = wev->data;

    wev->ready = 1;
    ngx_http_sekisho_flush(c->data);
}


static void
ngx_http_sekisho_flush(ngx_http_sekisho_connection_t *sc)
{
    size_t size;
    ssize_t n;
    uint64_t after;
    ngx_err_t err;
    ngx_connection_t *c;

    while (sc->welcomed) {
        c = sc->connection;

        size = ngx_http_sekisho_packet(sc, &after);
        if (size == 0) {
            return;
        }

        n = send(c->fd, sc->packet, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n == -1) {
            err = ngx_socket_errno;

            if (err == NGX_EINTR) {
                continue;
            }

            if (err == NGX_EAGAIN || err == ENOBUFS) {
                c->write->ready = 0;

                if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
                    ngx_http_sekisho_lost(sc, 0,
                                          "the socket cannot be watched");
                }

                return;
            }

            /* what it said before it went is still to be read, and the end
             * comes with it */
            c->write->ready = 0;
            ngx_post_event(c->read, &ngx_posted_events);
            return;
        }

        sc->next = after;
    }
}


/* ---- Reading ---- */

static void
ngx_http_sekisho_read_handler(ngx_event_t *rev)
{
    ngx_err_t err;
    const char *what;
    ngx_connection_t *c;
    ngx_http_sekisho_connection_t *sc;

    c = rev->data;
    sc = c->data;

    if (ngx_http_sekisho_receive(sc, &err, &what) != NGX_OK) {
        ngx_http_sekisho_lost(sc, err, what);
        return;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_sekisho_lost(sc, 0, "the socket cannot be watched");
    }
}


/* Reads all there is.  NGX_OK, or NGX_ERROR when the connection is of no use
 * any more. */

static ngx_int_t
ngx_http_sekisho_receive(ngx_http_sekisho_connection_t *sc, ngx_err_t *err,
                         const char **what)
{
    ssize_t n;
    message_t message;
    ngx_uint_t reset;
    ngx_connection_t *c;
    message_result_t result;

    c = sc->connection;
    reset = 0;
    *err = 0;

    for (;;) {
        n = recv(c->fd, sc->packet, sizeof(sc->packet), MSG_DONTWAIT);

        if (n == -1) {
            *err = ngx_socket_errno;

            if (*err == NGX_EINTR) {
                continue;
            }

            if (*err == NGX_EAGAIN) {
                c->read->ready = 0;
                *what = "it hung up";
                return reset ? NGX_ERROR : NGX_OK;
            }

            /* the error is told first, but what was sent before is there */

            if (reset++ == 0) {
                continue;
            }

            *what = "recv() failed";
            return NGX_ERROR;
        }

        if (n == 0) {
            *err = 0;
            *what = "it hung up";
            return NGX_ERROR;
        }

        result = message_parse(sc->packet, (size_t) n, &message);

        if (result != MESSAGE_OK) {
            *what = message_strerror(result);
            return NGX_ERROR;
        }

        *what = ngx_http_sekisho_message(sc, &message);

        if (*what) {
            return NGX_ERROR;
        }
    }
}


/* NULL, or what is wrong with it. */

static const char *
ngx_http_sekisho_message(ngx_http_sekisho_connection_t *sc,
                         const message_t *message)
{
    ngx_str_t reason;
    message_news_t news;

    switch (message->type) {
    case MESSAGE_WELCOME:
        if (sc->welcomed || message->number > sc->last) {
            return "it welcomes somebody else";
        }

        ngx_http_sekisho_settle_up_to(sc, message->number);

        sc->review_due = message_parse_news(message, &news) ? news.review_due
                                                            : 0;
        sc->next = message->number + 1;
        sc->welcomed = 1;
        sc->since = ngx_current_msec;
        sc->progress = ngx_current_msec;

        if (sc->timer.timer_set) {
            ngx_del_timer(&sc->timer);
        }

        (void) ngx_atomic_fetch_add(&sc->conf.stats->connects, 1);

        if (sc->told) {
            sc->told = 0;
            ngx_log_error(NGX_LOG_NOTICE, sc->timer.log, 0,
                          "audit: sekishod at \"%s\" is there again",
                          sc->conf.path);
        }

        ngx_post_event(&sc->flush, &ngx_posted_events);
        return NULL;

    case MESSAGE_ACK:
        if (!sc->welcomed || message->number >= sc->next) {
            return "it acknowledges what was never sent";
        }

        if (message_parse_news(message, &news)) {
            sc->review_due = news.review_due;
        }

        if (message->number <= sc->recorded) {
            /* for the news alone: nothing has come further */
            return NULL;
        }

        sc->progress = ngx_current_msec;
        sc->proved = 1;
        ngx_http_sekisho_settle_up_to(sc, message->number);
        return NULL;

    case MESSAGE_REFUSED:
        /* also before the welcome: what was not told to the last connection */
        if (message->number > sc->last) {
            return "it refuses what was never sent";
        }

        sc->progress = ngx_current_msec;

        if (sc->complained != ngx_time()) {
            sc->complained = ngx_time();

            reason.data = (u_char *) message->payload;
            reason.len = message->payload_size;

            ngx_log_error(NGX_LOG_ERR, sc->timer.log, 0,
                          "audit: sekishod refuses records: %V", &reason);
        }

        if (message->number >= sc->first) {
            ngx_http_sekisho_settle(sc, message->number,
                                    NGX_HTTP_SEKISHO_REFUSED);
        }

        return NULL;

    default:
        /* a newer daemon's */
        return NULL;
    }
}


/* ---- State ---- */

static ngx_uint_t
ngx_http_sekisho_stalled(ngx_http_sekisho_connection_t *sc)
{
    return sc->pending &&
           ngx_current_msec - sc->progress > NGX_HTTP_SEKISHO_STALL;
}


int64_t
ngx_http_sekisho_review_due(const ngx_http_sekisho_connection_t *sc)
{
    return sc->review_due;
}


ngx_uint_t
ngx_http_sekisho_is_up(ngx_http_sekisho_connection_t *sc)
{
    return sc->welcomed && !ngx_http_sekisho_stalled(sc);
}


ngx_uint_t
ngx_http_sekisho_is_hopeful(ngx_http_sekisho_connection_t *sc)
{
    return sc->welcomed
               ? !ngx_http_sekisho_stalled(sc)
               : ngx_current_msec - sc->down <= NGX_HTTP_SEKISHO_MOMENT;
}


ngx_uint_t
ngx_http_sekisho_pending(ngx_http_sekisho_connection_t *sc)
{
    return sc->pending;
}


/* ---- The end ---- */

/*
 * Nothing else is served by this process any more: it may wait here, for so
 * long in all.
 */

void
ngx_http_sekisho_hand_over(ngx_http_sekisho_connection_t *sc)
{
    uint64_t end, now;
    struct pollfd pfd;

    if (sc->end == 0) {
        sc->end = ngx_http_sekisho_microseconds() / 1000 +
                  (ngx_terminate ? NGX_HTTP_SEKISHO_TERMINATE
                                 : NGX_HTTP_SEKISHO_LAST_WORDS);
    }

    end = sc->end;

    if (sc->pending && sc->connection == NULL) {
        ngx_http_sekisho_open(sc);
    }

    while (sc->pending && sc->connection) {
        ngx_http_sekisho_flush(sc);

        now = ngx_http_sekisho_microseconds() / 1000;

        if (now >= end || sc->connection == NULL) {
            break;
        }

        pfd.fd = sc->connection->fd;
        pfd.events = POLLIN;

        if (sc->welcomed && sc->next <= sc->last) {
            pfd.events |= POLLOUT;
        }

        (void) poll(&pfd, 1, (int) ngx_min(end - now, 100));

        if (pfd.revents & (POLLIN | POLLHUP | POLLERR)) {
            ngx_http_sekisho_read_handler(sc->connection->read);
        }
    }
}


void
ngx_http_sekisho_disconnect(ngx_http_sekisho_connection_t *sc)
{
    ngx_http_sekisho_hand_over(sc);

    if (sc->pending) {
        ngx_log_error(NGX_LOG_CRIT, sc->timer.log, 0,
                      "audit: %ui records could not be handed to sekishod "
                      "before the exit",
                      sc->pending);
    }

    ngx_http_sekisho_drop(sc);

    if (sc->connection) {
        ngx_close_connection(sc->connection);
        sc->connection = NULL;
        sc->welcomed = 0;
    }

    if (sc->timer.timer_set) {
        ngx_del_timer(&sc->timer);
    }

    if (sc->flush.posted) {
        ngx_delete_posted_event(&sc->flush);
    }
}


/* ---- Small things ---- */

ngx_int_t
ngx_http_sekisho_random(void *bytes, size_t size)
{
    size_t done;
    ssize_t n;

    for (done = 0; done < size; done += (size_t) n) {
        n = getrandom((uint8_t *) bytes + done, size - done, 0);

        if (n == -1) {
            if (ngx_errno == NGX_EINTR) {
                n = 0;
                continue;
            }

            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                          "getrandom() failed");
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_http_sekisho_random_id(ngx_http_sekisho_connection_t *sc, uint8_t id[16])
{
    if (sc->ids_left == 0) {
        if (ngx_http_sekisho_random(sc->ids, sizeof(sc->ids)) != NGX_OK) {
            /* cannot happen on a Linux that is up; an [alert] was logged */
            ngx_memzero(sc->ids, sizeof(sc->ids));
        }

        sc->ids_left = NGX_HTTP_SEKISHO_IDS;
    }

    sc->ids_left--;
    ngx_memcpy(id, sc->ids[sc->ids_left], 16);
}
