// For each byte on standard input, two threads do the same work once more; then a line: a checksum,
// and the nanoseconds of processor time that it took.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, STEPS = 4000000, WORDS = 1 << 12 };

static pthread_barrier_t begin, end;
static uint64_t sums[THREADS];

__attribute__((noinline)) static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccd;
    x ^= x >> 29;
    return x;
}

__attribute__((noinline)) static uint64_t pick(uint64_t *table, uint64_t x)
{
    uint64_t *word = &table[x % WORDS];

    *word += x;
    return *word & 1 ? x + 1 : x ^ *word;
}

__attribute__((noinline)) static uint64_t work(int thread)
{
    static uint64_t tables[THREADS][WORDS];
    uint64_t x = thread + 1;

    for (int i = 0; i < WORDS; i++) {
        tables[thread][i] = i;
    }
    for (int i = 0; i < STEPS; i++) {
        x = pick(tables[thread], mix(x));
    }
    return x;
}

static void *run(void *argument)
{
    int thread = (int)(intptr_t)argument;

    for (;;) {
        pthread_barrier_wait(&begin);
        sums[thread] = work(thread);
        pthread_barrier_wait(&end);
    }
    return NULL;
}

static uint64_t spent(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

int main(void)
{
    pthread_t thread;
    char byte;

    pthread_barrier_init(&begin, NULL, THREADS + 1);
    pthread_barrier_init(&end, NULL, THREADS + 1);
    for (intptr_t i = 0; i < THREADS; i++) {
        if (pthread_create(&thread, NULL, run, (void *)i)) {
            return 1;
        }
    }
    while (read(0, &byte, 1) == 1) {
        uint64_t before = spent();

        pthread_barrier_wait(&begin);
        pthread_barrier_wait(&end);
        printf("%016llx %llu\n", (unsigned long long)(sums[0] ^ sums[1]),
               (unsigned long long)(spent() - before));
        fflush(stdout);
    }
    return 0;
}
