/* `sekisho audit`: its table of commands. */

#include "audit_tools.h"

const command_t *const audit_commands[] = {
    &audit_tail_command,   &audit_search_command,
    &audit_show_command,   &audit_verify_command,
    &audit_prove_command,  &audit_checkpoint_command,
    &audit_status_command, NULL,
};
