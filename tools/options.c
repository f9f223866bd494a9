/* The one option parser, and the help text made from the same tables. */

#include "tools.h"

#include "../lib/base/conf.h"

#define HELP_COLUMNS 79

static const option_t help_option = {"--help", NULL, "Print this text."};


static void
print_usage(const command_t *command, FILE *out)
{
    fprintf(out, "usage: sekisho %s", command->name);
    if (command->arguments[0] != '\0') {
        fprintf(out, " %s", command->arguments);
    }
    if (command->options[0].name != NULL) {
        fputs(" [OPTION]...", out);
    }
    fputc('\n', out);
}


static int
usage_error(const command_t *command)
{
    print_usage(command, stderr);
    fprintf(stderr, "See \"sekisho %s --help\".\n", command->name);
    return STATUS_ERROR;
}


static size_t
option_count(const command_t *command)
{
    size_t count = 0;

    while (command->options[count].name != NULL) {
        count++;
    }
    return count;
}


/* Index of the option in the table, or -1. */
static int
option_find(const command_t *command, slice_t name)
{
    for (int i = 0; command->options[i].name != NULL; i++) {
        if (slice_is(name, command->options[i].name)) {
            return i;
        }
    }
    return -1;
}


static int
unknown_option(const command_t *command, slice_t name)
{
    const char *names[OPTIONS_MAX + 1];
    size_t count = option_count(command);
    const char *nearest;

    for (size_t i = 0; i < count; i++) {
        names[i] = command->options[i].name;
    }
    names[count++] = help_option.name;
    nearest = conf_nearest(name, names, count);
    if (nearest != NULL) {
        fail(command->name, "unknown option \"%.*s\"; did you mean \"%s\"?",
             SLICE_ARG(name), nearest);
    } else {
        fail(command->name, "unknown option \"%.*s\"", SLICE_ARG(name));
    }
    return usage_error(command);
}


/* Whether the command's list of words has it. */
static bool
is_repeatable(const command_t *command, const option_t *option)
{
    const char *list = command->repeatable;
    size_t size = strlen(option->name);

    while (list != NULL && *list != '\0') {
        size_t word = strcspn(list, " ");

        if (word == size && memcmp(list, option->name, size) == 0) {
            return true;
        }
        list += word + (list[word] == ' ');
    }
    return false;
}


/* Takes argv[*i], and its value if that stands in the next word. */
static int
take_option(const command_t *command, int argc, char **argv, int *i,
            arguments_t *arguments)
{
    slice_t name = slice_of(argv[*i]);
    const char *value;
    const char *equals = strchr(argv[*i], '=');
    const option_t *option;
    int index;

    if (equals != NULL) {
        name.size = (size_t) (equals - argv[*i]);
    }
    index = option_find(command, name);
    if (index < 0) {
        return unknown_option(command, name);
    }
    option = &command->options[index];
    if (arguments->values[index] != NULL && !is_repeatable(command, option)) {
        fail(command->name, "%s is given twice", option->name);
        return usage_error(command);
    }
    if (option->value == NULL) {
        if (equals != NULL) {
            fail(command->name, "%s takes no value", option->name);
            return usage_error(command);
        }
        value = "";
    } else if (equals != NULL) {
        value = equals + 1;
    } else if (*i + 1 < argc) {
        value = argv[++*i];
    } else {
        fail(command->name, "%s needs a value: %s", option->name,
             option->value);
        return usage_error(command);
    }
    if (arguments->values[index] == NULL) {
        arguments->values[index] = value;
    } else if (arguments->repeats_count < REPEATS_MAX) {
        arguments->repeats[arguments->repeats_count].option = index;
        arguments->repeats[arguments->repeats_count++].value = value;
    } else {
        fail(command->name, "%s is given too often", option->name);
        return usage_error(command);
    }
    return STATUS_OK;
}


int
command_run(const command_t *command, int argc, char **argv)
{
    arguments_t arguments = {.command = command};
    bool options_end = false;

    /* Before anything else, so that it helps in any state of the line. */
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            command_help(command, stdout);
            return STATUS_OK;
        }
    }
    for (int i = 1; i < argc; i++) {
        if (!options_end && strcmp(argv[i], "--") == 0) {
            options_end = true;
        } else if (!options_end && argv[i][0] == '-' && argv[i][1] != '\0') {
            if (take_option(command, argc, argv, &i, &arguments) != STATUS_OK) {
                return STATUS_ERROR;
            }
        } else if (arguments.count < command->arguments_max) {
            arguments.arguments[arguments.count++] = argv[i];
        } else {
            fail(command->name, "one argument too many: \"%s\"", argv[i]);
            return usage_error(command);
        }
    }
    if (arguments.count < command->arguments_min) {
        fail(command->name, "an argument is missing: %s", command->arguments);
        return usage_error(command);
    }
    return command->run(&arguments);
}


const char *
option_value(const arguments_t *arguments, const char *name)
{
    int index = option_find(arguments->command, slice_of(name));

    return index < 0 ? NULL : arguments->values[index];
}


const char *
option_nth(const arguments_t *arguments, const char *name, unsigned nth)
{
    int index = option_find(arguments->command, slice_of(name));

    if (index < 0 || nth == 0) {
        return index < 0 ? NULL : arguments->values[index];
    }
    for (unsigned i = 0; i < arguments->repeats_count; i++) {
        if (arguments->repeats[i].option == index && --nth == 0) {
            return arguments->repeats[i].value;
        }
    }
    return NULL;
}


/* One line's worth of words: the bytes that fit, and where the next begins. */
static size_t
wrap_at(const char *text, size_t columns, size_t *next)
{
    size_t end = 0, last_space = 0;

    while (text[end] != '\0' && text[end] != '\n' && end <= columns) {
        if (text[end] == ' ') {
            last_space = end;
        }
        end++;
    }
    if (text[end] == '\0' || text[end] == '\n') {
        if (end <= columns) {
            *next = text[end] == '\n' ? end + 1 : end;
            return end;
        }
    }
    if (last_space == 0) { /* a word longer than the line: leave it whole */
        while (text[end] != '\0' && text[end] != ' ' && text[end] != '\n') {
            end++;
        }
        last_space = end;
    }
    *next = text[last_space] == '\0' ? last_space : last_space + 1;
    return last_space;
}


static void
print_wrapped_from(FILE *out, unsigned indent, bool first, const char *text)
{
    while (*text != '\0') {
        size_t next;
        size_t size = wrap_at(text, HELP_COLUMNS - indent, &next);

        fprintf(out, "%*s%.*s\n", first || size == 0 ? 0 : (int) indent, "",
                (int) size, text);
        first = false;
        text += next;
    }
}


void
print_wrapped(FILE *out, unsigned indent, const char *text)
{
    print_wrapped_from(out, indent, false, text);
}


static void
print_option(FILE *out, const option_t *option, unsigned indent)
{
    int used = fprintf(out, "  %s%s%s", option->name,
                       option->value == NULL ? "" : " ",
                       option->value == NULL ? "" : option->value);

    if (used < 0) {
        return; /* told when the output is closed */
    }
    if ((unsigned) used + 2 <= indent) {
        fprintf(out, "%*s", (int) indent - used, "");
        print_wrapped_from(out, indent, true, option->help);
    } else {
        fputc('\n', out);
        print_wrapped_from(out, indent, false, option->help);
    }
}


void
command_help(const command_t *command, FILE *out)
{
    unsigned indent = 0;

    print_usage(command, out);
    fputc('\n', out);
    print_wrapped(out, 0, command->summary);
    if (command->details != NULL) {
        fputc('\n', out);
        print_wrapped(out, 0, command->details);
    }
    fputs("\nOptions:\n", out);
    for (const option_t *option = command->options; option->name != NULL;
         option++) {
        size_t width = strlen(option->name) + 4;

        if (option->value != NULL) {
            width += strlen(option->value) + 1;
        }
        if (width <= 28 && width > indent) {
            indent = (unsigned) width;
        }
    }
    if (indent < 12) {
        indent = 12;
    }
    for (const option_t *option = command->options; option->name != NULL;
         option++) {
        print_option(out, option, indent);
    }
    print_option(out, &help_option, indent);
}
