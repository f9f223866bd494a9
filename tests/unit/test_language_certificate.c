/* `certificate` and `device-ca`: fingerprints and PEM files. */

#define _GNU_SOURCE
#include "policy_text.h"

#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

/* Lifetimes around TEST_NOW, in seconds. */
#define YEAR (365L * 86400)

typedef struct {
    char folder[32];
    char path[64];
    uint8_t sha256[4][32]; /* of the certificates written, in order */
    unsigned count;
} fixture_t;

static void
setup(fixture_t *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    (void) snprintf(fixture->folder, sizeof(fixture->folder),
                    "/tmp/sekisho-pem-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    (void) snprintf(fixture->path, sizeof(fixture->path), "%s/x.pem",
                    fixture->folder);
}

static void
teardown(fixture_t *fixture)
{
    assert_int_equal(unlink(fixture->path), 0);
    assert_int_equal(rmdir(fixture->folder), 0);
}

/* Appends a self-signed certificate, valid from and to TEST_NOW + seconds. */
static void
add_certificate(fixture_t *fixture, bool authority, long from, long to)
{
    FILE *file = fopen(fixture->path, "a");
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    X509 *certificate = X509_new();
    unsigned char *der = NULL;
    int size;

    assert_non_null(file);
    assert_non_null(key);
    assert_non_null(certificate);
    assert_int_equal(X509_set_version(certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate),
                                      1 + (long) fixture->count),
                     1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(certificate),
                                  (time_t) TEST_NOW + from));
    assert_non_null(
        ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t) TEST_NOW + to));
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    if (authority) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(
            NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");

        assert_non_null(extension);
        assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
        X509_EXTENSION_free(extension);
    }
    assert_true(X509_sign(certificate, key, NULL) > 0);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    size = i2d_X509(certificate, &der);
    assert_true(size > 0);
    (void) SHA256(der, (size_t) size, fixture->sha256[fixture->count++]);

    OPENSSL_free(der);
    X509_free(certificate);
    EVP_PKEY_free(key);
    assert_int_equal(fclose(file), 0);
}

static void
write_text(fixture_t *fixture, const char *text)
{
    FILE *file = fopen(fixture->path, "a");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Reads a facility with one line that names the file, relative to a policy in
 * the same folder. */
static policy_source_t *
read_with(fixture_t *fixture, const char *name, char **told)
{
    char policy[64], text[256];
    report_t *report = report_new();
    policy_source_t *source;

    (void) snprintf(policy, sizeof(policy), "%s/f", fixture->folder);
    (void) snprintf(text, sizeof(text),
                    "facility a { network 10.0.0.0/8; device required;\n"
                    "%s x.pem; }",
                    name);
    source = policy_source_read_text(policy, slice_of(text), TEST_NOW, report);
    *told = printed(report);
    return source;
}

/* What is told behind the place, "FOLDER/f:2:" and a column. */
static void
assert_told(fixture_t *fixture, const char *name, bool good,
            const char *beginning, const char *end)
{
    char expected[512];
    char *told;
    policy_source_t *source = read_with(fixture, name, &told);

    (void) snprintf(expected, sizeof(expected), "%s/f:2:%zu: %s\"%s\"%s\n",
                    fixture->folder, strlen(name) + 2, beginning, fixture->path,
                    end);
    assert_string_equal(told, expected);
    assert_int_equal(source != NULL, good);
    policy_source_free(source);
    free(told);
}

static void
fingerprints_may_have_colons_and_capitals(void **state)
{
    policy_source_t *source = accepted(
        "facility a { network 10.0.0.0/8; device optional; certificate\n" PIN
        "\nsha256:01:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:"
        "44:55:66:77:88:99:AA:BB:CC:DD:EE:FE; }");
    const policy_source_facility_t *facility = &source->facilities[0];

    (void) state;
    assert_int_equal(facility->device, POLICY_DEVICE_OPTIONAL);
    assert_int_equal(facility->pins_count, 2);
    assert_int_equal(facility->pins[0].sha256[0], 0x00);
    assert_int_equal(facility->pins[1].sha256[0], 0x01);
    assert_int_equal(facility->pins[1].sha256[31], 0xfe);
    assert_int_equal(facility->pins[1].place.line, 3);
    policy_source_free(source);
}

/* As `policy show` writes it, so that its output can be read again. */
static void
an_authority_may_be_a_fingerprint(void **state)
{
    policy_source_t *source = accepted("facility a { network any; device "
                                       "required; device-ca " PIN "; }");
    const policy_source_facility_t *facility = &source->facilities[0];

    (void) state;
    assert_int_equal(facility->pins_count, 0);
    assert_int_equal(facility->authorities_count, 1);
    assert_int_equal(facility->authorities[0].sha256[15], 0xff);
    policy_source_free(source);
}

static void
bad_fingerprints_are_errors(void **state)
{
    static const char hex[] =
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    static const struct {
        const char *before;
        int size; /* of `hex` that is written */
        const char *after;
        const char *told;
    } cases[] = {
        {"sha256:", 62, "",
         "is no SHA-256 fingerprint: write sha256: and 64 "
         "hexadecimal digits"},
        {"sha256:", 64, "0",
         "is no SHA-256 fingerprint: write sha256: and 64 "
         "hexadecimal digits"},
        {"sha256:", 63, "g",
         "is no SHA-256 fingerprint: write sha256: and 64 "
         "hexadecimal digits"},
        {"sha256:", 64, ":",
         "is no SHA-256 fingerprint: write sha256: and 64 "
         "hexadecimal digits"},
        {"sha1:", 40, "",
         "is no SHA-256 fingerprint: write sha256: and 64 "
         "hexadecimal digits"},
        {"SHA256:", 64, "",
         "is no SHA-256 fingerprint: write sha256: and 64 "
         "hexadecimal digits"},
        {"", 64, "", "looks like a fingerprint: write sha256: before it"},
    };
    char text[256], told[256], word[128], quote[CONF_QUOTE_MAX];

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void) snprintf(word, sizeof(word), "%s%.*s%s", cases[i].before,
                        cases[i].size, hex, cases[i].after);
        (void) snprintf(text, sizeof(text),
                        "facility a { network 10.0.0.0/8; device required;\n"
                        "certificate %s; }",
                        word);
        (void) snprintf(told, sizeof(told), "f:2:13: error: \"%s\" %s\n",
                        conf_quote(slice_of(word), quote), cases[i].told);
        assert_errors(text, told);
    }
    assert_errors("facility a { network 10.0.0.0/8; device required;\n"
                  "device-ca sha256:00; }",
                  "f:2:11: error: \"sha256:00\" is no SHA-256 fingerprint: "
                  "write sha256: and 64 hexadecimal digits\n");
}

static void
a_certificate_file_is_pinned_by_its_der(void **state)
{
    fixture_t fixture;
    policy_source_t *source;
    char *told;

    (void) state;
    setup(&fixture);
    write_text(&fixture, "a comment, as OpenSSL writes them\n");
    add_certificate(&fixture, false, -YEAR, YEAR);
    source = read_with(&fixture, "certificate", &told);
    assert_string_equal(told, "");
    assert_non_null(source);
    assert_int_equal(source->facilities[0].pins_count, 1);
    assert_memory_equal(source->facilities[0].pins[0].sha256, fixture.sha256[0],
                        32);
    policy_source_free(source);
    free(told);
    teardown(&fixture);
}

static void
of_a_chain_the_first_is_pinned(void **state)
{
    fixture_t fixture;

    (void) state;
    setup(&fixture);
    add_certificate(&fixture, false, -YEAR, YEAR);
    add_certificate(&fixture, true, -YEAR, YEAR);
    assert_told(&fixture, "certificate", true, "warning: ",
                " holds 2 certificates: only the first is pinned; give each "
                "its own \"certificate\"");
    teardown(&fixture);
}

static void
all_authorities_of_a_file_are_read(void **state)
{
    fixture_t fixture;
    policy_source_t *source;
    char *told;

    (void) state;
    setup(&fixture);
    add_certificate(&fixture, true, -YEAR, YEAR);
    add_certificate(&fixture, true, -YEAR, YEAR);
    source = read_with(&fixture, "device-ca", &told);
    assert_string_equal(told, "");
    assert_non_null(source);
    assert_int_equal(source->facilities[0].pins_count, 0);
    assert_int_equal(source->facilities[0].authorities_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal(source->facilities[0].authorities[i].sha256,
                            fixture.sha256[i], 32);
    }
    policy_source_free(source);
    free(told);
    teardown(&fixture);
}

static void
expired_and_future_certificates_are_warnings(void **state)
{
    fixture_t fixture;

    (void) state;
    setup(&fixture);
    add_certificate(&fixture, false, -YEAR, -1);
    assert_told(&fixture, "certificate", true, "warning: a certificate in ",
                " expired on 2026-11-24: replace it");
    teardown(&fixture);

    setup(&fixture);
    add_certificate(&fixture, true, 86400, YEAR);
    assert_told(&fixture, "device-ca", true, "warning: a certificate in ",
                " is not valid before 2026-11-25: until then it admits nobody");
    teardown(&fixture);
}

static void
a_terminals_certificate_is_no_authority(void **state)
{
    fixture_t fixture;

    (void) state;
    setup(&fixture);
    add_certificate(&fixture, false, -YEAR, YEAR);
    assert_told(&fixture, "device-ca", true, "warning: a certificate in ",
                " is no CA: terminals' own certificates belong to "
                "\"certificate\"");
    teardown(&fixture);
}

static void
files_without_a_certificate_are_errors(void **state)
{
    static const struct {
        const char *text;
        const char *told;
    } cases[] = {
        {"", " holds no certificate: name a file with -----BEGIN "
             "CERTIFICATE-----"},
        {"0\x82", " holds no certificate: it may be DER; convert it with "
                  "\"openssl x509 -inform DER\""},
        {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
         " holds no certificate: it is a private key; name the certificate"},
        {"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE "
         "REQUEST-----\n",
         " holds no certificate: it is a request; name the certificate that "
         "was made of it"},
    };
    fixture_t fixture;

    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        setup(&fixture);
        write_text(&fixture, cases[i].text);
        assert_told(&fixture, "certificate", false, "error: ", cases[i].told);
        teardown(&fixture);
    }
}

static void
a_damaged_certificate_is_an_error(void **state)
{
    fixture_t fixture;

    (void) state;
    setup(&fixture);
    add_certificate(&fixture, true, -YEAR, YEAR);
    write_text(&fixture, "-----BEGIN CERTIFICATE-----\nAAAA\n"
                         "-----END CERTIFICATE-----\n");
    assert_told(&fixture, "device-ca", false, "error: certificate 2 in ",
                " is damaged: make the file anew");
    teardown(&fixture);

    /* OpenSSL must not ask the terminal for a pass phrase */
    setup(&fixture);
    write_text(&fixture,
               "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n"
               "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
               "AAAAAAAAAAAAAAAAAAAAAA==\n-----END CERTIFICATE-----\n");
    assert_told(&fixture, "certificate", false, "error: certificate 1 in ",
                " is damaged: make the file anew");
    teardown(&fixture);
}

static void
a_missing_file_is_an_error(void **state)
{
    (void) state;
    assert_errors("facility a { network 10.0.0.0/8; device required;\n"
                  "device-ca /nonexistent/ca.pem; }",
                  "f:2:11: error: cannot read \"/nonexistent/ca.pem\": No such "
                  "file or directory\n");
}

static void
a_file_that_many_name_is_told_of_once(void **state)
{
    fixture_t fixture;
    char text[512];
    report_t *report = report_new();
    policy_source_t *source;

    (void) state;
    setup(&fixture);
    add_certificate(&fixture, true, -YEAR, -1);
    (void) snprintf(text, sizeof(text),
                    "facility a { network 10.0.0.0/8; device required; "
                    "device-ca %s; }\n"
                    "facility b { network 11.0.0.0/8; device required; "
                    "device-ca %s; }\n",
                    fixture.path, fixture.path);
    source = policy_source_read_text("f", slice_of(text), TEST_NOW, report);
    assert_non_null(source);
    assert_int_equal(report_warnings(report), 1);
    assert_memory_equal(source->facilities[1].authorities[0].sha256,
                        fixture.sha256[0], 32);
    policy_source_free(source);
    report_free(report);
    teardown(&fixture);
}

static void
a_certificate_given_twice_is_a_warning(void **state)
{
    (void) state;
    assert_warnings("facility a { network 10.0.0.0/8; device required;\n"
                    "certificate " PIN ";\ncertificate " PIN "; }\n",
                    "f:3:13: warning: \"sha256:"
                    "00112233445566778899aabbccddeeff001122334455667788"
                    "99a...\" is given twice (line 2): delete one of them\n");
}

UNIT_TESTS(cmocka_unit_test(fingerprints_may_have_colons_and_capitals),
           cmocka_unit_test(an_authority_may_be_a_fingerprint),
           cmocka_unit_test(bad_fingerprints_are_errors),
           cmocka_unit_test(a_certificate_file_is_pinned_by_its_der),
           cmocka_unit_test(of_a_chain_the_first_is_pinned),
           cmocka_unit_test(all_authorities_of_a_file_are_read),
           cmocka_unit_test(expired_and_future_certificates_are_warnings),
           cmocka_unit_test(a_terminals_certificate_is_no_authority),
           cmocka_unit_test(files_without_a_certificate_are_errors),
           cmocka_unit_test(a_damaged_certificate_is_an_error),
           cmocka_unit_test(a_missing_file_is_an_error),
           cmocka_unit_test(a_file_that_many_name_is_told_of_once),
           cmocka_unit_test(a_certificate_given_twice_is_a_warning))
