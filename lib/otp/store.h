/* Between store.c, open.c and rekey.c. */

#ifndef SEKISHO_OTP_STORE_H
#define SEKISHO_OTP_STORE_H

#include "otp.h"

#define PAGE_BYTES 4096
/* Of the write-ahead log: room for what is moved at once, and for a group of
 * 700 verifications (two pages each). */
#define LOG_BYTES (8 << 20)

int store_execute(otp_store_t *store, const char *sql, const char *what);
/* The number that a statement of one row gives. */
int store_number(otp_store_t *store, const char *sql, int64_t *number);
int store_meta_load(otp_store_t *store);
/* Takes the room for all pages in the data base file. */
int store_reserve(otp_store_t *store);
/* Fills the log up to LOG_BYTES with zeros, which SQLite takes for its end. */
int store_fill_log(const otp_store_t *store);
/* Seals the text anew that tells whether a key is the store's. */
int store_seal_check(otp_store_t *store);

#endif
