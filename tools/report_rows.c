/*
 * The rows of the event table as compact JSON: a dictionary of texts, and a
 * column of whole numbers for each field.  In a column -n stands for n rows
 * that have none; times are differences.  With each row goes the hash of its
 * leaf, from the trail itself, which also shows whether the index is this
 * trail's.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>

#include "../lib/trail/base64.h"
#include "report.h"

#define DETAIL_MAX 400 /* bytes of a text from a record: the rest is cut */
#define NONE       INT64_C(-1)

/* The columns, in the order of the query below. */
typedef enum {
    COLUMN_NUMBER = 0,
    COLUMN_TIME,
    COLUMN_EVENT, /* the first text */
    COLUMN_REASON,
    COLUMN_USER,
    COLUMN_FACILITY,
    COLUMN_ADDRESS,
    COLUMN_SERVICE,
    COLUMN_ACTION,
    COLUMN_PATIENT,
    COLUMN_STUDY,
    COLUMN_SESSION,
    COLUMN_PURPOSE, /* the last text of the index */
    COLUMN_OUTCOME,
    COLUMN_REQUESTS,
    COLUMN_BYTES,
    COLUMN_INSTANCES,
    COLUMN_DURATION,
    COLUMN_CLOSED,
    COLUMN_COUNT,
    COLUMN_OFF, /* the last of the query */
    COLUMN_DETAIL,
    COLUMN_AGENT,
    COLUMN_FACTORS,
    COLUMNS
} column_t;

static const char *const names[COLUMNS] = {
    "number",  "time",    "event",    "reason",  "user",      "facility",
    "address", "service", "action",   "patient", "study",     "session",
    "purpose", "outcome", "requests", "bytes",   "instances", "duration",
    "closed",  "count",   "off",      "detail",  "agent",     "factors"};

static const char select_rows[] =
    "SELECT * FROM (SELECT number, time, event, w1.text, w2.text, w3.text,"
    " w4.text, w5.text, w6.text, w7.text, w8.text, w9.text, w10.text, outcome,"
    " requests, bytes, instances, duration, closed, count, off, record_id"
    " FROM r LEFT JOIN word w1 ON w1.id = reason"
    " LEFT JOIN word w2 ON w2.id = user"
    " LEFT JOIN word w3 ON w3.id = facility"
    " LEFT JOIN word w4 ON w4.id = address"
    " LEFT JOIN word w5 ON w5.id = service"
    " LEFT JOIN word w6 ON w6.id = action"
    " LEFT JOIN word w7 ON w7.id = patient"
    " LEFT JOIN word w8 ON w8.id = study"
    " LEFT JOIN word w9 ON w9.id = session"
    " LEFT JOIN word w10 ON w10.id = purpose"
    " ORDER BY number DESC LIMIT :rows) ORDER BY number";

typedef struct {
    uint64_t hash;
    uint32_t number; /* of the text, from 1; 0: free */
    uint32_t at;     /* in `bytes` */
    uint32_t size;
} slot_t;

typedef struct {
    slot_t *slots;
    size_t capacity; /* a power of two */
    uint32_t count;
    char *bytes;
    size_t bytes_size, bytes_capacity;
} dictionary_t;

typedef struct {
    audit_report_t *report;
    int64_t *cells; /* COLUMNS of REPORT_ROWS_MAX */
    merkle_hash_t *hashes;
    size_t count;
    dictionary_t dictionary;
    merkle_hasher_t hasher;
    char *buffer; /* of record_parse() */
} rows_t;

/* ---- Dictionary ---------------------------------------------------------- */

static uint64_t
text_hash(slice_t text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < text.size; i++) {
        hash = (hash ^ (unsigned char) text.data[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}


static bool
dictionary_grow(dictionary_t *dictionary)
{
    size_t capacity = dictionary->capacity == 0 ? 4096
                                                : dictionary->capacity * 2;
    slot_t *slots = calloc(capacity, sizeof(*slots));

    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < dictionary->capacity; i++) {
        slot_t *old = &dictionary->slots[i];
        size_t at = (size_t) old->hash & (capacity - 1);

        if (old->number == 0) {
            continue;
        }
        while (slots[at].number != 0) {
            at = (at + 1) & (capacity - 1);
        }
        slots[at] = *old;
    }
    free(dictionary->slots);
    dictionary->slots = slots;
    dictionary->capacity = capacity;
    return true;
}


static bool
keep_bytes(dictionary_t *dictionary, slice_t text)
{
    size_t needed = dictionary->bytes_size + text.size;

    if (needed > UINT32_MAX) {
        return false;
    }
    if (needed > dictionary->bytes_capacity) {
        size_t capacity = needed * 2 + 65536;
        char *bytes = realloc(dictionary->bytes, capacity);

        if (bytes == NULL) {
            return false;
        }
        dictionary->bytes = bytes;
        dictionary->bytes_capacity = capacity;
    }
    if (text.size > 0) {
        memcpy(dictionary->bytes + dictionary->bytes_size, text.data,
               text.size);
    }
    dictionary->bytes_size = needed;
    return true;
}


/* The number of a text, from 0; NONE when out of memory. */
static int64_t
dictionary_number(dictionary_t *dictionary, slice_t text)
{
    uint64_t hash = text_hash(text);
    slot_t *slot;
    size_t at;

    if (dictionary->count * 2 >= dictionary->capacity &&
        !dictionary_grow(dictionary))
    {
        return NONE;
    }
    at = (size_t) hash & (dictionary->capacity - 1);
    for (slot = &dictionary->slots[at]; slot->number != 0;
         slot = &dictionary->slots[at])
    {
        if (slot->hash == hash &&
            slice_equal(text,
                        (slice_t){dictionary->bytes + slot->at, slot->size}))
        {
            return slot->number - 1;
        }
        at = (at + 1) & (dictionary->capacity - 1);
    }
    slot->at = (uint32_t) dictionary->bytes_size;
    if (!keep_bytes(dictionary, text)) {
        return NONE;
    }
    slot->hash = hash;
    slot->size = (uint32_t) text.size;
    slot->number = ++dictionary->count;
    return slot->number - 1;
}


/* ---- Rows from the index ------------------------------------------------- */

static int64_t *
cell(rows_t *rows, column_t column, size_t row)
{
    return &rows->cells[(size_t) column * REPORT_ROWS_MAX + row];
}


static bool
add_text(rows_t *rows, column_t column, size_t row, slice_t text)
{
    int64_t number;

    if (text.size == 0) {
        *cell(rows, column, row) = NONE;
        return true;
    }
    number = dictionary_number(&rows->dictionary, text);
    *cell(rows, column, row) = number;
    return number != NONE;
}


static slice_t
cut(slice_t text)
{
    if (text.size > DETAIL_MAX) {
        text.size = DETAIL_MAX;
        while (text.size > 0 && (text.data[text.size] & 0xc0) == 0x80) {
            text.size--;
        }
    }
    return text;
}


/* What stands in a record and not in the index; the first that is there. */
static slice_t
detail(const record_t *record)
{
    static const record_field_t fields[] = {RECORD_NOTE,     RECORD_RULE,
                                            RECORD_FINDINGS, RECORD_QUERY,
                                            RECORD_DEVICE,   RECORD_TTY};
    slice_t event = record->values[RECORD_EVENT];

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (record->values[fields[i]].size > 0) {
            return cut(record->values[fields[i]]);
        }
    }
    return slice_is(event, "denied") || slice_is(event, "unrecorded")
               ? cut(record->values[RECORD_URI])
               : (slice_t){"", 0};
}


/* {"id":"<32 digits>" at the begin of an entry is that of the index. */
static bool
same_record(slice_t entry, const uint8_t *id, int size)
{
    char head[8 + RECORD_ID_SIZE + 1] = "{\"id\":\"";

    if (size != RECORD_ID_SIZE / 2) {
        return false;
    }
    for (int i = 0; i < size; i++) {
        (void) snprintf(head + 7 + 2 * i, 3, "%02x", id[i]);
    }
    return slice_starts(entry, (slice_t){head, 7 + RECORD_ID_SIZE});
}


/* The leaf's hash and the record's own texts. */
static int
add_entry(rows_t *rows, size_t row, const uint8_t *id, int id_size)
{
    audit_report_t *report = rows->report;
    uint64_t number = (uint64_t) *cell(rows, COLUMN_NUMBER, row);
    slice_t entry;
    record_t record;
    int error = trail_reader_entry(report->reader, number, &entry);

    *cell(rows, COLUMN_DETAIL, row) = NONE;
    *cell(rows, COLUMN_AGENT, row) = NONE;
    *cell(rows, COLUMN_FACTORS, row) = NONE;
    if (error == -ENOENT &&
        trail_reader_node(report->reader, 0, number, &rows->hashes[row]) == 0)
    {
        return STATUS_OK; /* pruned: the tree still has its hash */
    }
    if (error < 0) {
        return fail(report->command, "%s",
                    trail_reader_problem(report->reader));
    }
    if (!same_record(entry, id, id_size)) {
        return fail(report->command,
                    "entry %llu is another in the index than in the trail: "
                    "make the index again with \"sekisho audit index\"",
                    (unsigned long long) number);
    }
    merkle_leaf(&rows->hasher, entry, &rows->hashes[row]);
    if (record_parse(entry, &record, rows->buffer) &&
        (!add_text(rows, COLUMN_DETAIL, row, detail(&record)) ||
         !add_text(rows, COLUMN_AGENT, row, cut(record.values[RECORD_AGENT])) ||
         !add_text(rows, COLUMN_FACTORS, row,
                   cut(record.values[RECORD_FACTORS]))))
    {
        return fail(report->command, "out of memory");
    }
    return STATUS_OK;
}


static int
add_row(rows_t *rows, sqlite3_stmt *statement)
{
    size_t row = rows->count;
    const uint8_t *id;

    for (int column = 0; column <= COLUMN_OFF; column++) {
        if (column >= COLUMN_EVENT && column <= COLUMN_PURPOSE) {
            if (!add_text(rows, (column_t) column, row,
                          row_text(statement, column))) {
                return fail(rows->report->command, "out of memory");
            }
        } else {
            int64_t value = sqlite3_column_type(statement, column) ==
                                    SQLITE_NULL
                                ? NONE
                                : sqlite3_column_int64(statement, column);

            *cell(rows, (column_t) column, row) = value < 0 ? NONE : value;
        }
    }
    id = sqlite3_column_blob(statement, COLUMN_OFF + 1);
    if (add_entry(rows, row, id,
                  sqlite3_column_bytes(statement, COLUMN_OFF + 1)) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    rows->count++;
    return STATUS_OK;
}


static int
read_rows(rows_t *rows)
{
    _cleanup_(cleanup_statement)
        sqlite3_stmt *statement = report_query(rows->report, select_rows);
    int result;

    if (statement == NULL) {
        return STATUS_ERROR;
    }
    (void) sqlite3_bind_int64(statement,
                              sqlite3_bind_parameter_index(statement, ":rows"),
                              REPORT_ROWS_MAX);
    while ((result = report_step(rows->report, statement)) == 1) {
        if (rows->count == REPORT_ROWS_MAX ||
            add_row(rows, statement) != STATUS_OK) {
            return STATUS_ERROR;
        }
    }
    return result < 0 ? STATUS_ERROR : STATUS_OK;
}


/* ---- As JSON ------------------------------------------------------------- */

/* A difference that may be negative, as a number that may not. */
static int64_t
zigzag(int64_t value)
{
    return value < 0 ? -2 * value - 1 : 2 * value;
}


static void
column_json(rows_t *rows, json_t *json, column_t column)
{
    bool difference = column == COLUMN_NUMBER || column == COLUMN_TIME;
    int64_t before = 0, missing = 0;

    json_array(json, names[column]);
    for (size_t row = 0; row < rows->count; row++) {
        int64_t value = *cell(rows, column, row);

        if (value == NONE || (column == COLUMN_OFF && value == 0)) {
            missing++;
            continue;
        }
        if (missing > 0) {
            json_int(json, NULL, -missing);
            missing = 0;
        }
        json_int(json, NULL, difference ? zigzag(value - before) : value);
        before = value;
    }
    json_end_array(json);
}


static int
hashes_json(rows_t *rows, json_t *json)
{
    size_t size = rows->count * MERKLE_HASH_SIZE;
    _cleanup_(cleanup_free) char *text = malloc(BASE64_SIZE(size) + 1);

    if (text == NULL) {
        return fail(rows->report->command, "out of memory");
    }
    json_text(json, "hashes",
              (slice_t){text, base64_encode(rows->hashes, size, text)});
    return STATUS_OK;
}


static int
write_rows(rows_t *rows, json_t *json)
{
    bool failed = false;
    int64_t all = report_number(rows->report, "SELECT count(*) FROM r",
                                &failed);

    json_object(json, "rows");
    json_int(json, "count", (int64_t) rows->count);
    json_int(json, "all", all);
    json_object(json, "columns");
    for (unsigned column = 0; column < COLUMNS; column++) {
        column_json(rows, json, (column_t) column);
    }
    json_end_object(json);
    if (hashes_json(rows, json) != STATUS_OK || failed) {
        return STATUS_ERROR;
    }
    json_end_object(json);
    return STATUS_OK;
}


/* The dictionary is an array of its own behind the columns. */
static int
write_dictionary(rows_t *rows, json_t *json)
{
    dictionary_t *dictionary = &rows->dictionary;
    slice_t rest = {dictionary->bytes, dictionary->bytes_size};
    uint32_t *sizes = calloc(dictionary->count + 1, sizeof(*sizes));

    if (sizes == NULL) {
        return fail(rows->report->command, "out of memory");
    }
    for (size_t i = 0; i < dictionary->capacity; i++) {
        if (dictionary->slots[i].number != 0) {
            sizes[dictionary->slots[i].number] = dictionary->slots[i].size;
        }
    }
    json_array(json, "dictionary");
    for (uint32_t i = 1; i <= dictionary->count; i++) {
        json_text(json, NULL, (slice_t){rest.data, sizes[i]});
        rest = slice_from(rest, sizes[i]);
    }
    json_end_array(json);
    free(sizes);
    return STATUS_OK;
}


int
report_rows(audit_report_t *report, json_t *json)
{
    rows_t rows = {.report = report};
    int status = STATUS_ERROR;

    rows.cells = calloc((size_t) COLUMNS * REPORT_ROWS_MAX, sizeof(int64_t));
    rows.hashes = calloc(REPORT_ROWS_MAX, sizeof(*rows.hashes));
    rows.buffer = malloc(TRAIL_ENTRY_MAX);
    if (rows.cells == NULL || rows.hashes == NULL || rows.buffer == NULL ||
        merkle_hasher_init(&rows.hasher) != 0)
    {
        (void) fail(report->command, "out of memory");
    } else if (read_rows(&rows) == STATUS_OK &&
               write_rows(&rows, json) == STATUS_OK)
    {
        status = rows.hasher.failed
                     ? fail(report->command, "OpenSSL refused SHA-256")
                     : write_dictionary(&rows, json);
    }
    free(rows.cells);
    free(rows.hashes);
    free(rows.buffer);
    free(rows.dictionary.slots);
    free(rows.dictionary.bytes);
    merkle_hasher_free(&rows.hasher);
    return status;
}
