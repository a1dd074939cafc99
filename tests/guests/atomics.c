/* Threads that meet at one word: read-modify-writes of every kind and width, a lock, a lock-free
 * list and message passing. What comes out does not depend on who was first.
 *
 * @threads
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 20000 };

static int threads;
static pthread_barrier_t start;

static _Atomic uint64_t sum64, exchange64, xor64, cas64;
static _Atomic uint32_t sum32, or32, and32 = 0xffffffff, max32, min32 = 0xffffffff, cas32;
static _Atomic uint16_t sum16;
static _Atomic uint8_t sum8;
static uint64_t exchanged[64];

static atomic_flag spin = ATOMIC_FLAG_INIT;
static uint64_t guarded;

struct node {
    struct node *next;
    uint64_t value;
};
static struct node *_Atomic list;

/* Each thread hands numbers to the next one. */
static struct {
    uint64_t payload[4];
    _Atomic uint32_t full;
} __attribute__((aligned(64))) mailbox[64];
static uint64_t received[64], torn[64];

static void to_maximum(_Atomic uint32_t *word, uint32_t value)
{
    uint32_t old = atomic_load_explicit(word, memory_order_relaxed);
    while (old < value && !atomic_compare_exchange_weak(word, &old, value))
        ;
}

static void to_minimum(_Atomic uint32_t *word, uint32_t value)
{
    uint32_t old = atomic_load_explicit(word, memory_order_relaxed);
    while (old > value && !atomic_compare_exchange_weak(word, &old, value))
        ;
}

static void *work(void *argument)
{
    long self = (long)argument;
    struct node *nodes = malloc(ROUNDS * sizeof *nodes);
    pthread_barrier_wait(&start);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t unique = i * 64 + self;
        atomic_fetch_add(&sum64, unique);
        atomic_fetch_add_explicit(&sum32, (uint32_t)unique, memory_order_relaxed);
        atomic_fetch_add(&sum16, (uint16_t)unique);
        atomic_fetch_sub(&sum8, (uint8_t)unique);
        atomic_fetch_xor(&xor64, unique * 0x9e3779b97f4a7c15);
        atomic_fetch_or(&or32, 1u << (unique % 29));
        atomic_fetch_and(&and32, ~(1u << (unique % 23)));
        exchanged[self] += atomic_exchange(&exchange64, unique);
        to_maximum(&max32, (uint32_t)unique);
        to_minimum(&min32, (uint32_t)unique + 5);

        uint64_t old = atomic_load(&cas64);
        while (!atomic_compare_exchange_strong(&cas64, &old, old * 3 + 1 - old * 2))
            ;
        uint32_t old32 = atomic_load(&cas32);
        while (!atomic_compare_exchange_weak(&cas32, &old32, old32 + 7))
            ;

        while (atomic_flag_test_and_set_explicit(&spin, memory_order_acquire))
            sched_yield();
        guarded += unique;
        atomic_flag_clear_explicit(&spin, memory_order_release);

        nodes[i].value = unique;
        nodes[i].next = atomic_load(&list);
        while (!atomic_compare_exchange_weak(&list, &nodes[i].next, &nodes[i]))
            ;
    }
    return NULL;
}

static void *pass(void *argument)
{
    long self = (long)argument, next = (self + 1) % threads;
    uint64_t sent = 0;
    pthread_barrier_wait(&start);
    while (sent < ROUNDS / 4 || received[self] < ROUNDS / 4) {
        if (sent < ROUNDS / 4 && !atomic_load_explicit(&mailbox[next].full, memory_order_acquire)) {
            for (int k = 0; k < 4; k++)
                mailbox[next].payload[k] = sent * (k + 1);
            atomic_store_explicit(&mailbox[next].full, 1, memory_order_release);
            sent++;
        }
        if (atomic_load_explicit(&mailbox[self].full, memory_order_acquire)) {
            for (int k = 0; k < 4; k++)
                torn[self] += mailbox[self].payload[k] != received[self] * (k + 1);
            received[self]++;
            atomic_store_explicit(&mailbox[self].full, 0, memory_order_release);
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static void all(void *(*body)(void *))
{
    pthread_t handles[64];
    for (long i = 0; i < threads; i++)
        pthread_create(&handles[i], NULL, body, (void *)i);
    for (int i = 0; i < threads; i++)
        pthread_join(handles[i], NULL);
}

int main(int argc, char **argv)
{
    threads = argc > 1 ? atoi(argv[1]) : 2;
    pthread_barrier_init(&start, NULL, threads);
    all(work);
    uint64_t taken = atomic_load(&exchange64), listed = 0, nodes = 0, got = 0, wrong = 0;
    for (int i = 0; i < threads; i++)
        taken += exchanged[i];
    for (struct node *node = list; node; node = node->next) {
        listed += node->value;
        nodes++;
    }
    all(pass);
    for (int i = 0; i < threads; i++) {
        got += received[i];
        wrong += torn[i];
    }
    printf("sums: %lu %u %u %u\n", sum64, sum32, sum16, sum8);
    printf("bits: %#lx %#x %#x\n", xor64, or32, and32);
    printf("bounds: %u %u\n", max32, min32);
    printf("exchanged: %lu\n", taken);
    printf("compare and swap: %lu %u\n", cas64, cas32);
    printf("lock: %lu\n", guarded);
    printf("list: %lu nodes, sum %lu\n", nodes, listed);
    printf("mail: %lu received, %lu torn\n", got, wrong);
    return 0;
}
