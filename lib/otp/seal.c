/* AES-256-GCM (NIST SP 800-38D) with a random nonce of 96 bits: good for 2^32
 * values under one key, and a row has one. */

#include "otp_internal.h"

#include <openssl/rand.h>

#include "../base/endian.h"

int
otp_sealer_init(sealer_t *sealer, const otp_keys_t *keys)
{
    uint32_t i;

    memset(sealer, 0, sizeof(*sealer));
    if (keys->count == 0 || keys->count > OTP_KEYS_MAX) {
        return -EINVAL;
    }
    for (i = 0; i < keys->count; i++) {
        if (keys->version[i] == 0) {
            return -EINVAL;
        }
        if (keys->version[i] > keys->version[sealer->newest]) {
            sealer->newest = i;
        }
    }
    sealer->keys = *keys;
    sealer->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    sealer->context = EVP_CIPHER_CTX_new();
    if (sealer->cipher == NULL || sealer->context == NULL) {
        otp_sealer_wipe(sealer);
        return -ENOMEM;
    }
    return 0;
}

void
otp_sealer_wipe(sealer_t *sealer)
{
    EVP_CIPHER_CTX_free(sealer->context); /* wipes the key schedule */
    EVP_CIPHER_free(sealer->cipher);
    wipe_bytes(sealer, sizeof(*sealer));
}

uint32_t
otp_sealer_newest(const sealer_t *sealer)
{
    return sealer->keys.version[sealer->newest];
}

uint32_t
otp_seal_version(const uint8_t *sealed, size_t sealed_size)
{
    return sealed_size < SEAL_OVERHEAD ? 0 : load_le32(sealed);
}

/* Every part with its size before it: no two labels are one text. */
static bool
add_part(sealer_t *sealer, const void *data, size_t size)
{
    uint8_t bytes[4];
    int n;

    store_le32(bytes, (uint32_t) size);
    return EVP_CipherUpdate(sealer->context, NULL, &n, bytes, sizeof(bytes)) ==
               1 &&
           (size == 0 ||
            EVP_CipherUpdate(sealer->context, NULL, &n, data, (int) size) == 1);
}

static bool
start(sealer_t *sealer, const seal_label_t *label, uint32_t key,
      const uint8_t *version, const uint8_t *nonce, int encrypt)
{
    return EVP_CipherInit_ex2(sealer->context, sealer->cipher,
                              sealer->keys.key[key], nonce, encrypt,
                              NULL) == 1 &&
           add_part(sealer, label->purpose, strlen(label->purpose)) &&
           add_part(sealer, sealer->id, sizeof(sealer->id)) &&
           add_part(sealer, version, 4) &&
           add_part(sealer, label->user.data, label->user.size) &&
           add_part(sealer, label->device.data, label->device.size) &&
           add_part(sealer, label->parameters, sizeof(label->parameters));
}

int
otp_seal(sealer_t *sealer, const seal_label_t *label, const void *data,
         size_t size, uint8_t *sealed)
{
    uint8_t *nonce = sealed + 4, *text = nonce + SEAL_NONCE_SIZE;
    int n;

    if (size == 0 || size > SEAL_DATA_MAX) {
        return -EINVAL;
    }
    store_le32(sealed, otp_sealer_newest(sealer));
    if (RAND_bytes(nonce, SEAL_NONCE_SIZE) != 1 ||
        !start(sealer, label, sealer->newest, sealed, nonce, 1) ||
        EVP_CipherUpdate(sealer->context, text, &n, data, (int) size) != 1 ||
        n != (int) size ||
        EVP_CipherFinal_ex(sealer->context, text + size, &n) != 1 ||
        EVP_CIPHER_CTX_ctrl(sealer->context, EVP_CTRL_AEAD_GET_TAG,
                            SEAL_TAG_SIZE, text + size) != 1)
    {
        return -EIO;
    }
    return 0;
}

int
otp_unseal(sealer_t *sealer, const seal_label_t *label, const uint8_t *sealed,
           size_t sealed_size, void *data, size_t capacity, size_t *size)
{
    const uint8_t *nonce = sealed + 4, *text = nonce + SEAL_NONCE_SIZE;
    uint8_t tag[SEAL_TAG_SIZE], rest[16];
    uint32_t version = otp_seal_version(sealed, sealed_size), key;
    size_t text_size;
    int n;

    *size = 0;
    if (version == 0 || sealed_size - SEAL_OVERHEAD > capacity) {
        return -EBADMSG;
    }
    text_size = sealed_size - SEAL_OVERHEAD;
    for (key = 0; key < sealer->keys.count; key++) {
        if (sealer->keys.version[key] == version) {
            break;
        }
    }
    if (key == sealer->keys.count) {
        return -ENOKEY;
    }
    memcpy(tag, text + text_size, sizeof(tag));
    if (!start(sealer, label, key, sealed, nonce, 0) ||
        EVP_CipherUpdate(sealer->context, data, &n, text, (int) text_size) !=
            1 ||
        n != (int) text_size ||
        EVP_CIPHER_CTX_ctrl(sealer->context, EVP_CTRL_AEAD_SET_TAG,
                            SEAL_TAG_SIZE, tag) != 1 ||
        EVP_CipherFinal_ex(sealer->context, rest, &n) != 1)
    {
        wipe_bytes(data, capacity); /* unproven text is no text */
        return -EBADMSG;
    }
    *size = text_size;
    return 0;
}
