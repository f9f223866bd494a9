#define _GNU_SOURCE
#include "openings_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../lib/base/file.h"
#include "../lib/base/wipe.h"

#define NAME      "openings"
#define HEAD      "sekisho openings 1\nsize "
#define TAIL      "end\n" /* what is torn has none */
#define LINE_MAX_ 64      /* bytes: an index and an id */
#define FILE_MAX  ((size_t) OPENINGS_MAX * LINE_MAX_ + 256)
#define COUNT_MAX (2 * (size_t) OPENINGS_MAX)

static int
path_of(const char *trail, char **path)
{
    if (asprintf(path, "%s/" NAME, trail) < 0) {
        *path = NULL;
        return -ENOMEM;
    }
    return 0;
}

/* The trail's own order, in which bundles are read once each. */
static int
by_index(const void *left, const void *right)
{
    const remembered_t *a = left, *b = right;

    return (a->index > b->index) - (a->index < b->index);
}

int
openings_file_write(const char *trail, const openings_t *openings,
                    uint64_t size, uint64_t edge)
{
    _cleanup_(cleanup_free) char *path = NULL;
    _cleanup_(cleanup_free) char *text = NULL;
    size_t used = 0;
    FILE *out = open_memstream(&text, &used);
    int result = path_of(trail, &path);
    char id[33];

    if (out == NULL) {
        return -ENOMEM;
    }
    (void) fprintf(out, HEAD "%llu\n", (unsigned long long) size);
    for (const opening_t *opening = openings->oldest; opening != NULL;
         opening = opening->newer)
    {
        if (opening->index < edge) {
            opening_id_format(opening->id, id);
            (void) fprintf(out, "%llu %s\n",
                           (unsigned long long) opening->index, id);
        }
    }
    (void) fputs(TAIL, out);
    if (fclose(out) != 0 || text == NULL) {
        return -ENOMEM;
    }
    return result < 0 ? result
                      : file_write_atomic(path, (slice_t){text, used}, 0640);
}

/* The digits at the start and the character behind them; false without. */
static bool
take_number(slice_t *text, char end, uint64_t *number)
{
    size_t digits = 0;

    *number = 0;
    while (digits < text->size && digits < 19 && text->data[digits] >= '0' &&
           text->data[digits] <= '9')
    {
        *number = *number * 10 + (uint64_t) (text->data[digits] - '0');
        digits++;
    }
    if (digits == 0 || digits == text->size || text->data[digits] != end) {
        return false;
    }
    *text = slice_from(*text, digits + 1);
    return true;
}

static bool
take_line(slice_t *text, uint64_t size, remembered_t *found)
{
    if (!take_number(text, ' ', &found->index) || found->index >= size ||
        text->size < 33 || text->data[32] != '\n' ||
        !opening_id_parse((slice_t){text->data, 32}, found->id))
    {
        return false;
    }
    *text = slice_from(*text, 33);
    return true;
}

int
openings_file_read(const char *trail, remembered_t **list, size_t *count,
                   uint64_t *size)
{
    _cleanup_(cleanup_free) char *path = NULL;
    _cleanup_(cleanup_free) char *data = NULL;
    remembered_t *found;
    size_t bytes, lines = 0;
    slice_t text;
    int result = path_of(trail, &path);

    *list = NULL;
    *count = 0;
    if (result == 0) {
        result = file_read(path, FILE_MAX, &data, &bytes);
    }
    if (result < 0) {
        return result;
    }
    text = (slice_t){data, bytes};
    if (bytes < sizeof(HEAD) - 1 || memcmp(data, HEAD, sizeof(HEAD) - 1) != 0) {
        return -EBADMSG;
    }
    text = slice_from(text, sizeof(HEAD) - 1);
    if (!take_number(&text, '\n', size)) {
        return -EBADMSG;
    }
    for (size_t i = 0; i < text.size; i++) {
        lines += text.data[i] == '\n';
    }
    if (lines == 0 || lines > COUNT_MAX) {
        return -EBADMSG;
    }
    found = calloc(lines, sizeof(*found));
    if (found == NULL) {
        return -ENOMEM;
    }
    while (*count + 1 < lines && take_line(&text, *size, &found[*count])) {
        (*count)++;
    }
    if (!slice_is(text, TAIL)) {
        free(found);
        *count = 0;
        return -EBADMSG;
    }
    qsort(found, *count, sizeof(*found), by_index);
    *list = found;
    return 0;
}

int
openings_file_remove(const char *trail)
{
    _cleanup_(cleanup_free) char *path = NULL;
    int result = path_of(trail, &path);

    if (result == 0 && unlink(path) < 0 && errno != ENOENT) {
        result = -errno;
    }
    return result;
}
