/* nginx's own radix tree (its file, compiled as it is), for comparison. */

#ifndef SEKISHO_TESTS_NGINX_RADIX_H
#define SEKISHO_TESTS_NGINX_RADIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nginx_radix_s nginx_radix_t;

#define NGINX_RADIX_NONE UINTPTR_MAX

/* false if it was built without nginx's source. */
bool nginx_radix_is_there(void);

/* Both trees, IPv4 and IPv6, as the geo module has them.  NULL: no memory. */
nginx_radix_t *nginx_radix_new(void);
void nginx_radix_free(nginx_radix_t *radix);
size_t nginx_radix_bytes(const nginx_radix_t *radix);

bool nginx_radix_add4(nginx_radix_t *radix, uint32_t address, unsigned bits,
                      uintptr_t value);
bool nginx_radix_add6(nginx_radix_t *radix, const uint8_t address[16],
                      unsigned bits, uintptr_t value);
uintptr_t nginx_radix_find4(nginx_radix_t *radix, uint32_t address);
uintptr_t nginx_radix_find6(nginx_radix_t *radix, const uint8_t address[16]);

#endif
