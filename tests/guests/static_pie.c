/* A static position-independent program: it finds out where it was loaded, applies its own
 * relocations, and looks at what the kernel put onto its stack. The C library's start files for
 * this are not everywhere, so it does without any.
 *
 * @only riscv64
 * @cflags -static -Wl,-pie,--no-dynamic-linker,-z,text -nostdlib -nostartfiles -fPIE -fno-stack-protector -fno-builtin
 * @args one two
 */
typedef unsigned long u64;

enum { WRITE = 64, EXIT_GROUP = 94 };
enum { AT_PHDR = 3, AT_PHENT = 4, AT_PAGESZ = 6, AT_BASE = 7, AT_ENTRY = 9,
       AT_HWCAP = 16, AT_RANDOM = 25, AT_EXECFN = 31 };

static long system_call(long number, long a, long b, long c)
{
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
}

static void print(const char *text)
{
    long length = 0;
    while (text[length])
        length++;
    system_call(WRITE, 1, (long)text, length);
}

static void print_number(const char *what, u64 number)
{
    char digits[24];
    int at = sizeof digits;
    digits[--at] = 0;
    digits[--at] = '\n';
    do {
        digits[--at] = '0' + number % 10;
        number /= 10;
    } while (number);
    print(what);
    print(digits + at);
}

struct relocation {
    u64 offset, info, addend;
};

extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern u64 _DYNAMIC[] __attribute__((visibility("hidden")));
void _start(void);

static void relocate(u64 base)
{
    enum { DT_RELA = 7, DT_RELASZ = 8, R_RISCV_RELATIVE = 3 };
    struct relocation *table = 0;
    u64 size = 0;
    for (u64 *entry = _DYNAMIC; entry[0]; entry += 2) {
        if (entry[0] == DT_RELA)
            table = (struct relocation *)(base + entry[1]);
        if (entry[0] == DT_RELASZ)
            size = entry[1];
    }
    for (u64 i = 0; i < size / sizeof *table; i++)
        if ((table[i].info & 0xffffffff) == R_RISCV_RELATIVE)
            *(u64 *)(base + table[i].offset) = base + table[i].addend;
}

/* Needs a relocation each. */
static const char *const words[] = {"relocated\n", "words\n"};
static u64 values[64];
static char zeroed[100000];
static char set[5000] = {1};

void start(u64 *stack)
{
    u64 base = (u64)__ehdr_start;
    relocate(base);
    u64 argc = stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
    u64 *aux = (u64 *)envp;
    while (*aux)
        aux++;
    aux++;
    print_number("argc ", argc);
    for (u64 i = 1; i < argc; i++)
        print_number(argv[i], i);
    print_number("argv ends ", argv[argc] == 0);
    print_number("stack aligned ", (u64)stack % 16 == 0);
    print_number("loaded at a page ", base % 4096 == 0 && base != 0);
    /* In no particular order. */
    for (; aux[0]; aux += 2)
        if (aux[0] < 64)
            values[aux[0]] = aux[1];
    print_number("AT_PHDR ", values[AT_PHDR] == base + 64);
    print_number("AT_PHENT ", values[AT_PHENT]);
    print_number("AT_PAGESZ ", values[AT_PAGESZ]);
    print_number("AT_BASE ", values[AT_BASE]);
    print_number("AT_ENTRY ", values[AT_ENTRY] == (u64)_start);
    /* IMAFDC at least */
    print_number("AT_HWCAP ", values[AT_HWCAP] & 0x112d);
    print_number("AT_RANDOM ", *(u64 *)values[AT_RANDOM] != 0);
    print_number("AT_EXECFN ", *(char *)values[AT_EXECFN] != 0);
    print(words[0]);
    print(words[1]);
    u64 sum = 0;
    for (u64 i = 0; i < sizeof zeroed; i++)
        sum += zeroed[i];
    for (u64 i = 0; i < sizeof set; i++)
        sum += set[i];
    print_number("sum ", sum);
    zeroed[99999] = 1;
    system_call(EXIT_GROUP, 3, 0, 0);
}

__asm__(".globl _start\n"
        "_start:\n"
        ".option push\n"
        ".option norelax\n"
        "lla gp, __global_pointer$\n"
        ".option pop\n"
        "mv a0, sp\n"
        "tail start\n");
