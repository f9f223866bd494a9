/* `sekisho otp`: its table of commands. */

#include "otp_emergency.h"
#include "otp_tools.h"

const command_t *const otp_commands[] = {
    &otp_enroll_command,
    &otp_list_command,
    &otp_remove_command,
    &otp_unlock_command,
    &otp_recovery_command,
    &otp_verify_command,
    &otp_import_command,
    &otp_export_command,
    &otp_key_command,
    &otp_rekey_command,
    &otp_clock_command,
    &otp_emergency_command,
    NULL,
};
