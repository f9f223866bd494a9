/*
 * Countries of addresses, for `country` rules at doors: a MaxMind database,
 * watched once a second and read in slices.
 */

#ifndef SEKISHO_DAEMON_COUNTRIES_H
#define SEKISHO_DAEMON_COUNTRIES_H

#include "../lib/base/address.h"
#include "../lib/ipc/daemon_config.h"

typedef struct countries_s countries_t;

/* Reads the database, if one is configured.  NULL when out of memory. */
countries_t *countries_open(const config_t *config);
void countries_free(countries_t *countries); /* takes NULL */

/* Another path: the old database goes.  The same one: looks at it again. */
void countries_configure(countries_t *countries, const config_t *config);

/* Looks for a new database.  A bad one is told in the log, and the last good
 * one stays. */
void countries_tick(countries_t *countries);

/* A policy with `country` rules is in force: without a database they refuse,
 * which is told once. */
void countries_wanted(countries_t *countries);

/* A policy_country_fn; the context is a countries_t. */
bool countries_country(void *context, const address_t *address, char code[2]);

#endif
