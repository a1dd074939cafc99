// Deep recursion: Fibonacci, Ackermann, Takeuchi, N queens, the towers of Hanoi, permutations.
#include "bench.h"

static uint64_t fib(unsigned n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static unsigned ackermann(unsigned m, unsigned n)
{
    if (m == 0)
        return n + 1;
    return ackermann(m - 1, n == 0 ? 1 : ackermann(m, n - 1));
}

static int takeuchi(int x, int y, int z)
{
    if (x <= y)
        return z;
    return takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y));
}

static unsigned queens(unsigned all, unsigned columns, unsigned left, unsigned right)
{
    if (columns == all)
        return 1;
    unsigned solutions = 0;
    for (unsigned free = all & ~(columns | left | right); free != 0; free &= free - 1) {
        unsigned bit = free & -free;
        solutions += queens(all, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return solutions;
}

struct towers {
    uint32_t pegs[3];
    uint64_t moves;
};

static void hanoi(struct towers *t, unsigned disks, int from, int to)
{
    if (disks == 0)
        return;
    int other = 3 - from - to;
    hanoi(t, disks - 1, from, other);
    t->pegs[from] ^= 1u << disks;
    t->pegs[to] ^= 1u << disks;
    t->moves++;
    hanoi(t, disks - 1, other, to);
}

static uint64_t permute(uint8_t *v, int n, uint64_t sum)
{
    if (n == 1)
        return checksum_add(sum, v[0] * 16u + v[1]);
    for (int i = 0; i < n; i++) {
        sum = permute(v, n - 1, sum);
        int j = n % 2 == 0 ? i : 0;
        uint8_t t = v[j];
        v[j] = v[n - 1];
        v[n - 1] = t;
    }
    return sum;
}

int main(int argc, char **argv)
{
    struct args args = parse_args(argc, argv);
    uint64_t sum = CHECKSUM_START;
    struct towers towers = {.pegs = {0}};

    for (uint64_t i = scaled(args, 120); i > 0; i--) {
        sum = checksum_add(sum, fib(25 + (unsigned)i % 3));
        sum = checksum_add(sum, ackermann(2, 300 + (unsigned)i));
        sum = checksum_add(sum, (uint64_t)takeuchi(12, 8 - (int)(i % 2), 4));
        sum = checksum_add(sum, queens(0x1ff, 0, 0, 0));
        hanoi(&towers, 15, 0, 2);
        uint8_t v[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
        sum = permute(v, 8, sum);
    }
    printf("recurse: %llu moves, checksum %016llx\n", (unsigned long long)towers.moves,
           (unsigned long long)sum);
    return 0;
}
