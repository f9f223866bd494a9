/* Growing sections, and lists in them that are kept once. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile_parts.h"

/* Room for `size` bytes more. */
static int
reserve(compile_buffer_t *buffer, size_t size)
{
    size_t capacity = buffer->capacity;
    uint8_t *data;

    if (size > POLICY_IMAGE_SIZE_MAX ||
        buffer->size > POLICY_IMAGE_SIZE_MAX - size) {
        return -EFBIG;
    }
    if (buffer->size + size <= capacity) {
        return 0;
    }
    capacity = capacity < 256 ? 256 : capacity;
    while (capacity < buffer->size + size) {
        capacity *= 2;
    }
    data = realloc(buffer->data, capacity);
    if (data == NULL) {
        return -ENOMEM;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int
compile_put(compile_buffer_t *buffer, const void *bytes, size_t size)
{
    int result = reserve(buffer, size);

    if (result == 0 && size > 0) {
        memcpy(buffer->data + buffer->size, bytes, size);
        buffer->size += size;
    }
    return result;
}

int
compile_put32(compile_buffer_t *buffer, uint32_t number)
{
    uint8_t bytes[4];

    store_le32(bytes, number);
    return compile_put(buffer, bytes, sizeof(bytes));
}

int
compile_extend(compile_buffer_t *buffer, size_t size)
{
    int result = reserve(buffer, size);

    if (result == 0 && size > 0) {
        memset(buffer->data + buffer->size, 0, size);
        buffer->size += size;
    }
    return result;
}

uint32_t
compile_count(const compile_t *compile, image_section_t section)
{
    return (uint32_t) (compile->sections[section].size /
                       image_element_size[section]);
}

void
compile_store_list(uint8_t *record, uint32_t first, size_t count)
{
    store_le32(record, count == 0 ? 0 : first);
    store_le32(record + 4, (uint32_t) count);
}

/* FNV-1a over eight bytes at a time.  Nobody gains by collisions: who writes
 * the policy waits for it. */
static uint64_t
hash_bytes(const uint8_t *bytes, size_t size)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; size >= 8; bytes += 8, size -= 8) {
        hash = (hash ^ load_le64(bytes)) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32;
    }
    for (; size > 0; bytes++, size--) {
        hash = (hash ^ *bytes) * UINT64_C(0x100000001b3);
    }
    return hash ^ hash >> 29;
}

static int
grow_pool(compile_pool_t *pool)
{
    uint32_t slots_count, *slots, capacity;
    compile_list_t *lists;

    if (pool->lists_count == pool->lists_capacity) {
        capacity = pool->lists_capacity == 0 ? 64 : pool->lists_capacity * 2;
        lists = reallocarray(pool->lists, capacity, sizeof(*lists));
        if (lists == NULL) {
            return -ENOMEM;
        }
        pool->lists = lists;
        pool->lists_capacity = capacity;
    }
    if (pool->lists_count < pool->slots_count / 2) {
        return 0;
    }
    slots_count = pool->slots_count == 0 ? 128 : pool->slots_count * 2;
    slots = calloc(slots_count, sizeof(*slots));
    if (slots == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < pool->lists_count; i++) {
        uint32_t at = (uint32_t) pool->lists[i].hash & (slots_count - 1);
        while (slots[at] != 0) {
            at = (at + 1) & (slots_count - 1);
        }
        slots[at] = i + 1;
    }
    free(pool->slots);
    pool->slots = slots;
    pool->slots_count = slots_count;
    return 0;
}

int
compile_list(compile_t *compile, image_section_t section, const void *elements,
             size_t count, uint32_t *first, uint32_t *number)
{
    compile_pool_t *pool = &compile->pools[section];
    compile_buffer_t *buffer = &compile->sections[section];
    size_t element_size = image_element_size[section];
    uint32_t at, listed, ignored;
    compile_list_t *list;
    uint64_t hash;
    int result;

    if (number == NULL) {
        number = &ignored;
    }
    *first = 0;
    *number = 0;
    if (count == 0) {
        return 0;
    }
    if (count > POLICY_IMAGE_SIZE_MAX / element_size) {
        return -EFBIG;
    }
    result = grow_pool(pool);
    if (result < 0) {
        return result;
    }

    hash = hash_bytes(elements, count * element_size);
    at = (uint32_t) hash & (pool->slots_count - 1);
    while ((listed = pool->slots[at]) != 0) {
        list = &pool->lists[listed - 1];
        if (list->hash == hash && list->count == count &&
            memcmp(buffer->data + element_size * list->first, elements,
                   count * element_size) == 0)
        {
            *first = list->first;
            *number = listed;
            return 0;
        }
        at = (at + 1) & (pool->slots_count - 1);
    }

    *first = compile_count(compile, section);
    result = compile_put(buffer, elements, count * element_size);
    if (result < 0) {
        return result;
    }
    pool->lists[pool->lists_count++] = (compile_list_t){hash, *first,
                                                        (uint32_t) count};
    pool->slots[at] = pool->lists_count;
    *number = pool->lists_count;
    return 0;
}
