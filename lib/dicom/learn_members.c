/*
 * The members of datasets and resources, most of which mean nothing: this is
 * where the time goes that an answer takes, so it goes by whole keys, strings
 * and blocks, and leaves what is out of the ordinary, also the end of a piece,
 * to the readers of learn.c and learn_skip.c.  It accepts nothing that they
 * would not.
 */

#include "learn_block.h"
#include "learn_internal.h"

/*
 * As learn_skip(), from behind the bracket that has just been opened, for what
 * is not deep and has no escapes; the rest of anything else is handed over.
 */
static inline const uint8_t *
skip(dicom_learn_t *learn, const uint8_t *p, const uint8_t *end)
{
    /* where a block begins */
    unsigned depth = learn->depth;
    uint64_t kinds = learn->kinds, inside = 0;
    /* within it */
    unsigned level = depth, outer = depth - 1, at;
    uint64_t stack = kinds, strings, found;
    learn_block_t block;
    uint8_t c;

    for (; end - p >= LEARN_BLOCK; p += LEARN_BLOCK) {
        block = learn_block(p);
        if (block.escapes != 0) {
            break;
        }
        strings = learn_between(block.quotes) ^ inside;
        for (found = block.brackets & ~strings; found != 0; found &= found - 1)
        {
            at = (unsigned) __builtin_ctzll(found);
            c = p[at];
            /* by their bits: 0x02 opens, 0x20 is round */
            if (c & 0x02) {
                stack = stack << 1 | (c >> 5 & 1);
                if (++level == 64) {
                    goto rest;
                }
                continue;
            }
            if ((stack ^ c >> 5) & 1) {
                goto failed;
            }
            stack >>= 1;
            if (--level == outer) {
                if (block.controls & strings & ((UINT64_C(1) << at) - 1)) {
                    goto failed;
                }
                learn->depth = (uint16_t) level;
                learn->kinds = stack;
                learn->state = LEARN_COMMA_OR_END;
                return p + at + 1;
            }
        }
        if (block.controls & strings) {
            goto failed;
        }
        inside = 0 - (strings >> 63); /* all bits */
        depth = level;
        kinds = stack;
    }

rest:
    learn->depth = (uint16_t) depth;
    learn->kinds = kinds;
    learn->skip = (uint16_t) outer;
    learn->state = inside ? LEARN_SKIP_STRING : LEARN_SKIP;

    return learn_skip(learn, p, end);

failed:
    learn->state = LEARN_SKIP;
    learn->result = DICOM_LEARN_GAVE_UP;

    return p;
}


/* Whether what a key stands for means something; the top frame is told. */
static inline bool
is_wanted(dicom_learn_t *learn, dicom_learn_frame_t *top, slice_t key)
{
    if (key.size > DICOM_LEARN_TEXT) {
        key.size = 0; /* as one that was kept in part */
    }
    if (top->role == ROLE_ELEMENT || top->role == ROLE_NAME) {
        learn_take_key(learn, top, key);
        return top->values && top->target != TARGET_NONE;
    }
    /* most are attributes of groups that mean nothing, but in STOW's answer */
    if ((key.size == 8 || key.size == 9) && key.data[0] == '0' &&
        memcmp(key.data, "0010", 4) != 0 && memcmp(key.data, "0020", 4) != 0 &&
        !(learn->flags & DICOM_LEARN_STORED))
    {
        top->target = TARGET_NONE;
        return false;
    }

    learn_take_key(learn, top, key);
    if (top->target == TARGET_DATASET) {
        /* it is the dataset's id: learn_begin() looks for it here */
        memcpy(learn->text, key.data, key.size);
        learn->text_size = (uint16_t) key.size;
        learn->overflow = false;
    }

    return top->target != TARGET_NONE;
}


const uint8_t *
learn_members(dicom_learn_t *learn, const uint8_t *p, const uint8_t *end)
{
    dicom_learn_frame_t *top = learn_top(learn);
    bool behind = learn->state == LEARN_COMMA_OR_END;
    const uint8_t *q, *key;
    bool wanted;

    while (end - p >= LEARN_MARGIN) {
        q = p;
        if (behind && *q++ != ',') {
            break;
        }
        if (*q <= ' ') {
            q = learn_space_end_16(q);
        }
        if (q == NULL || *q != '"') {
            break;
        }
        key = q + 1;
        q = learn_string_end(key, end);
        if (end - q < LEARN_MARGIN || *q != '"') {
            break;
        }
        wanted = is_wanted(learn, top,
                           (slice_t){(const char *) key, (size_t) (q - key)});
        q++;
        if (*q == ' ') {
            q++;
        }
        if (*q != ':') {
            learn->state = LEARN_COLON;
            return q;
        }
        q++;
        if (*q <= ' ') {
            p = learn_space_end_16(q);
            q = p == NULL ? q : p;
        }

        if (wanted || (*q != '"' && *q != '{' && *q != '[')) {
            learn->state = LEARN_VALUE;
            return q;
        }
        if (*q == '"') {
            p = learn_string_end(q + 1, end);
            if (p == end || *p != '"') {
                learn->state = LEARN_VALUE;
                return q;
            }
            p++;
        } else {
            if (!learn_push(learn, *q == '{')) {
                return q;
            }
            p = skip(learn, q + 1, end);
            if (learn->state != LEARN_COMMA_OR_END) {
                return p;
            }
        }
        behind = true;
    }
    if (behind) {
        learn->state = LEARN_COMMA_OR_END;
    }

    return p;
}
