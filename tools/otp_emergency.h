/* `sekisho otp emergency seal | list`. */

#ifndef SEKISHO_OTP_EMERGENCY_TOOL_H
#define SEKISHO_OTP_EMERGENCY_TOOL_H

#include "tools.h"

/* For the table of `sekisho otp`. */
extern const command_t otp_emergency_command;

/* The same with argv[0] "emergency". */
int otp_emergency_main(int argc, char **argv);

#endif
