#include "otp.h"

#include <qrencode.h>

#include "../base/wipe.h"

#define MARGIN 2

/* What is light is drawn, the margin too: terminals are dark as a rule. */
static bool
light(const QRcode *code, int x, int y)
{
    if (y >= code->width + 2 * MARGIN) {
        return false; /* below the last row, where their number is odd */
    }
    x -= MARGIN;
    y -= MARGIN;
    return x < 0 || y < 0 || x >= code->width || y >= code->width ||
           (code->data[y * code->width + x] & 1) == 0;
}

static void
wipe_code(QRcode **code)
{
    if (*code != NULL) {
        wipe_bytes((*code)->data,
                   (size_t) (*code)->width * (size_t) (*code)->width);
        QRcode_free(*code);
    }
}

size_t
otp_qr_text(char *text, size_t capacity, slice_t data)
{
    _cleanup_(wipe_code) QRcode *code = NULL;
    static const char *const blocks[4] = {" ", "▄", "▀", "█"};
    size_t used = 0;
    int x, y, size;

    if (data.size == 0 || data.size > 2000) {
        return 0;
    }
    code = QRcode_encodeData((int) data.size, (const unsigned char *) data.data,
                             0, QR_ECLEVEL_L);
    if (code == NULL) {
        return 0;
    }
    size = code->width + 2 * MARGIN;
    for (y = 0; y < size; y += 2) {
        for (x = 0; x < size; x++) {
            unsigned block = (light(code, x, y) ? 2u : 0u) |
                             (light(code, x, y + 1) ? 1u : 0u);
            size_t n = strlen(blocks[block]);

            if (capacity - used <= n + 2) { /* the line's end and a NUL */
                wipe_bytes(text, capacity);
                return 0;
            }
            memcpy(text + used, blocks[block], n);
            used += n;
        }
        text[used++] = '\n';
    }
    text[used] = '\0';
    return used;
}
