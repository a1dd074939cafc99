/* A little JIT that is used from several threads: one thread writes a function, makes it known
 * with __builtin___clear_cache (the riscv_flush_icache call, for all harts), and the others run
 * it; the page is written again and again, and each thread has a page of its own as well.
 *
 * @only riscv64
 * @threads
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { ROUNDS = 300, FUNCTIONS = 32 };

typedef long (*function)(long);

static int threads;
static uint32_t *shared;
static pthread_barrier_t written, used;
static atomic_long sum, wrong;

static uint32_t *page(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    return memory;
}

/* x => x * 4 + value, or x => x - value */
static void write_function(uint32_t *code, int value, int kind)
{
    if (kind) {
        code[0] = 0x00251513; /* slli a0, a0, 2 */
        code[1] = (uint32_t)value << 20 | 10 << 15 | 10 << 7 | 0x13;
    } else {
        code[0] = 0x00000013; /* nop */
        code[1] = (uint32_t)-value << 20 | 10 << 15 | 10 << 7 | 0x13;
    }
    code[2] = 0x00008067; /* ret */
}

static long expected(long x, int value, int kind)
{
    return kind ? x * 4 + value : x - value;
}

static void check(uint32_t *code, int value, int kind)
{
    long got = ((function)code)(value);
    if (got != expected(value, value, kind))
        atomic_fetch_add(&wrong, 1);
    atomic_fetch_add(&sum, got);
}

static void *work(void *argument)
{
    int self = (int)(long)argument;
    uint32_t *own = page();
    for (int round = 0; round < ROUNDS; round++) {
        /* The writer of the shared page goes round. */
        if (round % threads == self) {
            for (int i = 0; i < FUNCTIONS; i++)
                write_function(shared + 4 * i, (round + i) % 2000, (round + i) % 3 == 0);
            __builtin___clear_cache((char *)shared, (char *)(shared + 4 * FUNCTIONS));
        }
        /* Meanwhile each thread has code of its own to write and to run. */
        for (int i = 0; i < 4; i++) {
            write_function(own, round + i, i & 1);
            __builtin___clear_cache((char *)own, (char *)(own + 3));
            check(own, round + i, i & 1);
        }
        pthread_barrier_wait(&written);
        for (int i = 0; i < FUNCTIONS; i++)
            check(shared + 4 * i, (round + i) % 2000, (round + i) % 3 == 0);
        pthread_barrier_wait(&used);
    }
    munmap(own, 4096);
    return NULL;
}

int main(int argc, char **argv)
{
    threads = argc > 1 ? atoi(argv[1]) : 2;
    pthread_t handles[64];
    shared = page();
    pthread_barrier_init(&written, NULL, threads);
    pthread_barrier_init(&used, NULL, threads);
    for (long i = 0; i < threads; i++)
        pthread_create(&handles[i], NULL, work, (void *)i);
    for (int i = 0; i < threads; i++)
        pthread_join(handles[i], NULL);
    printf("%d threads: sum %ld, wrong %ld\n", threads, atomic_load(&sum), atomic_load(&wrong));
    return atomic_load(&wrong) != 0;
}
