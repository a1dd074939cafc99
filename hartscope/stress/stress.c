/*
 * The stress guest: harts that compute, jump, fault, take signals, sleep, contend, write code, fork,
 * end and are born again, for ever.
 *
 *   stress HARTS SEED [ROUNDS]
 *
 * Each hart but the first lives for a few pieces of work and exits; the first one starts another in its
 * place. What a hart does follows from the seed, its number and how many there have been in that place.
 * Each piece of work knows its right result: a wrong one ends the guest with status 1 and a line that
 * says which. With ROUNDS the guest ends after so many rounds of the first hart, with "stress: done".
 */
#include "../demo/rt.h"

enum {
    MAX_HARTS = 64,
    STACK_BYTES = 32768,
    PAGE = 4096,
    MOST_CHILDREN = 2,
    CHILD_STATUS = 42,
};

enum {
    SYS_exit_group = 94,
    SYS_nanosleep = 101,
    SYS_tgkill = 131,
    SYS_rt_sigaction = 134,
    SYS_getpid = 172,
    SYS_gettid = 178,
    SYS_munmap = 215,
    SYS_clone = 220,
    SYS_mmap = 222,
    SYS_wait4 = 260,
};

enum { SIGUSR1 = 10, SIGSEGV = 11, SIGUSR2 = 12, SIGCHLD = 17 };
enum { SA_SIGINFO = 4, SA_RESTART = 0x10000000 };
enum { PROT_NONE = 0, PROT_RWX = 7, MAP_PRIVATE = 2, MAP_ANONYMOUS = 32 };

/* Where a signal frame's ucontext has the pc; x1 to x31 follow. */
enum { UCONTEXT_PC = 176 };

struct hart {
    u32 number;
    int tid;
    /* How many there have been in this place. */
    u64 lives;
    u64 random;
    /* Of its own handlers. */
    volatile u64 faults;
    volatile u64 signals;
    u32 *code;
} ALONE;

static struct hart all_harts[MAX_HARTS];
static u8 stacks[MAX_HARTS][STACK_BYTES] __attribute__((aligned(16)));

static u64 seed;
static volatile u64 *wall;
static u64 children ALONE;
static struct spin_lock lock;
/* Guarded by `lock`: equal. */
static volatile u64 twins[2] ALONE;

static struct hart *self(void)
{
    struct hart *hart;
    __asm__("mv %0, tp" : "=r"(hart));
    return hart;
}

static void wrong(const char *what) __attribute__((noreturn));
static void wrong(const char *what)
{
    put_text("stress: wrong: ");
    put_text(what);
    put_text("\n");
    put_flush();
    for (;;)
        syscall4(SYS_exit_group, 1, 0, 0, 0);
}

static u64 mix(u64 x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ul;
    x = (x ^ x >> 27) * 0x94d049bb133111ebul;
    return x ^ x >> 31;
}

static u64 next(struct hart *hart)
{
    return mix(hart->random += 0x9e3779b97f4a7c15ul);
}

/* Pieces of work. */

static __attribute__((noinline)) u64 integers(u64 a, u64 rounds)
{
    u64 b = 2, c = 3;
    for (u64 i = 0; i < rounds; i++) {
        a = a * 6364136223846793005ul + b;
        b ^= a >> 33 | c << 7;
        c += b / (i + 1) + (a & 1 ? 5 : 7);
    }
    return a ^ b ^ c;
}

static void compute(struct hart *hart)
{
    u64 start = next(hart), rounds = 200 + start % 2000;
    if (integers(start, rounds) != integers(start, rounds))
        wrong("integers");
}

static __attribute__((noinline)) double series(double x, u64 rounds)
{
    double sum = 0;
    for (u64 i = 1; i <= rounds; i++) {
        double root;
        __asm__("fsqrt.d %0, %1" : "=f"(root) : "f"(x + i));
        sum += root / (x + i);
    }
    return sum;
}

static void compute_floats(struct hart *hart)
{
    u64 start = next(hart), rounds = 100 + start % 800;
    if (series(start % 1000, rounds) != series(start % 1000, rounds))
        wrong("floats");
}

static __attribute__((noinline)) u64 step_a(u64 x) { return x + 1; }
static __attribute__((noinline)) u64 step_b(u64 x) { return x * 3; }
static __attribute__((noinline)) u64 step_c(u64 x) { return x ^ 0x5555; }
static __attribute__((noinline)) u64 step_d(u64 x) { return x >> 1 | x << 63; }

static void jump(struct hart *hart)
{
    static u64 (*const steps[])(u64) = {step_a, step_b, step_c, step_d};
    u64 way = next(hart), by_calls = way, by_hand = way;
    for (int i = 0; i < 400; i++) {
        u64 which = (way >> i % 62) & 3;
        by_calls = steps[which](by_calls);
        by_hand = which == 0   ? by_hand + 1
                  : which == 1 ? by_hand * 3
                  : which == 2 ? (by_hand ^ 0x5555)
                               : (by_hand >> 1 | by_hand << 63);
    }
    if (by_calls != by_hand)
        wrong("jumps");
}

/* Steps over the instruction, which has 4 bytes. */
static void on_fault(int signal, void *info, u8 *context)
{
    (void)signal;
    (void)info;
    *(u64 *)(context + UCONTEXT_PC) += 4;
    self()->faults++;
}

static void fault(struct hart *hart)
{
    u64 before = hart->faults, times = 1 + next(hart) % 4;
    for (u64 i = 0; i < times; i++) {
        u64 value = 77 + i;
        __asm__ volatile(".option push\n.option norvc\n"
                         "ld %0, 0(%1)\n"
                         "sd %0, 8(%1)\n"
                         ".option pop"
                         : "+r"(value)
                         : "r"(wall)
                         : "memory");
        if (value != 77 + i)
            wrong("a load that faulted");
    }
    if (hart->faults != before + 2 * times)
        wrong("faults");
}

static void on_signal(int signal, void *info, u8 *context)
{
    (void)info;
    (void)context;
    if (signal == SIGUSR1)
        self()->signals++;
}

static void send(struct hart *hart)
{
    long pid = syscall4(SYS_getpid, 0, 0, 0, 0), tid = syscall4(SYS_gettid, 0, 0, 0, 0);
    u64 before = hart->signals, times = 1 + next(hart) % 4;
    for (u64 i = 0; i < times; i++)
        syscall4(SYS_tgkill, pid, tid, SIGUSR1, 0);
    if (hart->signals != before + times)
        wrong("signals");
    syscall4(SYS_tgkill, pid, pid, SIGUSR2, 0);
}

static void sleep_for(u64 nanoseconds)
{
    long time[2] = {0, nanoseconds};
    syscall4(SYS_nanosleep, (long)time, 0, 0, 0);
}

static void nap(struct hart *hart)
{
    sleep_for(10000 + next(hart) % 200000);
    syscall4(SYS_sched_yield, 0, 0, 0, 0);
}

static void contend(struct hart *hart)
{
    u64 times = 20 + next(hart) % 100;
    for (u64 i = 0; i < times; i++) {
        spin_acquire(&lock);
        twins[0]++;
        twins[1]++;
        int are_equal = twins[0] == twins[1];
        spin_release(&lock);
        if (!are_equal)
            wrong("what the lock guards");
    }
}

static u32 *new_page(int protection)
{
    long at = syscall6(SYS_mmap, 0, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0)
        wrong("no memory");
    return (u32 *)at;
}

static void write_code(struct hart *hart)
{
    if (!hart->code)
        hart->code = new_page(PROT_RWX);
    for (u64 i = 0; i < 4; i++) {
        u64 value = next(hart) % 2048;
        hart->code[0] = value << 20 | 0x00000513; /* li a0, value */
        hart->code[1] = 0x00008067;               /* ret */
        __asm__ volatile("fence.i" ::: "memory");
        if (((u64(*)(void))hart->code)() != value)
            wrong("code that was written");
    }
    if (next(hart) % 4 == 0) {
        syscall4(SYS_munmap, (long)hart->code, PAGE, 0, 0);
        hart->code = 0;
    }
}

static void work(struct hart *hart, int is_child);

/* At most so many children at a time. */
static void fork_child(struct hart *hart)
{
    if (amo_add(&children, 1) < MOST_CHILDREN) {
        u64 random = next(hart);
        long pid = syscall6(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
        if (pid == 0) {
            hart->random = random;
            for (u64 i = 0; i < 1 + random % 3; i++)
                work(hart, 1);
            for (;;)
                syscall4(SYS_exit_group, CHILD_STATUS, 0, 0, 0);
        }
        if (pid > 0) {
            int status = 0;
            if (syscall4(SYS_wait4, pid, (long)&status, 0, 0) != pid)
                wrong("no child to wait for");
            if (status != CHILD_STATUS << 8)
                wrong("a child's end");
        }
    }
    amo_add(&children, -1);
}

static void work(struct hart *hart, int is_child)
{
    switch (next(hart) % 32) {
    case 0 ... 7: return compute(hart);
    case 8 ... 11: return compute_floats(hart);
    case 12 ... 15: return jump(hart);
    case 16 ... 18: return fault(hart);
    case 19 ... 21: return send(hart);
    case 22 ... 24: return nap(hart);
    /* In a child somebody may hold the lock who is not there. */
    case 25 ... 27: return is_child ? compute(hart) : contend(hart);
    case 28 ... 30: return write_code(hart);
    default: return is_child ? compute(hart) : fork_child(hart);
    }
}

static void live(struct hart *hart)
{
    u64 pieces = 4 + next(hart) % 28;
    for (u64 i = 0; i < pieces; i++)
        work(hart, 0);
}

long spawn(struct hart *, void *, int *, void (*)(struct hart *));

/* Starts those that are not there. */
static void give_birth(u32 harts)
{
    for (u32 i = 1; i < harts; i++) {
        struct hart *hart = &all_harts[i];
        if (__atomic_load_n(&hart->tid, __ATOMIC_ACQUIRE) != 0)
            continue;
        hart->lives++;
        hart->random = mix(seed ^ (u64)i << 48) + hart->lives;
        /* The machine may have too many threads for a moment. */
        if (spawn(hart, stacks[i] + STACK_BYTES, &hart->tid, live) < 0)
            return;
    }
}

static void handle(int signal, void (*handler)(int, void *, u8 *))
{
    struct {
        void (*handler)(int, void *, u8 *);
        u64 flags;
        u64 mask;
    } action = {handler, SA_SIGINFO | SA_RESTART, 0};
    if (syscall4(SYS_rt_sigaction, signal, (long)&action, 0, sizeof action.mask) != 0)
        wrong("no handler");
}

static u64 parse(const char *text)
{
    u64 value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (*text - '0');
    return value;
}

int guest_main(int argc, char **argv)
{
    u64 harts = argc > 2 ? parse(argv[1]) : 0, rounds = argc > 3 ? parse(argv[3]) : -1ul;
    if (harts < 1 || harts > MAX_HARTS) {
        put_text("usage: stress HARTS SEED [ROUNDS] (1 to 64 harts)\n");
        put_flush();
        return 2;
    }
    seed = parse(argv[2]);
    struct hart *first = &all_harts[0];
    __asm__ volatile("mv tp, %0" : : "r"(first));
    first->random = mix(seed);
    for (u32 i = 0; i < harts; i++)
        all_harts[i].number = i;
    wall = (u64 *)new_page(PROT_NONE);
    handle(SIGSEGV, on_fault);
    handle(SIGUSR1, on_signal);
    handle(SIGUSR2, on_signal);
    for (u64 round = 0; round < rounds; round++) {
        give_birth(harts);
        work(first, 0);
    }
    for (u32 i = 1; i < harts; i++)
        join(&all_harts[i].tid);
    put_text("stress: done\n");
    put_flush();
    return 0;
}
