/* audit.db: what is in its tables, and that it is noticed when it is wrong. */

#define _GNU_SOURCE
#include "unit.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../lib/review/index.h"
#include "trail_unit.h"

#define RECORD(id, rest)                                                       \
    "{\"id\":\"" id "\",\"time\":\"2026-11-24T06:09:02.123Z\",\"outcome\":0,"  \
    "\"event\":" rest "}"
#define ID(digit) digit "1234567890abcdef1234567890abcde"

static void
append(trail_unit_t *unit, const char *const *lines, size_t count)
{
    trail_writer_t *writer = access(unit->trail, F_OK) == 0 ? open_writer(unit)
                                                            : new_writer(unit);
    uint64_t first;

    for (size_t i = 0; i < count; i++) {
        slice_t line = slice_of(lines[i]);

        assert_int_equal(trail_writer_append(writer, &line, 1, 0, &first), 0);
    }
    assert_int_equal(trail_writer_close(writer), 0);
}


static trail_reader_t *
reader_of(trail_unit_t *unit)
{
    trail_reader_t *reader;

    assert_int_equal(
        trail_reader_open(unit->trail, NULL, 0, &reader, &unit->problem), 0);
    return reader;
}


static void
path_of(trail_unit_t *unit, char path[80])
{
    (void) snprintf(path, 80, "%.40s/audit.db", unit->folder);
}


static review_index_t *
open_index(trail_unit_t *unit, index_mode_t mode, char error[256])
{
    review_index_t *index;
    char path[80];
    int result;

    path_of(unit, path);
    result = index_open(path, mode, &index, error);
    if (result != 0) {
        fail_msg("%d: %s", result, error);
    }
    return index;
}


/* Takes all in; the index stays open. */
static review_index_t *
updated(trail_unit_t *unit)
{
    char error[256];
    trail_reader_t *reader = reader_of(unit);
    review_index_t *index = open_index(unit, INDEX_WRITE, error);
    uint64_t taken;

    if (index_update(index, reader, 0, NULL, NULL, &taken) != 0) {
        fail_msg("%s", index_strerror(index));
    }
    trail_reader_free(reader);
    return index;
}


/* The one row of a query as text, columns parted by "|". */
static void
assert_row(review_index_t *index, const char *sql, const char *expected)
{
    sqlite3_stmt *statement;
    char row[512] = "";

    if (sqlite3_prepare_v2(index_handle(index), sql, -1, &statement, NULL) !=
        SQLITE_OK)
    {
        fail_msg("%s", sqlite3_errmsg(index_handle(index)));
    }
    while (sqlite3_step(statement) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            const char *text = (const char *) sqlite3_column_text(statement, i);

            (void) strncat(row, row[0] == '\0' ? "" : "|", 2);
            (void) strncat(row, text == NULL ? "-" : text, 100);
        }
    }
    (void) sqlite3_finalize(statement);
    assert_string_equal(row, expected);
}


/* Of the trail that are records. */
static void
assert_entries(review_index_t *index, const char *count)
{
    assert_row(index, "SELECT count(*) FROM events", count);
    assert_row(index, "SELECT " INDEX_RECORDS_FROM("0"), count);
}


static const char *const story[] = {
    RECORD(ID("0"), "\"start\""),
    RECORD(ID("1"), "\"heartbeat\""),
    RECORD(ID("2"), "\"access\",\"user\":\"yamada\",\"study\":\"1.2.3\""),
    RECORD(ID("3"), "\"access\",\"user\":\"sato\",\"study\":\"1.2.4\""),
    RECORD(ID("4"), "\"access-end\",\"user\":\"yamada\","
                    "\"open\":\"" ID("2") "\",\"requests\":25"),
    RECORD(ID("5"), "\"access-end\",\"reason\":\"interrupted\","
                    "\"user\":\"sato\",\"open\":\"" ID("3") "\""),
    RECORD(ID("6"), "\"patient-learned\",\"patient\":\"P1\","
                    "\"study\":\"1.2.3\",\"issuer\":\"H\""),
    "this is no record",
    RECORD(ID("7"), "\"access-joined\",\"open\":\"" ID("8") "\""),
    RECORD(ID("8"), "\"access\",\"user\":\"yamada\",\"study\":\"1.2.3\""),
};

#define STORY (sizeof(story) / sizeof(story[0]))

static void
test_an_opening_and_its_close_are_one_access(void **state)
{
    review_index_t *index;

    append(*state, story, STORY);
    index = updated(*state);
    assert_true(index_size(index) == STORY);
    assert_entries(index, "9");
    assert_row(index, "SELECT count(*), count(closed) FROM access", "3|2");
    assert_row(index,
               "SELECT number, user, study, closed, requests, interrupted, "
               "ended FROM accesses WHERE number = 2",
               "2|yamada|1.2.3|4|25|0|"
               "2026-11-24T06:09:02.123");
    index_close(index);
}


static void
test_accesses_are_in_no_second_table(void **state)
{
    review_index_t *index;

    append(*state, story, STORY);
    index = updated(*state);
    assert_row(index, "SELECT group_concat(number) FROM entry", "0,1,6,8");
    index_close(index);
}


static void
test_events_has_every_record_as_the_trail_has_it(void **state)
{
    review_index_t *index;

    append(*state, story, STORY);
    index = updated(*state);
    assert_row(index,
               "SELECT group_concat(number || event, ' ') FROM "
               "(SELECT number, event FROM events ORDER BY number)",
               "0start 1heartbeat 2access 3access 4access-end 5access-end "
               "6patient-learned 8access-joined 9access");
    assert_row(index,
               "SELECT user, opened, requests, reason FROM events "
               "WHERE number = 4",
               "yamada|2|25|-");
    assert_row(index, "SELECT user, requests, id FROM events WHERE number = 2",
               "yamada|-|" ID("2"));
    assert_row(index, "SELECT reason FROM events WHERE number = 5",
               "interrupted");
    index_close(index);
}


/* A search for what the close says finds it, and it is counted once. */
static void
test_a_close_that_differs_in_another_word_is_in_both_tables(void **state)
{
    static const char *const lines[] = {
        RECORD(ID("0"), "\"access\",\"study\":\"1\",\"address\":\"::1\""),
        RECORD(ID("1"), "\"access-end\",\"study\":\"1\",\"address\":"
                        "\"::2\",\"open\":\"" ID("0") "\""),
    };
    review_index_t *index;

    append(*state, lines, 2);
    index = updated(*state);
    assert_row(index, "SELECT number, closed FROM access", "0|1");
    assert_row(index, "SELECT number, opened FROM entry", "1|0");
    assert_row(index, "SELECT address FROM events ORDER BY number", "::1|::2");
    assert_entries(index, "2");
    index_close(index);
}


#define SERIES   "aaaaaaaa-bbbbbbbb-cccccccc-dddddddd-11111111"
#define INSTANCE "aaaaaaaa-bbbbbbbb-cccccccc-dddddddd-22222222"
#define OF_STUDY "aaaaaaaa-bbbbbbbb-cccccccc-dddddddd-33333333"

#define OPENED_SERIES RECORD(ID("0"), "\"access\",\"series\":\"" SERIES "\"")
#define OPENED_INSTANCE                                                        \
    RECORD(ID("1"), "\"access\",\"instance\":\"" INSTANCE "\"")
#define TOLD_SERIES                                                            \
    RECORD(ID("2"), "\"patient-learned\",\"series\":\"" SERIES                 \
                    "\",\"study\":\"" OF_STUDY "\"")
#define TOLD_INSTANCE                                                          \
    RECORD(ID("3"), "\"patient-learned\",\"series\":\"" SERIES                 \
                    "\",\"instance\":\"" INSTANCE "\"")
#define TOLD_STUDY                                                             \
    RECORD(ID("4"), "\"patient-learned\",\"patient\":\"P1\",\"study\":\""      \
                    "" OF_STUDY "\"")

/* In whatever order it was told. */
static void
test_a_series_and_an_instance_find_their_patient_backwards(void **state)
{
    static const char *const told[][5] = {
        {OPENED_SERIES, OPENED_INSTANCE, TOLD_SERIES, TOLD_INSTANCE,
         TOLD_STUDY},
        {TOLD_STUDY, TOLD_SERIES, TOLD_INSTANCE, OPENED_SERIES,
         OPENED_INSTANCE},
        {OPENED_INSTANCE, TOLD_INSTANCE, OPENED_SERIES, TOLD_STUDY,
         TOLD_SERIES},
        {TOLD_INSTANCE, TOLD_STUDY, OPENED_SERIES, OPENED_INSTANCE,
         TOLD_SERIES},
    };

    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        review_index_t *index;

        trail_unit_stop(state);
        trail_unit_start(state);
        append(*state, told[i], 5);
        index = updated(*state);
        assert_row(index,
                   "SELECT DISTINCT patient, study FROM accesses "
                   "WHERE patient IS NOT NULL",
                   "P1|" OF_STUDY);
        assert_row(index,
                   "SELECT count(*) FROM accesses WHERE patient IS NOT NULL",
                   "2");
        index_close(index);
    }
}


static void
test_parts_that_go_round_in_a_circle_end(void **state)
{
    static const char *const lines[] = {
        TOLD_SERIES,
        RECORD(ID("5"), "\"patient-learned\",\"series\":\"" OF_STUDY
                        "\",\"study\":\"" SERIES "\""),
        TOLD_STUDY,
        OPENED_SERIES,
    };
    review_index_t *index;

    append(*state, lines, 4);
    index = updated(*state);
    assert_row(index, "SELECT patient FROM accesses", "P1");
    index_close(index);
}


static void
test_an_interrupted_access_is_closed_too(void **state)
{
    review_index_t *index;

    append(*state, story, STORY);
    index = updated(*state);
    assert_row(index, "SELECT closed, interrupted FROM access WHERE number = 3",
               "5|1");
    index_close(index);
}


static void
test_a_patient_learned_later_holds_for_earlier_accesses(void **state)
{
    review_index_t *index;

    append(*state, story, STORY);
    index = updated(*state);
    assert_row(index,
               "SELECT group_concat(number), issuer FROM accesses "
               "WHERE patient = 'P1' GROUP BY 2",
               "2,9|H");
    index_close(index);
}


static void
test_an_answer_counts_more_than_a_claim(void **state)
{
    static const char *const lines[] = {
        RECORD(ID("0"), "\"access\",\"patient\":\"CLAIM\",\"study\":\"1\""),
        RECORD(ID("1"), "\"access\",\"patient\":\"SECOND\",\"study\":\"1\""),
        RECORD(ID("2"), "\"access\",\"patient\":\"CLAIM\",\"study\":\"2\""),
        RECORD(ID("3"), "\"patient-learned\",\"patient\":\"A\","
                        "\"study\":\"2\""),
        RECORD(ID("4"), "\"patient-learned\",\"patient\":\"B\","
                        "\"study\":\"2\""),
        RECORD(ID("5"), "\"access\",\"patient\":\"CLAIM\",\"study\":\"2\""),
    };
    review_index_t *index;

    append(*state, lines, sizeof(lines) / sizeof(lines[0]));
    index = updated(*state);
    assert_row(index,
               "SELECT w.text, learned, number FROM study s JOIN word w ON "
               "w.id = s.patient ORDER BY number",
               "CLAIM|0|0|B|1|4");
    index_close(index);
}


static void
test_a_close_without_its_opening_is_an_access(void **state)
{
    static const char *const lines[] = {
        RECORD(ID("0"), "\"start\""),
        RECORD(ID("1"),
               "\"access-end\",\"user\":\"sato\",\"open\":\"" ID("9") "\""),
    };
    review_index_t *index;

    append(*state, lines, 2);
    index = updated(*state);
    assert_row(index, "SELECT number, closed, user FROM accesses", "1|1|sato");
    index_close(index);
}


static void
test_a_close_that_tells_of_another_study_is_an_access_of_its_own(void **state)
{
    static const char *const lines[] = {
        RECORD(ID("0"), "\"access\",\"study\":\"1\""),
        RECORD(ID("1"),
               "\"access-end\",\"study\":\"2\",\"open\":\"" ID("0") "\""),
    };
    review_index_t *index;

    append(*state, lines, 2);
    index = updated(*state);
    assert_row(index, "SELECT study FROM accesses ORDER BY number", "1|2");
    index_close(index);
}


/* One at a time, opened anew: the close finds its opening in the tables. */
static void
test_taken_in_piece_by_piece_it_is_the_same(void **state)
{
    review_index_t *index = NULL;

    for (size_t i = 0; i < STORY; i++) {
        append(*state, story + i, 1);
        index_close(index);
        index = updated(*state);
        assert_true(index_size(index) == i + 1);
    }
    assert_row(index,
               "SELECT group_concat(number || ':' || coalesce(closed, '')) "
               "FROM access",
               "2:4,3:5,9:");
    assert_row(index, "SELECT requests FROM access WHERE number = 2", "25");
    index_close(index);
}


static void
test_most_bounds_what_is_taken(void **state)
{
    trail_reader_t *reader;
    review_index_t *index;
    char error[256];
    uint64_t taken;

    append(*state, story, STORY);
    reader = reader_of(*state);
    index = open_index(*state, INDEX_WRITE, error);
    assert_int_equal(index_update(index, reader, 3, NULL, NULL, &taken), 0);
    assert_true(taken == 3 && index_size(index) == 3);
    assert_int_equal(index_update(index, reader, 0, NULL, NULL, &taken), 0);
    assert_true(taken == STORY - 3);
    assert_int_equal(index_update(index, reader, 0, NULL, NULL, &taken), 0);
    assert_true(taken == 0);
    index_close(index);
    trail_reader_free(reader);
}


static void
test_unsealed_entries_are_taken_in(void **state)
{
    trail_unit_t *unit = *state;
    trail_writer_t *writer = new_writer(unit);
    review_index_t *index;
    uint64_t first;
    slice_t line = slice_of(story[2]);

    assert_int_equal(trail_writer_append(writer, &line, 1, 0, &first), 0);
    index = updated(unit);
    assert_entries(index, "1");
    index_close(index);
    index = updated(unit); /* and the root over them is known again */
    assert_string_equal(index_strerror(index), "");
    assert_entries(index, "1");
    index_close(index);
    assert_int_equal(trail_writer_close(writer), 0);
}


static void
test_a_second_writer_is_refused(void **state)
{
    review_index_t *first, *second;
    char path[80], error[256];

    append(*state, story, STORY);
    first = updated(*state);
    path_of(*state, path);
    assert_int_equal(index_open(path, INDEX_WRITE, &second, error), -EBUSY);
    assert_non_null(strstr(error, "sekishod"));
    assert_null(second);
    index_close(first);
}


static void
test_a_reader_sees_one_state(void **state)
{
    review_index_t *writer, *reader;
    char error[256];

    append(*state, story, 5);
    writer = updated(*state);
    reader = open_index(*state, INDEX_READ, error);
    index_close(writer);
    append(*state, story + 5, STORY - 5);
    writer = updated(*state);
    assert_true(index_size(reader) == 5);
    assert_entries(reader, "5");
    assert_entries(writer, "9");
    index_close(reader);
    index_close(writer);
}


/* As a copy of it is, or one whose writer was killed before it had a log. */
static void
test_without_a_log_who_may_not_write_can_read_it(void **state)
{
    trail_unit_t *unit = *state;
    char folder[80], path[96], odd[96], error[256];
    pid_t child;
    int status;

    append(unit, story, STORY);
    index_close(updated(unit));
    path_of(unit, path);
    (void) snprintf(folder, sizeof(folder), "%.40s/50%%?#", unit->folder);
    (void) snprintf(odd, sizeof(odd), "%s/audit.db", folder);
    assert_int_equal(mkdir(folder, 0755), 0);
    assert_int_equal(rename(path, odd), 0);
    assert_int_equal(chmod(odd, 0444), 0);
    assert_int_equal(chmod(folder, 0555), 0);
    assert_int_equal(chmod(unit->folder, 0755), 0);
    child = fork();
    if (child == 0) {
        review_index_t *index;

        if (geteuid() == 0 && setuid(65534) != 0) {
            _exit(2);
        }
        if (index_open(odd, INDEX_READ, &index, error) != 0) {
            (void) fprintf(stderr, "%s\n", error);
            _exit(1);
        }
        _exit(index_size(index) == STORY ? 0 : 3);
    }
    assert_true(waitpid(child, &status, 0) == child);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(status, 0);
}


static void
test_none_is_told_to_a_reader(void **state)
{
    review_index_t *index;
    char path[80], error[256];

    path_of(*state, path);
    assert_int_equal(index_open(path, INDEX_READ, &index, error), -ENOENT);
    assert_non_null(strstr(error, "audit.db"));
}


/* Writes over the file and opens it again, for writing. */
static void
assert_made_anew(trail_unit_t *unit, off_t offset, const char *bytes,
                 const char *told)
{
    review_index_t *index;
    char path[80], error[256];
    trail_reader_t *reader;
    uint64_t taken;
    int fd;

    append(unit, story, STORY);
    index_close(updated(unit));
    path_of(unit, path);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    for (int i = 0; i < 64; i++) {
        assert_true(pwrite(fd, bytes, strlen(bytes),
                           offset + i * (off_t) strlen(bytes)) > 0);
    }
    (void) close(fd);
    index = open_index(unit, INDEX_WRITE, error);
    assert_non_null(strstr(error, told));
    reader = reader_of(unit);
    assert_int_equal(index_update(index, reader, 0, NULL, NULL, &taken), 0);
    assert_true(taken == STORY);
    trail_reader_free(reader);
    index_close(index);
}


static void
test_a_damaged_one_is_made_anew(void **state)
{
    assert_made_anew(*state, 100, "garbage!", "made anew");
}


static void
test_a_foreign_file_is_set_aside(void **state)
{
    trail_unit_t *unit = *state;
    char path[96];

    assert_made_anew(unit, 0, "these are somebody's words", "set aside");
    (void) snprintf(path, sizeof(path), "%.40s/audit.db.not-ours",
                    unit->folder);
    assert_int_equal(access(path, R_OK), 0);
}


static void
test_another_schema_is_made_anew(void **state)
{
    review_index_t *index;
    char error[256];

    append(*state, story, STORY);
    index = updated(*state);
    assert_int_equal(sqlite3_exec(index_handle(index),
                                  "PRAGMA user_version = 99", NULL, NULL, NULL),
                     SQLITE_OK);
    index_close(index);
    index = open_index(*state, INDEX_WRITE, error);
    assert_non_null(strstr(error, "another version"));
    assert_true(index_size(index) == 0);
    index_close(index);
}


/* The same origin and as many entries, but others. */
static void
test_another_trail_is_noticed(void **state)
{
    trail_unit_t *unit = *state;
    review_index_t *index;
    trail_reader_t *reader;
    char error[256];

    append(unit, story, STORY);
    index_close(updated(unit));
    remove_tree(unit->trail);
    append(unit, story + 1, STORY - 1);
    append(unit, story, STORY);
    index = open_index(unit, INDEX_READ, error);
    reader = reader_of(unit);
    assert_int_equal(index_belongs(index, reader), -ESTALE);
    trail_reader_free(reader);
    index_close(index);
    index = updated(unit);
    assert_non_null(strstr(index_strerror(index), "made anew"));
    assert_true(index_size(index) == 2 * STORY - 1);
    index_close(index);
}


static void
test_a_trail_rolled_back_is_noticed(void **state)
{
    trail_unit_t *unit = *state;
    review_index_t *index;
    char older[80];

    append(unit, story, 4);
    (void) snprintf(older, sizeof(older), "%.40s/older", unit->folder);
    copy_tree(unit->trail, older);
    append(unit, story + 4, STORY - 4);
    index_close(updated(unit));
    copy_tree(older, unit->trail);
    index = updated(unit);
    assert_non_null(strstr(index_strerror(index), "rolled back"));
    assert_true(index_size(index) == 4);
    index_close(index);
}


/* Killed between two commits, it goes on from the last one. */
static void
test_killed_in_the_middle_it_goes_on(void **state)
{
    trail_unit_t *unit = *state;
    review_index_t *index;
    char error[256];
    pid_t child;
    int status;

    append(unit, story, STORY);
    child = fork();
    if (child == 0) {
        trail_reader_t *reader = reader_of(unit);
        uint64_t taken;

        index = open_index(unit, INDEX_WRITE, error);
        (void) index_update(index, reader, 4, NULL, NULL, &taken);
        (void) sqlite3_exec(index_handle(index),
                            "BEGIN; DELETE FROM entry; DELETE FROM access;",
                            NULL, NULL, NULL);
        _exit(0);
    }
    assert_true(waitpid(child, &status, 0) == child && status == 0);
    index = open_index(unit, INDEX_WRITE, error);
    assert_string_equal(error, "");
    assert_true(index_size(index) == 4);
    assert_entries(index, "4");
    index_close(index);
    index = updated(unit);
    assert_entries(index, "9");
    index_close(index);
}


/* The machine stopped: what was not synced is not believed. */
static void
test_after_a_stop_of_the_machine_it_is_made_anew(void **state)
{
    review_index_t *index;
    char error[256];

    append(*state, story, STORY);
    index_close(updated(*state));
    index = open_index(*state, INDEX_WRITE, error);
    assert_true(index_size(index) == STORY);
    index_close(index);
    index = open_index(*state, INDEX_WRITE, error);
    /* as another boot would have left it: closing takes the mark away */
    assert_int_equal(
        sqlite3_exec(index_handle(index),
                     "CREATE TRIGGER keep BEFORE DELETE ON meta BEGIN "
                     "SELECT raise(IGNORE); END;"
                     "UPDATE meta SET value = 1000 WHERE name = 'unsynced'",
                     NULL, NULL, NULL),
        SQLITE_OK);
    index_close(index);
    index = open_index(*state, INDEX_WRITE, error);
    assert_non_null(strstr(error, "the machine stopped"));
    assert_true(index_size(index) == 0);
    index_close(index);
}


int
main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, trail_unit_start, trail_unit_stop)
    const struct CMUnitTest tests[] = {
        TEST(test_an_opening_and_its_close_are_one_access),
        TEST(test_accesses_are_in_no_second_table),
        TEST(test_events_has_every_record_as_the_trail_has_it),
        TEST(test_a_close_that_differs_in_another_word_is_in_both_tables),
        TEST(test_a_series_and_an_instance_find_their_patient_backwards),
        TEST(test_parts_that_go_round_in_a_circle_end),
        TEST(test_an_interrupted_access_is_closed_too),
        TEST(test_a_patient_learned_later_holds_for_earlier_accesses),
        TEST(test_an_answer_counts_more_than_a_claim),
        TEST(test_a_close_without_its_opening_is_an_access),
        TEST(test_a_close_that_tells_of_another_study_is_an_access_of_its_own),
        TEST(test_taken_in_piece_by_piece_it_is_the_same),
        TEST(test_most_bounds_what_is_taken),
        TEST(test_unsealed_entries_are_taken_in),
        TEST(test_a_second_writer_is_refused),
        TEST(test_a_reader_sees_one_state),
        TEST(test_without_a_log_who_may_not_write_can_read_it),
        TEST(test_none_is_told_to_a_reader),
        TEST(test_a_damaged_one_is_made_anew),
        TEST(test_a_foreign_file_is_set_aside),
        TEST(test_another_schema_is_made_anew),
        TEST(test_another_trail_is_noticed),
        TEST(test_a_trail_rolled_back_is_noticed),
        TEST(test_killed_in_the_middle_it_goes_on),
        TEST(test_after_a_stop_of_the_machine_it_is_made_anew),
    };

    (void) setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
