// Hashing: byte-wise FNV-1a, a four-lane multiply-rotate hash over blocks of words, and an
// open-addressing table keyed by mixed integers.
#include "bench.h"

enum { BUFFER = 64 * 1024, SLOTS = 1 << 15 };

static union {
    unsigned char bytes[BUFFER];
    uint64_t words[BUFFER / 8];
} buffer;
static uint64_t keys[SLOTS], values[SLOTS];

static inline uint64_t rotate_left(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

static uint64_t fnv1a(const unsigned char *p, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

static uint64_t lanes(const uint64_t *p, size_t words, uint64_t seed)
{
    static const uint64_t M1 = 0xd6e8feb86659fd93u, M2 = 0xa0761d6478bd642fu;
    uint64_t a = seed + M1, b = seed ^ M2, c = seed, d = seed - M1;
    for (; words >= 4; words -= 4, p += 4) {
        a = rotate_left(a + p[0] * M2, 31) * M1;
        b = rotate_left(b + p[1] * M2, 31) * M1;
        c = rotate_left(c + p[2] * M2, 31) * M1;
        d = rotate_left(d + p[3] * M2, 31) * M1;
    }
    uint64_t h = rotate_left(a, 1) + rotate_left(b, 7) + rotate_left(c, 12) + rotate_left(d, 18);
    for (; words > 0; words--, p++)
        h = rotate_left(h ^ (*p * M1), 11) * M2;
    h = (h ^ (h >> 33)) * M1;
    return h ^ (h >> 29);
}

static inline uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 32)) * 0xe9846af9b1a615du;
    x = (x ^ (x >> 32)) * 0xe9846af9b1a615du;
    return x ^ (x >> 28);
}

// The slot of `key`, or the free one where it belongs.
static size_t find_slot(uint64_t key)
{
    size_t slot = mix(key) % SLOTS;
    while (keys[slot] != 0 && keys[slot] != key)
        slot = (slot + 1) % SLOTS;
    return slot;
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 2, sum = CHECKSUM_START;

    for (size_t i = 0; i < BUFFER; i++)
        buffer.bytes[i] = (unsigned char)next_random(&seed);

    for (uint64_t i = scaled(args, 2000); i > 0; i--) {
        buffer.bytes[random_below(&seed, BUFFER)] ^= (unsigned char)i;
        sum = checksum_add(sum, fnv1a(buffer.bytes, BUFFER / 32 - i % 7));
        sum = checksum_add(sum, lanes(buffer.words, BUFFER / 8 - i % 5, sum));
        sum = checksum_add(sum, lanes(buffer.words + 1, BUFFER / 8 - 1, sum));
    }
    for (uint64_t i = scaled(args, 3000000); i > 0; i--) {
        uint64_t key = 1 + random_below(&seed, SLOTS * 3 / 4);
        size_t slot = find_slot(key);
        keys[slot] = key;
        values[slot] += i;
    }
    for (size_t i = 0; i < SLOTS; i++)
        sum = checksum_add(sum, keys[i] ^ values[i]);
    printf("hash: checksum %016llx\n", (unsigned long long)sum);
    return 0;
}
