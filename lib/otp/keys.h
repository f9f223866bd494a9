/* The text of a key file; for this folder and its tests only. */

#ifndef SEKISHO_OTP_KEYS_H
#define SEKISHO_OTP_KEYS_H

#include "otp.h"

#define OTP_KEYS_FILE_MAX 4096 /* bytes */

/* -EBADMSG with the line (0: the whole) and what to write instead. */
int otp_keys_parse(slice_t text, otp_keys_t *keys, uint32_t *line,
                   const char **why);
size_t otp_keys_format(const otp_keys_t *keys,
                       char text[OTP_KEYS_FILE_MAX + 1]);

#endif
