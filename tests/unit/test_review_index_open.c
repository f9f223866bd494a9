/* Opening audit.db takes no longer for what is in its tables. */

#define _GNU_SOURCE
#include "unit.h"

#include <sqlite3.h>
#include <unistd.h>

#include "../../lib/review/index.h"
#include "trail_unit.h"

#define ROWS          5000
#define FIRST         1000 /* behind the words that are there already */
#define ALARM_SECONDS 20   /* the joined tables took years */

static void
run(sqlite3 *db, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK) {
        fail_msg("%s: %s", sql, error);
    }
}


/* "INSERT INTO entry (number, time, …) … SELECT i, i, …", by the columns that
 * the table has, whatever they are. */
static char *
filling(sqlite3 *db, const char *table)
{
    sqlite3_str *names = sqlite3_str_new(db), *values = sqlite3_str_new(db);
    sqlite3_stmt *columns = NULL;
    char *name_text, *value_text, *sql;

    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT name FROM pragma_table_info(?)",
                                        -1, &columns, NULL),
                     SQLITE_OK);
    (void) sqlite3_bind_text(columns, 1, table, -1, SQLITE_STATIC);
    for (const char *between = ""; sqlite3_step(columns) == SQLITE_ROW;
         between = ", ")
    {
        sqlite3_str_appendf(names, "%s\"%w\"", between,
                            sqlite3_column_text(columns, 0));
        sqlite3_str_appendf(values, "%si", between);
    }
    (void) sqlite3_finalize(columns);
    name_text = sqlite3_str_finish(names);
    value_text = sqlite3_str_finish(values);
    assert_non_null(name_text);
    assert_non_null(value_text);
    sql = sqlite3_mprintf("WITH RECURSIVE n (i) AS (SELECT %d UNION ALL SELECT "
                          "i + 1 FROM n WHERE i < %d) "
                          "INSERT INTO \"%w\" (%s) SELECT %s FROM n",
                          FIRST, FIRST + ROWS - 1, table, name_text,
                          value_text);
    assert_non_null(sql);
    sqlite3_free(name_text);
    sqlite3_free(value_text);
    return sql;
}


/* Thousands of rows in every table but `study`, which is empty, as where no
 * request ever named a patient. */
static void
fill(const char *path)
{
    sqlite3 *db;
    sqlite3_stmt *tables = NULL;
    unsigned filled = 0;

    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT name FROM sqlite_schema WHERE type = "
                           "'table' AND name NOT LIKE 'sqlite_%' AND name NOT "
                           "IN ('study', 'meta')",
                           -1, &tables, NULL),
        SQLITE_OK);
    while (sqlite3_step(tables) == SQLITE_ROW) {
        char *sql = filling(db, (const char *) sqlite3_column_text(tables, 0));

        run(db, sql);
        sqlite3_free(sql);
        filled++;
    }
    (void) sqlite3_finalize(tables);
    assert_true(filled >= 3);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT 1 FROM study", -1, &tables, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(tables), SQLITE_DONE);
    (void) sqlite3_finalize(tables);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}


/* An index of one record, with the rows above put into its tables. */
static void
make_index(trail_unit_t *unit, char path[80])
{
    static const char line[] =
        "{\"id\":\"0123456789abcdef0123456789abcdef\","
        "\"time\":\"2026-11-24T06:09:02.123Z\",\"outcome\":0,"
        "\"event\":\"start\"}";
    slice_t entry = slice_of(line);
    trail_writer_t *writer = new_writer(unit);
    trail_reader_t *reader;
    review_index_t *index;
    uint64_t first, taken;
    char error[256];

    assert_int_equal(trail_writer_append(writer, &entry, 1, 0, &first), 0);
    assert_int_equal(trail_writer_close(writer), 0);
    (void) snprintf(path, 80, "%.40s/audit.db", unit->folder);
    assert_int_equal(
        trail_reader_open(unit->trail, NULL, 0, &reader, &unit->problem), 0);
    assert_int_equal(index_open(path, INDEX_WRITE, &index, error), 0);
    assert_int_equal(index_update(index, reader, 0, NULL, NULL, &taken), 0);
    assert_int_equal(taken, 1);
    index_close(index);
    trail_reader_free(reader);
    fill(path);
}


static void
opens_at_once(void **state, index_mode_t mode)
{
    trail_unit_t *unit = *state;
    review_index_t *index;
    char path[80], error[256];
    int result;

    make_index(unit, path);
    (void) alarm(ALARM_SECONDS); /* and its default: the end of the test */
    result = index_open(path, mode, &index, error);
    (void) alarm(0);
    if (result != 0) {
        fail_msg("%d: %s", result, error);
    }
    assert_string_equal(error, ""); /* not by making it anew */
    assert_int_equal(index_size(index), 1);
    index_close(index);
}


static void
a_reader_opens_large_tables_with_an_empty_one_at_once(void **state)
{
    opens_at_once(state, INDEX_READ);
}


static void
a_writer_opens_large_tables_with_an_empty_one_at_once(void **state)
{
    opens_at_once(state, INDEX_WRITE);
}


int
main(void)
{
#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, trail_unit_start, trail_unit_stop)
    const struct CMUnitTest tests[] = {
        TEST(a_reader_opens_large_tables_with_an_empty_one_at_once),
        TEST(a_writer_opens_large_tables_with_an_empty_one_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
