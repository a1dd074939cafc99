/* Writes over code that has run and runs it again: after fence.i the new code must be seen, in
 * every way in which code can be written (but for aliases: code_alias.c).
 *
 * @only riscv64
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef long (*function)(void);

static void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}

/* addi a0, zero, value; ret */
static void write_constant(uint32_t *code, int value)
{
    code[0] = (uint32_t)value << 20 | 10 << 7 | 0x13;
    code[1] = 0x00008067;
}

static void *pages(int protection)
{
    void *memory = mmap(NULL, 8192, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        perror("mmap");
    return memory;
}

/* One function, many bodies. */
static void rewrite_whole_function(void)
{
    uint32_t *code = pages(PROT_READ | PROT_WRITE | PROT_EXEC);
    long sum = 0;
    for (int i = 0; i < 2000; i++) {
        write_constant(code, i);
        fence_i();
        sum += ((function)code)();
    }
    printf("whole function: %ld\n", sum);
}

/* Many functions on one page, of which one is written and the others must stay as they are. */
static void rewrite_one_of_many(void)
{
    uint32_t *code = pages(PROT_READ | PROT_WRITE | PROT_EXEC);
    for (int i = 0; i < 256; i++)
        write_constant(code + 2 * i, i);
    fence_i();
    long sum = 0;
    for (int round = 0; round < 300; round++) {
        int changed = round * 7 % 256;
        write_constant(code + 2 * changed, 1000 + round);
        fence_i();
        for (int i = 0; i < 256; i++)
            sum += (i + 1) * ((function)(code + 2 * i))();
    }
    printf("one of many: %ld\n", sum);
}

/* A loop that patches the instruction behind its own fence.i, while it runs:
 *
 *   loop:  sw   a1, 16(a2)       the instruction at +16
 *          fence.i
 *          addi a1, a1, 1<<20    (in a3) the next immediate
 *          nop
 *   +16:   addi a0, a0, 0        becomes addi a0, a0, 0, 1, 2, …
 *          addi a4, a4, -1
 *          bnez a4, loop
 *          ret
 */
static void patch_itself(void)
{
    uint32_t *code = pages(PROT_READ | PROT_WRITE | PROT_EXEC);
    static const uint32_t body[] = {
        0x00b62823, /* sw a1, 16(a2) */
        0x0000100f, /* fence.i */
        0x00d585b3, /* add a1, a1, a3 */
        0x00000013, /* nop */
        0x00050513, /* addi a0, a0, 0 */
        0xfff70713, /* addi a4, a4, -1 */
        0xfe0714e3, /* bnez a4, -24 */
        0x00008067, /* ret */
    };
    memcpy(code, body, sizeof body);
    fence_i();
    register long a0 __asm__("a0") = 0;
    register long a1 __asm__("a1") = 0x00050513;
    register long a2 __asm__("a2") = (long)code;
    register long a3 __asm__("a3") = 1 << 20;
    register long a4 __asm__("a4") = 1000;
    __asm__ volatile("jalr ra, 0(%2)"
                     : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4)::"ra", "memory");
    printf("patches itself: %ld\n", a0);
}

/* Never writable and executable at once. */
static void write_xor_execute(void)
{
    uint32_t *code = pages(PROT_READ | PROT_WRITE);
    long sum = 0;
    for (int i = 0; i < 200; i++) {
        mprotect(code, 8192, PROT_READ | PROT_WRITE);
        write_constant(code, i);
        mprotect(code, 8192, PROT_READ | PROT_EXEC);
        fence_i();
        sum += i * ((function)code)();
    }
    printf("write xor execute: %ld\n", sum);
}

/* The same address, mapped anew with other code. */
static void map_over(void)
{
    uint32_t *code = pages(PROT_READ | PROT_WRITE | PROT_EXEC);
    long sum = 0;
    for (int i = 0; i < 200; i++) {
        if (i % 2)
            munmap(code, 8192);
        void *again = mmap(code, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (again != code)
            perror("mmap again");
        write_constant(code, i);
        fence_i();
        sum += i * ((function)code)();
    }
    printf("mapped over: %ld\n", sum);
}

/* A function whose two instructions lie on two pages; the second page changes. */
static void straddle_pages(void)
{
    uint32_t *code = pages(PROT_READ | PROT_WRITE | PROT_EXEC);
    uint32_t *start = code + 1023;
    long sum = 0;
    for (int i = 0; i < 200; i++) {
        start[0] = 0x00000513;                             /* li a0, 0 */
        start[1] = (uint32_t)i << 20 | 10 << 15 | 10 << 7 | 0x13; /* addi a0, a0, i */
        start[2] = 0x00008067;
        fence_i();
        sum += i * ((function)start)();
    }
    /* And an instruction of four bytes whose halves lie on two pages. */
    uint16_t *half = (uint16_t *)(code + 1024) - 1;
    for (int i = 0; i < 200; i++) {
        uint32_t li = (uint32_t)i << 20 | 10 << 7 | 0x13;
        uint32_t ret = 0x00008067;
        memcpy(half, &li, 4);
        memcpy(half + 2, &ret, 4);
        fence_i();
        sum += i * ((function)half)();
    }
    printf("two pages: %ld\n", sum);
}

/* The kernel writes code, by read(). */
static void read_into_code(void)
{
    uint32_t *code = pages(PROT_READ | PROT_WRITE | PROT_EXEC);
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0)
        perror("pipe");
    long sum = 0;
    for (int i = 0; i < 200; i++) {
        uint32_t words[2];
        write_constant(words, i);
        if (write(pipe_ends[1], words, sizeof words) != sizeof words)
            perror("write");
        if (read(pipe_ends[0], code, sizeof words) != sizeof words)
            perror("read");
        fence_i();
        sum += i * ((function)code)();
    }
    printf("by read(): %ld\n", sum);
}

int main(void)
{
    rewrite_whole_function();
    rewrite_one_of_many();
    patch_itself();
    write_xor_execute();
    map_over();
    straddle_pages();
    read_into_code();
    return 0;
}
