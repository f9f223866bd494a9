#define _GNU_SOURCE
#include "options_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>

#include <security/pam_ext.h>

#include "../lib/base/conf.h"
#include "../lib/base/wipe.h"
#include "../lib/otp/emergency.h"

#define FILE_SIZE_MAX (64 * 1024)
#define SOCKET        "/run/sekisho/sekishod.sock"
#define SESSIONS      "/var/lib/sekisho/sessions"

/* ---- One parser ---------------------------------------------------------- */

typedef struct {
    pam_handle_t *pamh;
    options_t *options;
    char place[OPTIONS_PATH_MAX + 32]; /* "/etc/sekisho/pam.conf:3" */
    uint64_t seen; /* in this block or line: a bit per option */
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
    const char *names[OPTION_KINDS_MAX] = {NULL}, *nearest;
    char cure[64];

    for (size_t i = 0; i < option_kinds_count && i < OPTION_KINDS_MAX; i++) {
        names[i] = option_kinds[i].name;
    }
    nearest = conf_nearest(name, names, option_kinds_count);
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

    while (i < option_kinds_count && !slice_is(name, option_kinds[i].name)) {
        i++;
    }
    if (i == option_kinds_count) {
        return tell_unknown(parser, name);
    }
    if ((parser->seen >> i & 1) != 0) {
        tell(parser, name, "given twice", "leave one out");
        return false;
    }
    parser->seen |= UINT64_C(1) << i;
    if (count == 0 && option_kinds[i].alone != NULL) {
        alone = slice_of(option_kinds[i].alone);
        values = &alone;
        count = 1;
    }
    if (count == 0 || count > option_kinds[i].values_max) {
        tell(parser, name, count == 0 ? "needs a value" : "too many values",
             "see pam_sekisho(8)");
        return false;
    }
    if (option_kinds[i].values_max > 1) {
        parser->options->wipes_count = 0; /* the nearer list replaces it */
    }
    for (uint32_t k = 0; k < count; k++) {
        const char *cure = option_kinds[i].set(parser->options, values[k]);

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

    (void) snprintf(parser->place, sizeof(parser->place), "%s:%u",
                    directive->file, directive->words[0].line);
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
            (void) snprintf(inner.place, sizeof(inner.place), "%s", next->file);
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

static void
in_the_line(parser_t *parser)
{
    (void) snprintf(parser->place, sizeof(parser->place),
                    "in the line of pam_sekisho.so");
}

static bool
take_words(parser_t *parser, int argc, const char **argv)
{
    bool good = true;

    in_the_line(parser);
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
        if (*path != NULL || !option_is_path(slice_from(word, 5)) ||
            word.size - 5 >= OPTIONS_PATH_MAX)
        {
            in_the_line(parser);
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
    (void) option_text(options->prompt, OPTIONS_TEXT_MAX,
                       SLICE("One-time code: "));
    (void) option_text(options->password_prompt, OPTIONS_TEXT_MAX,
                       SLICE("Password and one-time code: "));
    (void) option_text(options->socket, sizeof(options->socket), SLICE(SOCKET));
    (void) option_text(options->emergency, OPTIONS_PATH_MAX,
                       SLICE(EMERGENCY_FOLDER));
    (void) option_text(options->sessions, OPTIONS_PATH_MAX, SLICE(SESSIONS));
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
