// Parallel loops with barriers: a Jacobi iteration on a grid, rows shared out to the threads, and
// a parallel prefix sum.
#include "threads.h"

enum { SIZE = 384, PREFIX = 1 << 16 };

static struct args args;
static pthread_barrier_t barrier;
static double grid[2][SIZE][SIZE];
static uint64_t prefix[PREFIX], block_sums[MAX_THREADS];

static void relax_rows(double from[SIZE][SIZE], double to[SIZE][SIZE], int first, int end)
{
    for (int y = first; y < end; y++)
        for (int x = 1; x < SIZE - 1; x++)
            to[y][x] = (from[y - 1][x] + from[y + 1][x] + from[y][x - 1] + from[y][x + 1]) * 0.25;
}

static void prefix_sum(unsigned index)
{
    size_t first = (size_t)PREFIX * index / args.threads;
    size_t end = (size_t)PREFIX * (index + 1) / args.threads;
    uint64_t sum = 0;
    for (size_t i = first; i < end; i++)
        sum = prefix[i] += sum;
    block_sums[index] = sum;
    pthread_barrier_wait(&barrier);
    uint64_t before = 0;
    for (unsigned i = 0; i < index; i++)
        before += block_sums[i];
    for (size_t i = first; i < end; i++)
        prefix[i] = (prefix[i] + before) >> 1;
    pthread_barrier_wait(&barrier);
}

static void *body(void *argument)
{
    unsigned index = (unsigned)(uintptr_t)argument;
    int first = 1 + (SIZE - 2) * (int)index / (int)args.threads;
    int end = 1 + (SIZE - 2) * (int)(index + 1) / (int)args.threads;
    for (uint64_t round = scaled(args, 360); round > 0; round--) {
        relax_rows(grid[0], grid[1], first, end);
        pthread_barrier_wait(&barrier);
        relax_rows(grid[1], grid[0], first, end);
        pthread_barrier_wait(&barrier);
        if (round % 4 == 0)
            prefix_sum(index);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    args = parse_args(argc, argv);
    uint64_t seed = 17, sum = CHECKSUM_START;

    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
            grid[0][y][x] = grid[1][y][x] = random_unit(&seed);
    for (size_t i = 0; i < PREFIX; i++)
        prefix[i] = next_random(&seed) >> 40;
    pthread_barrier_init(&barrier, NULL, args.threads);
    run_threads(args.threads, body);

    double total = 0;
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++)
            total += grid[0][y][x];
    for (size_t i = 0; i < PREFIX; i++)
        sum = checksum_add(sum, prefix[i]);
    printf("parallel: %u threads, total %.17g, checksum %016llx\n", args.threads, total,
           (unsigned long long)sum);
    return 0;
}
