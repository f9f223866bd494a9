/* Codes as the standards' tables have them, and what people type. */

#define _GNU_SOURCE
#include "unit.h"

#include "otp_unit.h"

static secret_t
ascii_secret(size_t size)
{
    secret_t secret = {.size = size};
    size_t i;

    for (i = 0; i < size; i++) {
        secret.bytes[i] = (uint8_t) "1234567890"[i % 10];
    }
    return secret;
}

/* RFC 4226, appendix D */
static void
hotp_codes_are_those_of_rfc_4226(void **state)
{
    static const char *const codes[] = {"755224", "287082", "359152", "969429",
                                        "338314", "254676", "287922", "162583",
                                        "399871", "520489"};
    otp_parameters_t parameters = {.kind = OTP_HOTP};
    secret_t secret = ascii_secret(20);
    char code[9] = "";
    uint64_t i;

    (void) state;
    parameters = parameters_default(&parameters);
    for (i = 0; i < 10; i++) {
        assert_int_equal(code_make(&secret, &parameters, i, code), 0);
        assert_string_equal(code, codes[i]);
    }
}

/* RFC 6238, appendix B; the secrets are as long as the hash (errata 2866). */
static void
totp_codes_are_those_of_rfc_6238(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *codes[3];
    } rows[] = {
        {59, {"94287082", "46119246", "90693936"}},
        {1111111109, {"07081804", "68084774", "25091201"}},
        {1111111111, {"14050471", "67062674", "99943326"}},
        {1234567890, {"89005924", "91819424", "93441116"}},
        {2000000000, {"69279037", "90698825", "38618901"}},
        {20000000000, {"65353130", "77737706", "47863826"}},
    };
    static const otp_digest_t digests[] = {OTP_SHA1, OTP_SHA256, OTP_SHA512};
    static const size_t sizes[] = {20, 32, 64};
    size_t i, k;

    (void) state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (k = 0; k < 3; k++) {
            otp_parameters_t parameters = {.digest = digests[k], .digits = 8};
            secret_t secret = ascii_secret(sizes[k]);
            char code[9] = "";

            parameters = parameters_default(&parameters);
            assert_int_equal(
                code_make(&secret, &parameters, rows[i].seconds / 30, code), 0);
            assert_string_equal(code, rows[i].codes[k]);
        }
    }
}

/* The same table through the store, as a door asks. */
static void
the_store_accepts_what_rfc_6238_says(void **state)
{
    static const otp_digest_t digests[] = {OTP_SHA1, OTP_SHA256, OTP_SHA512};
    static const char *const codes[] = {"89005924", "91819424", "93441116"};
    static const char *const users[] = {"a", "b", "c"};
    static const size_t sizes[] = {20, 32, 64};
    otp_unit_t *unit = *state;
    size_t k;

    unit->now_ms = INT64_C(1234567890) * 1000;
    for (k = 0; k < 3; k++) {
        otp_parameters_t parameters = {.digest = digests[k], .digits = 8};
        secret_t secret = ascii_secret(sizes[k]);

        assert_int_equal(otp_begin(unit->store), 0);
        assert_int_equal(otp_import(unit->store, slice_of(users[k]),
                                    SLICE("phone"), &parameters, secret.bytes,
                                    secret.size, unit->now_ms),
                         0);
        assert_int_equal(otp_commit(unit->store), 0);
        assert_int_equal(verify(unit, users[k], codes[(k + 1) % 3]).result,
                         OTP_WRONG);
        assert_int_equal(verify(unit, users[k], codes[k]).result, OTP_ACCEPTED);
    }
}

static void
digits_are_six_to_eight(void **state)
{
    static const struct {
        const char *typed, *text;
    } rows[] = {{"123456", "123456"},
                {"1234567", "1234567"},
                {"12345678", "12345678"},
                {"123 456", "123456"},
                {" 12-34-56\t", "123456"}};
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        code_t code = code_read(slice_of(rows[i].typed));

        assert_int_equal(code.shape, CODE_DIGITS);
        assert_int_equal(strnlen(code.text, sizeof(code.text)),
                         strlen(rows[i].text));
        assert_memory_equal(code.text, rows[i].text, strlen(rows[i].text));
    }
}

static void
recovery_codes_are_read_as_people_write_them(void **state)
{
    static const char *const typed[] = {
        "0123-abcd-efgh-1100", "0123abcdefgh1100", "O123 ABCD EFGH LIOO",
        "o123-AbCd-eFgH-ilOo"};
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
        code_t code = code_read(slice_of(typed[i]));

        assert_int_equal(code.shape, CODE_RECOVERY);
        assert_memory_equal(code.text, "0123abcdefgh1100", 16);
    }
}

static void
everything_else_is_no_code(void **state)
{
    static const char *const typed[] = {"",
                                        "12345",
                                        "123456789",
                                        "12345x",
                                        "0123-abcd-efgh-110",
                                        "0123-abcd-efgh-11000",
                                        "0123-abcd-efgh-11u0",
                                        "123456\n",
                                        "123456;",
                                        "\xc2\xa0"
                                        "123456"};
    char much[OTP_CODE_MAX + 2];
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
        code_t code = code_read(slice_of(typed[i]));
        const code_t none = {.shape = CODE_NONE};

        assert_memory_equal(&code, &none, sizeof(code));
    }
    (void) snprintf(much, sizeof(much), "%*s123456", OTP_CODE_MAX - 5, "");
    assert_int_equal(strlen(much), OTP_CODE_MAX + 1);
    assert_int_equal(code_read(slice_of(much)).shape, CODE_NONE);
    assert_int_equal(code_read(slice_of(much + 1)).shape, CODE_DIGITS);
}

static void
parameters_have_bounds(void **state)
{
    static const otp_parameters_t bad[] = {
        {.digits = 5},           {.digits = 9}, {.period_seconds = 14},
        {.period_seconds = 121}, {.kind = 3},   {.digest = 4},
        {.counter = INT64_MAX}};
    size_t i;

    (void) state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        otp_parameters_t full = parameters_default(&bad[i]);

        assert_false(parameters_valid(&full));
    }
}

UNIT_TESTS(cmocka_unit_test(hotp_codes_are_those_of_rfc_4226),
           cmocka_unit_test(totp_codes_are_those_of_rfc_6238),
           OTP_TEST(the_store_accepts_what_rfc_6238_says),
           cmocka_unit_test(digits_are_six_to_eight),
           cmocka_unit_test(recovery_codes_are_read_as_people_write_them),
           cmocka_unit_test(everything_else_is_no_code),
           cmocka_unit_test(parameters_have_bounds))
