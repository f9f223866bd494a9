/*
 * What the sub-commands of `sekisho` share: options, exit status, output.
 *
 * A group of sub-commands is a table of command_t; the parser, the help text
 * and the list of commands are made from it.
 */

#ifndef SEKISHO_TOOLS_H
#define SEKISHO_TOOLS_H

#include <stdint.h>
#include <stdio.h>

#include "../lib/base/json.h"
#include "../lib/base/report.h"
#include "../lib/base/slice.h"

/* Exit status of every sub-command. */
#define STATUS_OK    0 /* done; allowed; no difference */
#define STATUS_NO    1 /* denied; different */
#define STATUS_ERROR 2 /* could not be done, or could not be written */

/* ---- Options (options.c) ------------------------------------------------ */

#define OPTIONS_MAX   24
#define ARGUMENTS_MAX 4
#define REPEATS_MAX   64 /* of options that may be given several times */

typedef struct {
    const char *name;  /* "--user" */
    const char *value; /* what the help calls it: "NAME"; NULL: a switch */
    const char *help;  /* one sentence or a few; wrapped when printed */
} option_t;

typedef struct command_s command_t;

typedef struct {
    const command_t *command;
    const char *values[OPTIONS_MAX]; /* as command->options; NULL: not given */
    const char *arguments[ARGUMENTS_MAX];
    unsigned count; /* of arguments */
    struct {
        int option; /* index in command->options */
        const char *value;
    } repeats[REPEATS_MAX]; /* the second value of an option, and so on */
    unsigned repeats_count;
} arguments_t;

struct command_s {
    const char *name;      /* "policy explain" */
    const char *arguments; /* "ADDRESS", for the usage line; "" if none */
    unsigned arguments_min;
    unsigned arguments_max;
    const char *summary;     /* one line, for lists */
    const char *details;     /* paragraphs parted by "\n\n"; or NULL */
    const option_t *options; /* ended by a NULL name; --help is implied */
    const char *repeatable;  /* "--key --checkpoint": may be given again */
    int (*run)(const arguments_t *arguments); /* gives the exit status */
};

/*
 * Parses argv[1] … argv[argc - 1] by the command's table and runs it, or
 * prints its help if --help is among them, or says what is wrong and how the
 * command is used.  Returns the exit status.
 */
int command_run(const command_t *command, int argc, char **argv);

/* The help text of one command. */
void command_help(const command_t *command, FILE *out);

/* The value of an option ("" for a switch), or NULL if it was not given. */
const char *option_value(const arguments_t *arguments, const char *name);

/* The value given as number `nth`, from 0, of a repeatable option, or NULL. */
const char *option_nth(const arguments_t *arguments, const char *name,
                       unsigned nth);

static inline bool
option_given(const arguments_t *arguments, const char *name)
{
    return option_value(arguments, name) != NULL;
}

/* Argument i, or NULL. */
static inline const char *
argument(const arguments_t *arguments, unsigned i)
{
    return i < arguments->count ? arguments->arguments[i] : NULL;
}

/* Text wrapped at 79 columns, each line indented; "\n" begins a new one. */
void print_wrapped(FILE *out, unsigned indent, const char *text);

/* ---- Output (output.c) -------------------------------------------------- */

typedef enum {
    STYLE_NONE = 0,
    STYLE_BOLD,
    STYLE_GOOD, /* green */
    STYLE_BAD,  /* red */
    STYLE_WARN, /* yellow */
    STYLE_DIM
} style_t;

/* Whether the locale's characters are UTF-8; main has called setlocale(). */
bool output_utf8(void);

/* "…" in UTF-8, else the ASCII. */
const char *output_mark(const char *utf8, const char *ascii);

/*
 * Sequences that begin and end a style; "" where `out` is no terminal, or
 * NO_COLOR or TERM=dumb says so.
 */
const char *style_on(FILE *out, style_t style);
const char *style_off(FILE *out, style_t style);

/* One word or sentence in a style. */
void print_styled(FILE *out, style_t style, const char *text);

/*
 * Text that somebody else wrote: control characters, bidirectional overrides
 * and bytes that are no UTF-8 are written as \xNN or \u{N}, so that a name
 * cannot act on the terminal.
 */
void print_safe(FILE *out, slice_t text);

/* Bytes of the first character of a text that is not empty; whether
 * print_safe() leaves it as it is where the locale is UTF-8. */
size_t character_size(slice_t text, bool *safe);

/* Columns that print_safe() takes. */
size_t safe_width(slice_t text);

/* print_safe(), and spaces up to `width` columns. */
void print_padded(FILE *out, slice_t text, size_t width);

/*
 * "sekisho COMMAND: text" on standard error, made safe; `command` may be NULL.
 * Returns STATUS_ERROR, so that it can be returned in the same breath.
 */
int fail(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The report on standard error, made safe. */
void print_report(report_t *report);

static inline void
cleanup_report(report_t **report)
{
    report_free(*report);
}

static inline void
cleanup_json(json_t *json)
{
    json_free(json);
}

/* A JSON text and a newline on standard output.  STATUS_OK or STATUS_ERROR. */
int print_json(const char *command, slice_t json);

/* ---- Groups of commands ------------------------------------------------- */

/* Ended by NULL. */
extern const command_t *const policy_commands[];
extern const command_t *const trail_commands[];
extern const command_t *const audit_commands[];
extern const command_t *const otp_commands[];
extern const command_t *const doctor_commands[];

/* argv[0] is "classify"; takes --help; returns the exit status. */
int cmd_classify(int argc, char **argv);

#endif
