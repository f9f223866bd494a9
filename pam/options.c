#define _GNU_SOURCE
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>

#include <security/pam_ext.h>

#include "../lib/base/clock.h"
#include "../lib/base/conf.h"
#include "../lib/base/value.h"
#include "../lib/base/wipe.h"
#include "../lib/otp/emergency.h"

#define FILE_SIZE_MAX (64 * 1024)
#define SOCKET        "/run/sekisho/sekishod.sock"
#define SESSIONS      "/var/lib/sekisho/sessions"
#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))

/* NULL, or what to write instead. */
typedef const char *(*set_fn)(options_t *options, slice_t value);

/* ---- Values -------------------------------------------------------------- */

static bool
copy_text(char *to, size_t capacity, slice_t value)
{
    if (value.size >= capacity) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char) value.data[i];

        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    if (value.size > 0) {
        memcpy(to, value.data, value.size);
    }
    to[value.size] = '\0';
    return true;
}

static bool
read_number(slice_t value, uint64_t low, uint64_t high, uint64_t *number)
{
    uint64_t result = 0;

    if (value.size == 0 || value.size > 9) {
        return false;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
        result = result * 10 + (uint64_t) (value.data[i] - '0');
    }
    *number = result;
    return result >= low && result <= high;
}

static const char *
read_switch(slice_t value, const char *off, const char *on, bool *result)
{
    if (slice_is(value, on)) {
        *result = true;
    } else if (slice_is(value, off)) {
        *result = false;
    } else {
        return "write one of the two words that pam_sekisho(8) gives";
    }
    return NULL;
}

/* A path of root's: absolute, no part of it "..". */
static bool
is_path(slice_t value)
{
    return value.size > 1 && value.data[0] == '/' &&
           memmem(value.data, value.size, "/../", 4) == NULL &&
           (value.size < 3 ||
            memcmp(value.data + value.size - 3, "/..", 3) != 0);
}

static const char *
set_prompt(options_t *options, slice_t value)
{
    return value.size > 0 && copy_text(options->prompt, OPTIONS_TEXT_MAX, value)
               ? NULL
               : "write a text of 1 to 159 bytes, as \"Code: \"";
}

static const char *
set_password_prompt(options_t *options, slice_t value)
{
    return value.size > 0 &&
                   copy_text(options->password_prompt, OPTIONS_TEXT_MAX, value)
               ? NULL
               : "write a text of 1 to 159 bytes, as \"Password and code: \"";
}

static const char *
set_timeout(options_t *options, slice_t value)
{
    uint64_t seconds;

    if (!value_duration(value, &seconds) || seconds < 1 ||
        seconds > OPTIONS_SECONDS_MAX)
    {
        return "write a time span between 1s and 300s, as 5s";
    }
    options->timeout_seconds = (uint32_t) seconds;
    return NULL;
}

static const char *
set_digits(options_t *options, slice_t value)
{
    uint64_t number;

    if (!read_number(value, 6, 8, &number)) {
        return "write 6, 7 or 8";
    }
    options->digits = (uint32_t) number;
    return NULL;
}

static const char *
set_one_prompt(options_t *options, slice_t value)
{
    return read_switch(value, "off", "on", &options->one_prompt);
}

static const char *
set_enroll(options_t *options, slice_t value)
{
    return read_switch(value, "off", "on", &options->enroll);
}

static const char *
set_skip(options_t *options, slice_t value)
{
    return read_switch(value, "off", "on", &options->skip_for_publickey);
}

static const char *
set_unavailable(options_t *options, slice_t value)
{
    return read_switch(value, "deny", "ignore", &options->unavailable_ignore);
}

static const char *
set_record(options_t *options, slice_t value)
{
    return read_switch(value, "wanted", "required", &options->record_required);
}

static const char *
set_grace(options_t *options, slice_t value)
{
    uint64_t number;

    if (slice_is(value, "off")) {
        options->grace = GRACE_NONE;
    } else if (clock_parse_day(value, &options->grace_day)) {
        options->grace = GRACE_DAY;
    } else if (read_number(value, 1, 1000, &number)) {
        options->grace = GRACE_LOGINS;
        options->grace_logins = number;
    } else {
        return "write a day as 2026-12-31, a number of logins between 1 and "
               "1000, or off";
    }
    return NULL;
}

static const char *
set_place(options_t *options, slice_t value)
{
    static const char *const names[] = {"auto", "off", "on", "ssh", "desktop"};

    for (unsigned i = 0; i < COUNT(names); i++) {
        if (slice_is(value, names[i])) {
            options->place = (place_t) i;
            return NULL;
        }
    }
    return "write auto, off, on, ssh or desktop";
}

static const char *
set_qr(options_t *options, slice_t value)
{
    static const char *const names[] = {"auto", "on", "off"};

    for (unsigned i = 0; i < COUNT(names); i++) {
        if (slice_is(value, names[i])) {
            options->qr = (qr_t) i;
            return NULL;
        }
    }
    return "write auto, on or off";
}

static const char *
set_socket(options_t *options, slice_t value)
{
    return is_path(value) &&
                   copy_text(options->socket, sizeof(options->socket), value)
               ? NULL
               : "write an absolute path of at most 107 bytes";
}

static const char *
set_emergency(options_t *options, slice_t value)
{
    if (slice_is(value, "off")) {
        options->emergency[0] = '\0';
        return NULL;
    }
    return is_path(value) &&
                   copy_text(options->emergency, OPTIONS_PATH_MAX, value)
               ? NULL
               : "write the absolute path of their folder, or off";
}

static const char *
set_sessions(options_t *options, slice_t value)
{
    return is_path(value) &&
                   copy_text(options->sessions, OPTIONS_PATH_MAX, value)
               ? NULL
               : "write the absolute path of a folder of root's";
}

/* Below the home, and every part of it a name. */
static bool
is_wipe(slice_t value)
{
    slice_t rest;

    if (!slice_starts(value, SLICE("~/"))) {
        return false;
    }
    rest = slice_from(value, 2);
    for (;;) {
        const char *end = memchr(rest.data, '/', rest.size);
        size_t size = end == NULL ? rest.size : (size_t) (end - rest.data);

        if (size == 0 || (size == 1 && rest.data[0] == '.') ||
            (size == 2 && memcmp(rest.data, "..", 2) == 0))
        {
            return false;
        }
        if (end == NULL) {
            return true;
        }
        rest = slice_from(rest, size + 1);
    }
}

static const char *
set_wipe(options_t *options, slice_t value)
{
    if (options->wipes_count == OPTIONS_WIPES_MAX) {
        return "leave some out: at most 32 are taken";
    }
    if (!is_wipe(value) || !copy_text(options->wipes[options->wipes_count],
                                      OPTIONS_PATH_MAX, slice_from(value, 2)))
    {
        return "write what is below the home, as ~/Downloads, without . or ..";
    }
    options->wipes_count++;
    return NULL;
}

static const char *
set_wipe_from_uid(options_t *options, slice_t value)
{
    uint64_t number;

    if (!read_number(value, 1, 999999999, &number)) {
        return "write a user id above 0, as 1000";
    }
    options->wipe_from_uid = (uint32_t) number;
    return NULL;
}

static const char *
set_wipe_time(options_t *options, slice_t value)
{
    uint64_t seconds;

    if (!value_duration(value, &seconds) || seconds < 1 ||
        seconds > OPTIONS_SECONDS_MAX)
    {
        return "write a time span between 1s and 300s, as 60s";
    }
    options->wipe_seconds = (uint32_t) seconds;
    return NULL;
}

static const struct {
    const char *name;
    const char *alone; /* what the name without a value means, or NULL */
    uint32_t values_max;
    set_fn set;
} table[] = {
    {"prompt", NULL, 1, set_prompt},
    {"password-prompt", NULL, 1, set_password_prompt},
    {"timeout", NULL, 1, set_timeout},
    {"one-prompt", "on", 1, set_one_prompt},
    {"digits", NULL, 1, set_digits},
    {"grace", NULL, 1, set_grace},
    {"enroll", "on", 1, set_enroll},
    {"skip-for-publickey", "on", 1, set_skip},
    {"unavailable", NULL, 1, set_unavailable},
    {"place", NULL, 1, set_place},
    {"qr", NULL, 1, set_qr},
    {"socket", NULL, 1, set_socket},
    {"emergency", NULL, 1, set_emergency},
    {"sessions", NULL, 1, set_sessions},
    {"record", NULL, 1, set_record},
    {"wipe", NULL, OPTIONS_WIPES_MAX, set_wipe},
    {"wipe-from-uid", NULL, 1, set_wipe_from_uid},
    {"wipe-time", NULL, 1, set_wipe_time},
};

/* ---- One parser ---------------------------------------------------------- */

typedef struct {
    pam_handle_t *pamh;
    options_t *options;
    const char *place; /* "/etc/sekisho/pam.conf:3", "in the pam.d line" */
    uint64_t seen;     /* in this block or line: a bit per option */
} parser_t;

static void
tell(const parser_t *parser, slice_t name, const char *what, const char *cure)
{
    char quote[CONF_QUOTE_MAX];

    pam_syslog(parser->pamh, LOG_ERR, "%s: option \"%s\": %s%s%s",
               parser->place, conf_quote(name, quote), what,
               cure == NULL ? "" : ": ", cure == NULL ? "" : cure);
}

static bool
tell_unknown(const parser_t *parser, slice_t name)
{
    const char *names[COUNT(table)], *nearest;
    char cure[64];

    for (size_t i = 0; i < COUNT(table); i++) {
        names[i] = table[i].name;
    }
    nearest = conf_nearest(name, names, COUNT(table));
    if (nearest != NULL) {
        (void) snprintf(cure, sizeof(cure), "did you mean \"%s\"?", nearest);
    }
    tell(parser, name, "there is no such option",
         nearest == NULL ? "see pam_sekisho(8)" : cure);
    return false;
}

/* One option; false after an error was told. */
static bool
take_option(parser_t *parser, slice_t name, const slice_t *values,
            uint32_t count)
{
    size_t i = 0;
    slice_t alone;

    while (i < COUNT(table) && !slice_is(name, table[i].name)) {
        i++;
    }
    if (i == COUNT(table)) {
        return tell_unknown(parser, name);
    }
    if ((parser->seen >> i & 1) != 0) {
        tell(parser, name, "given twice", "leave one out");
        return false;
    }
    parser->seen |= UINT64_C(1) << i;
    if (count == 0 && table[i].alone != NULL) {
        alone = slice_of(table[i].alone);
        values = &alone;
        count = 1;
    }
    if (count == 0 || count > table[i].values_max) {
        tell(parser, name, count == 0 ? "needs a value" : "too many values",
             "see pam_sekisho(8)");
        return false;
    }
    if (table[i].set == set_wipe) {
        parser->options->wipes_count = 0; /* the nearer list replaces it */
    }
    for (uint32_t k = 0; k < count; k++) {
        const char *cure = table[i].set(parser->options, values[k]);

        if (cure != NULL) {
            tell(parser, name, "not such a value", cure);
            return false;
        }
    }
    return true;
}

/* ---- The file ------------------------------------------------------------ */

static bool
take_directive(parser_t *parser, const conf_directive_t *directive)
{
    slice_t values[OPTIONS_WIPES_MAX + 1];
    uint32_t count = directive->words_count - 1;
    char place[OPTIONS_PATH_MAX + 32];

    (void) snprintf(place, sizeof(place), "%s:%u", directive->file,
                    directive->words[0].line);
    parser->place = place;
    if (count > OPTIONS_WIPES_MAX || directive->block) {
        tell(parser, directive->words[0].text,
             directive->block ? "takes no block" : "too many values",
             "see pam_sekisho(8)");
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        values[i] = directive->words[i + 1].text;
    }
    return take_option(parser, directive->words[0].text, values, count);
}

static bool
is_for(const conf_directive_t *block, const char *service)
{
    for (uint32_t i = 1; i < block->words_count; i++) {
        if (slice_is(block->words[i].text, service)) {
            return true;
        }
    }
    return false;
}

/* All of a block is checked, also that of another service: an error shows at
 * the first login, not months later. */
static bool
take_block(parser_t *parser, const conf_directive_t *first, const char *service,
           bool services)
{
    bool good = true;

    for (const conf_directive_t *next = first; next != NULL; next = next->next)
    {
        if (services && next->block && slice_is(next->words[0].text, "service"))
        {
            continue;
        }
        good = take_directive(parser, next) && good;
    }
    if (!services) {
        return good;
    }
    for (const conf_directive_t *next = first; next != NULL; next = next->next)
    {
        _cleanup_(cleanup_free) options_t *other = NULL;
        parser_t inner = *parser;

        if (!next->block || !slice_is(next->words[0].text, "service")) {
            continue;
        }
        inner.seen = 0;
        if (!is_for(next, service)) {
            other = malloc(sizeof(*other));
            if (other == NULL) {
                return false;
            }
            *other = *parser->options;
            inner.options = other;
        }
        if (next->words_count < 2) {
            inner.place = next->file;
            tell(&inner, next->words[0].text, "a block needs a name",
                 "write service sshd { … }");
            good = false;
        }
        good = take_block(&inner, next->children, service, false) && good;
    }
    return good;
}

/* Root's own, and nobody's else to change.  0, or a negative errno. */
static int
read_safely(const char *path, char **text, size_t *size)
{
    _cleanup_(cleanup_close) int fd = -1;
    _cleanup_(cleanup_free) char *bytes = NULL;
    struct stat st;
    size_t used = 0;

    fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 022) != 0) {
        return -EPERM;
    }
    if (st.st_size > FILE_SIZE_MAX) {
        return -EFBIG;
    }
    bytes = malloc(FILE_SIZE_MAX + 1);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    while (used <= FILE_SIZE_MAX) {
        ssize_t n = read(fd, bytes + used, FILE_SIZE_MAX + 1 - used);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        used += (size_t) n;
    }
    if (used > FILE_SIZE_MAX) {
        return -EFBIG;
    }
    *size = used;
    *text = bytes;
    bytes = NULL;
    return 0;
}

static bool
parse_text(parser_t *parser, const char *path, slice_t text,
           const char *service)
{
    report_t *report = report_new();
    conf_t *conf = report == NULL ? NULL : conf_new(report);
    conf_directive_t *first = NULL;
    bool good = false;

    if (conf == NULL) {
        pam_syslog(parser->pamh, LOG_CRIT, "out of memory");
    } else if (conf_parse_text(conf, path, text, &first) < 0) {
        for (unsigned i = 0; report_text(report, i) != NULL; i++) {
            pam_syslog(parser->pamh, LOG_ERR, "%s", report_text(report, i));
        }
    } else {
        good = take_block(parser, first, service, true);
    }
    conf_free(conf);
    report_free(report);
    return good;
}

static bool
take_file(parser_t *parser, const char *path, bool needed, const char *service)
{
    _cleanup_(cleanup_free) char *text = NULL;
    size_t size = 0;
    int error = read_safely(path, &text, &size);

    if (error == -ENOENT && !needed) {
        return true;
    }
    if (error < 0) {
        pam_syslog(parser->pamh, LOG_ERR,
                   "%s: %s: it must be a regular file of at most 64 kB that "
                   "belongs to root and that nobody else may write",
                   path, strerror(-error));
        return false;
    }
    return parse_text(parser, path, (slice_t){text, size}, service);
}

/* ---- The words of the line ----------------------------------------------- */

static bool
take_word(parser_t *parser, slice_t word)
{
    const char *equals = memchr(word.data, '=', word.size);
    slice_t values[OPTIONS_WIPES_MAX + 1], name = word, rest;
    uint32_t count = 0;

    if (equals == NULL) {
        return take_option(parser, name, NULL, 0);
    }
    name.size = (size_t) (equals - word.data);
    rest = slice_from(word, name.size + 1);
    if (!slice_is(name, "wipe")) {
        return take_option(parser, name, &rest, 1);
    }
    while (count <= OPTIONS_WIPES_MAX) {
        const char *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma == NULL ? rest.size : (size_t) (comma - rest.data);

        values[count++] = (slice_t){rest.data, size};
        if (comma == NULL) {
            break;
        }
        rest = slice_from(rest, size + 1);
    }
    return take_option(parser, name, values, count);
}

static bool
take_words(parser_t *parser, int argc, const char **argv)
{
    bool good = true;

    parser->place = "in the line of pam_sekisho.so";
    parser->seen = 0;
    for (int i = 0; i < argc; i++) {
        slice_t word = slice_of(argv[i]);

        if (!slice_starts(word, SLICE("conf="))) {
            good = take_word(parser, word) && good;
        }
    }
    return good;
}

/* The file that is named among the words; false if it is no such path. */
static bool
find_file(parser_t *parser, int argc, const char **argv, const char **path)
{
    for (int i = 0; i < argc; i++) {
        slice_t word = slice_of(argv[i]);

        if (!slice_starts(word, SLICE("conf="))) {
            continue;
        }
        if (*path != NULL || !is_path(slice_from(word, 5)) ||
            word.size - 5 >= OPTIONS_PATH_MAX)
        {
            parser->place = "in the line of pam_sekisho.so";
            tell(parser, SLICE("conf"), "not such a value",
                 "write one absolute path");
            return false;
        }
        *path = argv[i] + 5;
    }
    return true;
}

options_t *
options_read(pam_handle_t *pamh, const char *service, int argc,
             const char **argv)
{
    options_t *options = calloc(1, sizeof(*options));
    parser_t parser = {.pamh = pamh, .options = options};
    const char *path = NULL;
    bool named;

    if (options == NULL) {
        pam_syslog(pamh, LOG_CRIT, "out of memory");
        return NULL;
    }
    (void) copy_text(options->prompt, OPTIONS_TEXT_MAX,
                     SLICE("One-time code: "));
    (void) copy_text(options->password_prompt, OPTIONS_TEXT_MAX,
                     SLICE("Password and one-time code: "));
    (void) copy_text(options->socket, sizeof(options->socket), SLICE(SOCKET));
    (void) copy_text(options->emergency, OPTIONS_PATH_MAX,
                     SLICE(EMERGENCY_FOLDER));
    (void) copy_text(options->sessions, OPTIONS_PATH_MAX, SLICE(SESSIONS));
    options->timeout_seconds = 10;
    options->digits = 6;
    options->wipe_from_uid = 1000;
    options->wipe_seconds = 60;

    if (!find_file(&parser, argc, argv, &path)) {
        options_free(options);
        return NULL;
    }
    named = path != NULL;
    if (!take_file(&parser, named ? path : OPTIONS_FILE, named, service) ||
        !take_words(&parser, argc, argv))
    {
        options_free(options);
        return NULL;
    }
    return options;
}

void
options_free(options_t *options)
{
    free(options);
}
