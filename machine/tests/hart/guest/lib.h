/* What guest programs are made of. */

typedef unsigned long u64;
typedef unsigned int u32;

enum { USER, SUPERVISOR, MACHINE = 3 };

/* What ended the code that was tried. */
struct trap {
    u64 unused, cause, epc, tval, status, a0, a1;
};

struct trap *try(u64 level, void (*code)(), u64 a0, u64 a1);

#define csr_read(name) ({ u64 value_; asm volatile("csrr %0, " #name : "=r"(value_)); value_; })
#define csr_write(name, value) asm volatile("csrw " #name ", %0" : : "r"((u64)(value)) : "memory")
#define csr_set(name, value) asm volatile("csrs " #name ", %0" : : "r"((u64)(value)) : "memory")
#define csr_clear(name, value) asm volatile("csrc " #name ", %0" : : "r"((u64)(value)) : "memory")

/* A snippet to be tried: ends in an ecall. */
#define SNIPPET(name, text) \
    void name(void);        \
    asm(".text\n.option push\n.option norvc\n.balign 4\n" #name ":\n" text "\n\tecall\n.option pop\n")

static inline void put(char c) { *(volatile char *)0x10000000 = c; }

static inline void print(const char *text)
{
    while (*text)
        put(*text++);
}

static inline void print_hex(u64 value)
{
    int shift = 60;
    print(" ");
    while (shift && !(value >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        put("0123456789abcdef"[value >> shift & 15]);
}

/* A line of what was found. */
static inline void show(const char *what, u64 value)
{
    print(what);
    print_hex(value);
    print("\n");
}

static inline void show_trap(const char *what, struct trap *trap, void (*code)())
{
    print(what);
    print(": cause");
    print_hex(trap->cause);
    print(", pc +");
    print_hex(trap->epc - (u64)code);
    print(", value");
    print_hex(trap->tval);
    print(", mpp");
    print_hex(trap->status >> 11 & 3);
    print(", a0");
    print_hex(trap->a0);
    print("\n");
}
