/* As many threads as the argument says, each of which does the same work. */
#include <pthread.h>
#include <stdlib.h>

static unsigned long results[64];

/* Calls nothing, so that all its instructions lie between its symbol's ends. */
__attribute__((noinline)) static void *work(void *argument)
{
    unsigned long number = (unsigned long)argument, table[64] = { 0 };
    for (unsigned long i = 0; i < 20000; i++) {
        table[i % 64] += i * 3;
        if (table[(i * 7) % 64] % 3 == 0) {
            table[i % 32] ^= 5;
        }
    }
    unsigned long sum = 0;
    for (int i = 0; i < 64; i++) {
        sum = sum * 31 + table[i];
    }
    results[number] = sum;
    return NULL;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1;
    pthread_t threads[64];
    for (long i = 1; i < count; i++) {
        pthread_create(&threads[i], NULL, work, (void *)i);
    }
    work(NULL);
    for (int i = 1; i < count; i++) {
        pthread_join(threads[i], NULL);
        if (results[i] != results[0]) {
            return 1;
        }
    }
    return 0;
}
