#define _GNU_SOURCE
#include "unit.h"

#include <errno.h>
#include <unistd.h>

#include "../../lib/base/conf.h"
#include "printed.h"

/* The tree as one line: "name word {name;}", quoted words in "". */
static void
write_tree(FILE *out, const conf_directive_t *first)
{
    const conf_directive_t *stack[CONF_DEPTH_MAX + 1];
    unsigned depth = 0;

    stack[0] = first;
    for (;;) {
        const conf_directive_t *directive = stack[depth];

        if (directive == NULL) {
            if (depth == 0) {
                return;
            }
            depth--;
            (void) fputc('}', out);
            stack[depth] = stack[depth]->next;
            continue;
        }
        for (uint32_t i = 0; i < directive->words_count; i++) {
            const conf_word_t *word = &directive->words[i];

            (void) fprintf(out, "%s%s%.*s%s", i == 0 ? "" : " ",
                           word->quoted ? "\"" : "", SLICE_ARG(word->text),
                           word->quoted ? "\"" : "");
        }
        if (directive->block) {
            (void) fputc('{', out);
            stack[++depth] = directive->children;
        } else {
            (void) fputc(';', out);
            stack[depth] = directive->next;
        }
    }
}

/* Parses, and compares the tree and what was told. */
static void
assert_parsed(slice_t text, int result, const char *tree, const char *told)
{
    report_t *report = report_new();
    conf_t *conf = conf_new(report);
    conf_directive_t *first;
    char *found = NULL;
    size_t size;
    FILE *out = open_memstream(&found, &size);
    char *messages;

    assert_non_null(conf);
    assert_non_null(out);
    assert_int_equal(conf_parse_text(conf, "f", text, &first), result);
    write_tree(out, first);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(found, tree);
    messages = printed(report);
    assert_string_equal(messages, told);
    free(messages);
    free(found);
    conf_free(conf);
}

static void
assert_tree(const char *text, const char *tree)
{
    assert_parsed(slice_of(text), 0, tree, "");
}

static void
reads_words_blocks_and_comments(void **state)
{
    (void) state;
    assert_tree("# all\na b  c;d{e f;g{}} # end\nh\n;# i;\n",
                "a b c;d{e f;g{}}h;");
    assert_tree("", "");
    assert_tree("# nothing", "");
    assert_tree("a b#c;", "a b#c;"); /* as in nginx: inside a word it is none */
}

static void
reads_quotes_and_escapes_as_nginx_does(void **state)
{
    (void) state;
    assert_tree("a \"b; {c}\" 'd \"e\"' \"\";",
                "a \"b; {c}\" \"d \"e\"\" \"\";");
    assert_tree("a \"b \\\"c\\\" \\\\ \\t|\";", "a \"b \"c\" \\ \t|\";");
    assert_tree("a b\\;c CORP\\\\x \\d;", "a b\\;c CORP\\x \\d;");
    assert_tree("a b\"c;", "a b\"c;");
}

static void
accepts_crlf_and_a_byte_order_mark(void **state)
{
    (void) state;
    assert_tree("\xef\xbb\xbf"
                "a b;\r\nc\td;\r\n",
                "a b;c d;");
}

static void
places_are_lines_and_characters(void **state)
{
    static const char text[] = "\xef\xbb\xbf"
                               "a \xe9\x9d\x92\xe8\x91\x89 b;\n"
                               "  c \"\xe9\x9d\x92\" d;\n";
    report_t *report = report_new();
    conf_t *conf = conf_new(report);
    conf_directive_t *first;
    report_place_t place;

    (void) state;
    assert_int_equal(conf_parse_text(conf, "f", SLICE(text), &first), 0);
    place = conf_place(first, 2);
    assert_string_equal(place.file, "f");
    assert_int_equal(place.line, 1);
    assert_int_equal(place.column, 6);
    place = conf_place(first->next, 2);
    assert_int_equal(place.line, 2);
    assert_int_equal(place.column, 9);
    /* a word that is not there: the directive's own place */
    assert_int_equal(conf_place(first->next, 7).column, 3);
    conf_free(conf);
    report_free(report);
}

static void
tells_where_a_semicolon_is_missing(void **state)
{
    (void) state;
    assert_parsed(SLICE("a {\n  b c\n}\nd e"), -EINVAL, "a{b c;}d e;",
                  "f:2:5: error: \";\" is missing after \"c\", before the "
                  "\"}\": add it\n"
                  "f:4:3: error: \";\" is missing after \"e\", at the end of "
                  "the file: add it\n");
    assert_parsed(SLICE("a { b}"), -EINVAL, "a{b;}",
                  "f:1:5: error: \";\" is missing after \"b\", before the "
                  "\"}\": add it\n");
}

static void
tells_of_braces_without_a_partner(void **state)
{
    (void) state;
    assert_parsed(SLICE("a;\n}\nb c {\n d;\n"), -EINVAL, "a;b c{d;}",
                  "f:2:1: error: \"}\" closes nothing: delete it, or is its "
                  "\"{\" missing?\n"
                  "f:3:1: error: the block of \"b c\" is never closed: add "
                  "\"}\"\n");
    assert_parsed(SLICE(";\n{ a { b; } c; }\nd;"), -EINVAL, "d;",
                  "f:1:1: error: \";\" without a directive: delete it\n"
                  "f:2:1: error: \"{\" without a directive: write the "
                  "directive's name before it\n");
}

static void
an_open_quotation_mark_does_not_swallow_the_file(void **state)
{
    (void) state;
    assert_parsed(SLICE("a \"b;\nc 'd' ;\n"), -EINVAL, "a \"b\";c \"d\";",
                  "f:1:3: error: the quotation mark opened here is not closed "
                  "on its line: add \"\n");
    assert_parsed(SLICE("a 'b'c;"), -EINVAL, "a \"b\" c;",
                  "f:1:6: error: a space is missing after the closing "
                  "quotation mark: add it, or write \\' for a quotation mark "
                  "inside\n");
    assert_parsed(SLICE("a \"b\\"), -EINVAL, "a \"b\\\";",
                  "f:1:3: error: the quotation mark opened here is not closed "
                  "on its line: add \"\n"
                  "f:1:3: error: \";\" is missing after \"b\\\", at the end of "
                  "the file: add it\n");
}

/* What a Japanese input method and a word processor put in. */
static void
names_characters_that_look_like_ascii(void **state)
{
    (void) state;
    assert_parsed(SLICE("a\xe3\x80\x80"
                        "b\xef\xbc\x9b c \xe2\x80\x9c"
                        "d e\xe2\x80\x9d;"),
                  -EINVAL, "a b;c \"d e\";",
                  "f:1:2: error: a full-width space (U+3000): type the ASCII "
                  "space (\" \")\n"
                  "f:1:4: error: a full-width semicolon (U+FF1B): type the "
                  "ASCII ;\n"
                  "f:1:8: error: a curly quotation mark (U+201C): type the "
                  "ASCII \"\n");
    assert_parsed(SLICE("a \xef\xbd\x9b b; \xef\xbd\x9d"), -EINVAL, "a{b;}",
                  "f:1:3: error: a full-width brace (U+FF5B): type the ASCII "
                  "{\n"
                  "f:1:8: error: a full-width brace (U+FF5D): type the ASCII "
                  "}\n");
    /* inside quotes they are text */
    assert_tree("a \"\xe3\x80\x80\xef\xbc\x9b\";",
                "a \"\xe3\x80\x80\xef\xbc\x9b\";");
}

static void
refuses_what_is_no_text(void **state)
{
    (void) state;
    assert_parsed((slice_t){"a;\nb\0;", 6}, -EILSEQ, "",
                  "f:2:2: error: a NUL byte: this is no text file; save it as "
                  "plain text in UTF-8\n");
    /* Shift_JIS, whose second byte can be a backslash */
    assert_parsed(SLICE("a \x83\x5c;"), -EILSEQ, "",
                  "f:1:3: error: byte 0x83 is no UTF-8: save the file as "
                  "UTF-8\n");
    /* overlong, a surrogate, beyond U+10FFFF, cut off */
    assert_parsed(SLICE("\xc0\xaf"), -EILSEQ, "",
                  "f:1:1: error: byte 0xc0 is no UTF-8: save the file as "
                  "UTF-8\n");
    assert_parsed(SLICE("\xed\xa0\x80"), -EILSEQ, "",
                  "f:1:1: error: byte 0xed is no UTF-8: save the file as "
                  "UTF-8\n");
    assert_parsed(SLICE("\xf4\x90\x80\x80"), -EILSEQ, "",
                  "f:1:1: error: byte 0xf4 is no UTF-8: save the file as "
                  "UTF-8\n");
    assert_parsed(SLICE("a\xe9\x9d"), -EILSEQ, "",
                  "f:1:2: error: byte 0xe9 is no UTF-8: save the file as "
                  "UTF-8\n");
}

/* A directional override or a lone CR makes a comment look like a line. */
static void
refuses_characters_that_hide(void **state)
{
    (void) state;
    assert_parsed(SLICE("# x\ra;\n# \xe2\x80\xae\nb;"), -EINVAL, "b;",
                  "f:1:4: error: control character U+000D: delete it\n"
                  "f:2:3: error: invisible character U+202E: delete it\n");
    assert_parsed(SLICE("a\x1b[2J;"), -EINVAL, "a\x1b[2J;",
                  "f:1:2: error: control character U+001B: delete it\n");
}

static void
bounds_the_depth_of_blocks(void **state)
{
    char text[64];
    size_t size = 0;

    (void) state;
    for (int i = 0; i < CONF_DEPTH_MAX + 2; i++) {
        text[size++] = 'a';
        text[size++] = '{';
    }
    memset(text + size, '}', CONF_DEPTH_MAX + 2);
    size += CONF_DEPTH_MAX + 2;
    memcpy(text + size, "b;", 2);
    size += 2;
    assert_parsed((slice_t){text, size}, -EINVAL, "a{a{a{a{a{a{a{a{}}}}}}}}b;",
                  "f:1:18: error: blocks inside blocks, deeper than 8: is a "
                  "\"}\" missing above?\n");
}

static void
bounds_the_size_of_a_word(void **state)
{
    static char text[CONF_WORD_SIZE_MAX + 8];
    report_t *report = report_new();
    conf_t *conf = conf_new(report);
    conf_directive_t *first;
    char *messages;

    (void) state;
    memset(text, 'x', sizeof(text));
    /* a character over the bound's edge is dropped whole */
    memcpy(text + CONF_WORD_SIZE_MAX - 1, "\xe9\x9d\x92;", 4);
    assert_int_equal(conf_parse_text(conf, "f",
                                     (slice_t){text, CONF_WORD_SIZE_MAX + 3},
                                     &first),
                     -EINVAL);
    assert_int_equal(first->words[0].text.size, CONF_WORD_SIZE_MAX - 1);
    messages = printed(report);
    assert_string_equal(messages,
                        "f:1:1: error: a word of 4098 bytes: at most 4096 are "
                        "allowed; is a quotation mark or a space missing?\n");
    free(messages);
    conf_free(conf);
}

static void
bounds_the_number_of_files(void **state)
{
    report_t *report = report_new();
    conf_t *conf = conf_new(report);
    conf_directive_t *first;

    (void) state;
    for (int i = 0; i < CONF_FILES_MAX; i++) {
        assert_int_equal(conf_parse_text(conf, "f", SLICE("a;"), &first), 0);
    }
    assert_int_equal(conf_parse_text(conf, "g", SLICE("a;"), &first), -E2BIG);
    assert_null(first);
    assert_string_equal(report_text(report, 0),
                        "\"g\" is one file too many: at most 64 are read; put "
                        "some together");
    conf_free(conf);
    report_free(report);
}

static void
a_file_that_cannot_be_read_is_told_where_it_is_named(void **state)
{
    report_place_t place = {"top.conf", 7, 9};
    report_t *report = report_new();
    conf_t *conf = conf_new(report);
    conf_directive_t *first;
    char *messages;

    (void) state;
    assert_int_equal(conf_parse_file(conf, "/nonexistent/x", &place, &first),
                     -ENOENT);
    assert_int_equal(conf_parse_file(conf, "/", NULL, &first), -EISDIR);
    messages = printed(report);
    assert_string_equal(messages,
                        "top.conf:7:9: error: cannot read \"/nonexistent/x\": "
                        "No such file or directory\n"
                        "/: error: cannot read \"/\": Is a directory\n");
    free(messages);
    conf_free(conf);
}

static void
reads_a_file(void **state)
{
    char path[] = "/tmp/sekisho-conf-XXXXXX";
    int fd = mkstemp(path);
    report_t *report = report_new();
    conf_t *conf = conf_new(report);
    conf_directive_t *first;

    (void) state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a b;", 4), 4);
    assert_int_equal(close(fd), 0);
    assert_int_equal(conf_parse_file(conf, path, NULL, &first), 0);
    assert_string_equal(first->file, path);
    assert_int_equal(first->words_count, 2);
    assert_int_equal(unlink(path), 0);
    conf_free(conf);
    report_free(report);
}

static void
a_million_words_on_one_line_take_no_quadratic_time(void **state)
{
    const size_t count = 1000000;
    char *text = malloc(count * 2 + 1);
    report_t *report = report_new();
    conf_t *conf = conf_new(report);
    conf_directive_t *first;

    (void) state;
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        memcpy(text + i * 2, "a ", 2);
    }
    text[count * 2] = ';';
    assert_int_equal(
        conf_parse_text(conf, "f", (slice_t){text, count * 2 + 1}, &first), 0);
    assert_int_equal(first->words_count, count);
    assert_int_equal(conf_place(first, (uint32_t) count - 1).column,
                     count * 2 - 1);
    free(text);
    conf_free(conf);
    report_free(report);
}

static void
quotes_text_for_messages(void **state)
{
    char buffer[CONF_QUOTE_MAX];
    char long_text[200];

    (void) state;
    assert_string_equal(conf_quote(SLICE("a\x1b\xff\xe9\x9d\x92"), buffer),
                        "a\\x1b\\xff\xe9\x9d\x92");
    memset(long_text, 'x', sizeof(long_text));
    (void) conf_quote((slice_t){long_text, sizeof(long_text)}, buffer);
    assert_int_equal(strlen(buffer), 63);
    assert_string_equal(buffer + 57, "xxx...");
    memset(long_text, '\xff', sizeof(long_text));
    (void) conf_quote((slice_t){long_text, sizeof(long_text)}, buffer);
    assert_int_equal(strlen(buffer), 60 * 4 + 3);
    assert_string_equal(conf_quote((slice_t){NULL, 0}, buffer), "");
}

static void
finds_the_nearest_word(void **state)
{
    static const char *const words[] = {"network", "name",  "mode",
                                        "users",   "valid", "via"};
    const size_t count = sizeof(words) / sizeof(words[0]);
    char long_word[70];

    (void) state;
    assert_string_equal(conf_nearest(SLICE("netwrok"), words, count),
                        "network");
    assert_string_equal(conf_nearest(SLICE("USER"), words, count), "users");
    assert_string_equal(conf_nearest(SLICE("vai"), words, count), "via");
    assert_string_equal(conf_nearest(SLICE("mode"), words, count), "mode");
    assert_null(conf_nearest(SLICE("holiday"), words, count));
    assert_null(conf_nearest(SLICE("x"), words, count));
    assert_null(conf_nearest(SLICE(""), words, count));
    memset(long_word, 'x', sizeof(long_word));
    assert_null(
        conf_nearest((slice_t){long_word, sizeof(long_word)}, words, count));
}

UNIT_TESTS(
    cmocka_unit_test(reads_words_blocks_and_comments),
    cmocka_unit_test(reads_quotes_and_escapes_as_nginx_does),
    cmocka_unit_test(accepts_crlf_and_a_byte_order_mark),
    cmocka_unit_test(places_are_lines_and_characters),
    cmocka_unit_test(tells_where_a_semicolon_is_missing),
    cmocka_unit_test(tells_of_braces_without_a_partner),
    cmocka_unit_test(an_open_quotation_mark_does_not_swallow_the_file),
    cmocka_unit_test(names_characters_that_look_like_ascii),
    cmocka_unit_test(refuses_what_is_no_text),
    cmocka_unit_test(refuses_characters_that_hide),
    cmocka_unit_test(bounds_the_depth_of_blocks),
    cmocka_unit_test(bounds_the_size_of_a_word),
    cmocka_unit_test(bounds_the_number_of_files),
    cmocka_unit_test(a_file_that_cannot_be_read_is_told_where_it_is_named),
    cmocka_unit_test(reads_a_file),
    cmocka_unit_test(a_million_words_on_one_line_take_no_quadratic_time),
    cmocka_unit_test(quotes_text_for_messages),
    cmocka_unit_test(finds_the_nearest_word))
