/* Stacks of PAM, put together as Linux-PAM does: pam.conf(5), pam.d(5). */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "../lib/base/file.h"
#include "doctor_tools.h"

#define FILE_MAX       (256u * 1024)
#define LINE_MAX_BYTES 2048

/* pam.conf(5)'s names of what a module may return. */
static const char *const codes[STACK_CODES] = {
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
};

static const char *const types[STACK_TYPES] = {"auth", "account", "session",
                                               "password"};

static const struct {
    const char *name;
    int success, new_token, ignored, other;
} controls[] = {
    {"required", ACTION_OK, ACTION_OK, ACTION_IGNORE, ACTION_BAD},
    {"requisite", ACTION_OK, ACTION_OK, ACTION_IGNORE, ACTION_DIE},
    {"sufficient", ACTION_DONE, ACTION_DONE, ACTION_IGNORE, ACTION_IGNORE},
    {"optional", ACTION_OK, ACTION_OK, ACTION_IGNORE, ACTION_IGNORE},
};

static const struct {
    const char *name;
    int action;
} actions[] = {
    {"ignore", ACTION_IGNORE}, {"ok", ACTION_OK},   {"done", ACTION_DONE},
    {"bad", ACTION_BAD},       {"die", ACTION_DIE}, {"reset", ACTION_RESET},
};

/* A file that is being read, and where it goes on. */
typedef struct {
    char *data; /* malloc'ed */
    char *next;
    char file[DOCTOR_PATH_MAX];
    uint32_t line;
    unsigned level;
} open_file_t;

typedef struct {
    const char *root;
    stack_t *stack;
    open_file_t files[STACK_INCLUDE_MAX];
    unsigned depth;
} reader_t;


static void
reader_end(reader_t *reader)
{
    for (unsigned i = 0; i < reader->depth; i++) {
        free(reader->files[i].data);
    }
    reader->depth = 0;
}


const char *
stack_type_name(stack_type_t type)
{
    return types[type];
}


stack_return_t
stack_code_return(unsigned code)
{
    if (strcmp(codes[code], "success") == 0) {
        return RETURN_SUCCESS;
    }
    if (strcmp(codes[code], "ignore") == 0) {
        return RETURN_IGNORE;
    }
    return strcmp(codes[code], "new_authtok_reqd") == 0 ? RETURN_NEW_TOKEN
                                                        : RETURN_FAILURE;
}


const char *
stack_rule_module(const stack_rule_t *rule)
{
    const char *slash = strrchr(rule->module, '/');

    return slash == NULL ? rule->module : slash + 1;
}


bool
stack_rule_is(const stack_rule_t *rule, const char *module)
{
    return !rule->substack && strcmp(stack_rule_module(rule), module) == 0;
}


bool
stack_rule_has(const stack_rule_t *rule, const char *word)
{
    size_t size = strlen(word);
    const char *at = rule->arguments;

    while (*at != '\0') {
        size_t length;

        at += strspn(at, " ");
        length = strcspn(at, " ");
        if (length == size && memcmp(at, word, size) == 0) {
            return true;
        }
        at += length;
    }
    return false;
}


/* The first thing that is wrong is told; what follows may come from it. */
static void
problem(reader_t *reader, const char *text, const char *word)
{
    stack_t *stack = reader->stack;
    const open_file_t *file;

    if (stack->problem[0] != '\0') {
        return;
    }
    (void) snprintf(stack->problem, sizeof(stack->problem), "%s%s%s%s", text,
                    word == NULL ? "" : " \"", word == NULL ? "" : word,
                    word == NULL ? "" : "\"");
    if (reader->depth > 0) {
        file = &reader->files[reader->depth - 1];
        (void) snprintf(stack->problem_file, sizeof(stack->problem_file), "%s",
                        file->file);
        stack->problem_line = file->line;
    }
}


/* Opens a service's file: an absolute path, /etc/pam.d, else the vendor's. */
static int
open_service(reader_t *reader, const char *service, unsigned level)
{
    static const char *const folders[] = {"/etc/pam.d/", "/usr/lib/pam.d/", ""};
    bool absolute = service[0] == '/';
    int result = -ENOENT;

    if (reader->depth == STACK_INCLUDE_MAX) {
        problem(reader, "too many files include each other", NULL);
        return -ELOOP;
    }
    /* What leads out of the folder is no service's name. */
    if (!absolute && (strchr(service, '/') != NULL || service[0] == '\0')) {
        return -ENOENT;
    }
    for (unsigned i = absolute ? 2 : 0; i < (absolute ? 3 : 2); i++) {
        open_file_t *file = &reader->files[reader->depth];
        char path[2 * DOCTOR_PATH_MAX];
        size_t size;

        if (snprintf(file->file, sizeof(file->file), "%s%s", folders[i],
                     service) >= (int) sizeof(file->file) ||
            snprintf(path, sizeof(path), "%s%s", reader->root, file->file) >=
                (int) sizeof(path))
        {
            return -ENAMETOOLONG;
        }
        result = file_read(path, FILE_MAX, &file->data, &size);
        if (result == 0) {
            file->next = file->data;
            file->line = 0;
            file->level = level;
            reader->depth++;
            return 0;
        }
        if (result != -ENOENT) {
            return result;
        }
    }
    return result;
}


/*
 * The next line without its comment, lines that end in "\" put together.
 * False at the end of the file.  file->line is that of its first piece.
 */
static bool
next_line(open_file_t *file, uint32_t *pieces, char line[LINE_MAX_BYTES])
{
    size_t used = 0;

    *pieces = 0;
    while (*file->next != '\0') {
        size_t length = strcspn(file->next, "\n"), kept;
        const char *text = file->next;
        bool more;

        file->next += length + (file->next[length] == '\n');
        *pieces += 1;
        kept = strcspn(text, "#\n");
        kept = kept < length ? kept : length;
        while (kept > 0 && isspace((unsigned char) text[kept - 1])) {
            kept--;
        }
        more = kept > 0 && text[kept - 1] == '\\';
        kept -= more;
        if (kept > LINE_MAX_BYTES - 2 - used) {
            kept = LINE_MAX_BYTES - 2 - used;
        }
        memcpy(line + used, text, kept);
        used += kept;
        line[used] = '\0';
        if (!more) {
            return true;
        }
        line[used++] = ' ';
        line[used] = '\0';
    }
    return *pieces > 0;
}


/* The next word, or what stands between [ and ]; NULL at the end. */
static char *
next_word(char **text)
{
    char *word = *text + strspn(*text, " \t"), *end;

    if (*word == '\0') {
        return NULL;
    }
    if (*word == '[') {
        end = strchr(word, ']');
        if (end != NULL) {
            *text = end[1] == '\0' ? end + 1 : end + 2;
            *end = '\0'; /* the "[" stays: it tells what this was */
            return word;
        }
    }
    end = word + strcspn(word, " \t");
    *text = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}


static bool
action_of(const char *name, int *action)
{
    char *end;
    long jump;

    for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++) {
        if (strcasecmp(name, actions[i].name) == 0) {
            *action = actions[i].action;
            return true;
        }
    }
    jump = strtol(name, &end, 10);
    if (end == name || *end != '\0' || jump < 1 || jump > STACK_RULES_MAX) {
        return false;
    }
    *action = (int) jump;
    return true;
}


/* "value=action …"; what is not named is bad, as in Linux-PAM. */
static bool
bracket_control(char *text, int table[STACK_CODES])
{
    bool set[STACK_CODES] = {false};
    int other = ACTION_BAD;
    char *pair;

    while ((pair = next_word(&text)) != NULL) {
        char *equals = strchr(pair, '=');
        bool found = false;
        int action;

        if (equals == NULL || !action_of(equals + 1, &action)) {
            return false;
        }
        *equals = '\0';
        if (strcasecmp(pair, "default") == 0) {
            other = action;
            continue;
        }
        for (unsigned i = 0; i < STACK_CODES; i++) {
            if (strcasecmp(pair, codes[i]) == 0) {
                table[i] = action;
                set[i] = found = true;
            }
        }
        if (!found) {
            return false;
        }
    }
    for (unsigned i = 0; i < STACK_CODES; i++) {
        table[i] = set[i] ? table[i] : other;
    }
    return true;
}


static bool
take_control(char *text, stack_rule_t *rule)
{
    (void) snprintf(rule->control, sizeof(rule->control), "%s%s", text,
                    text[0] == '[' ? "]" : "");
    if (text[0] == '[') {
        return bracket_control(text + 1, rule->actions);
    }
    for (size_t i = 0; i < sizeof(controls) / sizeof(*controls); i++) {
        if (strcasecmp(text, controls[i].name) != 0) {
            continue;
        }
        for (unsigned code = 0; code < STACK_CODES; code++) {
            switch (stack_code_return(code)) {
            case RETURN_SUCCESS:
                rule->actions[code] = controls[i].success;
                break;
            case RETURN_IGNORE:
                rule->actions[code] = controls[i].ignored;
                break;
            case RETURN_NEW_TOKEN:
                rule->actions[code] = controls[i].new_token;
                break;
            default:
                rule->actions[code] = controls[i].other;
                break;
            }
        }
        return true;
    }
    return false;
}


static stack_rule_t *
add_rule(reader_t *reader)
{
    const open_file_t *file = &reader->files[reader->depth - 1];
    stack_rule_t *rule;

    if (reader->stack->count == STACK_RULES_MAX) {
        problem(reader, "more rules than can be looked at", NULL);
        return NULL;
    }
    rule = &reader->stack->rules[reader->stack->count++];
    memset(rule, 0, sizeof(*rule));
    (void) snprintf(rule->file, sizeof(rule->file), "%s", file->file);
    rule->line = file->line;
    rule->level = file->level;
    return rule;
}


/* `include` and `substack`: only this type's rules of that file. */
static void
take_include(reader_t *reader, const char *service, bool substack)
{
    unsigned level = reader->files[reader->depth - 1].level;

    if (substack) {
        stack_rule_t *rule;

        if (level + 1 == STACK_LEVEL_MAX) {
            problem(reader, "substacks lie too deep within each other", NULL);
            return;
        }
        rule = add_rule(reader);
        if (rule == NULL) {
            return;
        }
        rule->substack = true;
        level++;
    }
    if (open_service(reader, service, level) < 0) {
        problem(reader, "it includes what is not there:", service);
    }
}


static void
take_line(reader_t *reader, char *text)
{
    char *type = next_word(&text), *control, *module;
    bool quiet;
    stack_rule_t *rule;

    if (type == NULL) {
        return;
    }
    if (strcasecmp(type, "@include") == 0) {
        open_file_t *file = &reader->files[reader->depth - 1];
        char *service = next_word(&text);

        if (service == NULL || open_service(reader, service, file->level) < 0) {
            problem(reader, "it includes what is not there:",
                    service == NULL ? "" : service);
        }
        return;
    }
    quiet = type[0] == '-';
    if (strcasecmp(type + quiet, types[reader->stack->type]) != 0) {
        for (unsigned i = 0; i < STACK_TYPES; i++) {
            if (strcasecmp(type + quiet, types[i]) == 0) {
                return;
            }
        }
        problem(reader, "there is no such type:", type);
        return;
    }
    control = next_word(&text);
    module = control == NULL ? NULL : next_word(&text);
    if (module == NULL) {
        problem(reader, "the rule ends before a module is named", NULL);
        return;
    }
    if (strcasecmp(control, "include") == 0 ||
        strcasecmp(control, "substack") == 0) {
        take_include(reader, module, strcasecmp(control, "substack") == 0);
        return;
    }
    rule = add_rule(reader);
    if (rule == NULL) {
        return;
    }
    rule->quiet = quiet;
    if (!take_control(control, rule)) {
        problem(reader, "this control is none of pam.conf(5):", control);
        /* Linux-PAM lets such a rule fail, whatever its module says. */
        for (unsigned i = 0; i < STACK_CODES; i++) {
            rule->actions[i] = ACTION_BAD;
        }
    }
    (void) snprintf(rule->module, sizeof(rule->module), "%s", module);
    for (char *word = next_word(&text); word != NULL; word = next_word(&text)) {
        size_t used = strlen(rule->arguments);

        (void) snprintf(rule->arguments + used, sizeof(rule->arguments) - used,
                        "%s%s", used == 0 ? "" : " ", word);
    }
}


static int
read_service(const char *root, const char *service, stack_t *stack)
{
    reader_t reader = {.root = root, .stack = stack};
    int result = open_service(&reader, service, 0);

    if (result < 0) {
        return result;
    }
    while (reader.depth > 0) {
        open_file_t *file = &reader.files[reader.depth - 1];
        char line[LINE_MAX_BYTES];
        uint32_t pieces;

        line[0] = '\0';
        if (!next_line(file, &pieces, line)) {
            free(file->data);
            reader.depth--;
            continue;
        }
        /* Told is the line where the rule begins. */
        file->line++;
        take_line(&reader, line);
        file->line += pieces - 1;
    }
    reader_end(&reader);
    return 0;
}


int
stack_read(const char *root, const char *service, stack_type_t type,
           stack_t *stack)
{
    int result;

    memset(stack, 0, sizeof(*stack));
    stack->type = type;
    result = read_service(root, service, stack);
    if (result == 0 && stack->count == 0 && stack->problem[0] == '\0') {
        result = read_service(root, "other", stack);
        result = result == -ENOENT ? 0 : result;
    }
    return result;
}
