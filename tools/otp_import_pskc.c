/*
 * PSKC, RFC 6030: keys plain, or under a pre-shared key (AES-CBC, with the MAC
 * that the RFC asks for in 6.1).
 */

#define _GNU_SOURCE
#include <errno.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "../lib/base/file.h"
#include "otp_tools.h"

#define FILE_MAX   (16u * 1024 * 1024)
#define KEY_MAX    32
#define CIPHER_MAX 512 /* bytes of an encrypted value */
#define BLOCK      16
#define KEYPROV    "urn:ietf:params:xml:ns:keyprov:pskc:"
#define AES128     "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
#define AES256     "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
#define HMAC_SHA1  "http://www.w3.org/2000/09/xmldsig#hmac-sha1"

typedef struct {
    uint8_t bytes[KEY_MAX];
    size_t size;
} preshared_t;

typedef struct {
    importer_t *importer;
    preshared_t key; /* size 0: none was given */
    uint8_t mac[64]; /* of MACMethod */
    size_t mac_size;
} reader_t;


static xmlNode *
child(const xmlNode *node, const char *name)
{
    for (xmlNode *each = node == NULL ? NULL : node->children; each != NULL;
         each = each->next)
    {
        if (each->type == XML_ELEMENT_NODE &&
            strcmp((const char *) each->name, name) == 0)
        {
            return each;
        }
    }
    return NULL;
}


/* The text of an element, spaces around it left away; freed by the caller. */
static char *
text_of(const xmlNode *node)
{
    xmlChar *content = node == NULL ? NULL : xmlNodeGetContent(node);
    char *text = content == NULL ? NULL : strdup((const char *) content);
    size_t start = 0, size = text == NULL ? 0 : strlen(text);

    if (content != NULL) {
        wipe_bytes(content, strlen((const char *) content));
        xmlFree(content);
    }
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        size--;
    }
    while (start < size && strchr(" \t\r\n", text[start]) != NULL) {
        start++;
    }
    if (text != NULL) {
        memmove(text, text + start, size - start);
        text[size - start] = '\0';
    }
    return text;
}


static void
free_secret(char **text)
{
    if (*text != NULL) {
        wipe_bytes(*text, strlen(*text));
        free(*text);
    }
}


static bool
has_attribute(const xmlNode *node, const char *name, const char *value)
{
    xmlChar *text = node == NULL ? NULL
                                 : xmlGetProp((xmlNode *) (uintptr_t) node,
                                              (const xmlChar *) name);
    bool same = text != NULL && strcmp((const char *) text, value) == 0;

    xmlFree(text);
    return same;
}


/* Base64 with any white space; the size, or 0. */
static size_t
base64_of(const xmlNode *node, uint8_t *bytes, size_t capacity)
{
    _cleanup_(free_secret) char *text = text_of(node);
    uint8_t decoded[CIPHER_MAX + 3];
    size_t size = 0, padding = 0;
    int n;

    for (size_t i = 0; text != NULL && text[i] != '\0'; i++) {
        if (strchr(" \t\r\n", text[i]) == NULL) {
            padding += text[i] == '=';
            text[size++] = text[i];
        }
    }
    if (size == 0 || size % 4 != 0 || padding > 2 ||
        size / 4 * 3 > sizeof(decoded)) {
        return 0;
    }
    n = EVP_DecodeBlock(decoded, (const unsigned char *) text, (int) size);
    size = n < 0 ? 0 : (size_t) n - padding;
    if (size > capacity) {
        size = 0;
    }
    memcpy(bytes, decoded, size);
    wipe_bytes(decoded, sizeof(decoded));
    return size;
}


/* XML Encryption 5.2: the last byte tells how many are padding. */
static size_t
decrypt(const reader_t *reader, const xmlNode *encrypted, uint8_t *cipher,
        size_t *cipher_size, uint8_t *plain)
{
    const xmlNode *method = child(encrypted, "EncryptionMethod");
    EVP_CIPHER_CTX *context;
    bool large = has_attribute(method, "Algorithm", AES256);
    size_t size = base64_of(
        child(child(encrypted, "CipherData"), "CipherValue"), cipher,
        CIPHER_MAX);
    int n = 0;
    bool good;

    *cipher_size = size;
    if ((!large && !has_attribute(method, "Algorithm", AES128)) ||
        reader->key.size != (large ? 32u : 16u) || size < 2 * BLOCK ||
        size % BLOCK != 0 || (context = EVP_CIPHER_CTX_new()) == NULL)
    {
        return 0;
    }
    good = EVP_DecryptInit_ex(context,
                              large ? EVP_aes_256_cbc() : EVP_aes_128_cbc(),
                              NULL, reader->key.bytes, cipher) == 1 &&
           EVP_CIPHER_CTX_set_padding(context, 0) == 1 &&
           EVP_DecryptUpdate(context, plain, &n, cipher + BLOCK,
                             (int) (size - BLOCK)) == 1;
    EVP_CIPHER_CTX_free(context);
    if (!good || n < BLOCK || plain[n - 1] == 0 || plain[n - 1] > BLOCK) {
        return 0;
    }
    return (size_t) n - plain[n - 1];
}


static bool
is_authentic(const reader_t *reader, const xmlNode *mac, const uint8_t *cipher,
             size_t size)
{
    uint8_t told[EVP_MAX_MD_SIZE], made[EVP_MAX_MD_SIZE];
    unsigned made_size = 0;
    size_t told_size = base64_of(mac, told, sizeof(told));

    return reader->mac_size > 0 &&
           HMAC(EVP_sha1(), reader->mac, (int) reader->mac_size, cipher, size,
                made, &made_size) != NULL &&
           told_size == made_size && CRYPTO_memcmp(told, made, made_size) == 0;
}


/* The secret of a key: PlainValue, or EncryptedValue and ValueMAC. */
static size_t
read_secret(reader_t *reader, const xmlNode *data, uint8_t *bytes, size_t max)
{
    const xmlNode *secret = child(data, "Secret");
    const xmlNode *encrypted = child(secret, "EncryptedValue");
    uint8_t cipher[CIPHER_MAX], plain[CIPHER_MAX];
    size_t cipher_size, size;

    if (encrypted == NULL) {
        size = base64_of(child(secret, "PlainValue"), bytes, max);
        if (size == 0) {
            import_skip(reader->importer, "a key has no secret, or too long a "
                                          "one");
        }
        return size;
    }
    if (reader->key.size == 0) {
        import_skip(reader->importer, "the secrets are encrypted: name the "
                                      "pre-shared key with --key-file");
        return 0;
    }
    size = decrypt(reader, encrypted, cipher, &cipher_size, plain);
    if (!is_authentic(reader, child(secret, "ValueMAC"), cipher, cipher_size)) {
        import_skip(reader->importer,
                    "the MAC of a secret is missing or wrong: another "
                    "pre-shared key, or the file was changed");
        size = 0;
    } else if (size == 0 || size > max) {
        import_skip(reader->importer, "a secret cannot be decrypted (AES-CBC "
                                      "of 128 or 256 bits is known)");
        size = 0;
    } else {
        memcpy(bytes, plain, size);
    }
    wipe_bytes(plain, sizeof(plain));
    return size;
}


static uint64_t
number_of(const xmlNode *node, uint64_t otherwise)
{
    _cleanup_(free_secret) char *text = text_of(child(node, "PlainValue"));
    uint64_t number = otherwise;

    (void) ask_number_parse(slice_of(text), INT64_MAX, &number);
    return number;
}


static bool
read_algorithm(reader_t *reader, const xmlNode *key, import_t *device)
{
    const xmlNode *parameters = child(key, "AlgorithmParameters");
    const xmlNode *format = child(parameters, "ResponseFormat");
    _cleanup_(free_secret) char *suite = text_of(child(parameters, "Suite"));
    xmlChar *length = format == NULL
                          ? NULL
                          : xmlGetProp((xmlNode *) (uintptr_t) format,
                                       (const xmlChar *) "Length");
    uint64_t digits = 6;

    (void) ask_number_parse(slice_of((const char *) length), 8, &digits);
    xmlFree(length);
    device->digits = (uint32_t) digits;
    device->digest = suite != NULL && strstr(suite, "512") != NULL   ? "SHA512"
                     : suite != NULL && strstr(suite, "256") != NULL ? "SHA256"
                                                                     : "SHA1";
    device->hotp = has_attribute(key, "Algorithm", KEYPROV "hotp");
    if (!device->hotp && !has_attribute(key, "Algorithm", KEYPROV "totp")) {
        import_skip(reader->importer, "a key that is neither HOTP nor TOTP");
        return false;
    }
    return true;
}


static void
name_device(const xmlNode *package, const xmlNode *key, import_t *device)
{
    _cleanup_(free_secret) char *of_key = text_of(child(key, "UserId"));
    _cleanup_(free_secret) char *of_device = text_of(
        child(child(package, "DeviceInfo"), "UserId"));
    _cleanup_(free_secret) char *serial = text_of(
        child(child(package, "DeviceInfo"), "SerialNo"));
    const char *user = of_key != NULL ? of_key : of_device;

    (void) snprintf(device->user, sizeof(device->user), "%s",
                    user == NULL ? "" : user);
    (void) snprintf(device->device, sizeof(device->device), "%s",
                    serial == NULL || serial[0] == '\0' ||
                            strlen(serial) > OTP_DEVICE_MAX
                        ? "imported"
                        : serial);
}


static void
read_package(reader_t *reader, const xmlNode *package)
{
    const xmlNode *key = child(package, "Key");
    const xmlNode *data = child(key, "Data");
    import_t device = {.period_seconds = 30};
    uint8_t secret[OTP_SECRET_MAX];
    size_t size;

    if (!read_algorithm(reader, key, &device)) {
        return;
    }
    size = read_secret(reader, data, secret, sizeof(secret));
    if (size > 0) {
        device.counter = number_of(child(data, "Counter"), 0);
        device.period_seconds = (uint32_t) number_of(
            child(data, "TimeInterval"), 30);
        name_device(package, key, &device);
        (void) ask_base32_write(device.secret, sizeof(device.secret), secret,
                                size);
        import_device(reader->importer, &device);
    }
    wipe_bytes(secret, sizeof(secret));
    wipe_bytes(&device, sizeof(device));
}


/* The key of MACs lies in the file itself, under the pre-shared one; where
 * there is none, that one is used (RFC 6030 6.1.1). */
static void
read_mac_key(reader_t *reader, const xmlNode *container)
{
    const xmlNode *method = child(container, "MACMethod");
    const xmlNode *encrypted = child(method, "MACKey");
    uint8_t cipher[CIPHER_MAX], plain[CIPHER_MAX];
    size_t cipher_size, size;

    if (!has_attribute(method, "Algorithm", HMAC_SHA1)) {
        return;
    }
    if (encrypted == NULL) {
        memcpy(reader->mac, reader->key.bytes, reader->key.size);
        reader->mac_size = reader->key.size;
        return;
    }
    size = decrypt(reader, encrypted, cipher, &cipher_size, plain);
    if (size <= sizeof(reader->mac)) {
        memcpy(reader->mac, plain, size);
        reader->mac_size = size;
    }
    wipe_bytes(plain, sizeof(plain));
}


static int
read_document(reader_t *reader, const xmlDoc *document)
{
    const xmlNode *container = xmlDocGetRootElement(document);

    /* entities are how a small file becomes a large one, or reads another */
    if (document->intSubset != NULL || container == NULL ||
        strcmp((const char *) container->name, "KeyContainer") != 0)
    {
        return fail(reader->importer->desk->command,
                    "%s: no PSKC file: its root is a KeyContainer, and it has "
                    "no document type",
                    reader->importer->path);
    }
    read_mac_key(reader, container);
    for (const xmlNode *each = container->children; each != NULL;
         each = each->next) {
        if (each->type == XML_ELEMENT_NODE &&
            strcmp((const char *) each->name, "KeyPackage") == 0)
        {
            reader->importer->line = (unsigned) xmlGetLineNo(each);
            read_package(reader, each);
        }
    }
    return STATUS_OK;
}


static int
read_key(reader_t *reader, const char *path)
{
    char *text = NULL;
    size_t size = 0, used = 0;
    int error = file_read(path, 4096, &text, &size);
    bool good = error == 0;

    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        size--;
    }
    good = good && (size == 32 || size == 64);
    for (size_t i = 0; good && i < size; i++) {
        char c = (char) (text[i] | 32);
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                           : -1;

        good = digit >= 0;
        used = i / 2;
        reader->key.bytes[used] = (uint8_t) (reader->key.bytes[used] << 4 |
                                             (good ? digit : 0));
    }
    reader->key.size = good ? size / 2 : 0;
    if (text != NULL) {
        wipe_bytes(text, size);
        free(text);
    }
    if (!good) {
        return fail(reader->importer->desk->command, "%s: %s", path,
                    error < 0 ? strerror(-error)
                              : "no key of 32 or 64 hexadecimal digits");
    }
    return STATUS_OK;
}


int
import_pskc(importer_t *importer, const char *key_path)
{
    reader_t reader = {.importer = importer};
    char *data = NULL;
    size_t size = 0;
    xmlDoc *document = NULL;
    int status = STATUS_OK;
    int error = file_read(importer->path, FILE_MAX, &data, &size);

    if (error < 0) {
        return fail(importer->desk->command, "%s: %s", importer->path,
                    strerror(-error));
    }
    if (key_path != NULL) {
        status = read_key(&reader, key_path);
    }
    if (status == STATUS_OK) {
        document = xmlReadMemory(data, (int) size, NULL, NULL,
                                 XML_PARSE_NONET | XML_PARSE_NOERROR |
                                     XML_PARSE_NOWARNING);
        status = document == NULL ? fail(importer->desk->command, "%s: no XML",
                                         importer->path)
                                  : read_document(&reader, document);
    }
    xmlFreeDoc(document);
    wipe_bytes(data, size);
    wipe_bytes(&reader, sizeof(reader));
    free(data);
    return status;
}
