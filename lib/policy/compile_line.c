/* Sorted prefixes -> lines of one family, and branches where one is too full. */

#include <errno.h>
#include <stdlib.h>

#include "../base/wipe.h"
#include "compile_parts.h"

#define LINE_BITS_SMALL 15 /* 2 MB */

/* A line with more prefixes than fit. */
typedef struct {
    uint32_t line;
    uint32_t bits; /* all that are the same in it */
    uint32_t set;  /* of the longest prefix that is the line, or larger */
    size_t from, to;
} full_t;

typedef struct {
    compile_t *compile;
    const compile_lines_t *lines;
    const compile_prefix_t *prefixes;
    full_t *full; /* to be divided, in this order */
    size_t full_count, full_capacity;
} divide_t;

static void
cleanup_divide(divide_t *divide)
{
    free(divide->full);
}

uint32_t
compile_line_bits(const compile_lines_t *lines,
                  const compile_prefix_t *prefixes, size_t count, uint32_t bits)
{
    size_t longer;

    for (; bits < LINES_BITS_MAX && lines->outer + bits + 1 < lines->size;
         bits++) {
        longer = 0;
        for (size_t i = 0; i < count; i++) {
            longer += prefixes[i].bits > lines->outer + bits;
        }
        if (longer <=
            (size_t) (bits < LINE_BITS_SMALL ? lines->few : lines->many)
                << bits)
        {
            break;
        }
    }
    return bits;
}

/*
 * The set that holds where no prefix within a line does, for each of 2^inner
 * lines: that of the longest prefix which is the line, or larger.
 */
static void
spread_sets(const compile_prefix_t *prefixes, size_t count, uint32_t outer,
            uint32_t inner, uint32_t set, uint32_t *sets)
{
    uint32_t first, wide;

    for (uint32_t i = 0; i < 1u << inner; i++) {
        sets[i] = set;
    }
    /* Of those within each other the larger come first. */
    for (size_t i = 0; i < count; i++) {
        if (prefixes[i].bits > outer + inner) {
            continue;
        }
        wide = prefixes[i].bits > outer ? outer + inner - prefixes[i].bits
                                        : inner;
        first = (uint32_t) (prefixes[i].high << outer >> (64 - inner));
        for (uint32_t j = 0; j < 1u << wide; j++) {
            sets[first + j] = prefixes[i].set;
        }
    }
}

static int
remember(divide_t *divide, full_t full)
{
    size_t capacity;
    full_t *grown;

    if (divide->full_count == divide->full_capacity) {
        capacity = divide->full_capacity == 0 ? 256 : 2 * divide->full_capacity;
        grown = reallocarray(divide->full, capacity, sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        divide->full = grown;
        divide->full_capacity = capacity;
    }
    divide->full[divide->full_count++] = full;
    return 0;
}

/* Divides the space of some bits into 2^inner new lines; *first is the first of
 * them. */
static int
divide_space(divide_t *divide, const full_t *space, uint32_t inner,
             uint32_t *first)
{
    _cleanup_(cleanup_free) uint32_t *sets = NULL;
    const compile_lines_t *lines = divide->lines;
    const compile_prefix_t *prefixes = divide->prefixes;
    compile_buffer_t *out = &divide->compile->sections[lines->section];
    uint32_t bits = space->bits + inner;
    size_t next = space->from, from, longer;
    int result;

    sets = calloc((size_t) 1 << inner, sizeof(*sets));
    if (sets == NULL) {
        return -ENOMEM;
    }
    spread_sets(prefixes + space->from, space->to - space->from, space->bits,
                inner, space->set, sets);
    *first = compile_count(divide->compile, lines->section);
    result = compile_extend(out, (size_t) LINE4_SIZE << inner);
    for (uint32_t i = 0; i < 1u << inner && result == 0; i++) {
        from = next;
        longer = 0;
        while (next < space->to &&
               prefixes[next].high << space->bits >> (64 - inner) == i)
        {
            longer += prefixes[next++].bits > bits;
        }
        if (longer < lines->words) {
            lines->put_words(divide->compile, prefixes + from, next - from,
                             bits, sets[i],
                             out->data + LINE4_SIZE * ((size_t) *first + i));
        } else {
            result = remember(divide,
                              (full_t){*first + i, bits, sets[i], from, next});
        }
    }
    return result;
}

/* How many bits are the same in all prefixes that are longer than `bits`? */
static uint32_t
same_bits(const divide_t *divide, const full_t *full, size_t *longer)
{
    const compile_prefix_t *prefixes = divide->prefixes, *one = NULL;
    uint32_t same = divide->lines->size - 1;

    *longer = 0;
    for (size_t i = full->from; i < full->to; i++) {
        if (prefixes[i].bits <= full->bits) {
            continue;
        }
        one = one == NULL ? &prefixes[i] : one;
        while (same > full->bits &&
               (prefixes[i].bits < same ||
                (prefixes[i].high ^ one->high) >> (64 - same) != 0))
        {
            same--;
        }
        (*longer)++;
    }
    return same;
}

static int
put_branch(divide_t *divide, const full_t *full)
{
    const compile_lines_t *lines = divide->lines;
    uint32_t inner = 1, first;
    full_t inside = *full;
    size_t longer;
    int result;

    inside.bits = same_bits(divide, full, &longer);
    while (longer > (size_t) lines->many << inner && inner < LINES_BITS_MAX &&
           inside.bits + inner < lines->size)
    {
        inner++;
    }
    result = divide_space(divide, &inside, inner, &first);
    if (result == 0) {
        lines->put_branch(divide->compile, divide->prefixes[full->to - 1].high,
                          inside.bits, inner, first, full->set,
                          divide->compile->sections[lines->section].data +
                              LINE4_SIZE * (size_t) full->line);
    }
    return result;
}

int
compile_put_lines(compile_t *compile, const compile_lines_t *lines,
                  const compile_prefix_t *prefixes, size_t count, uint32_t bits)
{
    _cleanup_(cleanup_divide) divide_t divide = {
        .compile = compile,
        .lines = lines,
        .prefixes = prefixes,
    };
    full_t all = {
        .bits = lines->outer,
        .set = compile->facilities + SET_ANY,
        .to = count,
    };
    full_t full;
    uint32_t first;
    int result = divide_space(&divide, &all, bits, &first);

    for (size_t i = 0; i < divide.full_count && result == 0; i++) {
        full = divide.full[i];
        result = put_branch(&divide, &full);
    }
    return result;
}
