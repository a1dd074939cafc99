/* The run time of the guests that are built in: see rt.h. */
#include "rt.h"

/* Tries before a hart that spins gives its host core to somebody else. */
#define SPINS_BEFORE_YIELD 64

u64 spin_acquire(struct spin_lock *lock)
{
    u64 retries = 0;
    for (;;) {
        u32 busy;
        /* The LR/SC sequence is of the constrained kind, which the ISA
           guarantees to succeed in the end. */
        __asm__ volatile("0: lr.w.aq %0, %1\n"
                         "   bnez %0, 1f\n"
                         "   sc.w %0, %2, %1\n"
                         "   bnez %0, 0b\n"
                         "1:"
                         : "=&r"(busy), "+A"(lock->held)
                         : "r"(1)
                         : "memory");
        if (!busy)
            return retries;
        retries++;
        __asm__ volatile(".4byte 0x0100000f" ::: "memory"); /* pause */
        if (retries % SPINS_BEFORE_YIELD == 0)
            syscall4(SYS_sched_yield, 0, 0, 0, 0);
    }
}

void spin_release(struct spin_lock *lock)
{
    __asm__ volatile("amoswap.w.rl zero, zero, %0" : "+A"(lock->held)::"memory");
}

u64 barrier_wait(struct barrier *barrier, u32 harts)
{
    u32 generation = __atomic_load_n(&barrier->generation, __ATOMIC_ACQUIRE);
    if (__atomic_add_fetch(&barrier->arrived, 1, __ATOMIC_ACQ_REL) == harts) {
        __atomic_store_n(&barrier->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&barrier->generation, generation + 1, __ATOMIC_RELEASE);
        syscall4(SYS_futex, (long)&barrier->generation, FUTEX_WAKE, 0x7fffffff, 0);
        return 0;
    }
    u64 slept = 0;
    while (__atomic_load_n(&barrier->generation, __ATOMIC_ACQUIRE) == generation) {
        syscall4(SYS_futex, (long)&barrier->generation, FUTEX_WAIT, generation, 0);
        slept = 1;
    }
    return slept;
}

void join(int *tid)
{
    int alive;
    while ((alive = __atomic_load_n(tid, __ATOMIC_ACQUIRE)) != 0)
        syscall4(SYS_futex, (long)tid, FUTEX_WAIT, alive, 0);
}

static char out[4096];
static u64 out_used;

void put_flush(void)
{
    u64 done = 0;
    while (done < out_used) {
        long wrote = syscall4(SYS_write, 1, (long)(out + done), out_used - done, 0);
        if (wrote <= 0)
            break;
        done += wrote;
    }
    out_used = 0;
}

static void put_char(char c)
{
    if (out_used == sizeof out)
        put_flush();
    out[out_used++] = c;
}

void put_text(const char *text)
{
    while (*text)
        put_char(*text++);
}

void put_number(u64 value, int width)
{
    char digits[20];
    int count = 0;
    do {
        digits[count++] = '0' + value % 10;
        value /= 10;
    } while (value);
    for (int blank = count; blank < width; blank++)
        put_char(' ');
    while (count)
        put_char(digits[--count]);
}

void put_hex(u64 value)
{
    put_text("0x");
    for (int shift = 60; shift >= 0; shift -= 4)
        put_char("0123456789abcdef"[value >> shift & 15]);
}
