/* What generated cases call: see fuzz.rs. */

#include "lib.h"

static u64 tables[5][512] __attribute__((aligned(4096)));
static u64 data[512] __attribute__((aligned(4096)));

/* Where cases find it. */
u64 *const on_data = data;

extern struct trap trapped;
void on_supervisor_trap(void);

/* All as it was, but what cases are to leave alone. */
void calm(void)
{
    csr_write(mie, 0);
    csr_write(satp, 0);
    csr_write(mstatus, 3 << 11);
    csr_write(mip, 0);
    csr_write(medeleg, 0);
    csr_write(mideleg, 0);
    csr_write(mcounteren, 0);
    csr_write(scounteren, 0);
    csr_write(stvec, on_supervisor_trap);
    csr_write(sepc, 0);
    csr_write(scause, 0);
    csr_write(stval, 0);
    csr_write(sscratch, 0);
    csr_write(pmpcfg0, 0x1f);
    csr_write(pmpaddr0, 0x3fffffffffffff);
    csr_write(pmpaddr1, 0);
    csr_write(pmpaddr2, 0);
    *(volatile u64 *)0x2004000 = -1;
    for (int i = 0; i < 512; i++)
        data[i] = 0x0000007300000073; /* ecall */
    asm volatile("sfence.vma\nfence.i");
}

/*
 * Makes the tables of a mode with some levels: gigapages for the program, and for the address where cases
 * poke about a way down to `depth` levels above the leaf (0: a page), which is `leaf` with the page of data
 * in it, or with that page rounded down.
 */
void map(u64 levels, u64 depth, u64 leaf, u64 user)
{
    u64 address = 0x503000, rwx = 0xcf | (user ? 16 : 0);
    for (u64 level = levels - 1; level > depth; level--) {
        u64 *table = tables[level];
        for (int i = 0; i < 512; i++)
            table[i] = 0;
        table[address >> (12 + 9 * level) & 511] = (u64)tables[level - 1] >> 12 << 10 | 1;
        if (level == 2)
            table[2] = 0x80000000ul >> 12 << 10 | rwx;
    }
    u64 page = (u64)data >> 12;
    for (int i = 0; i < 512; i++)
        tables[depth][i] = 0;
    if (!(leaf >> 10 & 1))
        page = page >> (9 * depth) << (9 * depth);
    tables[depth][address >> (12 + 9 * depth) & 511] = (leaf & ~(1ul << 10)) | page << 10;
    if (depth == 2)
        tables[2][2] = 0x80000000ul >> 12 << 10 | rwx;
    csr_write(satp, (levels + 5) << 60 | (u64)tables[levels - 1] >> 12);
    asm volatile("sfence.vma");
}

u64 mapped(u64 depth)
{
    return tables[depth][0x503000ul >> (12 + 9 * depth) & 511];
}

/* A line of all that a case may have changed. */
void dump(u64 number, u64 depth)
{
    print("case");
    print_hex(number);
    print_hex(trapped.cause);
    print_hex(trapped.epc);
    /* What an illegal instruction was is told or is not. So are breakpoints. */
    print_hex(trapped.cause == 2 || trapped.cause == 3 ? 0 : trapped.tval);
    /* A unit that is on may count as dirty at any time. */
    print_hex(trapped.status & 3 << 13 ? trapped.status | 3 << 13 | 1ul << 63 : trapped.status);
    print_hex(trapped.a0);
    print_hex(trapped.a1);
    print_hex(mapped(depth));
    print_hex(data[1]);
    print_hex(csr_read(mepc));
    print_hex(csr_read(medeleg) & 0xb3ff);
    print_hex(csr_read(mideleg) & 0x222);
    print_hex(csr_read(mie) & 0xaaa);
    print_hex(csr_read(mip) & 0xaaa);
    print_hex(csr_read(mscratch));
    print_hex(csr_read(mcounteren) & 7);
    print_hex(csr_read(scounteren) & 7);
    print_hex(csr_read(stvec));
    print_hex(csr_read(sepc));
    u64 cause = csr_read(scause);
    print_hex(cause);
    print_hex(cause == 2 || cause == 3 ? 0 : csr_read(stval));
    print_hex(csr_read(sscratch));
    print_hex(csr_read(satp));
    print_hex(csr_read(pmpcfg0));
    print_hex(csr_read(pmpaddr0) << 10 >> 10);
    print_hex(csr_read(pmpaddr1) << 10 >> 10);
    print("\n");
}
