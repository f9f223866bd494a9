/* A hash table of front ends, made and thrown away for each range of entries. */

#include "audit_fronts.h"

#include <stdlib.h>
#include <string.h>

#include "../lib/base/endian.h"

#define NO_SEQUENCE UINT32_MAX

fronts_t *
fronts_new(void)
{
    return calloc(1, sizeof(fronts_t));
}


void
fronts_free(fronts_t *fronts)
{
    if (fronts != NULL) {
        free(fronts->sequences);
        free(fronts->slots);
        free(fronts);
    }
}


static uint32_t
slot_of(const fronts_t *fronts, const char *front)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < FRONT_SIZE; i += 8) {
        hash = (hash ^ load_le64((const uint8_t *) front + i)) *
               UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return (uint32_t) (hash >> 32) & (fronts->slots_count - 1);
}


static bool
fronts_grow(fronts_t *fronts)
{
    uint32_t capacity = fronts->capacity == 0 ? 16 : fronts->capacity * 2;
    sequence_t *sequences;
    uint32_t *slots;

    if (capacity > UINT32_MAX / 8) {
        return false;
    }
    sequences = realloc(fronts->sequences, capacity * sizeof(*sequences));
    if (sequences == NULL) {
        return false;
    }
    fronts->sequences = sequences;
    slots = malloc((size_t) capacity * 2 * sizeof(*slots));
    if (slots == NULL) {
        return false;
    }
    free(fronts->slots);
    fronts->slots = slots;
    fronts->slots_count = capacity * 2;
    fronts->capacity = capacity;
    memset(slots, 0xff, (size_t) capacity * 2 * sizeof(*slots));
    for (uint32_t i = 0; i < fronts->count; i++) {
        uint32_t slot = slot_of(fronts, sequences[i].front);

        while (slots[slot] != NO_SEQUENCE) {
            slot = (slot + 1) & (fronts->slots_count - 1);
        }
        slots[slot] = i;
    }
    return true;
}


sequence_t *
fronts_take(fronts_t *fronts, const char *front)
{
    uint32_t slot;

    if (fronts->recent < fronts->count &&
        memcmp(fronts->sequences[fronts->recent].front, front, FRONT_SIZE) == 0)
    {
        return &fronts->sequences[fronts->recent];
    }
    if (fronts->count == fronts->capacity && !fronts_grow(fronts)) {
        return NULL;
    }
    slot = slot_of(fronts, front);
    while (fronts->slots[slot] != NO_SEQUENCE &&
           memcmp(fronts->sequences[fronts->slots[slot]].front, front,
                  FRONT_SIZE) != 0)
    {
        slot = (slot + 1) & (fronts->slots_count - 1);
    }
    if (fronts->slots[slot] == NO_SEQUENCE) {
        sequence_t *sequence = &fronts->sequences[fronts->count];

        memset(sequence, 0, sizeof(*sequence));
        memcpy(sequence->front, front, FRONT_SIZE);
        fronts->slots[slot] = fronts->count++;
    }
    fronts->recent = fronts->slots[slot];
    return &fronts->sequences[fronts->recent];
}
