/*
 * Any bytes as sekishod.conf: what is accepted keeps the bounds that the daemon
 * relies on, what is refused says why.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../lib/ipc/daemon_config.h"

#define REQUIRE(condition)                                                     \
    do {                                                                       \
        if (!(condition)) {                                                    \
            abort();                                                           \
        }                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const config_t *config)
{
    REQUIRE(config->socket[0] == '/' && strlen(config->socket) < 108);
    REQUIRE(config->trail[0] == '/');
    REQUIRE(config->policy == NULL || config->policy[0] == '/');
    REQUIRE(config->origin.size > 0);
    REQUIRE(config->keys_count >= 1 && config->keys_count <= CONFIG_KEYS_MAX);
    for (unsigned i = 0; i < config->keys_count; i++) {
        REQUIRE(config->keys[i][0] == '/');
    }
    REQUIRE(config->web_uids_count <= CONFIG_WEB_UIDS_MAX);
    REQUIRE(config->journal_bytes >= 4u << 20 &&
            config->journal_bytes <= UINT64_C(4) << 30);
    REQUIRE(config->reserve_bytes * 2 <= config->journal_bytes);
    REQUIRE(config->heartbeat_seconds >= 1 && config->heartbeat_seconds <= 300);
    REQUIRE(config->orphan_seconds >= 5 && config->orphan_seconds <= 3600);
}

static void
check_report(report_t *report)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    REQUIRE(out != NULL);
    report_print(report, out);
    REQUIRE(fclose(out) == 0);
    REQUIRE(report_errors(report) == 0 || size > 0);
    for (size_t i = 0; i < size; i++) {
        /* nothing of the text reaches a terminal as a control character */
        REQUIRE((unsigned char) text[i] >= ' ' || text[i] == '\n');
    }
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("sekishod.conf", MFD_CLOEXEC);
    report_t *report = report_new();
    config_t *config;
    char path[32];

    REQUIRE(fd >= 0 && report != NULL);
    REQUIRE(write(fd, data, size) == (ssize_t) size);
    (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    config = config_read(path, report);
    REQUIRE((config != NULL) == (report_errors(report) == 0));
    if (config != NULL) {
        check(config);
    }
    check_report(report);
    config_free(config);
    report_free(report);
    (void) close(fd);
    return 0;
}
