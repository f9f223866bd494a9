/*
 * `sekisho doctor pam`: is our line reached on every way through each door?
 *
 * A stack that is put together wrongly opens without a code and says nothing;
 * this says it, with the line and the cure.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "doctor_tools.h"

#define CURE_AUTH    "auth required " DOCTOR_MODULE
#define CURE_ACCOUNT "account required " DOCTOR_MODULE
#define CURE_SESSION "session required " DOCTOR_MODULE

/* Services that let somebody in. */
static const struct {
    const char *name;
    bool place;     /* one arrives from somewhere: account, session */
    bool one_field; /* cannot ask twice */
} doors[] = {
    {"sshd", true, false},
    {"login", true, false},
    {"remote", true, false},
    {"lightdm", true, false},
    {"gdm-password", true, false},
    {"sddm", true, true},
    {"xdm", true, true},
    {"wdm", true, true},
    {"slim", true, true},
    {"lxdm", true, true},
    {"greetd", true, false},
    {"cockpit", true, false},
    {"xrdp-sesman", true, true},
    {"su", false, false},
    {"su-l", false, false},
    {"sudo", false, false},
    {"sudo-i", false, false},
    {"polkit-1", false, false},
    {"xscreensaver", false, false},
    {"gnome-screensaver", false, false},
    {"mate-screensaver", false, false},
    {"cinnamon-screensaver", false, false},
    {"xfce4-screensaver", false, false},
    {"light-locker", false, false},
    {"i3lock", false, true},
    {"swaylock", false, true},
    {"vlock", false, false},
};

typedef struct {
    const char *root; /* "" or a folder */
    findings_t findings;
    stack_t *stack;
    unsigned services;
    bool ssh_service; /* sshd's own service was looked at */
} doctor_t;


void
finding(findings_t *findings, finding_t level, const char *what,
        const char *file, uint32_t line, const char *cure, const char *format,
        ...)
{
    static const char *const words[] = {"OK", "NOTE", "WRONG"};
    static const style_t styles[] = {STYLE_GOOD, STYLE_WARN, STYLE_BAD};
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    findings->counts[level]++;
    fputs("  ", stdout);
    print_styled(stdout, styles[level], words[level]);
    printf("%*s%-9s", (int) (7 - strlen(words[level])), "", what);
    if (file != NULL) {
        print_safe(stdout, slice_of(file));
        if (line > 0) {
            printf(":%u", line);
        }
        fputs(": ", stdout);
    }
    print_safe(stdout, slice_of(text));
    fputc('\n', stdout);
    if (cure != NULL) {
        printf("%18scure: ", "");
        print_safe(stdout, slice_of(cure));
        fputc('\n', stdout);
    }
}


static const stack_rule_t *
our_rule(const stack_t *stack)
{
    for (unsigned i = 0; i < stack->count; i++) {
        if (stack_rule_is(&stack->rules[i], DOCTOR_MODULE)) {
            return &stack->rules[i];
        }
    }
    return NULL;
}


/* Whether the module lies where Linux-PAM looks for it. */
static bool
module_there(const char *root, const stack_rule_t *rule)
{
    static const char *const folders[] = {
        "/lib/security/",           "/usr/lib/security/",
        "/lib64/security/",         "/usr/lib64/security/",
        "/lib/*-linux-*/security/", "/usr/lib/*-linux-*/security/",
    };
    bool absolute = rule->module[0] == '/', found = false;

    for (size_t i = 0; i < sizeof(folders) / sizeof(*folders) && !found; i++) {
        char path[2 * DOCTOR_PATH_MAX];
        glob_t paths;

        (void) snprintf(path, sizeof(path), "%s%s%s", root,
                        absolute ? "" : folders[i], rule->module);
        if (glob(path, 0, NULL, &paths) == 0) {
            found = true;
            globfree(&paths);
        }
    }
    return found;
}


/* How the culprit lets one by, in words. */
static void
skipped(doctor_t *doctor, const walk_t *walk)
{
    const stack_rule_t *rule = walk->culprit, *ours = our_rule(doctor->stack);
    const char *what = stack_type_name(doctor->stack->type);
    char cure[2 * DOCTOR_PATH_MAX + 200];

    if (walk->action > 0) {
        (void) snprintf(cure, sizeof(cure),
                        "let %s jump over fewer rules, or put the line of "
                        "%s:%u before it",
                        stack_rule_module(rule), ours->file, ours->line);
        finding(&doctor->findings, FINDING_WRONG, what, rule->file, rule->line,
                cure, "%s (%s) jumps over our line, %s:%u",
                stack_rule_module(rule), rule->control, ours->file, ours->line);
        return;
    }
    (void) snprintf(cure, sizeof(cure),
                    "put the line of %s:%u before it, or write \"required\" "
                    "here",
                    ours->file, ours->line);
    finding(&doctor->findings, FINDING_WRONG, what, rule->file, rule->line,
            cure, "%s (%s) ends the stack%s before our line, %s:%u, is asked",
            stack_rule_module(rule), rule->control,
            walk->returned == RETURN_NEW_TOKEN
                ? ", when a password has to be changed,"
                : " with success",
            ours->file, ours->line);
}


static void
walk_findings(doctor_t *doctor, bool ssh)
{
    const stack_t *stack = doctor->stack;
    const char *what = stack_type_name(stack->type);
    const stack_rule_t *ours = our_rule(stack);
    walk_t walk = walk_stack(stack);

    switch (walk.result) {
    case WALK_GOOD:
        finding(&doctor->findings, FINDING_OK, what, ours->file, ours->line,
                NULL, "asked on every way in");
        break;
    case WALK_ALONE:
        if (ssh) {
            finding(&doctor->findings, FINDING_OK, what, ours->file, ours->line,
                    NULL,
                    "asked on every way in; no password is, so that sshd must "
                    "see a key first");
            break;
        }
        finding(&doctor->findings, FINDING_WRONG, what, ours->file, ours->line,
                "put \"@include common-auth\" before it",
                "a code alone opens: no password is asked");
        break;
    case WALK_SKIPPED:
        if (walk.culprit != NULL) {
            skipped(doctor, &walk);
            break;
        }
        finding(&doctor->findings, FINDING_WRONG, what, ours->file, ours->line,
                "write \"required\"", "there is a way in that passes it by");
        break;
    case WALK_IGNORED:
        ours = walk.culprit;
        finding(&doctor->findings, FINDING_WRONG, what, ours->file, ours->line,
                "write \"required\"",
                "\"%s\" lets people in whose code is wrong", ours->control);
        break;
    default:
        finding(&doctor->findings, FINDING_WRONG, what, ours->file, ours->line,
                "make it simpler",
                "there are too many ways through this "
                "stack to look at");
        break;
    }
    if (walk.root != NULL) {
        finding(&doctor->findings, FINDING_NOTE, what, walk.root->file,
                walk.root->line, NULL, "root is not asked for anything: %s",
                walk.root->module);
    }
}


/* What is wrong with our line itself; false: there is none. */
static bool
line_findings(doctor_t *doctor, bool one_field)
{
    const stack_t *stack = doctor->stack;
    const char *what = stack_type_name(stack->type);
    const stack_rule_t *ours = our_rule(stack);

    if (ours == NULL) {
        return false;
    }
    if (ours->quiet) {
        finding(&doctor->findings, FINDING_WRONG, what, ours->file, ours->line,
                "take the \"-\" away",
                "\"-%s\" opens without a code when the module is not there",
                what);
    }
    if (!module_there(doctor->root, ours)) {
        finding(&doctor->findings, FINDING_WRONG, what, ours->file, ours->line,
                "install it, before anybody is locked out",
                "%s is not among PAM's modules", ours->module);
    }
    if (stack->type != STACK_AUTH) {
        return true;
    }
    if (one_field && !stack_rule_has(ours, "one-prompt")) {
        finding(&doctor->findings, FINDING_NOTE, what, ours->file, ours->line,
                CURE_AUTH " one-prompt, before the rule that asks for the "
                          "password",
                "this door has one field, and cannot ask for a code");
    }
    if (stack_rule_has(ours, "one-prompt")) {
        for (const stack_rule_t *rule = stack->rules; rule < ours; rule++) {
            if (stack_rule_is(rule, "pam_unix.so") ||
                stack_rule_is(rule, "pam_sss.so")) {
                finding(&doctor->findings, FINDING_WRONG, what, ours->file,
                        ours->line, "put it before that rule",
                        "\"one-prompt\" comes too late: %s asks first, %s:%u",
                        rule->module, rule->file, rule->line);
                break;
            }
        }
    }
    return true;
}


static void
missing(doctor_t *doctor, stack_type_t type, const char *service)
{
    char file[DOCTOR_PATH_MAX];
    const char *what = stack_type_name(type);

    (void) snprintf(file, sizeof(file), "/etc/pam.d/%s", service);
    switch (type) {
    case STACK_AUTH:
        finding(&doctor->findings, FINDING_WRONG, what, file, 0,
                CURE_AUTH ", behind the last auth rule",
                "nobody is asked for a code here");
        break;
    case STACK_ACCOUNT:
        finding(&doctor->findings, FINDING_NOTE, what, file, 0,
                CURE_ACCOUNT ", before \"@include common-account\"",
                "places, hours and locks are not asked about here");
        break;
    default:
        finding(&doctor->findings, FINDING_NOTE, what, file, 0,
                CURE_SESSION ", behind \"@include common-session\"",
                "beginning and end are not recorded, and nothing is wiped");
        break;
    }
}


/* One type of one service; whether another factor is asked, for sshd. */
static int
look_at(doctor_t *doctor, const char *service, stack_type_t type, bool place,
        bool one_field, bool ssh)
{
    stack_t *stack = doctor->stack;
    int result = stack_read(doctor->root, service, type, stack);

    if (result < 0) {
        return result;
    }
    if (stack->problem[0] != '\0') {
        finding(&doctor->findings, FINDING_WRONG, stack_type_name(type),
                stack->problem_file, stack->problem_line,
                "see pam.conf(5); Linux-PAM lets such a rule fail", "%s",
                stack->problem);
    }
    if (!line_findings(doctor, one_field)) {
        if (type == STACK_AUTH || place) {
            missing(doctor, type, service);
        }
        return 0;
    }
    /* What session returns lets nobody in; that it is there is enough. */
    if (type == STACK_SESSION) {
        finding(&doctor->findings, FINDING_OK, stack_type_name(type),
                our_rule(stack)->file, our_rule(stack)->line, NULL,
                "beginning and end are recorded");
        return 0;
    }
    walk_findings(doctor, ssh);
    return 0;
}


/* Whether the service's stack has another factor than our code. */
static bool
has_factor(doctor_t *doctor, const char *service)
{
    return stack_read(doctor->root, service, STACK_AUTH, doctor->stack) == 0 &&
           (our_rule(doctor->stack) == NULL ||
            walk_stack(doctor->stack).result != WALK_ALONE);
}


static int
look_at_service(doctor_t *doctor, const char *service, bool ssh)
{
    bool place = ssh, one_field = false;
    int result;

    for (size_t i = 0; i < sizeof(doors) / sizeof(*doors); i++) {
        if (strcmp(doors[i].name, service) == 0) {
            place = doors[i].place;
            one_field = doors[i].one_field;
        }
    }
    doctor->services++;
    print_styled(stdout, STYLE_BOLD, "");
    print_safe(stdout, slice_of(service));
    fputc('\n', stdout);
    for (unsigned type = STACK_AUTH; type <= STACK_SESSION; type++) {
        result = look_at(doctor, service, (stack_type_t) type, place, one_field,
                         ssh);
        if (result < 0) {
            return fail("doctor pam", "%s/etc/pam.d/%s: %s", doctor->root,
                        service, strerror(-result));
        }
    }
    return STATUS_OK;
}


static bool
there(const doctor_t *doctor, const char *folder, const char *name)
{
    char path[2 * DOCTOR_PATH_MAX];

    (void) snprintf(path, sizeof(path), "%s%s%s", doctor->root, folder, name);
    return access(path, F_OK) == 0;
}


/* Services beside the known doors that have our line. */
static int
look_at_others(doctor_t *doctor)
{
    char folder[DOCTOR_PATH_MAX];
    struct dirent **entries = NULL;
    int count, status = STATUS_OK;

    (void) snprintf(folder, sizeof(folder), "%s/etc/pam.d", doctor->root);
    count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0) {
        return fail("doctor pam", "%s: %s", folder, strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        bool known = name[0] == '.' || strncmp(name, "common-", 7) == 0 ||
                     strcmp(name, "other") == 0 || strchr(name, '~') != NULL ||
                     strstr(name, ".dpkg-") != NULL;

        for (size_t d = 0; d < sizeof(doors) / sizeof(*doors) && !known; d++) {
            known = strcmp(doors[d].name, name) == 0;
        }
        if (!known && status == STATUS_OK &&
            stack_read(doctor->root, name, STACK_AUTH, doctor->stack) == 0 &&
            our_rule(doctor->stack) != NULL)
        {
            status = look_at_service(doctor, name, false);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}


/* sshd's service and its own file belong together. */
static int
look_at_sshd(doctor_t *doctor)
{
    sshd_config_t *config = calloc(1, sizeof(*config));
    const char *service;
    int result, status;

    if (config == NULL) {
        return fail("doctor pam", "out of memory");
    }
    result = sshd_read(doctor->root, config);
    if (result < 0 && result != -ENOENT) {
        status = fail("doctor pam", "%s/etc/ssh/sshd_config: %s", doctor->root,
                      strerror(-result));
        free(config);
        return status;
    }
    service = config->values[SSHD_SERVICE].value;
    status = look_at_service(doctor, service, result == 0);
    if (status == STATUS_OK && result == 0) {
        sshd_findings(&doctor->findings, config, has_factor(doctor, service));
    }
    free(config);
    return status;
}


static int
look(doctor_t *doctor, const arguments_t *arguments)
{
    const char *name;
    int status = STATUS_OK;

    if (option_given(arguments, "--service")) {
        for (unsigned i = 0;
             status == STATUS_OK &&
             (name = option_nth(arguments, "--service", i)) != NULL;
             i++)
        {
            status = strcmp(name, "sshd") == 0
                         ? look_at_sshd(doctor)
                         : look_at_service(doctor, name, false);
        }
        return status;
    }
    for (size_t i = 0; i < sizeof(doors) / sizeof(*doors); i++) {
        name = doors[i].name;
        if (status != STATUS_OK || (!there(doctor, "/etc/pam.d/", name) &&
                                    !there(doctor, "/usr/lib/pam.d/", name)))
        {
            continue;
        }
        status = strcmp(name, "sshd") == 0
                     ? look_at_sshd(doctor)
                     : look_at_service(doctor, name, false);
    }
    return status == STATUS_OK ? look_at_others(doctor) : status;
}


static int
doctor_pam(const arguments_t *arguments)
{
    doctor_t doctor = {.root = option_value(arguments, "--root")};
    const unsigned *counts = doctor.findings.counts;
    char root[DOCTOR_PATH_MAX];
    size_t size;
    int status;

    doctor.root = doctor.root == NULL ? "" : doctor.root;
    if (snprintf(root, sizeof(root), "%s", doctor.root) >= (int) sizeof(root)) {
        return fail("doctor pam", "--root: the path is too long");
    }
    for (size = strlen(root); size > 0 && root[size - 1] == '/'; size--) {
        root[size - 1] = '\0';
    }
    doctor.root = root;
    doctor.stack = malloc(sizeof(*doctor.stack));
    if (doctor.stack == NULL) {
        return fail("doctor pam", "out of memory");
    }
    status = look(&doctor, arguments);
    free(doctor.stack);
    if (status != STATUS_OK) {
        return status;
    }
    if (doctor.services == 0) {
        return fail("doctor pam", "%s/etc/pam.d has no door that is known",
                    root);
    }
    printf("\n%u door%s: ", doctor.services, doctor.services == 1 ? "" : "s");
    if (counts[FINDING_WRONG] == 0) {
        print_styled(stdout, STYLE_GOOD, "nothing is wrong");
        fputc('\n', stdout);
        return STATUS_OK;
    }
    print_styled(stdout, STYLE_BAD, "WRONG");
    printf(" in %u place%s\n", counts[FINDING_WRONG],
           counts[FINDING_WRONG] == 1 ? "" : "s");
    return STATUS_NO;
}


static const option_t pam_options[] = {
    {"--root", "DIR", "Look at the files below this folder instead of /."},
    {"--service", "NAME",
     "Look at this service of /etc/pam.d alone; may be given again."},
    {NULL, NULL, NULL},
};

static const command_t pam_command = {
    .name = "doctor pam",
    .arguments = "",
    .summary = "Look for ways by which PAM opens without a code.",
    .details =
        "Puts the stacks of /etc/pam.d together as Linux-PAM does, walks every "
        "way through them, and tells for each door whether the line "
        "of " DOCTOR_MODULE
        " is asked on all that end in success; for sshd also whether "
        "sshd_config comes by it.\n\n"
        "Exit status: 0 nothing is wrong, 1 something is, 2 it could not be "
        "told.",
    .options = pam_options,
    .repeatable = "--service",
    .run = doctor_pam,
};

const command_t *const doctor_commands[] = {&pam_command, NULL};
