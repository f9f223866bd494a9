/* A terminal's certificate, as explain is told of it. */

#include "policy_tools.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "../lib/base/file.h"
#include "../lib/base/wipe.h"

#define FILE_SIZE_MAX     (1024u * 1024) /* bytes */
#define CHAIN_FILE_MAX    32             /* certificates in one file */
#define SUBJECT_SIZE_MAX  256
#define FINGERPRINT_CHARS 64


static void
cleanup_bio(BIO **bio)
{
    BIO_free(*bio);
}


static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}


/* 64 hex digits; OpenSSL prints them with colons between. */
static bool
parse_fingerprint(slice_t text, uint8_t sha256[POLICY_SHA256_BYTES])
{
    size_t digits = 0;

    for (size_t i = 0; i < text.size; i++) {
        int value = hex_digit(text.data[i]);

        if (text.data[i] == ':' && digits > 0 && digits % 2 == 0) {
            continue;
        }
        if (value < 0 || digits == FINGERPRINT_CHARS) {
            return false;
        }
        sha256[digits / 2] = (uint8_t) (digits % 2 == 0
                                            ? value << 4
                                            : sha256[digits / 2] | value);
        digits++;
    }
    return digits == FINGERPRINT_CHARS;
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


static int64_t
unix_time(const ASN1_TIME *time, int64_t otherwise)
{
    struct tm broken;

    return ASN1_TIME_to_tm(time, &broken) == 1 ? timegm(&broken) : otherwise;
}


/* The leaf, and what follows it in a PEM file. */
static bool
read_certificates(const char *data, size_t size, device_t *device)
{
    _cleanup_(cleanup_bio) BIO *bio = BIO_new_mem_buf(data, (int) size);
    X509 *next;

    if (bio == NULL) {
        return false;
    }
    device->leaf = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
    if (device->leaf == NULL) {
        const unsigned char *der = (const unsigned char *) data;

        device->leaf = d2i_X509(NULL, &der, (long) size);
        ERR_clear_error();
        return device->leaf != NULL;
    }
    device->others = sk_X509_new_null();
    for (int i = 0; device->others != NULL && i < CHAIN_FILE_MAX; i++) {
        next = PEM_read_bio_X509(bio, NULL, no_pass_phrase, NULL);
        if (next == NULL) {
            break;
        }
        if (sk_X509_push(device->others, next) == 0) {
            X509_free(next);
            break;
        }
    }
    ERR_clear_error();
    return device->others != NULL;
}


static int
describe_leaf(device_t *device)
{
    policy_certificate_t *certificate = &device->certificate;
    X509 *leaf = device->leaf;
    unsigned size = POLICY_SHA256_BYTES;
    char subject[SUBJECT_SIZE_MAX];

    if (X509_digest(leaf, EVP_sha256(), certificate->sha256, &size) != 1) {
        return -EINVAL;
    }
    certificate->not_before = unix_time(X509_get0_notBefore(leaf), INT64_MAX);
    certificate->not_after = unix_time(X509_get0_notAfter(leaf), INT64_MIN);
    device->dates_known = true;
    X509_NAME_oneline(X509_get_subject_name(leaf), subject, sizeof(subject));
    device->subject = strdup(subject);
    return device->subject == NULL ? -ENOMEM : 0;
}


static int
open_authority(const char *command, const char *path, device_t *device)
{
    device->authorities = X509_STORE_new();
    if (device->authorities == NULL) {
        return fail(command, "out of memory");
    }
    if (X509_STORE_load_locations(device->authorities, path, NULL) != 1) {
        ERR_clear_error();
        return fail(command, "--verified-by %s: no PEM file of certificates",
                    path);
    }
    device->checked = true;
    return STATUS_OK;
}


int
device_open(const char *command, const char *source, const char *authority,
            device_t *device)
{
    _cleanup_(cleanup_free) char *data = NULL;
    slice_t prefix = SLICE("sha256:");
    size_t size;
    int result;

    *device = (device_t){.error = NULL};
    if (slice_starts(slice_of(source), prefix)) {
        if (!parse_fingerprint(slice_from(slice_of(source), prefix.size),
                               device->certificate.sha256))
        {
            return fail(command,
                        "--certificate \"%s\": write sha256: and 64 "
                        "hexadecimal digits",
                        source);
        }
        if (authority != NULL) {
            return fail(command, "--verified-by needs the certificate's file, "
                                 "not its fingerprint");
        }
        /* Nothing is known against it. */
        device->certificate.not_before = INT64_MIN;
        device->certificate.not_after = INT64_MAX;
        return STATUS_OK;
    }
    result = file_read(source, FILE_SIZE_MAX, &data, &size);
    if (result < 0) {
        return fail(command, "--certificate %s: %s", source, strerror(-result));
    }
    if (!read_certificates(data, size, device) || describe_leaf(device) < 0) {
        return fail(command, "--certificate %s: no certificate in PEM or DER",
                    source);
    }
    return authority == NULL ? STATUS_OK
                             : open_authority(command, authority, device);
}


/* The issuers in the chain; the leaf is not one of them. */
static void
take_chain(device_t *device, const STACK_OF(X509) * chain)
{
    policy_certificate_t *certificate = &device->certificate;

    for (int i = 1;
         i < sk_X509_num(chain) && certificate->chain_count < POLICY_CHAIN_MAX;
         i++)
    {
        unsigned size = POLICY_SHA256_BYTES;

        if (X509_digest(sk_X509_value(chain, i), EVP_sha256(),
                        certificate->chain_sha256[certificate->chain_count],
                        &size) == 1)
        {
            certificate->chain_count++;
        }
    }
}


void
device_verify(device_t *device, int64_t now)
{
    policy_certificate_t *certificate = &device->certificate;
    X509_STORE_CTX *context;

    certificate->verified = false;
    certificate->chain_count = 0;
    if (!device->checked) {
        return;
    }
    device->error = "out of memory";
    context = X509_STORE_CTX_new();
    if (context == NULL) {
        return;
    }
    if (X509_STORE_CTX_init(context, device->authorities, device->leaf,
                            device->others) == 1)
    {
        X509_STORE_CTX_set_time(context, 0, (time_t) now);
        /* as a TLS server looks at a client's */
        X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_CLIENT);
        if (X509_verify_cert(context) == 1) {
            certificate->verified = true;
            device->error = NULL;
            take_chain(device, X509_STORE_CTX_get0_chain(context));
        } else {
            device->error = X509_verify_cert_error_string(
                X509_STORE_CTX_get_error(context));
        }
    }
    X509_STORE_CTX_free(context);
    ERR_clear_error();
}


void
device_close(device_t *device)
{
    X509_free(device->leaf);
    sk_X509_pop_free(device->others, X509_free);
    X509_STORE_free(device->authorities);
    free(device->subject);
}
