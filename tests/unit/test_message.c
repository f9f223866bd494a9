#include "unit.h"

#include <stdlib.h>

#include "../../lib/base/endian.h"
#include "../../lib/ipc/message.h"

static void
hello_comes_back(void **state)
{
    uint8_t bytes[64];
    message_t message;
    message_hello_t hello = {.front = {1, 2, 3, 4, 5, 6, 7, 8, 9},
                             .source = SLICE("nginx")};
    message_hello_t back;
    size_t size = message_write_hello(bytes, sizeof(bytes), 41, &hello);

    (void) state;
    assert_int_equal(message_parse(bytes, size, &message), MESSAGE_OK);
    assert_int_equal(message.number, 41);
    assert_true(message_parse_hello(&message, &back));
    assert_memory_equal(back.front, hello.front, MESSAGE_FRONT_SIZE);
    assert_true(slice_is(back.source, "nginx"));
}

static void
hello_refuses_strange_sources(void **state)
{
    static const char *const bad[] = {"", "Nginx", "a b", "x\n",
                                      "abcdefghijklmnopq"};
    uint8_t bytes[64];

    (void) state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        message_hello_t hello = {.source = slice_of(bad[i])};

        assert_int_equal(message_write_hello(bytes, sizeof(bytes), 0, &hello),
                         0);
    }
}

static void
every_damage_of_the_head_has_its_own_answer(void **state)
{
    uint8_t good[32], bytes[32];
    message_t message;
    size_t size = message_write(good, sizeof(good), MESSAGE_ACK, 7, "x", 1);

    (void) state;
    assert_int_equal(size, MESSAGE_HEAD_SIZE + 1);
    assert_int_equal(message_parse(good, size, &message), MESSAGE_OK);
    assert_int_equal(message_parse(good, size - 1, &message), MESSAGE_BAD_SIZE);
    assert_int_equal(message_parse(good, 3, &message), MESSAGE_BAD_SIZE);
    memcpy(bytes, good, size);
    bytes[0] = 'X';
    assert_int_equal(message_parse(bytes, size, &message), MESSAGE_BAD_MAGIC);
    memcpy(bytes, good, size);
    bytes[2] = MESSAGE_VERSION + 1;
    assert_int_equal(message_parse(bytes, size, &message), MESSAGE_BAD_VERSION);
    memcpy(bytes, good, size);
    bytes[3] = MESSAGE_TYPES;
    assert_int_equal(message_parse(bytes, size, &message), MESSAGE_BAD_TYPE);
    bytes[3] = 0;
    assert_int_equal(message_parse(bytes, size, &message), MESSAGE_BAD_TYPE);
}

static void
a_batch_holds_what_fits_and_comes_back_in_order(void **state)
{
    uint8_t bytes[256];
    message_batch_t batch;
    message_t message;
    record_t record = {0};
    size_t offset = 0;
    unsigned added = 0, seen = 0;
    char text[40];

    (void) state;
    memset(text, 'x', sizeof(text));
    message_batch_begin(&batch, bytes, sizeof(bytes), 100);
    for (;;) {
        record.values[RECORD_ID] = (slice_t){text, 30 + added};
        if (!message_batch_add(&batch, &record)) {
            break;
        }
        added++;
    }
    assert_true(added >= 5);
    assert_int_equal(message_parse(bytes, message_batch_end(&batch), &message),
                     MESSAGE_OK);
    assert_int_equal(message.number, 100);
    while (message_next_record(&message, &offset, &record) == 1) {
        assert_int_equal(record.values[RECORD_ID].size, 30 + seen);
        seen++;
    }
    assert_int_equal(seen, added);
}

static void
an_empty_batch_is_no_message(void **state)
{
    uint8_t bytes[MESSAGE_HEAD_SIZE];
    message_batch_t batch;
    record_t record = {.values = {[RECORD_ID] = SLICE("a")}};

    (void) state;
    message_batch_begin(&batch, bytes, sizeof(bytes), 1);
    assert_false(message_batch_add(&batch, &record));
    assert_int_equal(message_batch_end(&batch), 0);
    message_batch_begin(&batch, bytes, 3, 1);
    assert_false(message_batch_add(&batch, &record));
    assert_int_equal(message_batch_end(&batch), 0);
}

static void
the_largest_record_fits_alone(void **state)
{
    uint8_t *bytes = malloc(MESSAGE_SIZE_MAX);
    char *text = calloc(1, 100000);
    message_batch_t batch;
    record_t record = {0};

    (void) state;
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        record.values[i] = (slice_t){text, 100000};
    }
    message_batch_begin(&batch, bytes, MESSAGE_SIZE_MAX, 1);
    assert_true(message_batch_add(&batch, &record));
    assert_true(message_batch_end(&batch) <= MESSAGE_SIZE_MAX);
    free(text);
    free(bytes);
}

static void
records_cut_anywhere_are_no_records(void **state)
{
    uint8_t bytes[256];
    message_batch_t batch;
    message_t message;
    record_t record = {.values = {[RECORD_ID] = SLICE("abc")}};
    size_t size;

    (void) state;
    message_batch_begin(&batch, bytes, sizeof(bytes), 1);
    assert_true(message_batch_add(&batch, &record));
    size = message_batch_end(&batch);
    for (size_t cut = MESSAGE_HEAD_SIZE + 1; cut < size; cut++) {
        size_t offset = 0;

        store_be32(bytes + 4, (uint32_t) (cut - MESSAGE_HEAD_SIZE));
        assert_int_equal(message_parse(bytes, cut, &message), MESSAGE_OK);
        assert_int_equal(message_next_record(&message, &offset, &record), -1);
    }
}

static void
news_come_back(void **state)
{
    static const message_type_t types[] = {MESSAGE_WELCOME, MESSAGE_ACK};
    uint8_t bytes[64];
    message_t message;
    message_news_t news = {.review_due = INT64_C(1790000000)}, back;

    (void) state;
    for (size_t i = 0; i < 2; i++) {
        size_t size = message_write_news(bytes, sizeof(bytes), types[i], 41,
                                         &news);

        assert_int_equal(message_parse(bytes, size, &message), MESSAGE_OK);
        assert_int_equal(message.type, types[i]);
        assert_int_equal(message.number, 41);
        memset(&back, 0, sizeof(back));
        assert_true(message_parse_news(&message, &back));
        assert_int_equal(back.review_due, news.review_due);
    }
    assert_int_equal(
        message_write_news(bytes, MESSAGE_HEAD_SIZE, MESSAGE_ACK, 41, &news),
        0);
}

/* An older daemon says nothing, a newer one may say more. */
static void
news_are_optional_and_may_grow(void **state)
{
    static const char longer[] = "\0\0\0\0\0\0\0\007and more";
    uint8_t bytes[64];
    message_t message;
    message_news_t news = {.review_due = 1};

    (void) state;
    for (size_t size = 0; size < 8; size++) {
        size_t all = message_write(bytes, sizeof(bytes), MESSAGE_ACK, 1, longer,
                                   size);

        assert_int_equal(message_parse(bytes, all, &message), MESSAGE_OK);
        assert_false(message_parse_news(&message, &news));
    }
    assert_int_equal(
        message_parse(bytes,
                      message_write(bytes, sizeof(bytes), MESSAGE_WELCOME, 1,
                                    longer, sizeof(longer)),
                      &message),
        MESSAGE_OK);
    assert_true(message_parse_news(&message, &news));
    assert_int_equal(news.review_due, 7);
}

/* The reason of a refusal is no date, nor is one before 1970. */
static void
what_is_no_news_is_not_taken_for_it(void **state)
{
    uint8_t bytes[64];
    message_t message;
    message_news_t news = {.review_due = 5};

    (void) state;
    assert_int_equal(
        message_parse(bytes,
                      message_write(bytes, sizeof(bytes), MESSAGE_REFUSED, 1,
                                    "disk is full", 12),
                      &message),
        MESSAGE_OK);
    assert_false(message_parse_news(&message, &news));
    assert_int_equal(news.review_due, 5);
    news.review_due = -1;
    assert_int_equal(message_parse(bytes,
                                   message_write_news(bytes, sizeof(bytes),
                                                      MESSAGE_ACK, 1, &news),
                                   &message),
                     MESSAGE_OK);
    assert_true(message_parse_news(&message, &news));
    assert_int_equal(news.review_due, 0);
}

UNIT_TESTS(cmocka_unit_test(hello_comes_back), cmocka_unit_test(news_come_back),
           cmocka_unit_test(news_are_optional_and_may_grow),
           cmocka_unit_test(what_is_no_news_is_not_taken_for_it),
           cmocka_unit_test(hello_refuses_strange_sources),
           cmocka_unit_test(every_damage_of_the_head_has_its_own_answer),
           cmocka_unit_test(a_batch_holds_what_fits_and_comes_back_in_order),
           cmocka_unit_test(an_empty_batch_is_no_message),
           cmocka_unit_test(the_largest_record_fits_alone),
           cmocka_unit_test(records_cut_anywhere_are_no_records))
