/* SipHash against OpenSSL's, which is another implementation. */

#include "unit.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/params.h>

#include "../../lib/base/endian.h"
#include "../../lib/base/siphash.h"

static void
of_openssl(const uint8_t *key, const uint8_t *data, size_t size,
           uint8_t result[16])
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t sixteen = 16;
    unsigned one = 1, three = 3;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_size_t("size", &sixteen),
        OSSL_PARAM_construct_uint("c-rounds", &one),
        OSSL_PARAM_construct_uint("d-rounds", &three),
        OSSL_PARAM_construct_end(),
    };

    assert_non_null(ctx);
    assert_int_equal(EVP_MAC_init(ctx, key, SIPHASH_KEY_SIZE, parameters), 1);
    assert_int_equal(EVP_MAC_update(ctx, data, size), 1);
    assert_int_equal(EVP_MAC_final(ctx, result, &sixteen, 16), 1);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

static void
agrees_with_openssl_for_all_sizes(void **state)
{
    uint8_t key[SIPHASH_KEY_SIZE], data[200], expected[16], got[16];

    (void) state;
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t) (i * 7 + 3);
    }
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t) (i * 31 + 1);
    }
    for (size_t size = 0; size <= sizeof(data); size++) {
        siphash_t hash = siphash(key, data, size);

        store_le64(got, hash.low);
        store_le64(got + 8, hash.high);
        of_openssl(key, data, size, expected);
        assert_memory_equal(got, expected, sizeof(got));
    }
}

static void
depends_on_the_key(void **state)
{
    uint8_t key[SIPHASH_KEY_SIZE] = {0};
    siphash_t one = siphash(key, "study", 5);
    siphash_t other;

    (void) state;
    key[15] = 1;
    other = siphash(key, "study", 5);
    assert_true(one.low != other.low && one.high != other.high);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_openssl_for_all_sizes),
        cmocka_unit_test(depends_on_the_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
