/* A hash table from ids of 16 random bytes to pointers.  The ids come from
 * peers, so their first bytes are mixed with a secret of the table's own. */

#ifndef SEKISHO_DAEMON_TABLE_H
#define SEKISHO_DAEMON_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_KEY_SIZE 16

typedef struct table_s table_t;

table_t *table_new(void);          /* NULL when out of memory */
void table_delete(table_t *table); /* the values stay the caller's */

void *table_find(const table_t *table, const uint8_t key[TABLE_KEY_SIZE]);
/* Replaces a value of the same key; false when out of memory. */
bool table_set(table_t *table, const uint8_t key[TABLE_KEY_SIZE], void *value);
/* The value that was there, or NULL. */
void *table_remove(table_t *table, const uint8_t key[TABLE_KEY_SIZE]);
size_t table_count(const table_t *table);

/* Walks through the values; *place starts at 0; NULL at the end.  The value
 * just returned may be removed meanwhile, nothing else. */
void *table_next(const table_t *table, size_t *place);

#endif
