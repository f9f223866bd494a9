/*
 * pam_sekisho.so: the second factor at the doors of a host; pam_sekisho(8).
 *
 * A thin client of sekishod.  It runs in processes that are not ours (sshd,
 * greeters, sudo, lockers): it keeps nothing static, starts no threads,
 * changes neither signals nor the environment, and never ends the process.
 */

#include "module.h"

#define PUBLIC __attribute__((visibility("default")))

typedef int (*work_fn)(door_t *door);

static int
work(pam_handle_t *pamh, int argc, const char **argv, work_fn fn)
{
    _cleanup_(cleanup_options) options_t *options = NULL;
    _cleanup_(cleanup_door) door_t door = {0};
    const void *service = NULL;
    int result = pam_get_item(pamh, PAM_SERVICE, &service);

    if (result != PAM_SUCCESS || service == NULL) {
        return result == PAM_SUCCESS ? PAM_SYSTEM_ERR : result;
    }
    options = options_read(pamh, service, argc, argv);
    if (options == NULL) {
        return PAM_SERVICE_ERR;
    }
    result = door_open(&door, pamh, options);
    if (result != PAM_SUCCESS) {
        return result;
    }
    return fn(&door);
}

PUBLIC int
pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void) flags;
    return work(pamh, argc, argv, factor_authenticate);
}

/* There are no credentials to set; but somebody without a device whom no line
 * of `account` has counted is counted here. */
static int
settle_credentials(door_t *door)
{
    return grace_settle(door, false);
}

PUBLIC int
pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    if (((unsigned) flags & PAM_DELETE_CRED) != 0) {
        return PAM_SUCCESS;
    }
    return work(pamh, argc, argv, settle_credentials);
}

PUBLIC int
pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void) flags;
    return work(pamh, argc, argv, account_check);
}

PUBLIC int
pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void) flags;
    return work(pamh, argc, argv, session_begin);
}

PUBLIC int
pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void) flags;
    return work(pamh, argc, argv, session_end);
}

/* A second factor is not changed with the password. */
PUBLIC int
pam_sm_chauthtok(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void) flags;
    (void) argc;
    (void) argv;
    pam_syslog(pamh, LOG_ERR,
               "wrong-stack: pam_sekisho.so has no place among the lines of "
               "\"password\": \"sekisho otp\" changes devices");
    return PAM_SERVICE_ERR;
}
