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
    return set < (uint64_t) image->count[SECTION_FACILITIES] +
                     image->count[SECTION_SETS];
}

/* The segments of a line with too many prefixes. */
static bool
more4_ok(const policy_image_t *image, const uint8_t *list)
{
    uint32_t bits = image->lines4_bits, mask = (1u << bits) - 1;
    uint32_t count = load_le32(list + 4), segment, last = 0;

    if (!image_list_in(image, list, SECTION_MORE4) || count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        segment = image_u32(image, SECTION_MORE4, load_le32(list) + i);
        if ((i == 0 ? segment >> bits != 0 : segment >> bits <= last) ||
            !set_ok(image, segment & mask))
        {
            return false;
        }
        last = segment >> bits;
    }
    return true;
}

bool
image_check_lines4(policy_image_t *image, uint32_t from, uint32_t to)
{
    static const uint8_t zero[LINE4_SIZE - 12];
    uint32_t mask = LINE4_SET_MASK(image->lines4_bits);
    uint32_t whole, word, last, start, least, last_start, last_least;
    const uint8_t *line;

    for (uint32_t i = from; i < to; i++) {
        line = image_element(image, SECTION_LINES4, LINE4_SIZE, i);
        whole = load_le32(line);
        if ((whole & ~mask) != LINE4_WHOLE) {
            return false;
        }
        if ((whole & mask) == mask) {
            if (!more4_ok(image, line + 4) ||
                memcmp(line + 12, zero, sizeof(zero)) != 0) {
                return false;
            }
            continue;
        }
        last = whole;
        for (uint32_t j = 0; j < LINE4_WORDS; j++, last = word) {
            word = load_le32(line + 4 * (size_t) j);
            if (!set_ok(image, word & mask)) {
                return false;
            }
            if (last == whole && word == whole) {
                continue;
            }
            /* Ascending; of those with one start the longest last. */
            start = word & ~mask;
            least = start & (0 - start);
            start -= least;
            last_start = last & ~mask;
            last_least = last_start & (0 - last_start);
            last_start -= last_least;
            if (least == 0 || least == LINE4_WHOLE || start < last_start ||
                (start == last_start && least >= last_least))
            {
                return false;
            }
        }
    }
    return true;
}

static bool
segment6_ok(const policy_image_t *image, uint32_t i, uint32_t bucket)
{
    const uint8_t *at = image_element(image, SECTION_SEGMENTS6, SEGMENT6_SIZE,
                                      i);
    uint64_t key = load_le64(at);
    uint32_t set = load_le32(at + 8);
    bool last = i + 1 == image->count[SECTION_SEGMENTS6];

    if (i == 0
            ? key != 0
            : key < image->index6_base ||
                  (key - image->index6_base) >> image->index6_shift != bucket)
    {
        return false;
    }
    if (!last && load_le64(at + SEGMENT6_SIZE) <= key) {
        return false;
    }
    if ((set & SEGMENT6_DEEP) == 0) {
        return set_ok(image, set);
    }
    /* A group of LOWS is of one /64 exactly. */
    return (set & ~SEGMENT6_DEEP) < image->count[SECTION_DEEP] - 1 &&
           (last ? key == UINT64_MAX
                 : load_le64(at + SEGMENT6_SIZE) == key + 1);
}

bool
image_check_segments6(policy_image_t *image, uint32_t from, uint32_t to)
{
    uint32_t begin, end;

    /* Segment 0 begins at 0 and is in no bucket. */
    if (from == 0 &&
        (image_u32(image, SECTION_INDEX6, 0) != 1 || !segment6_ok(image, 0, 0)))
    {
        return false;
    }
    begin = image_u32(image, SECTION_INDEX6, from);
    for (uint32_t i = from; i < to; i++, begin = end) {
        end = image_u32(image, SECTION_INDEX6, i + 1);
        if (end < begin || end > image->count[SECTION_SEGMENTS6]) {
            return false;
        }
        for (uint32_t j = begin; j < end; j++) {
            if (!segment6_ok(image, j, i)) {
                return false;
            }
        }
    }
    return to != image->count[SECTION_INDEX6] - 1 ||
           begin == image->count[SECTION_SEGMENTS6];
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
            at = image_element(image, SECTION_LOWS, SEGMENT6_SIZE, j);
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
