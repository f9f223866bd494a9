/* `sekisho otp export`: devices with their secrets, for another system. */

#define _GNU_SOURCE
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>

#include "otp_tools.h"

#define TEXT_MAX 512

typedef enum {
    EXPORT_NONE = 0,
    EXPORT_USERSFILE,
    EXPORT_PSKC,
    EXPORT_URI
} form_t;

typedef struct {
    const char *command;
    form_t form;
    FILE *out;
    slice_t issuer;
    unsigned exported, skipped;
} exporter_t;

typedef struct {
    char user[TEXT_MAX], device[TEXT_MAX], digest[16], secret[128];
    char digits[16], period[16], counter[24];
    bool hotp;
} row_t;


static void
copy_value(slice_t line, const char *name, char *to, size_t size)
{
    char buffer[TEXT_MAX];
    slice_t value = line_value(line, name, buffer, sizeof(buffer));

    if (value.size >= size) {
        value.size = 0;
    }
    if (value.size > 0) {
        memcpy(to, value.data, value.size);
    }
    to[value.size] = '\0';
    wipe_bytes(buffer, sizeof(buffer));
}


static void
read_row(slice_t line, row_t *row)
{
    char kind[8];

    copy_value(line, "user", row->user, sizeof(row->user));
    copy_value(line, "device", row->device, sizeof(row->device));
    copy_value(line, "digest", row->digest, sizeof(row->digest));
    copy_value(line, "secret", row->secret, sizeof(row->secret));
    copy_value(line, "digits", row->digits, sizeof(row->digits));
    copy_value(line, "period", row->period, sizeof(row->period));
    copy_value(line, "counter", row->counter, sizeof(row->counter));
    copy_value(line, "kind", kind, sizeof(kind));
    row->hotp = strcmp(kind, "hotp") == 0;
}


/* pam_oath keeps the counter at the last code used, and knows SHA-1 alone. */
static bool
put_usersfile(exporter_t *exporter, const row_t *row)
{
    uint8_t secret[OTP_SECRET_MAX];
    size_t size;

    if (strcmp(row->digest, "SHA1") != 0 || strpbrk(row->user, " \t#") != NULL)
    {
        return false;
    }
    size = ask_base32_read(slice_of(row->secret), secret, sizeof(secret));
    if (row->hotp) {
        fprintf(exporter->out, "HOTP/E/%s\t%s\t-\t", row->digits, row->user);
    } else {
        fprintf(exporter->out, "HOTP/T%s/%s\t%s\t-\t", row->period, row->digits,
                row->user);
    }
    for (size_t i = 0; i < size; i++) {
        fprintf(exporter->out, "%02x", secret[i]);
    }
    if (row->hotp) {
        fprintf(exporter->out, "\t%s", row->counter);
    }
    fputc('\n', exporter->out);
    wipe_bytes(secret, sizeof(secret));
    return true;
}


static void
put_xml(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
    }
}


/* RFC 6030, figure 2, with UserId; TOTP's digest goes into Suite (RFC 6030
 * 4.3.4). */
static bool
put_pskc(exporter_t *exporter, const row_t *row)
{
    uint8_t secret[OTP_SECRET_MAX];
    char base64[OTP_SECRET_MAX * 2];
    size_t size = ask_base32_read(slice_of(row->secret), secret,
                                  sizeof(secret));
    FILE *out = exporter->out;

    (void) EVP_EncodeBlock((unsigned char *) base64, secret, (int) size);
    fputs("<KeyPackage>\n<DeviceInfo><Manufacturer>sekisho</Manufacturer>"
          "<SerialNo>",
          out);
    put_xml(out, row->device);
    fprintf(out,
            "</SerialNo></DeviceInfo>\n<Key Id=\"%u\" Algorithm=\"urn:ietf:"
            "params:xml:ns:keyprov:pskc:%s\">\n<AlgorithmParameters>",
            exporter->exported + 1, row->hotp ? "hotp" : "totp");
    if (strcmp(row->digest, "SHA1") != 0) {
        fprintf(out, "<Suite>HMAC-%s</Suite>", row->digest);
    }
    fprintf(out,
            "<ResponseFormat Length=\"%s\" Encoding=\"DECIMAL\"/>"
            "</AlgorithmParameters>\n<Data><Secret><PlainValue>%s</PlainValue>"
            "</Secret>",
            row->digits, base64);
    if (row->hotp) {
        fprintf(out, "<Counter><PlainValue>%s</PlainValue></Counter>",
                row->counter);
    } else {
        fprintf(out,
                "<Time><PlainValue>0</PlainValue></Time><TimeInterval>"
                "<PlainValue>%s</PlainValue></TimeInterval>",
                row->period);
    }
    fputs("</Data>\n<UserId>", out);
    put_xml(out, row->user);
    fputs("</UserId>\n</Key>\n</KeyPackage>\n", out);
    wipe_bytes(secret, sizeof(secret));
    wipe_bytes(base64, sizeof(base64));
    return true;
}


static void
put_percent(FILE *out, slice_t text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char) text.data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
            (c >= '0' && c <= '9') || strchr("-._~", c) != NULL)
        {
            fputc(c, out);
        } else {
            fprintf(out, "%%%02X", c);
        }
    }
}


static bool
put_uri(exporter_t *exporter, const row_t *row)
{
    FILE *out = exporter->out;

    fprintf(out, "otpauth://%s/", row->hotp ? "hotp" : "totp");
    put_percent(out, exporter->issuer);
    fputc(':', out);
    put_percent(out, slice_of(row->user));
    fprintf(out, "?secret=%s&issuer=", row->secret);
    put_percent(out, exporter->issuer);
    fprintf(out, "&algorithm=%s&digits=%s&%s=%s\n", row->digest, row->digits,
            row->hotp ? "counter" : "period",
            row->hotp ? row->counter : row->period);
    return true;
}


static int
export_line(void *context, slice_t line)
{
    exporter_t *exporter = context;
    bool done = false;
    row_t row;

    read_row(line, &row);
    if (row.device[0] == '\0') {
        return STATUS_OK; /* a user without one */
    }
    if (row.secret[0] != '\0') {
        done = exporter->form == EXPORT_PSKC  ? put_pskc(exporter, &row)
               : exporter->form == EXPORT_URI ? put_uri(exporter, &row)
                                              : put_usersfile(exporter, &row);
    }
    if (done) {
        exporter->exported++;
    } else {
        fail(exporter->command,
             "%s, %s: left out: it cannot be unsealed, or a usersfile cannot "
             "hold it",
             row.user, row.device);
        exporter->skipped++;
    }
    wipe_bytes(&row, sizeof(row));
    return STATUS_OK;
}


static int
export_all(exporter_t *exporter, desk_t *desk, slice_t user)
{
    int status;

    if (exporter->form == EXPORT_PSKC) {
        fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
              "<KeyContainer Version=\"1.0\" "
              "xmlns=\"urn:ietf:params:xml:ns:keyprov:pskc\">\n",
              exporter->out);
    }
    status = desk_list(desk, ASK_EXPORT, user, export_line, exporter);
    if (exporter->form == EXPORT_PSKC) {
        fputs("</KeyContainer>\n", exporter->out);
    }
    if (status == STATUS_OK) {
        fprintf(stderr, "%u exported, %u left out\n", exporter->exported,
                exporter->skipped);
        status = exporter->skipped > 0 ? STATUS_NO : STATUS_OK;
    }
    return status;
}


static form_t
form_of(const char *name)
{
    static const char *const names[] = {"", "usersfile", "pskc", "uri"};

    for (unsigned i = EXPORT_USERSFILE; name != NULL && i <= EXPORT_URI; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (form_t) i;
        }
    }
    return EXPORT_NONE;
}


static int export(const arguments_t *arguments)
{
    exporter_t exporter = {.command = arguments->command->name,
                           .form = form_of(option_value(arguments, "--to")),
                           .issuer = SLICE("Sekisho")};
    desk_t desk = {.client = NULL};
    int status;

    if (exporter.form == EXPORT_NONE) {
        return fail(exporter.command, "--to is usersfile, pskc or uri");
    }
    status = desk_open(arguments, &desk);
    if (status == STATUS_OK) {
        if (desk.place.config != NULL) {
            exporter.issuer = desk.place.config->otp_issuer;
        }
        exporter.out = secret_open(arguments);
        status = exporter.out == NULL
                     ? STATUS_ERROR
                     : export_all(&exporter, &desk,
                                  slice_of(argument(arguments, 0)));
        if (secret_close(exporter.command, exporter.out) != STATUS_OK) {
            status = STATUS_ERROR;
        }
    }
    desk_close(&desk);
    return status;
}


static const option_t export_options[] = {
    {"--to", "FORMAT",
     "usersfile (pam_oath), pskc (RFC 6030, plain) or uri (otpauth)."},
    {"--output", "FILE", "Write to this new file (0600)."},
    {"--force", NULL, "Write to standard output although it is no terminal."},
    USER_OPTIONS,
    {NULL, NULL, NULL},
};

const command_t otp_export_command = {
    .name = "otp export",
    .arguments = "[USER]",
    .arguments_max = 1,
    .summary = "Write devices with their secrets, for another system.",
    .details = "Root only, and on record. Whoever has the file has every "
               "second factor in it.\n\n"
               "Exit status: 0 all were written; 1 some were left out; 2 "
               "error.",
    .options = export_options,
    .run = export,
};
