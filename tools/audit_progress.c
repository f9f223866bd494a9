/* A bar on standard error, if that is a terminal. */

#define _GNU_SOURCE
#include <time.h>

#include "audit_tools.h"

#define BAR_WIDTH   30
#define INTERVAL_MS 200
#define PATIENCE_MS 500 /* what is done by then needs no bar */

static int64_t
now_ms(void)
{
    struct timespec ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


const char *
count_text(uint64_t number, char text[COUNT_TEXT_MAX])
{
    char digits[COUNT_TEXT_MAX];
    size_t size = (size_t) snprintf(digits, sizeof(digits), "%llu",
                                    (unsigned long long) number);
    size_t out = 0;

    for (size_t i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) {
            text[out++] = ',';
        }
        text[out++] = digits[i];
    }
    text[out] = '\0';
    return text;
}


void
progress_begin(progress_t *progress, const char *verb)
{
    progress->verb = verb;
    progress->shown = false;
    progress->begun_ms = now_ms();
    progress->last_ms = isatty(STDERR_FILENO) == 1
                            ? progress->begun_ms + PATIENCE_MS - INTERVAL_MS
                            : INT64_MAX / 2;
}


void
progress_tell(progress_t *progress, uint64_t done, uint64_t all)
{
    char count[COUNT_TEXT_MAX], rate[COUNT_TEXT_MAX];
    int64_t now = now_ms(), passed = now - progress->begun_ms;
    unsigned filled;

    if (now - progress->last_ms < INTERVAL_MS || all == 0) {
        return;
    }
    progress->last_ms = now;
    progress->shown = true;
    done = done < all ? done : all;
    filled = (unsigned) ((double) done / (double) all * BAR_WIDTH);
    fputs("\r[", stderr);
    for (unsigned i = 0; i < BAR_WIDTH; i++) {
        fputs(i < filled ? output_mark("█", "#") : output_mark("░", "."),
              stderr);
    }
    fprintf(stderr, "] %3u %%  %s entries %s, %s a second\033[K",
            (unsigned) ((double) done / (double) all * 100),
            count_text(done, count), progress->verb,
            count_text(passed > 0 ? done * 1000 / (uint64_t) passed : 0, rate));
    fflush(stderr);
}


void
progress_end(progress_t *progress)
{
    if (progress->shown) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
}
