/*
 * Recovery codes: NIST SP 800-63B 3.1.2, look-up secrets.
 *
 * A code is 80 random bits.  One salt for a user's ten codes: one scrypt of
 * what was typed is compared with all ten.  N = 2^12, r = 8, p = 1 takes 4 MiB
 * and some 10 ms; the daemon does nothing else meanwhile, so more would help
 * him who wants it busy, and 80 bits need no more.  The hashes are sealed as
 * the secrets are: a copy of the store alone is not enough to try.
 */

#include "otp_internal.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#define SCRYPT_N 4096
#define SCRYPT_R 8
#define SCRYPT_P 1

/* Crockford's, in lower case: no i, l, o, u. */
const char recovery_alphabet[33] = "0123456789abcdefghjkmnpqrstvwxyz";

static int
hash_code(const uint8_t salt[RECOVERY_SALT_SIZE],
          const char text[RECOVERY_LETTERS], uint8_t hash[RECOVERY_HASH_SIZE])
{
    return EVP_PBE_scrypt(text, RECOVERY_LETTERS, salt, RECOVERY_SALT_SIZE,
                          SCRYPT_N, SCRYPT_R, SCRYPT_P, 32u << 20, hash,
                          RECOVERY_HASH_SIZE) == 1
               ? 0
               : -EIO;
}

int
recovery_make(char codes[OTP_RECOVERY_CODES][OTP_RECOVERY_SIZE],
              recovery_t *recovery)
{
    uint8_t random[RECOVERY_LETTERS];
    char text[RECOVERY_LETTERS];
    int result = 0;
    size_t i, k;

    if (RAND_bytes(recovery->salt, sizeof(recovery->salt)) != 1) {
        return -EIO;
    }
    for (i = 0; i < OTP_RECOVERY_CODES && result == 0; i++) {
        if (RAND_priv_bytes(random, sizeof(random)) != 1) {
            result = -EIO;
            break;
        }
        for (k = 0; k < RECOVERY_LETTERS; k++) {
            text[k] = recovery_alphabet[random[k] % 32];
            codes[i][k + k / 4] = text[k];
        }
        codes[i][4] = codes[i][9] = codes[i][14] = '-';
        codes[i][OTP_RECOVERY_SIZE - 1] = '\0';
        result = hash_code(recovery->salt, text, recovery->hashes[i]);
    }
    wipe_bytes(random, sizeof(random));
    wipe_bytes(text, sizeof(text));
    return result;
}

int
recovery_find(const recovery_t *recovery, const code_t *code, int *index)
{
    uint8_t hash[RECOVERY_HASH_SIZE];
    int found = -1, i, result;

    *index = -1;
    result = hash_code(recovery->salt, code->text, hash);
    if (result != 0) {
        return result;
    }
    for (i = 0; i < OTP_RECOVERY_CODES; i++) {
        if (CRYPTO_memcmp(hash, recovery->hashes[i], sizeof(hash)) == 0) {
            found = i;
        }
    }
    wipe_bytes(hash, sizeof(hash));
    *index = found;
    return 0;
}
