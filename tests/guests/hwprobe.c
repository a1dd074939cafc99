/* riscv_hwprobe: keys, unknown keys, processor sets, and the question which processors match.
 *
 * @only riscv64
 * @no-qemu its default processor has other extensions
 * @expect base 1
 * @expect F and D, C, Zba, Zbb, Zbs, Zicboz, Zicond: 1
 * @expect V: 0
 * @expect misaligned 3 3
 * @expect cache block 64
 * @expect highest address 3fffffffff
 * @expect unknown -1 0
 * @expect the time CSR ticks as fast as told: 1
 * @expect with processors: 0
 * @expect no such processors: EINVAL
 * @expect flags: EINVAL
 * @expect which: 0, all 1
 * @expect which not: 0, none 1
 * @expect bad pointer: EFAULT
 * @expect flush: 0
 * @expect flush with a flag: 0
 * @expect flush with a bad flag: EINVAL
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct pair {
    int64_t key;
    uint64_t value;
};

static const char *probe(struct pair *pairs, long count, long size, void *set, unsigned flags)
{
    return syscall(258, pairs, count, size, set, flags) == 0 ? "0" : strerrorname_np(errno);
}

static uint64_t ticks(void)
{
    uint64_t now;
    __asm__ volatile("rdtime %0" : "=r"(now));
    return now;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Whether ticks and seconds agree, within what a busy machine puts between two readings. */
static int right_frequency(uint64_t told)
{
    uint64_t first = ticks();
    double start = seconds();
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    double measured = (ticks() - first) / (seconds() - start);
    return measured > told * 0.5 && measured < told * 2.0;
}

static const char *flush(unsigned long flags)
{
    return syscall(259, 0, 0, flags) == 0 ? "0" : strerrorname_np(errno);
}

int main(void)
{
    struct pair pairs[] = {{3, 9}, {4, 9}, {5, 9}, {9, 9}, {6, 9}, {7, 9}, {1000, 9}};
    if (strcmp(probe(pairs, 7, 0, NULL, 0), "0") != 0)
        return 1;
    const uint64_t wanted = 0x7b | 1ul << 35;
    printf("base %ld\n", pairs[0].value);
    printf("F and D, C, Zba, Zbb, Zbs, Zicboz, Zicond: %d\n", (pairs[1].value & wanted) == wanted);
    printf("V: %ld\n", pairs[1].value >> 2 & 1);
    printf("misaligned %ld %ld\n", pairs[2].value, pairs[3].value);
    printf("cache block %ld\n", pairs[4].value);
    printf("highest address %lx\n", pairs[5].value);
    printf("unknown %ld %ld\n", pairs[6].key, pairs[6].value);
    pairs[6] = (struct pair){8, 0};
    probe(&pairs[6], 1, 0, NULL, 0);
    printf("the time CSR ticks as fast as told: %d\n", right_frequency(pairs[6].value));
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    printf("with processors: %s\n", probe(pairs, 1, sizeof set, &set, 0));
    CPU_ZERO(&set);
    CPU_SET(1000, &set);
    printf("no such processors: %s\n", probe(pairs, 1, sizeof set, &set, 0));
    printf("flags: %s\n", probe(pairs, 1, 0, NULL, 2));
    CPU_ZERO(&set);
    pairs[1] = (struct pair){4, 8};
    const char *result = probe(pairs, 2, sizeof set, &set, 1);
    printf("which: %s, all %d\n", result, CPU_COUNT(&set) == sysconf(_SC_NPROCESSORS_ONLN));
    pairs[1] = (struct pair){4, 4};
    result = probe(pairs, 2, sizeof set, &set, 1);
    printf("which not: %s, none %d\n", result, CPU_COUNT(&set) == 0);
    printf("bad pointer: %s\n", probe((void *)16, 1, 0, NULL, 0));
    printf("flush: %s\n", flush(0));
    printf("flush with a flag: %s\n", flush(1));
    printf("flush with a bad flag: %s\n", flush(2));
    return 0;
}
