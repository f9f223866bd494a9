#define _GNU_SOURCE
#include "door.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ENTRY_DATA "pam_sekisho entry"

/* ---- Who is there -------------------------------------------------------- */

/* "" if it is not set.  False if PAM does not say: then nothing is known, and
 * nothing may be taken for local or for a door without a place. */
static bool
item_text(pam_handle_t *pamh, int item, const char **text)
{
    const void *value = NULL;

    if (pam_get_item(pamh, item, &value) != PAM_SUCCESS) {
        return false;
    }
    *text = value == NULL ? "" : value;
    return true;
}

/* "203.0.113.9 52110 192.0.2.1 22": the first and the third. */
static bool
read_connection(const char *text, address_t *from, address_t *to)
{
    slice_t words[4] = {{0}};
    unsigned count = 0;

    while (*text != '\0') {
        size_t size = strcspn(text, " ");

        if (size == 0 || count == 4) {
            return false;
        }
        words[count++] = (slice_t){text, size};
        text += size + (text[size] == ' ');
    }
    return count == 4 && address_parse(words[0], from) &&
           address_parse(words[2], to) && from->family != ADDRESS_LOCAL &&
           to->family != ADDRESS_LOCAL;
}

/*
 * Where from.  A name is never looked up: whoever rules the name server would
 * rule the answer.  What sshd says of the connection must agree with it.
 */
static void
read_address(door_t *door, const char *host)
{
    const char *connection = pam_getenv(door->pamh, "SSH_CONNECTION");
    address_t address = {.family = ADDRESS_LOCAL}, from, to;

    if (host[0] != '\0' && (!address_parse(slice_of(host), &address) ||
                            address.family == ADDRESS_LOCAL))
    {
        return;
    }
    if (connection != NULL && strcmp(door->service, "sshd") == 0) {
        if (!read_connection(connection, &from, &to) ||
            (host[0] != '\0' && !address_equal(&from, &address)))
        {
            return;
        }
        address = from;
        (void) address_format(&to, door->local_address);
    } else if (host[0] == '\0' && strcmp(door->service, "sshd") == 0) {
        return; /* sshd always has one */
    }
    (void) address_format(&address, door->address);
    door->address_ok = true;
}

int
door_open(door_t *door, pam_handle_t *pamh, const options_t *options)
{
    const char *user = NULL, *host = NULL;
    int result;

    memset(door, 0, sizeof(*door));
    door->pamh = pamh;
    door->options = options;
    door->user = "";
    if (!item_text(pamh, PAM_SERVICE, &door->service) ||
        !item_text(pamh, PAM_TTY, &door->tty) ||
        !item_text(pamh, PAM_RHOST, &host) || door->service[0] == '\0')
    {
        pam_syslog(pamh, LOG_ERR,
                   "failed: PAM does not say which service this is");
        return PAM_SYSTEM_ERR;
    }
    result = pam_get_user(pamh, &user, NULL);
    if (result != PAM_SUCCESS) {
        return result;
    }
    if (user != NULL) {
        door->user = user;
    }
    door->user_ok = ask_name_ok(slice_of(door->user), DOOR_USER_MAX);
    read_address(door, host);
    return PAM_SUCCESS;
}

void
door_close(door_t *door)
{
    client_close(door->client);
    door->client = NULL;
}

void
door_log(const door_t *door, int level, const char *reason, const char *format,
         ...)
{
    char text[512];
    va_list list;

    va_start(list, format);
    (void) vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    pam_syslog(door->pamh, level, "%s: %s", reason, text);
}

/* ---- What `auth` leaves for the rest of the entry ------------------------ */

static void
free_entry(pam_handle_t *pamh, void *data, int status)
{
    (void) pamh;
    (void) status;
    wipe_bytes(data, sizeof(entry_t));
    free(data);
}

const entry_t *
door_entry(const door_t *door)
{
    const void *data = NULL;

    if (pam_get_data(door->pamh, ENTRY_DATA, &data) != PAM_SUCCESS) {
        return NULL;
    }
    return data;
}

int
door_keep(const door_t *door, const entry_t *entry)
{
    entry_t *copy = malloc(sizeof(*copy));
    int result;

    if (copy == NULL) {
        return PAM_BUF_ERR;
    }
    *copy = *entry;
    (void) snprintf(copy->user, sizeof(copy->user), "%s", door->user);
    result = pam_set_data(door->pamh, ENTRY_DATA, copy, free_entry);
    if (result != PAM_SUCCESS) {
        free_entry(door->pamh, copy, result);
    }
    return result;
}

/* ---- The daemon ---------------------------------------------------------- */

/* Nobody there, or nobody who answers in time; what went wrong on our side is
 * not among them. */
static bool
is_unavailable(int error)
{
    switch (error) {
    case -ENOENT:
    case -ENOTDIR:
    case -EACCES:
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -ENOTCONN:
    case -ETIMEDOUT:
    case -EPROTO:
        return true;
    default:
        return false;
    }
}

static verdict_t
failed(const door_t *door, int error)
{
    door_log(door, LOG_ERR, is_unavailable(error) ? "unavailable" : "failed",
             "%s: %s; is sekishod running?", door->options->socket,
             strerror(-error));
    return is_unavailable(error) ? VERDICT_UNAVAILABLE : VERDICT_NONE;
}

static slice_t
bounded(const char *text, size_t max)
{
    slice_t value = slice_of(text);

    /* no part of a name or terminal: nothing at all */
    return ask_name_ok(value, max) ? value : (slice_t){NULL, 0};
}

static void
put_door(const door_t *door, ask_t *ask, ask_operation_t operation,
         char number[ASK_NUMBER_SIZE])
{
    ask->values[ASK_OPERATION] = slice_of(
        ask_number((uint64_t) operation, number));
    if (ask->values[ASK_USER].size == 0) {
        ask->values[ASK_USER] = slice_of(door->user);
    }
    if (ask->values[ASK_SERVICE].size == 0) {
        ask->values[ASK_SERVICE] = bounded(door->service, DOOR_SERVICE_MAX);
    }
    ask->values[ASK_ADDRESS] = slice_of(door->address);
    ask->values[ASK_LOCAL] = slice_of(door->local_address);
    ask->values[ASK_TTY] = bounded(door->tty, DOOR_TTY_MAX);
}

verdict_t
door_ask(door_t *door, ask_operation_t operation, ask_t *ask, ask_t *answer)
{
    char number[ASK_NUMBER_SIZE];
    slice_t verdict;
    int error;

    memset(answer, 0, sizeof(*answer));
    if (door->client == NULL) {
        error = client_open(door->options->socket, (slice_t){"", 0},
                            (int) door->options->timeout_seconds * 1000,
                            &door->client);
        if (error < 0) {
            door->client = NULL;
            return failed(door, error);
        }
    }
    put_door(door, ask, operation, number);
    error = client_ask(door->client, ask, answer);
    if (error < 0) {
        memset(answer, 0, sizeof(*answer));
        /* an answer may be on its way that is none to the next question */
        client_close(door->client);
        door->client = NULL;
        return failed(door, error);
    }
    verdict = answer->values[ASK_VERDICT];
    if (slice_is(verdict, "yes")) {
        return VERDICT_YES;
    }
    if (slice_is(verdict, "no")) {
        return VERDICT_NO;
    }
    if (slice_is(verdict, "unavailable")) {
        door_log(door, LOG_ERR, "unavailable",
                 "sekishod cannot answer \"%s\": see its log",
                 ask_operation_name(operation));
        return VERDICT_UNAVAILABLE;
    }
    door_log(door, LOG_ERR, "bad-answer",
             "sekishod does not answer \"%s\" for this user (uid %lu): %s",
             ask_operation_name(operation), (unsigned long) geteuid(),
             slice_is(verdict, "not-allowed")
                 ? "only root asks for others"
                 : "is it of the same version as this module?");
    return VERDICT_NONE;
}

/* ---- The person ---------------------------------------------------------- */

void
secret_free(char **secret)
{
    if (*secret != NULL) {
        wipe_bytes(*secret, strlen(*secret));
        free(*secret);
        *secret = NULL;
    }
}

int
door_prompt(const door_t *door, int style, const char *prompt, char **answer)
{
    int result;

    *answer = NULL;
    result = pam_prompt(door->pamh, style, answer, "%s", prompt);
    if (result != PAM_SUCCESS) {
        secret_free(answer);
        return result;
    }
    /* an application that answers with nothing at all */
    return *answer == NULL ? PAM_CONV_ERR : PAM_SUCCESS;
}

void
door_show(const door_t *door, int style, const char *format, ...)
{
    _cleanup_(secret_free) char *ignored = NULL;
    va_list list;

    va_start(list, format);
    (void) pam_vprompt(door->pamh, style, &ignored, format, list);
    va_end(list);
}
