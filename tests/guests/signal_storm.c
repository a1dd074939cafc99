/* Signals at every possible moment: in the middle of blocks, in loops that are one block, in system
 * calls, in other handlers. Nothing may get lost, be delivered twice, or change a register.
 *
 * @threads
 */
#define _GNU_SOURCE
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 16, QUEUED = 1500 };

static int threads;
static atomic_int finished;
static atomic_long ticks;

/* A handler that leaves nothing as it was, as far as it may. */
static void tick(int signal)
{
    (void)signal;
    volatile double x = 1.0, y = 3.0;
    uint64_t pieces[32];
    feclearexcept(FE_ALL_EXCEPT);
    fesetround(FE_UPWARD);
    for (int i = 0; i < 32; i++) {
        x = x / y + i;
        pieces[i] = (uint64_t)(x * 1e15) ^ 0x5555555555555555;
    }
    for (int i = 1; i < 32; i++)
        pieces[0] += pieces[i] * 3;
    if (pieces[0] != 42)
        ticks++;
}

static uint64_t integers(unsigned rounds)
{
    uint64_t a = 1, b = 2, c = 3, d = 5, e = 7, f = 11;
    for (unsigned i = 0; i < rounds; i++) {
        a = a * 6364136223846793005u + b;
        b ^= a >> 33;
        c += b << 7 | b >> 57;
        d = (d ^ c) * 0x9e3779b97f4a7c15u;
        e -= d / (f | 1);
        f = f + e % (i + 1);
    }
    return a ^ b ^ c ^ d ^ e ^ f;
}

static double floats(unsigned rounds, int *exceptions)
{
    double x = 0.1, y = 1.0, z = 2.5;
    float s = 1.5f;
    volatile double zero = 0;
    feclearexcept(FE_ALL_EXCEPT);
    /* A flag that is raised once only, and must outlive all handlers. */
    if (1 / zero < 1)
        z = 0;
    for (unsigned i = 1; i <= rounds; i++) {
        x = x * 1.0000001 + y / i;
        y = sqrt(x + z) - 0.5 * y;
        z = z * 0.999 + s;
        s = (float)(s * 0.75f + 1.0f / i);
    }
    *exceptions = fetestexcept(FE_INEXACT | FE_DIVBYZERO | FE_INVALID);
    return x + y + z + s;
}

static const int directions[] = {FE_TONEAREST, FE_DOWNWARD, FE_TOWARDZERO};

struct results {
    uint64_t integers;
    double floats[3];
    int exceptions[3];
};

static void compute(struct results *results)
{
    results->integers = integers(20000);
    for (int i = 0; i < 3; i++) {
        fesetround(directions[i]);
        results->floats[i] = floats(20000, &results->exceptions[i]);
        if (fegetround() != directions[i])
            results->exceptions[i] = -1;
    }
    fesetround(FE_TONEAREST);
}

static struct results expected;

static void *check(void *argument)
{
    long wrong = 0;
    (void)argument;
    /* As long as it takes until it has been interrupted, on however busy a machine. */
    for (int i = 0; i < 6 || ticks <= 10; i++) {
        struct results results;
        memset(&results, 0, sizeof results);
        compute(&results);
        wrong += memcmp(&results, &expected, sizeof results) != 0;
    }
    finished++;
    return (void *)wrong;
}

static void computing(void)
{
    pthread_t all[MOST];
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    struct timespec moment = {0, 100000};
    long wrong = 0;
    compute(&expected);
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < threads; i++)
        pthread_create(&all[i], NULL, check, NULL);
    while (finished < threads) {
        for (int i = 0; i < threads; i++)
            pthread_kill(all[i], SIGUSR1);
        nanosleep(&moment, NULL);
    }
    for (int i = 0; i < threads; i++) {
        void *value;
        pthread_join(all[i], &value);
        wrong += (long)value;
    }
    printf("wrong results: %ld, interrupted: %d\n", wrong, ticks > 10);
}

/* Each signal that is queued arrives once. */
static atomic_long received, sum;

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    received++;
    sum += info->si_value.sival_int;
    for (volatile int i = 0; i < 50; i++)
        ;
}

static atomic_int stop;

static void *receive(void *argument)
{
    uint64_t value = (uintptr_t)argument;
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        exit(1);
    while (!stop) {
        value += integers(50);
        if (write(ends[1], "x", 1) != 1 || read(ends[0], &byte, 1) != 1)
            exit(2);
        char *block = malloc(value % 3000 + 1);
        *block = 1;
        free(block);
    }
    close(ends[0]), close(ends[1]);
    return NULL;
}

static void *send(void *argument)
{
    for (int i = 1; i <= QUEUED; i++) {
        union sigval value = {.sival_int = i};
        while (sigqueue(getpid(), SIGRTMIN + (i & 3), value) != 0)
            sched_yield();
    }
    return argument;
}

static void queueing(void)
{
    pthread_t receivers[MOST], senders[2];
    struct sigaction action = {.sa_sigaction = count, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t some;
    sigemptyset(&some);
    for (int i = 0; i < 4; i++) {
        sigaction(SIGRTMIN + i, &action, NULL);
        sigaddset(&some, SIGRTMIN + i);
    }
    for (long i = 0; i < threads; i++)
        pthread_create(&receivers[i], NULL, receive, (void *)i);
    pthread_sigmask(SIG_BLOCK, &some, NULL);
    for (int i = 0; i < 2; i++)
        pthread_create(&senders[i], NULL, send, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(senders[i], NULL);
    while (received < 2 * QUEUED)
        sched_yield();
    stop = 1;
    for (int i = 0; i < threads; i++)
        pthread_join(receivers[i], NULL);
    printf("received %ld, sum %ld\n", (long)received, (long)sum);
}

/* Handlers that never return. */
static sigjmp_buf top;
static volatile sig_atomic_t jumps;

static void jump(int signal)
{
    (void)signal;
    jumps++;
    siglongjmp(top, 1);
}

static void jumping(void)
{
    struct sigaction action = {.sa_handler = jump};
    struct itimerval every = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &action, NULL);
    volatile uint64_t spins = 0;
    sigsetjmp(top, 1);
    if (jumps == 0)
        setitimer(ITIMER_REAL, &every, NULL);
    while (jumps < 200)
        spins++;
    setitimer(ITIMER_REAL, &never, NULL);
    printf("jumped: %d\n", jumps >= 200);
}

int main(int argc, char **argv)
{
    threads = argc > 1 ? atoi(argv[1]) : 2;
    if (threads < 1 || threads > MOST)
        return 1;
    computing();
    queueing();
    jumping();
    return 0;
}
