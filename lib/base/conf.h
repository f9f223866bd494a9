/*
 * Text in nginx's syntax -> a tree of directives with their places.
 *
 * Shared by every configuration of the suite.  Words, 'single' and "double"
 * quotes with \-escapes as in nginx, # comments, `;` and `{ }`.  No variables,
 * no regular expressions.  `include` is an ordinary directive here; a language
 * that has it calls conf_parse_file() for it, which keeps one bound on depth
 * and total size.
 */

#ifndef SEKISHO_BASE_CONF_H
#define SEKISHO_BASE_CONF_H

#include <stdint.h>

#include "report.h"
#include "slice.h"

typedef struct conf_s conf_t;
typedef struct conf_directive_s conf_directive_t;

typedef struct {
    slice_t text;    /* quotes and escapes are gone */
    uint32_t line;   /* from 1 */
    uint32_t column; /* from 1, in characters */
    bool quoted;
} conf_word_t;

struct conf_directive_s {
    const char *file;
    conf_word_t *words; /* words[0] is the name */
    uint32_t words_count;
    bool block;                 /* ended by { … }, not by ; */
    conf_directive_t *children; /* first directive inside the block */
    conf_directive_t *next;     /* its sibling */
};

/* Bounds: more is an error that names the place. */
#define CONF_FILE_SIZE_MAX (256u * 1024 * 1024) /* bytes, all files together */
#define CONF_DEPTH_MAX     8                    /* of blocks */
#define CONF_WORD_SIZE_MAX 4096                 /* bytes */
#define CONF_FILES_MAX     64

/* Owns all memory of all trees parsed with it.  NULL when out of memory. */
conf_t *conf_new(report_t *report);
void conf_free(conf_t *conf);

/*
 * Parses one file (at `place`, if included from there) or one text under the
 * name `file`, and returns its first directive through *first (NULL if it is
 * empty).  0, or a negative errno after an error was added to the report; what
 * could be parsed is in the tree all the same, so that later errors of the
 * same file can be told in the same go.  The text is copied.
 */
int conf_parse_file(conf_t *conf, const char *path, const report_place_t *place,
                    conf_directive_t **first);
int conf_parse_text(conf_t *conf, const char *file, slice_t text,
                    conf_directive_t **first);

/* Memory that lives as long as `conf`, zeroed, for what a language makes of the
 * tree.  NULL when out of memory. */
void *conf_alloc(conf_t *conf, size_t size);

/* The place of a word, of words[0] if there is no such word. */
report_place_t conf_place(const conf_directive_t *directive, uint32_t word);

/*
 * A person's text as it may stand in a message: at most 60 characters, then
 * "..."; control characters and bytes that are no UTF-8 as \xhh.  Returns
 * `buffer`.
 */
#define CONF_QUOTE_MAX 256
const char *conf_quote(slice_t text, char buffer[CONF_QUOTE_MAX]);

/* The candidate nearest to a misspelt word, or NULL if none is near enough. */
const char *conf_nearest(slice_t word, const char *const *candidates,
                         size_t count);

#endif
