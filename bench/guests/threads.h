// Starts the threads of the threaded programs and waits for them.
#ifndef HARTSCOPE_BENCH_THREADS_H
#define HARTSCOPE_BENCH_THREADS_H

#include <pthread.h>

#include "bench.h"

enum { MAX_THREADS = 64 };

// Runs `body((void *)index)` in `count` threads at once.
static inline void run_threads(unsigned count, void *(*body)(void *))
{
    pthread_t threads[MAX_THREADS];
    if (count > MAX_THREADS) {
        fprintf(stderr, "at most %d threads\n", MAX_THREADS);
        exit(2);
    }
    for (uintptr_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)i) != 0) {
            fprintf(stderr, "cannot create a thread\n");
            exit(1);
        }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

#endif
