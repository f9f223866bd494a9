#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base64.h"
#include "decimal.h"

static bool
take_line(slice_t *rest, slice_t *line)
{
    const char *end = rest->size == 0 ? NULL
                                      : memchr(rest->data, '\n', rest->size);

    if (end == NULL) {
        return false;
    }
    *line = (slice_t){rest->data, (size_t) (end - rest->data)};
    *rest = slice_from(*rest, line->size + 1);
    return true;
}

bool
checkpoint_parse(slice_t text, checkpoint_t *checkpoint)
{
    slice_t rest = text, size, root, line;
    size_t bytes;

    memset(checkpoint, 0, sizeof(*checkpoint));
    if (!take_line(&rest, &checkpoint->origin) ||
        checkpoint->origin.size == 0 || !take_line(&rest, &size) ||
        !decimal_parse(size, &checkpoint->size) || !take_line(&rest, &root) ||
        !base64_decode(root, checkpoint->root.bytes, MERKLE_HASH_SIZE,
                       &bytes) ||
        bytes != MERKLE_HASH_SIZE || checkpoint->size > INT64_MAX)
    {
        return false;
    }
    checkpoint->extensions = rest;
    while (rest.size > 0) {
        if (!take_line(&rest, &line) || line.size == 0) {
            return false;
        }
    }
    return true;
}

size_t
checkpoint_format(slice_t origin, uint64_t size, const merkle_hash_t *root,
                  char body[CHECKPOINT_BODY_MAX])
{
    char line[24];
    size_t used = 0;
    int digits = snprintf(line, sizeof(line), "\n%" PRIu64 "\n", size);

    memcpy(body, origin.data, origin.size);
    used = origin.size;
    memcpy(body + used, line, (size_t) digits);
    used += (size_t) digits;
    used += base64_encode(root->bytes, MERKLE_HASH_SIZE, body + used);
    body[used++] = '\n';
    return used;
}

int
checkpoint_open(slice_t bytes, const note_verifier_t *verifiers, size_t count,
                checkpoint_t *checkpoint, uint32_t *verified,
                trail_problem_t *problem)
{
    note_t note;
    uint32_t mask = 0;
    size_t i;

    if (verified != NULL) {
        *verified = 0;
    }
    if (!note_parse(bytes, &note) || !checkpoint_parse(note.text, checkpoint)) {
        trail_problem_set(problem, "not a signed checkpoint");
        return -EBADMSG;
    }
    if (count == 0) {
        return 0;
    }
    switch (note_verify(&note, verifiers, count, &mask)) {
    case NOTE_OK:
        break;
    case NOTE_BAD:
        trail_problem_set(problem, "a signature is false: the checkpoint was "
                                   "changed after it was signed");
        return -EBADMSG;
    case NOTE_UNKNOWN:
        break;
    case NOTE_ERROR:
        trail_problem_set(problem, "OpenSSL cannot check the signatures");
        return -EIO;
    }
    for (i = 0; i < count; i++) {
        if ((mask >> i & 1) != 0 && verifiers[i].type == NOTE_ED25519 &&
            slice_is(checkpoint->origin, verifiers[i].name))
        {
            if (verified != NULL) {
                *verified = mask;
            }
            return 0;
        }
    }
    trail_problem_set(
        problem,
        "the checkpoint of \"%.*s\" is signed by none of the "
        "given keys for that origin",
        (int) (checkpoint->origin.size < 200 ? checkpoint->origin.size : 200),
        checkpoint->origin.data);
    return -ENOKEY;
}
