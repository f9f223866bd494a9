/*
 * Writes a MaxMind DB (format 2.0) that maps prefixes to countries:
 * {"country": {"iso_code": "JP"}}.  For measuring and testing alone.
 */

#ifndef SEKISHO_TESTS_MMDB_WRITER_H
#define SEKISHO_TESTS_MMDB_WRITER_H

#include "../../lib/base/address.h"

typedef struct mmdb_writer_s mmdb_writer_t;

/* NULL when out of memory.  Freed by mmdb_writer_free(), which takes NULL. */
mmdb_writer_t *mmdb_writer_new(void);
void mmdb_writer_free(mmdb_writer_t *writer);

/* Where prefixes are within each other the longest wins, in whatever order
 * they come; of the same prefix the last.  `code`: two letters. */
int mmdb_writer_add(mmdb_writer_t *writer, const prefix_t *prefix,
                    const char code[2]);

/* 0 or a negative errno (-E2BIG: more than 32-bit records can hold). */
int mmdb_writer_write(mmdb_writer_t *writer, const char *path);

#endif
