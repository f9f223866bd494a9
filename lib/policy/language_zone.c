#define _GNU_SOURCE
#include "language_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../base/wipe.h"
#include "zone.h"

#define FOLDER      "/usr/share/zoneinfo"
#define NAMES_MAX   4096
#define SLASHES_MAX 2 /* America/Argentina/Salta */
#define DAY_SECONDS 86400

/* Abbreviations that people write, and that are no zones. */
static const struct {
    const char *abbreviation;
    const char *zone;
} abbreviations[] = {{"JST", "Asia/Tokyo"}, {"KST", "Asia/Seoul"}};

/* The names of the system's zones, for a suggestion. */
typedef struct {
    char **names;
    const char **lasts; /* the part behind the last slash, of each */
    size_t count;
} zone_list_t;

static void
zone_list_free(zone_list_t *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->names[i]);
    }
    free(list->names);
    free(list->lasts);
}

static void
cleanup_closedir(DIR **dir)
{
    if (*dir != NULL) {
        (void) closedir(*dir);
    }
}

static int
compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *) left, *(char *const *) right);
}

static unsigned
slashes(const char *name)
{
    unsigned count = 0;

    for (; *name != '\0'; name++) {
        count += *name == '/';
    }
    return count;
}

/* Adds what lies in `folder` ("" for the top); zones have a capital first. */
static void
list_folder(zone_list_t *list, const char *top, const char *folder)
{
    _cleanup_(cleanup_closedir) DIR *dir = NULL;
    _cleanup_(cleanup_free) char *path = NULL;
    const struct dirent *entry;

    if (asprintf(&path, "%s/%s", top, folder) < 0) {
        path = NULL;
        return;
    }
    dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    while (list->count < NAMES_MAX && (entry = readdir(dir)) != NULL) {
        char *name;

        if (entry->d_name[0] < 'A' || entry->d_name[0] > 'Z') {
            continue;
        }
        if (asprintf(&name, "%s%s%s", folder, folder[0] == '\0' ? "" : "/",
                     entry->d_name) < 0)
        {
            return;
        }
        list->names[list->count++] = name;
    }
}

/* Folders come before what is in them, so one walk over the growing list sees
 * all; they stay in the list until the end, where they are dropped. */
static bool
list_zones(zone_list_t *list)
{
    const char *top = getenv("TZDIR");
    size_t kept = 0;

    if (top == NULL || top[0] == '\0') {
        top = FOLDER;
    }
    list->names = calloc(NAMES_MAX, sizeof(*list->names));
    list->lasts = calloc(NAMES_MAX, sizeof(*list->lasts));
    if (list->names == NULL || list->lasts == NULL) {
        return false;
    }
    list_folder(list, top, "");
    for (size_t i = 0; i < list->count; i++) {
        _cleanup_(cleanup_free) char *path = NULL;
        char *name = list->names[i];
        struct stat st;
        bool is_folder;

        if (asprintf(&path, "%s/%s", top, name) < 0) {
            path = NULL;
        }
        is_folder = path == NULL || stat(path, &st) < 0 || S_ISDIR(st.st_mode);
        if (is_folder && path != NULL && slashes(name) < SLASHES_MAX) {
            list_folder(list, top, name);
        }
        if (is_folder) {
            free(name);
            list->names[i] = NULL;
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        if (list->names[i] != NULL) {
            list->names[kept++] = list->names[i];
        }
    }
    list->count = kept;
    qsort(list->names, kept, sizeof(*list->names), compare_names);
    for (size_t i = 0; i < kept; i++) {
        const char *slash = strrchr(list->names[i], '/');

        list->lasts[i] = slash == NULL ? list->names[i] : slash + 1;
    }
    return true;
}

static bool
same_letters(slice_t a, const char *b)
{
    return strlen(b) == a.size && strncasecmp(a.data, b, a.size) == 0;
}

/* One of the list, or NULL. */
static const char *
nearest_zone(const zone_list_t *list, slice_t name)
{
    const char *slash = memrchr(name.data, '/', name.size);
    slice_t last = slash == NULL
                       ? name
                       : slice_from(name, (size_t) (slash - name.data) + 1);
    bool guess = true;
    const char *found;

    for (size_t i = 0; i < sizeof(abbreviations) / sizeof(abbreviations[0]);
         i++) {
        if (same_letters(name, abbreviations[i].abbreviation)) {
            return abbreviations[i].zone;
        }
    }
    /* "UTC+9" or "PST" are near to many a zone, and mean none of them */
    if (slash == NULL) {
        guess = name.size >= 5;
        for (size_t i = 0; guess && i < name.size; i++) {
            char c = name.data[i];

            guess = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    c == '_';
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        if (same_letters(name, list->names[i])) {
            return list->names[i];
        }
    }
    for (size_t i = 0; i < list->count; i++) {
        if (same_letters(last, list->lasts[i])) {
            return list->names[i];
        }
    }
    if (!guess) {
        return NULL;
    }
    found = conf_nearest(name, (const char *const *) list->names, list->count);
    if (found != NULL) {
        return found;
    }
    found = conf_nearest(last, list->lasts, list->count);
    for (size_t i = 0; found != NULL && i < list->count; i++) {
        if (list->lasts[i] == found) {
            return list->names[i];
        }
    }
    return NULL;
}

static const char *
suggestion_for(language_t *language, slice_t name)
{
    _cleanup_(zone_list_free) zone_list_t list = {0};
    const char *found;
    char *copy;

    /* a walk over the folder for each of a thousand errors helps nobody */
    if (report_errors(language->report) >= REPORT_MESSAGES_MAX ||
        name.size == 0 || !list_zones(&list))
    {
        return NULL;
    }
    found = nearest_zone(&list, name);
    if (found == NULL) {
        return NULL;
    }
    copy = conf_alloc(language->conf, strlen(found) + 1);
    if (copy != NULL) {
        memcpy(copy, found, strlen(found) + 1);
    }
    return copy;
}

/* The day that it is there at `now`. */
static int32_t
today_in(const zone_change_t *changes, int count, int64_t now)
{
    int32_t offset = changes[0].offset;
    int64_t local, days;

    for (int i = 1; i < count && changes[i].at <= now; i++) {
        offset = changes[i].offset;
    }
    /* far beyond any calendar, and no overflow */
    if (now > INT64_C(253402300799)) {
        now = INT64_C(253402300799);
    }
    if (now < 0) {
        now = 0;
    }
    local = now + offset;
    days = local < 0 ? -1 : local / DAY_SECONDS;
    return (int32_t) days;
}

const language_zone_t *
language_zone(language_t *language, const conf_directive_t *directive,
              uint32_t word)
{
    slice_t name = directive->words[word].text;
    zone_change_t changes[ZONE_CHANGES_MAX];
    char quote[CONF_QUOTE_MAX];
    language_zone_t *zone;
    const uint32_t *index;
    bool is_new;

    /* an empty slice may have no bytes to be a key by */
    index = language_names_add(&language->zone_names, name,
                               (uint32_t) language->zones_count, &is_new);
    if (index == NULL) {
        language->out_of_memory = true;
        return NULL;
    }
    if (is_new) {
        zone = language_append(language, (void **) &language->zones,
                               &language->zones_count, sizeof(*zone));
        if (zone == NULL) {
            return NULL;
        }
        zone->name = name;
        zone->status = zone_changes(name, changes);
        if (zone->status > 0) {
            zone->today = today_in(changes, zone->status, language->now);
        } else {
            zone->suggestion = suggestion_for(language, name);
        }
    }
    zone = &language->zones[*index];
    if (zone->status > 0) {
        return zone;
    }
    (void) conf_quote(name, quote);
    if (zone->status != -ENOENT && zone->status != -EINVAL) {
        LANGUAGE_ERROR(language, conf_place(directive, word),
                       "time zone \"%s\": %s", quote, strerror(-zone->status));
    } else if (zone->suggestion != NULL) {
        LANGUAGE_ERROR(language, conf_place(directive, word),
                       "unknown time zone \"%s\": did you mean \"%s\"?", quote,
                       zone->suggestion);
    } else {
        LANGUAGE_ERROR(language, conf_place(directive, word),
                       "unknown time zone \"%s\": write a name of the tz "
                       "database, as Asia/Tokyo",
                       quote);
    }
    return NULL;
}
