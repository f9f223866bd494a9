/* Between audit_verify.c, which verifies, and audit_verify_print.c. */

#ifndef SEKISHO_AUDIT_VERIFY_H
#define SEKISHO_AUDIT_VERIFY_H

#include "audit_tools.h"

/* Exit status of `audit verify`, beside those of all commands. */
#define STATUS_TAMPERED 3
#define STATUS_GAP      4
#define STATUS_UNSEALED 5

typedef struct {
    const place_t *place;
    const verify_report_t *report;
    const numbers_t *numbers;
    size_t kept; /* checkpoints that were compared */
} verified_t;

void verified_print(const verified_t *verified);
int verified_json(const char *command, const verified_t *verified);

#endif
