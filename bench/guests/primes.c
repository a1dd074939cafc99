// Primes: a sieve of Eratosthenes, then trial division and modular exponentiation.
#include "bench.h"
#include <string.h>

enum { LIMIT = 1 << 20 };

static unsigned char composite[LIMIT];
static uint32_t primes[LIMIT / 8];

static size_t sieve(uint32_t limit)
{
    memset(composite, 0, limit);
    for (uint32_t i = 2; i * i < limit; i++)
        if (!composite[i])
            for (uint32_t j = i * i; j < limit; j += i)
                composite[j] = 1;
    size_t count = 0;
    for (uint32_t i = 2; i < limit; i++)
        if (!composite[i])
            primes[count++] = i;
    return count;
}

static uint32_t smallest_factor(uint32_t n)
{
    for (size_t i = 0; primes[i] * primes[i] <= n; i++)
        if (n % primes[i] == 0)
            return primes[i];
    return n;
}

static uint32_t power_mod(uint32_t base, uint32_t exponent, uint32_t modulus)
{
    uint64_t result = 1, b = base % modulus;
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1)
            result = result * b % modulus;
        b = b * b % modulus;
    }
    return (uint32_t)result;
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t sum = CHECKSUM_START, seed = 1;

    size_t count = 0;
    for (uint64_t round = scaled(args, 20); round > 0; round--) {
        count = sieve(LIMIT - (uint32_t)round);
        sum = checksum_add(sum, count);
    }
    unsigned fermat = 0, prime = 0;
    for (uint64_t i = scaled(args, 30000); i > 0; i--) {
        uint32_t n = random_below(&seed, 1u << 31) | 1;
        uint32_t factor = smallest_factor(n);
        prime += factor == n;
        fermat += power_mod(2, n - 1, n) == 1;
        sum = checksum_add(sum, factor);
    }
    printf("primes: %zu below the limit, %u prime, %u pass Fermat, checksum %016llx\n", count,
           prime, fermat, (unsigned long long)sum);
    return 0;
}
