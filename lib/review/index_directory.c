#define _GNU_SOURCE
#include "index_directory.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SLOTS_MIN ((size_t) 1 << 12)

static size_t
bytes_of(size_t slots)
{
    return slots * sizeof(directory_slot_t);
}


void
directory_free(directory_t *directory)
{
    if (directory->slots != NULL) {
        (void) munmap(directory->slots, bytes_of(directory->mask + 1));
    }
    *directory = (directory_t){0};
}


static directory_slot_t *
place_of(const directory_t *directory, uint64_t hash, uint32_t more)
{
    size_t place = (size_t) hash & directory->mask;

    while (directory->slots[place].id != 0 &&
           (directory->slots[place].hash != hash ||
            directory->slots[place].more != more))
    {
        place = (place + 1) & directory->mask;
    }
    return &directory->slots[place];
}


/* Pages are looked for all over it: large ones spare the processor's table of
 * them. */
static bool
grow(directory_t *directory)
{
    directory_t old = *directory;
    size_t slots = old.slots == NULL ? SLOTS_MIN : 2 * (old.mask + 1);
    void *memory = slots > DIRECTORY_SLOTS_MAX
                       ? MAP_FAILED
                       : mmap(NULL, bytes_of(slots), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        return false;
    }
    (void) madvise(memory, bytes_of(slots), MADV_HUGEPAGE);
    directory->slots = memory;
    directory->mask = slots - 1;
    for (size_t i = 0; old.slots != NULL && i <= old.mask; i++) {
        if (old.slots[i].id != 0) {
            *place_of(directory, old.slots[i].hash,
                      old.slots[i].more) = old.slots[i];
        }
    }
    directory_free(&old);
    return true;
}


uint32_t
directory_find(const directory_t *directory, siphash_t hash)
{
    return directory->slots == NULL
               ? 0
               : place_of(directory, hash.low, (uint32_t) hash.high)->id;
}


bool
directory_add(directory_t *directory, siphash_t hash, uint32_t id)
{
    size_t slots = directory->slots == NULL ? 0 : directory->mask + 1;

    if (directory->count >= slots / 5 * 4 && !grow(directory)) {
        return false;
    }
    *place_of(directory, hash.low, (uint32_t) hash.high) = (directory_slot_t){
        hash.low, (uint32_t) hash.high, id};
    directory->count++;
    return true;
}
