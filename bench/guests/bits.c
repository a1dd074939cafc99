// Bit tricks: table and bitwise CRCs, population counts, bit reversal, subset enumeration,
// and a generation of the game of life on packed words.
#include "bench.h"

enum { BUFFER = 32 * 1024, ROWS = 256, WORDS = 4 };

static unsigned char buffer[BUFFER];
static uint32_t crc_table[256];
static uint64_t life[2][ROWS][WORDS];

static uint32_t crc_of_byte(uint32_t crc)
{
    for (int bit = 0; bit < 8; bit++)
        crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320u : 0);
    return crc;
}

static uint32_t crc_by_table(const unsigned char *p, size_t len)
{
    uint32_t crc = ~0u;
    while (len-- > 0)
        crc = crc_table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
    return ~crc;
}

static uint16_t crc16_by_bit(const unsigned char *p, size_t len)
{
    uint16_t crc = 0xffff;
    while (len-- > 0) {
        crc ^= (uint16_t)(*p++ << 8);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)(crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc;
}

static unsigned count_ones(uint64_t x)
{
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (unsigned)((x * 0x0101010101010101u) >> 56);
}

static uint64_t reverse_bits(uint64_t x)
{
    x = ((x >> 1) & 0x5555555555555555u) | ((x & 0x5555555555555555u) << 1);
    x = ((x >> 2) & 0x3333333333333333u) | ((x & 0x3333333333333333u) << 2);
    x = ((x >> 4) & 0x0f0f0f0f0f0f0f0fu) | ((x & 0x0f0f0f0f0f0f0f0fu) << 4);
    return __builtin_bswap64(x);
}

// Next larger number with as many bits set.
static uint64_t next_subset(uint64_t x)
{
    uint64_t low = x & -x, ripple = x + low;
    return ripple | (((x ^ ripple) >> 2) / low);
}

static uint64_t left_of(const uint64_t *row, int w)
{
    return row[w] << 1 | row[(w + WORDS - 1) % WORDS] >> 63;
}

static uint64_t right_of(const uint64_t *row, int w)
{
    return row[w] >> 1 | row[(w + 1) % WORDS] << 63;
}

// One generation on a torus; 64 cells at a time with bit-sliced adders.
static void generation(uint64_t from[ROWS][WORDS], uint64_t to[ROWS][WORDS])
{
    for (int y = 0; y < ROWS; y++) {
        const uint64_t *rows[3] = {from[(y + ROWS - 1) % ROWS], from[y], from[(y + 1) % ROWS]};
        for (int w = 0; w < WORDS; w++) {
            uint64_t ones = 0, twos = 0, fours = 0;
            for (int r = 0; r < 3; r++) {
                uint64_t neighbours[3] = {left_of(rows[r], w), rows[r][w], right_of(rows[r], w)};
                for (int k = 0; k < 3; k++) {
                    if (r == 1 && k == 1)
                        continue;
                    uint64_t carry = ones & neighbours[k];
                    ones ^= neighbours[k];
                    fours |= twos & carry;
                    twos ^= carry;
                }
            }
            to[y][w] = twos & ~fours & (ones | from[y][w]);
        }
    }
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 4, sum = CHECKSUM_START;

    for (uint32_t i = 0; i < 256; i++)
        crc_table[i] = crc_of_byte(i);
    for (size_t i = 0; i < BUFFER; i++)
        buffer[i] = (unsigned char)next_random(&seed);
    for (int y = 0; y < ROWS; y++)
        for (int w = 0; w < WORDS; w++)
            life[0][y][w] = next_random(&seed) & next_random(&seed);

    for (uint64_t i = scaled(args, 300); i > 0; i--) {
        buffer[i % BUFFER]++;
        sum = checksum_add(sum, crc_by_table(buffer, BUFFER));
        sum = checksum_add(sum, crc16_by_bit(buffer, BUFFER / 16));
    }
    uint64_t ones = 0, reversed = 0, subset = 0xffff;
    for (uint64_t i = scaled(args, 4000000); i > 0; i--) {
        ones += count_ones(seed);
        reversed ^= reverse_bits(seed + i);
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
    }
    for (uint64_t i = scaled(args, 4000000); i > 0; i--)
        subset = next_subset(subset);
    for (uint64_t i = scaled(args, 500); i > 0; i--) {
        generation(life[0], life[1]);
        generation(life[1], life[0]);
    }
    uint64_t alive = 0;
    for (int y = 0; y < ROWS; y++)
        for (int w = 0; w < WORDS; w++)
            alive += count_ones(life[0][y][w]);
    sum = checksum_add(checksum_add(sum, ones), checksum_add(reversed, subset));
    printf("bits: %llu cells alive, checksum %016llx\n", (unsigned long long)alive,
           (unsigned long long)sum);
    return 0;
}
