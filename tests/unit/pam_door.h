/*
 * A door for tests of pam_sekisho.so: libpam with a stack of one line, a
 * conversation that answers from a list, and a daemon whose answers are
 * scripted and whose questions are kept.
 */

#ifndef SEKISHO_TESTS_PAM_DOOR_H
#define SEKISHO_TESTS_PAM_DOOR_H

#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../lib/ipc/otp_message.h"

#define DOOR_QUESTIONS 64
#define DOOR_TEXT      256
#define DOOR_SHOWN     16384

typedef struct {
    ask_operation_t operation;
    char user[300], code[DOOR_TEXT], service[DOOR_TEXT], address[DOOR_TEXT],
        local[DOOR_TEXT], factor[DOOR_TEXT], factors[DOOR_TEXT],
        left[DOOR_TEXT], kind[DOOR_TEXT];
} asked_t;

typedef struct {
    char event[32], user[64], session[64], open[64], duration[32], files[32],
        bytes[32], failures[32], reason[64], address[64], outcome[8];
} recorded_t;

/* Fields of the answer to an operation; NULL: not there. */
typedef struct {
    const char *verdict, *why, *state, *factor, *left, *logins, *second_factor,
        *secret, *text;
    bool silent;  /* no answer at all */
    bool garbage; /* what is no answer */
} reply_t;

typedef struct {
    char folder[64]; /* of everything below */
    char socket[96];
    int listener;
    pthread_t thread;
    bool running;
    /* the daemon: set before, looked at after */
    reply_t replies[ASK_OPERATIONS];
    const char *good_code; /* verify: "yes" for this one alone */
    asked_t asked[DOOR_QUESTIONS];
    unsigned asked_count;
    recorded_t recorded[DOOR_QUESTIONS];
    unsigned recorded_count;
    bool refuses_records;
    const char *emergency; /* folder or "off"; NULL: one below ours */
    const char *timeout;   /* of the module; a minute, as machines are slow */
    /* the person */
    const char *answers[16];
    unsigned answers_used;
    int styles[16];
    char prompts[16][DOOR_TEXT];
    char shown[DOOR_SHOWN];
    unsigned shown_count;
    pam_handle_t *pamh;
} pam_door_t;

/* ---- The daemon ---------------------------------------------------------- */

static void
door_copy(char *to, size_t capacity, slice_t value)
{
    (void) snprintf(to, capacity, "%.*s", SLICE_ARG(value));
}

static size_t
door_reply(pam_door_t *door, const message_t *message, uint8_t *bytes)
{
    ask_t ask, answer = {0};
    asked_t *asked = &door->asked[door->asked_count % DOOR_QUESTIONS];
    const reply_t *reply;
    const char *verdict;
    uint64_t operation = 0;

    if (!ask_parse(message, &ask) ||
        !ask_number_parse(ask.values[ASK_OPERATION], ASK_OPERATIONS - 1,
                          &operation))
    {
        return 0;
    }
    door->asked_count++;
    asked->operation = (ask_operation_t) operation;
    door_copy(asked->user, sizeof(asked->user), ask.values[ASK_USER]);
    door_copy(asked->code, DOOR_TEXT, ask.values[ASK_CODE]);
    door_copy(asked->service, DOOR_TEXT, ask.values[ASK_SERVICE]);
    door_copy(asked->address, DOOR_TEXT, ask.values[ASK_ADDRESS]);
    door_copy(asked->local, DOOR_TEXT, ask.values[ASK_LOCAL]);
    door_copy(asked->factor, DOOR_TEXT, ask.values[ASK_FACTOR]);
    door_copy(asked->factors, DOOR_TEXT, ask.values[ASK_FACTORS]);
    door_copy(asked->left, DOOR_TEXT, ask.values[ASK_LEFT]);
    door_copy(asked->kind, DOOR_TEXT, ask.values[ASK_KIND]);
    reply = &door->replies[operation];
    verdict = reply->verdict;
    if (reply->silent) {
        return SIZE_MAX;
    }
    if (operation == ASK_VERIFY && door->good_code != NULL) {
        verdict = strcmp(asked->code, door->good_code) == 0 ? "yes" : "no";
    }
    answer.values[ASK_VERDICT] = slice_of(verdict);
    answer.values[ASK_WHY] = slice_of(reply->why);
    answer.values[ASK_STATE_IS] = slice_of(reply->state);
    answer.values[ASK_FACTOR] = slice_of(reply->factor);
    answer.values[ASK_LEFT] = slice_of(reply->left);
    answer.values[ASK_LOGINS] = slice_of(reply->logins);
    answer.values[ASK_SECOND_FACTOR] = slice_of(reply->second_factor);
    answer.values[ASK_SECRET] = slice_of(reply->secret);
    answer.values[ASK_TEXT] = slice_of(reply->text);
    if (reply->garbage) {
        return message_write(bytes, MESSAGE_SIZE_MAX, MESSAGE_ANSWER,
                             message->number, "\377\377", 2);
    }
    return ask_write(bytes, MESSAGE_SIZE_MAX, MESSAGE_ANSWER, message->number,
                     &answer);
}

static void
door_take_records(pam_door_t *door, const message_t *message)
{
    size_t offset = 0;
    record_t record;

    while (message_next_record(message, &offset, &record) == 1) {
        recorded_t
            *to = &door->recorded[door->recorded_count++ % DOOR_QUESTIONS];

        door_copy(to->event, 32, record.values[RECORD_EVENT]);
        door_copy(to->user, 64, record.values[RECORD_USER]);
        door_copy(to->session, 64, record.values[RECORD_SESSION]);
        door_copy(to->open, 64, record.values[RECORD_OPEN]);
        door_copy(to->duration, 32, record.values[RECORD_DURATION_MS]);
        door_copy(to->files, 32, record.values[RECORD_FILES]);
        door_copy(to->bytes, 32, record.values[RECORD_BYTES]);
        door_copy(to->failures, 32, record.values[RECORD_FAILURES]);
        door_copy(to->reason, 64, record.values[RECORD_REASON]);
        door_copy(to->address, 64, record.values[RECORD_ADDRESS]);
        door_copy(to->outcome, 8, record.values[RECORD_OUTCOME]);
    }
}

static void
door_serve(pam_door_t *door, int fd)
{
    static const char full[] = "the disk is full";
    uint8_t *bytes = malloc(MESSAGE_SIZE_MAX);
    ssize_t n;

    while (bytes != NULL && (n = recv(fd, bytes, MESSAGE_SIZE_MAX, 0)) > 0) {
        message_t message;
        size_t size = 0;

        if (message_parse(bytes, (size_t) n, &message) != MESSAGE_OK) {
            break;
        }
        if (message.type == MESSAGE_ASK) {
            size = door_reply(door, &message, bytes);
        } else if (message.type == MESSAGE_HELLO) {
            size = message_write(bytes, MESSAGE_SIZE_MAX, MESSAGE_WELCOME, 0,
                                 NULL, 0);
        } else if (message.type == MESSAGE_RECORDS && door->refuses_records) {
            size = message_write(bytes, MESSAGE_SIZE_MAX, MESSAGE_REFUSED,
                                 message.number, full, sizeof(full) - 1);
        } else if (message.type == MESSAGE_RECORDS) {
            door_take_records(door, &message);
            size = message_write(bytes, MESSAGE_SIZE_MAX, MESSAGE_ACK,
                                 message.number, NULL, 0);
        }
        if (size == SIZE_MAX) {
            continue;
        }
        if (size == 0 || send(fd, bytes, size, MSG_NOSIGNAL) < 0) {
            break;
        }
    }
    free(bytes);
}

static void *
door_daemon(void *context)
{
    pam_door_t *door = context;
    int fd;

    while ((fd = accept(door->listener, NULL, NULL)) >= 0) {
        door_serve(door, fd);
        (void) close(fd);
    }
    return NULL;
}

static void
door_daemon_start(pam_door_t *door)
{
    sigset_t all, before;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s",
                    door->socket);
    door->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(door->listener >= 0);
    assert_int_equal(
        bind(door->listener, (struct sockaddr *) &address, sizeof(address)), 0);
    assert_int_equal(listen(door->listener, 16), 0);
    /* signals are for the thread that plays the application */
    assert_int_equal(sigfillset(&all), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    assert_int_equal(pthread_create(&door->thread, NULL, door_daemon, door), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    door->running = true;
}

static void
door_daemon_stop(pam_door_t *door)
{
    if (door->running) {
        (void) shutdown(door->listener, SHUT_RDWR);
        assert_int_equal(pthread_join(door->thread, NULL), 0);
        (void) close(door->listener);
        (void) unlink(door->socket);
        door->running = false;
    }
}

/* ---- The person ---------------------------------------------------------- */

static int
door_conversation(int count, const struct pam_message **messages,
                  struct pam_response **responses, void *context)
{
    pam_door_t *door = context;
    struct pam_response *answers = calloc((size_t) count, sizeof(*answers));

    if (answers == NULL) {
        return PAM_BUF_ERR;
    }
    for (int i = 0; i < count; i++) {
        size_t used = strlen(door->shown);
        const char *answer;

        if (messages[i]->msg_style == PAM_TEXT_INFO ||
            messages[i]->msg_style == PAM_ERROR_MSG)
        {
            if (strstr(messages[i]->msg, "acct_expired") != NULL) {
                continue; /* what pam_debug.so says of itself */
            }
            (void) snprintf(door->shown + used, sizeof(door->shown) - used,
                            "%s\n", messages[i]->msg);
            door->shown_count++;
            continue;
        }
        answer = door->answers_used < 16 ? door->answers[door->answers_used]
                                         : NULL;
        if (answer == NULL) {
            free(answers);
            return PAM_CONV_ERR;
        }
        door->styles[door->answers_used] = messages[i]->msg_style;
        (void) snprintf(door->prompts[door->answers_used], DOOR_TEXT, "%s",
                        messages[i]->msg);
        door->answers_used++;
        answers[i].resp = strdup(answer);
    }
    *responses = answers;
    return PAM_SUCCESS;
}

/* ---- The door ------------------------------------------------------------ */

static void
door_write(const char *folder, const char *name, const char *text, mode_t mode)
{
    char path[DOOR_TEXT];
    FILE *file;

    (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* Beside the program: ours with sanitizers has the module with sanitizers. */
static const char *
door_module(char path[1024])
{
    char folder[512];
    ssize_t n = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    char *slash;

    assert_true(n > 0);
    folder[n] = '\0';
    slash = strrchr(folder, '/');
    assert_non_null(slash);
    *slash = '\0';
    if (fcntl(PROGRAM_FOLDER_FD, F_GETFD) >= 0) {
        (void) snprintf(folder, sizeof(folder), "/proc/self/fd/%d",
                        PROGRAM_FOLDER_FD);
    }
    (void) snprintf(path, 1024, "%s/../../lib/pam_sekisho.so", folder);
    if (access(path, R_OK) != 0) {
        (void) snprintf(path, 1024, "%s/../../../lib/pam_sekisho.so", folder);
    }
    assert_int_equal(access(path, R_OK), 0);
    return path;
}

static void
door_new(pam_door_t *door)
{
    memset(door, 0, sizeof(*door));
    (void) snprintf(door->folder, sizeof(door->folder), "/tmp/sekisho-XXXXXX");
    assert_non_null(mkdtemp(door->folder));
    (void) snprintf(door->socket, sizeof(door->socket), "%s/socket",
                    door->folder);
    door_write(door->folder, "pam.conf", "# nothing\n", 0644);
    door->timeout = "60s";
    door->replies[ASK_VERIFY].verdict = "no";
    door->replies[ASK_LOCK_STATE] = (reply_t){.verdict = "yes",
                                              .state = "enrolled"};
    door->replies[ASK_PLACE] = (reply_t){.verdict = "yes",
                                         .second_factor = "never"};
    door->replies[ASK_STATE] = (reply_t){.verdict = "yes", .state = "enrolled"};
    door_daemon_start(door);
}

/* What libpam returns for a PAM_IGNORE of ours. */
#define DOOR_IGNORED PAM_ACCT_EXPIRED

/*
 * A stack of our line, with these options, for all four groups; what our
 * module returns is what libpam returns, PAM_IGNORE as DOOR_IGNORED.
 */
static void
door_start(pam_door_t *door, const char *service, const char *user,
           const char *options)
{
    struct pam_conv conversation = {door_conversation, door};
    char text[16384], line[2048], module[1024], emergency[DOOR_TEXT];

    (void) snprintf(emergency, sizeof(emergency), "%s/emergency", door->folder);
    (void) snprintf(line, sizeof(line),
                    "[success=done ignore=ignore default=die] %s "
                    "conf=%s/pam.conf socket=%s "
                    "emergency=%s sessions=%s/sessions timeout=%s %s",
                    door_module(module), door->folder, door->socket,
                    door->emergency != NULL ? door->emergency : emergency,
                    door->folder, door->timeout, options);
    (void) snprintf(text, sizeof(text),
                    "auth %s\naccount %s\nsession %s\npassword %s\n"
                    "auth required pam_debug.so auth=acct_expired "
                    "cred=acct_expired\n"
                    "account required pam_debug.so acct=acct_expired\n",
                    line, line, line, line);
    door_write(door->folder, service, text, 0644);
    assert_int_equal(pam_start_confdir(service, user, &conversation,
                                       door->folder, &door->pamh),
                     PAM_SUCCESS);
}

static void
door_end(pam_door_t *door)
{
    if (door->pamh != NULL) {
        assert_int_equal(pam_end(door->pamh, 0), PAM_SUCCESS);
        door->pamh = NULL;
    }
}

static void
door_free(pam_door_t *door)
{
    char command[128];

    door_end(door);
    door_daemon_stop(door);
    (void) snprintf(command, sizeof(command), "rm -rf '%s'", door->folder);
    assert_int_equal(system(command), 0);
}

/* The n-th question of that kind, from 0; NULL if there was none. */
static inline const asked_t *
door_asked(const pam_door_t *door, ask_operation_t operation, unsigned nth)
{
    for (unsigned i = 0; i < door->asked_count; i++) {
        if (door->asked[i].operation == operation && nth-- == 0) {
            return &door->asked[i];
        }
    }
    return NULL;
}

static inline unsigned
door_count(const pam_door_t *door, ask_operation_t operation)
{
    unsigned count = 0;

    while (door_asked(door, operation, count) != NULL) {
        count++;
    }
    return count;
}

static inline const recorded_t *
door_recorded(const pam_door_t *door, const char *event)
{
    for (unsigned i = 0; i < door->recorded_count; i++) {
        if (strcmp(door->recorded[i].event, event) == 0) {
            return &door->recorded[i];
        }
    }
    return NULL;
}

#endif
