/* `sekisho audit`: its table of commands. */

#include "audit_findings.h"
#include "audit_index.h"
#include "audit_tools.h"

const command_t *const audit_commands[] = {
    &audit_tail_command,
    &audit_search_command,
    &audit_show_command,
    &audit_verify_command,
    &audit_prove_command,
    &audit_checkpoint_command,
    &audit_status_command,
    &audit_index_command,
    &audit_report_command,
    &audit_review_command,
    &audit_quiet_command,
    &audit_checklist_command,
    &audit_exports_command,
    &audit_accounts_command,
    &audit_coverage_command,
    &audit_evidence_command,
    NULL,
};
