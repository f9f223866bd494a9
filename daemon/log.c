#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void
log_line(log_level_t level, const char *format, ...)
{
    char text[1024], when[32];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size < 0) {
        return;
    }
    /* names of peers and files may hold anything */
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char) *c < 0x20 || *c == 0x7f) {
            *c = '?';
        }
    }
    if (getenv("JOURNAL_STREAM") != NULL) {
        (void) fprintf(stderr, "<%d>%s\n", (int) level, text);
    } else {
        time_t now = time(NULL);
        struct tm tm;

        if (localtime_r(&now, &tm) == NULL ||
            strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm) == 0)
        {
            when[0] = '\0';
        }
        (void) fprintf(stderr, "%s sekishod: %s%s\n", when,
                       level == LOG_ERROR     ? "error: "
                       : level == LOG_WARNING ? "warning: "
                                              : "",
                       text);
    }
}
