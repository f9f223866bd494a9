/* Lines of the daemon's lists: flat JSON objects of our own writer. */

#define _GNU_SOURCE
#include "otp_tools.h"

bool
line_next(slice_t *text, slice_t *line)
{
    const char *end;

    if (text->size == 0) {
        return false;
    }
    end = memchr(text->data, '\n', text->size);
    *line = (slice_t){text->data,
                      end == NULL ? text->size : (size_t) (end - text->data)};
    *text = slice_from(*text, line->size + (end == NULL ? 0 : 1));
    return true;
}


static unsigned
hex_digit(char c)
{
    return (unsigned) (c <= '9' ? c - '0' : (c | 32) - 'a' + 10) & 15;
}


/* The writer escapes quotes, backslashes and control characters alone. */
static slice_t
unescape(slice_t text, char *buffer, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < text.size && text.data[i] != '"'; i++) {
        char c = text.data[i];

        if (c == '\\' && i + 1 < text.size) {
            c = text.data[++i];
            if (c == 'u' && i + 4 < text.size) {
                c = (char) (hex_digit(text.data[i + 3]) << 4 |
                            hex_digit(text.data[i + 4]));
                i += 4;
            } else {
                c = c == 'n'   ? '\n'
                    : c == 't' ? '\t'
                    : c == 'r' ? '\r'
                    : c == 'b' ? '\b'
                    : c == 'f' ? '\f'
                               : c;
            }
        }
        if (used == size) {
            return (slice_t){"", 0};
        }
        buffer[used++] = c;
    }
    return (slice_t){buffer, used};
}


slice_t
line_value(slice_t line, const char *name, char *buffer, size_t size)
{
    char needle[64];
    int length = snprintf(needle, sizeof(needle), "\"%s\":", name);
    const char *found = memmem(line.data, line.size, needle, (size_t) length);
    slice_t rest;
    size_t end = 0;

    /* in a value the quote before a name would be escaped */
    if (found == NULL || found == line.data || found[-1] == '\\') {
        return (slice_t){"", 0};
    }
    rest = slice_from(line, (size_t) (found - line.data) + (size_t) length);
    if (rest.size > 0 && rest.data[0] == '"') {
        return unescape(slice_from(rest, 1), buffer, size);
    }
    while (end < rest.size && rest.data[end] != ',' && rest.data[end] != '}') {
        end++;
    }
    rest.size = end;
    return slice_is(rest, "null") ? (slice_t){"", 0} : rest;
}


int
desk_list(desk_t *desk, ask_operation_t operation, slice_t user, line_fn fn,
          void *context)
{
    char after[OTP_USER_MAX];
    slice_t from = {NULL, 0};
    bool more = true;
    int status = STATUS_OK;

    while (more && status == STATUS_OK) {
        ask_t ask = {0}, answer;
        slice_t text, line;

        ask.values[ASK_USER] = user;
        ask.values[ASK_AFTER] = from;
        status = desk_ask(desk, operation, &ask, &answer, false);
        if (status != STATUS_OK) {
            break;
        }
        text = answer.values[ASK_TEXT];
        while (status == STATUS_OK && line_next(&text, &line)) {
            status = fn(context, line);
        }
        from = answer.values[ASK_AFTER];
        more = answer.values[ASK_MORE].size > 0 && from.size > 0 &&
               from.size <= sizeof(after);
        if (more) {
            memcpy(after, from.data, from.size);
            from.data = after;
        }
        client_wipe(desk->client);
    }
    return status;
}
