/* Clocks, sleeping and timers: intervals, POSIX timers that signal a thread or the process, and the
 * arithmetic between them. Prints relations, not times. */
#define _GNU_SOURCE
#include "show.h"
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t count, value, code;

static void on_timer(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    count++;
    value = info->si_value.sival_int;
    code = info->si_code;
}

static int64_t now(clockid_t clock)
{
    struct timespec time;
    if (syscall(SYS_clock_gettime, clock, &time) != 0)
        abort();
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void clocks(void)
{
    static const clockid_t all[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                    CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t first = now(all[i]);
        printf("clock %d: %d\n", all[i], now(all[i]) >= first && first > 0);
    }
    struct timespec resolution;
    SHOW(clock_getres(CLOCK_MONOTONIC, &resolution));
    printf("%ld %ld\n", (long)resolution.tv_sec, resolution.tv_nsec);
    SHOW(syscall(SYS_clock_gettime, 99, &resolution));
    struct timeval day;
    SHOW(syscall(SYS_gettimeofday, &day, NULL));
    printf("%d\n", llabs(day.tv_sec - now(CLOCK_REALTIME) / 1000000000) <= 1);
    printf("%d\n", llabs(time(NULL) - (long)day.tv_sec) <= 1);
    struct tms tms;
    printf("%d\n", times(&tms) != (clock_t)-1 && tms.tms_utime >= 0);
}

static void sleeping(void)
{
    int64_t before = now(CLOCK_MONOTONIC);
    struct timespec time = {0, 20000000};
    SHOW(nanosleep(&time, NULL));
    printf("%d\n", now(CLOCK_MONOTONIC) - before >= 20000000);
    time.tv_nsec = 1000000000;
    SHOW(nanosleep(&time, NULL));
    int64_t until = now(CLOCK_MONOTONIC) + 15000000;
    time = (struct timespec){until / 1000000000, until % 1000000000};
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL));
    printf("%d\n", now(CLOCK_MONOTONIC) >= until);
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL));
    SHOW(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL));
}

/* Waits until `count` is there. */
static void await(int wanted)
{
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigaddset(&block, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &block, &before);
    while (count < wanted)
        sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void intervals(void)
{
    count = 0;
    struct itimerval set = {{0, 3000}, {0, 5000}}, old;
    SHOW(setitimer(ITIMER_REAL, &set, NULL));
    await(3);
    SHOW(getitimer(ITIMER_REAL, &old));
    printf("%ld %d\n", (long)old.it_interval.tv_usec, old.it_value.tv_sec == 0);
    SHOW(setitimer(ITIMER_REAL, &(struct itimerval){0}, &old));
    printf("%ld\n", (long)old.it_interval.tv_usec);
    printf("%d\n", code == SI_KERNEL);
    SHOW(setitimer(77, &set, NULL));
    SHOW(alarm(100));
    SHOW(alarm(0));
}

static void posix(void)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    event.sigev_value.sival_int = 1234;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    count = 0;
    struct itimerspec set = {{0, 2000000}, {0, 1000000}}, left;
    SHOW(timer_settime(timer, 0, &set, NULL));
    await(3);
    printf("%d %d\n", value, code == SI_TIMER);
    SHOW(timer_gettime(timer, &left));
    printf("%ld\n", left.it_interval.tv_nsec);
    SHOW(timer_getoverrun(timer) >= 0);
    SHOW(timer_settime(timer, 0, &(struct itimerspec){0}, &left));
    SHOW(timer_delete(timer));
    SHOW(syscall(SYS_timer_delete, 1000));

    event.sigev_notify = SIGEV_THREAD_ID;
    event._sigev_un._tid = gettid();
    event.sigev_value.sival_int = -5;
    SHOW(timer_create(CLOCK_REALTIME, &event, &timer));
    int64_t at = now(CLOCK_REALTIME) + 3000000;
    set = (struct itimerspec){{0, 0}, {at / 1000000000, at % 1000000000}};
    count = 0;
    SHOW(timer_settime(timer, TIMER_ABSTIME, &set, NULL));
    await(1);
    printf("%d %d\n", value, now(CLOCK_REALTIME) >= at);
    SHOW(timer_delete(timer));
    event.sigev_signo = 99;
    SHOW(timer_create(CLOCK_REALTIME, &event, &timer));

    /* Blocked, and fetched instead of handled. */
    event.sigev_notify = SIGEV_NONE;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    set = (struct itimerspec){{0, 0}, {0, 1}};
    SHOW(timer_settime(timer, 0, &set, NULL));
    SHOW(timer_delete(timer));
    sigset_t alarm_set;
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    sigprocmask(SIG_BLOCK, &alarm_set, NULL);
    ualarm(2000, 0);
    siginfo_t info;
    SHOW(sigwaitinfo(&alarm_set, &info));
    SHOW(info.si_signo);
    struct timespec brief = {0, 1000000};
    SHOW(sigtimedwait(&alarm_set, &info, &brief));
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    sigaction(SIGRTMIN + 1, &action, NULL);
    clocks();
    sleeping();
    intervals();
    posix();
    return 0;
}
