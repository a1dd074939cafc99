/*
 * For each byte that it reads, calls `step` 1000 times and says how far a second thread has come,
 * which never stops counting. Ends with its input.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static atomic_ulong turns;
static atomic_int done;
static volatile unsigned long steps;

__attribute__((noinline)) void step(void)
{
    steps += 1;
}

static void *spin(void *unused)
{
    while (!atomic_load_explicit(&done, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&turns, 1, memory_order_relaxed);
    }
    return unused;
}

int main(void)
{
    pthread_t spinner;
    char byte;

    if (pthread_create(&spinner, NULL, spin, NULL)) {
        return 1;
    }
    while (read(0, &byte, 1) == 1) {
        for (int i = 0; i < 1000; i++) {
            step();
        }
        printf("%lu\n", (unsigned long)atomic_load(&turns));
        fflush(stdout);
    }
    atomic_store(&done, 1);
    pthread_join(spinner, NULL);
    return 7;
}
