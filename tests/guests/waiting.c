/* Waiting for descriptors: poll, select, epoll in both trigger modes, eventfd, signalfd, timerfd,
 * with and without a signal mask, and what a signal in between does to each. */
#define _GNU_SOURCE
#include "show.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

static void polling(void)
{
    int p[2];
    SHOW(pipe(p));
    struct pollfd fds[3] = {{p[0], POLLIN, 0}, {p[1], POLLOUT | POLLIN, 0}, {-1, POLLIN, 77}};
    SHOW(poll(fds, 3, 1000));
    printf("%x %x %x\n", fds[0].revents, fds[1].revents, fds[2].revents);
    SHOW(poll(fds, 1, 20));
    SHOW(write(p[1], "abc", 3));
    SHOW(poll(fds, 1, -1));
    printf("%x\n", fds[0].revents);
    int waiting;
    SHOW(ioctl(p[0], FIONREAD, &waiting));
    printf("%d\n", waiting);
    fds[2].fd = 99;
    SHOW(poll(fds, 3, 0));
    printf("%x\n", fds[2].revents);
    close(p[1]);
    char buf[8];
    SHOW(read(p[0], buf, 8));
    SHOW(poll(fds, 1, -1));
    printf("%x\n", fds[0].revents);
    SHOW(read(p[0], buf, 8));
    close(p[0]);
    SHOW(pipe2(p, O_NONBLOCK));
    SHOW(read(p[0], buf, 8));
    close(p[0]);
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(p[1], "x", 1));
    close(p[1]);
}

static void selecting(void)
{
    int p[2];
    SHOW(pipe(p));
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(p[0], &in);
    FD_SET(p[1], &out);
    struct timeval time = {5, 0};
    SHOW(select(p[1] + 1, &in, &out, NULL, &time));
    printf("%d %d\n", !!FD_ISSET(p[0], &in), !!FD_ISSET(p[1], &out));
    FD_SET(p[0], &in);
    time = (struct timeval){0, 10000};
    SHOW(select(p[0] + 1, &in, NULL, NULL, &time));
    /* The kernel writes the time that is left. */
    printf("%d %ld %ld\n", !!FD_ISSET(p[0], &in), (long)time.tv_sec, (long)time.tv_usec);
    SHOW(select(-1, &in, NULL, NULL, &time));
    FD_ZERO(&in);
    FD_SET(200, &in);
    SHOW(select(201, &in, NULL, NULL, &time));
    close(p[0]), close(p[1]);
}

/* A blocked signal comes in exactly while the call waits with another mask. */
static void masks(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    sigset_t block, none;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, NULL);
    int p[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    SHOW(pipe(p));
    struct pollfd fd = {p[0], POLLIN, 0};
    struct timespec zero = {0, 0}, long_time = {100, 0};
    fd_set in;
    FD_ZERO(&in);
    FD_SET(p[0], &in);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0};
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], &event));
    raise(SIGUSR1);
    SHOW(ppoll(&fd, 1, &zero, NULL));
    SHOW(caught);
    SHOW(ppoll(&fd, 1, &long_time, &none));
    SHOW(caught);
    caught = 0;
    raise(SIGUSR1);
    SHOW(pselect(p[0] + 1, &in, NULL, NULL, &long_time, &none));
    SHOW(caught);
    caught = 0;
    raise(SIGUSR1);
    SHOW(epoll_pwait(epoll, &event, 1, -1, &none));
    SHOW(caught);
    caught = 0;
    raise(SIGUSR1);
    SHOW(sigsuspend(&none));
    SHOW(caught);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    SHOW(sigismember(&now, SIGUSR1));
    SHOW(syscall(SYS_ppoll, &fd, 1, &zero, &none, 4));

    /* Signals as data. */
    int signals = signalfd(-1, &block, SFD_NONBLOCK);
    struct signalfd_siginfo info;
    SHOW(read(signals, &info, sizeof info));
    raise(SIGUSR1);
    SHOW(read(signals, &info, sizeof info));
    printf("%d %d\n", info.ssi_signo, info.ssi_pid == (unsigned)getpid());
    sigprocmask(SIG_UNBLOCK, &block, NULL);
    close(p[0]), close(p[1]), close(epoll), close(signals);
}

static void epolls(void)
{
    int p[2], q[2], epoll = epoll_create1(0);
    SHOW(pipe2(p, O_NONBLOCK));
    SHOW(pipe2(q, O_NONBLOCK));
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x1111222233334444};
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], &event));
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], &event));
    event = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.u64 = 0x5555666677778888};
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, q[0], &event));
    SHOW(epoll_ctl(epoll, EPOLL_CTL_ADD, 99, &event));
    SHOW(epoll_ctl(epoll, EPOLL_CTL_MOD, q[1], &event));
    struct epoll_event found[8];
    SHOW(epoll_wait(epoll, found, 8, 0));
    SHOW(write(p[1], "a", 1));
    SHOW(write(q[1], "b", 1));
    for (int round = 0; round < 2; round++) {
        int count = epoll_wait(epoll, found, 8, 1000);
        printf("%d:", count);
        for (int i = 0; i < count; i++)
            printf(" %x %lx", found[i].events, (long)found[i].data.u64);
        printf("\n");
    }
    SHOW(epoll_wait(epoll, found, 0, 0));
    SHOW(syscall(SYS_epoll_pwait, epoll, found, -1, 0, NULL, 8));
    struct timespec brief = {0, 1000000};
    event.events = EPOLLIN | EPOLLONESHOT;
    SHOW(epoll_ctl(epoll, EPOLL_CTL_MOD, p[0], &event));
    SHOW(epoll_wait(epoll, found, 8, -1));
    /* Not every kernel has this one. */
    SHOW(syscall(SYS_epoll_pwait2, epoll, found, 8, &brief, NULL, 8) == 0 || errno == ENOSYS);
    SHOW(epoll_ctl(epoll, EPOLL_CTL_DEL, p[0], NULL));
    SHOW(epoll_ctl(epoll, EPOLL_CTL_DEL, p[0], NULL));

    /* Many at once: every one is reported once. */
    int many = epoll_create1(0), events[100], seen = 0;
    for (int i = 0; i < 100; i++) {
        events[i] = eventfd(i + 1, EFD_NONBLOCK);
        event = (struct epoll_event){.events = EPOLLIN | EPOLLET, .data.u32 = i};
        epoll_ctl(many, EPOLL_CTL_ADD, events[i], &event);
    }
    char was[100] = {0};
    int count;
    while ((count = epoll_wait(many, found, 7, 0)) > 0)
        for (int i = 0; i < count; i++)
            seen += !was[found[i].data.u32]++;
    printf("%d\n", seen);
    for (int i = 0; i < 100; i++)
        close(events[i]);
    close(p[0]), close(p[1]), close(q[0]), close(q[1]), close(epoll), close(many);
}

static void counters_and_timers(void)
{
    uint64_t value = 5;
    int counter = eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE);
    SHOW(write(counter, &value, 8));
    SHOW(read(counter, &value, 8));
    SHOW(value);
    SHOW(read(counter, &value, 4));
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec set = {{0, 2000000}, {0, 1000000}}, left;
    SHOW(timerfd_settime(timer, 0, &set, NULL));
    SHOW(timerfd_gettime(timer, &left));
    printf("%ld %ld %d\n", (long)left.it_interval.tv_sec, left.it_interval.tv_nsec,
           left.it_value.tv_sec == 0);
    struct pollfd fd = {timer, POLLIN, 0};
    SHOW(poll(&fd, 1, -1));
    SHOW(read(timer, &value, 8));
    printf("%d\n", value >= 1);
    SHOW(timerfd_settime(timer, 0, &(struct itimerspec){0}, &left));
    printf("%ld\n", left.it_interval.tv_nsec);
    close(counter), close(timer);
}

static volatile int enough;

/* Again and again: the first signal may come before the call has begun. */
static void *interrupt(void *thread)
{
    struct timespec brief = {0, 20000000};
    while (!enough) {
        nanosleep(&brief, NULL);
        pthread_kill(*(pthread_t *)thread, SIGUSR2);
    }
    return NULL;
}

static void *interrupt_and_write(void *fd)
{
    struct timespec brief = {0, 30000000};
    nanosleep(&brief, NULL);
    kill(getpid(), SIGUSR2);
    nanosleep(&brief, NULL);
    if (write(*(int *)fd, "late", 4) != 4)
        abort();
    return NULL;
}

/* With and without SA_RESTART, for a call that the kernel restarts and for those that it does not. */
static void interrupted(void)
{
    pthread_t self = pthread_self(), other;
    int p[2];
    SHOW(pipe(p));
    char buf[8];
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR2, &action, NULL);
    caught = 0;
    enough = 0;
    pthread_create(&other, NULL, interrupt, &self);
    SHOW(read(p[0], buf, 8));
    enough = 1;
    pthread_join(other, NULL);
    SHOW(caught);

    action.sa_flags = SA_RESTART;
    sigaction(SIGUSR2, &action, NULL);
    caught = 0;
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR2);
    /* Only this thread can take the signal of the process. */
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    pthread_create(&other, NULL, interrupt_and_write, &p[1]);
    pthread_sigmask(SIG_UNBLOCK, &block, NULL);
    SHOW(read(p[0], buf, 8));
    pthread_join(other, NULL);
    SHOW(caught);

    caught = 0;
    struct pollfd fd = {p[0], POLLIN, 0};
    enough = 0;
    pthread_create(&other, NULL, interrupt, &self);
    SHOW(poll(&fd, 1, 50000));
    enough = 1;
    pthread_join(other, NULL);
    SHOW(caught);

    caught = 0;
    struct timespec time = {50, 0}, left = {0, 0};
    enough = 0;
    pthread_create(&other, NULL, interrupt, &self);
    SHOW(nanosleep(&time, &left));
    enough = 1;
    pthread_join(other, NULL);
    SHOW(caught);
    printf("%d\n", left.tv_sec > 20 && left.tv_sec < 50);
    close(p[0]), close(p[1]);
}

int main(void)
{
    polling();
    selecting();
    masks();
    epolls();
    counters_and_timers();
    interrupted();
    return 0;
}
