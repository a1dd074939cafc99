/*
 * The run time of the guests that are built in: system calls, text output, and the three ways in
 * which its harts meet: a spin lock (LR/SC), a shared counter (AMO) and a
 * barrier (futex).
 */
#ifndef DEMO_RT_H
#define DEMO_RT_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

enum { SYS_write = 64, SYS_futex = 98, SYS_sched_yield = 124 };
enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1 };

static inline long syscall4(long number, long a, long b, long c, long d)
{
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a7) : "memory");
    return a0;
}

/* The same with six arguments. */
static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall"
                     : "+r"(a0)
                     : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7)
                     : "memory");
    return a0;
}

/* One word a cache line: what one hart writes never slows another one down. */
#define ALONE __attribute__((aligned(64)))

/* Adds with AMOADD.D and returns the value before. */
static inline u64 amo_add(u64 *counter, u64 amount)
{
    u64 before;
    __asm__ volatile("amoadd.d.aqrl %0, %2, %1"
                     : "=r"(before), "+A"(*counter)
                     : "r"(amount)
                     : "memory");
    return before;
}

struct spin_lock {
    u32 held;
} ALONE;

/* Takes the lock with LR.W/SC.W; returns how often it had to try again. */
u64 spin_acquire(struct spin_lock *lock);
void spin_release(struct spin_lock *lock);

struct barrier {
    u32 generation;
    u32 arrived;
} ALONE;

/* Waits until `harts` harts are here; returns 1 if this one had to sleep. */
u64 barrier_wait(struct barrier *barrier, u32 harts);

/* Waits until the kernel has cleared `*tid`: the hart is gone. */
void join(int *tid);

/* Buffered standard output; only one hart may print at a time. */
void put_text(const char *text);
void put_number(u64 value, int width);
void put_hex(u64 value);
void put_flush(void);

#endif
