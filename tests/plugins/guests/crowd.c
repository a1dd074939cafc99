/*
 * 64 threads: one waits for ever in a system call, one spins for ever in a loop of one instruction, the
 * others count. For each byte that the first thread reads it says how far they have come. Ends with its
 * input.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 64 };

static atomic_ulong turns;
static int silent[2];

static void *wait_for_ever(void *unused)
{
    char byte;

    (void)!read(silent[0], &byte, 1);
    return unused;
}

static void *spin(void *unused)
{
    for (;;) {
        __asm__ volatile("");
    }
    return unused;
}

static void *count(void *unused)
{
    for (;;) {
        atomic_fetch_add_explicit(&turns, 1, memory_order_relaxed);
    }
    return unused;
}

static void start(void *(*body)(void *))
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, body, NULL)) {
        fprintf(stderr, "there can be no thread\n");
        _Exit(1);
    }
}

int main(void)
{
    char byte;

    if (pipe(silent)) {
        return 1;
    }
    start(wait_for_ever);
    start(spin);
    for (int i = 3; i < THREADS; i++) {
        start(count);
    }
    while (read(0, &byte, 1) == 1) {
        printf("%lu\n", (unsigned long)atomic_load(&turns));
        fflush(stdout);
    }
    _Exit(7);
}
