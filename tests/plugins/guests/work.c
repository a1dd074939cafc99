/*
 * A bit of everything, without a library, so that every instruction is its own and two emulators
 * execute the same ones: sorting, hashing, recursion, floating point, atomics, bytes, a fault whose
 * handler steps over it, code that writes code.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall"
                     : "+r"(a0)
                     : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7)
                     : "memory");
    return a0;
}

enum { WRITE = 64, EXIT_GROUP = 94, RT_SIGACTION = 134, MMAP = 222 };

void *memcpy(void *to, const void *from, u64 len)
{
    u8 *t = to;
    const u8 *f = from;
    while (len--) {
        *t++ = *f++;
    }
    return to;
}

void *memset(void *to, int byte, u64 len)
{
    for (u8 *t = to; len--;) {
        *t++ = byte;
    }
    return to;
}

static u32 numbers[600];
static u64 seed = 12345;

static u32 random_number(void)
{
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return seed >> 33;
}

static void sort(u32 *from, u32 *to)
{
    while (from < to) {
        u32 pivot = *from, *low = from, *high = to;
        while (low <= high) {
            while (*low < pivot) {
                low++;
            }
            while (*high > pivot) {
                high--;
            }
            if (low <= high) {
                u32 other = *low;
                *low++ = *high;
                *high-- = other;
            }
        }
        sort(from, high);
        from = low;
    }
}

static int fibonacci(int n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static u64 hash(const u8 *bytes, u64 len)
{
    u64 h = 0xcbf29ce484222325;
    for (u64 i = 0; i < len; i++) {
        h = (h ^ bytes[i]) * 0x100000001b3;
    }
    return h;
}

static int mandelbrot(double x, double y)
{
    double a = 0, b = 0;
    for (int i = 0; i < 60; i++) {
        double next = a * a - b * b + x;
        b = 2 * a * b + y;
        a = next;
        if (a * a + b * b > 4) {
            return i;
        }
    }
    return 60;
}

struct big {
    u64 words[20];
};

static struct big copies[4];
static u64 atomic_word;
static volatile int faults;

/* ucontext: registers behind siginfo (128) and the ucontext's head (176). */
static void on_fault(int signal, void *info, u8 *context)
{
    u64 *pc = (u64 *)(context + 176);
    *pc += 4;
    faults++;
}

static void fault(void)
{
    for (int i = 0; i < 5; i++) {
        __asm__ volatile(".option push\n.option norvc\nld zero, 0(%0)\nsw zero, 4(%0)\n.option pop"
                         :
                         : "r"(8L * i));
    }
}

typedef int function(int);

static int run_written_code(u32 *code)
{
    int sum = 0;
    for (int i = 0; i < 6; i++) {
        code[0] = 0x00050513 | i << 20; /* addi a0, a0, i */
        code[1] = 0x00008067;           /* ret */
        __asm__ volatile("fence.i" ::: "memory");
        sum += ((function *)code)(1);
    }
    return sum;
}

static void print(u64 number)
{
    char text[17];
    for (int i = 15; i >= 0; i--, number >>= 4) {
        text[i] = "0123456789abcdef"[number & 15];
    }
    text[16] = '\n';
    call(WRITE, 1, (long)text, 17, 0, 0, 0);
}

void _start(void)
{
    for (int i = 0; i < 600; i++) {
        numbers[i] = random_number();
    }
    sort(numbers, numbers + 599);
    print(hash((u8 *)numbers, sizeof numbers));
    print(fibonacci(14));
    u64 inside = 0;
    for (int i = 0; i < 12; i++) {
        for (int j = 0; j < 12; j++) {
            inside += mandelbrot(i / 5.0 - 2, j / 5.0 - 1);
        }
    }
    print(inside);
    for (int i = 0; i < 40; i++) {
        copies[i % 4].words[i % 20] += i;
        copies[(i + 1) % 4] = copies[i % 4];
        __atomic_fetch_add(&atomic_word, i, __ATOMIC_SEQ_CST);
        __atomic_fetch_xor((u32 *)&atomic_word, i, __ATOMIC_RELAXED);
    }
    print(hash((u8 *)copies, sizeof copies) + atomic_word);
    struct {
        void *handler;
        u64 flags, mask;
    } action = { on_fault, 0, 0 };
    call(RT_SIGACTION, 11, (long)&action, 0, 8, 0, 0);
    fault();
    print(faults);
    u32 *code = (u32 *)call(MMAP, 0, 4096, 7, 0x22, -1, 0);
    print(run_written_code(code));
    call(EXIT_GROUP, 7, 0, 0, 0, 0, 0);
}
