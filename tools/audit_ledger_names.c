/* Names of users: of a file that the officer keeps, or of this host. */

#define _GNU_SOURCE
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

#include "../lib/base/file.h"
#include "audit_ledger.h"

#define NAMES_FILE_MAX   (4u * 1024 * 1024)
#define NAMES_MAX        100000u
#define USER_BUFFER_SIZE 16384

static int
names_add(account_names_t *names, slice_t id, slice_t name)
{
    account_name_t *grown, *added;
    char *copy;

    if (names->count >= NAMES_MAX) {
        return -E2BIG;
    }
    if ((names->count & (names->count - 1)) == 0) {
        size_t capacity = names->count == 0 ? 1 : 2 * names->count;

        grown = reallocarray(names->names, capacity, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        names->names = grown;
    }
    copy = malloc(id.size + name.size + 1);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, id.data, id.size);
    if (name.size > 0) {
        memcpy(copy + id.size, name.data, name.size);
    }
    added = &names->names[names->count++];
    added->id = (slice_t){copy, id.size};
    added->name = (slice_t){copy + id.size, name.size};
    return 0;
}


/* A cell of CSV at the start of `line`, quoted or not; quotes in it stay. */
static slice_t
take_cell(slice_t *line)
{
    bool quoted = line->size > 0 && line->data[0] == '"';
    slice_t cell = quoted ? slice_from(*line, 1) : *line;
    const char *end = memchr(cell.data, quoted ? '"' : ',', cell.size);
    size_t size = end == NULL ? cell.size : (size_t) (end - cell.data);
    const char *comma;

    *line = slice_from(cell, size);
    comma = memchr(line->data, ',', line->size);
    *line = comma == NULL
                ? (slice_t){line->data, 0}
                : slice_from(*line, (size_t) (comma - line->data) + 1);
    cell.size = size;
    return cell;
}


/* "yamada,山田 太郎" a line; a mark of byte order as Excel writes it is none. */
static int
names_parse(slice_t text, account_names_t *names)
{
    int error = 0;

    if (slice_starts(text, SLICE("\xef\xbb\xbf"))) {
        text = slice_from(text, 3);
    }
    while (error == 0 && text.size > 0) {
        const char *end = memchr(text.data, '\n', text.size);
        slice_t line = {text.data,
                        end == NULL ? text.size : (size_t) (end - text.data)};
        slice_t id, name;

        text = slice_from(text, line.size + (end == NULL ? 0 : 1));
        if (line.size > 0 && line.data[line.size - 1] == '\r') {
            line.size--;
        }
        if (line.size == 0 || line.data[0] == '#') {
            continue;
        }
        id = take_cell(&line);
        name = take_cell(&line);
        error = id.size == 0 ? 0 : names_add(names, id, name);
    }
    return error;
}


int
names_read(const arguments_t *arguments, account_names_t *names)
{
    const char *path = option_value(arguments, "--names");
    _cleanup_(cleanup_free) char *text = NULL;
    size_t size;
    int error;

    if (path == NULL) {
        return STATUS_OK;
    }
    names->given = true;
    error = file_read(path, NAMES_FILE_MAX, &text, &size);
    if (error == 0) {
        error = names_parse((slice_t){text, size}, names);
    }
    return error < 0 ? fail(arguments->command->name, "--names: %s: %s", path,
                            strerror(-error))
                     : STATUS_OK;
}


/* The first part of the comment of an account is the name. */
static slice_t
ask_host(slice_t id, char *buffer)
{
    char name[USER_NAME_MAX];
    struct passwd entry, *found = NULL;

    if (id.size >= sizeof(name)) {
        return SLICE("");
    }
    (void) snprintf(name, sizeof(name), "%.*s", SLICE_ARG(id));
    if (getpwnam_r(name, &entry, buffer, USER_BUFFER_SIZE, &found) != 0 ||
        found == NULL || entry.pw_gecos == NULL)
    {
        return SLICE("");
    }
    return (slice_t){entry.pw_gecos, strcspn(entry.pw_gecos, ",")};
}


slice_t
names_find(account_names_t *names, slice_t id)
{
    _cleanup_(cleanup_free) char *buffer = NULL;

    for (size_t i = 0; i < names->count; i++) {
        if (slice_equal(names->names[i].id, id)) {
            return names->names[i].name;
        }
    }
    if (names->given || id.size == 0) {
        return SLICE("");
    }
    buffer = malloc(USER_BUFFER_SIZE);
    if (buffer == NULL || names_add(names, id, ask_host(id, buffer)) < 0) {
        return SLICE("");
    }
    return names->names[names->count - 1].name;
}


void
names_free(account_names_t *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free((char *) (uintptr_t) names->names[i].id.data);
    }
    free(names->names);
}
