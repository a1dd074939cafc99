/* What is cached is forgotten when the manual says so: address spaces, pages, large pages, code. */

#include "lib.h"

SNIPPET(load, "ld a0, (a0)");
SNIPPET(store, "sd a1, (a0)");
SNIPPET(call, "mv t0, ra\n\tjalr a0\n\tmv ra, t0");

#define V 1
#define R 2
#define W 4
#define X 8
#define U 16
#define AD 0xc0

#define PTE(address, bits) ((u64)(address) >> 12 << 10 | (bits))
#define PAGE(n) (0x40000000ul + (n) * 4096ul)

static u64 roots[2][512] __attribute__((aligned(4096)));
static u64 middles[2][512] __attribute__((aligned(4096)));
static u64 leaves[2][512] __attribute__((aligned(4096)));
static u64 data[4][512] __attribute__((aligned(4096)));

static void fence(void) { asm volatile("sfence.vma" : : : "memory"); }
static void fence_page(u64 address) { asm volatile("sfence.vma %0" : : "r"(address) : "memory"); }
static void use(int space) { csr_write(satp, 8ul << 60 | (u64)roots[space] >> 12); }

static void get(const char *what, u64 level, u64 address)
{
    struct trap *trap = try(level, load, address, 0);
    print(what);
    print_hex(trap->cause);
    print_hex(trap->a0);
    print("\n");
}

/* li a0, n; ret */
static void put_code(u64 *page, u32 n)
{
    ((u32 *)page)[0] = 0x00000513 | n << 20;
    ((u32 *)page)[1] = 0x00008067;
}

static void run(const char *what, u64 address)
{
    struct trap *trap = try(SUPERVISOR, call, address, 0);
    print(what);
    print_hex(trap->cause);
    print_hex(trap->a0);
    print("\n");
}

static void pages(void)
{
    leaves[0][0] = PTE(data[0], V | R | W | AD);
    use(0);
    fence();
    get("first page", SUPERVISOR, PAGE(0));
    leaves[0][0] = PTE(data[1], V | R | W | AD);
    fence_page(PAGE(0));
    get("second page", SUPERVISOR, PAGE(0));
    leaves[0][0] = PTE(data[2], V | R | W | AD);
    fence();
    get("third page", SUPERVISOR, PAGE(0));
    leaves[0][0] = 0;
    fence_page(PAGE(0) + 8);
    get("no page", SUPERVISOR, PAGE(0));
    leaves[0][0] = PTE(data[3], V | R | AD);
    fence_page(PAGE(0));
    get("read-only page", SUPERVISOR, PAGE(0));
    show("store there", try(SUPERVISOR, store, PAGE(0), 1)->cause);
    leaves[0][0] = PTE(data[3], V | R | W | AD);
    fence_page(PAGE(0));
    show("store to a writable one", try(SUPERVISOR, store, PAGE(0), 5)->cause);
    get("what was stored", SUPERVISOR, PAGE(0));
    data[3][0] = 0x33;
}

static void dirty(void)
{
    leaves[0][0] = PTE(data[0], V | R | W);
    fence();
    get("clean page", SUPERVISOR, PAGE(0));
    show("entry", leaves[0][0] & 0xff);
    show("store", try(SUPERVISOR, store, PAGE(0) + 8, 1)->cause);
    show("entry", leaves[0][0] & 0xff);
    /* Cleaned again: the bit is to be set again. */
    leaves[0][0] &= ~(u64)AD;
    fence_page(PAGE(0));
    show("store", try(SUPERVISOR, store, PAGE(0) + 8, 1)->cause);
    show("entry", leaves[0][0] & 0xff);
}

static void spaces(void)
{
    leaves[0][1] = PTE(data[0], V | R | W | AD);
    leaves[1][1] = PTE(data[1], V | R | W | AD);
    use(0);
    fence();
    for (int i = 0; i < 4; i++) {
        use(i & 1);
        fence();
        get("address space", SUPERVISOR, PAGE(1));
    }
    csr_write(satp, 0);
    fence();
    get("none", SUPERVISOR, (u64)data[2]);
    use(0);
    fence();
    get("the first again", SUPERVISOR, PAGE(1));
}

/* Without a fence: a number of its own for each address space. What is global is the same in all. */
static void numbered(void)
{
    leaves[0][9] = PTE(data[0], V | R | W | AD);
    leaves[1][9] = PTE(data[1], V | R | W | AD);
    leaves[0][10] = PTE(data[2], V | R | W | AD | 0x20);
    leaves[1][10] = PTE(data[2], V | R | W | AD | 0x20);
    leaves[0][11] = PTE(data[3], V | R | W | U | AD);
    leaves[1][11] = PTE(data[2], V | R | W | U | AD);
    leaves[0][12] = PTE(data[0], V | R | X | AD);
    leaves[1][12] = PTE(data[1], V | R | X | AD);
    u64 first = *data[0], second = *data[1];
    put_code(data[0], 77);
    put_code(data[1], 88);
    asm volatile("fence.i");
    roots[0][2] |= 0x20;
    roots[1][2] |= 0x20;
    fence();
    for (int i = 0; i < 6; i++) {
        csr_write(satp, 8ul << 60 | (u64)(i % 2 + 1) << 44 | (u64)roots[i & 1] >> 12);
        get("global", SUPERVISOR, PAGE(10));
        if (i > 1)
            get("of each", SUPERVISOR, PAGE(9));
        csr_set(mstatus, 1 << 18);
        get("of the user", SUPERVISOR, PAGE(11));
        csr_clear(mstatus, 1 << 18);
        if (i > 1)
            run("code of each", PAGE(12));
    }
    /* A fence for all of one address space. */
    use(0);
    fence();
    get("before", SUPERVISOR, PAGE(9));
    leaves[0][9] = PTE(data[3], V | R | W | AD);
    asm volatile("sfence.vma x0, %0" : : "r"(0ul) : "memory");
    get("after", SUPERVISOR, PAGE(9));
    *data[0] = first;
    *data[1] = second;
    asm volatile("fence.i");
    roots[0][2] &= ~0x20ul;
    roots[1][2] &= ~0x20ul;
    fence();
}

static void owners(void)
{
    roots[0][2] |= U;
    leaves[0][2] = PTE(data[0], V | R | W | U | AD);
    leaves[0][3] = PTE(data[1], V | X | U | AD);
    fence();
    get("user", USER, PAGE(2));
    roots[0][2] &= ~(u64)U;
    fence_page(0x80000000);
    csr_set(mstatus, 1 << 18);
    get("supervisor, SUM", SUPERVISOR, PAGE(2));
    csr_clear(mstatus, 1 << 18);
    get("supervisor", SUPERVISOR, PAGE(2));
    csr_set(mstatus, 1 << 18);
    get("SUM again", SUPERVISOR, PAGE(2));
    get("executable only", SUPERVISOR, PAGE(3));
    csr_set(mstatus, 1 << 19);
    get("MXR", SUPERVISOR, PAGE(3));
    get("MXR and SUM", SUPERVISOR, PAGE(2));
    csr_clear(mstatus, 1 << 18);
    get("MXR alone", SUPERVISOR, PAGE(2));
    csr_clear(mstatus, 1 << 19);
    get("neither", SUPERVISOR, PAGE(3));
    get("nor there", SUPERVISOR, PAGE(2));
}

/* Large pages: a fence for any address of one is for all. */
static void large(void)
{
    u64 here = (u64)&data[0][0] - 0x80000000;
    middles[0][5] = PTE(0x80000000, V | R | AD);
    fence();
    get("large page", SUPERVISOR, 0x40a00000 + here);
    get("elsewhere in it", SUPERVISOR, 0x40a00000 + here + 4096);
    middles[0][5] = PTE(0x80200000, V | R | AD);
    fence_page(0x40a00000);
    get("another one", SUPERVISOR, 0x40a00000 + here);
    get("elsewhere in it", SUPERVISOR, 0x40a00000 + here + 4096);
    middles[0][5] = 0;
    fence_page(0x40bff000);
    get("none", SUPERVISOR, 0x40a00000 + here);
}

static void code(void)
{
    put_code(data[0], 11);
    put_code(data[1], 22);
    asm volatile("fence.i");
    leaves[0][6] = PTE(data[0], V | R | X | AD);
    leaves[0][7] = PTE(data[1], V | R | W | X | AD);
    fence();
    for (int i = 0; i < 100; i++) {
        if (try(SUPERVISOR, call, PAGE(6), 0)->a0 != 11)
            print("wrong\n");
    }
    run("code", PAGE(6));
    run("other code", PAGE(7));
    leaves[0][6] = PTE(data[1], V | R | X | AD);
    fence_page(PAGE(6));
    run("code, mapped elsewhere", PAGE(6));
    leaves[0][6] = PTE(data[0], V | R | AD);
    fence_page(PAGE(6));
    show("code that is not executable", try(SUPERVISOR, call, PAGE(6), 0)->cause);
    leaves[0][6] = PTE(data[0], V | R | X | AD);
    fence();
    run("and is again", PAGE(6));
    /* Written by another name. */
    leaves[0][8] = PTE(data[0], V | R | W | AD);
    fence();
    show("store to code", try(SUPERVISOR, store, PAGE(8), 0x0000806702100513)->cause);
    asm volatile("fence.i");
    run("code that was written", PAGE(6));
    put_code(data[0], 44);
    asm volatile("fence.i");
    run("and written again", PAGE(6));
    /* An instruction of which each half is in a page of its own. */
    u32 li = 0x03700513; /* li a0, 55 */
    ((unsigned short *)data[0])[2047] = li;
    ((unsigned short *)data[1])[0] = li >> 16;
    ((unsigned short *)data[1])[1] = 0x8082; /* ret */
    ((unsigned short *)data[2])[0] = 0x0420; /* li a0, 66 */
    ((unsigned short *)data[2])[1] = 0x8082;
    asm volatile("fence.i");
    leaves[0][7] = PTE(data[1], V | R | X | AD);
    fence();
    run("straddling", PAGE(7) - 2);
    leaves[0][7] = PTE(data[2], V | R | X | AD);
    fence_page(PAGE(7));
    run("straddling, another half", PAGE(7) - 2);
    leaves[0][7] = 0;
    fence_page(PAGE(7));
    struct trap *trap = try(SUPERVISOR, call, PAGE(7) - 2, 0);
    show("straddling, no half", trap->cause);
    show("pc", trap->epc);
    show("value", trap->tval);
}

int main(void)
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 512; j++)
            data[i][j] = 0x1000 * i + j;
    for (int space = 0; space < 2; space++) {
        roots[space][1] = PTE(middles[space], V);
        roots[space][2] = PTE(0x80000000, V | R | W | X | AD);
        middles[space][0] = PTE(leaves[space], V);
    }
    pages();
    dirty();
    spaces();
    numbered();
    owners();
    large();
    code();
    return 0;
}
