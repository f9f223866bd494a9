#define _GNU_SOURCE
#include "language_internal.h"

#include <errno.h>
#include <stdlib.h>

#define SLOTS_MIN 64

/* Multiply and fold, eight bytes at a step: the keys are an administrator's
 * own, so that no secret is needed. */
static uint32_t
hash_of(slice_t key)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = key.size * factor;

    while (key.size >= 8) {
        uint64_t part;

        memcpy(&part, key.data, 8);
        hash = (hash ^ part) * factor;
        hash ^= hash >> 32;
        key = slice_from(key, 8);
    }
    if (key.size > 0) {
        uint64_t part = 0;

        memcpy(&part, key.data, key.size);
        hash = (hash ^ part) * factor;
        hash ^= hash >> 32;
    }
    hash *= factor;
    return (uint32_t) (hash >> 32);
}

static language_name_t *
slot_of(const language_names_t *names, slice_t key, uint32_t hash)
{
    size_t mask = names->used - 1;
    size_t i = hash & mask;

    for (;;) {
        language_name_t *slot = &names->slots[i];

        if (slot->key.data == NULL ||
            (slot->hash == hash && slice_equal(slot->key, key)))
        {
            return slot;
        }
        i = (i + 1) & mask;
    }
}

int
language_names_reset(language_names_t *names, size_t expected)
{
    size_t wanted = SLOTS_MIN;

    if (expected > SIZE_MAX / 4 / sizeof(language_name_t)) {
        return -ENOMEM;
    }
    while (wanted < expected * 2) {
        wanted *= 2;
    }
    if (wanted > names->allocated) {
        language_name_t *slots = calloc(wanted, sizeof(*slots));

        if (slots == NULL) {
            return -ENOMEM;
        }
        free(names->slots);
        names->slots = slots;
        names->allocated = wanted;
    } else {
        /* no more than is needed: one large facility must not make each
         * small one behind it as dear */
        memset(names->slots, 0, wanted * sizeof(language_name_t));
    }
    names->used = wanted;
    names->count = 0;
    return 0;
}

static int
grow(language_names_t *names)
{
    language_names_t larger = {0};

    if (language_names_reset(&larger, names->used) < 0) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < names->used; i++) {
        const language_name_t *name = &names->slots[i];

        if (name->key.data != NULL) {
            *slot_of(&larger, name->key, name->hash) = *name;
        }
    }
    larger.count = names->count;
    free(names->slots);
    *names = larger;
    return 0;
}

uint32_t *
language_names_add(language_names_t *names, slice_t key, uint32_t value,
                   bool *is_new)
{
    uint32_t hash = hash_of(key);
    language_name_t *slot;

    if ((names->count + 1) * 2 > names->used && grow(names) < 0) {
        return NULL;
    }
    slot = slot_of(names, key, hash);
    *is_new = slot->key.data == NULL;
    if (*is_new) {
        *slot = (language_name_t){key, hash, value};
        names->count++;
    }
    return &slot->value;
}

const uint32_t *
language_names_find(const language_names_t *names, slice_t key)
{
    const language_name_t *slot;

    if (names->used == 0) {
        return NULL;
    }
    slot = slot_of(names, key, hash_of(key));
    return slot->key.data == NULL ? NULL : &slot->value;
}

void
language_names_free(language_names_t *names)
{
    free(names->slots);
    *names = (language_names_t){0};
}
