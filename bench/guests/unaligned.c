// Words at any address, read and written by memcpy as portable programs do: a four-lane hash of
// byte strings, and packed records of fields of different sizes. Compilers for riscv64 copy such
// words byte by byte, as their targets may lack unaligned accesses.
#include "bench.h"
#include <string.h>

enum { BUFFER = 64 * 1024, RECORDS = 1000 };

static unsigned char buffer[BUFFER];

struct record {
    uint8_t kind;
    uint16_t port;
    uint32_t address;
    uint64_t time;
};

static inline uint64_t rotate_left(uint64_t x, unsigned n)
{
    return (x << n) | (x >> (64 - n));
}

static inline uint64_t load64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint64_t hash(const unsigned char *p, size_t len, uint64_t seed)
{
    static const uint64_t M1 = 0xd6e8feb86659fd93u, M2 = 0xa0761d6478bd642fu;
    uint64_t a = seed + M1, b = seed ^ M2, c = seed, d = seed - M1;
    for (; len >= 32; len -= 32, p += 32) {
        a = rotate_left(a + load64(p) * M2, 31) * M1;
        b = rotate_left(b + load64(p + 8) * M2, 31) * M1;
        c = rotate_left(c + load64(p + 16) * M2, 31) * M1;
        d = rotate_left(d + load64(p + 24) * M2, 31) * M1;
    }
    uint64_t h = rotate_left(a, 1) + rotate_left(b, 7) + rotate_left(c, 12) + rotate_left(d, 18);
    for (; len > 0; len--, p++)
        h = rotate_left(h ^ (*p * M1), 11) * M2;
    h = (h ^ (h >> 33)) * M1;
    return h ^ (h >> 29);
}

#define PUT(p, value) (memcpy(p, &(value), sizeof(value)), (p) + sizeof(value))
#define GET(p, value) (memcpy(&(value), p, sizeof(value)), (p) + sizeof(value))

static size_t pack(uint64_t *seed)
{
    unsigned char *p = buffer;
    for (int i = 0; i < RECORDS; i++) {
        uint64_t random = next_random(seed);
        struct record r = {(uint8_t)(random % 3), (uint16_t)(random >> 8), (uint32_t)(random >> 24),
                           random};
        p = PUT(p, r.kind);
        p = PUT(p, r.port);
        if (r.kind != 0)
            p = PUT(p, r.address);
        if (r.kind == 2)
            p = PUT(p, r.time);
    }
    return (size_t)(p - buffer);
}

static uint64_t unpack(void)
{
    const unsigned char *p = buffer;
    uint64_t sum = 0;
    for (int i = 0; i < RECORDS; i++) {
        struct record r = {0};
        p = GET(p, r.kind);
        p = GET(p, r.port);
        if (r.kind != 0)
            p = GET(p, r.address);
        if (r.kind == 2)
            p = GET(p, r.time);
        sum = checksum_add(sum, r.port ^ r.address ^ r.time);
    }
    return sum;
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 18, sum = CHECKSUM_START;

    for (uint64_t i = scaled(args, 6000); i > 0; i--) {
        size_t len = pack(&seed);
        sum = checksum_add(sum, unpack());
        sum = checksum_add(sum, hash(buffer, len, i));
    }
    for (size_t i = 0; i < BUFFER; i++)
        buffer[i] = (unsigned char)next_random(&seed);
    for (uint64_t i = scaled(args, 6000); i > 0; i--)
        sum = checksum_add(sum, hash(buffer + i % 8, BUFFER - 8 - i % 31, sum));
    printf("unaligned: checksum %016llx\n", (unsigned long long)sum);
    return 0;
}
