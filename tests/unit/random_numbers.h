/* Numbers that are the same in every run: a test that fails can be repeated. */

#ifndef SEKISHO_TESTS_UNIT_RANDOM_NUMBERS_H
#define SEKISHO_TESTS_UNIT_RANDOM_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
} random_t;

/* Weyl's sequence through a mixer of Stafford's. */
static inline uint64_t
random_next(random_t *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 .. below - 1 */
static inline uint32_t
random_below(random_t *random, uint32_t below)
{
    return (uint32_t) (random_next(random) >> 32) % below;
}

static inline bool
random_percent(random_t *random, uint32_t percent)
{
    return random_below(random, 100) < percent;
}

#define RANDOM_OF(random, list)                                                \
    ((list)[random_below(random, sizeof(list) / sizeof((list)[0]))])

#endif
