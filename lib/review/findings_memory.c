/* Memory of a run, and tables in it. */

#include "findings_internal.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE  ((size_t) 64 << 10)
#define ALIGNMENT   sizeof(uint64_t)
#define TABLE_FIRST 64

struct block_s {
    block_t *next;
    size_t used, size;
    uint64_t bytes[];
};

void *
memory_take(memory_t *memory, size_t size)
{
    block_t *block = memory->blocks;
    void *taken;

    size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
    if (block == NULL || block->size - block->used < size) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

        block = calloc(1, sizeof(*block) + room);
        if (block == NULL) {
            return NULL;
        }
        block->size = room;
        block->next = memory->blocks;
        memory->blocks = block;
    }
    taken = (char *) block->bytes + block->used;
    block->used += size;
    return taken;
}

void
memory_free(memory_t *memory)
{
    while (memory->blocks != NULL) {
        block_t *block = memory->blocks;

        memory->blocks = block->next;
        free(block);
    }
}

slice_t
memory_copy(memory_t *memory, slice_t text)
{
    char *copy = memory_take(memory, text.size + 1);

    if (copy == NULL) {
        return (slice_t){NULL, 0};
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    return (slice_t){copy, text.size};
}

/* ---- Tables --------------------------------------------------------------*/

/* Fibonacci hashing: the keys are numbers of our own, nobody chooses them. */
static size_t
place_of(const table_t *table, uint64_t key)
{
    return (size_t) ((key * UINT64_C(0x9E3779B97F4A7C15)) >> 20) &
           (table->size - 1);
}

static slot_t *
slot_of(const table_t *table, uint64_t key)
{
    size_t i = place_of(table, key);

    while (table->slots[i].value != NULL && table->slots[i].key != key) {
        i = (i + 1) & (table->size - 1);
    }
    return &table->slots[i];
}

static bool
table_grow(table_t *table)
{
    table_t larger = *table;

    larger.size = table->size == 0 ? TABLE_FIRST : table->size * 2;
    larger.slots = calloc(larger.size, sizeof(*larger.slots));
    if (larger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->size; i++) {
        if (table->slots[i].value != NULL) {
            *slot_of(&larger, table->slots[i].key) = table->slots[i];
        }
    }
    free(table->slots);
    *table = larger;
    return true;
}

void *
table_get(table_t *table, uint64_t key)
{
    slot_t *slot;

    if (table->count * 2 >= table->size && !table_grow(table)) {
        return NULL;
    }
    slot = slot_of(table, key);
    if (slot->value == NULL) {
        slot->value = memory_take(table->memory, table->value_size);
        if (slot->value == NULL) {
            return NULL;
        }
        slot->key = key;
        table->count++;
    }
    return slot->value;
}

void
table_free(table_t *table)
{
    free(table->slots);
    table->slots = NULL;
    table->size = table->count = 0;
}
