/*
 * A binary trie of 128-bit addresses (IPv4 is ::/96), written as the format's
 * specification has it: search tree, 16 zero bytes, data, metadata.  Records
 * are of 24, 28 or 32 bits, the smallest that fits, as in the databases that
 * one can download.
 */

#include "mmdb_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/base/endian.h"
#include "../../lib/base/wipe.h"

typedef struct {
    uint8_t bytes[16];
    uint8_t bits;
    char code[2];
    uint32_t number;
} entry_t;

/* A record is 0 (nothing), 1 + a node, or DATA + the number of a country. */
#define DATA      0x80000000u
#define COUNTRIES (26 * 26)

struct mmdb_writer_s {
    entry_t *entries;
    size_t entries_count, entries_capacity;
    uint32_t (*nodes)[2];
    uint32_t nodes_count, nodes_capacity;
};

mmdb_writer_t *
mmdb_writer_new(void)
{
    return calloc(1, sizeof(mmdb_writer_t));
}

void
mmdb_writer_free(mmdb_writer_t *writer)
{
    if (writer != NULL) {
        free(writer->entries);
        free(writer->nodes);
        free(writer);
    }
}

int
mmdb_writer_add(mmdb_writer_t *writer, const prefix_t *prefix,
                const char code[2])
{
    size_t capacity;
    entry_t *entries, *entry;

    if (code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' ||
        (prefix->address.family != ADDRESS_IPV4 &&
         prefix->address.family != ADDRESS_IPV6))
    {
        return -EINVAL;
    }
    if (writer->entries_count == writer->entries_capacity) {
        capacity = writer->entries_capacity == 0 ? 1024
                                                 : writer->entries_capacity * 2;
        entries = reallocarray(writer->entries, capacity, sizeof(*entries));
        if (entries == NULL) {
            return -ENOMEM;
        }
        writer->entries = entries;
        writer->entries_capacity = capacity;
    }
    entry = &writer->entries[writer->entries_count];
    *entry = (entry_t){.bits = prefix->bits,
                       .code = {code[0], code[1]},
                       .number = (uint32_t) writer->entries_count};
    writer->entries_count++;
    if (prefix->address.family == ADDRESS_IPV4) {
        memcpy(entry->bytes + 12, prefix->address.bytes, 4);
        entry->bits = (uint8_t) (entry->bits + 96);
    } else {
        memcpy(entry->bytes, prefix->address.bytes, 16);
    }
    return 0;
}

static int
add_node(mmdb_writer_t *writer, uint32_t both, uint32_t *node)
{
    uint32_t capacity;
    void *nodes;

    if (writer->nodes_count == writer->nodes_capacity) {
        if (writer->nodes_count >= DATA / 4) {
            return -E2BIG;
        }
        capacity = writer->nodes_capacity == 0 ? 4096
                                               : writer->nodes_capacity * 2;
        nodes = reallocarray(writer->nodes, capacity, sizeof(*writer->nodes));
        if (nodes == NULL) {
            return -ENOMEM;
        }
        writer->nodes = nodes;
        writer->nodes_capacity = capacity;
    }
    writer->nodes[writer->nodes_count][0] = both;
    writer->nodes[writer->nodes_count][1] = both;
    *node = writer->nodes_count++;
    return 0;
}

/* Shorter prefixes come first, so that nothing longer is overwritten. */
static int
insert(mmdb_writer_t *writer, const entry_t *entry)
{
    uint32_t value = DATA + (uint32_t) ((entry->code[0] - 'A') * 26 +
                                        (entry->code[1] - 'A'));
    uint32_t node = 0, next, record;
    int side = 0, result;

    for (unsigned i = 0; i < entry->bits; i++) {
        side = entry->bytes[i / 8] >> (7 - i % 8) & 1;
        if (i + 1 == entry->bits) {
            break;
        }
        record = writer->nodes[node][side];
        if (record == 0 || record >= DATA) {
            result = add_node(writer, record, &next);
            if (result < 0) {
                return result;
            }
            writer->nodes[node][side] = record = 1 + next;
        }
        node = record - 1;
    }
    writer->nodes[node][side] = value;
    if (entry->bits == 0) {
        writer->nodes[node][1] = value;
    }
    return 0;
}

static int
by_length(const void *a, const void *b)
{
    const entry_t *x = a, *y = b;

    if (x->bits != y->bits) {
        return x->bits < y->bits ? -1 : 1;
    }
    return x->number < y->number ? -1 : 1;
}

/* A field of at most 28 bytes: type (below 8) and size, then the bytes. */
static size_t
put_text(uint8_t *at, const char *text)
{
    size_t size = strlen(text);

    at[0] = (uint8_t) (2 << 5 | size);
    memcpy(at + 1, text, size);
    return 1 + size;
}

/* An unsigned integer of `size` bytes, of a type below 8 or an extended one. */
static size_t
put_number(uint8_t *at, unsigned type, size_t size, uint64_t number)
{
    size_t head = 1;

    if (type < 8) {
        at[0] = (uint8_t) (type << 5 | size);
    } else {
        at[0] = (uint8_t) size;
        at[1] = (uint8_t) (type - 7);
        head = 2;
    }
    for (size_t i = 0; i < size; i++) {
        at[head + i] = (uint8_t) (number >> 8 * (size - 1 - i));
    }
    return head + size;
}

static size_t
put_map(uint8_t *at, unsigned pairs)
{
    at[0] = (uint8_t) (7 << 5 | pairs);
    return 1;
}

enum { TYPE_UINT16 = 5, TYPE_UINT32 = 6, TYPE_UINT64 = 9 };

static size_t
put_metadata(uint8_t *at, uint32_t nodes, unsigned record_bits)
{
    static const char marker[] = "\xab\xcd\xefMaxMind.com";
    size_t n = sizeof(marker) - 1;

    memcpy(at, marker, n);
    n += put_map(at + n, 9);
    n += put_text(at + n, "binary_format_major_version");
    n += put_number(at + n, TYPE_UINT16, 2, 2);
    n += put_text(at + n, "binary_format_minor_version");
    n += put_number(at + n, TYPE_UINT16, 2, 0);
    n += put_text(at + n, "build_epoch");
    n += put_number(at + n, TYPE_UINT64, 8, 1767225600);
    n += put_text(at + n, "database_type");
    n += put_text(at + n, "Sekisho-Test-Country");
    n += put_text(at + n, "description");
    n += put_map(at + n, 0);
    n += put_text(at + n, "ip_version");
    n += put_number(at + n, TYPE_UINT16, 2, 6);
    n += put_text(at + n, "languages");
    at[n++] = 0; /* an array (type 11) of none */
    at[n++] = 11 - 7;
    n += put_text(at + n, "node_count");
    n += put_number(at + n, TYPE_UINT32, 4, nodes);
    n += put_text(at + n, "record_size");
    n += put_number(at + n, TYPE_UINT16, 2, record_bits);
    return n;
}

static void
put_node(uint8_t *at, unsigned record_bits, uint32_t left, uint32_t right)
{
    switch (record_bits) {
    case 24:
    case 28:
        at[0] = (uint8_t) (left >> 16);
        at[1] = (uint8_t) (left >> 8);
        at[2] = (uint8_t) left;
        if (record_bits == 28) {
            at[3] = (uint8_t) ((left >> 24 & 15) << 4 | (right >> 24 & 15));
            at++;
        }
        at[3] = (uint8_t) (right >> 16);
        at[4] = (uint8_t) (right >> 8);
        at[5] = (uint8_t) right;
        break;
    default:
        store_be32(at, left);
        store_be32(at + 4, right);
        break;
    }
}

/* Data: one map for each country that was named; their offsets. */
static size_t
put_data(uint8_t *at, const bool used[COUNTRIES], uint32_t offsets[COUNTRIES])
{
    size_t n = 0;

    for (unsigned i = 0; i < COUNTRIES; i++) {
        char code[3] = {(char) ('A' + i / 26), (char) ('A' + i % 26), '\0'};
        if (!used[i]) {
            continue;
        }
        offsets[i] = (uint32_t) n;
        n += put_map(at + n, 1);
        n += put_text(at + n, "country");
        n += put_map(at + n, 1);
        n += put_text(at + n, "iso_code");
        n += put_text(at + n, code);
    }
    return n;
}

#define COUNTRY_SIZE_MAX  32 /* of one map in the data */
#define SEPARATOR_SIZE    16
#define METADATA_SIZE_MAX 512

int
mmdb_writer_write(mmdb_writer_t *writer, const char *path)
{
    _cleanup_(cleanup_free) uint8_t *out = NULL;
    uint8_t data[COUNTRIES * COUNTRY_SIZE_MAX];
    bool used[COUNTRIES] = {false};
    uint32_t offsets[COUNTRIES] = {0}, root, records[2];
    size_t data_size, n = 0;
    uint64_t highest;
    unsigned record_bits;
    FILE *file;
    int result;

    qsort(writer->entries, writer->entries_count, sizeof(entry_t), by_length);
    writer->nodes_count = 0;
    result = add_node(writer, 0, &root);
    for (size_t i = 0; i < writer->entries_count && result == 0; i++) {
        const entry_t *entry = &writer->entries[i];
        used[(entry->code[0] - 'A') * 26 + (entry->code[1] - 'A')] = true;
        result = insert(writer, entry);
    }
    if (result < 0) {
        return result;
    }
    data_size = put_data(data, used, offsets);

    highest = (uint64_t) writer->nodes_count + SEPARATOR_SIZE + data_size;
    record_bits = highest < 1u << 24 ? 24 : highest < 1u << 28 ? 28 : 32;
    out = calloc(1, (size_t) writer->nodes_count * record_bits / 4 +
                        SEPARATOR_SIZE + data_size + METADATA_SIZE_MAX);
    if (out == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < writer->nodes_count; i++) {
        for (int j = 0; j < 2; j++) {
            uint32_t record = writer->nodes[i][j];
            /* A number of nodes says "nothing"; above it are data. */
            records[j] = record == 0 ? writer->nodes_count
                         : record < DATA
                             ? record - 1
                             : writer->nodes_count + SEPARATOR_SIZE +
                                   offsets[record - DATA];
        }
        put_node(out + n, record_bits, records[0], records[1]);
        n += record_bits / 4;
    }
    n += SEPARATOR_SIZE;
    memcpy(out + n, data, data_size);
    n += data_size;
    n += put_metadata(out + n, writer->nodes_count, record_bits);

    file = fopen(path, "we");
    if (file == NULL) {
        return -errno;
    }
    if (fwrite(out, 1, n, file) != n) {
        (void) fclose(file);
        return -EIO;
    }
    return fclose(file) == 0 ? 0 : -errno;
}
