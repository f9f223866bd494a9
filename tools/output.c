/* Output for people: styles on a terminal, text that cannot act on it. */

#define _GNU_SOURCE
#include "tools.h"

#include <errno.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>

#include "../lib/base/wipe.h"

/* Text of one character, escaped or not, with the NUL: "\u{10ffff}". */
#define CHARACTER_TEXT_MAX 12


bool
output_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}


/*
 * Where the locale says nothing ("C"), the terminal is nearly always UTF-8
 * and a name is worth more than caution; in any other it is not, and bytes of
 * UTF-8 might be control characters there.
 */
static bool
passes_utf8(void)
{
    return output_utf8() || strcmp(nl_langinfo(CODESET), "ANSI_X3.4-1968") == 0;
}


const char *
output_mark(const char *utf8, const char *ascii)
{
    return output_utf8() ? utf8 : ascii;
}


static bool
has_styles(FILE *out)
{
    const char *no_color = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    if (no_color != NULL && no_color[0] != '\0') {
        return false;
    }
    if (terminal == NULL || strcmp(terminal, "dumb") == 0) {
        return false;
    }
    return isatty(fileno(out)) == 1;
}


const char *
style_on(FILE *out, style_t style)
{
    if (style == STYLE_NONE || !has_styles(out)) {
        return "";
    }
    switch (style) {
    case STYLE_BOLD:
        return "\033[1m";
    case STYLE_GOOD:
        return "\033[32m";
    case STYLE_BAD:
        return "\033[31m";
    case STYLE_WARN:
        return "\033[33m";
    case STYLE_DIM:
        return "\033[2m";
    default:
        return "";
    }
}


const char *
style_off(FILE *out, style_t style)
{
    return style_on(out, style)[0] == '\0' ? "" : "\033[0m";
}


void
print_styled(FILE *out, style_t style, const char *text)
{
    fprintf(out, "%s%s%s", style_on(out, style), text, style_off(out, style));
}


/* Decodes the sequence at the start (RFC 3629); 0 if it is none. */
static size_t
utf8_decode(slice_t text, uint32_t *character)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *bytes = (const unsigned char *) text.data;
    size_t length = bytes[0] < 0x80                        ? 1
                    : bytes[0] >= 0xc0 && bytes[0] < 0xe0  ? 2
                    : bytes[0] >= 0xe0 && bytes[0] < 0xf0  ? 3
                    : bytes[0] >= 0xf0 && bytes[0] <= 0xf4 ? 4
                                                           : 0;

    if (length == 0 || length > text.size) {
        return 0;
    }
    *character = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
        *character = *character << 6 | (bytes[i] & 0x3fu);
    }
    if (*character < least[length] || *character > 0x10ffff ||
        (*character >= 0xd800 && *character <= 0xdfff))
    {
        return 0;
    }
    return length;
}


/*
 * Control characters, and those that turn or hide what stands beside them: what
 * the policy language refuses, and a few more.
 */
static bool
is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200b ||
           c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffb) || c >= 0xe0000;
}


size_t
character_size(slice_t text, bool *safe)
{
    uint32_t c = 0;
    size_t length = utf8_decode(text, &c);

    *safe = length > 0 && !is_unsafe(c);
    return length == 0 ? 1 : length;
}


static size_t
character_width(uint32_t c)
{
    if ((c >= 0x300 && c <= 0x36f) || c == 0x200c || c == 0x200d ||
        (c >= 0x3099 && c <= 0x309a) || (c >= 0xfe00 && c <= 0xfe0f))
    {
        return 0; /* combine with the one before */
    }
    if ((c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
        (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
        (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
        (c >= 0xffe0 && c <= 0xffe6) || (c >= 0x1f300 && c <= 0x1faff) ||
        (c >= 0x20000 && c <= 0x3fffd))
    {
        return 2; /* East Asian, full width */
    }
    return 1;
}


/* The next character as it is to be written; returns the bytes it came from. */
static size_t
safe_character(slice_t text, char out[CHARACTER_TEXT_MAX], size_t *width)
{
    uint32_t c = 0;
    size_t length = utf8_decode(text, &c);
    int written;

    if (length == 0) {
        written = snprintf(out, CHARACTER_TEXT_MAX, "\\x%02x",
                           (unsigned char) text.data[0]);
        *width = (size_t) written;
        return 1;
    }
    if (is_unsafe(c) || (c >= 0x80 && !passes_utf8())) {
        written = snprintf(out, CHARACTER_TEXT_MAX,
                           c < 0x80 ? "\\x%02x" : "\\u{%x}", c);
        *width = (size_t) written;
        return length;
    }
    memcpy(out, text.data, length);
    out[length] = '\0';
    *width = character_width(c);
    return length;
}


void
print_safe(FILE *out, slice_t text)
{
    while (text.size > 0) {
        char character[CHARACTER_TEXT_MAX];
        size_t width;

        text = slice_from(text, safe_character(text, character, &width));
        fputs(character, out);
    }
}


size_t
safe_width(slice_t text)
{
    size_t total = 0;

    while (text.size > 0) {
        char character[CHARACTER_TEXT_MAX];
        size_t width;

        text = slice_from(text, safe_character(text, character, &width));
        total += width;
    }
    return total;
}


void
print_padded(FILE *out, slice_t text, size_t width)
{
    size_t used = safe_width(text);

    print_safe(out, text);
    if (used < width) {
        fprintf(out, "%*s", (int) (width - used), "");
    }
}


int
fail(const char *command, const char *format, ...)
{
    _cleanup_(cleanup_free) char *text = NULL;
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vasprintf(&text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "sekisho%s%s: ", command == NULL ? "" : " ",
            command == NULL ? "" : command);
    if (size < 0) {
        text = NULL;
        fputs("out of memory\n", stderr);
        return STATUS_ERROR;
    }
    print_safe(stderr, slice_of(text));
    fputc('\n', stderr);
    return STATUS_ERROR;
}


void
print_report(report_t *report)
{
    _cleanup_(cleanup_free) char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    const char *line = text;

    if (memory == NULL) {
        report_print(report, stderr);
        return;
    }
    report_print(report, memory);
    if (fclose(memory) != 0) {
        report_print(report, stderr);
        return;
    }
    for (line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");

        print_safe(stderr, (slice_t){line, length});
        fputc('\n', stderr);
        line += line[length] == '\n' ? length + 1 : length;
    }
}


int
print_json(const char *command, slice_t json)
{
    if (json.size == 0) {
        return fail(command, "out of memory");
    }
    while (json.size > 0) {
        uint32_t c = 0;
        size_t size = utf8_decode(json, &c);

        /* such a character stands inside a string: \u is the same to it */
        if (size == 0 || json.data[0] == '\n' || !is_unsafe(c)) {
            size = size == 0 ? 1 : size;
            fwrite(json.data, 1, size, stdout);
        } else if (c < 0x10000) {
            printf("\\u%04x", c);
        } else {
            printf("\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                   0xdc00 + ((c - 0x10000) & 0x3ff));
        }
        json = slice_from(json, size);
    }
    fputc('\n', stdout);
    return STATUS_OK; /* what could not be written is told by main */
}
