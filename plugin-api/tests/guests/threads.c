/* Threads that come and go, and compute. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { THREADS = 6, ROUNDS = 3 };

static uint64_t results[THREADS];

static void *compute(void *argument)
{
    uint64_t *result = argument, seed = (uintptr_t)argument;
    static _Thread_local uint32_t numbers[2048];
    for (unsigned i = 0; i < 40000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        numbers[(seed >> 40) & 2047] += (uint32_t)(seed >> 33);
        if (numbers[i & 2047] % 3 == 0) {
            seed ^= numbers[(i * 5) & 2047];
        }
    }
    *result = seed;
    return NULL;
}

int main(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            if (pthread_create(&threads[i], NULL, compute, &results[i]) != 0) {
                return 1;
            }
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    return 0;
}
