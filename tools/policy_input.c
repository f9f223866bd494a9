/* A policy from a file: an image as it is, a text compiled in memory. */

#include "policy_tools.h"

#include <errno.h>
#include <time.h>

#include "../lib/base/wipe.h"


bool
policy_compile_file(const char *path, report_t *report, compiled_t *compiled)
{
    policy_source_t *source;
    int result;

    *compiled = (compiled_t){.bytes = NULL};
    source = policy_source_read_file(path, time(NULL), report);
    if (source == NULL) {
        return false;
    }
    compiled->facilities = source->facilities_count;
    for (size_t i = 0; i < source->facilities_count; i++) {
        compiled->networks += source->facilities[i].networks_count;
    }
    result = policy_compile(source, report, &compiled->bytes, &compiled->size);
    policy_source_free(source);
    if (result < 0 && report_errors(report) == 0) {
        report_add(report, REPORT_ERROR, (report_place_t){.file = path},
                   "cannot be compiled: %s", strerror(-result));
    }
    return result == 0;
}


static int
open_text(const char *command, const char *path, policy_image_t **image)
{
    _cleanup_(cleanup_report) report_t *report = report_new();
    _cleanup_(compiled_free) compiled_t compiled = {.bytes = NULL};
    policy_image_result_t result;

    if (report == NULL) {
        return fail(command, "out of memory");
    }
    if (!policy_compile_file(path, report, &compiled)) {
        print_report(report);
        return fail(command,
                    "%s is no policy image, and has errors as a "
                    "policy text",
                    path);
    }
    result = policy_image_open(compiled.bytes, compiled.size, image);
    if (result != POLICY_IMAGE_OK) {
        return fail(command, "%s: the compiled policy is refused: %s", path,
                    policy_image_strerror(result));
    }
    return STATUS_OK;
}


int
policy_open(const char *command, const char *path, policy_image_t **image)
{
    policy_image_result_t result;

    errno = 0;
    result = policy_image_open_file(path, image);
    switch (result) {
    case POLICY_IMAGE_OK:
        return STATUS_OK;
    case POLICY_IMAGE_NOT_ONE:
    case POLICY_IMAGE_TOO_SMALL:
        return open_text(command, path, image);
    case POLICY_IMAGE_SYSTEM:
        if (errno == ENOENT && strcmp(path, DEFAULT_IMAGE) == 0) {
            return fail(command,
                        "%s: no policy was applied yet: run "
                        "\"sekisho policy apply\", or name a file",
                        path);
        }
        return fail(command, "%s: %s", path, strerror(errno));
    default:
        return fail(command, "%s: %s", path, policy_image_strerror(result));
    }
}
