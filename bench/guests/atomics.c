// Atomics: contended fetch-and-add, compare-and-swap loops, bit sets, a lock-free stack, a spin
// lock, and flags passed with release and acquire.
#include "threads.h"
#include <sched.h>
#include <stdatomic.h>

enum { CELLS = 256, STACK_NODES = 1024, SHARES = 840 };

static struct args args;
static _Atomic uint64_t counter, maximum, sum_of_squares, xored;
static _Atomic uint32_t bits[CELLS], small_counter;
static _Atomic uint64_t stack_top; // tag in the upper half, index + 1 of the node in the lower
static _Atomic uint32_t stack_next[STACK_NODES];
static uint64_t stack_value[STACK_NODES];
static atomic_flag lock = ATOMIC_FLAG_INIT;
static uint64_t guarded;
static _Atomic uint64_t popped;

static void push(uint32_t node)
{
    uint64_t top = atomic_load_explicit(&stack_top, memory_order_relaxed), new_top;
    do {
        atomic_store_explicit(&stack_next[node], (uint32_t)top, memory_order_relaxed);
        new_top = ((top >> 32) + 1) << 32 | (node + 1);
    } while (!atomic_compare_exchange_weak_explicit(&stack_top, &top, new_top,
                                                    memory_order_release, memory_order_relaxed));
}

// A node, or -1.
static int64_t pop(void)
{
    uint64_t top = atomic_load_explicit(&stack_top, memory_order_acquire), new_top;
    do {
        if ((uint32_t)top == 0)
            return -1;
        uint32_t next = atomic_load_explicit(&stack_next[(uint32_t)top - 1], memory_order_relaxed);
        new_top = ((top >> 32) + 1) << 32 | next;
    } while (!atomic_compare_exchange_weak_explicit(&stack_top, &top, new_top,
                                                    memory_order_acquire, memory_order_acquire));
    return (int64_t)(uint32_t)top - 1;
}

static void raise_maximum(uint64_t value)
{
    uint64_t seen = atomic_load(&maximum);
    while (seen < value && !atomic_compare_exchange_weak(&maximum, &seen, value))
        continue;
}

static void spin_locked_add(uint64_t value)
{
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire))
        sched_yield();
    guarded += value;
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

// The work is cut into shares that do not depend on the number of threads.
static void share(uint64_t number)
{
    uint64_t seed = number, local = 0;
    for (uint64_t i = scaled(args, 2600); i > 0; i--) {
        uint64_t value = next_random(&seed);
        atomic_fetch_add_explicit(&counter, value & 0xffff, memory_order_relaxed);
        atomic_fetch_or(&bits[value % CELLS], 1u << (value >> 59));
        atomic_fetch_xor(&xored, value);
        atomic_fetch_sub_explicit(&small_counter, (uint32_t)value & 3, memory_order_acq_rel);
        raise_maximum(value >> 8);
        uint64_t old = atomic_load_explicit(&sum_of_squares, memory_order_relaxed);
        while (!atomic_compare_exchange_weak(&sum_of_squares, &old, old + (value & 63) * 63))
            continue;
        if (i % 8 == 0)
            spin_locked_add(value >> 32);
        int64_t node = pop();
        if (node >= 0) {
            stack_value[node] += value >> 48;
            push((uint32_t)node);
        } else {
            local += value >> 48;
        }
    }
    atomic_fetch_add(&popped, local);
}

static void *body(void *index)
{
    for (uint64_t i = (uintptr_t)index; i < SHARES; i += args.threads)
        share(i + 1);
    return NULL;
}

int main(int argc, char **argv)
{
    args = parse_args(argc, argv);
    for (uint32_t i = 0; i < STACK_NODES; i++)
        push(i);
    run_threads(args.threads, body);

    uint64_t sum = CHECKSUM_START, values = popped;
    for (int64_t node; (node = pop()) >= 0;)
        values += stack_value[node];
    for (int i = 0; i < CELLS; i++)
        sum = checksum_add(sum, bits[i]);
    sum = checksum_add(checksum_add(sum, counter), checksum_add(xored, maximum));
    sum = checksum_add(checksum_add(sum, sum_of_squares), checksum_add(guarded, values));
    sum = checksum_add(sum, small_counter);
    printf("atomics: %u threads, checksum %016llx\n", args.threads, (unsigned long long)sum);
    return 0;
}
