/* Numbers that will come: the closes of accesses that are printed already. */

#define _GNU_SOURCE
#include <stdlib.h>

#include "audit_access.h"

#define LATER_FIRST 1024

/* The daemon knows 200,000 open accesses at most.  Where a trail has more than
 * this at once, such a close is a line of its own as well. */
#define LATER_MAX ((size_t) 1 << 20)

void
later_free(later_t *later)
{
    free(later->numbers);
    *later = (later_t){.numbers = NULL};
}


bool
later_add(later_t *later, uint64_t number)
{
    size_t i = later->count;

    if (i == LATER_MAX) {
        return true;
    }
    if (i == later->capacity) {
        size_t capacity = i == 0 ? LATER_FIRST : 2 * i;
        uint64_t *numbers = reallocarray(later->numbers, capacity,
                                         sizeof(*numbers));

        if (numbers == NULL) {
            return false;
        }
        later->numbers = numbers;
        later->capacity = capacity;
    }
    later->count++;
    for (; i > 0 && later->numbers[(i - 1) / 2] > number; i = (i - 1) / 2) {
        later->numbers[i] = later->numbers[(i - 1) / 2];
    }
    later->numbers[i] = number;
    return true;
}


static void
drop_least(later_t *later)
{
    uint64_t *numbers = later->numbers, moved;
    size_t count = --later->count, i = 0, child;

    moved = numbers[count];
    while ((child = 2 * i + 1) < count) {
        if (child + 1 < count && numbers[child + 1] < numbers[child]) {
            child++;
        }
        if (numbers[child] >= moved) {
            break;
        }
        numbers[i] = numbers[child];
        i = child;
    }
    numbers[i] = moved;
}


bool
later_is(later_t *later, uint64_t number)
{
    while (later->count > 0 && later->numbers[0] < number) {
        drop_least(later);
    }
    return later->count > 0 && later->numbers[0] == number;
}
