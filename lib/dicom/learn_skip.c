/* What means nothing is passed over: any of it, in any pieces. */

#include "learn_internal.h"
#include "learn_block.h"

/* Takes out what a backslash in a string stands before; 1 if that is the byte
 * behind the block, which has the bit `behind`. */
static uint64_t
undo_escapes(learn_block_t *masks, bool in_string, uint64_t behind)
{
    uint64_t rest = masks->quotes | masks->escapes, bit;

    while (rest != 0) {
        bit = rest & -rest;
        rest ^= bit;
        if (masks->quotes & bit) {
            in_string = !in_string;
            continue;
        }
        if (!in_string) {
            continue;
        }
        bit <<= 1;
        if (bit == behind) {
            return 1;
        }
        rest &= ~bit;
        masks->quotes &= ~bit;
        masks->controls &= ~bit;
    }

    return 0;
}


/*
 * The brackets of a block, one by one.  Where the byte is behind which nothing
 * is skipped any more, LEARN_BLOCK if it goes on, or -1 if they do not match or
 * are too many.
 */
static inline int
count_brackets(dicom_learn_t *learn, const uint8_t *block, uint64_t found)
{
    unsigned depth = learn->depth, at;
    uint64_t kinds = learn->kinds;
    uint8_t c;

    for (; found != 0; found &= found - 1) {
        at = (unsigned) __builtin_ctzll(found);
        c = block[at];
        /* by their bits: 0x02 opens, 0x20 is round */
        if (c & 0x02) {
            if (depth % 64 == 0) {
                if (depth == DICOM_LEARN_DEPTH) {
                    return -1;
                }
                learn->outer_kinds[depth / 64] = kinds;
            }
            kinds = kinds << 1 | (c >> 5 & 1);
            depth++;
            continue;
        }
        if ((kinds ^ c >> 5) & 1) {
            return -1;
        }
        kinds >>= 1;
        depth--;
        if (depth % 64 == 0) {
            kinds = learn->outer_kinds[depth / 64];
        }
        if (depth == learn->skip) {
            break;
        }
    }
    learn->depth = (uint16_t) depth;
    learn->kinds = kinds;

    return found != 0 ? (int) at : LEARN_BLOCK;
}


static inline uint64_t
before(int at)
{
    return at == LEARN_BLOCK ? UINT64_MAX : (UINT64_C(1) << at) - 1;
}


const uint8_t *
learn_skip(dicom_learn_t *learn, const uint8_t *p, const uint8_t *end)
{
    uint8_t padded[LEARN_BLOCK];
    const uint8_t *block;
    /* all ones: in a string */
    uint64_t inside = learn->state == LEARN_SKIP ? 0 : UINT64_MAX, strings;
    uint64_t escaped = learn->state == LEARN_SKIP_ESCAPE, behind;
    learn_block_t masks;
    int last;

    for (; p < end; p += LEARN_BLOCK) {
        block = p;
        behind = 0;
        if (end - p < LEARN_BLOCK) {
            behind = UINT64_C(1) << (end - p);
            memset(padded, ' ', sizeof(padded));
            memcpy(padded, p, (size_t) (end - p));
            block = padded;
        }

        masks = learn_block(block);
        if (masks.escapes | escaped) {
            masks.quotes &= ~escaped;
            masks.controls &= ~escaped;
            masks.escapes &= ~escaped;
            escaped = undo_escapes(&masks, inside != 0, behind);
        }
        strings = learn_between(masks.quotes) ^ inside;

        masks.brackets &= ~strings;
        last = masks.brackets == 0
                   ? LEARN_BLOCK
                   : count_brackets(learn, block, masks.brackets);
        /* what comes behind the last bracket is none of ours */
        if (last < 0 || (before(last) & masks.controls & strings) != 0) {
            learn->result = DICOM_LEARN_GAVE_UP;
            return p;
        }
        if (last < LEARN_BLOCK) {
            learn->state = LEARN_COMMA_OR_END;
            return p + last + 1;
        }
        inside = 0 - (strings >> 63); /* all bits */
    }
    learn->state = escaped  ? LEARN_SKIP_ESCAPE
                   : inside ? LEARN_SKIP_STRING
                            : LEARN_SKIP;

    return end;
}
