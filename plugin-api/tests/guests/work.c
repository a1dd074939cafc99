/* Known amounts of everything that the plugins count. Without a C library: what one does at the start
 * depends on what it is told about the machine, and emulators tell different things. */
enum { ROUNDS = 1000, LINE = 64, LINES = 1024 };

static _Alignas(4096) volatile unsigned char table[LINES * LINE];

__asm__(".globl _start\n"
        "_start:\n\t"
        "call main\n\t"
        "li a7, 94\n\t"
        "ecall");

static long call(long number, long a, long b, long c)
{
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
}

/* Its branch is taken ROUNDS - 1 times. */
__attribute__((noipa)) static unsigned looped(unsigned seed)
{
    __asm__ volatile("li t0, 1000\n\t"
                     ".globl the_branch\n\t"
                     "1: addi %0, %0, 3\n\t"
                     "addi t0, t0, -1\n"
                     "the_branch: bnez t0, 1b"
                     : "+r"(seed)
                     :
                     : "t0");
    return seed;
}

/* Each load is of a line of its own. */
__attribute__((noipa)) static unsigned strided(void)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < LINES; i++) {
        sum += table[i * LINE];
    }
    return sum;
}

__attribute__((noipa, used)) void never_called(void)
{
    call(94, 3, 0, 0);
}

int main(void)
{
    unsigned sum = looped(1);
    for (int i = 0; i < 8; i++) {
        sum += strided();
    }
    double root = 1;
    for (int i = 0; i < 100; i++) {
        root = (root + (sum + i) / root) / 2;
    }
    static unsigned numbers[1000];
    for (unsigned i = 0; i < 1000; i++) {
        numbers[i] = sum * i;
        sum ^= numbers[i * 7 % 1000] / (i + 1);
    }
    for (int i = 0; i < 5; i++) {
        if (call(64, 1, (long)"tick\n", 5) != 5 || call(57, -1, 0, 0) >= 0) {
            return 1;
        }
    }
    return root > 0 ? 0 : 2;
}
