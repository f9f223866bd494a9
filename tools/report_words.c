/* The texts of reports in the reader's language. */

#define _GNU_SOURCE
#include <locale.h>

#include "report.h"

int
words_find(const arguments_t *arguments, words_t *words)
{
    const char *lang = option_value(arguments, "--lang");

    if (lang == NULL) {
        const char *locale = setlocale(LC_MESSAGES, NULL);

        lang = locale != NULL && strncmp(locale, "ja", 2) == 0 ? "ja" : "en";
    }
    if (strcmp(lang, "en") != 0 && strcmp(lang, "ja") != 0) {
        return fail(arguments->command->name,
                    "--lang: \"%s\" is none: write en or ja", lang);
    }
    words->lang = lang[0] == 'j' ? "ja" : "en";
    words->text = report_file_words(lang[0] == 'j');
    return STATUS_OK;
}


/* "key = text" lines; empty ones and those that begin with # are none. */
bool
words_next(slice_t *rest, slice_t *key, slice_t *text)
{
    while (rest->size > 0) {
        const char *end = memchr(rest->data, '\n', rest->size);
        slice_t line = {rest->data,
                        end == NULL ? rest->size : (size_t) (end - rest->data)};
        const char *sign = memmem(line.data, line.size, " = ", 3);

        *rest = slice_from(*rest, line.size + (end == NULL ? 0 : 1));
        if (sign != NULL && line.data[0] != '#') {
            *key = (slice_t){line.data, (size_t) (sign - line.data)};
            *text = slice_from(line, key->size + 3);
            return true;
        }
    }
    return false;
}


slice_t
word(const words_t *words, const char *name)
{
    slice_t rest = words->text, key, text;

    while (words_next(&rest, &key, &text)) {
        if (slice_is(key, name)) {
            return text;
        }
    }
    return slice_of(name);
}


slice_t
word_of(const words_t *words, const char *prefix, slice_t name)
{
    slice_t rest = words->text, key, text;
    size_t size = strlen(prefix);

    while (words_next(&rest, &key, &text)) {
        if (key.size == size + 1 + name.size &&
            memcmp(key.data, prefix, size) == 0 && key.data[size] == '.' &&
            slice_equal(slice_from(key, size + 1), name))
        {
            return text;
        }
    }
    return name;
}


void
words_json(const words_t *words, json_t *json, const char *name)
{
    slice_t rest = words->text, key, text;
    char buffer[64];

    json_object(json, name);
    while (words_next(&rest, &key, &text)) {
        (void) snprintf(buffer, sizeof(buffer), "%.*s", SLICE_ARG(key));
        json_text(json, buffer, text);
    }
    json_end_object(json);
}
