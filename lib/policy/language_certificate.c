#define _GNU_SOURCE
#include "language_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "../base/clock.h"
#include "../base/file.h"
#include "../base/wipe.h"

#define PEM_SIZE_MAX         (1024u * 1024)
#define PEM_CERTIFICATES_MAX 1000

static void
cleanup_bio(BIO **bio)
{
    BIO_free_all(*bio);
}

static void
cleanup_x509(X509 **certificate)
{
    X509_free(*certificate);
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char) (c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 64 hexadecimal digits; colons may stand between bytes, as OpenSSL prints. */
static bool
parse_fingerprint(slice_t text, uint8_t sha256[32])
{
    size_t i = 0;

    for (size_t byte = 0; byte < 32; byte++) {
        int high, low;

        if (byte > 0 && i < text.size && text.data[i] == ':') {
            i++;
        }
        if (i + 2 > text.size) {
            return false;
        }
        high = hex_digit(text.data[i]);
        low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        sha256[byte] = (uint8_t) (high << 4 | low);
        i += 2;
    }
    return i == text.size;
}

/* OpenSSL would ask the terminal for the pass phrase of an encrypted block. */
static int
no_pass_phrase(char *buffer, int size, int writing, void *context)
{
    (void) buffer;
    (void) size;
    (void) writing;
    (void) context;
    return -1;
}

static void
check_dates(language_t *language, report_place_t place, const char *path,
            const X509 *certificate)
{
    time_t now = (time_t) language->now;
    char day[CLOCK_TEXT_MAX] = "an unknown day";
    char quote[CONF_QUOTE_MAX];
    const ASN1_TIME *time = X509_get0_notAfter(certificate);
    bool expired = ASN1_TIME_cmp_time_t(time, now) == -1;
    struct tm tm;

    if (!expired) {
        time = X509_get0_notBefore(certificate);
        if (ASN1_TIME_cmp_time_t(time, now) != 1) {
            return;
        }
    }
    if (ASN1_TIME_to_tm(time, &tm) == 1) {
        (void) clock_format_day((int32_t) (timegm(&tm) / 86400), day);
    }
    if (expired) {
        LANGUAGE_WARNING(language, place,
                         "a certificate in \"%s\" expired on %s: replace it",
                         conf_quote(slice_of(path), quote), day);
    } else {
        LANGUAGE_WARNING(language, place,
                         "a certificate in \"%s\" is not valid before %s: "
                         "until then it admits nobody",
                         conf_quote(slice_of(path), quote), day);
    }
}

/* A line that a person would take for the cause. */
static const char *
not_pem_because(slice_t data)
{
    static const char key[] = "PRIVATE KEY-----";
    static const char request[] = "CERTIFICATE REQUEST-----";

    if (data.size > 0 && (uint8_t) data.data[0] == 0x30) {
        return "it may be DER; convert it with \"openssl x509 -inform DER\"";
    }
    if (memmem(data.data, data.size, request, sizeof(request) - 1) != NULL) {
        return "it is a request; name the certificate that was made of it";
    }
    if (memmem(data.data, data.size, key, sizeof(key) - 1) != NULL) {
        return "it is a private key; name the certificate";
    }
    return "name a file with -----BEGIN CERTIFICATE-----";
}

static bool
read_certificates(language_t *language, report_place_t place, const char *path,
                  slice_t data, bool authority, language_pem_t *pem)
{
    _cleanup_(cleanup_bio)
        BIO *bio = BIO_new_mem_buf(data.data, (int) data.size);
    char quote[CONF_QUOTE_MAX];
    bool told_no_ca = false;

    if (bio == NULL) {
        language->out_of_memory = true;
        return false;
    }
    for (;;) {
        _cleanup_(cleanup_x509) X509 *certificate = PEM_read_bio_X509(
            bio, NULL, no_pass_phrase, NULL);
        uint8_t(*sha256)[32];
        unsigned size = 32;

        if (certificate == NULL) {
            unsigned long error = ERR_peek_last_error();
            bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM &&
                          ERR_GET_REASON(error) == PEM_R_NO_START_LINE;

            ERR_clear_error();
            if (!at_end) {
                LANGUAGE_ERROR(language, place,
                               "certificate %zu in \"%s\" is damaged: make "
                               "the file anew",
                               pem->count + 1,
                               conf_quote(slice_of(path), quote));
                return false;
            }
            break;
        }
        if (pem->count == PEM_CERTIFICATES_MAX) {
            LANGUAGE_ERROR(language, place,
                           "\"%s\" holds more than %u certificates: name a "
                           "file with fewer",
                           conf_quote(slice_of(path), quote),
                           PEM_CERTIFICATES_MAX);
            return false;
        }
        sha256 = reallocarray(pem->sha256, pem->count + 1, sizeof(*sha256));
        if (sha256 == NULL) {
            language->out_of_memory = true;
            return false;
        }
        pem->sha256 = sha256;
        if (X509_digest(certificate, EVP_sha256(), sha256[pem->count], &size) !=
            1) {
            language->out_of_memory = true;
            return false;
        }
        pem->count++;
        if (!authority && pem->count > 1) {
            continue; /* of a chain, the terminal's own stands first */
        }
        check_dates(language, place, path, certificate);
        if (authority && !told_no_ca && X509_check_ca(certificate) == 0) {
            told_no_ca = true;
            LANGUAGE_WARNING(language, place,
                             "a certificate in \"%s\" is no CA: terminals' "
                             "own certificates belong to \"certificate\"",
                             conf_quote(slice_of(path), quote));
        }
    }
    if (pem->count == 0) {
        LANGUAGE_ERROR(language, place, "\"%s\" holds no certificate: %s",
                       conf_quote(slice_of(path), quote),
                       not_pem_because(data));
        return false;
    }
    if (!authority && pem->count > 1) {
        LANGUAGE_WARNING(language, place,
                         "\"%s\" holds %zu certificates: only the first is "
                         "pinned; give each its own \"certificate\"",
                         conf_quote(slice_of(path), quote), pem->count);
        pem->count = 1;
    }
    return true;
}

static bool
read_file(language_t *language, report_place_t place, const char *path,
          bool authority, language_pem_t *pem)
{
    _cleanup_(cleanup_free) char *data = NULL;
    char quote[CONF_QUOTE_MAX];
    size_t size;
    int result = file_read(path, PEM_SIZE_MAX, &data, &size);

    if (result < 0) {
        LANGUAGE_ERROR(language, place, "cannot read \"%s\": %s",
                       conf_quote(slice_of(path), quote),
                       result == -EFBIG    ? "it is too large for a PEM file"
                       : result == -EINVAL ? "it is no regular file"
                                           : strerror(-result));
        return false;
    }
    return read_certificates(language, place, path, (slice_t){data, size},
                             authority, pem);
}

/* A file that many facilities name is read once, and told of once. */
static bool
read_pem(language_t *language, const conf_directive_t *directive, uint32_t word,
         bool authority, const uint8_t (**sha256)[32], size_t *count)
{
    const char *path = language_path(language, directive, word);
    size_t size = path == NULL ? 0 : strlen(path);
    char *key = conf_alloc(language->conf, size + 1);
    const uint32_t *index;
    language_pem_t *pem;
    bool is_new;

    if (path == NULL || key == NULL) {
        language->out_of_memory = true;
        return false;
    }
    key[0] = authority ? 'a' : 'c';
    memcpy(key + 1, path, size);
    index = language_names_add(&language->pem_names, (slice_t){key, size + 1},
                               (uint32_t) language->pems_count, &is_new);
    if (index == NULL) {
        language->out_of_memory = true;
        return false;
    }
    if (is_new) {
        pem = language_append(language, (void **) &language->pems,
                              &language->pems_count, sizeof(*pem));
        if (pem == NULL) {
            return false;
        }
        pem->failed = !read_file(language, conf_place(directive, word), path,
                                 authority, pem);
    }
    pem = &language->pems[*index];
    *sha256 = (const uint8_t(*)[32]) pem->sha256;
    *count = pem->count;
    return !pem->failed;
}

/* "sha256:HEX", one fingerprint. */
static bool
read_fingerprint(language_t *language, const conf_directive_t *directive,
                 uint32_t word, const uint8_t (**sha256)[32], size_t *count)
{
    slice_t text = directive->words[word].text;
    uint8_t(*copy)[32] = language_array(language, 1, sizeof(*copy));
    char quote[CONF_QUOTE_MAX];

    if (copy == NULL) {
        return false;
    }
    if (!parse_fingerprint(slice_from(text, sizeof("sha256:") - 1), copy[0])) {
        LANGUAGE_ERROR(language, conf_place(directive, word),
                       "\"%s\" is no SHA-256 fingerprint: write sha256: and "
                       "64 hexadecimal digits",
                       conf_quote(text, quote));
        return false;
    }
    *sha256 = (const uint8_t(*)[32]) copy;
    *count = 1;
    return true;
}

bool
language_certificate(language_t *language, const conf_directive_t *directive,
                     uint32_t word, const uint8_t (**sha256)[32], size_t *count)
{
    slice_t text = directive->words[word].text;
    report_place_t place = conf_place(directive, word);
    char quote[CONF_QUOTE_MAX];
    uint8_t bytes[32];

    if (slice_starts(text, SLICE("sha256:"))) {
        return read_fingerprint(language, directive, word, sha256, count);
    }
    if (parse_fingerprint(text, bytes)) {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" looks like a fingerprint: write sha256: "
                       "before it",
                       conf_quote(text, quote));
        return false;
    }
    if (text.size > 4 && strncasecmp(text.data, "sha", 3) == 0 &&
        memchr(text.data, ':', text.size) != NULL)
    {
        LANGUAGE_ERROR(language, place,
                       "\"%s\" is no SHA-256 fingerprint: write sha256: and "
                       "64 hexadecimal digits",
                       conf_quote(text, quote));
        return false;
    }
    return read_pem(language, directive, word, false, sha256, count);
}

bool
language_authority(language_t *language, const conf_directive_t *directive,
                   uint32_t word, const uint8_t (**sha256)[32], size_t *count)
{
    slice_t text = directive->words[word].text;

    /* the policy keeps no more of an authority; `policy show` prints it so */
    if (slice_starts(text, SLICE("sha256:"))) {
        return read_fingerprint(language, directive, word, sha256, count);
    }
    return read_pem(language, directive, word, true, sha256, count);
}
