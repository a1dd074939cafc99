/* Faults in the middle of a block and goes on from the signal handler. At the fault every register
 * must be what the instructions before it made it, though a translator may well have fused them,
 * put them off or dropped their results; and what the handler writes into the context must arrive.
 *
 * Each case runs a piece of assembly with known values in all registers, stack, global and thread
 * pointers included. It is entered from one signal handler and left by another: ebreak is the
 * door both ways.
 *
 * @only riscv64
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct registers {
    uint64_t x[32]; /* x[0] is the pc, as in the signal context */
    uint64_t f[32];
    uint32_t fcsr;
};

struct test {
    const char *name;
    char *start, *fault, *end;
    int signal;
    /* The register that holds the bad address, 0 if the handler steps over the instruction. */
    int pointer;
    /* What the instructions before the fault do, and those from the fault on. */
    void (*before)(struct registers *);
    void (*after)(struct registers *);
};

enum { GOOD = 0x5a5a5a5a, PAGE = 4096 };

static struct registers expected;
static ucontext_t home;
uint64_t home_tp;
static const struct test *current;
static enum { ENTER, FAULT, LEAVE } step;
static uint64_t bad;                     /* an address nothing is mapped at */
static uint64_t good[8];                 /* what a repaired pointer points to */
static int complaints;

static void complain(const char *what, uint64_t wanted, uint64_t got)
{
    if (++complaints < 40)
        printf("%s, %s: %s: expected %#lx, got %#lx\n", current->name,
               step == FAULT ? "at the fault" : "at the end", what, wanted, got);
}

static void compare(ucontext_t *context)
{
    char name[8];
    for (int i = 0; i < 32; i++) {
        snprintf(name, sizeof name, i ? "x%d" : "pc", i);
        if (context->uc_mcontext.__gregs[i] != expected.x[i])
            complain(name, expected.x[i], context->uc_mcontext.__gregs[i]);
    }
    for (int i = 0; i < 32; i++) {
        snprintf(name, sizeof name, "f%d", i);
        if (context->uc_mcontext.__fpregs.__d.__f[i] != expected.f[i])
            complain(name, expected.f[i], context->uc_mcontext.__fpregs.__d.__f[i]);
    }
    if (context->uc_mcontext.__fpregs.__d.__fcsr != expected.fcsr)
        complain("fcsr", expected.fcsr, context->uc_mcontext.__fpregs.__d.__fcsr);
}

static void set(ucontext_t *context, const struct registers *registers)
{
    memcpy(context->uc_mcontext.__gregs, registers->x, sizeof registers->x);
    memcpy(context->uc_mcontext.__fpregs.__d.__f, registers->f, sizeof registers->f);
    context->uc_mcontext.__fpregs.__d.__fcsr = registers->fcsr;
}

static double number(int i)
{
    return i * 1.25 + 0.1;
}

static uint64_t bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    return bits;
}

void handle(int signal, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    switch (step) {
    case ENTER:
        home = *context;
        for (int i = 1; i < 32; i++) {
            expected.x[i] = 0x0123456789abcdef * i + i;
            expected.f[i] = bits(number(i));
        }
        expected.f[0] = bits(number(0));
        expected.fcsr = 0;
        expected.x[8] = bad;
        expected.x[13] = 3;
        expected.x[14] = bad;
        expected.x[0] = (uint64_t)current->start;
        set(context, &expected);
        step = FAULT;
        return;
    case FAULT:
        current->before(&expected);
        expected.x[0] = (uint64_t)current->fault;
        if (signal != current->signal)
            complain("signal", current->signal, signal);
        if (current->pointer && (uint64_t)info->si_addr != expected.x[current->pointer])
            complain("si_addr", expected.x[current->pointer], (uint64_t)info->si_addr);
        compare(context);
        if (current->pointer) {
            expected.x[current->pointer] = (uint64_t)good;
            context->uc_mcontext.__gregs[current->pointer] = (uint64_t)good;
        } else {
            context->uc_mcontext.__gregs[0] += 4;
        }
        /* A register that the block does not touch is the handler's to change. */
        expected.x[31] = context->uc_mcontext.__gregs[31] = 0x1234;
        expected.x[2] = context->uc_mcontext.__gregs[2] = 0x4321;
        expected.f[31] = context->uc_mcontext.__fpregs.__d.__f[31] = bits(2.5);
        step = LEAVE;
        return;
    case LEAVE:
        current->after(&expected);
        expected.x[0] = (uint64_t)current->end;
        if (signal != SIGTRAP)
            complain("signal", SIGTRAP, signal);
        compare(context);
        *context = home;
        context->uc_mcontext.__gregs[0] += 4;
        return;
    }
}

/* The handler's first steps: C code needs its global and thread pointers. */
__asm__(".text\n"
        "trampoline:\n"
        ".option push\n"
        ".option norelax\n"
        "    la gp, __global_pointer$\n"
        ".option pop\n"
        "    la t0, home_tp\n"
        "    ld tp, 0(t0)\n"
        "    tail handle\n");
void trampoline(int, siginfo_t *, void *);

/* A case: the name, the code before the faulting instruction, and from there on. */
#define BLOCK(name, before, from_fault)                                                        \
    __asm__(".text\n.option push\n.option norvc\n" #name "_start:\n" before "\n" #name          \
            "_fault:\n" from_fault "\n" #name "_end: ebreak\n.option pop\n");                  \
    extern char name##_start[], name##_fault[], name##_end[];

#define BEFORE(name) static void name##_before(struct registers *r)
#define AFTER(name) static void name##_after(struct registers *r)
#define TEST(name, signal, pointer)                                                            \
    { #name, name##_start, name##_fault, name##_end, signal, pointer, name##_before, name##_after }

static uint64_t sext32(uint64_t value)
{
    return (uint64_t)(int64_t)(int32_t)value;
}

/* Results that are overwritten behind the fault must be there at the fault. */
BLOCK(overwritten, "addi x5,x5,1; add x6,x6,x5; li x9,1; xor x10,x10,x6",
      "ld x7,0(x8); li x9,2; li x10,3; addi x5,x5,100")
BEFORE(overwritten)
{
    r->x[5] += 1;
    r->x[6] += r->x[5];
    r->x[9] = 1;
    r->x[10] ^= r->x[6];
}
AFTER(overwritten)
{
    r->x[7] = GOOD;
    r->x[9] = 2;
    r->x[10] = 3;
    r->x[5] += 100;
}

/* lui and addi around the fault. */
BLOCK(half_constant, "lui x11,0x12345; lui x12,0x777; addi x12,x12,0x77; auipc x16,0x10",
      "sd x11,8(x8); addi x11,x11,0x678; addi x16,x16,-4")
BEFORE(half_constant)
{
    r->x[11] = 0x12345000;
    r->x[12] = 0x777077;
    r->x[16] = (uint64_t)half_constant_start + 12 + 0x10000;
    r->x[8] += 0;
}
AFTER(half_constant)
{
    r->x[11] += 0x678;
    r->x[16] -= 4;
}

/* Address arithmetic of an array access, whose result the load overwrites. */
BLOCK(scaled_address, "slli x12,x13,3; add x12,x12,x14", "ld x12,0(x12); addi x13,x13,1")
BEFORE(scaled_address)
{
    r->x[12] = bad + 24;
}
AFTER(scaled_address)
{
    r->x[12] = GOOD;
    r->x[13] += 1;
}

/* The pieces of a rotation and of a zero extension, cut in two by faults. */
BLOCK(half_rotation, "srli x15,x17,7; slli x18,x19,32", "lw x20,0(x8); slli x17,x17,57;"
      "or x15,x15,x17; srli x18,x18,32")
BEFORE(half_rotation)
{
    r->x[15] = r->x[17] >> 7;
    r->x[18] = r->x[19] << 32;
}
AFTER(half_rotation)
{
    r->x[20] = GOOD;
    r->x[17] <<= 57;
    r->x[15] |= r->x[17];
    r->x[18] >>= 32;
}

/* 32-bit results that are used as 64-bit ones. */
BLOCK(words, "addw x5,x5,x6; subw x7,x6,x5; sllw x9,x9,x13; mulw x10,x10,x11",
      "sb x5,0(x8); addiw x7,x7,5; sraiw x9,x9,3")
BEFORE(words)
{
    r->x[5] = sext32(r->x[5] + r->x[6]);
    r->x[7] = sext32(r->x[6] - r->x[5]);
    r->x[9] = sext32((uint32_t)r->x[9] << 3);
    r->x[10] = sext32(r->x[10] * r->x[11]);
}
AFTER(words)
{
    r->x[7] = sext32(r->x[7] + 5);
    r->x[9] = (uint64_t)((int64_t)(int32_t)r->x[9] >> 3);
}

/* Multiplication and division take fixed registers on some hosts. */
BLOCK(products, "mul x5,x6,x7; mulhu x9,x6,x7; divu x10,x9,x13; rem x11,x6,x7; mulh x12,x6,x7",
      "ld x9,0(x8); remu x15,x5,x13; div x16,x6,x13")
BEFORE(products)
{
    r->x[5] = r->x[6] * r->x[7];
    r->x[9] = (unsigned __int128)r->x[6] * r->x[7] >> 64;
    r->x[10] = r->x[9] / r->x[13];
    r->x[11] = (int64_t)r->x[6] % (int64_t)r->x[7];
    r->x[12] = (__int128)(int64_t)r->x[6] * (int64_t)r->x[7] >> 64;
}
AFTER(products)
{
    r->x[9] = GOOD;
    r->x[15] = r->x[5] % r->x[13];
    r->x[16] = (int64_t)r->x[6] / (int64_t)r->x[13];
}

/* Floating point: values, NaN boxes, and the flags that were raised before the fault. */
BLOCK(floats, "fadd.d f1,f2,f3; fdiv.d f4,f5,f0; fcvt.s.d f6,f7; fmv.d.x f8,x5",
      "fld f9,0(x8); fsub.d f10,f1,f1; fdiv.d f11,f2,f10")
BEFORE(floats)
{
    float single = (float)number(7);
    uint32_t single_bits;
    memcpy(&single_bits, &single, 4);
    r->f[1] = bits(number(2) + number(3));
    r->f[4] = bits(number(5) / number(0));
    r->f[6] = 0xffffffff00000000 | single_bits;
    r->f[8] = r->x[5];
    r->fcsr = 1; /* inexact */
}
AFTER(floats)
{
    r->f[9] = GOOD;
    r->f[10] = 0;
    r->f[11] = 0x7ff0000000000000;
    r->fcsr = 1 | 8; /* and divided by zero */
}

/* Atomic accesses fault like others. */
BLOCK(atomic, "addi x5,x5,1", "amoadd.d x6,x7,(x8); lr.w x9,(x8); sc.w x10,x11,(x8); addi x5,x5,1")
BEFORE(atomic)
{
    r->x[5] += 1;
}
AFTER(atomic)
{
    r->x[6] = GOOD;
    r->x[9] = sext32(GOOD + r->x[7]);
    r->x[10] = 0;
    r->x[5] += 1;
}

BLOCK(reserved, "addi x5,x5,1", "lr.d x8,(x8); addi x5,x5,1")
BEFORE(reserved)
{
    r->x[5] += 1;
}
AFTER(reserved)
{
    r->x[8] = GOOD;
    r->x[5] += 1;
}

/* The base register is the destination. */
BLOCK(own_base, "mv x9,x8; mv x10,x9", "ld x8,0(x8); sub x9,x9,x10")
BEFORE(own_base)
{
    r->x[9] = r->x[10] = bad;
}
AFTER(own_base)
{
    r->x[8] = GOOD;
    r->x[9] = 0;
}

/* Behind branches that are not taken and a jump: still the same piece of code to a translator. */
BLOCK(behind_branches, "addi x5,x0,1; beqz x5,behind_branches_end; addi x6,x0,2; j 1f; unimp;"
      "1: bltu x6,x5,behind_branches_end; add x7,x5,x6",
      "lbu x9,0(x8); add x7,x7,x9; bnez x7,2f; unimp; 2: addi x10,x0,4")
BEFORE(behind_branches)
{
    r->x[5] = 1;
    r->x[6] = 2;
    r->x[7] = 3;
}
AFTER(behind_branches)
{
    r->x[9] = GOOD & 0xff;
    r->x[7] = 3 + r->x[9];
    r->x[10] = 4;
}

/* In the fifth round of a loop. */
BLOCK(in_a_loop, "li x5,0; la x9,loop_table; j 2f; 1: addi x5,x5,1; addi x9,x9,8;"
      "2: ld x8,0(x9)", "ld x10,0(x8); add x11,x11,x10; li x12,7; bne x5,x12,1b")
static uint64_t loop_value = 10;
uint64_t *loop_table[8] = {
    &loop_value, &loop_value, &loop_value, &loop_value, NULL,
    &loop_value, &loop_value, &loop_value,
};
BEFORE(in_a_loop)
{
    r->x[5] = 4;
    r->x[9] = (uint64_t)&loop_table[4];
    r->x[8] = 0;
    r->x[10] = 10;
    r->x[11] += 40;
    r->x[12] = 7;
}
AFTER(in_a_loop)
{
    r->x[5] = 7;
    r->x[9] = (uint64_t)&loop_table[7];
    r->x[8] = (uint64_t)&loop_value;
    r->x[10] = 10;
    r->x[11] += GOOD + 30;
}

/* Not a bad address, but a bad instruction; the handler steps over it. */
BLOCK(illegal, "addi x5,x5,1; li x9,1", ".4byte 0xffffffff; li x9,2; addi x5,x5,1")
BEFORE(illegal)
{
    r->x[5] += 1;
    r->x[9] = 1;
}
AFTER(illegal)
{
    r->x[5] += 1;
    r->x[9] = 2;
}

BLOCK(breakpoint, "addi x5,x5,1; li x9,1", "ebreak; li x9,2; addi x5,x5,1")
BEFORE(breakpoint)
{
    illegal_before(r);
}
AFTER(breakpoint)
{
    illegal_after(r);
}

static const struct test tests[] = {
    TEST(overwritten, SIGSEGV, 8),   TEST(half_constant, SIGSEGV, 0),
    TEST(scaled_address, SIGSEGV, 12), TEST(half_rotation, SIGSEGV, 8),
    TEST(words, SIGSEGV, 8),         TEST(products, SIGSEGV, 8),
    TEST(floats, SIGSEGV, 8),        TEST(atomic, SIGSEGV, 8),
    TEST(reserved, SIGSEGV, 8),      TEST(own_base, SIGSEGV, 8),
    TEST(behind_branches, SIGSEGV, 8), TEST(in_a_loop, SIGSEGV, 8),
    TEST(illegal, SIGILL, 0),        TEST(breakpoint, SIGTRAP, 0),
};

static void run(const struct test *test)
{
    current = test;
    step = ENTER;
    memset(good, 0, sizeof good);
    good[0] = GOOD;
    __asm__ volatile(".option push; .option norvc; ebreak; .option pop" ::: "memory");
}

/* A page is made accessible by the handler, and the same instruction goes on. */
static char *guarded;

static void open_page(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    uintptr_t page = (uintptr_t)info->si_addr & -PAGE;
    mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE);
}

static void retry_after_mprotect(void)
{
    struct sigaction action = { .sa_sigaction = open_page, .sa_flags = SA_SIGINFO };
    sigaction(SIGSEGV, &action, NULL);
    guarded = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long sum = 0;
    for (long i = 0; i < 64 * PAGE; i += 8)
        *(volatile long *)(guarded + i) = i;
    for (long i = 0; i < 64 * PAGE; i += 8)
        sum += *(volatile long *)(guarded + i);
    printf("retried: %ld\n", sum);
}

int main(void)
{
    static char stack[65536];
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_sigaction = trampoline, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    __asm__("mv %0, tp" : "=r"(home_tp));
    bad = (uint64_t)mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
    /* Often enough that cold and hot code, and code that was evicted meanwhile, take part. */
    for (int round = 0; round < 50; round++)
        for (unsigned i = 0; i < sizeof tests / sizeof *tests; i++)
            run(&tests[i]);
    printf("%d complaints\n", complaints);
    retry_after_mprotect();
    return complaints != 0;
}
