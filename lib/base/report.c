#define _GNU_SOURCE
#include "report.h"

#include <stdarg.h>
#include <stdlib.h>

#include "wipe.h"

typedef struct {
    report_level_t level;
    unsigned file; /* index of its name */
    unsigned order;
    report_place_t place;
    char *text;
} message_t;

struct report_s {
    message_t messages[REPORT_MESSAGES_MAX];
    unsigned messages_count;
    char **files; /* names in order of appearance, copied */
    unsigned files_count;
    unsigned errors;
    unsigned warnings;
};

report_t *
report_new(void)
{
    return calloc(1, sizeof(report_t));
}

void
report_free(report_t *report)
{
    if (report == NULL) {
        return;
    }
    for (unsigned i = 0; i < report->messages_count; i++) {
        free(report->messages[i].text);
    }
    for (unsigned i = 0; i < report->files_count; i++) {
        free(report->files[i]);
    }
    free(report->files);
    free(report);
}

/* Files may be freed by the parser before the report is printed. */
static bool
intern_file(report_t *report, const char *name, unsigned *index)
{
    char **files;

    for (unsigned i = 0; i < report->files_count; i++) {
        if (strcmp(report->files[i], name) == 0) {
            *index = i;
            return true;
        }
    }
    files = realloc(report->files, (report->files_count + 1) * sizeof(*files));
    if (files == NULL) {
        return false;
    }
    report->files = files;
    files[report->files_count] = strdup(name);
    if (files[report->files_count] == NULL) {
        return false;
    }
    *index = report->files_count++;
    return true;
}

void
report_add(report_t *report, report_level_t level, report_place_t place,
           const char *format, ...)
{
    message_t *message;
    unsigned file;
    va_list arguments;
    char *text = NULL;
    int n;

    /* counted first: out of memory must not turn an error into a success */
    if (level == REPORT_ERROR) {
        report->errors++;
    } else {
        report->warnings++;
    }
    if (report->messages_count == REPORT_MESSAGES_MAX ||
        !intern_file(report, place.file == NULL ? "" : place.file, &file))
    {
        return;
    }
    va_start(arguments, format);
    n = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (n < 0) {
        return;
    }
    message = &report->messages[report->messages_count];
    *message = (message_t){.level = level,
                           .file = file,
                           .order = report->messages_count,
                           .place = place,
                           .text = text};
    message->place.file = NULL;
    report->messages_count++;
}

unsigned
report_errors(const report_t *report)
{
    return report->errors;
}

unsigned
report_warnings(const report_t *report)
{
    return report->warnings;
}

static int
compare(const void *left, const void *right)
{
    const message_t *a = *(const message_t *const *) left;
    const message_t *b = *(const message_t *const *) right;

    if (a->file != b->file) {
        return a->file < b->file ? -1 : 1;
    }
    if (a->place.line != b->place.line) {
        return a->place.line < b->place.line ? -1 : 1;
    }
    if (a->place.column != b->place.column) {
        return a->place.column < b->place.column ? -1 : 1;
    }
    return a->order < b->order ? -1 : 1;
}

/* A file's text may hold anything; a terminal must not act on it. */
static void
print_text(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char) *text;

        if (c < 0x20 || c == 0x7f) {
            (void) fprintf(out, "\\x%02x", c);
        } else {
            (void) fputc(c, out);
        }
    }
}

void
report_print(report_t *report, FILE *out)
{
    message_t *sorted[REPORT_MESSAGES_MAX];
    unsigned count = report->messages_count;
    unsigned told = report->errors + report->warnings;

    for (unsigned i = 0; i < count; i++) {
        sorted[i] = &report->messages[i];
    }
    qsort(sorted, count, sizeof(sorted[0]), compare);
    for (unsigned i = 0; i < count; i++) {
        const message_t *message = sorted[i];
        const char *file = report->files[message->file];

        if (file[0] != '\0') {
            print_text(file, out);
            (void) fputc(':', out);
        }
        if (message->place.line != 0) {
            (void) fprintf(out, "%u:", message->place.line);
            if (message->place.column != 0) {
                (void) fprintf(out, "%u:", message->place.column);
            }
        }
        if (file[0] != '\0' || message->place.line != 0) {
            (void) fputc(' ', out);
        }
        (void) fputs(message->level == REPORT_ERROR ? "error: " : "warning: ",
                     out);
        print_text(message->text, out);
        (void) fputc('\n', out);
    }
    if (told > count) {
        (void) fprintf(out, "and %u more\n", told - count);
    }
}

const char *
report_text(const report_t *report, unsigned i)
{
    return i < report->messages_count ? report->messages[i].text : NULL;
}
