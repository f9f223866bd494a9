#include "index_openings.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 1024

/* Ids are random; whoever sends others makes a slow table of ours and nothing
 * worse, so both halves are used. */
static size_t
place_of(const waiting_table_t *table, const uint8_t id[OPENING_ID_SIZE])
{
    uint64_t a, b;

    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    a = (a ^ (b << 23 | b >> 41)) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t) (a >> 20) & table->mask;
}


void
waiting_free(waiting_table_t *table)
{
    free(table->slots);
    *table = (waiting_table_t){0};
}


waiting_t *
waiting_find(const waiting_table_t *table, const uint8_t id[OPENING_ID_SIZE])
{
    size_t place;

    if (table->slots == NULL) {
        return NULL;
    }
    place = place_of(table, id);
    while (table->slots[place].used) {
        if (memcmp(table->slots[place].id, id, OPENING_ID_SIZE) == 0) {
            return &table->slots[place];
        }
        place = (place + 1) & table->mask;
    }
    return NULL;
}


static void
put(waiting_table_t *table, const waiting_t *opening)
{
    size_t place = place_of(table, opening->id);

    while (table->slots[place].used) {
        place = (place + 1) & table->mask;
    }
    table->slots[place] = *opening;
    table->slots[place].used = true;
    table->count++;
}


/* A table of `slots`, with what is not older than `from`. */
static bool
remake(waiting_table_t *table, size_t slots, uint64_t from)
{
    waiting_table_t old = *table;

    table->slots = calloc(slots, sizeof(*table->slots));
    if (table->slots == NULL) {
        *table = old;
        return false;
    }
    table->mask = slots - 1;
    table->count = 0;
    for (size_t i = 0; old.slots != NULL && i <= old.mask; i++) {
        if (old.slots[i].used && old.slots[i].number >= from) {
            put(table, &old.slots[i]);
        }
    }
    free(old.slots);
    return true;
}


static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

    return x < y ? -1 : x > y;
}


static bool
forget_older(waiting_table_t *table)
{
    uint64_t *numbers = malloc(table->count * sizeof(*numbers)), middle;
    size_t count = 0;

    if (numbers == NULL) {
        return false;
    }
    for (size_t i = 0; i <= table->mask; i++) {
        if (table->slots[i].used) {
            numbers[count++] = table->slots[i].number;
        }
    }
    qsort(numbers, count, sizeof(*numbers), compare);
    middle = numbers[count / 2];
    free(numbers);
    return remake(table, table->mask + 1, middle);
}


bool
waiting_add(waiting_table_t *table, const waiting_t *opening)
{
    size_t slots = table->slots == NULL ? 0 : table->mask + 1;

    if (waiting_find(table, opening->id) != NULL) {
        return true;
    }
    if (table->count >= OPENINGS_WAITING_MAX && !forget_older(table)) {
        return false;
    }
    if (2 * table->count >= slots &&
        !remake(table, slots == 0 ? SLOTS_MIN : 2 * slots, 0))
    {
        return false;
    }
    put(table, opening);
    return true;
}


void
waiting_remove(waiting_table_t *table, waiting_t *opening)
{
    size_t hole = (size_t) (opening - table->slots), place = hole;

    /* what stands behind the hole and would not be found any more moves up */
    for (;;) {
        size_t wanted;

        place = (place + 1) & table->mask;
        if (!table->slots[place].used) {
            break;
        }
        wanted = place_of(table, table->slots[place].id);
        if (((place - wanted) & table->mask) >= ((place - hole) & table->mask))
        {
            table->slots[hole] = table->slots[place];
            hole = place;
        }
    }
    table->slots[hole].used = false;
    table->count--;
}
