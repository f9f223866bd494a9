/* Between the conf*.c files alone. */

#ifndef SEKISHO_BASE_CONF_INTERNAL_H
#define SEKISHO_BASE_CONF_INTERNAL_H

#include "conf.h"

typedef struct conf_chunk_s conf_chunk_t;

struct conf_chunk_s {
    conf_chunk_t *next;
    size_t used; /* bytes behind the header */
    size_t size;
};

typedef struct conf_text_s conf_text_t;

struct conf_text_s {
    conf_text_t *next;
    char *data; /* malloc'ed; words point into it */
};

struct conf_s {
    report_t *report;
    conf_chunk_t *chunks; /* the one in use first */
    conf_text_t *texts;
    size_t bytes; /* of all texts */
    unsigned files;
    conf_word_t *words; /* of the directive being read */
    size_t words_size;
};

/*
 * Length in bytes of the UTF-8 character at `text` (RFC 3629) and its code
 * point; 0 if there is none.
 */
size_t conf_utf8(slice_t text, uint32_t *code);

/*
 * Reports what is no text before a word of it is looked at: bytes that are no
 * UTF-8, NUL, control characters and invisible ones.  Returns false if it is
 * no use to go on (another encoding, a binary file); `*errors` is counted up.
 */
bool conf_check_text(report_t *report, const char *file, slice_t text,
                     unsigned *errors);

/* conf_read.c: `text` has `size` bytes and a NUL behind them; words point into
 * it, and escapes are taken out of it. */
int conf_read(conf_t *conf, const char *file, char *text, size_t size,
              conf_directive_t **first);

#endif
