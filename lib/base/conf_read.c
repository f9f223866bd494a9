#define _GNU_SOURCE
#include "conf_internal.h"

#include <errno.h>
#include <stdlib.h>

/* An open block: its directive, and where its next child is linked. */
typedef struct {
    conf_directive_t *directive;
    conf_directive_t **tail;
} level_t;

typedef struct {
    conf_t *conf;
    const char *file;
    char *next; /* byte to look at */
    char *end;  /* holds a NUL */
    uint32_t line;
    /* columns are counted from the last word on, not from the line's start:
     * a line of a million words costs no more than a million lines */
    const char *counted_to;
    uint32_t counted;
    size_t words_count;
    level_t levels[CONF_DEPTH_MAX + 1];
    unsigned depth;
    size_t skipped; /* open blocks inside a block that is not read */
    unsigned errors;
    bool out_of_memory;
} parser_t;

/* What ends a word that is not quoted; bytes above ASCII are looked at, as
 * some are taken for ASCII by people. */
typedef enum { PLAIN = 0, SPACE, SPECIAL, ESCAPE, HIGH } class_t;

static const uint8_t classes[256] = {
    ['\0'] = SPECIAL, [' '] = SPACE,          ['\t'] = SPACE,  ['\r'] = SPACE,
    ['\n'] = SPACE,   [';'] = SPECIAL,        ['{'] = SPECIAL, ['}'] = SPECIAL,
    ['\\'] = ESCAPE,  [0x80 ... 0xff] = HIGH,
};

/* What an input method or a word processor puts in the place of ASCII. */
static const struct {
    const char *bytes;
    char ascii;
    const char *name;
} lookalikes[] = {
    {"\xe3\x80\x80", ' ', "full-width space (U+3000)"},
    {"\xc2\xa0", ' ', "no-break space (U+00A0)"},
    {"\xef\xbc\x9b", ';', "full-width semicolon (U+FF1B)"},
    {"\xef\xbd\x9b", '{', "full-width brace (U+FF5B)"},
    {"\xef\xbd\x9d", '}', "full-width brace (U+FF5D)"},
    {"\xef\xbc\x83", '#', "full-width number sign (U+FF03)"},
    {"\xe2\x80\x9c", '"', "curly quotation mark (U+201C)"},
    {"\xe2\x80\x9d", '"', "curly quotation mark (U+201D)"},
};

/* ---- Places ------------------------------------------------------------- */

/* Column of `at`, which is on the current line and not before the last one
 * asked for. */
static uint32_t
column_of(parser_t *parser, const char *at)
{
    for (const char *p = parser->counted_to; p < at; p++) {
        parser->counted += ((uint8_t) *p & 0xc0) != 0x80;
    }
    parser->counted_to = at;
    return parser->counted;
}

static void
new_line(parser_t *parser, const char *start)
{
    parser->line++;
    parser->counted_to = start;
    parser->counted = 1;
}

static report_place_t
place_here(parser_t *parser)
{
    return (report_place_t){parser->file, parser->line,
                            column_of(parser, parser->next)};
}

#define ERROR(parser, place, ...)                                              \
    do {                                                                       \
        (parser)->errors++;                                                    \
        report_add((parser)->conf->report, REPORT_ERROR, place, __VA_ARGS__);  \
    } while (0)

/* ---- Words -------------------------------------------------------------- */

/* Index of the lookalike at `text`, or -1. */
static int
lookalike_at(const char *text)
{
    for (size_t i = 0; i < sizeof(lookalikes) / sizeof(lookalikes[0]); i++) {
        /* a NUL ends the text: strncmp() stops there */
        if (strncmp(text, lookalikes[i].bytes, strlen(lookalikes[i].bytes)) ==
            0) {
            return (int) i;
        }
    }
    return -1;
}

/* nginx's escapes: \" \' \\ and \t \r \n; another backslash stays one. */
static size_t
unescape(char *text, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (c == '\\' && i + 1 < size) {
            switch (text[i + 1]) {
            case '"':
            case '\'':
            case '\\':
                c = text[++i];
                break;
            case 't':
                c = '\t';
                i++;
                break;
            case 'r':
                c = '\r';
                i++;
                break;
            case 'n':
                c = '\n';
                i++;
                break;
            default:
                break;
            }
        }
        text[used++] = c;
    }
    return used;
}

static void
add_word(parser_t *parser, char *text, size_t size, report_place_t place,
         bool quoted, bool escaped)
{
    conf_t *conf = parser->conf;

    if (parser->skipped > 0 || parser->out_of_memory) {
        return;
    }
    if (escaped) {
        size = unescape(text, size);
    }
    if (size > CONF_WORD_SIZE_MAX) {
        ERROR(parser, place,
              "a word of %zu bytes: at most %u are allowed; is a quotation "
              "mark or a space missing?",
              size, CONF_WORD_SIZE_MAX);
        size = CONF_WORD_SIZE_MAX;
        /* not in the middle of a character */
        while (size > 0 && ((uint8_t) text[size] & 0xc0) == 0x80) {
            size--;
        }
    }
    if (parser->words_count == conf->words_size) {
        size_t wanted = conf->words_size == 0 ? 64 : conf->words_size * 2;
        conf_word_t *words = reallocarray(conf->words, wanted, sizeof(*words));

        if (words == NULL) {
            parser->out_of_memory = true;
            return;
        }
        conf->words = words;
        conf->words_size = wanted;
    }
    conf->words[parser->words_count++] = (conf_word_t){.text = {text, size},
                                                       .line = place.line,
                                                       .column = place.column,
                                                       .quoted = quoted};
}

static void
read_plain_word(parser_t *parser)
{
    report_place_t place = place_here(parser);
    char *start = parser->next;
    char *p = start;
    bool escaped = false;

    for (;;) {
        switch ((class_t) classes[(uint8_t) *p]) {
        case PLAIN:
            p++;
            continue;
        case ESCAPE:
            escaped = true;
            p++;
            /* the line's end and the text's cannot be escaped */
            if (*p != '\n' && p < parser->end) {
                p++;
            }
            continue;
        case HIGH:
            if (lookalike_at(p) < 0) {
                p++;
                continue;
            }
            break;
        case SPACE:
        case SPECIAL:
        default:
            break;
        }
        break;
    }
    parser->next = p;
    add_word(parser, start, (size_t) (p - start), place, false, escaped);
}

/* `close` is the byte that ends it; for a curly mark, NULL says "either". */
static void
read_quoted_word(parser_t *parser, size_t open_size, char close)
{
    report_place_t place = place_here(parser);
    char *start = parser->next + open_size;
    char *p = start;
    size_t close_size = 0;
    bool escaped = false;

    while (p < parser->end && *p != '\n') {
        if (*p == close) {
            close_size = 1;
            break;
        }
        if (open_size > 1 && strncmp(p, "\xe2\x80\x9d", 3) == 0) {
            close_size = 3;
            break;
        }
        if (*p == '\\' && p + 1 < parser->end && p[1] != '\n') {
            escaped = true;
            p++;
        }
        p++;
    }
    if (close_size == 0) {
        /* The statement's end is most likely on this line, and the rest of
         * the file must not be swallowed. */
        ERROR(parser, place,
              "the quotation mark opened here is not closed on its line: add "
              "%c",
              close);
        while (p > start && (classes[(uint8_t) p[-1]] == SPACE)) {
            p--;
        }
        if (p > start && p[-1] == ';') {
            p--;
        }
    }
    parser->next = p + close_size;
    add_word(parser, start, (size_t) (p - start), place, true, escaped);

    if (close_size != 0 && parser->next < parser->end) {
        char c = *parser->next;

        if (classes[(uint8_t) c] != SPACE && c != ';' && c != '{' && c != '}' &&
            lookalike_at(parser->next) < 0)
        {
            ERROR(parser, place_here(parser),
                  "a space is missing after the closing quotation mark: add "
                  "it, or write \\%c for a quotation mark inside",
                  close);
        }
    }
}

/* ---- Directives --------------------------------------------------------- */

/* "; is missing" at the end of the word before. */
static void
report_missing_end(parser_t *parser, const char *before)
{
    const conf_word_t *last = &parser->conf->words[parser->words_count - 1];
    char quote[CONF_QUOTE_MAX];

    ERROR(parser, ((report_place_t){parser->file, last->line, last->column}),
          "\";\" is missing after \"%s\"%s: add it",
          conf_quote(last->text, quote), before);
}

static void
end_directive(parser_t *parser, bool block)
{
    conf_t *conf = parser->conf;
    conf_directive_t *directive;
    level_t *level = &parser->levels[parser->depth];
    size_t size = parser->words_count * sizeof(conf_word_t);

    if (parser->words_count == 0) {
        ERROR(parser, place_here(parser), "\"%s\" without a directive: %s",
              block ? "{" : ";",
              block ? "write the directive's name before it" : "delete it");
        parser->skipped += block ? 1 : 0;
        return;
    }
    if (block && parser->depth == CONF_DEPTH_MAX) {
        ERROR(parser, place_here(parser),
              "blocks inside blocks, deeper than %u: is a \"}\" missing "
              "above?",
              CONF_DEPTH_MAX);
        parser->skipped++;
        parser->words_count = 0;
        return;
    }
    directive = conf_alloc(conf, sizeof(*directive));
    if (directive != NULL) {
        directive->words = conf_alloc(conf, size);
    }
    if (directive == NULL || directive->words == NULL) {
        parser->out_of_memory = true;
        return;
    }
    memcpy(directive->words, conf->words, size);
    directive->words_count = (uint32_t) parser->words_count;
    directive->file = parser->file;
    directive->block = block;
    parser->words_count = 0;

    *level->tail = directive;
    level->tail = &directive->next;
    if (block) {
        parser->depth++;
        parser->levels[parser->depth] = (level_t){directive,
                                                  &directive->children};
    }
}

static void
close_block(parser_t *parser)
{
    if (parser->skipped > 0) {
        parser->skipped--;
        return;
    }
    if (parser->words_count > 0) {
        report_missing_end(parser, ", before the \"}\"");
        end_directive(parser, false);
    }
    if (parser->depth == 0) {
        ERROR(parser, place_here(parser),
              "\"}\" closes nothing: delete it, or is its \"{\" missing?");
        return;
    }
    parser->depth--;
}

static void
end_text(parser_t *parser)
{
    if (parser->words_count > 0) {
        report_missing_end(parser, ", at the end of the file");
        end_directive(parser, false);
    }
    for (unsigned i = parser->depth; i > 0; i--) {
        const conf_directive_t *open = parser->levels[i].directive;
        char name[CONF_QUOTE_MAX], id[CONF_QUOTE_MAX];

        ERROR(parser, conf_place(open, 0),
              "the block of \"%s%s%s\" is never closed: add \"}\"",
              conf_quote(open->words[0].text, name),
              open->words_count > 1 ? " " : "",
              open->words_count > 1 ? conf_quote(open->words[1].text, id) : "");
    }
}

/* One step at what is no blank; `size` bytes stand for the character `c`. */
static void
read_token(parser_t *parser, char c, size_t size)
{
    switch (c) {
    case ';':
        if (parser->skipped == 0) {
            end_directive(parser, false);
        }
        parser->next += size;
        break;
    case '{':
        if (parser->skipped > 0) {
            parser->skipped++;
        } else {
            end_directive(parser, true);
        }
        parser->next += size;
        break;
    case '}':
        close_block(parser);
        parser->next += size;
        break;
    case '#':
        parser->next = memchr(parser->next, '\n',
                              (size_t) (parser->end - parser->next));
        if (parser->next == NULL) {
            parser->next = parser->end;
        }
        break;
    case '"':
    case '\'':
        read_quoted_word(parser, size, c);
        break;
    case ' ':
        parser->next += size;
        break;
    default:
        read_plain_word(parser);
        break;
    }
}

static void
parse(parser_t *parser)
{
    while (parser->next < parser->end && !parser->out_of_memory) {
        char c = *parser->next;
        int lookalike;

        switch ((class_t) classes[(uint8_t) c]) {
        case SPACE:
            parser->next++;
            if (c == '\n') {
                new_line(parser, parser->next);
            }
            break;
        case HIGH:
            lookalike = lookalike_at(parser->next);
            if (lookalike < 0) {
                read_plain_word(parser);
                break;
            }
            c = lookalikes[lookalike].ascii;
            ERROR(parser, place_here(parser), "a %s: type the ASCII %s%c%s",
                  lookalikes[lookalike].name, c == ' ' ? "space (\"" : "", c,
                  c == ' ' ? "\")" : "");
            read_token(parser, c, strlen(lookalikes[lookalike].bytes));
            break;
        case PLAIN:
        case SPECIAL:
        case ESCAPE:
        default:
            read_token(parser, c, 1);
            break;
        }
    }
    if (!parser->out_of_memory) {
        end_text(parser);
    }
}

int
conf_read(conf_t *conf, const char *file, char *text, size_t size,
          conf_directive_t **first)
{
    parser_t parser = {.conf = conf, .file = file, .line = 1, .counted = 1};
    size_t start = 0;

    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
        start = 3; /* a byte order mark, as some editors put it */
    }
    parser.next = text + start;
    parser.end = text + size;
    parser.counted_to = parser.next;
    parser.levels[0].tail = first;
    if (!conf_check_text(conf->report, file,
                         (slice_t){parser.next, size - start}, &parser.errors))
    {
        return -EILSEQ;
    }
    parse(&parser);
    if (parser.out_of_memory) {
        ERROR(&parser, ((report_place_t){file, 0, 0}), "out of memory");
        return -ENOMEM;
    }
    return parser.errors > 0 ? -EINVAL : 0;
}
