// Memory streaming over arrays that are larger than a second-level cache: copy, scale, add,
// triad, sums, and a strided pass.
#include "bench.h"

enum { COUNT = 1 << 19 }; // 4 MiB an array

static double a[COUNT], b[COUNT], c[COUNT];
static uint64_t words[COUNT];

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t seed = 13, sum = CHECKSUM_START;

    for (size_t i = 0; i < COUNT; i++) {
        a[i] = random_unit(&seed);
        b[i] = 2;
        words[i] = next_random(&seed);
    }
    for (uint64_t round = scaled(args, 30); round > 0; round--) {
        for (size_t i = 0; i < COUNT; i++)
            c[i] = a[i];
        for (size_t i = 0; i < COUNT; i++)
            b[i] = 0.25 * c[i];
        for (size_t i = 0; i < COUNT; i++)
            c[i] = a[i] + b[i];
        for (size_t i = 0; i < COUNT; i++)
            a[i] = b[i] + 0.5 * c[i];
        double total = 0;
        for (size_t i = 0; i < COUNT; i++)
            total += a[i];
        uint64_t parity = 0, odd = 0;
        for (size_t i = 0; i < COUNT; i++) {
            parity ^= words[i];
            odd += words[i] & 1;
        }
        for (size_t column = 0; column < 64; column++)
            for (size_t i = column; i < COUNT; i += 64)
                words[i] += parity;
        sum = checksum_add(checksum_add(sum, double_bits(total)), parity + odd);
    }
    printf("stream: checksum %016llx\n", (unsigned long long)sum);
    return 0;
}
