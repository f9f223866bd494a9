/* Words are found eight bytes at a time; here against a search that is not. */

#include "unit.h"

#include <string.h>
#include <strings.h>

#include "../../lib/dicom/dicom_internal.h"

typedef struct {
    const char *text;
    dicom_word_t word;
} known_t;

#define KNOWN(name, text) {text, WORD_##name},
static const known_t known[] = {DICOM_WORDS(KNOWN)};
#undef KNOWN

/* Case does not count, nor spaces and dots at the end. */
static dicom_word_t
plain_search(const char *text, size_t size)
{
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '.')) {
        size--;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strlen(known[i].text) == size && memchr(text, '\0', size) == NULL &&
            strncasecmp(text, known[i].text, size) == 0)
        {
            return known[i].word;
        }
    }
    return WORD_OTHER;
}

/* In memory of exactly that size, so that a sanitizer sees one byte more. */
static dicom_word_t
found(const char *text, size_t size)
{
    char *copy = test_malloc(size + 1);
    dicom_word_t word;

    memcpy(copy + 1, text, size); /* and not at an even address */
    word = dicom_word(copy + 1, size);
    test_free(copy);
    return word;
}

static void
finds_every_word_in_any_case(void **state)
{
    char text[DICOM_WORD_SIZE_MAX + 1];

    (void) state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t size = strlen(known[i].text);

        assert_int_equal(found(known[i].text, size), known[i].word);
        for (unsigned bits = 0; bits < 8; bits++) {
            for (size_t at = 0; at < size; at++) {
                char c = known[i].text[at];

                text[at] = c >= 'a' && c <= 'z' && (bits >> at % 3 & 1) != 0
                               ? (char) (c - ('a' - 'A'))
                               : c;
            }
            assert_int_equal(found(text, size), known[i].word);
        }
    }
}

static void
every_other_byte_in_a_word_makes_it_another(void **state)
{
    char text[DICOM_WORD_SIZE_MAX + 1];

    (void) state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t size = strlen(known[i].text);

        for (size_t at = 0; at < size; at++) {
            memcpy(text, known[i].text, size + 1);
            for (unsigned byte = 0; byte < 256; byte++) {
                text[at] = (char) byte;
                assert_int_equal(found(text, size), plain_search(text, size));
            }
        }
    }
}

static void
the_start_of_a_word_and_more_than_it_are_others(void **state)
{
    char text[DICOM_WORD_SIZE_MAX + 3];

    (void) state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t size = strlen(known[i].text);

        memcpy(text, known[i].text, size);
        text[size] = 's';
        text[size + 1] = '.';
        for (size_t cut = 0; cut <= size + 2; cut++) {
            assert_int_equal(found(text, cut), plain_search(text, cut));
        }
    }
}

static void
dots_and_spaces_at_the_end_do_not_count(void **state)
{
    (void) state;
    assert_int_equal(found("studies. .", 10), WORD_STUDIES);
    assert_int_equal(found("UI ", 3), WORD_UI);
    assert_int_equal(found("...", 3), WORD_OTHER);
    assert_int_equal(found(".studies", 8), WORD_OTHER);
}

UNIT_TESTS(cmocka_unit_test(finds_every_word_in_any_case),
           cmocka_unit_test(every_other_byte_in_a_word_makes_it_another),
           cmocka_unit_test(the_start_of_a_word_and_more_than_it_are_others),
           cmocka_unit_test(dots_and_spaces_at_the_end_do_not_count))
