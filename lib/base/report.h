/*
 * Errors and warnings about a text that a person wrote: each names the place
 * and the cure.  All of a file are collected, then printed in one go.
 */

#ifndef SEKISHO_BASE_REPORT_H
#define SEKISHO_BASE_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "slice.h"

typedef enum { REPORT_WARNING = 1, REPORT_ERROR } report_level_t;

/* A place in a file.  `file` lives as long as the report. */
typedef struct {
    const char *file;
    uint32_t line;   /* from 1; 0: the file as a whole */
    uint32_t column; /* in characters (UTF-8), from 1; 0: the whole line */
} report_place_t;

typedef struct report_s report_t;

/* At most this many messages are kept; the others are only counted. */
#define REPORT_MESSAGES_MAX 200

/* NULL when out of memory.  Freed by report_free(), which takes NULL. */
report_t *report_new(void);
void report_free(report_t *report);

/* printf-like; the text is one line: "what is wrong: what to write instead". */
void report_add(report_t *report, report_level_t level, report_place_t place,
                const char *format, ...) __attribute__((format(printf, 4, 5)));

unsigned report_errors(const report_t *report);
unsigned report_warnings(const report_t *report);

/* Sorted by file in order of appearance, line and column, one a line:
 * "facilities.conf:12:5: error: …". */
void report_print(report_t *report, FILE *out);

/* Message i in the order of adding, or NULL: for tests and for nginx's log. */
const char *report_text(const report_t *report, unsigned i);

#endif
