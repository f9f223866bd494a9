/*
 * A JSON reader (RFC 8259) that can be left and entered again at any byte.
 *
 * Objects and arrays that may hold something worth knowing have a frame; all
 * others are skipped, with an eye on nothing but strings and brackets, which
 * is where nearly all of an answer goes.
 */

#include "learn_internal.h"
#include "learn_scan.h"

static void
give_up(dicom_learn_t *learn)
{
    learn->result = DICOM_LEARN_GAVE_UP;
}


/* ---- Objects and arrays ---- */

/* What the value that now begins is, by where it stands. */
static uint8_t
target_here(dicom_learn_t *learn)
{
    dicom_learn_frame_t *top;

    if (learn->depth == 0) {
        return TARGET_NONE;
    }
    top = learn_top(learn);
    if (top->role == ROLE_VALUES) {
        if (top->values > 0 && top->target <= TARGET_ISSUER) {
            /* there is one at most: which one of these is it? */
            learn->spoiled = true;
        }
        if (top->values > 0 && top->target == TARGET_NAME) {
            return TARGET_NONE;
        }
        if (top->values < DICOM_LEARN_VALUES) {
            top->values++;
        }
    }

    return top->target;
}


/* What an object or array is that begins here; ROLE_NONE: skip it. */
static uint8_t
role_of(dicom_learn_t *learn, bool object, uint8_t *target)
{
    uint8_t role = learn->depth == 0 ? ROLE_NONE : learn_top(learn)->role;

    *target = target_here(learn);

    if (learn->depth == DICOM_LEARN_FRAMES) {
        return ROLE_NONE;
    }
    if (learn->depth == 0 || role == ROLE_ANSWER) {
        return object              ? ROLE_DATASET
               : learn->depth == 0 ? ROLE_ANSWER
                                   : ROLE_NONE;
    }

    switch (*target) {
    case TARGET_STUDY:
    case TARGET_PATIENT:
    case TARGET_ISSUER:
    case TARGET_NAME:
    case TARGET_URL:
    case TARGET_STORED:
        if (role == ROLE_VALUES) {
            return object && *target == TARGET_NAME     ? ROLE_NAME
                   : object && *target == TARGET_STORED ? ROLE_STORED
                                                        : ROLE_NONE;
        }
        if (role == ROLE_ELEMENT || role == ROLE_NAME) {
            return role == ROLE_ELEMENT && !object ? ROLE_VALUES : ROLE_NONE;
        }
        return object ? ROLE_ELEMENT : ROLE_NONE;
    case TARGET_TAGS:
        return object ? ROLE_TAGS : ROLE_NONE;
    case TARGET_DATASET:
        return object ? ROLE_DATASET : ROLE_NONE;
    case TARGET_STUDIES:
    case TARGET_SERIES:
    case TARGET_INSTANCES:
        return role == ROLE_DATASET && !object ? ROLE_LIST : ROLE_NONE;
    default:
        return ROLE_NONE;
    }
}


static void
open_container(dicom_learn_t *learn, bool object)
{
    uint8_t target, role = role_of(learn, object, &target);
    dicom_learn_frame_t *frame;

    if (role == ROLE_NONE) {
        learn_misfit(learn, target);
        learn->skip = learn->depth;
        if (learn_push(learn, object)) {
            learn->state = LEARN_SKIP;
        }
        return;
    }
    if (!learn_push(learn, object)) {
        return;
    }
    frame = learn_top(learn);
    frame->role = role;
    frame->values = 0;
    /* arrays hand their target on to what is in them, elements keep it until
     * they come to their Value */
    frame->target = role == ROLE_VALUES || role == ROLE_LIST ||
                            role == ROLE_ELEMENT || role == ROLE_NAME
                        ? target
                        : TARGET_NONE;
    if (role == ROLE_DATASET) {
        learn_begin(learn);
    }
    learn->state = object ? LEARN_KEY_OR_END : LEARN_VALUE_OR_END;
}


static void
close_container(dicom_learn_t *learn, bool object)
{
    uint8_t role = learn_top(learn)->role;

    if (!learn_pop(learn, object)) {
        return;
    }
    if (role == ROLE_DATASET) {
        learn_end(learn);
    }
    learn->state = learn->depth == 0 ? LEARN_END : LEARN_COMMA_OR_END;
}


/* ---- Strings ---- */

static void
keep(dicom_learn_t *learn, const uint8_t *bytes, size_t size)
{
    if (size > (size_t) DICOM_LEARN_TEXT - learn->text_size) {
        learn->overflow = true;
        return;
    }
    memcpy(learn->text + learn->text_size, bytes, size);
    learn->text_size = (uint16_t) (learn->text_size + size);
}


static void
keep_code(dicom_learn_t *learn, uint32_t code)
{
    uint8_t bytes[4];
    size_t size;

    if (code < 0x80) {
        bytes[0] = (uint8_t) code;
        size = 1;
    } else if (code < 0x800) {
        bytes[0] = (uint8_t) (0xc0 | code >> 6);
        bytes[1] = (uint8_t) (0x80 | (code & 0x3f));
        size = 2;
    } else if (code < 0x10000) {
        bytes[0] = (uint8_t) (0xe0 | code >> 12);
        bytes[1] = (uint8_t) (0x80 | (code >> 6 & 0x3f));
        bytes[2] = (uint8_t) (0x80 | (code & 0x3f));
        size = 3;
    } else {
        bytes[0] = (uint8_t) (0xf0 | code >> 18);
        bytes[1] = (uint8_t) (0x80 | (code >> 12 & 0x3f));
        bytes[2] = (uint8_t) (0x80 | (code >> 6 & 0x3f));
        bytes[3] = (uint8_t) (0x80 | (code & 0x3f));
        size = 4;
    }
    keep(learn, bytes, size);
}


/* Half a pair is no character: a lone one makes the text useless. */
static void
lone_surrogate(dicom_learn_t *learn)
{
    if (learn->surrogate != 0) {
        learn->surrogate = 0;
        learn->overflow = true;
    }
}


static void
open_string(dicom_learn_t *learn, uint8_t capture)
{
    learn->capture = capture;
    if (capture == TARGET_NONE) {
        learn->state = LEARN_UNKEPT;
        return;
    }
    learn->overflow = false;
    learn->surrogate = 0;
    learn->text_size = 0;
    learn->state = LEARN_STRING;
}


static void
close_string(dicom_learn_t *learn)
{
    lone_surrogate(learn);
    if (learn->capture != TARGET_KEY) {
        learn->state = learn->depth == 0 ? LEARN_END : LEARN_COMMA_OR_END;
        learn_text(learn, learn->capture);
        return;
    }

    learn->state = LEARN_COLON;
    learn_take_key(
        learn, learn_top(learn),
        (slice_t){learn->text, learn->overflow ? 0 : learn->text_size});
}


static void
end_escape(dicom_learn_t *learn, uint8_t c)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    uint8_t byte;

    if (c == 'u') {
        learn->code = 0;
        learn->hex_left = 4;
        learn->state = LEARN_HEX;
        return;
    }
    found = c == '\0' ? NULL : strchr(from, c);
    if (found == NULL) {
        give_up(learn);
        return;
    }
    lone_surrogate(learn);
    byte = (uint8_t) to[found - from];
    keep(learn, &byte, 1);
    learn->state = LEARN_STRING;
}


static void
end_hex(dicom_learn_t *learn, uint8_t c)
{
    uint8_t digit;

    if (c >= '0' && c <= '9') {
        digit = (uint8_t) (c - '0');
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
        digit = (uint8_t) ((c | 0x20) - 'a' + 10);
    } else {
        give_up(learn);
        return;
    }
    learn->code = (uint16_t) (learn->code << 4 | digit);
    if (--learn->hex_left > 0) {
        return;
    }

    learn->state = LEARN_STRING;
    if (learn->code >= 0xdc00 && learn->code <= 0xdfff) {
        if (learn->surrogate == 0) {
            learn->overflow = true;
            return;
        }
        keep_code(learn, 0x10000 + ((learn->surrogate - 0xd800u) << 10) +
                             (learn->code - 0xdc00u));
        learn->surrogate = 0;
        return;
    }
    lone_surrogate(learn);
    if (learn->code >= 0xd800 && learn->code <= 0xdbff) {
        learn->surrogate = learn->code;
    } else {
        keep_code(learn, learn->code);
    }
}


/* ---- Values ---- */

/* The target of a string or scalar that begins here. */
static uint8_t
plain_target(dicom_learn_t *learn)
{
    uint8_t target = target_here(learn), role;

    if (learn->depth == 0) {
        return TARGET_NONE;
    }
    role = learn_top(learn)->role;
    if (role == ROLE_ELEMENT || role == ROLE_NAME) {
        return learn_top(learn)->values ? target : TARGET_NONE;
    }

    return target;
}


static void
begin_value(dicom_learn_t *learn, uint8_t c)
{
    uint8_t target;

    switch (c) {
    case '{':
    case '[':
        if (learn->depth > 0 && learn_top(learn)->role == ROLE_ELEMENT &&
            !learn_top(learn)->values)
        {
            learn->skip = learn->depth;
            if (learn_push(learn, c == '{')) {
                learn->state = LEARN_SKIP;
            }
            return;
        }
        open_container(learn, c == '{');
        return;
    case '"':
        target = plain_target(learn);
        if (learn->depth == 0) {
            give_up(learn);
            return;
        }
        open_string(learn, target);
        return;
    default:
        if (c != '-' && !(c >= '0' && c <= '9') && c != 't' && c != 'f' &&
            c != 'n') {
            give_up(learn);
            return;
        }
        target = plain_target(learn);
        if (c != 'n') {
            learn_misfit(learn, target);
        }
        learn->state = LEARN_SCALAR;
    }
}


/* One byte in a state that is left with it. */
static void
step(dicom_learn_t *learn, uint8_t c)
{
    switch (learn->state) {
    case LEARN_VALUE_OR_END:
        if (c == ']') {
            close_container(learn, false);
            return;
        }
        /* fall through */
    case LEARN_VALUE:
        begin_value(learn, c);
        return;
    case LEARN_KEY_OR_END:
        if (c == '}') {
            close_container(learn, true);
            return;
        }
        /* fall through */
    case LEARN_KEY:
        if (c != '"') {
            give_up(learn);
            return;
        }
        open_string(learn, TARGET_KEY);
        return;
    case LEARN_COLON:
        if (c != ':') {
            give_up(learn);
            return;
        }
        learn->state = LEARN_VALUE;
        return;
    case LEARN_COMMA_OR_END:
        if (c == ',') {
            learn->state = learn_in_object(learn) ? LEARN_KEY : LEARN_VALUE;
        } else if (c == '}' || c == ']') {
            close_container(learn, c == '}');
        } else {
            give_up(learn);
        }
        return;
    default: /* LEARN_END: one value is an answer, and nothing behind it */
        give_up(learn);
    }
}


void
dicom_learn_start(dicom_learn_t *learn, unsigned flags, dicom_learned_fn told,
                  void *context)
{
    memset(learn, 0, sizeof(*learn));
    learn->told = told;
    learn->context = context;
    learn->flags = (uint8_t) flags;
    learn->result = DICOM_LEARN_MORE;
}


dicom_learn_result_t
dicom_learn_feed(dicom_learn_t *learn, const void *data, size_t size)
{
    const uint8_t *p = data, *end = p + size, *start;

    while (p < end && learn->result == DICOM_LEARN_MORE) {
        switch (learn->state) {
        case LEARN_SKIP:
        case LEARN_SKIP_STRING:
        case LEARN_SKIP_ESCAPE:
            p = learn_skip(learn, p, end);
            break;

        case LEARN_UNKEPT:
            p = learn_string_end(p, end);
            if (p < end) {
                if (*p == '"') {
                    learn->state = LEARN_COMMA_OR_END;
                } else if (*p == '\\') {
                    learn->state = LEARN_UNKEPT_ESCAPE;
                } else {
                    give_up(learn);
                }
                p++;
            }
            break;

        case LEARN_UNKEPT_ESCAPE:
            learn->state = LEARN_UNKEPT;
            p++;
            break;

        case LEARN_STRING:
            start = p;
            p = learn_string_end(p, end);
            if (p > start) {
                lone_surrogate(learn);
                keep(learn, start, (size_t) (p - start));
            }
            if (p < end) {
                if (*p == '"') {
                    close_string(learn);
                } else if (*p == '\\') {
                    learn->state = LEARN_ESCAPE;
                } else {
                    give_up(learn);
                }
                p++;
            }
            break;

        case LEARN_ESCAPE:
            end_escape(learn, *p++);
            break;

        case LEARN_HEX:
            end_hex(learn, *p++);
            break;

        case LEARN_SCALAR:
            while (p < end && (*p == '+' || *p == '-' || *p == '.' ||
                               (*p >= '0' && *p <= '9') ||
                               ((*p | 0x20) >= 'a' && (*p | 0x20) <= 'z')))
            {
                p++;
            }
            if (p < end) {
                learn->state = learn->depth == 0 ? LEARN_END
                                                 : LEARN_COMMA_OR_END;
            }
            break;

        case LEARN_COMMA_OR_END:
        case LEARN_KEY_OR_END:
        case LEARN_KEY:
            if (learn_in_object(learn)) {
                p = learn_members(learn, p, end);
                if (learn->result != DICOM_LEARN_MORE) {
                    break;
                }
            }
            /* fall through */
        default:
            p = learn_space_end(p, end);
            if (p < end) {
                step(learn, *p++);
            }
        }
    }

    return (dicom_learn_result_t) learn->result;
}
