/*
 * The whole of pam_sekisho.so, between a libpam, a person and a daemon that do
 * what the input says, with some thirty functions that fail one time in 400.
 *
 * A model of our own says which answers of `auth` and `account` are legal: a
 * PAM_SUCCESS or PAM_IGNORE that it does not allow ends the program, and so do
 * a descriptor or memory that stays, and a password that is not the one typed.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <security/pam_modules.h>

#include "../../lib/base/address.h"
#include "../../lib/base/wipe.h"
#include "../../lib/ipc/otp_message.h"
#include "../../lib/otp/emergency.h"

#define FAILS_ONCE_IN 400
#define CONF_FILE     "/fuzz/pam.conf"
#define TEXT_MAX      600
#define PROMPTS       8
#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the daemon has said, well-formed and to the question asked. */
typedef struct {
    bool said;
    char verdict[32], state[32], why[32], second[16];
    bool logins;
    uint64_t logins_count;
} said_t;

typedef struct {
    char name[64];
    void *data;
    void (*cleanup)(pam_handle_t *, void *, int);
} kept_t;

typedef struct {
    const uint8_t *data;
    size_t left;
    bool armed; /* else the functions are the real ones */
    uint64_t seed;
    int open_files;
    int64_t clock_ms;
    uid_t euid;
    time_t now;

    /* libpam */
    char user[TEXT_MAX], service[TEXT_MAX], host[TEXT_MAX], info[TEXT_MAX],
        connection[TEXT_MAX];
    bool has_host, has_info, has_connection, has_user;
    char *authtok;
    kept_t kept[4];
    bool lacked; /* something failed: then a no is always right */

    /* the person */
    char typed[PROMPTS][TEXT_MAX];
    bool answered[PROMPTS];
    unsigned prompts;

    /* the daemon */
    char answer[MESSAGE_SIZE_MAX];
    size_t answer_size;
    bool ended;
    said_t said[ASK_OPERATIONS];
    char asked_user[TEXT_MAX], asked_code[TEXT_MAX]; /* of VERIFY */
    char emergency_reason[TEXT_MAX];
    bool emergency_accepted;
    bool unavailable;        /* was, in this call */
    bool unavailable_before; /* the same of the call before */
    bool proper;             /* every answer is a good one: to come far */

    /* the options */
    bool own_text; /* raw: the model does not know them */
    bool one_prompt, enroll, skip, ignore, emergency_off;
    unsigned digits, place, grace; /* 0 none, 1 past, 2 future, 3 three */
} world_t;

static world_t world;

/* ---- The input, and chance ----------------------------------------------- */

static unsigned
take(unsigned below)
{
    unsigned value;

    if (world.left == 0) {
        return 0;
    }
    value = *world.data++;
    world.left--;
    return value % below;
}

static bool
take_text(char *text, size_t capacity)
{
    size_t size = take(64), i = 0;

    if (size == 63) {
        size = capacity - 1; /* as long as it may be */
    }
    while (i < size && i < world.left && i < capacity - 1) {
        text[i] = (char) (world.data[i] == 0 ? 1 : world.data[i]);
        i++;
    }
    world.data += i;
    world.left -= i;
    text[i] = '\0';
    return i > 0;
}

static bool
chance(void)
{
    if (!world.armed) {
        return false;
    }
    world.seed = world.seed * UINT64_C(6364136223846793005) +
                 UINT64_C(1442695040888963407);
    if ((world.seed >> 33) % FAILS_ONCE_IN != 0) {
        return false;
    }
    world.lacked = true;
    return true;
}

/* ---- libc ---------------------------------------------------------------- */

#define WRAPPED(type, name, ...)                                               \
    type __real_##name(__VA_ARGS__);                                           \
    type __wrap_##name(__VA_ARGS__);                                           \
    type __wrap_##name(__VA_ARGS__)

#define FAIL(number, value)                                                    \
    do {                                                                       \
        if (chance()) {                                                        \
            errno = number;                                                    \
            return value;                                                      \
        }                                                                      \
    } while (0)

WRAPPED(void *, malloc, size_t size)
{
    FAIL(ENOMEM, NULL);
    return __real_malloc(size);
}

WRAPPED(void *, calloc, size_t count, size_t size)
{
    FAIL(ENOMEM, NULL);
    return __real_calloc(count, size);
}

WRAPPED(void *, realloc, void *pointer, size_t size)
{
    FAIL(ENOMEM, NULL);
    return __real_realloc(pointer, size);
}

WRAPPED(char *, strdup, const char *text)
{
    FAIL(ENOMEM, NULL);
    return __real_strdup(text);
}

WRAPPED(char *, strndup, const char *text, size_t size)
{
    FAIL(ENOMEM, NULL);
    return __real_strndup(text, size);
}

/* Only the file of options is there. */
static char conf_text[4096];
static size_t conf_size;
static bool conf_there;

WRAPPED(int, open, const char *path, int flags, ...)
{
    int fd;

    if (!world.armed) {
        va_list list;
        mode_t mode;

        va_start(list, flags);
        mode = (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0;
        va_end(list);
        return __real_open(path, flags, mode);
    }
    REQUIRE(path[0] == '/');
    REQUIRE((flags & O_CLOEXEC) != 0);
    FAIL(EMFILE, -1);
    if (strcmp(path, CONF_FILE) != 0 || !conf_there) {
        errno = ENOENT;
        return -1;
    }
    REQUIRE((flags & O_NOFOLLOW) != 0);
    fd = memfd_create("conf", MFD_CLOEXEC);
    REQUIRE(fd >= 0 && fchmod(fd, 0600) == 0);
    REQUIRE(write(fd, conf_text, conf_size) == (ssize_t) conf_size);
    REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
    world.open_files++;
    return fd;
}

WRAPPED(int, openat, int at, const char *path, int flags, ...)
{
    (void) at;
    (void) path;
    REQUIRE(world.armed && (flags & O_CLOEXEC) != 0);
    errno = ENOENT;
    return -1;
}

WRAPPED(int, mkdirat, int at, const char *path, mode_t mode)
{
    (void) at;
    (void) path;
    (void) mode;
    errno = EROFS;
    return -1;
}

WRAPPED(int, fstat, int fd, struct stat *st)
{
    int result;

    FAIL(EIO, -1);
    result = __real_fstat(fd, st);
    if (world.armed && result == 0) {
        st->st_uid = 0; /* whoever fuzzes */
    }
    return result;
}

WRAPPED(ssize_t, read, int fd, void *bytes, size_t size)
{
    FAIL(EIO, -1);
    return __real_read(fd, bytes, size);
}

WRAPPED(int, close, int fd)
{
    if (world.armed) {
        world.open_files--;
        REQUIRE(world.open_files >= 0);
    }
    return __real_close(fd);
}

WRAPPED(pid_t, fork, void)
{
    REQUIRE(!world.armed);
    return __real_fork();
}

WRAPPED(uid_t, geteuid, void)
{
    return world.armed ? world.euid : __real_geteuid();
}

WRAPPED(time_t, time, time_t *to)
{
    if (!world.armed) {
        return __real_time(to);
    }
    return world.now;
}

WRAPPED(struct tm *, localtime_r, const time_t *seconds, struct tm *tm)
{
    FAIL(EOVERFLOW, NULL);
    return __real_localtime_r(seconds, tm);
}

WRAPPED(int, clock_gettime, clockid_t clock, struct timespec *ts)
{
    if (!world.armed) {
        return __real_clock_gettime(clock, ts);
    }
    ts->tv_sec = (time_t) (world.clock_ms / 1000);
    ts->tv_nsec = (long) (world.clock_ms % 1000) * 1000000;
    return 0;
}

WRAPPED(ssize_t, getrandom, void *bytes, size_t size, unsigned flags)
{
    FAIL(EAGAIN, -1);
    return __real_getrandom(bytes, size, flags);
}

/* ---- The daemon ---------------------------------------------------------- */

WRAPPED(int, socket, int domain, int type, int protocol)
{
    int fd;

    if (!world.armed) {
        return __real_socket(domain, type, protocol);
    }
    REQUIRE((type & SOCK_CLOEXEC) != 0);
    FAIL(EMFILE, -1);
    fd = __real_open("/dev/null", O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    world.open_files++;
    world.answer_size = 0;
    world.ended = false;
    return fd;
}

WRAPPED(int, connect, int fd, const struct sockaddr *address, socklen_t size)
{
    static const int errors[] = {ECONNREFUSED, ENOENT, EAGAIN, EACCES};

    if (!world.armed) {
        return __real_connect(fd, address, size);
    }
    FAIL(ENOBUFS, -1);
    if (!world.proper && take(8) == 7) {
        world.unavailable = true;
        errno = errors[take(4)];
        return -1;
    }
    return 0;
}

static void
remember(ask_operation_t operation, const ask_t *answer)
{
    said_t *said = &world.said[operation];

#define KEEP(to, field)                                                        \
    (void) snprintf(to, sizeof(to), "%.*s", SLICE_ARG(answer->values[field]))
    memset(said, 0, sizeof(*said));
    said->said = true;
    KEEP(said->verdict, ASK_VERDICT);
    KEEP(said->state, ASK_STATE_IS);
    KEEP(said->why, ASK_WHY);
    KEEP(said->second, ASK_SECOND_FACTOR);
    said->logins = ask_number_parse(answer->values[ASK_LOGINS], INT64_MAX,
                                    &said->logins_count);
    if (strcmp(said->verdict, "unavailable") == 0) {
        world.unavailable = true;
    }
}

static void
make_answer(uint64_t number, ask_operation_t operation)
{
    static const char *const verdicts[] = {
        "yes",         "no", "unavailable", "not-allowed",
        "bad-request", "",   "yes",         "Yes"};
    static const char *const states[] = {
        "none", "enrolled", "pending", "enrolled,locked", "none,locked", ""};
    static const char *const logins[] = {"", "0", "2", "3", "99", "x"};
    static const char *const whys[] = {"", "ok", "dry-run", "locked"};
    static const char *const seconds[] = {"", "always", "never"};
    static const char *const factors[] = {"", "totp", "recovery",
                                          "a-factor-with-a-long-name"};
    static const char *const secrets[] = {"", "JBSWY3DPEHPK3PXP"};
    ask_t answer = {0};
    const char *verdict = verdicts[take(world.proper ? 2 : 8)];

    answer.values[ASK_VERDICT] = slice_of(verdict);
    answer.values[ASK_STATE_IS] = slice_of(states[take(6)]);
    answer.values[ASK_LOGINS] = slice_of(logins[take(6)]);
    answer.values[ASK_WHY] = slice_of(whys[take(4)]);
    answer.values[ASK_SECOND_FACTOR] = slice_of(seconds[take(3)]);
    answer.values[ASK_FACTOR] = slice_of(factors[take(4)]);
    answer.values[ASK_SECRET] = slice_of(secrets[take(2)]);
    answer.values[ASK_TEXT] = slice_of(secrets[take(2)]);
    world.answer_size = ask_write((uint8_t *) world.answer,
                                  sizeof(world.answer), MESSAGE_ANSWER, number,
                                  &answer);
    REQUIRE(world.answer_size > 0);
    remember(operation, &answer);
}

/* Bytes of the input: perhaps an answer, perhaps not. */
static void
make_raw(uint64_t number, ask_operation_t operation)
{
    message_type_t type = (message_type_t) (1 + take(13));
    size_t size = take(256);
    message_t message;
    ask_t answer;

    if (size > world.left) {
        size = world.left;
    }
    world.answer_size = message_write((uint8_t *) world.answer,
                                      sizeof(world.answer), type, number,
                                      world.data, size);
    world.data += size;
    world.left -= size;
    if (message_parse((const uint8_t *) world.answer, world.answer_size,
                      &message) == MESSAGE_OK &&
        message.type == MESSAGE_ANSWER && ask_parse(&message, &answer))
    {
        remember(operation, &answer);
    } else {
        world.unavailable = true;
    }
}

WRAPPED(ssize_t, send, int fd, const void *bytes, size_t size, int flags)
{
    message_t message;
    uint64_t operation = 0;
    ask_t ask;

    if (!world.armed) {
        return __real_send(fd, bytes, size, flags);
    }
    REQUIRE((flags & MSG_NOSIGNAL) != 0);
    FAIL(ENOBUFS, -1);
    REQUIRE(message_parse(bytes, size, &message) == MESSAGE_OK);
    if (message.type != MESSAGE_ASK) {
        world.answer_size = message_write(
            (uint8_t *) world.answer, sizeof(world.answer),
            message.type == MESSAGE_HELLO ? MESSAGE_WELCOME : MESSAGE_ACK,
            message.number, NULL, 0);
        return (ssize_t) size;
    }
    REQUIRE(ask_parse(&message, &ask));
    REQUIRE(ask_number_parse(ask.values[ASK_OPERATION], ASK_OPERATIONS - 1,
                             &operation));
    REQUIRE(ask.values[ASK_USER].size > 0);
    world.said[operation].said = false;
    if (operation == ASK_VERIFY) {
        (void) snprintf(world.asked_user, TEXT_MAX, "%.*s",
                        SLICE_ARG(ask.values[ASK_USER]));
        (void) snprintf(world.asked_code, TEXT_MAX, "%.*s",
                        SLICE_ARG(ask.values[ASK_CODE]));
        REQUIRE(ask.values[ASK_CODE].size > 0);
    }
    switch (world.proper ? 0 : take(12)) {
    case 11:
        world.ended = true;
        world.unavailable = true;
        break;
    case 10:
        world.unavailable = true; /* silence */
        world.answer_size = 0;
        break;
    case 9:
        make_raw(message.number, (ask_operation_t) operation);
        break;
    case 8: /* somebody else's */
        make_answer(message.number + 1, (ask_operation_t) operation);
        world.said[operation].said = false;
        world.unavailable = true;
        break;
    default:
        make_answer(message.number, (ask_operation_t) operation);
        break;
    }
    return (ssize_t) size;
}

WRAPPED(ssize_t, recv, int fd, void *bytes, size_t size, int flags)
{
    size_t n = world.answer_size;

    if (!world.armed) {
        return __real_recv(fd, bytes, size, flags);
    }
    if (chance()) {
        errno = ECONNRESET;
        world.unavailable = true;
        return -1;
    }
    if (world.ended) {
        return 0;
    }
    if (n == 0 || n > size) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(bytes, world.answer, n);
    world.answer_size = 0;
    return (ssize_t) n;
}

WRAPPED(int, poll, struct pollfd *fds, nfds_t count, int timeout)
{
    if (!world.armed) {
        return __real_poll(fds, count, timeout);
    }
    FAIL(ENOMEM, -1);
    world.clock_ms += timeout < 0 ? 0 : timeout + 1;
    return 0;
}

/* Its own tests are tests/unit/test_emergency.c. */
emergency_result_t __wrap_emergency_use(const char *folder,
                                        const emergency_code_t *code,
                                        const emergency_use_t *use,
                                        char error[EMERGENCY_ERROR_MAX]);
emergency_result_t
__wrap_emergency_use(const char *folder, const emergency_code_t *code,
                     const emergency_use_t *use,
                     char error[EMERGENCY_ERROR_MAX])
{
    emergency_result_t result = (emergency_result_t) take(6);

    (void) code;
    REQUIRE(folder[0] == '/' && world.euid == 0);
    REQUIRE(slice_is(use->user, world.user));
    (void) snprintf(world.emergency_reason, TEXT_MAX, "%.*s",
                    SLICE_ARG(use->reason));
    (void) snprintf(error, EMERGENCY_ERROR_MAX, "as the input says");
    world.emergency_accepted = result == EMERGENCY_ACCEPTED;
    return result;
}

/* ---- libpam -------------------------------------------------------------- */

int
pam_get_item(const pam_handle_t *pamh, int item, const void **value)
{
    (void) pamh;
    if (chance()) {
        return PAM_SYSTEM_ERR;
    }
    *value = item == PAM_SERVICE   ? world.service
             : item == PAM_RHOST   ? (world.has_host ? world.host : NULL)
             : item == PAM_AUTHTOK ? world.authtok
             : item == PAM_TTY     ? "tty1"
                                   : NULL;
    return PAM_SUCCESS;
}

int
pam_set_item(pam_handle_t *pamh, int item, const void *value)
{
    char *copy;

    (void) pamh;
    REQUIRE(item == PAM_AUTHTOK);
    if (chance()) {
        return PAM_BUF_ERR;
    }
    copy = __real_strdup(value);
    free(world.authtok);
    world.authtok = copy;
    return PAM_SUCCESS;
}

int
pam_get_user(pam_handle_t *pamh, const char **user, const char *prompt)
{
    (void) pamh;
    (void) prompt;
    if (chance()) {
        return PAM_CONV_ERR;
    }
    *user = world.has_user ? world.user : NULL;
    return PAM_SUCCESS;
}

const char *
pam_getenv(pam_handle_t *pamh, const char *name)
{
    (void) pamh;
    if (strcmp(name, "SSH_AUTH_INFO_0") == 0) {
        return world.has_info ? world.info : NULL;
    }
    REQUIRE(strcmp(name, "SSH_CONNECTION") == 0);
    return world.has_connection ? world.connection : NULL;
}

int
pam_get_data(const pam_handle_t *pamh, const char *name, const void **data)
{
    (void) pamh;
    for (unsigned i = 0; i < 4; i++) {
        if (world.kept[i].data != NULL && strcmp(world.kept[i].name, name) == 0)
        {
            *data = world.kept[i].data;
            return PAM_SUCCESS;
        }
    }
    return PAM_NO_MODULE_DATA;
}

int
pam_set_data(pam_handle_t *pamh, const char *name, void *data,
             void (*cleanup)(pam_handle_t *, void *, int))
{
    unsigned at = 4;

    if (chance()) {
        return PAM_BUF_ERR;
    }
    for (unsigned i = 4; i-- > 0;) {
        if (world.kept[i].data == NULL || strcmp(world.kept[i].name, name) == 0)
        {
            at = at == 4 || world.kept[i].data != NULL ? i : at;
        }
    }
    REQUIRE(at < 4);
    if (world.kept[at].data != NULL) {
        world.kept[at].cleanup(pamh, world.kept[at].data, PAM_DATA_REPLACE);
    }
    (void) snprintf(world.kept[at].name, sizeof(world.kept[at].name), "%s",
                    name);
    world.kept[at].data = data;
    world.kept[at].cleanup = cleanup;
    return PAM_SUCCESS;
}

const char *
pam_strerror(pam_handle_t *pamh, int number)
{
    (void) pamh;
    (void) number;
    return "an error";
}

void pam_syslog(const pam_handle_t *pamh, int priority, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void
pam_syslog(const pam_handle_t *pamh, int priority, const char *format, ...)
{
    char text[8192];
    va_list list;

    (void) pamh;
    (void) priority;
    va_start(list, format);
    (void) vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    /* what was typed is nobody's to read; short things may stand in any line */
    for (unsigned i = 0; i < world.prompts && i < PROMPTS; i++) {
        if (world.answered[i] && strlen(world.typed[i]) >= 12 &&
            strstr(world.user, world.typed[i]) == NULL)
        {
            REQUIRE(strstr(text, world.typed[i]) == NULL);
        }
    }
}

int pam_vprompt(pam_handle_t *pamh, int style, char **answer,
                const char *format, va_list list)
    __attribute__((format(printf, 4, 0)));
int
pam_vprompt(pam_handle_t *pamh, int style, char **answer, const char *format,
            va_list list)
{
    char text[8192];

    (void) pamh;
    (void) vsnprintf(text, sizeof(text), format, list);
    if (answer != NULL) {
        *answer = NULL;
    }
    if (chance()) {
        return PAM_CONV_ERR;
    }
    if (style == PAM_TEXT_INFO || style == PAM_ERROR_MSG) {
        return PAM_SUCCESS;
    }
    REQUIRE(world.prompts < PROMPTS && answer != NULL);
    switch (take(16)) {
    case 15:
        world.prompts++;
        return PAM_CONV_ERR;
    case 14:
        world.prompts++;
        return PAM_SUCCESS; /* and nothing */
    case 13:
        (void) snprintf(world.typed[world.prompts], TEXT_MAX,
                        "em07-abcd-efgh-ijkm-npqr");
        break;
    case 12:
        (void) snprintf(world.typed[world.prompts], TEXT_MAX,
                        "\b\n\r\177INCORRECT123456");
        break;
    case 11:
    case 10:
        (void) snprintf(world.typed[world.prompts], TEXT_MAX, "password123456");
        break;
    default:
        (void) take_text(world.typed[world.prompts], TEXT_MAX);
        break;
    }
    world.answered[world.prompts] = true;
    *answer = __real_strdup(world.typed[world.prompts++]);
    return PAM_SUCCESS;
}

int pam_prompt(pam_handle_t *pamh, int style, char **answer, const char *format,
               ...) __attribute__((format(printf, 4, 5)));
int
pam_prompt(pam_handle_t *pamh, int style, char **answer, const char *format,
           ...)
{
    va_list list;
    int result;

    va_start(list, format);
    result = pam_vprompt(pamh, style, answer, format, list);
    va_end(list);
    return result;
}

struct passwd *pam_modutil_getpwnam(pam_handle_t *pamh, const char *user);
struct passwd *
pam_modutil_getpwnam(pam_handle_t *pamh, const char *user)
{
    (void) pamh;
    (void) user;
    return NULL;
}

/* ---- The model ----------------------------------------------------------- */

static bool
said_is(ask_operation_t operation, const char *verdict)
{
    return world.said[operation].said &&
           strcmp(world.said[operation].verdict, verdict) == 0;
}

static bool
is_name(const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < size; i++) {
        if ((unsigned char) name[i] < 32 || name[i] == 127) {
            return false;
        }
    }
    return size > 0 && size <= 256;
}

static bool
is_made_up(const char *typed)
{
    return strncmp(typed, "\b\n\r\177", 4) == 0;
}

/* The code that stands in what was typed; "" if there is none. */
static const char *
model_code(const char *typed)
{
    size_t size = strlen(typed), digits = 0;

    if (!world.one_prompt) {
        return size > 64 ? "" : typed;
    }
    while (digits < size && typed[size - 1 - digits] >= '0' &&
           typed[size - 1 - digits] <= '9')
    {
        digits++;
    }
    if (digits >= world.digits) {
        return typed + size - world.digits;
    }
    if (size >= 19) {
        const char *tail = typed + size - 19;

        for (unsigned i = 0; i < 19; i++) {
            bool letter = (tail[i] >= 'a' && tail[i] <= 'z') ||
                          (tail[i] >= 'A' && tail[i] <= 'Z') ||
                          (tail[i] >= '0' && tail[i] <= '9');

            if (i % 5 == 4 ? tail[i] != '-' : !letter) {
                return "";
            }
        }
        return tail;
    }
    return "";
}

/* `before`: PAM_AUTHTOK as it was; the field then, for one-prompt. */
static void
check_auth(int result, const char *before)
{
    const char *typed = world.one_prompt && before != NULL ? before
                        : world.answered[0]                ? world.typed[0]
                                                           : NULL;
    bool key = world.has_info && (strncmp(world.info, "publickey ", 10) == 0 ||
                                  strstr(world.info, "\npublickey ") != NULL);
    bool asks_state = world.grace != 0 || world.enroll;
    bool none = strcmp(world.said[ASK_STATE].state, "none") == 0 ||
                strcmp(world.said[ASK_STATE].state, "pending") == 0;
    bool lasts = world.grace == 2 ||
                 (world.grace == 3 && world.said[ASK_STATE].logins &&
                  world.said[ASK_STATE].logins_count < 3);

    if (result == PAM_SUCCESS) {
        bool code = said_is(ASK_VERIFY, "yes") &&
                    strcmp(world.asked_user, world.user) == 0 &&
                    is_name(world.user);
        bool emergency = world.emergency_accepted && world.unavailable &&
                         world.euid == 0 && is_name(world.user) &&
                         strlen(world.emergency_reason) >= 3;

        REQUIRE(code || emergency);
        if (!world.own_text) {
            REQUIRE(typed != NULL && !is_made_up(typed));
            REQUIRE(!(world.skip && key));
            REQUIRE(!code || emergency ||
                    (model_code(typed)[0] != '\0' &&
                     strcmp(world.asked_code, model_code(typed)) == 0));
            REQUIRE(!asks_state || said_is(ASK_STATE, "yes") || emergency);
            REQUIRE(!emergency || (!world.one_prompt && !world.emergency_off));
        }
    }
    if (result == PAM_IGNORE && !world.own_text) {
        bool skipped = world.skip && key;
        bool grace = asks_state && none && (lasts || world.enroll) &&
                     said_is(ASK_STATE, "yes") && said_is(ASK_VERIFY, "no") &&
                     is_name(world.user) && typed != NULL && !is_made_up(typed);

        REQUIRE(skipped || grace || (world.ignore && world.unavailable));
    }
    /* the password goes on as it was typed, without the code */
    if (world.one_prompt && !world.own_text && result == PAM_SUCCESS) {
        size_t size = strlen(typed) - strlen(model_code(typed));

        REQUIRE(world.authtok != NULL && strlen(world.authtok) == size &&
                memcmp(world.authtok, typed, size) == 0);
    }
}

static bool
model_literal(const char *text)
{
    address_t address;

    return address_parse(slice_of(text), &address) &&
           address.family != ADDRESS_LOCAL;
}

static void
check_account(int result, int auth)
{
    bool door = world.place == 2 || world.place == 3 || world.place == 4 ||
                (world.place == 0 && (strcmp(world.service, "sshd") == 0 ||
                                      strcmp(world.service, "lightdm") == 0));
    bool emergency = auth == PAM_SUCCESS && world.emergency_accepted;
    bool said_locked = strstr(world.said[ASK_LOCK_STATE].state, "locked") !=
                           NULL ||
                       world.said[ASK_LOCK_STATE].state[0] == '\0';

    if (result == PAM_IGNORE && !world.own_text) {
        REQUIRE(world.ignore && world.unavailable);
    }
    if (result != PAM_SUCCESS) {
        return;
    }
    REQUIRE(is_name(world.user));
    if (emergency) {
        return;
    }
    REQUIRE(said_is(ASK_LOCK_STATE, "yes") && !said_locked);
    if (world.own_text) {
        return;
    }
    if (door) {
        REQUIRE(said_is(ASK_PLACE, "yes"));
        REQUIRE(!world.has_host || world.host[0] == '\0' ||
                model_literal(world.host));
        if (strcmp(world.said[ASK_PLACE].second, "always") == 0 &&
            strcmp(world.said[ASK_PLACE].why, "dry-run") != 0)
        {
            REQUIRE(auth == PAM_SUCCESS || auth == PAM_IGNORE);
        }
    }
    if (auth == PAM_IGNORE && !world.unavailable_before && !world.skip &&
        world.euid == 0)
    {
        /* not enrolled: counted, or enrolled just now */
        REQUIRE((said_is(ASK_GRACE, "yes") && world.said[ASK_GRACE].logins) ||
                (world.enroll && said_is(ASK_CONFIRM, "yes")));
    }
}

/* ---- One entry ----------------------------------------------------------- */

static void
set_up(void)
{
    static const char *const users[] = {"yamada", "root", "", "a\nb"};
    static const char *const services[] = {"sshd", "sudo", "lightdm", "x"};
    static const char *const hosts[] = {"203.0.113.9", "2001:db8::1", "gate",
                                        ""};
    unsigned kind;

    world.armed = false;
    world.seed = 0;
    for (unsigned i = 0; i < 4; i++) {
        world.seed = world.seed << 8 | take(256);
    }
    world.now = 1795500000;
    kind = take(256);
    world.proper = (kind & 1) != 0;
    world.euid = (kind & 2) != 0 ? 1000 : 0;
    world.has_user = (kind & 0xe0) != 0xe0;
    world.own_text = (kind & 0x1c) == 0x1c;
    kind = take(8);
    if (kind < 4) {
        (void) snprintf(world.user, TEXT_MAX, "%s", users[kind]);
    } else {
        (void) take_text(world.user, TEXT_MAX);
    }
    if (!world.has_user) {
        world.user[0] = '\0';
    }
    (void) snprintf(world.service, TEXT_MAX, "%s", services[take(4)]);
    kind = take(8);
    world.has_host = kind != 7;
    if (kind < 4) {
        (void) snprintf(world.host, TEXT_MAX, "%s", hosts[kind]);
    } else if (kind < 7) {
        (void) take_text(world.host, TEXT_MAX);
    }
    kind = take(8);
    world.has_info = kind >= 4;
    if (kind >= 6) {
        (void) take_text(world.info, TEXT_MAX);
    } else {
        (void) snprintf(world.info, TEXT_MAX, "password\npublickey ssh-rsa A");
    }
    kind = take(8);
    world.has_connection = kind >= 5;
    if (kind == 7) {
        (void) take_text(world.connection, TEXT_MAX);
    } else {
        (void) snprintf(world.connection, TEXT_MAX,
                        "203.0.113.9 5 192.0.2.1 22");
    }
    if (take(4) == 0) {
        char text[TEXT_MAX];

        (void) take_text(text, sizeof(text));
        world.authtok = __real_strdup(text);
    }
}

static int
make_words(const char **words, char raw[TEXT_MAX])
{
    static const char *const graces[] = {"grace=off", "grace=2020-01-01",
                                         "grace=2999-01-01", "grace=3"};
    static const char *const places[] = {"place=auto", "place=off", "place=on",
                                         "place=ssh", "place=desktop"};
    static const char *const digits[] = {"digits=6", "digits=7", "digits=8"};
    unsigned flags = take(256);
    int count = 0;

    conf_there = true;
    conf_size = 0;
    words[count++] = "conf=" CONF_FILE;
    words[count++] = "sessions=/fuzz/sessions";
    if (world.own_text) {
        char *text = conf_text;

        (void) take_text(raw, TEXT_MAX);
        if (raw[0] != '\0' && strncmp(raw, "conf=", 5) != 0) {
            words[count++] = raw;
        }
        while (conf_size < sizeof(conf_text) && world.left > 0 &&
               conf_size < 200) {
            text[conf_size++] = (char) take(256);
        }
        return count;
    }
    world.one_prompt = (flags & 1) != 0;
    world.enroll = (flags & 2) != 0;
    world.skip = (flags & 4) != 0;
    world.ignore = (flags & 8) != 0;
    world.emergency_off = (flags & 0x30) == 0x30;
    world.grace = take(4);
    world.place = take(5);
    world.digits = 6 + take(3);
    words[count++] = graces[world.grace];
    words[count++] = places[world.place];
    words[count++] = digits[world.digits - 6];
    words[count++] = world.one_prompt ? "one-prompt" : "one-prompt=off";
    words[count++] = world.enroll ? "enroll=on" : "enroll=off";
    words[count++] = world.ignore ? "unavailable=ignore" : "unavailable=deny";
    if (world.skip) {
        words[count++] = "skip-for-publickey";
    }
    if (world.emergency_off) {
        words[count++] = "emergency=off";
    }
    return count;
}

static void
next_call(void)
{
    memset(world.said, 0, sizeof(world.said));
    memset(world.answered, 0, sizeof(world.answered));
    world.prompts = 0;
    world.unavailable_before = world.unavailable;
    world.unavailable = false;
}

static int
call(int (*entry)(pam_handle_t *, int, int, const char **), int flags,
     int count, const char **words)
{
    pam_handle_t *pamh = (pam_handle_t *) &world;
    int result;

    world.armed = true;
    result = entry(pamh, flags, count, words);
    world.armed = false;
    REQUIRE(world.open_files == 0);
    return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *words[16];
    char raw[TEXT_MAX] = "", *before;
    int auth, result, count;

    memset(&world, 0, sizeof(world));
    world.data = data;
    world.left = size;
    set_up();
    count = make_words(words, raw);

    before = world.authtok == NULL ? NULL : __real_strdup(world.authtok);
    auth = call(pam_sm_authenticate, 0, count, words);
    check_auth(auth, before);
    free(before);

    next_call();
    if (take(8) == 7) { /* a module between us has set another user */
        (void) snprintf(world.user, TEXT_MAX, "tanaka");
        world.has_user = true;
        result = call(pam_sm_acct_mgmt, 0, count, words);
        REQUIRE(auth != PAM_SUCCESS || result != PAM_SUCCESS ||
                strcmp(world.user, "tanaka") != 0 ||
                strcmp(world.asked_user, "tanaka") == 0 ||
                world.asked_user[0] == '\0');
    } else {
        result = call(pam_sm_acct_mgmt, 0, count, words);
        check_account(result, auth);
    }
    next_call();
    (void) call(pam_sm_setcred, PAM_ESTABLISH_CRED, count, words);
    next_call();
    (void) call(pam_sm_open_session, 0, count, words);
    (void) call(pam_sm_close_session, 0, count, words);
    REQUIRE(call(pam_sm_chauthtok, 0, count, words) == PAM_SERVICE_ERR);

    for (unsigned i = 0; i < 4; i++) {
        if (world.kept[i].data != NULL) {
            world.kept[i].cleanup((pam_handle_t *) &world, world.kept[i].data,
                                  0);
        }
    }
    free(world.authtok);
    return 0;
}
