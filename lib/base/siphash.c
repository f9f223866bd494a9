#include "siphash.h"

#include "endian.h"

typedef struct {
    uint64_t v0, v1, v2, v3;
} state_t;

static inline uint64_t
rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void
rounds(state_t *s, unsigned count)
{
    while (count-- > 0) {
        s->v0 += s->v1;
        s->v1 = rotate(s->v1, 13) ^ s->v0;
        s->v0 = rotate(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotate(s->v1, 17) ^ s->v2;
        s->v2 = rotate(s->v2, 32);
    }
}

static inline void
absorb(state_t *s, uint64_t word)
{
    s->v3 ^= word;
    rounds(s, 1);
    s->v0 ^= word;
}

siphash_t
siphash(const uint8_t key[SIPHASH_KEY_SIZE], const void *data, size_t size)
{
    uint64_t k0 = load_le64(key), k1 = load_le64(key + 8);
    /* 0xee and 0xdd tell the result of 128 bits from that of 64 */
    state_t s = {.v0 = UINT64_C(0x736f6d6570736575) ^ k0,
                 .v1 = UINT64_C(0x646f72616e646f6d) ^ k1 ^ 0xee,
                 .v2 = UINT64_C(0x6c7967656e657261) ^ k0,
                 .v3 = UINT64_C(0x7465646279746573) ^ k1};
    const uint8_t *bytes = data;
    uint64_t last = (uint64_t) size << 56;
    siphash_t result;

    for (; size >= 8; size -= 8, bytes += 8) {
        absorb(&s, load_le64(bytes));
    }
    if (size > 0 && bytes != data) {
        /* with some before them, which have been absorbed already */
        last |= load_le64(bytes + size - 8) >> (8 * (8 - size));
    } else {
        for (size_t i = 0; i < size; i++) {
            last |= (uint64_t) bytes[i] << (8 * i);
        }
    }
    absorb(&s, last);
    s.v2 ^= 0xee;
    rounds(&s, 3);
    result.low = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    s.v1 ^= 0xdd;
    rounds(&s, 3);
    result.high = s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
    return result;
}
