#define _GNU_SOURCE
#include "conf.h"

#include <errno.h>
#include <stdlib.h>

#include "conf_internal.h"
#include "file.h"

#define CHUNK_SIZE_FIRST (16u * 1024)
#define CHUNK_SIZE_MAX   (1024u * 1024)
#define ALIGNMENT        16u

/* Under AddressSanitizer each allocation is one of its own, so that a step
 * beyond its end is seen. */
#if defined(__SANITIZE_ADDRESS__)
#define CHUNK_PER_ALLOCATION 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHUNK_PER_ALLOCATION 1
#endif
#endif
#ifndef CHUNK_PER_ALLOCATION
#define CHUNK_PER_ALLOCATION 0
#endif

#define CHUNK_HEADER_SIZE                                                      \
    ((sizeof(conf_chunk_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

conf_t *
conf_new(report_t *report)
{
    conf_t *conf = calloc(1, sizeof(*conf));

    if (conf != NULL) {
        conf->report = report;
    }
    return conf;
}

void
conf_free(conf_t *conf)
{
    if (conf == NULL) {
        return;
    }
    /* the list of texts is in the chunks: texts first */
    for (conf_text_t *text = conf->texts; text != NULL; text = text->next) {
        free(text->data);
    }
    while (conf->chunks != NULL) {
        conf_chunk_t *next = conf->chunks->next;

        free(conf->chunks);
        conf->chunks = next;
    }
    free(conf->words);
    free(conf);
}

void *
conf_alloc(conf_t *conf, size_t size)
{
    conf_chunk_t *chunk = conf->chunks;
    size_t wanted;
    void *memory;

    if (size > SIZE_MAX / 2) {
        return NULL;
    }
    if (!CHUNK_PER_ALLOCATION) {
        size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    if (CHUNK_PER_ALLOCATION || chunk == NULL ||
        chunk->size - chunk->used < size) {
        wanted = chunk == NULL ? CHUNK_SIZE_FIRST : CHUNK_SIZE_MAX;
        if (CHUNK_PER_ALLOCATION || size > wanted) {
            wanted = size;
        }
        chunk = calloc(1, CHUNK_HEADER_SIZE + wanted);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->size = wanted;
        if (wanted == size && conf->chunks != NULL) {
            /* a large one of its own: the one in use is not left for it */
            chunk->next = conf->chunks->next;
            conf->chunks->next = chunk;
        } else {
            chunk->next = conf->chunks;
            conf->chunks = chunk;
        }
    }
    memory = (char *) chunk + CHUNK_HEADER_SIZE + chunk->used;
    chunk->used += size;
    return memory;
}

static char *
copy_string(conf_t *conf, const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = conf_alloc(conf, size);

    if (copy != NULL) {
        memcpy(copy, string, size);
    }
    return copy;
}

report_place_t
conf_place(const conf_directive_t *directive, uint32_t word)
{
    const conf_word_t *at;

    if (directive->words_count == 0) {
        return (report_place_t){directive->file, 0, 0};
    }
    at = &directive->words[word < directive->words_count ? word : 0];
    return (report_place_t){directive->file, at->line, at->column};
}

/* `data` is malloc'ed, with a NUL behind its end, and belongs to conf now. */
static int
parse_owned(conf_t *conf, const char *file, char *data, size_t size,
            conf_directive_t **first)
{
    conf_text_t *text = conf_alloc(conf, sizeof(*text));
    const char *name;

    *first = NULL;
    if (text == NULL) {
        free(data);
        return -ENOMEM;
    }
    *text = (conf_text_t){conf->texts, data};
    conf->texts = text;
    conf->bytes += size;
    conf->files++;

    name = copy_string(conf, file);
    return name == NULL ? -ENOMEM : conf_read(conf, name, data, size, first);
}

static bool
check_bounds(conf_t *conf, report_place_t place, const char *file, size_t size)
{
    char quote[CONF_QUOTE_MAX];

    if (conf->files == CONF_FILES_MAX) {
        report_add(conf->report, REPORT_ERROR, place,
                   "\"%s\" is one file too many: at most %u are read; put some "
                   "together",
                   conf_quote(slice_of(file), quote), CONF_FILES_MAX);
        return false;
    }
    if (size > CONF_FILE_SIZE_MAX - conf->bytes) {
        report_add(conf->report, REPORT_ERROR, place,
                   "\"%s\" is too large: at most %u MB are read, all files "
                   "together",
                   conf_quote(slice_of(file), quote),
                   CONF_FILE_SIZE_MAX / (1024 * 1024));
        return false;
    }
    return true;
}

int
conf_parse_file(conf_t *conf, const char *path, const report_place_t *place,
                conf_directive_t **first)
{
    report_place_t at = {path, 0, 0};
    char quote[CONF_QUOTE_MAX];
    char *data;
    size_t size;
    int result;

    *first = NULL;
    if (place != NULL) {
        at = *place;
    }
    if (!check_bounds(conf, at, path, 0)) {
        return -E2BIG;
    }
    result = file_read(path, CONF_FILE_SIZE_MAX, &data, &size);
    if (result < 0) {
        report_add(conf->report, REPORT_ERROR, at, "cannot read \"%s\": %s",
                   conf_quote(slice_of(path), quote),
                   result == -EFBIG    ? "it is too large"
                   : result == -EINVAL ? "it is no regular file"
                   : result == -EAGAIN ? "it is being written; try again"
                                       : strerror(-result));
        return result;
    }
    if (!check_bounds(conf, at, path, size)) {
        free(data);
        return -E2BIG;
    }
    return parse_owned(conf, path, data, size, first);
}

int
conf_parse_text(conf_t *conf, const char *file, slice_t text,
                conf_directive_t **first)
{
    report_place_t at = {file, 0, 0};
    char *data;

    *first = NULL;
    if (!check_bounds(conf, at, file, text.size)) {
        return -E2BIG;
    }
    data = malloc(text.size + 1);
    if (data == NULL) {
        report_add(conf->report, REPORT_ERROR, at, "out of memory");
        return -ENOMEM;
    }
    if (text.size > 0) {
        memcpy(data, text.data, text.size);
    }
    data[text.size] = '\0';
    return parse_owned(conf, file, data, text.size, first);
}
