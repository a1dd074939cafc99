/*
 * The demo guest: harts that compute together and get in each other's way.
 *
 *   1. Picture: each hart takes the next row of a Mandelbrot set from a shared
 *      counter (AMOADD) and computes it in double precision.
 *   2. Primes: each hart takes the next range from a second counter, and adds
 *      what it found to a sum that a spin lock (LR/SC) guards.
 *   3. Contention: all harts hammer one spin lock and one atomic counter.
 *
 * A futex barrier separates the parts. The lines that begin with "result" are
 * the same for any number of harts on any machine; the table says who did what.
 */
#include "rt.h"

enum {
    MAX_HARTS = 64,
    STACK_BYTES = 16384,
    WIDTH = 72,
    HEIGHT = 24,
    ITERATIONS = 30000,
    PRIMES_BELOW = 300000,
    PRIMES_STEP = 1000,
    LOCK_ROUNDS = 200000,
};

struct hart {
    u32 number;
    u32 harts;
    int tid;
    u64 rows;
    u64 iterations;
    u64 primes;
    u64 locked;
    u64 retries;
    u64 sleeps;
} ALONE;

static struct hart all_harts[MAX_HARTS];
static u8 stacks[MAX_HARTS][STACK_BYTES] __attribute__((aligned(16)));

static char picture[HEIGHT][WIDTH + 1];
static u64 next_row ALONE;
static u64 next_range ALONE;
static u64 atomic_sum ALONE;
static struct barrier barrier;
static struct spin_lock lock;
/* Guarded by `lock`. */
static u64 primes_found, primes_hash, locked_sum;

static u64 iterate(double re, double im)
{
    double x = 0, y = 0;
    u64 n = 0;
    while (n < ITERATIONS && x * x + y * y <= 4.0) {
        double next = x * x - y * y + re;
        y = 2.0 * x * y + im;
        x = next;
        n++;
    }
    return n;
}

static void draw_rows(struct hart *hart)
{
    static const char shades[] = " .,:;i1tfLCG08@";
    u64 row;
    while ((row = amo_add(&next_row, 1)) < HEIGHT) {
        for (u64 column = 0; column < WIDTH; column++) {
            u64 n = iterate(-2.2 + column * (3.2 / (WIDTH - 1)), -1.2 + row * (2.4 / (HEIGHT - 1)));
            picture[row][column] = n == ITERATIONS ? '@' : shades[n % 14];
            hart->iterations += n;
        }
        hart->rows++;
    }
}

static int is_prime(u64 n)
{
    if (n < 4)
        return n > 1;
    if (n % 2 == 0)
        return 0;
    for (u64 d = 3; d * d <= n; d += 2)
        if (n % d == 0)
            return 0;
    return 1;
}

static void find_primes(struct hart *hart)
{
    u64 from;
    while ((from = amo_add(&next_range, PRIMES_STEP)) < PRIMES_BELOW) {
        u64 found = 0, hash = 0;
        for (u64 n = from; n < from + PRIMES_STEP; n++) {
            if (is_prime(n)) {
                found++;
                /* A sum of mixed numbers: the order of the harts has no part in it. */
                hash += (n * 0x9e3779b97f4a7c15ul) ^ (n << 17);
            }
        }
        hart->primes += found;
        hart->retries += spin_acquire(&lock);
        primes_found += found;
        primes_hash += hash;
        spin_release(&lock);
        hart->locked++;
    }
}

static void contend(struct hart *hart)
{
    for (u64 round = hart->number; round < LOCK_ROUNDS; round += hart->harts) {
        hart->retries += spin_acquire(&lock);
        locked_sum += round;
        spin_release(&lock);
        hart->locked++;
        amo_add(&atomic_sum, round);
    }
}

static void work(struct hart *hart)
{
    hart->sleeps += barrier_wait(&barrier, hart->harts);
    draw_rows(hart);
    hart->sleeps += barrier_wait(&barrier, hart->harts);
    find_primes(hart);
    hart->sleeps += barrier_wait(&barrier, hart->harts);
    contend(hart);
    hart->sleeps += barrier_wait(&barrier, hart->harts);
}

static u64 picture_hash(void)
{
    u64 hash = 0xcbf29ce484222325ul;
    for (int row = 0; row < HEIGHT; row++)
        for (int column = 0; column < WIDTH; column++)
            hash = (hash ^ (u8)picture[row][column]) * 0x100000001b3ul;
    return hash;
}

static int report(u32 harts)
{
    u64 expected = (u64)LOCK_ROUNDS * (LOCK_ROUNDS - 1) / 2;
    for (int row = 0; row < HEIGHT; row++) {
        put_text(picture[row]);
        put_text("\n");
    }
    put_text("\nhart  rows  iterations  primes  lock taken  tried again  slept at barriers\n");
    for (u32 i = 0; i < harts; i++) {
        struct hart *hart = &all_harts[i];
        put_number(hart->number, 4);
        put_number(hart->rows, 6);
        put_number(hart->iterations, 12);
        put_number(hart->primes, 8);
        put_number(hart->locked, 12);
        put_number(hart->retries, 13);
        put_number(hart->sleeps, 19);
        put_text("\n");
    }
    put_text("\nresult: picture ");
    put_hex(picture_hash());
    put_text("\nresult: ");
    put_number(primes_found, 0);
    put_text(" primes below ");
    put_number(PRIMES_BELOW, 0);
    put_text(", hash ");
    put_hex(primes_hash);
    put_text("\nresult: sum under the lock ");
    put_number(locked_sum, 0);
    put_text(", atomic sum ");
    put_number(atomic_sum, 0);
    int right = locked_sum == expected && atomic_sum == expected;
    put_text(right ? ", nothing lost\n" : ", AN UPDATE WAS LOST\n");
    put_flush();
    return right ? 0 : 1;
}

/* The number of harts that the user asked for, or 0 if it makes no sense. */
static u32 parse_harts(const char *text)
{
    u32 harts = 0;
    if (!*text)
        return 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || harts > MAX_HARTS)
            return 0;
        harts = harts * 10 + (*text - '0');
    }
    return harts <= MAX_HARTS ? harts : 0;
}

int guest_main(int argc, char **argv)
{
    u32 harts = argc == 2 ? parse_harts(argv[1]) : 0;
    if (!harts) {
        put_text("usage: demo HARTS (1 to 64)\n");
        put_flush();
        return 2;
    }
    for (u32 i = 0; i < harts; i++) {
        all_harts[i].number = i;
        all_harts[i].harts = harts;
    }
    long spawn(struct hart *, void *, int *, void (*)(struct hart *));
    for (u32 i = 1; i < harts; i++) {
        if (spawn(&all_harts[i], stacks[i] + STACK_BYTES, &all_harts[i].tid, work) < 0) {
            put_text("demo: the machine would not start another hart\n");
            put_flush();
            return 1;
        }
    }
    work(&all_harts[0]);
    for (u32 i = 1; i < harts; i++)
        join(&all_harts[i].tid);
    return report(harts);
}
