/* Lines on stderr, with systemd's priorities (sd-daemon(3)) when it is a
 * journal that reads them. */

#ifndef SEKISHO_DAEMON_LOG_H
#define SEKISHO_DAEMON_LOG_H

typedef enum {
    LOG_ERROR = 3,
    LOG_WARNING = 4,
    LOG_NOTICE = 5,
    LOG_INFO = 6
} log_level_t;

/* printf-like, one line without its end. */
void log_line(log_level_t level, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
