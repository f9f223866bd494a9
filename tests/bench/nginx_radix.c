/*
 * ngx_radix_tree.c, and the two allocators that it calls.  NGINX_RADIX_SOURCE
 * is the path of that file in a source tree of nginx (tests/bench/bench.mk);
 * without it there is nothing to compare with, and the caller is told so.
 */

#ifdef NGINX_RADIX_SOURCE

#include NGINX_RADIX_SOURCE

#include "nginx_radix.h"

typedef struct block_s {
    struct block_s *next;
} block_t;

struct nginx_radix_s {
    ngx_radix_tree_t *tree4, *tree6;
    ngx_pool_t pool; /* only its `log` is used: for our blocks */
    block_t *blocks;
    size_t bytes;
};

ngx_uint_t ngx_pagesize = 4096;

void *
ngx_pmemalign(ngx_pool_t *pool, size_t size, size_t alignment)
{
    nginx_radix_t *radix = (void *) pool->log;
    block_t *block;
    void *memory;

    if (posix_memalign(&memory, alignment, size) != 0) {
        return NULL;
    }
    block = malloc(sizeof(*block) + sizeof(memory));
    if (block == NULL) {
        free(memory);
        return NULL;
    }
    memcpy(block + 1, &memory, sizeof(memory));
    block->next = radix->blocks;
    radix->blocks = block;
    radix->bytes += size;
    return memory;
}

void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return ngx_pmemalign(pool, size, 16);
}

bool
nginx_radix_is_there(void)
{
    return true;
}

nginx_radix_t *
nginx_radix_new(void)
{
    nginx_radix_t *radix = calloc(1, sizeof(*radix));

    if (radix == NULL) {
        return NULL;
    }
    radix->pool.log = (void *) radix;
    radix->tree4 = ngx_radix_tree_create(&radix->pool, -1);
    radix->tree6 = ngx_radix_tree_create(&radix->pool, -1);
    if (radix->tree4 == NULL || radix->tree6 == NULL) {
        nginx_radix_free(radix);
        return NULL;
    }
    return radix;
}

void
nginx_radix_free(nginx_radix_t *radix)
{
    block_t *block, *next;
    void *memory;

    for (block = radix == NULL ? NULL : radix->blocks; block != NULL;
         block = next) {
        next = block->next;
        memcpy(&memory, block + 1, sizeof(memory));
        free(memory);
        free(block);
    }
    free(radix);
}

size_t
nginx_radix_bytes(const nginx_radix_t *radix)
{
    return radix->bytes;
}

bool
nginx_radix_add4(nginx_radix_t *radix, uint32_t address, unsigned bits,
                 uintptr_t value)
{
    uint32_t mask = bits == 0 ? 0 : 0xffffffffu << (32 - bits);

    return ngx_radix32tree_insert(radix->tree4, address, mask, value) == NGX_OK;
}

bool
nginx_radix_add6(nginx_radix_t *radix, const uint8_t address[16], unsigned bits,
                 uintptr_t value)
{
    u_char key[16], mask[16];

    for (unsigned i = 0; i < 16; i++) {
        key[i] = address[i];
        mask[i] = bits >= 8 * (i + 1) ? 0xff
                  : bits <= 8 * i     ? 0
                                      : (u_char) (0xff00 >> (bits - 8 * i));
    }
    return ngx_radix128tree_insert(radix->tree6, key, mask, value) == NGX_OK;
}

uintptr_t
nginx_radix_find4(nginx_radix_t *radix, uint32_t address)
{
    return ngx_radix32tree_find(radix->tree4, address);
}

uintptr_t
nginx_radix_find6(nginx_radix_t *radix, const uint8_t address[16])
{
    return ngx_radix128tree_find(radix->tree6, (u_char *) (uintptr_t) address);
}

#else

#include "nginx_radix.h"

bool
nginx_radix_is_there(void)
{
    return false;
}

nginx_radix_t *
nginx_radix_new(void)
{
    return NULL;
}

void
nginx_radix_free(nginx_radix_t *radix)
{
    (void) radix;
}

size_t
nginx_radix_bytes(const nginx_radix_t *radix)
{
    (void) radix;
    return 0;
}

bool
nginx_radix_add4(nginx_radix_t *radix, uint32_t address, unsigned bits,
                 uintptr_t value)
{
    (void) radix;
    (void) address;
    (void) bits;
    (void) value;
    return false;
}

bool
nginx_radix_add6(nginx_radix_t *radix, const uint8_t address[16], unsigned bits,
                 uintptr_t value)
{
    return nginx_radix_add4(radix, address[0], bits, value);
}

uintptr_t
nginx_radix_find4(nginx_radix_t *radix, uint32_t address)
{
    (void) radix;
    (void) address;
    return NGINX_RADIX_NONE;
}

uintptr_t
nginx_radix_find6(nginx_radix_t *radix, const uint8_t address[16])
{
    return nginx_radix_find4(radix, address[0]);
}

#endif
