/* `sekisho policy show`: what is in force. */

#include "policy_tools.h"

#include "../lib/base/conf.h"
#include "../lib/base/wipe.h"

#define COLUMNS        7
#define NAME_WIDTH_MAX 40
#define COLUMN_GAP     2

typedef struct {
    char *cells[COLUMNS];
} row_t;

static const char *const headings[COLUMNS] = {
    "FACILITY", "NAME", "NETWORKS", "DEVICE", "MODE", "VALID", "HOURS"};


static void
cell_networks(FILE *out, const policy_facility_t *facility)
{
    const char *plus = "";

    if (facility->networks_count > 0) {
        fprintf(out, "%u", facility->networks_count);
        plus = "+";
    }
    if (facility->any) {
        fprintf(out, "%sany", plus);
        plus = "+";
    }
    if (facility->local) {
        fprintf(out, "%slocal", plus);
    }
}


/* A name, cut where it would spoil the table; whole characters only. */
static void
cell_name(FILE *out, slice_t name)
{
    if (safe_width(name) <= NAME_WIDTH_MAX) {
        fwrite(name.data, 1, name.size, out);
        return;
    }
    while (name.size > 0 && safe_width(name) >= NAME_WIDTH_MAX) {
        do {
            name.size--;
        } while (name.size > 0 && (name.data[name.size] & 0xc0) == 0x80);
    }
    fwrite(name.data, 1, name.size, out);
    fputs(output_mark("…", "~"), out);
}


static int
fill_row(const policy_image_t *image, uint32_t index, text_t *text, row_t *row)
{
    policy_facility_t facility;

    if (!policy_facility(image, index, &facility)) {
        return STATUS_ERROR;
    }
    for (size_t column = 0; column < COLUMNS; column++) {
        FILE *out = text_begin(text);
        slice_t cell;

        switch (column) {
        case 0:
            fwrite(facility.id.data, 1, facility.id.size, out);
            break;
        case 1:
            cell_name(out, facility.name);
            break;
        case 2:
            cell_networks(out, &facility);
            break;
        case 3:
            fputs(device_name(facility.device), out);
            break;
        case 4:
            fputs(facility.dry_run ? "dry-run" : "enforce", out);
            break;
        case 5:
            write_valid(out, facility.valid_from, facility.valid_to);
            break;
        default:
            write_hours(out, image, index);
            break;
        }
        cell = text_end(text);
        row->cells[column] = strndup(cell.data, cell.size);
        if (row->cells[column] == NULL) {
            return STATUS_ERROR;
        }
    }
    return STATUS_OK;
}


static void
print_row(const char *const *cells, const size_t widths[COLUMNS], style_t style)
{
    fputs(style_on(stdout, style), stdout);
    for (size_t column = 0; column < COLUMNS; column++) {
        slice_t cell = slice_of(cells[column]);

        if (column + 1 == COLUMNS) {
            print_safe(stdout, cell);
        } else {
            print_padded(stdout, cell, widths[column] + COLUMN_GAP);
        }
    }
    fputs(style_off(stdout, style), stdout);
    fputc('\n', stdout);
}


static void
free_rows(row_t *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t column = 0; column < COLUMNS; column++) {
            free(rows[i].cells[column]);
        }
    }
    free(rows);
}


static int
show_table(const char *command, const policy_image_t *image)
{
    size_t widths[COLUMNS] = {0};
    uint32_t count = policy_facilities(image);
    row_t *rows = calloc((size_t) count + 1, sizeof(*rows));
    text_t text = {.out = NULL};
    int status = STATUS_OK;

    if (rows == NULL || text_open(&text) < 0) {
        free(rows);
        return fail(command, "out of memory");
    }
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        status = fill_row(image, i, &text, &rows[i]);
    }
    text_close(&text);
    if (status != STATUS_OK) {
        free_rows(rows, count);
        return fail(command, "out of memory");
    }
    for (size_t column = 0; column < COLUMNS; column++) {
        widths[column] = strlen(headings[column]);
        for (uint32_t i = 0; i < count; i++) {
            size_t width = safe_width(slice_of(rows[i].cells[column]));

            widths[column] = width > widths[column] ? width : widths[column];
        }
    }
    print_row(headings, widths, STYLE_BOLD);
    for (uint32_t i = 0; i < count; i++) {
        print_row((const char *const *) rows[i].cells, widths, STYLE_NONE);
    }
    printf("\npolicy %s, %u %s\n", policy_image_version(image), count,
           count == 1 ? "facility" : "facilities");
    free_rows(rows, count);
    return STATUS_OK;
}


/* A name's bytes are kept where a program reads, and made safe where a person
 * does. */
static int
show_text(const char *command, const policy_image_t *image, uint32_t first,
          uint32_t last)
{
    text_t text;

    if (text_open(&text) < 0) {
        return fail(command, "out of memory");
    }
    for (uint32_t i = first; i <= last; i++) {
        slice_t whole;

        write_facility(text_begin(&text), image, i);
        whole = text_end(&text);
        if (i != first) {
            fputc('\n', stdout);
        }
        if (isatty(STDOUT_FILENO) != 1) {
            fwrite(whole.data, 1, whole.size, stdout);
            continue;
        }
        while (whole.size > 0) {
            const char *end = memchr(whole.data, '\n', whole.size);
            size_t line = end == NULL ? whole.size
                                      : (size_t) (end - whole.data);

            print_safe(stdout, (slice_t){whole.data, line});
            fputc('\n', stdout);
            whole = slice_from(whole, end == NULL ? line : line + 1);
        }
    }
    text_close(&text);
    return STATUS_OK;
}


static int
show_json(const char *command, const policy_image_t *image, uint32_t index)
{
    _cleanup_(cleanup_json) json_t json;

    json_init(&json);
    if (index != POLICY_NO_FACILITY) {
        facility_json(&json, NULL, image, index);
        return print_json(command, json_result(&json));
    }
    json_object(&json, NULL);
    json_string(&json, "version", policy_image_version(image));
    json_int(&json, "bytes", (int64_t) policy_image_size(image));
    json_array(&json, "facilities");
    for (uint32_t i = 0; i < policy_facilities(image); i++) {
        facility_json(&json, NULL, image, i);
    }
    json_end_array(&json);
    json_end_object(&json);
    return print_json(command, json_result(&json));
}


static int
no_facility(const char *command, const policy_image_t *image, const char *id)
{
    const char *nearest = NULL;
    uint32_t count = policy_facilities(image);
    char **ids = calloc((size_t) count + 1, sizeof(*ids));
    bool complete = ids != NULL;

    for (uint32_t i = 0; i < count && complete; i++) {
        policy_facility_t facility;

        complete = policy_facility(image, i, &facility) &&
                   (ids[i] = strndup(facility.id.data, facility.id.size)) !=
                       NULL;
    }
    if (complete) {
        nearest = conf_nearest(slice_of(id), (const char *const *) ids, count);
    }
    if (nearest != NULL) {
        fail(command, "no facility \"%s\"; did you mean \"%s\"?", id, nearest);
    } else {
        fail(command, "no facility \"%s\"; \"sekisho policy show\" lists them",
             id);
    }
    for (uint32_t i = 0; ids != NULL && i < count; i++) {
        free(ids[i]);
    }
    free(ids);
    return STATUS_ERROR;
}


static int
show(const arguments_t *arguments)
{
    const char *command = arguments->command->name;
    const char *id = argument(arguments, 0);
    const char *path = option_value(arguments, "--policy");
    const char *alias = option_value(arguments, "--image");
    _cleanup_(cleanup_image) policy_image_t *image = NULL;
    uint32_t index = POLICY_NO_FACILITY;

    if (path != NULL && alias != NULL) {
        return fail(command, "--policy and --image are the same: give one");
    }
    path = path != NULL ? path : alias != NULL ? alias : DEFAULT_IMAGE;
    if (policy_open(command, path, &image) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (id != NULL) {
        index = policy_facility_find(image, slice_of(id));
        if (index == POLICY_NO_FACILITY) {
            return no_facility(command, image, id);
        }
    }
    if (option_given(arguments, "--json")) {
        return show_json(command, image, index);
    }
    if (id != NULL) {
        return show_text(command, image, index, index);
    }
    if (option_given(arguments, "--full")) {
        uint32_t count = policy_facilities(image);

        return count == 0 ? STATUS_OK : show_text(command, image, 0, count - 1);
    }
    return show_table(command, image);
}


static const option_t show_options[] = {
    {"--full", NULL, "Print all facilities as policy text, not as a table."},
    {"--json", NULL, "Print JSON."},
    {"--policy", "FILE", "Policy image or text to show [" DEFAULT_IMAGE "]."},
    {"--image", "FILE", "The same as --policy."},
    {NULL, NULL, NULL},
};

const command_t policy_show_command = {
    .name = "policy show",
    .arguments = "[FACILITY]",
    .arguments_max = 1,
    .summary = "Show the policy in force, or one facility of it.",
    .details =
        "Without FACILITY: a table of all. With it: that facility as policy "
        "text, groups and calendars resolved, certificates and authorities by "
        "their fingerprints. That text is valid again: checked and applied, it "
        "gives the same facility.\n\n"
        "Exit status: 0 done; 2 error.",
    .options = show_options,
    .run = show,
};
