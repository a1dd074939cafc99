/* Writes code through one mapping and runs it through another one of the same memory: after fence.i
 * the new code must be seen. (QEMU 10 runs the old code for ever.)
 *
 * @only riscv64
 * @no-qemu it does not see writes through an alias
 * @expect one alias: 17571750
 * @expect 16 functions in turn: 2504880
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

typedef long (*function)(void);

static uint32_t *writable, *executable;

static void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

/* addi a0, zero, value; ret */
static void write_constant(int index, int value)
{
    writable[2 * index] = (uint32_t)value << 20 | 10 << 7 | 0x13;
    writable[2 * index + 1] = 0x00008067;
}

static long call(int index)
{
    return ((function)(executable + 2 * index))();
}

int main(void)
{
    int fd = memfd_create("code", 0);
    if (fd < 0 || ftruncate(fd, 4096) != 0)
        perror("memfd_create");
    writable = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    executable = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    long sum = 0;
    for (int i = 0; i < 500; i++) {
        write_constant(0, i % 300);
        fence_i();
        sum += i * call(0);
    }
    printf("one alias: %ld\n", sum);

    /* All but the one that was written must stay as they are. */
    sum = 0;
    for (int round = 0; round < 500; round++) {
        write_constant(round % 16, round);
        fence_i();
        for (int i = 0; i < 16 && i <= round; i++)
            sum += call(i) > round ? -1000000 : call(i) == round ? 0 : 1;
        sum += call(round % 16) * 20 + 5;
    }
    printf("16 functions in turn: %ld\n", sum);
    return 0;
}
