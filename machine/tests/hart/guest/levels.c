/* Levels, traps, delegation, CSR access, page tables, interrupts. */

#include "lib.h"

SNIPPET(nothing, "nop");
SNIPPET(read_mscratch, "csrr a0, mscratch");
SNIPPET(read_sscratch, "csrr a0, sscratch");
SNIPPET(read_time_once, "csrr zero, time");
SNIPPET(read_satp, "csrr a0, satp");
SNIPPET(do_mret, "mret");
SNIPPET(do_sret, "sret");
SNIPPET(do_fence, "sfence.vma");
SNIPPET(do_break, "ebreak");
SNIPPET(load, "ld a0, (a0)");
SNIPPET(load_byte, "lbu a0, (a0)");
SNIPPET(store, "sd a1, (a0)");
SNIPPET(swap, "amoswap.d a0, a1, (a0)");
SNIPPET(reserve, "lr.d a0, (a0)");
SNIPPET(jump, "jr a0");
SNIPPET(floating, "fmv.d.x fa0, a0\n\tfmv.x.d a0, fa0");
SNIPPET(spin, "1: j 1b");
SNIPPET(illegal, ".word 0");

static void at_each_level(const char *what, void (*code)(), u64 a0, u64 a1)
{
    for (u64 level = USER; level <= MACHINE; level += 1 + (level == SUPERVISOR)) {
        print_hex(level);
        print(" ");
        show_trap(what, try(level, code, a0, a1), code);
    }
}

static u64 word = 0x1122334455667788;

static void levels(void)
{
    at_each_level("nothing", nothing, 1, 2);
    csr_write(sscratch, 5);
    at_each_level("sscratch", read_sscratch, 0, 0);
    at_each_level("satp", read_satp, 1, 0);
    at_each_level("time", read_time_once, 0, 0);
    csr_write(mcounteren, 2);
    at_each_level("time, machine allows", read_time_once, 0, 0);
    csr_write(scounteren, 2);
    at_each_level("time, both allow", read_time_once, 0, 0);
    at_each_level("sfence.vma", do_fence, 0, 0);
    csr_set(mstatus, 1 << 20);
    at_each_level("sfence.vma, TVM", do_fence, 0, 0);
    at_each_level("satp, TVM", read_satp, 1, 0);
    csr_clear(mstatus, 1 << 20);
    at_each_level("illegal", illegal, 0, 0);
    at_each_level("load", load, (u64)&word, 0);
    at_each_level("load misaligned", load, (u64)&word - 3, 0);
    at_each_level("load nowhere", load, 0x00500000, 0);
    at_each_level("store nowhere", store, 0x00500000, 0);
    at_each_level("lr misaligned", reserve, (u64)&word + 4, 0);
    at_each_level("amo nowhere", swap, 0x00500000, 0);
    at_each_level("jump nowhere", jump, 0x00500000, 0);
    csr_clear(mstatus, 3 << 13);
    show("mret of the user, cause", try(USER, do_mret, 0, 0)->cause);
    show("mret of the supervisor, cause", try(SUPERVISOR, do_mret, 0, 0)->cause);
    show("sret of the user, cause", try(USER, do_sret, 0, 0)->cause);
    csr_set(mstatus, 1 << 22);
    show("sret, TSR, cause", try(SUPERVISOR, do_sret, 0, 0)->cause);
    csr_clear(mstatus, 1 << 22);
    csr_write(sepc, nothing);
    csr_clear(mstatus, 1 << 8);
    show_trap("sret to the user", try(SUPERVISOR, do_sret, 0, 0), nothing);
    csr_set(mstatus, 1 << 8);
    show_trap("sret to the supervisor", try(SUPERVISOR, do_sret, 0, 0), nothing);
}

static void floats(void)
{
    csr_clear(mstatus, 3 << 13);
    at_each_level("float, off", floating, 3, 0);
    csr_set(mstatus, 1 << 13);
    at_each_level("float, initial", floating, 3, 0);
    show("mstatus then", csr_read(mstatus) >> 13 & 3);
    show("summary", csr_read(mstatus) >> 63);
}

static void show_supervisor(const char *what, void (*code)())
{
    print(what);
    print(": scause");
    print_hex(csr_read(scause));
    print(", pc +");
    print_hex(csr_read(sepc) - (u64)code);
    print(", value");
    print_hex(csr_read(stval));
    print(", sstatus");
    print_hex(csr_read(sstatus) & 0x122);
    print("\n");
}

extern void on_supervisor_trap(void);

static void delegation(void)
{
    csr_write(medeleg, -1);
    show("medeleg without 11", csr_read(medeleg) & 0xb3ff);
    csr_write(medeleg, 1 << 2 | 1 << 5 | 1 << 8 | 1 << 12);
    csr_set(mstatus, 2);
    show_trap("illegal, delegated", try(USER, illegal, 0, 0), on_supervisor_trap);
    show_supervisor("illegal, delegated", illegal);
    show_trap("load nowhere, delegated", try(SUPERVISOR, load, 0x00500000, 0), on_supervisor_trap);
    show_supervisor("load nowhere, delegated", load);
    show_trap("ecall of the user, delegated", try(USER, nothing, 0, 0), on_supervisor_trap);
    show_supervisor("ecall of the user, delegated", nothing);
    show_trap("illegal of the machine", try(MACHINE, illegal, 0, 0), illegal);
    csr_write(medeleg, 0);
}

/* Sv39: three tables, and what they map. */
static u64 root[512] __attribute__((aligned(4096)));
static u64 middle[512] __attribute__((aligned(4096)));
static u64 leaves[512] __attribute__((aligned(4096)));
static u64 data[1024] __attribute__((aligned(4096)));

#define V 1
#define R 2
#define W 4
#define X 8
#define U 16
#define A 64
#define D 128

#define PTE(address, bits) ((u64)(address) >> 12 << 10 | (bits))
#define PAGE(n) (0x40000000ul + (n) * 4096ul)

static void tables(void)
{
    static const u64 bits[] = {
        0,         V | R,         V | W,     V | R | W,     V | X,
        V | R | X, V | R | W | X, V | U | R, V | U | R | W, V | U | R | W | X,
        V | U | X, V | R | W | 1ul << 54,
    };
    root[1] = PTE(middle, V);
    root[2] = PTE(0x80000000, V | R | W | X | A | D);
    middle[0] = PTE(leaves, V);
    csr_write(satp, 8ul << 60 | (u64)root >> 12);
    for (int i = 0; i < sizeof bits / sizeof *bits; i++) {
        for (int mode = 0; mode < 4; mode++) {
            csr_clear(mstatus, 3 << 18);
            csr_set(mstatus, (u64)mode << 18);
            for (int level = USER; level <= SUPERVISOR; level++) {
                void (*const codes[])(void) = { load, store, swap };
                if (level == USER)
                    root[2] |= U;
                else
                    root[2] &= ~(u64)U;
                for (int k = 0; k < 3; k++) {
                    leaves[i] = PTE(data, bits[i]);
                    asm volatile("sfence.vma");
                    data[1] = 77;
                    struct trap *t = try(level, codes[k], PAGE(i) + 8, 99);
                    print_hex(bits[i]);
                    print_hex(mode);
                    print_hex(level);
                    print_hex(k);
                    show_trap(" access", t, codes[k]);
                    show("  entry", leaves[i] & 0x3ff);
                    show("  memory", data[1]);
                }
                data[0] = 0x00000073; /* ecall */
                leaves[i] = PTE(data, bits[i]);
                asm volatile("fence.i\nsfence.vma");
                struct trap *t = try(level, jump, PAGE(i), 0);
                show_trap(" fetch", t, (void (*)())PAGE(i));
                show("  entry", leaves[i] & 0x3ff);
            }
        }
    }
    csr_clear(mstatus, 3 << 18);
    root[2] &= ~(u64)U;
    /* Straddling two pages, of which the second is missing, then not. */
    leaves[20] = PTE(data, V | R | W | A | D);
    leaves[21] = 0;
    asm volatile("sfence.vma");
    show_trap("straddling load", try(SUPERVISOR, load, PAGE(21) - 3, 0), load);
    data[511] = 0xaaaaaaaaaaaaaaaa;
    show_trap("straddling store", try(SUPERVISOR, store, PAGE(21) - 3, 99), store);
    show("  memory", data[511]);
    leaves[21] = PTE(data + 512, V | R | W | A | D);
    asm volatile("sfence.vma");
    show_trap("straddling store", try(SUPERVISOR, store, PAGE(21) - 3, 0x123456789abcdef), store);
    show("  memory", data[511]);
    show("  memory", data[512]);
    show_trap("straddling load", try(SUPERVISOR, load, PAGE(21) - 3, 0), load);
    /* An address that is not an extended sign. */
    show_trap("not canonical", try(SUPERVISOR, load, 1ul << 38, 0), load);
    show_trap("not canonical", try(SUPERVISOR, jump, 1ul << 38, 0), (void (*)())(1ul << 38));
    /* The machine level, as the supervisor. */
    csr_clear(mstatus, 3 << 11);
    csr_set(mstatus, 1 << 11 | 1 << 17);
    u64 there;
    asm volatile("ld %0, (%1)" : "=r"(there) : "r"(PAGE(20) + 8));
    csr_clear(mstatus, 1 << 17);
    show("by MPRV", there);
    /* A megapage, and a misaligned one. */
    middle[1] = PTE(0x80000000, V | R | X | A);
    middle[2] = PTE(0x80001000, V | R | X | A);
    asm volatile("sfence.vma");
    show_trap("megapage", try(SUPERVISOR, load, 0x40200000 + (u64)&word - 0x80000000, 0), load);
    show_trap("misaligned megapage", try(SUPERVISOR, load, 0x40400000, 0), load);
    csr_write(satp, 0);
    asm volatile("sfence.vma");
}

#define CLINT 0x2000000ul

static void interrupts(void)
{
    volatile u32 *msip = (u32 *)CLINT;
    volatile u64 *mtimecmp = (u64 *)(CLINT + 0x4000);
    volatile u64 *mtime = (u64 *)(CLINT + 0xbff8);
    /* What it is after a reset is nobody's business. */
    *mtimecmp = -1;
    csr_write(mie, 1 << 3 | 1 << 7);
    *msip = 1;
    show_trap("software interrupt of the user", try(USER, spin, 0, 0), spin);
    show_trap("and of the supervisor", try(SUPERVISOR, spin, 0, 0), spin);
    show("mip", csr_read(mip));
    *msip = 0;
    show("mip", csr_read(mip));
    *mtimecmp = *mtime + (1ul << 40);
    show("not yet", csr_read(mip));
    *mtimecmp = *mtime + 20000;
    show_trap("timer interrupt", try(USER, spin, 0, 0), spin);
    *mtimecmp = -1;
    show("mip", csr_read(mip));
    /* Wake up without taking it. */
    csr_clear(mstatus, 8);
    *mtimecmp = *mtime + 20000;
    asm volatile("wfi");
    show("after wfi", csr_read(mip));
    *mtimecmp = -1;
    /* The supervisor's, delegated. */
    csr_write(mideleg, 0x222);
    csr_write(mie, 0x222);
    csr_write(mip, 2);
    csr_set(mstatus, 2);
    show_trap("supervisor's software interrupt", try(SUPERVISOR, spin, 0, 0), on_supervisor_trap);
    show_supervisor("supervisor's software interrupt", spin);
    csr_write(mip, 0x022);
    show_trap("two", try(USER, spin, 0, 0), on_supervisor_trap);
    show_supervisor("two", spin);
    csr_clear(mip, 2);
    show_trap("one", try(USER, spin, 0, 0), on_supervisor_trap);
    show_supervisor("one", spin);
    csr_write(mip, 0);
}

static void protection(void)
{
    csr_write(pmpaddr1, -1);
    csr_write(pmpaddr0, (u64)data >> 2 | 0x1ff);
    csr_write(pmpcfg0, 0x1f18);
    at_each_level("closed page", load, (u64)data, 0);
    at_each_level("next page", load, (u64)data + 4096, 0);
    at_each_level("half and half", load, (u64)data + 4092, 0);
    csr_write(pmpcfg0, 0x1f19);
    at_each_level("read only", load, (u64)data, 0);
    at_each_level("read only, store", store, (u64)data, 0);
    csr_write(pmpaddr0, (u64)data >> 2 | 0xf);
    at_each_level("a part, inside", store, (u64)data + 64, 0);
    at_each_level("a part, outside", store, (u64)data + 256, 0);
    csr_write(pmpcfg0, 0x1f1f);
}

int main(void)
{
    levels();
    floats();
    delegation();
    tables();
    interrupts();
    protection();
    (void)load_byte;
    (void)read_mscratch;
    (void)do_break;
    return 0;
}
