/* Lines and branches of IPv4: their bytes. */

#include <errno.h>

#include "compile_parts.h"

static void
put_words(const compile_t *compile, const compile_prefix_t *prefixes,
          size_t count, uint32_t bits, uint32_t set, uint8_t *line)
{
    uint32_t at = LINE4_WORDS, key;

    /* From behind, so that the line's own are in front. */
    for (size_t i = count; i-- > 0;) {
        if (prefixes[i].bits > bits) {
            key = (uint32_t) (prefixes[i].high >> 32) << compile->lines4_bits;
            store_le32(
                line + 4 * (size_t) --at,
                key | LINE4_WHOLE >> (prefixes[i].bits - compile->lines4_bits) |
                    prefixes[i].set);
        }
    }
    while (at > 0) {
        store_le32(line + 4 * (size_t) --at, LINE4_WHOLE | set);
    }
}

static void
put_branch(const compile_t *compile, uint64_t high, uint32_t outer,
           uint32_t inner, uint32_t first, uint32_t set, uint8_t *line)
{
    uint32_t bits = compile->lines4_bits, skip = outer - bits;
    uint32_t mask = skip == 0 ? 0 : UINT32_MAX << (32 - skip);

    store_le32(line, LINE4_WHOLE | LINE4_SET_MASK(bits));
    store_le32(line + BRANCH4_FIRST, first);
    line[BRANCH4_SKIP] = (uint8_t) skip;
    line[BRANCH4_BITS] = (uint8_t) inner;
    store_le32(line + BRANCH4_KEY, (uint32_t) (high >> 32) << bits & mask);
    store_le32(line + BRANCH4_MASK, mask);
    store_le32(line + BRANCH4_SET, set);
}

int
compile_put_lines4(compile_t *compile, const compile_prefix_t *prefixes,
                   size_t count)
{
    static const compile_lines_t lines = {
        .section = SECTION_LINES4,
        .words = LINE4_WORDS,
        .few = 6,
        .many = 12,
        .size = 32,
        .put_words = put_words,
        .put_branch = put_branch,
    };
    uint32_t bits = LINES4_BITS_MIN;

    /* A set must fit, and not be all ones. */
    while (compile->facilities + compile_count(compile, SECTION_SETS) >
           LINE4_SET_MASK(bits))
    {
        if (bits++ == LINES_BITS_MAX) {
            return -EFBIG;
        }
    }
    bits = compile_line_bits(&lines, prefixes, count, bits);
    compile->lines4_bits = bits;
    return compile_put_lines(compile, &lines, prefixes, count, bits);
}
