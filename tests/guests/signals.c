/* What programs do with signals, one function per habit. Each prints what it saw.
 *
 * @no-qemu it does not know alternate stacks that disarm themselves
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
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

static volatile sig_atomic_t count, order[64];

static void note(int signal)
{
    order[count++] = signal;
}

static void note_once(int signal)
{
    (void)signal;
    count = 1;
}

static void set(int signal, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(signal, &action, NULL);
}

static void print_order(const char *what)
{
    printf("%s:", what);
    for (int i = 0; i < count; i++)
        printf(" %d", (int)order[i]);
    printf("\n");
    count = 0;
}

static void masks(void)
{
    sigset_t some, old, pending;
    set(SIGUSR1, note, 0);
    set(SIGUSR2, note, 0);
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGUSR2);
    sigprocmask(SIG_BLOCK, &some, &old);
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR1);
    sigpending(&pending);
    printf("blocked: %d handled, pending %d %d %d\n", (int)count, sigismember(&pending, SIGUSR1),
           sigismember(&pending, SIGUSR2), sigismember(&pending, SIGTERM));
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("unblocked: %d handled\n", (int)count);
    count = 0;
}

static void queued(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)context;
    order[count++] = info->si_code == SI_QUEUE ? info->si_value.sival_int : -1;
}

static void real_time(void)
{
    struct sigaction action = {.sa_sigaction = queued, .sa_flags = SA_SIGINFO};
    sigset_t some;
    sigemptyset(&some);
    for (int i = 0; i < 3; i++) {
        sigaction(SIGRTMIN + i, &action, NULL);
        sigaddset(&some, SIGRTMIN + i);
    }
    /* No handler is to be interrupted by the next. */
    action.sa_mask = some;
    for (int i = 0; i < 3; i++)
        sigaction(SIGRTMIN + i, &action, NULL);
    sigprocmask(SIG_BLOCK, &some, NULL);
    for (int i = 0; i < 9; i++) {
        union sigval value = {.sival_int = 100 * (i % 3) + i};
        sigqueue(getpid(), SIGRTMIN + 2 - i % 3, value);
    }
    sigprocmask(SIG_UNBLOCK, &some, NULL);
    print_order("queued, lowest signal first");
}

static void take(void)
{
    sigset_t some;
    siginfo_t info;
    struct timespec none = {0, 0}, soon = {0, 20000000};
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigprocmask(SIG_BLOCK, &some, NULL);
    printf("nothing to take: %d\n", sigtimedwait(&some, &info, &none) == -1 && errno == EAGAIN);
    printf("nothing comes: %d\n", sigtimedwait(&some, &info, &soon) == -1 && errno == EAGAIN);
    kill(getpid(), SIGUSR1);
    int taken = sigtimedwait(&some, &info, NULL);
    printf("took %d from %d, handled %d\n", taken, info.si_pid == getpid(), (int)count);
    sigprocmask(SIG_UNBLOCK, &some, NULL);
}

/* The handler of one signal is interrupted by another, but not by its own. */
static volatile sig_atomic_t depth, deepest;

static void nested(int signal)
{
    order[count++] = signal;
    if (++depth > deepest)
        deepest = depth;
    if (signal == SIGUSR1) {
        raise(SIGUSR1);
        raise(SIGUSR2);
    }
    order[count++] = -signal;
    depth--;
    if (count > 20)
        _exit(1);
    if (count >= 4)
        set(SIGUSR1, SIG_IGN, 0);
}

static void nesting(void)
{
    set(SIGUSR1, nested, 0);
    set(SIGUSR2, nested, 0);
    raise(SIGUSR1);
    print_order("nested");
    printf("depth %d\n", (int)deepest);
}

static volatile sig_atomic_t rounds;

static void again(int signal)
{
    if (++rounds < 4)
        raise(signal);
    order[count++] = rounds;
}

static void flags(void)
{
    set(SIGUSR1, again, SA_NODEFER);
    raise(SIGUSR1);
    print_order("inside itself");
    struct sigaction now;
    set(SIGUSR1, note, SA_RESETHAND);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &now);
    printf("reset: %d\n", now.sa_handler == SIG_DFL);
    count = 0;
    set(SIGUSR1, SIG_IGN, 0);
    raise(SIGUSR1);
    printf("ignored: %d\n", (int)count);
}

/* Somebody who sends SIGUSR1 to a thread, again and again until it is enough: so that it does not
 * matter when the thread gets to the call that is to be interrupted. */
struct nuisance {
    pthread_t thread, target;
    int times;         /* 0: until `enough` */
    int end;           /* then a byte is written here, if it is a descriptor */
    atomic_int enough;
};

static void *disturb(void *argument)
{
    struct nuisance *nuisance = argument;
    struct timespec moment = {0, 5000000};
    for (int i = 0; nuisance->times ? i < nuisance->times : !nuisance->enough; i++) {
        pthread_kill(nuisance->target, SIGUSR1);
        nanosleep(&moment, NULL);
    }
    if (nuisance->end >= 0 && write(nuisance->end, "y", 1) != 1)
        abort();
    return NULL;
}

static void start(struct nuisance *nuisance, int times, int end)
{
    nuisance->target = pthread_self();
    nuisance->times = times;
    nuisance->end = end;
    nuisance->enough = 0;
    pthread_create(&nuisance->thread, NULL, disturb, nuisance);
}

static void stop(struct nuisance *nuisance)
{
    nuisance->enough = 1;
    pthread_join(nuisance->thread, NULL);
    printf("handled meanwhile: %d\n", count > 0);
    count = 0;
}

static void interrupted_calls(int flags)
{
    struct nuisance nuisance;
    struct timespec long_time = {100, 0}, left = {0, 0};
    struct pollfd nothing = {.fd = -1};
    int ends[2];
    char byte = 0;
    if (pipe(ends) != 0)
        abort();
    set(SIGUSR1, note_once, flags);
    if (flags & SA_RESTART) {
        start(&nuisance, 10, ends[1]);
        ssize_t got = read(ends[0], &byte, 1);
        printf("restarted read: %zd %c\n", got, byte);
    } else {
        start(&nuisance, 0, -1);
        ssize_t got = read(ends[0], &byte, 1);
        printf("read interrupted: %d\n", got == -1 && errno == EINTR);
    }
    stop(&nuisance);
    start(&nuisance, 0, -1);
    int polled = poll(&nothing, 1, 100000);
    printf("poll interrupted: %d\n", polled == -1 && errno == EINTR);
    stop(&nuisance);
    start(&nuisance, 0, -1);
    int slept = nanosleep(&long_time, &left);
    printf("sleep interrupted: %d, some left: %d\n", slept == -1 && errno == EINTR, left.tv_sec > 0);
    stop(&nuisance);
    close(ends[0]);
    close(ends[1]);
}

static void suspended(void)
{
    struct nuisance nuisance;
    sigset_t some, none;
    sigemptyset(&none);
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    set(SIGUSR1, note_once, SA_RESTART);
    sigprocmask(SIG_BLOCK, &some, NULL);
    start(&nuisance, 0, -1);
    int back = sigsuspend(&none);
    printf("sigsuspend: %d %d\n", back == -1 && errno == EINTR, (int)count);
    sigprocmask(SIG_BLOCK, NULL, &none);
    printf("blocked again: %d\n", sigismember(&none, SIGUSR1));
    stop(&nuisance);
    /* A poll that lets the signal in. */
    start(&nuisance, 0, -1);
    sigemptyset(&none);
    struct timespec long_time = {100, 0};
    int polled = ppoll(NULL, 0, &long_time, &none);
    printf("ppoll: %d %d\n", polled == -1 && errno == EINTR, (int)count);
    stop(&nuisance);
    sigprocmask(SIG_UNBLOCK, &some, NULL);
    count = 0;
}

static volatile sig_atomic_t ticks;

static void tick(int signal)
{
    (void)signal;
    ticks++;
}

static void timers(void)
{
    /* Generated code that never leaves by itself must be interrupted. */
    struct itimerval every = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    set(SIGALRM, tick, SA_RESTART);
    setitimer(ITIMER_REAL, &every, NULL);
    uint64_t spins = 0;
    while (ticks < 20)
        spins++;
    setitimer(ITIMER_REAL, &never, NULL);
    printf("ticks: %d\n", ticks >= 20 && spins > 0);
    ticks = 0;

    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec spec = {{0, 3000000}, {0, 3000000}};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &spec, NULL);
    while (ticks < 10)
        pause();
    timer_delete(timer);
    printf("timer: %d\n", ticks >= 10);
}

static sigjmp_buf escape;
static char *alternate;
static volatile sig_atomic_t on_alternate;

static void overflowed(int signal, siginfo_t *info, void *context)
{
    (void)context;
    char here;
    on_alternate = &here >= alternate && &here < alternate + 65536;
    siglongjmp(escape, signal == SIGSEGV && info->si_code > 0 ? 1 : 2);
}

static volatile int endless = 1;

__attribute__((noinline)) static int recurse(volatile char *above)
{
    volatile char frame[4096];
    frame[0] = above[0];
    return endless ? recurse(frame) + frame[0] + above[0] : 0;
}

static void stack_overflow(void)
{
    alternate = malloc(65536);
    stack_t stack = {.ss_sp = alternate, .ss_size = 65536}, now;
    struct sigaction action = {.sa_sigaction = overflowed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaltstack(&stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    for (volatile int i = 0; i < 3; i++) {
        volatile char start = 0;
        int how = sigsetjmp(escape, 1);
        if (how == 0)
            recurse(&start);
        printf("overflow %d: %d, on the alternate stack: %d\n", i, how, (int)on_alternate);
    }
    sigaltstack(NULL, &now);
    printf("alternate stack: %d %d\n", now.ss_sp == alternate, now.ss_flags);
    stack.ss_size = 100;
    printf("too small: %d\n", sigaltstack(&stack, NULL) == -1 && errno == ENOMEM);
    set(SIGSEGV, SIG_DFL, 0);
}

/* A second handler on the alternate stack begins below the first, not over it. */
static volatile int intact, inner_flags, set_inside;

static void inner(int signal)
{
    volatile char mess[2000];
    (void)signal;
    for (size_t i = 0; i < sizeof mess; i++)
        mess[i] = 0x55;
    stack_t now, other = {.ss_sp = alternate, .ss_size = 65536};
    sigaltstack(NULL, &now);
    inner_flags = now.ss_flags;
    if (inner_flags == SS_ONSTACK)
        set_inside = sigaltstack(&other, NULL) == -1 ? errno : 0;
}

static void outer(int signal)
{
    volatile char own[2000];
    (void)signal;
    for (size_t i = 0; i < sizeof own; i++)
        own[i] = (char)i;
    raise(SIGUSR2);
    intact = 1;
    for (size_t i = 0; i < sizeof own; i++)
        if (own[i] != (char)i)
            intact = 0;
}

static void shared_stack(void)
{
    const unsigned autodisarm = 1u << 31;
    stack_t stack = {.ss_sp = alternate, .ss_size = 65536}, now;
    sigaltstack(&stack, NULL);
    set(SIGUSR1, outer, SA_ONSTACK);
    set(SIGUSR2, inner, SA_ONSTACK);
    raise(SIGUSR1);
    printf("on one stack: intact %d, in use %d, set meanwhile: %s\n", intact,
           inner_flags == SS_ONSTACK, strerror(set_inside));
    stack.ss_flags = (int)autodisarm;
    sigaltstack(&stack, NULL);
    set(SIGUSR1, inner, SA_ONSTACK);
    raise(SIGUSR1);
    sigaltstack(NULL, &now);
    printf("disarmed: inside %d, armed again %d\n", inner_flags == SS_DISABLE,
           now.ss_sp == alternate && (unsigned)now.ss_flags == autodisarm);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
}

static void sent_faults(void)
{
    /* SIGSEGV that somebody sends is a signal like any other. */
    sigset_t some, old;
    set(SIGSEGV, note, 0);
    set(SIGBUS, note, 0);
    raise(SIGSEGV);
    kill(getpid(), SIGBUS);
    print_order("sent");
    sigemptyset(&some);
    sigaddset(&some, SIGSEGV);
    sigprocmask(SIG_BLOCK, &some, &old);
    raise(SIGSEGV);
    printf("held back: %d handled\n", (int)count);
    sigprocmask(SIG_SETMASK, &old, NULL);
    print_order("let go");
    set(SIGSEGV, SIG_DFL, 0);
    set(SIGBUS, SIG_DFL, 0);
}

int main(void)
{
    masks();
    real_time();
    take();
    nesting();
    flags();
    interrupted_calls(0);
    interrupted_calls(SA_RESTART);
    suspended();
    timers();
    stack_overflow();
    shared_stack();
    sent_faults();
    return 0;
}
