/* A report as it is printed, for tests of what people are told. */

#ifndef SEKISHO_TESTS_UNIT_PRINTED_H
#define SEKISHO_TESTS_UNIT_PRINTED_H

#include <stdio.h>
#include <stdlib.h>

#include "../../lib/base/report.h"

/* malloc'ed; frees the report. */
static inline char *
printed(report_t *report)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (out == NULL) {
        abort();
    }
    report_print(report, out);
    if (fclose(out) != 0) {
        abort();
    }
    report_free(report);
    return text;
}

#endif
