/*
 * sekisho: the command line for administrators and officers.
 *
 * Finds the sub-command, runs it, and makes sure that nobody takes half an
 * output for a whole one.
 */

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib/base/conf.h"
#include "tools.h"

#define NAMES_MAX 64

/* A command with an argument list of its own. */
typedef struct {
    const char *name;
    const char *summary;
    int (*main)(int argc, char **argv);
} plain_command_t;

static const plain_command_t plain_commands[] = {
    {"classify", "Tell what the gate takes a request for.", cmd_classify},
    {NULL, NULL, NULL},
};


typedef struct {
    const char *name;
    const command_t *const *commands;
} group_t;

static const group_t groups[] = {
    {"policy", policy_commands}, {"audit", audit_commands},
    {"trail", trail_commands},   {"otp", otp_commands},
    {"doctor", doctor_commands}, {NULL, NULL},
};


static void
print_commands(FILE *out)
{
    size_t width = 0;

    fputs("usage: sekisho COMMAND [ARGUMENT]... [OPTION]...\n"
          "       sekisho help [COMMAND]\n"
          "       sekisho --version\n\n"
          "The checkpoint for medical images: who gets in from where, when "
          "and for what.\n\nCommands:\n",
          out);
    for (const group_t *group = groups; group->name != NULL; group++) {
        for (const command_t *const *c = group->commands; *c != NULL; c++) {
            width = strlen((*c)->name) > width ? strlen((*c)->name) : width;
        }
    }
    for (const group_t *group = groups; group->name != NULL; group++) {
        for (const command_t *const *c = group->commands; *c != NULL; c++) {
            fprintf(out, "  %-*s  %s\n", (int) width, (*c)->name,
                    (*c)->summary);
        }
    }
    for (const plain_command_t *c = plain_commands; c->name != NULL; c++) {
        fprintf(out, "  %-*s  %s\n", (int) width, c->name, c->summary);
    }
    fputs("\nExit status: 0 done, allowed or no difference; 1 denied or "
          "different; 2 error;\n\"audit verify\" has more.\n",
          out);
}


static int
unknown_command(const char *name, const char *const *names, size_t count)
{
    const char *nearest = conf_nearest(slice_of(name), names, count);

    if (nearest != NULL) {
        fail(NULL, "unknown command \"%s\"; did you mean \"%s\"?", name,
             nearest);
    } else {
        fail(NULL, "unknown command \"%s\"", name);
    }
    fputs("See \"sekisho help\".\n", stderr);
    return STATUS_ERROR;
}


/* The second word of "policy explain". */
static const command_t *
find_command(const group_t *group, const char *name)
{
    for (const command_t *const *c = group->commands; *c != NULL; c++) {
        if (strcmp((*c)->name + strlen(group->name) + 1, name) == 0) {
            return *c;
        }
    }
    return NULL;
}


/* The commands of a group, for `sekisho policy` and `sekisho help policy`. */
static void
print_group(FILE *out, const group_t *group)
{
    size_t size = strlen(group->name);

    fprintf(out, "usage: sekisho %s COMMAND [ARGUMENT]... [OPTION]...\n\n",
            group->name);
    for (const command_t *const *c = group->commands; *c != NULL; c++) {
        fprintf(out, "  %-10s  %s\n", (*c)->name + size + 1, (*c)->summary);
    }
    fprintf(out, "\nSee \"sekisho help %s COMMAND\".\n", group->name);
}


static int
run_group(const group_t *group, int argc, char **argv)
{
    const char *names[NAMES_MAX];
    size_t count = 0, size = strlen(group->name);
    const command_t *command;

    if (argc < 2) {
        print_group(stderr, group);
        return STATUS_ERROR;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_group(stdout, group);
        return STATUS_OK;
    }
    command = find_command(group, argv[1]);
    if (command != NULL) {
        return command_run(command, argc - 1, argv + 1);
    }
    for (const command_t *const *c = group->commands;
         *c != NULL && count < NAMES_MAX; c++)
    {
        names[count++] = (*c)->name + size + 1;
    }
    return unknown_command(argv[1], names, count);
}


static int run(int argc, char **argv);


/* `help policy explain` is `policy explain --help`. */
static int
run_help(int argc, char **argv)
{
    char option[] = "--help";
    char *words[4] = {argv[0]};
    int count = 1;

    if (argc == 1) {
        print_commands(stdout);
        return STATUS_OK;
    }
    if (argc > 3) {
        return fail("help", "one argument too many: \"%s\"", argv[3]);
    }
    if (strcmp(argv[1], "help") == 0 || argv[1][0] == '-') {
        print_commands(stdout);
        return STATUS_OK;
    }
    for (int i = 1; i < argc; i++) {
        words[count++] = argv[i];
    }
    words[count++] = option;
    return run(count, words);
}


static int
run(int argc, char **argv)
{
    const char *names[NAMES_MAX] = {"help"};
    size_t count = 1;

    if (argc < 2) {
        print_commands(stderr);
        return STATUS_ERROR;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_commands(stdout);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("sekisho " SEKISHO_VERSION);
        return STATUS_OK;
    }
    if (strcmp(argv[1], "help") == 0) {
        return run_help(argc - 1, argv + 1);
    }
    for (const group_t *group = groups; group->name != NULL; group++) {
        if (strcmp(argv[1], group->name) == 0) {
            return run_group(group, argc - 1, argv + 1);
        }
        names[count++] = group->name;
    }
    for (const plain_command_t *c = plain_commands; c->name != NULL; c++) {
        if (strcmp(argv[1], c->name) == 0) {
            return c->main(argc - 1, argv + 1);
        }
        names[count++] = c->name;
    }
    return unknown_command(argv[1], names, count);
}


/*
 * A standard descriptor that the caller closed must not become that of a file
 * we open.  Reading gives an end of file, writing an error, which is told.
 */
static int
hold_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDONLY);
        if (fd < 0) {
            return -errno;
        }
    } while (fd <= STDERR_FILENO);
    (void) close(fd);
    return 0;
}


int
main(int argc, char **argv)
{
    int status;

    if (hold_standard_descriptors() < 0) {
        return STATUS_ERROR;
    }
    /* A line at a time: a message is made of many pieces. */
    (void) setvbuf(stderr, NULL, _IOLBF, BUFSIZ);
    /* A reader that went away is an error like any other of writing. */
    (void) signal(SIGPIPE, SIG_IGN);
    (void) setlocale(LC_CTYPE, "");

    status = run(argc, argv);

    if (fflush(stdout) != 0 || ferror(stdout) != 0 || fclose(stdout) != 0) {
        status = fail(NULL, "the output could not be written: %s",
                      errno == 0 ? "write error" : strerror(errno));
    }
    return status;
}
