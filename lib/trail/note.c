#define _GNU_SOURCE
#include "note.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "../base/endian.h"
#include "base64.h"
#include "note_internal.h"

#define KEY_SIZE       32
#define SIGNATURE_SIZE 64
#define COSIGNED_SIZE  (8 + SIGNATURE_SIZE) /* a time goes first */

#define EM_DASH "\xe2\x80\x94"

/* Length of the UTF-8 sequence at `at` and its code point; 0 if it is none. */
static size_t
utf8_next(const uint8_t *at, size_t size, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length, i;

    if (at[0] < 0x80) {
        *code = at[0];
        return 1;
    }
    length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || size < length) {
        return 0;
    }
    *code = at[0] & (0x7fu >> length);
    for (i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (at[i] & 0x3fu);
    }
    if (*code < least[length] || *code > 0x10ffff ||
        (*code >= 0xd800 && *code <= 0xdfff))
    {
        return 0;
    }
    return length;
}

/* UTF-8 without control characters but the newline. */
static bool
text_valid(slice_t text)
{
    size_t i = 0;

    while (i < text.size) {
        uint32_t code;
        size_t n = utf8_next((const uint8_t *) text.data + i, text.size - i,
                             &code);

        if (n == 0 || (code < 0x20 && code != '\n')) {
            return false;
        }
        i += n;
    }
    return true;
}

static bool
unicode_space(uint32_t code)
{
    return code <= 0x20 || code == 0x85 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
           code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

bool
note_name_valid(slice_t name)
{
    size_t i = 0;

    if (name.size == 0 || name.size > NOTE_NAME_MAX) {
        return false;
    }
    while (i < name.size) {
        uint32_t code;
        size_t n = utf8_next((const uint8_t *) name.data + i, name.size - i,
                             &code);

        if (n == 0 || unicode_space(code) || code == '+' || code == 0x7f) {
            return false;
        }
        i += n;
    }
    return true;
}

int
note_key_id(note_verifier_t *verifier)
{
    uint8_t input[NOTE_NAME_MAX + 2 + KEY_SIZE], digest[32];
    size_t size = strlen(verifier->name);

    memcpy(input, verifier->name, size);
    input[size++] = '\n';
    input[size++] = verifier->type;
    memcpy(input + size, verifier->key, KEY_SIZE);
    size += KEY_SIZE;
    if (EVP_Digest(input, size, digest, NULL, EVP_sha256(), NULL) != 1) {
        return -EIO;
    }
    memcpy(verifier->id, digest, sizeof(verifier->id));
    return 0;
}

static void
id_hex(const uint8_t id[4], char hex[9])
{
    (void) snprintf(hex, 9, "%02x%02x%02x%02x", id[0], id[1], id[2], id[3]);
}

bool
note_key_split(slice_t text, slice_t *name, slice_t *hex, uint8_t key[33])
{
    const char *plus = memchr(text.data, '+', text.size);
    slice_t rest;
    size_t size;

    if (plus == NULL) {
        return false;
    }
    *name = (slice_t){text.data, (size_t) (plus - text.data)};
    rest = slice_from(text, name->size + 1);
    if (!note_name_valid(*name) || rest.size < 9 || rest.data[8] != '+') {
        return false;
    }
    *hex = (slice_t){rest.data, 8};
    return base64_decode(slice_from(rest, 9), key, 1 + KEY_SIZE, &size) &&
           size == 1 + KEY_SIZE;
}

bool
note_verifier_parse(slice_t text, note_verifier_t *verifier)
{
    slice_t name, hex;
    uint8_t key[1 + KEY_SIZE];
    char expected[9];

    memset(verifier, 0, sizeof(*verifier));
    if (text.size >= NOTE_VERIFIER_TEXT_MAX ||
        !note_key_split(text, &name, &hex, key) ||
        (key[0] != NOTE_ED25519 && key[0] != NOTE_COSIGNATURE))
    {
        return false;
    }
    memcpy(verifier->name, name.data, name.size);
    verifier->type = key[0];
    memcpy(verifier->key, key + 1, KEY_SIZE);
    if (note_key_id(verifier) != 0) {
        return false;
    }
    id_hex(verifier->id, expected);
    return slice_is(hex, expected);
}

size_t
note_key_format(const note_verifier_t *verifier, const uint8_t *material,
                char *text, size_t capacity)
{
    uint8_t key[1 + KEY_SIZE];
    char hex[9], base64[BASE64_SIZE(1 + KEY_SIZE) + 1];
    int used;

    key[0] = verifier->type;
    memcpy(key + 1, material, KEY_SIZE);
    base64[base64_encode(key, sizeof(key), base64)] = '\0';
    id_hex(verifier->id, hex);
    used = snprintf(text, capacity, "%s+%s+%s", verifier->name, hex, base64);
    wipe_bytes(key, sizeof(key)); /* it may be a seed */
    wipe_bytes(base64, sizeof(base64));
    return (size_t) used;
}

size_t
note_verifier_format(const note_verifier_t *verifier,
                     char text[NOTE_VERIFIER_TEXT_MAX])
{
    return note_key_format(verifier, verifier->key, text,
                           NOTE_VERIFIER_TEXT_MAX);
}

/* One line without its newline. */
static bool
take_line(slice_t *rest, slice_t *line)
{
    const char *end = memchr(rest->data, '\n', rest->size);

    if (end == NULL) {
        return false;
    }
    *line = (slice_t){rest->data, (size_t) (end - rest->data)};
    *rest = slice_from(*rest, line->size + 1);
    return true;
}

static bool
parse_signature(slice_t line, note_signature_t *signature)
{
    const char *space;
    uint8_t start[3 * 2];
    size_t size;

    if (!slice_starts(line, SLICE(EM_DASH " "))) {
        return false;
    }
    line = slice_from(line, sizeof(EM_DASH " ") - 1);
    space = memchr(line.data, ' ', line.size);
    if (space == NULL) {
        return false;
    }
    signature->name = (slice_t){line.data, (size_t) (space - line.data)};
    signature->base64 = slice_from(line, signature->name.size + 1);
    if (!note_name_valid(signature->name) || signature->base64.size < 8) {
        return false;
    }
    /* The id is in the first eight characters, with two bytes of what follows;
     * the whole must be Base64 also where the key is not known. */
    if (!base64_decode((slice_t){signature->base64.data, 8}, start,
                       sizeof(start), &size) ||
        size <= 4)
    {
        return false;
    }
    memcpy(signature->id, start, 4);
    return true;
}

static bool
base64_valid(slice_t text)
{
    uint8_t chunk[3];
    size_t i, size;

    for (i = 0; i + 4 <= text.size; i += 4) {
        if (!base64_decode((slice_t){text.data + i, 4}, chunk, 3, &size) ||
            (size != 3 && i + 4 != text.size))
        {
            return false;
        }
    }
    return i == text.size;
}

bool
note_parse(slice_t bytes, note_t *note)
{
    size_t split;
    slice_t rest, line;

    memset(note, 0, sizeof(*note));
    if (bytes.size < 3 || bytes.size > NOTE_SIZE_MAX || !text_valid(bytes) ||
        bytes.data[bytes.size - 1] != '\n')
    {
        return false;
    }
    /* the last empty line: there may be others inside the text */
    for (split = bytes.size - 1; split > 0; split--) {
        if (bytes.data[split] == '\n' && bytes.data[split - 1] == '\n') {
            break;
        }
    }
    if (split == 0) {
        return false;
    }
    note->text = (slice_t){bytes.data, split};
    rest = slice_from(bytes, split + 1);
    while (rest.size > 0) {
        note_signature_t *signature = &note->signatures[note->signatures_count];

        if (note->signatures_count == NOTE_SIGNATURES_MAX ||
            !take_line(&rest, &line) || !parse_signature(line, signature) ||
            !base64_valid(signature->base64))
        {
            return false;
        }
        note->signatures_count++;
    }
    return note->signatures_count > 0;
}

static void
cleanup_pkey(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void
cleanup_md(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}

static int
sign(slice_t text, const note_signer_t *signer, uint8_t *signature)
{
    _cleanup_(cleanup_pkey) EVP_PKEY *key = EVP_PKEY_new_raw_private_key(
        EVP_PKEY_ED25519, NULL, signer->seed, sizeof(signer->seed));
    _cleanup_(cleanup_md) EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t size = SIGNATURE_SIZE;

    if (key == NULL || context == NULL ||
        EVP_DigestSignInit(context, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(context, signature, &size, (const uint8_t *) text.data,
                       text.size) != 1 ||
        size != SIGNATURE_SIZE)
    {
        return -EIO;
    }
    return 0;
}

int
note_sign(slice_t text, const note_signer_t *signers, size_t signers_count,
          char *bytes, size_t capacity, size_t *size)
{
    size_t i, used = 0;

    if (text.size == 0 || text.data[text.size - 1] != '\n' ||
        !text_valid(text) || signers_count == 0 ||
        signers_count > NOTE_SIGNATURES_MAX)
    {
        return -EINVAL;
    }
    if (text.size >= capacity) {
        return -ENOSPC;
    }
    memcpy(bytes, text.data, text.size);
    used = text.size;
    bytes[used++] = '\n';
    for (i = 0; i < signers_count; i++) {
        uint8_t raw[4 + SIGNATURE_SIZE];
        size_t name = strlen(signers[i].verifier.name);
        int result;

        if (capacity - used <
            sizeof(EM_DASH "  \n") - 1 + name + BASE64_SIZE(sizeof(raw)))
        {
            return -ENOSPC;
        }
        memcpy(raw, signers[i].verifier.id, 4);
        result = sign(text, &signers[i], raw + 4);
        if (result != 0) {
            return result;
        }
        memcpy(bytes + used, EM_DASH " ", sizeof(EM_DASH " ") - 1);
        used += sizeof(EM_DASH " ") - 1;
        memcpy(bytes + used, signers[i].verifier.name, name);
        used += name;
        bytes[used++] = ' ';
        used += base64_encode(raw, sizeof(raw), bytes + used);
        bytes[used++] = '\n';
    }
    if (used > NOTE_SIZE_MAX) {
        return -ENOSPC;
    }
    *size = used;
    return 0;
}

/* 1: by this key; 0: not; negative: OpenSSL could not tell. */
static int
verify_bytes(const note_verifier_t *verifier, slice_t message,
             const uint8_t *signature)
{
    _cleanup_(cleanup_pkey) EVP_PKEY *key = EVP_PKEY_new_raw_public_key(
        EVP_PKEY_ED25519, NULL, verifier->key, sizeof(verifier->key));
    _cleanup_(cleanup_md) EVP_MD_CTX *context = EVP_MD_CTX_new();

    if (key == NULL || context == NULL ||
        EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) != 1)
    {
        return -EIO;
    }
    return EVP_DigestVerify(context, signature, SIGNATURE_SIZE,
                            (const uint8_t *) message.data, message.size) == 1;
}

/* tlog-cosignature: what a witness signs is the text behind two lines. */
static int
verify_cosignature(const note_verifier_t *verifier, slice_t text,
                   const uint8_t raw[COSIGNED_SIZE])
{
    _cleanup_(cleanup_free) char *message = NULL;
    uint64_t time = load_be64(raw);
    int used;

    if (time > INT64_MAX) {
        return 0;
    }
    used = asprintf(&message, "cosignature/v1\ntime %" PRIu64 "\n%.*s", time,
                    SLICE_ARG(text));
    if (used < 0) {
        message = NULL;
        return -ENOMEM;
    }
    return verify_bytes(verifier, (slice_t){message, (size_t) used}, raw + 8);
}

static int
verify_one(const note_t *note, const note_signature_t *signature,
           const note_verifier_t *verifier)
{
    uint8_t raw[4 + COSIGNED_SIZE];
    size_t size;

    if (!base64_decode(signature->base64, raw, sizeof(raw), &size)) {
        return 0;
    }
    if (verifier->type == NOTE_COSIGNATURE) {
        return size == 4 + COSIGNED_SIZE
                   ? verify_cosignature(verifier, note->text, raw + 4)
                   : 0;
    }
    return size == 4 + SIGNATURE_SIZE
               ? verify_bytes(verifier, note->text, raw + 4)
               : 0;
}

note_result_t
note_verify(const note_t *note, const note_verifier_t *verifiers, size_t count,
            uint32_t *verified)
{
    uint32_t mask = 0;
    size_t i, k;

    if (verified != NULL) {
        *verified = 0;
    }
    if (count > NOTE_KEYS_MAX) {
        return NOTE_ERROR;
    }
    for (i = 0; i < note->signatures_count; i++) {
        const note_signature_t *signature = &note->signatures[i];

        for (k = 0; k < count; k++) {
            int result;

            if (memcmp(signature->id, verifiers[k].id, 4) != 0 ||
                !slice_is(signature->name, verifiers[k].name))
            {
                continue;
            }
            result = verify_one(note, signature, &verifiers[k]);
            if (result <= 0) {
                return result < 0 ? NOTE_ERROR : NOTE_BAD;
            }
            mask |= UINT32_C(1) << k;
        }
    }
    if (verified != NULL) {
        *verified = mask;
    }
    return mask == 0 ? NOTE_UNKNOWN : NOTE_OK;
}
