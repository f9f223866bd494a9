/* QR codes (ISO/IEC 18004) of secrets, made here: no other program and no
 * service ever sees them. */

#include <errno.h>
#include <qrencode.h>
#include <stdlib.h>

#include "../lib/base/wipe.h"
#include "../lib/otp/otp.h"
#include "otp_tools.h"

#define QUIET_ZONE  4 /* modules: ISO/IEC 18004 6.3.8 */
#define PNG_SCALE   8 /* pixels of a module */
#define DEFLATE_MAX 65535
#define CRC_POLY    0xedb88320u
#define ADLER_PRIME 65521u


bool
qr_form_parse(const char *name, qr_form_t *form)
{
    static const char *const names[] = {"none", "terminal", "svg", "png"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *form = (qr_form_t) i;
            return true;
        }
    }
    return false;
}


static bool
is_dark(const QRcode *code, int x, int y)
{
    x -= QUIET_ZONE;
    y -= QUIET_ZONE;
    return x >= 0 && y >= 0 && x < code->width && y < code->width &&
           (code->data[y * code->width + x] & 1) != 0;
}


static void
write_svg(FILE *out, const QRcode *code)
{
    int width = code->width + 2 * QUIET_ZONE;

    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
            "shape-rendering=\"crispEdges\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
            "<path d=\"",
            width, width);
    for (int y = 0; y < width; y++) {
        for (int x = 0; x < width; x++) {
            if (is_dark(code, x, y)) {
                fprintf(out, "M%d %dh1v1h-1z", x, y);
            }
        }
    }
    fputs("\"/>\n</svg>\n", out);
}


/* ---- PNG (ISO/IEC 15948), with stored blocks of deflate (RFC 1951) --------*/

static void
put_be32(uint8_t bytes[4], uint32_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        bytes[i] = (uint8_t) (value >> (24 - 8 * i));
    }
}


static uint32_t
crc32_of(uint32_t crc, const uint8_t *bytes, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (CRC_POLY & (0u - (crc & 1)));
        }
    }
    return ~crc;
}


static void
write_chunk(FILE *out, const char *type, const uint8_t *data, size_t size)
{
    uint8_t word[4];
    uint32_t crc = crc32_of(0, (const uint8_t *) type, 4);

    put_be32(word, (uint32_t) size);
    fwrite(word, 1, 4, out);
    fwrite(type, 1, 4, out);
    fwrite(data, 1, size, out);
    put_be32(word, crc32_of(crc, data, size));
    fwrite(word, 1, 4, out);
}


/* Rows of one bit a pixel, each behind its filter byte 0. */
static uint8_t *
make_rows(const QRcode *code, size_t pixels, size_t *size)
{
    size_t row = (pixels + 7) / 8 + 1;
    uint8_t *rows = calloc(pixels, row);

    *size = pixels * row;
    for (size_t y = 0; rows != NULL && y < pixels; y++) {
        for (size_t x = 0; x < pixels; x++) {
            if (!is_dark(code, (int) (x / PNG_SCALE), (int) (y / PNG_SCALE))) {
                rows[y * row + 1 + x / 8] |= (uint8_t) (0x80 >> x % 8);
            }
        }
    }
    return rows;
}


/* zlib (RFC 1950): head, stored blocks, Adler-32. */
static uint8_t *
make_zlib(const uint8_t *rows, size_t size, size_t *packed)
{
    uint8_t *bytes = malloc(size + size / DEFLATE_MAX * 5 + 16);
    uint32_t a = 1, b = 0;
    size_t used = 2;

    if (bytes == NULL) {
        return NULL;
    }
    bytes[0] = 0x78;
    bytes[1] = 0x01;
    for (size_t done = 0; done < size;) {
        size_t part = size - done < DEFLATE_MAX ? size - done : DEFLATE_MAX;

        bytes[used++] = done + part == size;
        bytes[used++] = (uint8_t) part;
        bytes[used++] = (uint8_t) (part >> 8);
        bytes[used++] = (uint8_t) ~part;
        bytes[used++] = (uint8_t) (~part >> 8);
        memcpy(bytes + used, rows + done, part);
        used += part;
        done += part;
    }
    for (size_t i = 0; i < size; i++) {
        a = (a + rows[i]) % ADLER_PRIME;
        b = (b + a) % ADLER_PRIME;
    }
    put_be32(bytes + used, b << 16 | a);
    *packed = used + 4;
    return bytes;
}


static int
write_png(FILE *out, const QRcode *code)
{
    static const uint8_t magic[8] = {0x89, 'P',  'N',  'G',
                                     '\r', '\n', 0x1a, '\n'};
    size_t pixels = (size_t) (code->width + 2 * QUIET_ZONE) * PNG_SCALE;
    uint8_t head[13] = {0};
    size_t size = 0, packed = 0;
    uint8_t *rows = make_rows(code, pixels, &size);
    uint8_t *bytes = rows == NULL ? NULL : make_zlib(rows, size, &packed);

    if (bytes != NULL) {
        put_be32(head, (uint32_t) pixels);
        put_be32(head + 4, (uint32_t) pixels);
        head[8] = 1; /* bit a pixel, greyscale */
        fwrite(magic, 1, sizeof(magic), out);
        write_chunk(out, "IHDR", head, sizeof(head));
        write_chunk(out, "IDAT", bytes, packed);
        write_chunk(out, "IEND", head, 0);
        wipe_bytes(bytes, packed);
        wipe_bytes(rows, size);
    }
    free(bytes);
    free(rows);
    return bytes == NULL ? -ENOMEM : 0;
}


static int
write_terminal(FILE *out, slice_t data)
{
    char *text = malloc(OTP_QR_TEXT_MAX);
    size_t size = text == NULL ? 0 : otp_qr_text(text, OTP_QR_TEXT_MAX, data);

    if (size > 0) {
        fwrite(text, 1, size, out);
        wipe_bytes(text, size);
    }
    free(text);
    return size > 0 ? 0 : -EMSGSIZE;
}


int
qr_write(FILE *out, qr_form_t form, slice_t data)
{
    QRcode *code;
    int error = 0;

    if (form == QR_NONE) {
        return 0;
    }
    if (form == QR_TERMINAL) {
        return write_terminal(out, data);
    }
    code = QRcode_encodeData((int) data.size, (const unsigned char *) data.data,
                             0, QR_ECLEVEL_L);
    if (code == NULL) {
        return -errno;
    }
    if (form == QR_SVG) {
        write_svg(out, code);
    } else {
        error = write_png(out, code);
    }
    wipe_bytes(code->data, (size_t) code->width * (size_t) code->width);
    QRcode_free(code);
    return error;
}
