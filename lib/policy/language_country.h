/* Country codes of ISO 3166-1, for language_facility.c alone. */

#ifndef SEKISHO_POLICY_LANGUAGE_COUNTRY_H
#define SEKISHO_POLICY_LANGUAGE_COUNTRY_H

#include <stdbool.h>

/* Two capitals; XK (Kosovo) too, which MaxMind's tables use. */
bool language_country_known(const char code[2]);

#endif
