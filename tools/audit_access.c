/*
 * Lines of an answer wait here until the closes of the accesses before them
 * are known, so that they come in the order of their entries.
 *
 * What waits is bounded.  Where there is no room for more, the rest of the
 * trail is asked for the closes that are missing: the index, for what it holds,
 * and then a look ahead.  The answer is the same, it only takes longer.
 */

#define _GNU_SOURCE
#include "audit_access.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>

#include "../lib/trail/trail.h"

#define LINES_MAX ((uint64_t) 1 << 18) /* that wait; a power of two */
#define BYTES_MAX ((size_t) 64 << 20)  /* of their entries */
#define LISTS     ((size_t) 1 << 14)   /* of ids; a power of two */
#define LOOK_STEP 65536                /* entries */

typedef enum {
    LINE_OTHER = 1, /* a record on its own */
    LINE_WAITS,     /* an opening */
    LINE_CLOSED,
    LINE_OPEN /* no close in the whole trail */
} line_state_t;

typedef struct {
    line_state_t state;
    uint64_t number, closed;
    char *entry, *close; /* owned */
    size_t entry_size, close_size;
    char id[RECORD_ID_SIZE];
    uint64_t next; /* place of the next of the list, and 1 */
} line_t;

struct accesses_s {
    const char *command;
    const place_t *place;
    printer_t *printer;
    review_index_t *index;
    sqlite3_stmt *statement;
    trail_reader_t *reader; /* for looking ahead; the answer's own is in use */

    line_t *lines;        /* a ring; places only grow */
    uint64_t first, last; /* places of what waits: first .. last - 1 */
    uint64_t waiting;     /* openings among them */
    size_t bytes;
    uint64_t lists[LISTS]; /* openings by id: place, and 1 */
    uint64_t seen;

    later_t later; /* closes of accesses that were printed */

    uint64_t size;
    char *buffer, *other_buffer; /* for record_parse() */
};

int
accesses_make(const char *command, const place_t *place, printer_t *printer,
              review_index_t *index, accesses_t **result)
{
    accesses_t *accesses = calloc(1, sizeof(*accesses));

    *result = accesses;
    if (accesses == NULL) {
        return fail(command, "out of memory");
    }
    accesses->command = command;
    accesses->place = place;
    accesses->printer = printer;
    accesses->index = index;
    /* pages that nobody uses take no memory */
    accesses->lines = calloc(LINES_MAX, sizeof(*accesses->lines));
    accesses->buffer = malloc(TRAIL_ENTRY_MAX);
    accesses->other_buffer = malloc(TRAIL_ENTRY_MAX);
    if (accesses->lines == NULL || accesses->buffer == NULL ||
        accesses->other_buffer == NULL)
    {
        return fail(command, "out of memory");
    }
    return STATUS_OK;
}


static line_t *
line_at(const accesses_t *accesses, uint64_t place)
{
    return &accesses->lines[place & (LINES_MAX - 1)];
}


static void
forget(accesses_t *accesses, line_t *line)
{
    accesses->bytes -= line->entry_size + line->close_size;
    free(line->entry);
    free(line->close);
    *line = (line_t){.entry = NULL};
}


void
accesses_free(accesses_t *accesses)
{
    if (accesses == NULL) {
        return;
    }
    for (; accesses->first < accesses->last; accesses->first++) {
        forget(accesses, line_at(accesses, accesses->first));
    }
    (void) sqlite3_finalize(accesses->statement);
    trail_reader_free(accesses->reader);
    free(accesses->lines);
    later_free(&accesses->later);
    free(accesses->buffer);
    free(accesses->other_buffer);
    free(accesses);
}


/* ---- What a record is ----------------------------------------------------*/

static bool
is_opening(const record_t *record)
{
    record_event_t event = record_event_find(record->values[RECORD_EVENT]);

    return event == EVENT_ACCESS || event == EVENT_REQUEST;
}


static bool
is_close(const record_t *record)
{
    record_event_t event = record_event_find(record->values[RECORD_EVENT]);

    return (event == EVENT_ACCESS_END || event == EVENT_REQUEST_END) &&
           record->values[RECORD_OPEN].size == RECORD_ID_SIZE;
}


static bool
agrees(slice_t a, slice_t b)
{
    return a.size == 0 || b.size == 0 || slice_equal(a, b);
}


/* ---- Openings that wait, by their ids ------------------------------------*/

static uint64_t *
list_of(accesses_t *accesses, const char id[RECORD_ID_SIZE])
{
    uint64_t a, b;

    memcpy(&a, id, sizeof(a));
    memcpy(&b, id + RECORD_ID_SIZE - sizeof(b), sizeof(b));
    a = (a ^ (b << 29 | b >> 35)) * UINT64_C(0x9e3779b97f4a7c15);
    return &accesses->lists[(size_t) (a >> 40) & (LISTS - 1)];
}


static line_t *
waiting_find(accesses_t *accesses, slice_t id)
{
    uint64_t next = id.size == RECORD_ID_SIZE ? *list_of(accesses, id.data) : 0;

    while (next != 0) {
        line_t *line = line_at(accesses, next - 1);

        if (memcmp(line->id, id.data, RECORD_ID_SIZE) == 0) {
            return line;
        }
        next = line->next;
    }
    return NULL;
}


static void
waiting_add(accesses_t *accesses, uint64_t place, slice_t id)
{
    line_t *line = line_at(accesses, place);
    uint64_t *list;

    line->state = LINE_OPEN;
    /* of two openings with one id the first has the close, as in the index */
    if (id.size != RECORD_ID_SIZE || waiting_find(accesses, id) != NULL) {
        return;
    }
    line->state = LINE_WAITS;
    memcpy(line->id, id.data, RECORD_ID_SIZE);
    list = list_of(accesses, line->id);
    line->next = *list;
    *list = place + 1;
    accesses->waiting++;
}


static void
waiting_end(accesses_t *accesses, line_t *line, line_state_t state)
{
    uint64_t *next = list_of(accesses, line->id);

    while (line_at(accesses, *next - 1) != line) {
        next = &line_at(accesses, *next - 1)->next;
    }
    *next = line->next;
    line->state = state;
    accesses->waiting--;
}


static char *
copy_of(accesses_t *accesses, slice_t entry)
{
    char *copy = malloc(entry.size + 1);

    if (copy != NULL) {
        memcpy(copy, entry.data, entry.size);
        copy[entry.size] = '\0';
        accesses->bytes += entry.size;
    }
    return copy;
}


/*
 * 1: the record is the close of `line`; 0: it is not, because it tells of
 * another study or patient, and is a line of its own, as it is an access of its
 * own in the index.
 */
static int
close_line(accesses_t *accesses, line_t *line, uint64_t number, slice_t entry,
           const record_t *record)
{
    record_t opening;

    if (!record_parse((slice_t){line->entry, line->entry_size}, &opening,
                      accesses->other_buffer) ||
        !agrees(opening.values[RECORD_PATIENT],
                record->values[RECORD_PATIENT]) ||
        !agrees(opening.values[RECORD_STUDY], record->values[RECORD_STUDY]))
    {
        return 0;
    }
    line->close = copy_of(accesses, entry);
    if (line->close == NULL) {
        (void) fail(accesses->command, "out of memory");
        return -ENOMEM;
    }
    line->close_size = entry.size;
    line->closed = number;
    waiting_end(accesses, line, LINE_CLOSED);
    return 1;
}


/* The id in `,"open":"…"`, without reading the whole line. */
static line_t *
line_closed_by(accesses_t *accesses, slice_t entry)
{
    static const char name[] = "\"open\":\"";
    const char *found;
    size_t left;

    if (accesses->waiting == 0) {
        return NULL;
    }
    found = memmem(entry.data, entry.size, name, sizeof(name) - 1);
    if (found == NULL) {
        return NULL;
    }
    found += sizeof(name) - 1;
    left = entry.size - (size_t) (found - entry.data);
    return left < RECORD_ID_SIZE
               ? NULL
               : waiting_find(accesses, (slice_t){found, RECORD_ID_SIZE});
}


/* As close_line(). */
static int
close_by(accesses_t *accesses, uint64_t number, slice_t entry)
{
    line_t *line = line_closed_by(accesses, entry);
    record_t record;

    if (line == NULL || !record_parse(entry, &record, accesses->buffer) ||
        !is_close(&record) ||
        (line = waiting_find(accesses, record.values[RECORD_OPEN])) == NULL)
    {
        return 0;
    }
    return close_line(accesses, line, number, entry, &record);
}


/* ---- Looking for closes --------------------------------------------------*/

/* The only place that knows the table: the close of an opening, by audit.db.
 * 1, 0: none there, or a negative errno. */
static int
closed_by_index(accesses_t *accesses, uint64_t number, uint64_t *closed)
{
    int result;

    if (accesses->statement == NULL &&
        sqlite3_prepare_v2(index_handle(accesses->index),
                           "SELECT closed FROM access WHERE number = ? AND "
                           "closed IS NOT NULL",
                           -1, &accesses->statement, NULL) != SQLITE_OK)
    {
        return -EIO;
    }
    (void) sqlite3_bind_int64(accesses->statement, 1, (sqlite3_int64) number);
    result = sqlite3_step(accesses->statement);
    if (result == SQLITE_ROW) {
        *closed = (uint64_t) sqlite3_column_int64(accesses->statement, 0);
    }
    (void) sqlite3_reset(accesses->statement);
    return result == SQLITE_ROW ? 1 : result == SQLITE_DONE ? 0 : -EIO;
}


static int
trail_failed(const accesses_t *accesses)
{
    return fail(accesses->command, "%s",
                trail_reader_problem(accesses->reader));
}


/* What the index knows; *from falls to where the others are to be looked
 * for. */
static int
ask_index(accesses_t *accesses, uint64_t *from)
{
    uint64_t size = index_size(accesses->index);

    *from = accesses->seen > size ? accesses->seen : size;
    for (uint64_t place = accesses->first;
         place < accesses->last && accesses->waiting > 0; place++)
    {
        line_t *line = line_at(accesses, place);
        uint64_t closed = 0;
        slice_t entry;
        int result;

        if (line->state != LINE_WAITS || line->number >= size) {
            continue;
        }
        result = closed_by_index(accesses, line->number, &closed);
        if (result < 0) {
            return fail(accesses->command, "the index cannot be read: make it "
                                           "anew with \"sekisho audit index "
                                           "--rebuild\"");
        }
        if (result == 0) {
            continue;
        }
        if (closed <= line->number ||
            trail_reader_entry(accesses->reader, closed, &entry) < 0 ||
            (result = close_by(accesses, closed, entry)) == 0 ||
            line->state != LINE_CLOSED)
        {
            /* the trail is what counts: look for it there */
            *from = line->number + 1 < *from ? line->number + 1 : *from;
        }
        if (result < 0) {
            return STATUS_ERROR;
        }
    }
    return STATUS_OK;
}


static int
look_ahead(accesses_t *accesses, uint64_t from)
{
    _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
    progress_t progress;
    uint64_t number, all;
    slice_t entry;
    int closed = 0;
    int result = trail_scan_open(accesses->reader, from, &scan);

    all = trail_reader_checkpoint(accesses->reader)->size;
    all = all > from ? all - from : 0;
    progress_begin(&progress, "looked ahead");
    while (result >= 0 && closed >= 0 && accesses->waiting > 0 &&
           (result = trail_scan_next(scan, &number, &entry)) == 1)
    {
        closed = close_by(accesses, number, entry);
        accesses->size = number >= accesses->size ? number + 1 : accesses->size;
        if (number % LOOK_STEP == 0) {
            progress_tell(&progress, number - from, all);
        }
    }
    progress_end(&progress);
    return closed < 0   ? STATUS_ERROR
           : result < 0 ? trail_failed(accesses)
                        : STATUS_OK;
}


/* Of each opening that waits: its close, or that there is none. */
static int
find_closes(accesses_t *accesses)
{
    uint64_t from = accesses->seen;

    if (accesses->waiting == 0) {
        return STATUS_OK;
    }
    if (accesses->reader == NULL &&
        reader_open(accesses->command, accesses->place, &accesses->reader) !=
            STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (accesses->index != NULL && ask_index(accesses, &from) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (accesses->waiting > 0 && look_ahead(accesses, from) != STATUS_OK) {
        return STATUS_ERROR;
    }
    for (uint64_t place = accesses->first;
         place < accesses->last && accesses->waiting > 0; place++)
    {
        line_t *line = line_at(accesses, place);

        if (line->state == LINE_WAITS) {
            waiting_end(accesses, line, LINE_OPEN);
        }
    }
    return STATUS_OK;
}


/* ---- Lines ---------------------------------------------------------------*/

static void
print(accesses_t *accesses, const line_t *line)
{
    slice_t entry = {line->entry, line->entry_size};
    record_t record, close;

    if (!record_parse(entry, &record, accesses->buffer)) {
        printer_entry(accesses->printer, line->number, entry, NULL);
    } else if (line->state == LINE_OTHER) {
        printer_entry(accesses->printer, line->number, entry, &record);
    } else if (line->state == LINE_CLOSED &&
               record_parse((slice_t){line->close, line->close_size}, &close,
                            accesses->other_buffer))
    {
        printer_access(accesses->printer, line->number, &record, line->closed,
                       &close);
    } else {
        printer_access(accesses->printer, line->number, &record, 0, NULL);
    }
}


/* Prints the lines before the first that waits; `number` is where the answer
 * has come to. */
static int
print_ready(accesses_t *accesses, uint64_t number)
{
    for (; accesses->first < accesses->last; accesses->first++) {
        line_t *line = line_at(accesses, accesses->first);

        if (line->state == LINE_WAITS) {
            break;
        }
        print(accesses, line);
        if (line->state == LINE_CLOSED && line->closed > number &&
            !later_add(&accesses->later, line->closed))
        {
            return fail(accesses->command, "out of memory");
        }
        forget(accesses, line);
    }
    return STATUS_OK;
}


static int
add_line(accesses_t *accesses, uint64_t number, slice_t entry,
         const record_t *record)
{
    line_t *line;

    if (accesses->last - accesses->first == LINES_MAX ||
        accesses->bytes > BYTES_MAX)
    {
        if (find_closes(accesses) != STATUS_OK ||
            print_ready(accesses, number) != STATUS_OK)
        {
            return STATUS_ERROR;
        }
    }
    line = line_at(accesses, accesses->last);
    *line = (line_t){.state = LINE_OTHER, .number = number};
    line->entry = copy_of(accesses, entry);
    if (line->entry == NULL) {
        return fail(accesses->command, "out of memory");
    }
    line->entry_size = entry.size;
    if (is_opening(record)) {
        waiting_add(accesses, accesses->last, record->values[RECORD_ID]);
    }
    accesses->last++;
    return print_ready(accesses, number);
}


int
accesses_take(accesses_t *accesses, uint64_t number, slice_t entry,
              const record_t *record, bool *line)
{
    line_t *opening;

    *line = false;
    if (is_close(record)) {
        if (later_is(&accesses->later, number)) {
            return STATUS_OK;
        }
        opening = waiting_find(accesses, record->values[RECORD_OPEN]);
        if (opening != NULL) {
            int result = close_line(accesses, opening, number, entry, record);

            if (result != 0) {
                return result < 0 ? STATUS_ERROR
                                  : print_ready(accesses, number);
            }
        }
    }
    *line = true;
    return add_line(accesses, number, entry, record);
}


int
accesses_pass(accesses_t *accesses, uint64_t number, slice_t entry)
{
    int result = close_by(accesses, number, entry);

    return result < 0    ? STATUS_ERROR
           : result == 0 ? STATUS_OK
                         : print_ready(accesses, number);
}


void
accesses_seen(accesses_t *accesses, uint64_t number)
{
    accesses->seen = number;
}


int
accesses_end(accesses_t *accesses, uint64_t *size)
{
    if (find_closes(accesses) != STATUS_OK ||
        print_ready(accesses, UINT64_MAX) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    *size = accesses->size > *size ? accesses->size : *size;
    return STATUS_OK;
}
