// AES-128 (FIPS 197) in counter mode, with the usual tables of 32-bit words, and decryption
// byte by byte.
#include "bench.h"
#include <string.h>

enum { ROUNDS = 10, BUFFER = 64 * 1024 };

static uint8_t sbox[256], inverse_sbox[256];
static uint32_t table[4][256];
static unsigned char buffer[BUFFER];

static uint8_t times_two(uint8_t x)
{
    return (uint8_t)(x << 1 ^ (x & 0x80 ? 0x1b : 0));
}

static uint8_t times(uint8_t x, uint8_t y)
{
    uint8_t product = 0;
    for (; y != 0; y >>= 1, x = times_two(x))
        if (y & 1)
            product ^= x;
    return product;
}

static uint32_t rotate_right(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void make_tables(void)
{
    // 3 generates the field's multiplicative group; p and q are inverse to each other.
    uint8_t p = 1, q = 1;
    do {
        p = times(p, 3);
        q = times(q, 0xf6);
        uint8_t s = (uint8_t)(q ^ (q << 1 | q >> 7) ^ (q << 2 | q >> 6) ^ (q << 3 | q >> 5) ^
                              (q << 4 | q >> 4));
        sbox[p] = s ^ 0x63;
    } while (p != 1);
    sbox[0] = 0x63;
    for (int i = 0; i < 256; i++) {
        uint8_t s = sbox[i];
        inverse_sbox[s] = (uint8_t)i;
        uint32_t column = (uint32_t)times_two(s) << 24 | (uint32_t)s << 16 | (uint32_t)s << 8 |
                          (uint32_t)(times_two(s) ^ s);
        for (unsigned k = 0; k < 4; k++)
            table[k][i] = rotate_right(column, 8 * k);
    }
}

static uint32_t load(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static uint32_t substitute(uint32_t w)
{
    return (uint32_t)sbox[w >> 24] << 24 | (uint32_t)sbox[w >> 16 & 0xff] << 16 |
           (uint32_t)sbox[w >> 8 & 0xff] << 8 | sbox[w & 0xff];
}

static void expand_key(const unsigned char key[16], uint32_t w[4 * (ROUNDS + 1)])
{
    uint8_t constant = 1;
    for (int i = 0; i < 4; i++)
        w[i] = load(key + 4 * i);
    for (int i = 4; i < 4 * (ROUNDS + 1); i++) {
        uint32_t t = w[i - 1];
        if (i % 4 == 0) {
            t = substitute(rotate_right(t, 24)) ^ (uint32_t)constant << 24;
            constant = times_two(constant);
        }
        w[i] = w[i - 4] ^ t;
    }
}

static void encrypt(const uint32_t *w, const unsigned char in[16], unsigned char out[16])
{
    uint32_t s0 = load(in) ^ w[0], s1 = load(in + 4) ^ w[1];
    uint32_t s2 = load(in + 8) ^ w[2], s3 = load(in + 12) ^ w[3];
#define COLUMN(a, b, c, d)                                                                        \
    (table[0][(a) >> 24] ^ table[1][(b) >> 16 & 0xff] ^ table[2][(c) >> 8 & 0xff] ^               \
     table[3][(d) & 0xff])
    for (int round = 1; round < ROUNDS; round++) {
        w += 4;
        uint32_t t0 = COLUMN(s0, s1, s2, s3) ^ w[0], t1 = COLUMN(s1, s2, s3, s0) ^ w[1];
        uint32_t t2 = COLUMN(s2, s3, s0, s1) ^ w[2], t3 = COLUMN(s3, s0, s1, s2) ^ w[3];
        s0 = t0;
        s1 = t1;
        s2 = t2;
        s3 = t3;
    }
    w += 4;
#define LAST(a, b, c, d)                                                                          \
    (substitute(((a) & 0xff000000u) | ((b) & 0xff0000u) | ((c) & 0xff00u) | ((d) & 0xffu)))
    store(out, LAST(s0, s1, s2, s3) ^ w[0]);
    store(out + 4, LAST(s1, s2, s3, s0) ^ w[1]);
    store(out + 8, LAST(s2, s3, s0, s1) ^ w[2]);
    store(out + 12, LAST(s3, s0, s1, s2) ^ w[3]);
}

static void add_round_key(unsigned char s[16], const uint32_t *w)
{
    for (int i = 0; i < 4; i++)
        store(s + 4 * i, load(s + 4 * i) ^ w[i]);
}

static void decrypt(const uint32_t *w, unsigned char s[16])
{
    add_round_key(s, w + 4 * ROUNDS);
    for (int round = ROUNDS - 1; round >= 0; round--) {
        unsigned char t[16];
        for (int i = 0; i < 16; i++)
            t[(i + 4 * (i % 4)) % 16] = inverse_sbox[s[i]];
        add_round_key(t, w + 4 * round);
        for (int c = 0; c < 16; c += 4)
            for (int i = 0; i < 4; i++)
                s[c + i] = round == 0 ? t[c + i]
                                      : times(t[c + i], 14) ^ times(t[c + (i + 1) % 4], 11) ^
                                            times(t[c + (i + 2) % 4], 13) ^
                                            times(t[c + (i + 3) % 4], 9);
    }
}

static void counter_mode(const uint32_t *w, uint64_t nonce)
{
    unsigned char block[16] = {0}, stream[16];
    memcpy(block, "counter:", 8);
    for (size_t at = 0; at < BUFFER; at += 16) {
        store(block + 8, (uint32_t)nonce);
        store(block + 12, (uint32_t)(at / 16));
        encrypt(w, block, stream);
        for (int i = 0; i < 16; i++)
            buffer[at + (size_t)i] ^= stream[i];
    }
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    unsigned char key[16], block[16];
    uint32_t w[4 * (ROUNDS + 1)];
    uint64_t sum = CHECKSUM_START;

    make_tables();
    // The example vector of FIPS 197, appendix C.1: 69c4e0d8...
    for (int i = 0; i < 16; i++) {
        key[i] = (unsigned char)i;
        block[i] = (unsigned char)(i * 0x11);
    }
    expand_key(key, w);
    encrypt(w, block, block);
    printf("aes: example %08x", load(block));
    decrypt(w, block);
    printf(" and back %08x", load(block));

    for (uint64_t i = scaled(args, 250); i > 0; i--)
        counter_mode(w, i);
    sum = checksum_bytes(sum, buffer, BUFFER);
    for (uint64_t i = scaled(args, 1500); i > 0; i--)
        decrypt(w, buffer + 16 * (i % (BUFFER / 16)));
    sum = checksum_bytes(sum, buffer, BUFFER);
    printf(", checksum %016llx\n", (unsigned long long)sum);
    return 0;
}
