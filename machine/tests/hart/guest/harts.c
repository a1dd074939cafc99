/* Several harts: interrupts between them, atomics that they contend for, code that one writes and another
 * runs. */

#include "lib.h"

#define CLINT 0x2000000ul
#define HARTS 4
#define ROUNDS 5000

static volatile u32 *const msip = (u32 *)CLINT;
static u64 sum, reserved, locked, turns;
static u32 lock;
static volatile u64 there, go;
static u32 code[4] __attribute__((aligned(4096)));
static volatile u64 code_version, seen[HARTS];

/* Others may need the host's core. */
static void pause(void) { asm volatile(".word 0x0100000f"); }

static void wait_for_interrupt(u64 hart)
{
    while (!(csr_read(mip) & 8))
        asm volatile("wfi");
    msip[hart] = 0;
    while (csr_read(mip) & 8)
        ;
}

static void atomics(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        __atomic_fetch_add(&sum, 3, __ATOMIC_RELAXED);
        u64 old, failed;
        do {
            asm volatile("lr.d %0, (%2)\n\taddi %0, %0, 5\n\tsc.d %1, %0, (%2)"
                         : "=&r"(old), "=&r"(failed) : "r"(&reserved) : "memory");
        } while (failed);
        while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
            pause();
        locked += 7;
        __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
    }
}

/* The interrupt goes around, each hart waiting for its own. */
static void ring(u64 hart)
{
    for (int i = 0; i < 500; i++) {
        wait_for_interrupt(hart);
        turns++;
        msip[(hart + 1) % HARTS] = 1;
    }
}

/* Hart 0 writes code, the others run what they are told is new. */
static void versions(u64 hart)
{
    for (u64 version = 1; version <= 100; version++) {
        if (hart == 0) {
            code[0] = 0x00000513 | (u32)version << 20; /* li a0, version */
            code[1] = 0x00008067;
            __atomic_store_n(&code_version, version, __ATOMIC_RELEASE);
        } else {
            while (__atomic_load_n(&code_version, __ATOMIC_ACQUIRE) != version)
                pause();
        }
        asm volatile("fence.i" : : : "memory");
        seen[hart] += ((u64(*)(void))code)() == version;
        __atomic_fetch_add(&there, 1, __ATOMIC_ACQ_REL);
        while (__atomic_load_n(&there, __ATOMIC_ACQUIRE) < version * HARTS)
            pause();
    }
}

static void work(u64 hart)
{
    csr_write(mie, 8);
    __atomic_fetch_add(&go, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&go, __ATOMIC_ACQUIRE) < HARTS)
        pause();
    atomics();
    ring(hart);
    versions(hart);
    __atomic_fetch_add(&go, 1, __ATOMIC_ACQ_REL);
}

void other(u64 hart) { work(hart); }

int main(void)
{
    msip[0] = 1;
    work(0);
    while (__atomic_load_n(&go, __ATOMIC_ACQUIRE) < 2 * HARTS)
        pause();
    show("sum", sum);
    show("reserved", reserved);
    show("locked", locked);
    show("turns", turns);
    for (int hart = 0; hart < HARTS; hart++)
        show("versions", seen[hart]);
    return 0;
}
