/* Creates 64 threads and joins them, as often as the first argument says. For each line of input it
 * does so once more and answers with a line: so that somebody outside can measure meanwhile.
 *
 * @args 20
 * @args 100
 * @stdin
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 64 };

static void *work(void *argument)
{
    /* Some stack, some heap. */
    volatile char frame[2000];
    long value = (long)argument;
    long *heap = malloc(100 + value * 8);
    frame[value] = 1;
    *heap = value + frame[value];
    value = *heap;
    free(heap);
    return (void *)value;
}

static long storm(int rounds)
{
    long sum = 0;
    pthread_t threads[THREADS];
    for (int round = 0; round < rounds; round++) {
        for (long i = 0; i < THREADS; i++) {
            if (pthread_create(&threads[i], NULL, work, (void *)i) != 0) {
                printf("pthread_create failed\n");
                exit(1);
            }
        }
        for (int i = 0; i < THREADS; i++) {
            void *value;
            pthread_join(threads[i], &value);
            sum += (long)value;
        }
    }
    return sum;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    char line[16];
    while (fgets(line, sizeof line, stdin)) {
        printf("sum %ld\n", storm(rounds));
        fflush(stdout);
    }
    return 0;
}
