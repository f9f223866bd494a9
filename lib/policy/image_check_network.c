/* The check of what look-ups search: sets, segments, indexes, prefixes. */

#include "image_check_parts.h"
#include "policy.h"

bool
image_table_ok(const policy_image_t *image, image_section_t table,
               uint32_t from, uint32_t to, image_section_t section)
{
    if (from == 0 && image_u32(image, table, 0) != 0) {
        return false;
    }
    for (uint32_t i = from; i < to; i++) {
        if (image_u32(image, table, i) > image_u32(image, table, i + 1) ||
            image_u32(image, table, i + 1) > image->count[section])
        {
            return false;
        }
    }
    return to != image->count[table] - 1 ||
           image_u32(image, table, to) == image->count[section];
}

bool
image_check_sets(policy_image_t *image, uint32_t from, uint32_t to)
{
    const uint8_t *record, *facility;
    uint32_t first, count, member, last, open, dry_run;

    for (uint32_t i = from; i < to; i++) {
        record = image_element(image, SECTION_SETS, SET_SIZE, i);
        if (!image_list_in(image, record + SET_MEMBERS, SECTION_MEMBERS)) {
            return false;
        }
        first = load_le32(record + SET_MEMBERS);
        count = load_le32(record + SET_MEMBERS + 4);
        open = IMAGE_NONE;
        dry_run = count > 0;
        last = 0;
        for (uint32_t j = 0; j < count; j++) {
            member = image_u32(image, SECTION_MEMBERS, first + j);
            if (member >= image->count[SECTION_FACILITIES] ||
                (j > 0 && member <= last)) {
                return false;
            }
            last = member;
            facility = image_facility(image, member);
            if (facility[FACILITY_DEVICE] != POLICY_DEVICE_REQUIRED) {
                if (open != IMAGE_NONE) {
                    return false;
                }
                open = member;
            }
            if ((facility[FACILITY_FLAGS] & FACILITY_DRY_RUN) == 0) {
                dry_run = 0;
            }
        }
        if (load_le32(record + SET_OPEN) != open ||
            load_le32(record + SET_DRY_RUN) != dry_run)
        {
            return false;
        }
    }
    return true;
}

static bool
set_ok(const policy_image_t *image, uint32_t set)
{
    return set < image->sets;
}

/* A set, or a group of LOWS. */
static bool
set6_ok(const policy_image_t *image, uint64_t set)
{
    return set < (uint64_t) image->sets + image->count[SECTION_DEEP] - 1;
}

static bool
is_zero(const uint8_t *bytes, size_t from, size_t to)
{
    while (from < to) {
        if (bytes[from++] != 0) {
            return false;
        }
    }
    return true;
}

/*
 * Do the `bits` bits behind `skip` of a key of `size` bits choose among lines
 * that are all there, and behind line i?  Then a walk from branch to branch
 * comes to an end.
 */
static bool
branch_ok(uint32_t skip, uint32_t bits, uint32_t size, uint32_t first,
          uint32_t i, uint32_t count)
{
    return bits >= 1 && bits <= LINES_BITS_MAX && skip + bits <= size &&
           first > i && (uint64_t) first + (1u << bits) <= count;
}

static bool
branch4_ok(const policy_image_t *image, uint32_t i, const uint8_t *line)
{
    return branch_ok(line[BRANCH4_SKIP], line[BRANCH4_BITS],
                     32 - image->lines4_bits, load_le32(line + BRANCH4_FIRST),
                     i, image->count[SECTION_LINES4]) &&
           is_zero(line, BRANCH4_BITS + 1, BRANCH4_KEY) &&
           (load_le32(line + BRANCH4_KEY) & ~load_le32(line + BRANCH4_MASK)) ==
               0 &&
           set_ok(image, load_le32(line + BRANCH4_SET)) &&
           is_zero(line, BRANCH4_SIZE, LINE4_SIZE);
}

static bool
branch6_ok(const policy_image_t *image, uint32_t i, const uint8_t *line)
{
    return branch_ok(line[BRANCH6_SKIP], line[BRANCH6_BITS],
                     64 - image->block6_bits - image->lines6_bits,
                     load_le32(line + BRANCH6_FIRST), i,
                     image->count[SECTION_LINES6]) &&
           is_zero(line, BRANCH6_BITS + 1, BRANCH6_KEY) &&
           (load_le64(line + BRANCH6_KEY) & ~load_le64(line + BRANCH6_MASK)) ==
               0 &&
           set6_ok(image, load_le64(line + BRANCH6_SET)) &&
           is_zero(line, BRANCH6_SIZE, LINE6_SIZE);
}

/*
 * May `word` follow `last` in a line?  Both have their sets cleared; `whole`
 * is the prefix that is the line.  They ascend, and of those with one start
 * the longest is the last.
 */
static bool
word_ok(uint64_t word, uint64_t last, uint64_t whole)
{
    uint64_t least = word & (0 - word), start = word - least;
    uint64_t last_least = last & (0 - last), last_start = last - last_least;

    return least != 0 && least != whole &&
           (start > last_start || (start == last_start && least < last_least));
}

bool
image_check_lines4(policy_image_t *image, uint32_t from, uint32_t to)
{
    uint32_t mask = LINE4_SET_MASK(image->lines4_bits), first, word, last;
    const uint8_t *line;

    for (uint32_t i = from; i < to; i++) {
        line = image_element(image, SECTION_LINES4, LINE4_SIZE, i);
        first = load_le32(line);
        if (first == (LINE4_WHOLE | mask)) {
            if (!branch4_ok(image, i, line)) {
                return false;
            }
            continue;
        }
        if ((first & ~mask) != LINE4_WHOLE || !set_ok(image, first & mask)) {
            return false;
        }
        last = first;
        for (uint32_t j = 1; j < LINE4_WORDS; j++, last = word) {
            word = load_le32(line + 4 * (size_t) j);
            if (!set_ok(image, word & mask) ||
                (!(word == first && last == first) &&
                 !word_ok(word & ~mask, last & ~mask, LINE4_WHOLE)))
            {
                return false;
            }
        }
    }
    return true;
}

bool
image_check_lines6(policy_image_t *image, uint32_t from, uint32_t to)
{
    uint64_t mask = LINE6_SET_MASK(image->block6_bits + image->lines6_bits);
    uint64_t first, word, last;
    const uint8_t *line;

    for (uint32_t i = from; i < to; i++) {
        line = image_element(image, SECTION_LINES6, LINE6_SIZE, i);
        first = load_le64(line);
        if (first == (LINE6_WHOLE | mask)) {
            if (!branch6_ok(image, i, line)) {
                return false;
            }
            continue;
        }
        if ((first & ~mask) != LINE6_WHOLE || !set6_ok(image, first & mask)) {
            return false;
        }
        last = first;
        for (uint32_t j = 1; j < LINE6_WORDS; j++, last = word) {
            word = load_le64(line + 8 * (size_t) j);
            if (!set6_ok(image, word & mask) ||
                (!(word == first && last == first) &&
                 !word_ok(word & ~mask, last & ~mask, LINE6_WHOLE)))
            {
                return false;
            }
        }
    }
    return true;
}

bool
image_check_deep(policy_image_t *image, uint32_t from, uint32_t to)
{
    const uint8_t *at;
    uint32_t begin, end;
    uint64_t last;

    if (!image_table_ok(image, SECTION_DEEP, from, to, SECTION_LOWS)) {
        return false;
    }
    for (uint32_t i = from; i < to; i++) {
        begin = image_u32(image, SECTION_DEEP, i);
        end = image_u32(image, SECTION_DEEP, i + 1);
        if (begin == end) {
            return false;
        }
        last = 0;
        for (uint32_t j = begin; j < end; j++) {
            at = image_element(image, SECTION_LOWS, LOW_SIZE, j);
            if (j == begin ? load_le64(at) != 0 : load_le64(at) <= last) {
                return false;
            }
            last = load_le64(at);
            if (!set_ok(image, load_le32(at + 8))) {
                return false;
            }
        }
    }
    return true;
}

bool
image_check_networks4(policy_image_t *image, uint32_t from, uint32_t to)
{
    uint8_t bits;

    for (uint32_t i = from; i < to; i++) {
        bits = image->section[SECTION_NETWORKS4_BITS][i];
        if (bits > 32 ||
            (bits < 32 && image_u32(image, SECTION_NETWORKS4, i) << bits != 0))
        {
            return false;
        }
    }
    return true;
}

bool
image_check_networks6(policy_image_t *image, uint32_t from, uint32_t to)
{
    uint8_t bits;

    for (uint32_t i = from; i < to; i++) {
        bits = image->section[SECTION_NETWORKS6_BITS][i];
        if (bits > 64 ||
            (bits < 64 &&
             load_le64(image_element(image, SECTION_NETWORKS6, 8, i)) << bits !=
                 0))
        {
            return false;
        }
    }
    return true;
}

bool
image_check_networks6_long(policy_image_t *image, uint32_t from, uint32_t to)
{
    uint8_t bits;

    for (uint32_t i = from; i < to; i++) {
        bits = image->section[SECTION_NETWORKS6_LONG_BITS][i];
        if (bits <= 64 || bits > 128 ||
            (bits < 128 &&
             load_le64(image_element(image, SECTION_NETWORKS6_LONG, 16, i) + 8)
                     << (bits - 64) !=
                 0))
        {
            return false;
        }
    }
    return true;
}
