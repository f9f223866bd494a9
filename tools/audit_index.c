/* `sekisho audit index`: makes audit.db, or takes in what is new. */

#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "audit_index.h"

#define TEMPORARY "SQLITE_TMPDIR"

int
index_path(const arguments_t *arguments, const place_t *place, char **path)
{
    const char *command = arguments->command->name;
    const char *given = option_value(arguments, "--index");
    _cleanup_(cleanup_free) char *folder = NULL;
    char *slash;

    *path = NULL;
    if (given != NULL) {
        *path = strdup(given);
        return *path == NULL ? fail(command, "out of memory") : STATUS_OK;
    }
    if (place->config != NULL &&
        strcmp(place->folder, place->config->trail) == 0) {
        if (place->config->index == NULL) {
            return STATUS_OK;
        }
        *path = strdup(place->config->index);
        return *path == NULL ? fail(command, "out of memory") : STATUS_OK;
    }
    folder = realpath(place->folder, NULL);
    if (folder == NULL) {
        return STATUS_OK; /* the trail is not there: its reader says so */
    }
    slash = strrchr(folder, '/');
    *slash = '\0';
    return asprintf(path, "%s/audit.db", folder) < 0
               ? fail(command, "out of memory")
               : STATUS_OK;
}


int
index_find(const arguments_t *arguments, const place_t *place,
           trail_reader_t *reader, review_index_t **index, char why[256])
{
    _cleanup_(cleanup_free) char *path = NULL;
    int error;

    *index = NULL;
    why[0] = '\0';
    if (index_path(arguments, place, &path) != STATUS_OK) {
        return STATUS_ERROR;
    }
    if (path == NULL) {
        (void) snprintf(why, 256, "\"index off\" is configured");
        return STATUS_OK;
    }
    error = index_open(path, INDEX_READ, index, why);
    if (error == 0) {
        error = index_belongs(*index, reader);
        if (error < 0) {
            (void) snprintf(why, 256, "%s", index_strerror(*index));
            index_close(*index);
            *index = NULL;
        }
    }
    if (error < 0 && error != -ENOENT) {
        fprintf(stderr, "%swarning: the index is not used: ",
                style_on(stderr, STYLE_WARN));
        print_safe(stderr, slice_of(why));
        fprintf(stderr, "%s\n", style_off(stderr, STYLE_WARN));
    }
    return STATUS_OK;
}


static bool
told(void *context, uint64_t done, uint64_t all)
{
    progress_tell(context, done, all);
    return true;
}


/* SQLite sorts beside the index: what it writes there is patients' data. */
static void
sort_beside(const char *path)
{
    _cleanup_(cleanup_free) char *folder = strdup(path);
    char *slash = folder == NULL ? NULL : strrchr(folder, '/');

    if (slash != NULL && slash != folder) {
        *slash = '\0';
        (void) setenv(TEMPORARY, folder, 0);
    }
}


static int
fill(const arguments_t *arguments, review_index_t *index,
     trail_reader_t *reader, const char *path)
{
    const char *command = arguments->command->name;
    char taken_text[COUNT_TEXT_MAX], size_text[COUNT_TEXT_MAX];
    progress_t progress;
    uint64_t taken = 0;
    int error;

    progress_begin(&progress, "indexed");
    error = index_update(index, reader, 0, told, &progress, &taken);
    progress_end(&progress);
    if (index_strerror(index)[0] != '\0' && error == 0) {
        fprintf(stderr, "sekisho %s: ", command);
        print_safe(stderr, slice_of(index_strerror(index)));
        fputc('\n', stderr);
    }
    if (error < 0) {
        return fail(command, "%s",
                    index_strerror(index)[0] != '\0' ? index_strerror(index)
                                                     : strerror(-error));
    }
    print_safe(stdout, slice_of(path));
    printf(": %s entries taken in; holds at tree size %s\n",
           count_text(taken, taken_text),
           count_text(index_size(index), size_text));
    return STATUS_OK;
}


/* The daemon, or another one of us, is at it. */
static int
tell_busy(const arguments_t *arguments, const char *path, const char *problem)
{
    const char *command = arguments->command->name;
    _cleanup_(cleanup_index) review_index_t *index = NULL;
    char error[256], text[COUNT_TEXT_MAX];

    if (option_given(arguments, "--rebuild")) {
        return fail(command, "%s: stop sekishod for --rebuild", problem);
    }
    if (index_open(path, INDEX_READ, &index, error) < 0) {
        return fail(command, "%s", problem);
    }
    print_safe(stdout, slice_of(path));
    printf(": kept up to date by another process; holds at tree size %s\n",
           count_text(index_size(index), text));
    return STATUS_OK;
}


static int
run_index(const arguments_t *arguments, place_t *place)
{
    const char *command = arguments->command->name;
    _cleanup_(cleanup_reader) trail_reader_t *reader = NULL;
    _cleanup_(cleanup_index) review_index_t *index = NULL;
    _cleanup_(cleanup_free) char *path = NULL;
    char problem[256];
    int error;

    if (place_find(arguments, place) != STATUS_OK ||
        reader_open(command, place, &reader) != STATUS_OK ||
        index_path(arguments, place, &path) != STATUS_OK)
    {
        return STATUS_ERROR;
    }
    if (path == NULL) {
        return fail(command, "\"index off\" is configured: name a file with "
                             "--index FILE");
    }
    sort_beside(path);
    error = index_open(path, INDEX_WRITE, &index, problem);
    if (error == -EBUSY) {
        return tell_busy(arguments, path, problem);
    }
    if (error < 0) {
        return fail(command, "%s", problem);
    }
    if (problem[0] != '\0') {
        fprintf(stderr, "sekisho %s: ", command);
        print_safe(stderr, slice_of(problem));
        fputc('\n', stderr);
    }
    if (option_given(arguments, "--rebuild")) {
        error = index_clear(index);
        if (error < 0) {
            return fail(command, "%s", index_strerror(index));
        }
    }
    return fill(arguments, index, reader, path);
}


static int
make_index(const arguments_t *arguments)
{
    _cleanup_(place_free) place_t place = {NULL, NULL, NULL, false};

    return run_index(arguments, &place);
}


static const option_t index_options[] = {
    {"--rebuild", NULL, "From nothing, whatever is there."},
    INDEX_OPTION,
    TRAIL_OPTION,
    CONFIG_OPTION,
    SOCKET_OPTION,
    {NULL, NULL, NULL},
};

const command_t audit_index_command = {
    .name = "audit index",
    .arguments = "",
    .summary = "Make the index for searches and reports.",
    .details = "Takes what is new in the trail into audit.db, a SQLite "
               "database that is derived from the trail alone. sekishod does "
               "the same while it runs. A damaged index, or one of another "
               "trail, is made anew; an interrupted run is gone on with.\n\n"
               "Exit status: 0 done; 2 error.",
    .options = index_options,
    .run = make_index,
};
