#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

typedef struct {
    uint8_t key[TABLE_KEY_SIZE];
    void *value; /* NULL: free, or `removed` */
    bool removed;
} slot_t;

struct table_s {
    slot_t *slots;
    size_t slots_count; /* a power of 2 */
    size_t count;
    size_t used; /* with removed ones */
    uint64_t secret[2];
};

table_t *
table_new(void)
{
    table_t *table = calloc(1, sizeof(*table));

    if (table == NULL) {
        return NULL;
    }
    table->slots_count = 64;
    table->slots = calloc(table->slots_count, sizeof(slot_t));
    if (table->slots == NULL || getrandom(table->secret, sizeof(table->secret),
                                          0) != (ssize_t) sizeof(table->secret))
    {
        table_delete(table);
        return NULL;
    }
    return table;
}

void
table_delete(table_t *table)
{
    if (table != NULL) {
        free(table->slots);
        free(table);
    }
}

static size_t
start_of(const table_t *table, const uint8_t key[TABLE_KEY_SIZE])
{
    uint64_t words[2];
    uint64_t hash;

    memcpy(words, key, sizeof(words));
    hash = (words[0] ^ table->secret[0]) * UINT64_C(0x9e3779b97f4a7c15);
    hash ^= hash >> 32;
    hash = (hash ^ words[1] ^ table->secret[1]) * UINT64_C(0xd6e8feb86659fd93);
    return (size_t) (hash >> 32) & (table->slots_count - 1);
}

static slot_t *
find_slot(const table_t *table, const uint8_t key[TABLE_KEY_SIZE])
{
    size_t i = start_of(table, key);

    for (;;) {
        slot_t *slot = &table->slots[i];

        if (slot->value == NULL && !slot->removed) {
            return NULL;
        }
        if (slot->value != NULL && memcmp(slot->key, key, TABLE_KEY_SIZE) == 0)
        {
            return slot;
        }
        i = (i + 1) & (table->slots_count - 1);
    }
}

static void
put(table_t *table, const uint8_t key[TABLE_KEY_SIZE], void *value)
{
    size_t i = start_of(table, key);

    while (table->slots[i].value != NULL) {
        i = (i + 1) & (table->slots_count - 1);
    }
    table->used += !table->slots[i].removed;
    table->slots[i].removed = false;
    table->slots[i].value = value;
    memcpy(table->slots[i].key, key, TABLE_KEY_SIZE);
}

/* Twice the size where it is needed, and no removed slots any more. */
static bool
rebuild(table_t *table)
{
    slot_t *old = table->slots;
    size_t old_count = table->slots_count;
    size_t new_count = table->count * 2 >= old_count / 2 ? old_count * 2
                                                         : old_count;
    slot_t *slots = calloc(new_count, sizeof(slot_t));

    if (slots == NULL) {
        return false;
    }
    table->slots = slots;
    table->slots_count = new_count;
    table->used = 0;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].value != NULL) {
            put(table, old[i].key, old[i].value);
        }
    }
    free(old);
    return true;
}

void *
table_find(const table_t *table, const uint8_t key[TABLE_KEY_SIZE])
{
    slot_t *slot = find_slot(table, key);

    return slot == NULL ? NULL : slot->value;
}

bool
table_set(table_t *table, const uint8_t key[TABLE_KEY_SIZE], void *value)
{
    slot_t *slot = find_slot(table, key);

    if (slot != NULL) {
        slot->value = value;
        return true;
    }
    if (table->used * 4 >= table->slots_count * 3 && !rebuild(table)) {
        return false;
    }
    put(table, key, value);
    table->count++;
    return true;
}

void *
table_remove(table_t *table, const uint8_t key[TABLE_KEY_SIZE])
{
    slot_t *slot = find_slot(table, key);
    void *value;

    if (slot == NULL) {
        return NULL;
    }
    value = slot->value;
    slot->value = NULL;
    slot->removed = true;
    table->count--;
    return value;
}

size_t
table_count(const table_t *table)
{
    return table->count;
}

void *
table_next(const table_t *table, size_t *place)
{
    while (*place < table->slots_count) {
        void *value = table->slots[(*place)++].value;

        if (value != NULL) {
            return value;
        }
    }
    return NULL;
}
