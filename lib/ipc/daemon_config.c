#include "daemon_config.h"

#include <pwd.h>
#include <stdlib.h>
#include <sys/un.h>

#include "../base/value.h"
#include "otp_message.h"

#define JOURNAL_MIN   (UINT64_C(1) << 20)
#define JOURNAL_MAX   (UINT64_C(4) << 30)
#define HEARTBEAT_MAX 300 /* seconds: silence longer than that is visible */
#define ORPHAN_MIN    5
#define ORPHAN_MAX    3600
#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))

typedef struct {
    config_t *config;
    report_t *report;
} reader_t;

/* Reads the words after the name; messages are its own. */
typedef void (*read_fn)(reader_t *reader, const conf_directive_t *directive);

static const char *
text_of(reader_t *reader, const conf_directive_t *directive, uint32_t word)
{
    slice_t text = directive->words[word].text;
    char *copy = conf_alloc(reader->config->conf, text.size + 1);

    if (copy == NULL) {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, word),
                   "out of memory");
        return "";
    }
    memcpy(copy, text.data, text.size);
    return copy;
}

static const char *
absolute_path(reader_t *reader, const conf_directive_t *directive,
              uint32_t word)
{
    slice_t text = directive->words[word].text;
    char quote[CONF_QUOTE_MAX];

    if (text.size == 0 || text.data[0] != '/') {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, word),
                   "\"%s\" is no absolute path: write it from the root, as "
                   "/var/lib/sekisho/…",
                   conf_quote(text, quote));
    }
    return text_of(reader, directive, word);
}

static void
read_socket(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->socket = absolute_path(reader, directive, 1);
    if (directive->words[1].text.size >=
        sizeof(((struct sockaddr_un *) NULL)->sun_path))
    {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, 1),
                   "a socket's path has at most %zu bytes: choose a shorter "
                   "one",
                   sizeof(((struct sockaddr_un *) NULL)->sun_path) - 1);
    }
}

static void
read_trail(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->trail = absolute_path(reader, directive, 1);
}

static void
read_key(reader_t *reader, const conf_directive_t *directive)
{
    config_t *config = reader->config;

    for (uint32_t i = 1; i < directive->words_count; i++) {
        config->keys[i - 1] = absolute_path(reader, directive, i);
    }
    config->keys_count = directive->words_count - 1;
}

static void
read_policy(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->policy = absolute_path(reader, directive, 1);
}

static void
read_geoip(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->geoip = slice_is(directive->words[1].text, "off")
                                ? NULL
                                : absolute_path(reader, directive, 1);
}

static void
read_index(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->index = slice_is(directive->words[1].text, "off")
                                ? NULL
                                : absolute_path(reader, directive, 1);
}

static void
read_origin(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->origin = directive->words[1].text;
}

static void
read_web_user(reader_t *reader, const conf_directive_t *directive)
{
    config_t *config = reader->config;

    for (uint32_t i = 1; i < directive->words_count; i++) {
        char name[64], quote[CONF_QUOTE_MAX];
        slice_t text = directive->words[i].text;
        const struct passwd *user = NULL;

        if (text.size < sizeof(name)) {
            memcpy(name, text.data, text.size);
            name[text.size] = '\0';
            user = getpwnam(name);
        }
        if (user == NULL) {
            report_add(reader->report, REPORT_ERROR, conf_place(directive, i),
                       "there is no user \"%s\" on this host: write the user "
                       "that nginx's workers run as, as www-data",
                       conf_quote(text, quote));
        } else if (config->web_uids_count == CONFIG_WEB_UIDS_MAX) {
            report_add(reader->report, REPORT_ERROR, conf_place(directive, i),
                       "more than %d web users: leave some out",
                       CONFIG_WEB_UIDS_MAX);
        } else {
            config->web_uids[config->web_uids_count++] = user->pw_uid;
        }
    }
}

static void
read_size(reader_t *reader, const conf_directive_t *directive, uint64_t low,
          uint64_t high, uint64_t *bytes)
{
    slice_t text = directive->words[1].text;
    char quote[CONF_QUOTE_MAX];

    if (!value_size(text, bytes) || *bytes < low || *bytes > high) {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, 1),
                   "\"%s\" is no size between %llum and %llum: write one, as "
                   "64m",
                   conf_quote(text, quote), (unsigned long long) low >> 20,
                   (unsigned long long) high >> 20);
    }
}

static void
read_journal(reader_t *reader, const conf_directive_t *directive)
{
    read_size(reader, directive, 4 * JOURNAL_MIN, JOURNAL_MAX,
              &reader->config->journal_bytes);
}

static void
read_reserve(reader_t *reader, const conf_directive_t *directive)
{
    read_size(reader, directive, JOURNAL_MIN, JOURNAL_MAX,
              &reader->config->reserve_bytes);
}

static void
read_duration(reader_t *reader, const conf_directive_t *directive, uint64_t low,
              uint64_t high, uint64_t *seconds)
{
    slice_t text = directive->words[1].text;
    char quote[CONF_QUOTE_MAX];

    if (!value_duration(text, seconds) || *seconds < low || *seconds > high) {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, 1),
                   "\"%s\" is no time span between %llus and %llus: write a "
                   "number and s, m or h, as 60s",
                   conf_quote(text, quote), (unsigned long long) low,
                   (unsigned long long) high);
    }
}

static void
read_heartbeat(reader_t *reader, const conf_directive_t *directive)
{
    read_duration(reader, directive, 1, HEARTBEAT_MAX,
                  &reader->config->heartbeat_seconds);
}

static void
read_orphan(reader_t *reader, const conf_directive_t *directive)
{
    read_duration(reader, directive, ORPHAN_MIN, ORPHAN_MAX,
                  &reader->config->orphan_seconds);
}

/* ---- One-time codes and places -------------------------------------------*/

static void
read_otp_store(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->otp_store = absolute_path(reader, directive, 1);
}

static void
read_otp_key(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->otp_key = absolute_path(reader, directive, 1);
}

static void
read_emergency(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->emergency = absolute_path(reader, directive, 1);
}

static void
read_otp_issuer(reader_t *reader, const conf_directive_t *directive)
{
    slice_t text = directive->words[1].text;
    bool good = text.size > 0 && text.size <= CONFIG_ISSUER_MAX;

    for (size_t i = 0; good && i < text.size; i++) {
        /* the colon parts issuer and account in an otpauth label */
        good = (unsigned char) text.data[i] >= 0x20 && text.data[i] != 0x7f &&
               text.data[i] != ':';
    }
    if (!good) {
        char quote[CONF_QUOTE_MAX];

        report_add(reader->report, REPORT_ERROR, conf_place(directive, 1),
                   "\"%s\" is no issuer: write 1 to %d bytes without a colon "
                   "or control characters, as \"Aoba Hospital\"",
                   conf_quote(text, quote), CONFIG_ISSUER_MAX);
    }
    reader->config->otp_issuer = text;
}

static bool
read_switch(reader_t *reader, const conf_directive_t *directive)
{
    slice_t text = directive->words[1].text;
    char quote[CONF_QUOTE_MAX];

    if (!slice_is(text, "on") && !slice_is(text, "off")) {
        report_add(reader->report, REPORT_ERROR, conf_place(directive, 1),
                   "\"%s\" is neither \"on\" nor \"off\"",
                   conf_quote(text, quote));
    }
    return slice_is(text, "on");
}

static void
read_places(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->places_off = !read_switch(reader, directive);
}

static void
read_self_service(reader_t *reader, const conf_directive_t *directive)
{
    reader->config->otp_self_service_off = !read_switch(reader, directive);
}

/* Of otp_rules_t; the bounds are those of lib/otp/otp.h. */
static const struct {
    const char *name;
    bool duration;
    uint32_t low, high;
    size_t offset;
} rules[] = {
    {"otp_window", false, 0, 10, offsetof(otp_rules_t, window_steps)},
    {"otp_look_ahead", false, 1, 100, offsetof(otp_rules_t, hotp_look_ahead)},
    {"otp_drift", false, 0, 20, offsetof(otp_rules_t, drift_steps_max)},
    {"otp_wait_from", false, 1, OTP_LOCK_MAX, offsetof(otp_rules_t, wait_from)},
    {"otp_wait", true, 1, 3600, offsetof(otp_rules_t, wait_seconds_max)},
    {"otp_lock_at", false, 1, OTP_LOCK_MAX, offsetof(otp_rules_t, lock_at)},
    {"otp_source_lock_at", false, 1, 100000,
     offsetof(otp_rules_t, source_lock_at)},
    {"otp_source_forget", true, 1, 86400,
     offsetof(otp_rules_t, source_forget_seconds)},
    {"otp_clock_back", true, 0, 300, offsetof(otp_rules_t, clock_back_seconds)},
};

static void
read_rule(reader_t *reader, const conf_directive_t *directive)
{
    slice_t text = directive->words[1].text;
    uint64_t number = 0;
    size_t i = 0;

    while (!slice_is(directive->words[0].text, rules[i].name)) {
        i++;
    }
    if (rules[i].duration) {
        read_duration(reader, directive, rules[i].low, rules[i].high, &number);
    } else if (!ask_number_parse(text, rules[i].high, &number) ||
               number < rules[i].low)
    {
        char quote[CONF_QUOTE_MAX];

        report_add(reader->report, REPORT_ERROR, conf_place(directive, 1),
                   "\"%s\" is no number between %u and %u",
                   conf_quote(text, quote), rules[i].low, rules[i].high);
    }
    *(uint32_t *) ((char *) &reader->config->otp_rules +
                   rules[i].offset) = (uint32_t) number;
}

otp_rules_t
config_otp_rules(const config_t *config, const otp_rules_t *defaults)
{
    otp_rules_t result = *defaults;

    for (size_t i = 0; i < COUNT(rules); i++) {
        uint32_t given;

        memcpy(&given, (const char *) &config->otp_rules + rules[i].offset,
               sizeof(given));
        if (given != CONFIG_NOT_GIVEN) {
            memcpy((char *) &result + rules[i].offset, &given, sizeof(given));
        }
    }
    return result;
}

static const struct {
    const char *name;
    uint32_t words_max;
    read_fn read;
} directives[] = {
    {"socket", 1, read_socket},
    {"trail", 1, read_trail},
    {"origin", 1, read_origin},
    {"key", CONFIG_KEYS_MAX, read_key},
    {"policy", 1, read_policy},
    {"geoip", 1, read_geoip},
    {"web_user", 8, read_web_user},
    {"journal", 1, read_journal},
    {"reserve", 1, read_reserve},
    {"heartbeat", 1, read_heartbeat},
    {"interrupted", 1, read_orphan},
    {"places", 1, read_places},
    {"emergency", 1, read_emergency},
    {"otp_store", 1, read_otp_store},
    {"otp_key", 1, read_otp_key},
    {"otp_issuer", 1, read_otp_issuer},
    {"otp_self_service", 1, read_self_service},
    {"otp_window", 1, read_rule},
    {"otp_look_ahead", 1, read_rule},
    {"otp_drift", 1, read_rule},
    {"otp_wait_from", 1, read_rule},
    {"otp_wait", 1, read_rule},
    {"otp_lock_at", 1, read_rule},
    {"otp_source_lock_at", 1, read_rule},
    {"otp_source_forget", 1, read_rule},
    {"otp_clock_back", 1, read_rule},
    {"index", 1, read_index},
};

static bool
index_said(const conf_directive_t *const seen[COUNT(directives)])
{
    for (size_t i = 0; i < COUNT(directives); i++) {
        if (directives[i].read == read_index) {
            return seen[i] != NULL;
        }
    }
    return false;
}

static void
tell_unknown(reader_t *reader, const conf_directive_t *directive)
{
    const char *names[COUNT(directives)], *nearest;
    char quote[CONF_QUOTE_MAX];

    for (size_t i = 0; i < COUNT(directives); i++) {
        names[i] = directives[i].name;
    }
    nearest = conf_nearest(directive->words[0].text, names, COUNT(names));
    report_add(reader->report, REPORT_ERROR, conf_place(directive, 0),
               "unknown directive \"%s\": %s%s%s",
               conf_quote(directive->words[0].text, quote),
               nearest == NULL ? "see sekishod.conf(5)" : "did you mean \"",
               nearest == NULL ? "" : nearest, nearest == NULL ? "" : "\"?");
}

static void
read_directive(reader_t *reader, const conf_directive_t *directive,
               const conf_directive_t *seen[COUNT(directives)])
{
    for (size_t i = 0; i < COUNT(directives); i++) {
        if (!slice_is(directive->words[0].text, directives[i].name)) {
            continue;
        }
        if (directive->block || directive->words_count < 2 ||
            directive->words_count > directives[i].words_max + 1)
        {
            report_add(reader->report, REPORT_ERROR, conf_place(directive, 0),
                       "\"%s\" takes 1 to %u values and a \";\"",
                       directives[i].name, directives[i].words_max);
        } else if (seen[i] != NULL) {
            report_add(reader->report, REPORT_ERROR, conf_place(directive, 0),
                       "\"%s\" was already given at line %u: leave one out",
                       directives[i].name, seen[i]->words[0].line);
        } else {
            seen[i] = directive;
            directives[i].read(reader, directive);
        }
        return;
    }
    tell_unknown(reader, directive);
}

/* audit.db beside the trail's folder. */
static const char *
index_beside(reader_t *reader)
{
    static const char name[] = "audit.db";
    const char *trail = reader->config->trail;
    size_t size = strlen(trail);
    char *path;

    while (size > 1 && trail[size - 1] == '/') {
        size--;
    }
    while (size > 0 && trail[size - 1] != '/') {
        size--;
    }
    path = conf_alloc(reader->config->conf, size + sizeof(name));
    if (path == NULL) {
        report_add(reader->report, REPORT_ERROR, (report_place_t){.file = NULL},
                   "out of memory");
        return NULL;
    }
    memcpy(path, trail, size);
    memcpy(path + size, name, sizeof(name));
    return path;
}

static void
check_whole(reader_t *reader, const char *path)
{
    config_t *config = reader->config;
    report_place_t place = {.file = path};

    if (config->origin.size == 0) {
        report_add(reader->report, REPORT_ERROR, place,
                   "no \"origin\": give the trail a name of its own, as "
                   "\"origin pacs.hospital.example/sekisho;\"");
    }
    if (config->reserve_bytes * 2 > config->journal_bytes) {
        report_add(reader->report, REPORT_ERROR, place,
                   "\"reserve\" is more than half of \"journal\": make the "
                   "journal larger");
    }
    if (config->otp_rules.lock_at != CONFIG_NOT_GIVEN &&
        config->otp_rules.wait_from != CONFIG_NOT_GIVEN &&
        config->otp_rules.wait_from > config->otp_rules.lock_at)
    {
        report_add(reader->report, REPORT_ERROR, place,
                   "\"otp_wait_from\" is above \"otp_lock_at\": nobody would "
                   "ever wait; make it smaller");
    }
    if (config->web_uids_count == 0) {
        report_add(reader->report, REPORT_WARNING, place,
                   "no \"web_user\": only root can send records, so nginx "
                   "will refuse every request under audit");
    }
}

config_t *
config_read(const char *path, report_t *report)
{
    const conf_directive_t *seen[COUNT(directives)] = {0};
    conf_directive_t *first = NULL;
    config_t *config = calloc(1, sizeof(*config));
    reader_t reader = {.config = config, .report = report};

    if (config == NULL) {
        report_add(report, REPORT_ERROR, (report_place_t){.file = path},
                   "out of memory");
        return NULL;
    }
    config->socket = "/run/sekisho/sekishod.sock";
    config->trail = "/var/lib/sekisho/trail";
    config->keys[0] = "/etc/sekisho/trail.key";
    config->keys_count = 1;
    config->journal_bytes = UINT64_C(64) << 20;
    config->reserve_bytes = UINT64_C(8) << 20;
    config->heartbeat_seconds = HEARTBEAT_MAX;
    config->orphan_seconds = 60;
    config->otp_key = "/etc/sekisho/otp.key";
    config->otp_issuer = SLICE("Sekisho");
    config->emergency = "/var/lib/sekisho/emergency";
    memset(&config->otp_rules, 0xff, sizeof(config->otp_rules));
    config->conf = conf_new(report);
    if (config->conf == NULL ||
        conf_parse_file(config->conf, path, NULL, &first) < 0)
    {
        config_free(config);
        return NULL;
    }
    for (; first != NULL; first = first->next) {
        read_directive(&reader, first, seen);
    }
    if (!index_said(seen)) {
        config->index = index_beside(&reader);
    }
    check_whole(&reader, path);
    if (report_errors(report) != 0) {
        config_free(config);
        return NULL;
    }
    return config;
}

void
config_free(config_t *config)
{
    if (config != NULL) {
        conf_free(config->conf);
        free(config);
    }
}
