/* sshd_config: whether sshd comes by our line on every way in. */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <strings.h>

#include "../lib/base/file.h"
#include "doctor_tools.h"

#define CONFIG_FILE_PATH "/etc/ssh/sshd_config"
#define FILE_MAX         (512u * 1024)
#define INCLUDES_MAX     16 /* as sshd's own bound on depth */

static const struct {
    const char *name;
    const char *older;
    const char *unset; /* sshd's default */
} names[SSHD_NAMES] = {
    [SSHD_USE_PAM] = {"UsePAM", NULL, "no"},
    [SSHD_KEYBOARD] = {"KbdInteractiveAuthentication",
                       "ChallengeResponseAuthentication", "yes"},
    [SSHD_PASSWORD] = {"PasswordAuthentication", NULL, "yes"},
    [SSHD_METHODS] = {"AuthenticationMethods", NULL, "any"},
    [SSHD_SERVICE] = {"PAMServiceName", NULL, "sshd"},
};

typedef struct {
    char *data; /* malloc'ed */
    char *next;
    char file[DOCTOR_PATH_MAX];
    uint32_t line;
} config_file_t;

typedef struct {
    const char *root;
    sshd_config_t *config;
    config_file_t files[INCLUDES_MAX];
    unsigned depth;
    char match[128];
} config_reader_t;


const char *
sshd_name(sshd_name_t name)
{
    return names[name].name;
}


static int
open_config(config_reader_t *reader, const char *path)
{
    config_file_t *file = &reader->files[reader->depth];
    char whole[2 * DOCTOR_PATH_MAX];
    size_t size;
    int result;

    if (reader->depth == INCLUDES_MAX ||
        snprintf(file->file, sizeof(file->file), "%s", path) >=
            (int) sizeof(file->file) ||
        snprintf(whole, sizeof(whole), "%s%s", reader->root, path) >=
            (int) sizeof(whole))
    {
        reader->config->incomplete = true;
        return -ELOOP;
    }
    result = file_read(whole, FILE_MAX, &file->data, &size);
    if (result < 0) {
        return result;
    }
    file->next = file->data;
    file->line = 0;
    reader->depth++;
    return 0;
}


/* The files of a pattern, the last one on top: the first is read first. */
static void
include(config_reader_t *reader, const char *pattern)
{
    char whole[2 * DOCTOR_PATH_MAX];
    size_t root = strlen(reader->root);
    glob_t found;

    if (snprintf(whole, sizeof(whole), "%s%s%s", reader->root,
                 pattern[0] == '/' ? "" : "/etc/ssh/",
                 pattern) >= (int) sizeof(whole))
    {
        reader->config->incomplete = true;
        return;
    }
    if (glob(whole, 0, NULL, &found) != 0) {
        return; /* sshd, too, takes none for nothing */
    }
    for (size_t i = found.gl_pathc; i > 0; i--) {
        if (open_config(reader, found.gl_pathv[i - 1] + root) < 0) {
            reader->config->incomplete = true;
        }
    }
    globfree(&found);
}


static void
set_value(config_reader_t *reader, sshd_name_t name, const char *text)
{
    sshd_config_t *config = reader->config;
    const config_file_t *file = &reader->files[reader->depth - 1];
    sshd_value_t *value = &config->values[name];

    if (reader->match[0] != '\0') {
        if (config->matches_count == SSHD_MATCHES_MAX) {
            config->incomplete = true;
            return;
        }
        config->matches[config->matches_count].name = name;
        value = &config->matches[config->matches_count++].value;
        (void) snprintf(value->match, sizeof(value->match), "%s",
                        reader->match);
    } else if (value->line != 0) {
        return; /* the first one counts */
    }
    (void) snprintf(value->value, sizeof(value->value), "%s", text);
    (void) snprintf(value->file, sizeof(value->file), "%s", file->file);
    value->line = file->line;
}


static void
config_line(config_reader_t *reader, char *line)
{
    char *name = line + strspn(line, " \t"), *text, *end;

    if (*name == '\0' || *name == '#') {
        return;
    }
    text = name + strcspn(name, " \t=");
    if (*text != '\0') {
        *text++ = '\0';
        text += strspn(text, " \t=");
    }
    for (end = text; *end != '\0' && *end != '#'; end++) {
    }
    while (end > text && isspace((unsigned char) end[-1])) {
        end--;
    }
    *end = '\0';
    if (end - text >= 2 && *text == '"' && end[-1] == '"') {
        end[-1] = '\0';
        text++;
    }
    if (strcasecmp(name, "Include") == 0) {
        char *save = NULL, *words[INCLUDES_MAX];
        unsigned count = 0;

        for (char *word = strtok_r(text, " \t\"", &save);
             word != NULL && count < INCLUDES_MAX;
             word = strtok_r(NULL, " \t\"", &save))
        {
            words[count++] = word;
        }
        while (count > 0) {
            include(reader, words[--count]);
        }
        return;
    }
    if (strcasecmp(name, "Match") == 0) {
        (void) snprintf(reader->match, sizeof(reader->match), "%s",
                        strcasecmp(text, "all") == 0 ? "" : text);
        return;
    }
    for (unsigned i = 0; i < SSHD_NAMES; i++) {
        if (strcasecmp(name, names[i].name) == 0 ||
            (names[i].older != NULL && strcasecmp(name, names[i].older) == 0))
        {
            set_value(reader, (sshd_name_t) i, text);
        }
    }
}


int
sshd_read(const char *root, sshd_config_t *config)
{
    config_reader_t reader = {.root = root, .config = config};
    int result;

    memset(config, 0, sizeof(*config));
    for (unsigned i = 0; i < SSHD_NAMES; i++) {
        (void) snprintf(config->values[i].value,
                        sizeof(config->values[i].value), "%s", names[i].unset);
    }
    result = open_config(&reader, CONFIG_FILE_PATH);
    if (result < 0) {
        return result;
    }
    while (reader.depth > 0) {
        config_file_t *file = &reader.files[reader.depth - 1];
        char *line = file->next;
        size_t length = strcspn(line, "\n");

        if (*line == '\0') {
            free(file->data);
            reader.depth--;
            continue;
        }
        file->next += length + (line[length] == '\n');
        line[length] = '\0';
        file->line++;
        config_line(&reader, line);
    }
    return 0;
}


/* ---- What it means ------------------------------------------------------ */

static bool
is_method(slice_t method, const char *name)
{
    size_t size = strlen(name);

    return method.size >= size && strncasecmp(method.data, name, size) == 0 &&
           (method.size == size || method.data[size] == ':');
}


/* What is wrong with one list, "publickey,keyboard-interactive"; or NULL. */
static const char *
list_problem(slice_t list, bool factor)
{
    bool keyboard = false, first = factor, password = false;

    while (list.size > 0) {
        const char *comma = memchr(list.data, ',', list.size);
        slice_t method = {list.data, comma == NULL
                                         ? list.size
                                         : (size_t) (comma - list.data)};

        if (is_method(method, "keyboard-interactive")) {
            keyboard = true;
        } else if (is_method(method, "password")) {
            password = true;
        } else if (!is_method(method, "none")) {
            first = true;
        }
        list = slice_from(list, method.size + (comma != NULL));
    }
    if (!keyboard) {
        /* The password goes through PAM as well, and our line refuses. */
        return password ? NULL : "opens without a code";
    }
    return first ? NULL : "opens with a code alone: no password, no key";
}


static const char *
place_of(const sshd_value_t *value)
{
    return value->line == 0 ? CONFIG_FILE_PATH : value->file;
}


static void
methods_findings(findings_t *findings, const sshd_value_t *value, bool factor)
{
    const char *cure = factor ? "AuthenticationMethods keyboard-interactive"
                              : "AuthenticationMethods "
                                "publickey,keyboard-interactive";
    const char *in = value->match[0] == '\0' ? "" : " in Match ";
    char text[SSHD_VALUE_MAX];
    char *save = NULL;
    unsigned wrong = 0;

    if (strcasecmp(value->value, "any") == 0) {
        finding(findings, FINDING_WRONG, "sshd", place_of(value), value->line,
                cure,
                "AuthenticationMethods is %s%s%s: a public key alone opens "
                "without a code",
                value->line == 0 ? "not set" : "\"any\"", in, value->match);
        return;
    }
    (void) snprintf(text, sizeof(text), "%s", value->value);
    for (char *list = strtok_r(text, " \t\"", &save); list != NULL;
         list = strtok_r(NULL, " \t\"", &save))
    {
        const char *problem = list_problem(slice_of(list), factor);

        if (problem != NULL) {
            finding(findings, FINDING_WRONG, "sshd", place_of(value),
                    value->line, cure, "\"%s\" in AuthenticationMethods%s%s %s",
                    list, in, value->match, problem);
            wrong++;
        }
    }
    if (wrong == 0) {
        finding(findings, FINDING_OK, "sshd", place_of(value), value->line,
                NULL, "AuthenticationMethods %s%s%s", value->value, in,
                value->match);
    }
}


static void
switch_finding(findings_t *findings, const sshd_value_t *value,
               sshd_name_t name)
{
    const char *cure = name == SSHD_USE_PAM
                           ? "UsePAM yes"
                           : "KbdInteractiveAuthentication yes";

    if (strcasecmp(value->value, "yes") == 0) {
        if (value->match[0] == '\0') {
            finding(findings, FINDING_OK, "sshd", place_of(value), value->line,
                    NULL, "%s yes%s", names[name].name,
                    value->line == 0 ? ", sshd's default" : "");
        }
        return;
    }
    finding(findings, FINDING_WRONG, "sshd", place_of(value), value->line, cure,
            "%s is %s%s%s: %s", names[name].name,
            value->line == 0 ? "not set, which is \"no\"" : "\"no\"",
            value->match[0] == '\0' ? "" : " in Match ", value->match,
            name == SSHD_USE_PAM
                ? "sshd asks PAM nothing, and nobody for a code"
                : "sshd has no way to ask for a code");
}


void
sshd_findings(findings_t *findings, const sshd_config_t *config, bool factor)
{
    const sshd_value_t *password = &config->values[SSHD_PASSWORD];

    switch_finding(findings, &config->values[SSHD_USE_PAM], SSHD_USE_PAM);
    switch_finding(findings, &config->values[SSHD_KEYBOARD], SSHD_KEYBOARD);
    methods_findings(findings, &config->values[SSHD_METHODS], factor);
    for (unsigned i = 0; i < config->matches_count; i++) {
        if (config->matches[i].name == SSHD_METHODS) {
            methods_findings(findings, &config->matches[i].value, factor);
        } else if (config->matches[i].name == SSHD_KEYBOARD) {
            switch_finding(findings, &config->matches[i].value, SSHD_KEYBOARD);
        }
    }
    if (strcasecmp(password->value, "no") != 0) {
        finding(findings, FINDING_NOTE, "sshd", place_of(password),
                password->line, "PasswordAuthentication no",
                "PasswordAuthentication is %s: that method cannot ask for a "
                "code and is refused after the password",
                password->line == 0 ? "not set, which is \"yes\"" : "\"yes\"");
    }
    if (config->incomplete) {
        finding(findings, FINDING_WRONG, "sshd", CONFIG_FILE_PATH, 0,
                "make it readable, or simpler", "not all of it could be read");
    }
}
