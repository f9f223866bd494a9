/* `sekisho trail`: its table of commands. */

#include "trail_tools.h"

const command_t *const trail_commands[] = {
    &trail_init_command,
    &trail_key_command,
    &trail_rotate_command,
    NULL,
};
