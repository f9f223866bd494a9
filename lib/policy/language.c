#define _GNU_SOURCE
#include "language_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "../base/wipe.h"

#define INCLUDE_DEPTH_MAX 8

/* A person looks at one suggestion; the search must not cost seconds. */
#define CANDIDATES_MAX 1000

/* What policy_source_t hides: the memory that its slices point into. */
typedef struct {
    policy_source_t source;
    conf_t *conf;
} owned_t;

/* A file that is being read, and where in it. */
typedef struct {
    conf_directive_t *next;
    char *path; /* real path, malloc'ed; NULL for a text */
} level_t;

typedef struct {
    language_t *language;
    level_t levels[INCLUDE_DEPTH_MAX];
    unsigned depth;
} walk_t;

static const char *const top_names[] = {"timezone", "group", "calendar",
                                        "facility", "include"};

void *
language_append(language_t *language, void **items, size_t *count, size_t size)
{
    void *grown = *items;
    char *item;

    /* the room is doubled whenever the count is a power of 2 */
    if ((*count & (*count - 1)) == 0) {
        grown = reallocarray(*items, *count == 0 ? 1 : *count * 2, size);
        if (grown == NULL) {
            language->out_of_memory = true;
            return NULL;
        }
        *items = grown;
    }
    item = (char *) grown + *count * size;
    memset(item, 0, size);
    (*count)++;
    return item;
}

void *
language_array(language_t *language, size_t count, size_t size)
{
    void *items = NULL;

    if (count <= SIZE_MAX / 2 / size) {
        items = conf_alloc(language->conf, count * size);
    }
    if (items == NULL) {
        language->out_of_memory = true;
    }
    return items;
}

static const char *
nearest(language_t *language, slice_t name, const char *names, size_t count,
        size_t stride)
{
    _cleanup_(cleanup_free) const char **candidates = NULL;

    if (report_errors(language->report) >= REPORT_MESSAGES_MAX) {
        return NULL;
    }
    if (count > CANDIDATES_MAX) {
        count = CANDIDATES_MAX;
    }
    candidates = calloc(count + 1, sizeof(*candidates));
    for (size_t i = 0; candidates != NULL && i < count; i++) {
        slice_t candidate;
        char *copy;

        memcpy(&candidate, names + i * stride, sizeof(candidate));
        copy = conf_alloc(language->conf, candidate.size + 1);
        if (copy == NULL) {
            return NULL;
        }
        memcpy(copy, candidate.data, candidate.size);
        candidates[i] = copy;
    }
    return candidates == NULL ? NULL : conf_nearest(name, candidates, count);
}

const char *
language_nearest_group(language_t *language, slice_t name)
{
    const char *found;

    _Static_assert(offsetof(language_group_t, name) == 0, "the name is first");
    found = nearest(language, name, (const char *) language->groups,
                    language->groups_count, sizeof(language_group_t));
    if (found != NULL) {
        /* that it is not used would be a second message on one mistake */
        language
            ->groups[*language_names_find(&language->group_names,
                                          slice_of(found))]
            .used = true;
    }
    return found;
}

const char *
language_nearest_calendar(language_t *language, slice_t name)
{
    const char *found;

    _Static_assert(offsetof(language_calendar_t, name) == 0,
                   "the name is first");
    found = nearest(language, name, (const char *) language->calendars,
                    language->calendars_count, sizeof(language_calendar_t));
    if (found != NULL) {
        language
            ->calendars[*language_names_find(&language->calendar_names,
                                             slice_of(found))]
            .used = true;
    }
    return found;
}

const language_zone_t *
language_default_zone(language_t *language)
{
    const conf_directive_t *line = language->timezone;
    const language_zone_t *zone = NULL;
    const uint32_t *index;

    if (line != NULL && line->words_count > 1) {
        /* looked up once where it stands, where an error was told */
        index = language_names_find(&language->zone_names, line->words[1].text);
        zone = index == NULL ? NULL : &language->zones[*index];
    }
    return zone == NULL || zone->status <= 0 ? NULL : zone;
}

/* ---- A ";" or "}" that is missing --------------------------------------- */

static bool
is_top_name(slice_t name)
{
    for (size_t i = 0; i < sizeof(top_names) / sizeof(top_names[0]); i++) {
        if (slice_is(name, top_names[i])) {
            return true;
        }
    }
    return false;
}

/* A directive's name at the start of a line, among another's values: a ";" is
 * missing before it.  Tells so, and makes two directives of them. */
static void
split(language_t *language, conf_directive_t *directive, bool in_facility)
{
    for (uint32_t i = 1; i < directive->words_count; i++) {
        const conf_word_t *before = &directive->words[i - 1];
        const conf_word_t *word = &directive->words[i];
        char quote[CONF_QUOTE_MAX], next_quote[CONF_QUOTE_MAX];
        conf_directive_t *rest;

        if (word->line == before->line || word->quoted ||
            !(is_top_name(word->text) ||
              (in_facility && language_facility_knows(word->text))))
        {
            continue;
        }
        LANGUAGE_ERROR(language, conf_place(directive, i - 1),
                       "\";\" is missing after \"%s\", at the end of line %u, "
                       "before \"%s\": add it",
                       conf_quote(before->text, quote), before->line,
                       conf_quote(word->text, next_quote));
        rest = language_array(language, 1, sizeof(*rest));
        if (rest == NULL) {
            return;
        }
        *rest = *directive;
        rest->words += i;
        rest->words_count -= i;
        directive->words_count = i;
        directive->block = false;
        directive->children = NULL;
        directive->next = rest;
        directive = rest;
        i = 0;
    }
}

/* A block that belongs to the top stands inside a facility: a "}" is missing
 * before it.  Tells so once, and moves them behind the facility. */
static void
hoist(language_t *language, conf_directive_t *facility)
{
    conf_directive_t **link = &facility->children;
    conf_directive_t *behind = facility;
    bool told = false;
    char quote[CONF_QUOTE_MAX];

    while (*link != NULL) {
        conf_directive_t *child = *link;

        split(language, child, true);
        if (!child->block || !is_top_name(child->words[0].text)) {
            link = &child->next;
            continue;
        }
        if (!told) {
            told = true;
            LANGUAGE_ERROR(language, conf_place(child, 0),
                           "\"%.*s\" inside the facility of line %u: is \"}\" "
                           "missing before \"%s\"?",
                           SLICE_ARG(child->words[0].text),
                           conf_place(facility, 0).line,
                           conf_quote(child->words[0].text, quote));
        }
        *link = child->next;
        child->next = behind->next;
        behind->next = child;
        behind = child;
    }
}

/* ---- The top level ------------------------------------------------------ */

static void
read_timezone(language_t *language, const conf_directive_t *directive)
{
    report_place_t place = conf_place(directive, 0);
    char earlier[LANGUAGE_EARLIER_MAX];

    if (directive->words_count != 2 || directive->block) {
        LANGUAGE_ERROR(language, place,
                       "\"timezone\" takes one name: write timezone "
                       "Asia/Tokyo;");
    }
    if (language->timezone != NULL) {
        LANGUAGE_ERROR(language, place,
                       "\"timezone\" is already given at %s: delete one of "
                       "them, or write it inside a facility",
                       language_earlier(
                           place, conf_place(language->timezone, 0), earlier));
        return;
    }
    language->timezone = directive;
    if (directive->words_count > 1) {
        (void) language_zone(language, directive, 1);
    }
}

static report_place_t
facility_place_of(const language_t *language, uint32_t index)
{
    return conf_place(language->facilities[index], 1);
}

static void
note_facility(language_t *language, conf_directive_t *directive)
{
    const conf_directive_t **facility;
    bool is_new;

    hoist(language, directive);
    if (!language_check_block(
            language, directive, "facility aoba-clinic { ... }",
            &language->facility_names, language->facilities_count,
            facility_place_of, &is_new))
    {
        return;
    }
    (void) language_check_id(language, "facility", directive, 1);
    if (language->facilities_count == POLICY_FACILITIES_MAX) {
        LANGUAGE_ERROR(language, conf_place(directive, 0),
                       "too many facilities: at most %u",
                       POLICY_FACILITIES_MAX);
    }
    facility = language_append(language, (void **) &language->facilities,
                               &language->facilities_count,
                               sizeof(const conf_directive_t *));
    if (facility != NULL) {
        *facility = directive;
    }
}

static void
read_include(walk_t *walk, const conf_directive_t *directive)
{
    language_t *language = walk->language;
    report_place_t place = conf_place(directive, 1);
    char quote[CONF_QUOTE_MAX];
    level_t *level;
    const char *path;
    char *real;

    if (directive->words_count != 2 || directive->block) {
        LANGUAGE_ERROR(language, conf_place(directive, 0),
                       "\"include\" takes one file: write include FILE;");
        if (directive->words_count < 2) {
            return;
        }
    }
    path = language_path(language, directive, 1);
    if (path == NULL) {
        return;
    }
    (void) conf_quote(slice_of(path), quote);
    if (strpbrk(path, "*?[") != NULL && access(path, F_OK) < 0) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is a pattern: write an include for each file",
                       quote);
        return;
    }
    if (walk->depth == INCLUDE_DEPTH_MAX) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is included too deep: at most %u files inside "
                       "each other",
                       quote, INCLUDE_DEPTH_MAX);
        return;
    }
    real = realpath(path, NULL);
    for (unsigned i = 0; real != NULL && i < walk->depth; i++) {
        if (walk->levels[i].path != NULL &&
            strcmp(walk->levels[i].path, real) == 0) {
            LANGUAGE_ERROR(language, place,
                           "\"%s\" includes itself in the end: delete this "
                           "include",
                           quote);
            free(real);
            return;
        }
    }
    level = &walk->levels[walk->depth++];
    level->path = real;
    (void) conf_parse_file(language->conf, path, &place, &level->next);
}

static void
read_directive(walk_t *walk, conf_directive_t *directive)
{
    language_t *language = walk->language;
    slice_t name = directive->words[0].text;
    const char *meant;
    char quote[CONF_QUOTE_MAX];

    if (slice_is(name, "facility")) {
        note_facility(language, directive);
    } else if (slice_is(name, "group")) {
        language_read_group(language, directive);
    } else if (slice_is(name, "calendar")) {
        language_read_calendar(language, directive);
    } else if (slice_is(name, "timezone")) {
        read_timezone(language, directive);
    } else if (!slice_is(name, "include")) {
        (void) conf_quote(name, quote);
        meant = conf_nearest(name, top_names,
                             sizeof(top_names) / sizeof(top_names[0]));
        if (language_facility_knows(name)) {
            LANGUAGE_ERROR(language, conf_place(directive, 0),
                           "\"%s\" outside of a facility: move it into a "
                           "\"facility ID { }\"; is a \"}\" too many above?",
                           quote);
        } else if (meant != NULL) {
            LANGUAGE_ERROR(language, conf_place(directive, 0),
                           "unknown directive \"%s\": did you mean \"%s\"? At "
                           "the top stand timezone group calendar facility "
                           "include",
                           quote, meant);
        } else {
            LANGUAGE_ERROR(language, conf_place(directive, 0),
                           "unknown directive \"%s\": at the top stand "
                           "timezone group calendar facility include",
                           quote);
        }
    }
}

/* All files, in the order in which their directives apply. */
static void
walk_files(walk_t *walk)
{
    language_t *language = walk->language;

    while (walk->depth > 0 && !language->out_of_memory) {
        level_t *level = &walk->levels[walk->depth - 1];
        conf_directive_t *directive = level->next;

        if (directive == NULL) {
            free(level->path);
            walk->depth--;
            continue;
        }
        split(language, directive, false);
        read_directive(walk, directive);
        /* only now: what was missing may have put others behind it */
        level->next = directive->next;
        if (slice_is(directive->words[0].text, "include")) {
            read_include(walk, directive);
        }
    }
    while (walk->depth > 0) {
        free(walk->levels[--walk->depth].path);
    }
}

static void
read_facilities(language_t *language, policy_source_t *source)
{
    size_t count = language->facilities_count;

    source->facilities = language_array(language, count,
                                        sizeof(*source->facilities));
    for (size_t i = 0; i < count && !language->out_of_memory; i++) {
        language_facility(language, language->facilities[i],
                          &source->facilities[i]);
        source->facilities_count++;
    }
}

static void
warn_unused(language_t *language)
{
    const language_zone_t *zone = language_default_zone(language);
    int32_t today = zone != NULL ? zone->today
                                 : (int32_t) (language->now / 86400);
    char quote[CONF_QUOTE_MAX];

    for (size_t i = 0; i < language->groups_count; i++) {
        const language_group_t *group = &language->groups[i];

        (void) conf_quote(group->name, quote);
        if (!group->used) {
            LANGUAGE_WARNING(language, group->place,
                             "group \"%s\" is not used: write \"users @%s;\" "
                             "in a facility, or delete it",
                             quote, quote);
        }
    }
    for (size_t i = 0; i < language->calendars_count; i++) {
        const language_calendar_t *calendar = &language->calendars[i];
        size_t count = calendar->days_count;

        (void) conf_quote(calendar->name, quote);
        if (!calendar->used) {
            LANGUAGE_WARNING(language, calendar->place,
                             "calendar \"%s\" is not used: write \"closed "
                             "%s;\" in a facility, or delete it",
                             quote, quote);
        }
        if (count > 0 && calendar->days[count - 1].last < today) {
            LANGUAGE_WARNING(language, calendar->place,
                             "all days of calendar \"%s\" are past: add those "
                             "to come",
                             quote);
        }
    }
}

/* Memory of the reader alone; what the source needs is in the conf. */
static void
language_free(language_t *language)
{
    for (size_t i = 0; i < language->pems_count; i++) {
        free(language->pems[i].sha256);
    }
    free(language->pems);
    free(language->groups);
    free(language->calendars);
    free(language->facilities);
    free(language->zones);
    language_names_free(&language->group_names);
    language_names_free(&language->calendar_names);
    language_names_free(&language->facility_names);
    language_names_free(&language->zone_names);
    language_names_free(&language->pem_names);
    language_names_free(&language->scratch);
}

/* `text` NULL: reads the file `name`. */
static policy_source_t *
read_source(const char *name, const slice_t *text, int64_t now,
            report_t *report)
{
    _cleanup_(language_free)
        language_t language = {.report = report, .now = now};
    walk_t walk = {.language = &language, .depth = 1};
    owned_t *owned = calloc(1, sizeof(*owned));
    report_place_t whole = {name, 0, 0};
    bool empty;
    int result;

    language.conf = conf_new(report);
    if (owned == NULL || language.conf == NULL) {
        conf_free(language.conf);
        free(owned);
        report_add(report, REPORT_ERROR, whole, "out of memory");
        return NULL;
    }
    owned->conf = language.conf;
    if (text == NULL) {
        walk.levels[0].path = realpath(name, NULL);
        result = conf_parse_file(language.conf, name, NULL,
                                 &walk.levels[0].next);
    } else {
        result = conf_parse_text(language.conf, name, *text,
                                 &walk.levels[0].next);
    }
    empty = result == 0 && walk.levels[0].next == NULL;
    walk_files(&walk);
    read_facilities(&language, &owned->source);
    warn_unused(&language);

    if (language.out_of_memory || result == -ENOMEM) {
        report_add(report, REPORT_ERROR, whole, "out of memory");
    } else if (owned->source.facilities_count == 0 &&
               report_errors(report) == 0) {
        report_add(report, REPORT_WARNING, whole,
                   "%s, so that nobody is admitted: add \"facility ID { }\"",
                   empty ? "it is empty" : "it has no facility");
    }
    if (result != 0 || report_errors(report) > 0) {
        policy_source_free(&owned->source);
        return NULL;
    }
    return &owned->source;
}

policy_source_t *
policy_source_read_file(const char *path, int64_t now, report_t *report)
{
    return read_source(path, NULL, now, report);
}

policy_source_t *
policy_source_read_text(const char *name, slice_t text, int64_t now,
                        report_t *report)
{
    return read_source(name, &text, now, report);
}

void
policy_source_free(policy_source_t *source)
{
    owned_t *owned = (owned_t *) (void *) source;

    if (owned == NULL) {
        return;
    }
    conf_free(owned->conf);
    free(owned);
}
