/* `sekisho audit show`: one entry in full. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "../lib/trail/decimal.h"
#include "audit_tools.h"

#define PROGRESS_STEP 65536 /* entries */
#define NAME_WIDTH    16

/* The id stands where it stands in all that the daemon writes. */
static bool
has_id(slice_t line, slice_t id)
{
    return line.size > 8 + RECORD_ID_SIZE &&
           memcmp(line.data, "{\"id\":\"", 7) == 0 &&
           memcmp(line.data + 7, id.data, RECORD_ID_SIZE) == 0 &&
           line.data[7 + RECORD_ID_SIZE] == '"';
}


static bool
is_id(slice_t text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (memchr("0123456789abcdef", text.data[i], 16) == NULL) {
            return false;
        }
    }
    return text.size == RECORD_ID_SIZE;
}


static int
find_id(const char *command, trail_reader_t *reader, slice_t id,
        uint64_t *index)
{
    _cleanup_(cleanup_scan) trail_scan_t *scan = NULL;
    uint64_t size = trail_reader_checkpoint(reader)->size;
    progress_t progress;
    slice_t entry;
    int result = trail_scan_open(reader, 0, &scan);

    progress_begin(&progress, "searched");
    while (result >= 0 && (result = trail_scan_next(scan, index, &entry)) == 1)
    {
        if (has_id(entry, id)) {
            progress_end(&progress);
            return STATUS_OK;
        }
        if (*index % PROGRESS_STEP == 0) {
            progress_tell(&progress, *index, size);
        }
    }
    progress_end(&progress);
    return result < 0 ? fail(command, "%s", trail_reader_problem(reader))
                      : fail(command, "there is no record %.*s", SLICE_ARG(id));
}


int
entry_find(const char *command, trail_reader_t *reader, const char *name,
           uint64_t *index, slice_t *entry)
{
    slice_t text = slice_of(name);
    slice_t digits = text.size > 0 && text.data[0] == '#' ? slice_from(text, 1)
                                                          : text;

    if (is_id(text)) {
        if (find_id(command, reader, text, index) != STATUS_OK) {
            return STATUS_ERROR;
        }
    } else if (!decimal_parse(digits, index)) {
        return fail(command,
                    "\"%s\" is neither the id of a record (32 hexadecimal "
                    "digits) nor the number of an entry",
                    name);
    }
    if (trail_reader_entry(reader, *index, entry) < 0) {
        return fail(command, "%s", trail_reader_problem(reader));
    }
    return STATUS_OK;
}


static void
print_field(const char *name, slice_t value)
{
    printf("%s%-*s%s ", style_on(stdout, STYLE_DIM), NAME_WIDTH, name,
           style_off(stdout, STYLE_DIM));
    print_safe(stdout, value);
    fputc('\n', stdout);
}


static void
print_leaf(trail_reader_t *reader, slice_t entry)
{
    merkle_hasher_t *hasher = trail_reader_hasher(reader);
    char hex[2 * MERKLE_HASH_SIZE + 1];
    merkle_hash_t leaf;

    merkle_leaf(hasher, entry, &leaf);
    if (hasher->failed) {
        return;
    }
    for (size_t i = 0; i < MERKLE_HASH_SIZE; i++) {
        (void) snprintf(hex + 2 * i, 3, "%02x", leaf.bytes[i]);
    }
    print_field("leaf hash", slice_of(hex));
}


static void
print_entry(trail_reader_t *reader, uint64_t index, slice_t entry,
            const record_t *record)
{
    char text[96];
    unsigned id, type;

    (void) snprintf(text, sizeof(text), "%llu, %s", (unsigned long long) index,
                    index < trail_reader_checkpoint(reader)->size
                        ? "sealed"
                        : "not yet under a checkpoint");
    print_field("entry", slice_of(text));
    print_leaf(reader, entry);
    if (record == NULL) {
        print_field("no record", entry);
        return;
    }
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        if (record->values[i].size > 0) {
            print_field(record_field_name((record_field_t) i),
                        record->values[i]);
        }
        if (i == RECORD_TIME) {
            print_field("local time",
                        (slice_t){text, local_time(record->values[i], text)});
        }
    }
    for (unsigned i = 0; i < RECORD_FIELDS; i++) {
        if (record_is_cut(record, i)) {
            print_field("was cut",
                        slice_of(record_field_name((record_field_t) i)));
        }
    }
    record_event_codes(record_event_find(record->values[RECORD_EVENT]),
                       record->values[RECORD_ACTION], &id, &type);
    if (id != 0) {
        (void) snprintf(text, sizeof(text), type == 0 ? "%u" : "%u, type %u",
                        id, type);
        print_field("DICOM event", slice_of(text));
    }
}


static int
show(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    _cleanup_(cleanup_free) char *buffer = malloc(TRAIL_ENTRY_MAX);
    record_t record;
    slice_t entry;
    uint64_t index;

    if (buffer == NULL) {
        return fail(command, "out of memory");
    }
    if (place_find(arguments, &place) != STATUS_OK ||
        reader_open(command, &place, &reader) != STATUS_OK ||
        read_recorded(arguments, &place) != STATUS_OK ||
        entry_find(command, reader, argument(arguments, 0), &index, &entry) !=
            STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (option_given(arguments, "--json")) {
        print_own_line(entry);
        return STATUS_OK;
    }
    print_entry(reader, index, entry,
                record_parse(entry, &record, buffer) ? &record : NULL);
    return STATUS_OK;
}


static const option_t show_options[] = {
    {"--json", NULL, "Print the trail's own line."},
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    NOTE_OPTION,
    UNRECORDED_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_show_command = {
    .name = "audit show",
    .arguments = "ID|ENTRY",
    .arguments_min = 1,
    .arguments_max = 1,
    .summary = "Show one record in full.",
    .details = "By its id (32 hexadecimal digits) or by the number of its "
               "entry, from 0. That you read it is recorded first.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = show_options,
    .run = show,
};
