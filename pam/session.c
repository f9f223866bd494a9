/* `session`: when it began and ended, and what it leaves. */

#define _GNU_SOURCE
#include "module.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include <security/pam_modutil.h>

#include "marks.h"
#include "residue.h"

#define SESSION_DATA "pam_sekisho session"

/* From open to close, in the process that does both. */
typedef struct {
    char id[MARK_ID_SIZE];
    int64_t began_ms; /* CLOCK_BOOTTIME: sleep is time, too */
    bool marked;
} session_t;

static void
free_session(pam_handle_t *pamh, void *data, int status)
{
    (void) pamh;
    (void) status;
    free(data);
}

static int64_t
clock_ms(clockid_t clock)
{
    struct timespec ts;

    (void) clock_gettime(clock, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int
make_id(char id[MARK_ID_SIZE])
{
    uint8_t bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes)) {
        return -EIO;
    }
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        id[i * 2] = "0123456789abcdef"[bytes[i] >> 4];
        id[i * 2 + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    id[32] = '\0';
    return 0;
}

/* ---- Records ------------------------------------------------------------- */

static slice_t
no_control(const char *text, size_t max)
{
    slice_t value = slice_of(text);

    return ask_name_ok(value, max) ? value : (slice_t){NULL, 0};
}

/* Fills in what all have, and sends it.  0 when it is on disk. */
static int
send_record(const door_t *door, record_event_t event, const char *id,
            record_t *record)
{
    char time[RECORD_TIME_TEXT_MAX];
    client_t *client = NULL;
    int error = client_open(door->options->socket, SLICE("pam"),
                            (int) door->options->timeout_seconds * 1000,
                            &client);

    if (error == 0) {
        record->values[RECORD_ID] = slice_of(id);
        record->values[RECORD_TIME] = (slice_t){
            time, record_time(clock_ms(CLOCK_REALTIME), time)};
        record->values[RECORD_EVENT] = slice_of(record_event_name(event));
        record->values[RECORD_USER] = slice_of(door->user);
        record->values[RECORD_ADDRESS] = slice_of(door->address);
        record->values[RECORD_SERVICE] = no_control(door->service,
                                                    DOOR_SERVICE_MAX);
        record->values[RECORD_TTY] = no_control(door->tty, DOOR_TTY_MAX);
        error = client_record(client, record);
    }
    client_close(client);
    if (error < 0) {
        door_log(door, LOG_ERR, "unrecorded",
                 "the record \"%s\" of this session could not be made: %s",
                 record_event_name(event), strerror(-error));
    }
    return error;
}

static int
record_begin(const door_t *door, const session_t *session)
{
    record_t record = {0};

    record.values[RECORD_OUTCOME] = SLICE("0");
    record.values[RECORD_SESSION] = slice_of(session->id);
    return send_record(door, EVENT_SESSION, session->id, &record);
}

static void
record_end(const door_t *door, const session_t *session)
{
    char id[MARK_ID_SIZE], number[ASK_NUMBER_SIZE];
    record_t record = {0};

    if (make_id(id) < 0) {
        return;
    }
    record.values[RECORD_OUTCOME] = SLICE("0");
    if (session != NULL) {
        int64_t spent = clock_ms(CLOCK_BOOTTIME) - session->began_ms;

        record.values[RECORD_SESSION] = slice_of(session->id);
        record.values[RECORD_OPEN] = slice_of(session->id);
        record.values[RECORD_DURATION_MS] = slice_of(
            ask_number(spent < 0 ? 0 : (uint64_t) spent, number));
    }
    (void) send_record(door, EVENT_SIGN_OUT, id, &record);
}

static void
record_wiped(const door_t *door, const session_t *session, const char *reason,
             const residue_t *residue, int error)
{
    char id[MARK_ID_SIZE], files[ASK_NUMBER_SIZE], bytes[ASK_NUMBER_SIZE],
        failures[ASK_NUMBER_SIZE];
    record_t record = {0};

    if (make_id(id) < 0) {
        return;
    }
    record.values[RECORD_OUTCOME] = error < 0               ? SLICE("8")
                                    : residue->failures > 0 ? SLICE("4")
                                                            : SLICE("0");
    record.values[RECORD_REASON] = slice_of(reason);
    if (session != NULL) {
        record.values[RECORD_SESSION] = slice_of(session->id);
    }
    record.values[RECORD_FILES] = slice_of(ask_number(residue->files, files));
    record.values[RECORD_BYTES] = slice_of(ask_number(residue->bytes, bytes));
    record.values[RECORD_FAILURES] = slice_of(
        ask_number(residue->failures, failures));
    (void) send_record(door, EVENT_WIPED, id, &record);
}

/* ---- The terminal -------------------------------------------------------- */

/* Whose residue is removed: as configured, and never root's or a service's. */
static const struct passwd *
wiped_account(const door_t *door)
{
    const struct passwd *account;

    if (door->options->wipes_count == 0 || geteuid() != 0) {
        return NULL;
    }
    account = pam_modutil_getpwnam(door->pamh, door->user);
    if (account == NULL || account->pw_uid == 0 ||
        account->pw_uid < door->options->wipe_from_uid)
    {
        return NULL;
    }
    return account;
}

/* `reason`: "session-end", or "interrupted" for what an earlier boot left. */
static void
wipe(const door_t *door, const struct passwd *account, const session_t *session,
     const char *reason)
{
    residue_t residue;
    int error = residue_remove(door, account, &residue);

    door_log(door, error < 0 || residue.failures > 0 ? LOG_WARNING : LOG_INFO,
             "wiped", "%s: %llu files, %llu bytes, %llu failures%s%s", reason,
             (unsigned long long) residue.files,
             (unsigned long long) residue.bytes,
             (unsigned long long) residue.failures, error < 0 ? ": " : "",
             error < 0 ? strerror(-error) : "");
    record_wiped(door, session, reason, &residue, error);
}

static void
tell_marks(const door_t *door, int error)
{
    door_log(door, LOG_ERR, "marks",
             "%s: %s: it must be a folder of root's that nobody else may "
             "write; what sessions leave is not removed",
             door->options->sessions, strerror(-error));
}

static int
mark_begin(const door_t *door, session_t *session)
{
    _cleanup_(cleanup_marks) marks_t marks = {.folder = -1};
    const struct passwd *account = wiped_account(door);
    int error;

    if (account == NULL) {
        return 0;
    }
    error = marks_open(door->options, account->pw_uid, &marks);
    if (error == 0) {
        if (marks.stale > 0 && marks.live == 0) {
            wipe(door, account, session, "interrupted");
        }
        error = marks_add(&marks, session->id);
    }
    if (error < 0) {
        tell_marks(door, error);
        return error;
    }
    session->marked = true;
    return 0;
}

static void
mark_end(const door_t *door, const session_t *session)
{
    _cleanup_(cleanup_marks) marks_t marks = {.folder = -1};
    const struct passwd *account = wiped_account(door);
    int error;

    if (account == NULL || session == NULL || !session->marked) {
        return;
    }
    error = marks_open(door->options, account->pw_uid, &marks);
    if (error < 0) {
        tell_marks(door, error);
        return;
    }
    if (marks.live == 1) {
        /* the mark goes after the wipe: if the power goes in between, the
         * next session does it again */
        wipe(door, account, session, "session-end");
    }
    (void) marks_remove(&marks, session->id);
}

/* ---- Begin and end ------------------------------------------------------- */

int
session_begin(door_t *door)
{
    session_t *session = calloc(1, sizeof(*session));
    int error, result;

    if (session == NULL) {
        return PAM_BUF_ERR;
    }
    if (geteuid() != 0 || !door->user_ok || make_id(session->id) < 0) {
        door_log(door, LOG_ERR, "session",
                 "sessions are opened by root, for users with a name");
        free(session);
        return PAM_SESSION_ERR;
    }
    session->began_ms = clock_ms(CLOCK_BOOTTIME);
    error = record_begin(door, session);
    if (error == 0 || !door->options->record_required) {
        int marked = mark_begin(door, session);

        error = error < 0 ? error : marked;
    }
    result = pam_set_data(door->pamh, SESSION_DATA, session, free_session);
    if (result != PAM_SUCCESS) {
        free(session);
        return result;
    }
    return error < 0 && door->options->record_required ? PAM_SESSION_ERR
                                                       : PAM_SUCCESS;
}

int
session_end(door_t *door)
{
    const void *data = NULL;
    const session_t *session = NULL;

    if (pam_get_data(door->pamh, SESSION_DATA, &data) == PAM_SUCCESS) {
        session = data;
    }
    if (geteuid() != 0 || !door->user_ok) {
        door_log(door, LOG_ERR, "session",
                 "sessions are closed by root, for users with a name");
        return PAM_SESSION_ERR;
    }
    record_end(door, session);
    mark_end(door, session);
    return PAM_SUCCESS;
}
