#include "opening.h"

#include <stdlib.h>

bool
openings_init(openings_t *openings)
{
    *openings = (openings_t){.by_id = table_new(),
                             .instances = table_new(),
                             .closed = table_new(),
                             .ring = calloc(OPENINGS_CLOSED, sizeof(closed_t))};
    return openings->by_id != NULL && openings->instances != NULL &&
           openings->closed != NULL && openings->ring != NULL;
}

void
openings_free(openings_t *openings)
{
    instance_t *instance;
    size_t place = 0;

    while (openings->newest != NULL) {
        openings_remove(openings, openings->newest);
    }
    while (openings->instances != NULL &&
           (instance = table_next(openings->instances, &place)) != NULL)
    {
        free(instance);
    }
    table_delete(openings->by_id);
    table_delete(openings->instances);
    table_delete(openings->closed);
    free(openings->ring);
}

instance_t *
openings_instance(openings_t *openings, const uint8_t front[MESSAGE_FRONT_SIZE],
                  int64_t now_ms)
{
    uint8_t id[TABLE_KEY_SIZE] = {0};
    instance_t *instance;

    memcpy(id, front, MESSAGE_INSTANCE_SIZE);
    instance = table_find(openings->instances, id);
    if (instance != NULL) {
        return instance;
    }
    instance = calloc(1, sizeof(*instance));
    if (instance == NULL || !table_set(openings->instances, id, instance)) {
        free(instance);
        return NULL;
    }
    memcpy(instance->id, id, sizeof(id));
    instance->gone = now_ms;
    return instance;
}

bool
openings_add(openings_t *openings, instance_t *instance,
             const uint8_t id[TABLE_KEY_SIZE], const record_t *record,
             uint64_t index)
{
    /* what names the access; the rest of its record is in the trail */
    static const record_field_t kept[] = {
        RECORD_USER,    RECORD_FACILITY, RECORD_ADDRESS,  RECORD_SERVICE,
        RECORD_SESSION, RECORD_PURPOSE,  RECORD_ACTION,   RECORD_PATIENT,
        RECORD_STUDY,   RECORD_SERIES,   RECORD_INSTANCE, RECORD_QUERY};
    uint8_t bytes[RECORD_SIZE_MAX];
    record_t few = {0};
    opening_t *opening;
    size_t size;

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        few.values[kept[i]] = record->values[kept[i]];
        if (record_is_cut(record, kept[i])) {
            record_set_cut(&few, kept[i]);
        }
    }
    record_limit(&few, RECORD_QUERY, OPENINGS_QUERY_MAX);
    size = record_encode(&few, bytes, sizeof(bytes));
    opening = malloc(sizeof(*opening) + size);
    if (opening == NULL || !table_set(openings->by_id, id, opening)) {
        free(opening);
        return false;
    }
    *opening = (opening_t){.instance = instance,
                           .next = instance->openings,
                           .older = openings->newest,
                           .index = index,
                           .size = size};
    memcpy(opening->id, id, sizeof(opening->id));
    memcpy(opening->record, bytes, size);
    if (opening->next != NULL) {
        opening->next->previous = opening;
    }
    instance->openings = opening;
    if (opening->older != NULL) {
        opening->older->newer = opening;
    } else {
        openings->oldest = opening;
    }
    openings->newest = opening;
    return true;
}

opening_t *
openings_find(const openings_t *openings, const uint8_t id[TABLE_KEY_SIZE])
{
    return table_find(openings->by_id, id);
}

void
openings_remove(openings_t *openings, opening_t *opening)
{
    (void) table_remove(openings->by_id, opening->id);
    if (opening->next != NULL) {
        opening->next->previous = opening->previous;
    }
    if (opening->previous != NULL) {
        opening->previous->next = opening->next;
    } else {
        opening->instance->openings = opening->next;
    }
    if (opening->newer != NULL) {
        opening->newer->older = opening->older;
    } else {
        openings->newest = opening->older;
    }
    if (opening->older != NULL) {
        opening->older->newer = opening->newer;
    } else {
        openings->oldest = opening->newer;
    }
    free(opening);
}

void
openings_close(openings_t *openings, const uint8_t id[TABLE_KEY_SIZE],
               bool interrupted)
{
    closed_t *place = table_find(openings->closed, id);
    opening_t *opening = table_find(openings->by_id, id);

    if (place == NULL) {
        place = &openings->ring[openings->ring_next];
        openings->ring_next = (openings->ring_next + 1) % OPENINGS_CLOSED;
        /* the place's last user, if it is still noted there */
        if (table_find(openings->closed, place->id) == place) {
            (void) table_remove(openings->closed, place->id);
        }
        memcpy(place->id, id, TABLE_KEY_SIZE);
        place->index = OPENING_INDEX_UNKNOWN;
        /* without memory a repeated close is told twice, no more */
        (void) table_set(openings->closed, place->id, place);
    }
    place->interrupted = interrupted;
    if (opening != NULL) {
        place->index = opening->index;
        openings_remove(openings, opening); /* `id` may be its own */
    }
}

uint64_t
openings_reopen(openings_t *openings, const uint8_t id[TABLE_KEY_SIZE])
{
    const closed_t *place = table_remove(openings->closed, id);

    return place == NULL ? OPENING_INDEX_UNKNOWN : place->index;
}

const closed_t *
openings_closed(const openings_t *openings, const uint8_t id[TABLE_KEY_SIZE])
{
    return table_find(openings->closed, id);
}

/* One more than the value of a digit; 0 for all other bytes. */
static const uint8_t hex_values[256] = {
    ['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
    ['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
    ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16};

bool
opening_id_parse(slice_t text, uint8_t id[TABLE_KEY_SIZE])
{
    bool bad = false;

    if (text.size != 2 * TABLE_KEY_SIZE) {
        return false;
    }
    for (size_t i = 0; i < TABLE_KEY_SIZE; i++) {
        unsigned high = hex_values[(uint8_t) text.data[2 * i]];
        unsigned low = hex_values[(uint8_t) text.data[2 * i + 1]];

        bad |= high == 0 || low == 0;
        id[i] = (uint8_t) ((high - 1) << 4 | (low - 1));
    }
    return !bad;
}

void
opening_id_format(const uint8_t id[TABLE_KEY_SIZE], char text[33])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < TABLE_KEY_SIZE; i++) {
        text[2 * i] = digits[id[i] >> 4];
        text[2 * i + 1] = digits[id[i] & 15];
    }
    text[2 * TABLE_KEY_SIZE] = '\0';
}
